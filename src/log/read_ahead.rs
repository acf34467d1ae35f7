//! How far ahead of a reader the kernel reads into its page cache.
//!
//! A consumer that catches up reads on where it stopped. Its first read finds nothing in the page cache and
//! is served directly; from then on the kernel is told, a step with each read, to be some distance ahead.

use super::block_cache::FileId;

/// How far ahead of a reader the page cache is filled.
const DISTANCE_BYTES: u64 = 4 << 20;

/// What a partition's last reader had read ahead. Several readers at different places make it forget, and
/// the kernel is asked for bytes it has: that costs a look at each page.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    file: Option<FileId>,
    end: u64,
}

impl ReadAhead {
    /// The range to ask for when a read of `file` has come to `position`, if there is any; nothing from
    /// `limit` on.
    pub(super) fn plan(&mut self, file: FileId, position: u64, limit: u64) -> Option<(u64, usize)> {
        let is_known = self.file == Some(file) && position <= self.end;
        let start = if is_known && self.end <= position + DISTANCE_BYTES { self.end } else { position };
        let end = limit.min(position + DISTANCE_BYTES);
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

    #[test]
    fn a_sequential_reader_has_each_byte_asked_for_once() {
        let (file, limit) = (FileId(7), 20 << 20);
        let mut ahead = ReadAhead::default();
        let mut asked = 1 << 20;
        for position in (1..=24).map(|step| step << 20) {
            if let Some((start, len)) = ahead.plan(file, position, limit) {
                assert_eq!(start, asked, "at {position}");
                asked = start + len as u64;
                assert!(asked <= limit && asked <= position + DISTANCE_BYTES);
            }
        }
        assert_eq!(asked, limit);
    }

    #[test]
    fn another_file_or_place_begins_anew() {
        let mut ahead = ReadAhead::default();
        let whole = DISTANCE_BYTES as usize;
        assert_eq!(ahead.plan(FileId(1), 0, u64::MAX), Some((0, whole)));
        assert_eq!(ahead.plan(FileId(2), 0, u64::MAX), Some((0, whole)));
        assert_eq!(ahead.plan(FileId(2), 100 << 20, u64::MAX), Some((100 << 20, whole)));
        assert_eq!(ahead.plan(FileId(2), 50 << 20, u64::MAX), Some((50 << 20, whole)));
        assert_eq!(ahead.plan(FileId(2), 60 << 20, 60 << 20), None);
    }
}
