//! How a record is printed: a pattern as kcat's, or JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::record::records::Record;

/// A pattern, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
    Timestamp,
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

impl Format {
    /// Reads a pattern: `%t` topic, `%p` partition, `%o` offset, `%k` key, `%v` or `%s` value, `%K` and `%S`
    /// their lengths (-1 for null), `%h` headers, `%T` timestamp, `%%` a percent sign; `\n`, `\t`, `\r`,
    /// `\\` and `\xHH` as in C.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '%' => match letters.next() {
                    Some('%') => {
                        text.push(b'%');
                        continue;
                    }
                    Some(field) => field_part(field).ok_or_else(|| {
                        format!("'%{field}' is no field; expected one of %t %p %o %k %K %v %s %S %h %T %%")
                    })?,
                    None => return Err("the pattern ends in '%'".to_owned()),
                },
                '\\' => {
                    text.push(escaped(&mut letters)?);
                    continue;
                }
                _ => {
                    text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self(parts))
    }

    /// Prints a record. A null key or value prints as nothing.
    pub(super) fn write(&self, out: &mut impl Write, place: Place<'_>, record: &Record) -> io::Result<()> {
        let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Topic => out.write_all(place.topic.as_bytes())?,
                Part::Partition => write!(out, "{}", place.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Key => out.write_all(record.key.as_deref().unwrap_or_default())?,
                Part::KeyLength => write!(out, "{}", length(&record.key))?,
                Part::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
                Part::ValueLength => write!(out, "{}", length(&record.value))?,
                Part::Headers => write_headers(out, record)?,
                Part::Timestamp => write!(out, "{}", record.timestamp)?,
            }
        }
        Ok(())
    }
}

fn field_part(field: char) -> Option<Part> {
    Some(match field {
        't' => Part::Topic,
        'p' => Part::Partition,
        'o' => Part::Offset,
        'k' => Part::Key,
        'K' => Part::KeyLength,
        'v' | 's' => Part::Value,
        'S' => Part::ValueLength,
        'h' => Part::Headers,
        'T' => Part::Timestamp,
        _ => return None,
    })
}

fn escaped(letters: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match letters.next() {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = letters.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16)
                .map_err(|_| format!("'\\x{digits}' is not two hexadecimal digits"))
        }
        other => Err(format!("'\\{}' is no escape", other.map(String::from).unwrap_or_default())),
    }
}

/// `key=value,...`
fn write_headers(out: &mut impl Write, record: &Record) -> io::Result<()> {
    for (index, header) in record.headers.iter().enumerate() {
        if 0 < index {
            out.write_all(b",")?;
        }
        out.write_all(&header.key)?;
        out.write_all(b"=")?;
        out.write_all(header.value.as_deref().unwrap_or(b"NULL"))?;
    }
    Ok(())
}

/// The record as one line of JSON. Bytes that are not UTF-8 stand as `{"hex": ".."}`.
pub(super) fn as_json(place: Place<'_>, record: &Record) -> Value {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| json!([bytes_as_json(Some(&header.key)), bytes_as_json(header.value.as_deref())]))
        .collect();
    json!({
        "topic": place.topic,
        "partition": place.partition,
        "offset": record.offset.0,
        "timestamp": record.timestamp.0,
        "key": bytes_as_json(record.key.as_deref()),
        "value": bytes_as_json(record.value.as_deref()),
        "headers": headers,
    })
}

fn bytes_as_json(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::records::Header;
    use crate::types::{Offset, Timestamp};

    fn record(value: Option<&'static [u8]>) -> Record {
        let header = |key: &'static str, value: Option<&'static str>| Header {
            key: Bytes::from_static(key.as_bytes()),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
        };
        Record {
            offset: Offset(7),
            timestamp: Timestamp(99),
            key: Some(Bytes::from_static(b"k")),
            value: value.map(Bytes::from_static),
            headers: vec![header("a", Some("1")), header("b", None)],
        }
    }

    #[test]
    fn patterns_are_kcats() {
        let place = Place { topic: "t", partition: 3 };
        let cases = [
            ("%v\\n", "v\n"),
            ("%t [%p] at %o: %k=%s %K/%S %h %T%%", "t [3] at 7: k=v 1/1 a=1,b=NULL 99%"),
            ("\\x41\\t\\\\", "A\t\\"),
        ];
        for (pattern, expected) in cases {
            let mut out = Vec::new();
            Format::parse(pattern).unwrap().write(&mut out, place, &record(Some(b"v"))).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{pattern}");
        }
        let mut out = Vec::new();
        Format::parse("[%v]%S").unwrap().write(&mut out, place, &record(None)).unwrap();
        assert_eq!(out, b"[]-1");
        for bad in ["%", "%q", "\\q", "\\xg0", "\\"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        let line = as_json(Place { topic: "t", partition: 3 }, &record(Some(b"\xff\x00")));
        assert_eq!(line["value"], json!({ "hex": "ff00" }));
        assert_eq!(line["key"], json!("k"));
        assert_eq!(line["headers"], json!([["a", "1"], ["b", null]]));
    }
}
