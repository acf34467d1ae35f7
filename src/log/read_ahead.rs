//! How far ahead of a reader the kernel reads into its page cache.
//!
//! A consumer that catches up reads on where it stopped. Its first read may find nothing in the page cache
//! and waits; from then on the kernel is told, step by step, to be some distance ahead.

use std::ops::Range;

use super::block_cache::FileId;

/// How far ahead of a reader the page cache is filled.
const DISTANCE_BYTES: u64 = 4 << 20;

/// Less than this is not asked for, so that the disk gets long reads from a reader in small steps.
const STEP_BYTES_MIN: u64 = DISTANCE_BYTES / 2;

/// What a partition's last reader had read ahead. Several readers at different places make it forget, and
/// the kernel is asked for bytes it has: that costs a look at each page.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    file: Option<FileId>,
    end: u64,
}

impl ReadAhead {
    /// The range to ask for when `wanted` of `file` is read, if it is time for one; nothing from `limit` on.
    /// It begins with what is wanted if that was not asked for before.
    pub(super) fn plan(&mut self, file: FileId, wanted: Range<u64>, limit: u64) -> Option<(u64, usize)> {
        let end = limit.min(wanted.end + DISTANCE_BYTES);
        let is_known = self.file == Some(file) && (wanted.start..=end).contains(&self.end);
        if is_known && wanted.end + STEP_BYTES_MIN < self.end {
            return None;
        }
        let start = if is_known { self.end } else { wanted.start };
        if end <= start {
            return None;
        }
        (self.file, self.end) = (Some(file), end);
        Some((start, (end - start) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_sequential_reader_has_each_byte_asked_for_once() {
        for read_bytes in [MIB / 16, MIB, 3 * MIB, 10 * MIB] {
            let (file, limit) = (FileId(7), 20 * MIB);
            let mut ahead = ReadAhead::default();
            let (mut asked, mut calls) = (0, 0);
            for from in (0..limit).step_by(read_bytes as usize) {
                let to = limit.min(from + read_bytes);
                if let Some((start, len)) = ahead.plan(file, from..to, limit) {
                    assert_eq!(start, asked, "at {from}");
                    asked = start + len as u64;
                    calls += 1;
                    assert!(asked <= limit && asked <= to + DISTANCE_BYTES);
                }
                assert!(limit.min(to + STEP_BYTES_MIN) <= asked, "not far enough ahead of {to}");
            }
            assert_eq!(asked, limit);
            assert!(calls <= 20 * MIB / STEP_BYTES_MIN, "{calls} calls");
        }
    }

    #[test]
    fn another_file_or_place_begins_anew() {
        let mut ahead = ReadAhead::default();
        let mut plan = |file, from: u64| ahead.plan(FileId(file), from..from + MIB, 200 * MIB);
        let whole = (MIB + DISTANCE_BYTES) as usize;
        assert_eq!(plan(1, 0), Some((0, whole)));
        assert_eq!(plan(2, 0), Some((0, whole)));
        assert_eq!(plan(2, 100 * MIB), Some((100 * MIB, whole)));
        assert_eq!(plan(2, 50 * MIB), Some((50 * MIB, whole)));
        assert_eq!(ahead.plan(FileId(2), 60 * MIB..60 * MIB, 60 * MIB), None);
    }
}
