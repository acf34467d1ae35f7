//! Offset and time indexes, compared with the segment they belong to.

use super::Dump;
use super::segment::ScannedBatch;
use crate::cli::CliError;

/// `OffsetIndex`: offset relative to the base, position; both 32 bits, big-endian.
const OFFSET_ENTRY_LEN: usize = 8;

/// `TimeIndex`: timestamp of 64 bits, offset relative to the base of 32 bits; big-endian.
const TIME_ENTRY_LEN: usize = 12;

/// The whole entries of an index. An index is allocated at full size and cut when its segment is closed:
/// zeros at its end are no entries.
fn entries<const LEN: usize>(bytes: &[u8], dump: &mut Dump<'_>) -> Vec<[u8; LEN]> {
    let (entries, rest) = bytes.as_chunks::<LEN>();
    if rest.iter().any(|byte| *byte != 0) {
        dump.problem(format!("{} bytes, expected a multiple of {LEN}", bytes.len()));
    }
    // The first entry may be all zero and mean it.
    let used = entries.iter().rposition(|entry| *entry != [0; LEN]).map_or(0, |last| last + 1);
    entries[..used].to_vec()
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes of an entry"))
}

/// Prints an offset index. Each entry must be the last offset of the batch at its position.
pub(super) fn dump_offsets(
    bytes: &[u8],
    base: i64,
    batches: Option<&[ScannedBatch]>,
    dump: &mut Dump<'_>,
) -> Result<(), CliError> {
    let mut last = None;
    for entry in entries::<OFFSET_ENTRY_LEN>(bytes, dump) {
        let offset = base + i64::from(be_u32(&entry[..4]));
        let position = u64::from(be_u32(&entry[4..]));
        dump.line(format_args!("offset: {offset} position: {position}"))?;
        if last.is_some_and(|last| (offset, position) <= last) {
            dump.problem(format!("offset {offset} at position {position}: does not grow"));
        }
        last = Some((offset, position));
        if let Some(problem) = batches.and_then(|batches| misplaced(offset, position, batches)) {
            dump.problem(problem);
        }
    }
    Ok(())
}

/// What is wrong with an entry of an offset index, if anything.
fn misplaced(offset: i64, position: u64, batches: &[ScannedBatch]) -> Option<String> {
    let Ok(found) = batches.binary_search_by_key(&position, |batch| batch.position) else {
        return Some(format!("offset {offset}: no batch starts at position {position}"));
    };
    let found = batches[found].header.last_offset();
    (found.0 != offset).then(|| format!("offset {offset}: the batch at position {position} ends at {found}"))
}

/// Prints a time index. Each entry must be the last offset of a batch and that batch's greatest timestamp.
pub(super) fn dump_times(
    bytes: &[u8],
    base: i64,
    batches: Option<&[ScannedBatch]>,
    dump: &mut Dump<'_>,
) -> Result<(), CliError> {
    let mut last = None;
    for entry in entries::<TIME_ENTRY_LEN>(bytes, dump) {
        let timestamp = i64::from_be_bytes(*entry.first_chunk().expect("an entry has twelve bytes"));
        let offset = base + i64::from(be_u32(&entry[8..]));
        dump.line(format_args!("timestamp: {timestamp} offset: {offset}"))?;
        if last.is_some_and(|(last_time, last_offset)| timestamp <= last_time || offset < last_offset) {
            dump.problem(format!("timestamp {timestamp} at offset {offset}: does not grow"));
        }
        last = Some((timestamp, offset));
        if let Some(problem) = batches.and_then(|batches| mistimed(timestamp, offset, batches)) {
            dump.problem(problem);
        }
    }
    Ok(())
}

/// What is wrong with an entry of a time index, if anything.
fn mistimed(timestamp: i64, offset: i64, batches: &[ScannedBatch]) -> Option<String> {
    let at = batches.partition_point(|batch| batch.header.last_offset().0 < offset);
    let Some(found) = batches.get(at).filter(|batch| batch.header.last_offset().0 == offset) else {
        return Some(format!("timestamp {timestamp}: no batch ends at offset {offset}"));
    };
    let found = found.header.max_timestamp;
    (found.0 != timestamp).then(|| format!("offset {offset}: timestamp {timestamp}, its batch has {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dump::segment::scan;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::{Offset, Timestamp};

    fn segment() -> Vec<u8> {
        let mut segment = Vec::new();
        for base_offset in [100, 101, 102] {
            let fields = BatchFields { base_offset: Offset(base_offset), ..BatchFields::default() };
            let mut builder = BatchBuilder::new(fields);
            builder.append(Timestamp(base_offset * 10), None, Some(b"v"), &[]);
            segment.extend_from_slice(&builder.build());
        }
        segment
    }

    fn problems(check: impl Fn(&[ScannedBatch], &mut Dump<'_>)) -> Vec<String> {
        let mut dump = Dump { out: Box::new(std::io::sink()), problems: Vec::new(), is_unread: false };
        check(&scan(&segment()), &mut dump);
        dump.problems
    }

    #[test]
    fn offset_entries_are_compared_with_the_segment() {
        let len = segment().len() as u32 / 3;
        let check = |entries: &[(u32, u32)], expected: &[&str]| {
            let mut bytes: Vec<u8> = entries
                .iter()
                .flat_map(|(offset, position)| [offset.to_be_bytes(), position.to_be_bytes()].concat())
                .collect();
            bytes.extend_from_slice(&[0; 80]);
            let found = problems(|batches, dump| dump_offsets(&bytes, 100, Some(batches), dump).unwrap());
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&[(1, len), (2, 2 * len)], &[]);
        check(&[(2, len)], &[&format!("offset 102: the batch at position {len} ends at 101")]);
        check(&[(1, 5)], &["offset 101: no batch starts at position 5"]);
        check(&[(1, len), (1, len)], &[&format!("offset 101 at position {len}: does not grow")]);
    }

    #[test]
    fn time_entries_are_compared_with_the_segment() {
        let check = |entries: &[(i64, u32)], expected: &[&str]| {
            let bytes: Vec<u8> = entries
                .iter()
                .flat_map(|(timestamp, offset)| {
                    [&timestamp.to_be_bytes()[..], &offset.to_be_bytes()[..]].concat()
                })
                .collect();
            let found = problems(|batches, dump| dump_times(&bytes, 100, Some(batches), dump).unwrap());
            assert_eq!(found, expected);
        };
        check(&[(1_000, 0), (1_020, 2)], &[]);
        check(&[(1_001, 0)], &["offset 100: timestamp 1001, its batch has 1000"]);
        check(&[(1_000, 9)], &["timestamp 1000: no batch ends at offset 109"]);
        check(&[(1_020, 2), (1_010, 1)], &["timestamp 1010 at offset 101: does not grow"]);
    }

    #[test]
    fn odd_lengths_are_problems() {
        let found = problems(|_, dump| dump_offsets(&[1, 2, 3], 0, None, dump).unwrap());
        assert_eq!(found, ["3 bytes, expected a multiple of 8"]);
        let mut grown = [0; 4096];
        grown[11] = 7;
        let found = problems(|_, dump| dump_times(&grown, 0, None, dump).unwrap());
        assert!(found.is_empty(), "zeros up to the end of a block are a part of no entry: {found:?}");
    }
}
