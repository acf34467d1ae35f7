//! The `.properties` syntax, as `java.util.Properties.load` reads it.
//!
//! Every entry keeps the number of the line it starts on. Duplicates are kept: the caller decides that the
//! later one wins. Nothing is an error except a broken `\u` escape, as in Java.

/// An entry of a `.properties` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped, leading white space removed.
    pub value: String,
    /// The line the entry starts on, from 1.
    pub line: usize,
}

/// A `\u` that four hexadecimal digits do not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: '\\u' must be followed by four hexadecimal digits")]
pub struct PropertiesError {
    /// The line, from 1.
    pub line: usize,
}

/// Reads a whole file.
pub fn parse(text: &str) -> Result<Vec<Property>, PropertiesError> {
    let mut properties = Vec::new();
    for logical in logical_lines(text) {
        let (key, value) = split_key(&logical.text);
        let unescaped = |text| unescape(text).ok_or(PropertiesError { line: logical.line });
        properties.push(Property { key: unescaped(key)?, value: unescaped(value)?, line: logical.line });
    }
    Ok(properties)
}

struct LogicalLine {
    text: String,
    line: usize,
}

/// Joins continued lines; drops blank lines and comments. A comment is never continued, and what follows a
/// continuation is no comment even when it starts like one.
fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    let mut continues = false;
    for (index, raw) in physical_lines(text).enumerate() {
        let stripped = raw.trim_start_matches(is_blank);
        if !continues && (stripped.is_empty() || stripped.starts_with(['#', '!'])) {
            continue;
        }
        let trailing = stripped.bytes().rev().take_while(|&byte| byte == b'\\').count();
        let ends_escaped = trailing % 2 == 1;
        let body = if ends_escaped { &stripped[..stripped.len() - 1] } else { stripped };
        match lines.last_mut() {
            Some(line) if continues => line.text.push_str(body),
            _ => lines.push(LogicalLine { text: body.to_owned(), line: index + 1 }),
        }
        continues = ends_escaped;
    }
    lines
}

/// Lines that end in `\n`, `\r` or `\r\n`.
fn physical_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\u{c}')
}

/// The key ends at the first `=`, `:` or blank that is not escaped; blanks around the separator go.
fn split_key(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends_key = |letter: char| {
        let ends = !escaped && (letter == '=' || letter == ':' || is_blank(letter));
        escaped = letter == '\\' && !escaped;
        ends
    };
    let Some(end) = line.find(ends_key) else { return (line, "") };
    let rest = line[end..].trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], value.trim_start_matches(is_blank))
}

/// Replaces the escapes; `None` for a broken `\u`. An unknown escape is its letter.
fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let plain = match letter {
            '\\' => match letters.next() {
                Some('u') => {
                    units.push(hex_unit(&mut letters)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            _ => letter,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

/// Four hexadecimal digits: one unit of UTF-16, so that a pair of escapes can name one character.
fn hex_unit(letters: &mut std::str::Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | letters.next()?.to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let found = parse(text).unwrap();
        let found: Vec<_> = found.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn syntax_is_javas() {
        check("a=b", &[("a", "b", 1)]);
        check("a = b ", &[("a", "b ", 1)]);
        check("a:b\n c\td", &[("a", "b", 1), ("c", "d", 2)]);
        check("a   :  b", &[("a", "b", 1)]);
        check("a  b=c", &[("a", "b=c", 1)]);
        check("a==b", &[("a", "=b", 1)]);
        check("key", &[("key", "", 1)]);
        check("=value", &[("", "value", 1)]);
        check("# c\n! d\n\n  \t\na=1", &[("a", "1", 5)]);
        check("a=1\na=2", &[("a", "1", 1), ("a", "2", 2)]);
        check("a=1\r\nb=2\rc=3", &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3)]);
    }

    #[test]
    fn continued_lines_count_from_their_first() {
        check("a=b,\\\n   c,\\\n   d\ne=f", &[("a", "b,c,d", 1), ("e", "f", 4)]);
        check("a=b\\\n# no comment", &[("a", "b# no comment", 1)]);
        check("a=b\\\\\nc=d", &[("a", "b\\", 1), ("c", "d", 2)]);
        check("# comment \\\na=b", &[("a", "b", 2)]);
        check("a=b\\", &[("a", "b", 1)]);
    }

    #[test]
    fn escapes_are_replaced() {
        check(r"a\=b\:c\ d=e", &[("a=b:c d", "e", 1)]);
        check(r"a=\t\n\r\f\\\q", &[("a", "\t\n\r\u{c}\\q", 1)]);
        check(r"a=\u00e4\uD83D\uDE00", &[("a", "ä😀", 1)]);
        check("a=\\  b", &[("a", "  b", 1)]);
        assert_eq!(parse("x=1\ny=\\u12g4"), Err(PropertiesError { line: 2 }));
        assert_eq!(parse("y=\\u12"), Err(PropertiesError { line: 1 }));
    }
}
