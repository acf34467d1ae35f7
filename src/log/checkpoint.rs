//! Kafka's checkpoint files: a version, a count, and one entry a line (`CheckpointFile`).

use std::collections::HashMap;

use crate::types::{Offset, TopicName, TopicPartition};

const VERSION: &str = "0";

/// Why a checkpoint file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error("the file is not text")]
    NotText,
    #[error("version {found:?}, expected {VERSION}")]
    UnknownVersion { found: String },
    #[error("{found} entries, expected {expected:?}")]
    WrongCount { expected: String, found: usize },
    #[error("malformed line {line:?}")]
    Malformed { line: String },
}

impl CheckpointError {
    pub(super) fn malformed(line: &str) -> Self {
        Self::Malformed { line: line.to_owned() }
    }
}

/// The entries of a checkpoint file. An empty file, as Kafka creates them, has none.
pub(super) fn parse_lines(contents: &[u8]) -> Result<Vec<String>, CheckpointError> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::str::from_utf8(contents).map_err(|_| CheckpointError::NotText)?;
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version.trim() != VERSION {
        return Err(CheckpointError::UnknownVersion { found: version.to_owned() });
    }
    let expected = lines.next().unwrap_or_default();
    let entries: Vec<_> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if expected.trim().parse() != Ok(entries.len()) {
        return Err(CheckpointError::WrongCount { expected: expected.to_owned(), found: entries.len() });
    }
    Ok(entries)
}

/// The contents of a checkpoint file.
pub(super) fn format_lines(entries: impl Iterator<Item = String>) -> Vec<u8> {
    let entries: Vec<_> = entries.collect();
    let mut contents = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        contents.push_str(&entry);
        contents.push('\n');
    }
    contents.into_bytes()
}

/// One offset per partition (`OffsetCheckpointFile`).
pub(super) fn parse_offsets(contents: &[u8]) -> Result<HashMap<TopicPartition, Offset>, CheckpointError> {
    parse_lines(contents)?.iter().map(|line| parse_offset(line)).collect()
}

fn parse_offset(line: &str) -> Result<(TopicPartition, Offset), CheckpointError> {
    let malformed = || CheckpointError::malformed(line);
    let fields: Vec<_> = line.split_whitespace().collect();
    let [topic, partition, offset] = fields[..] else { return Err(malformed()) };
    let topic = TopicName::new(topic).map_err(|_| malformed())?;
    let partition = partition.parse().map_err(|_| malformed())?;
    let offset = offset.parse().map_err(|_| malformed())?;
    Ok((TopicPartition { topic, partition }, Offset(offset)))
}

/// The contents of an offset checkpoint file.
pub(super) fn format_offsets<'a>(offsets: impl Iterator<Item = (&'a TopicPartition, Offset)>) -> Vec<u8> {
    format_lines(offsets.map(|(tp, offset)| format!("{} {} {offset}", tp.topic, tp.partition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_checkpoints_are_kafkas() {
        let contents = b"0\n2\na-b 0 5\nc 12 0\n";
        let offsets = parse_offsets(contents).unwrap();
        let mut sorted: Vec<_> = offsets.iter().collect();
        sorted.sort();
        assert_eq!(format_offsets(sorted.into_iter().map(|(tp, offset)| (tp, *offset))), contents);
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        for bad in
            ["\n", "1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na x 1\n", "0\n1\na/b 0 1\n", "0\nx\n"]
        {
            assert!(parse_offsets(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse_offsets(&[0xff, 0xfe]).is_err());
        for empty in ["", "0\n0\n"] {
            assert_eq!(parse_offsets(empty.as_bytes()), Ok(HashMap::new()));
        }
    }
}
