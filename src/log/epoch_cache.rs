//! Where each leader epoch began in this log (KIP-101), in `leader-epoch-checkpoint`.
//!
//! The entries follow from the batches: recovery adds those that the file lacks. The rules are those of
//! Kafka's `LeaderEpochFileCache`.

use crate::types::{LeaderEpoch, Offset};

use super::checkpoint::{CheckpointError, format_lines, parse_lines};

/// The epochs of one log, ascending in epoch and start offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EpochCache {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// Reads the file's contents.
    pub(super) fn parse(contents: &[u8]) -> Result<Self, CheckpointError> {
        let mut cache = Self::default();
        for line in parse_lines(contents)? {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [epoch, offset] = fields[..] else { return Err(CheckpointError::malformed(&line)) };
            let (Ok(epoch), Ok(offset)) = (epoch.parse(), offset.parse()) else {
                return Err(CheckpointError::malformed(&line));
            };
            if epoch < 0 || offset < 0 {
                return Err(CheckpointError::malformed(&line));
            }
            cache.assign(LeaderEpoch(epoch), Offset(offset));
        }
        Ok(cache)
    }

    /// The file's contents.
    pub(super) fn format(&self) -> Vec<u8> {
        format_lines(self.entries.iter().map(|(epoch, offset)| format!("{epoch} {offset}")))
    }

    /// The latest epoch.
    pub(super) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Epoch `epoch` begins at `offset`; entries that contradict it are dropped. Whether anything changed.
    pub(super) fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        assert!(LeaderEpoch::ZERO <= epoch && Offset::ZERO <= offset, "epoch {epoch} at {offset}");
        if let Some((latest, start)) = self.entries.last()
            && *latest == epoch
            && *start <= offset
        {
            return false;
        }
        while self.entries.last().is_some_and(|(latest, start)| epoch <= *latest || offset <= *start) {
            self.entries.pop();
        }
        self.entries.push((epoch, offset));
        true
    }

    /// Epoch `epoch` reigns at `offset`, where it begins unless it began before. Higher epochs are dropped:
    /// no leader had them, a byte of a file was broken (no CRC covers a batch's epoch). Whether anything
    /// changed.
    pub(super) fn reign(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        let known = self.entries.partition_point(|(other, _)| *other <= epoch);
        let drops_higher = known < self.entries.len();
        self.entries.truncate(known);
        let begins = self.latest() != Some(epoch);
        begins && self.assign(epoch, offset) || drops_higher
    }

    /// The last epoch not after `epoch`, and where it ends; `UNKNOWN` for both when that is not known.
    pub(super) fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        if epoch == LeaderEpoch::UNKNOWN {
            return (LeaderEpoch::UNKNOWN, Offset::UNKNOWN);
        }
        if self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let higher = self.entries.partition_point(|(other, _)| *other <= epoch);
        let Some((_, end)) = self.entries.get(higher) else {
            return (LeaderEpoch::UNKNOWN, Offset::UNKNOWN);
        };
        match higher.checked_sub(1) {
            Some(floor) => (self.entries[floor].0, *end),
            // The epoch's records are gone; it ended where the first one left begins.
            None => (epoch, *end),
        }
    }

    /// The epoch of the record at `offset`.
    pub(super) fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        Some(self.entries[after.checked_sub(1)?].0)
    }

    /// Forgets epochs that begin at or after the log's end.
    pub(super) fn truncate_from_end(&mut self, log_end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < log_end);
        self.entries.len() < before
    }

    /// Forgets epochs that ended before `log_start`; the one there begins with it.
    pub(super) fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let keep = self.entries.partition_point(|(_, start)| *start <= log_start);
        let Some(first) = keep.checked_sub(1) else { return false };
        let changed = 0 < first || self.entries[first].1 != log_start;
        self.entries.drain(..first);
        self.entries[0].1 = log_start;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, offset) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*offset));
        }
        cache
    }

    #[test]
    fn end_offsets_follow_kafkas_rules() {
        let cache = cache(&[(2, 10), (5, 20), (7, 30)]);
        for (epoch, expected) in [
            (-1, (-1, -1)),
            (1, (1, 10)),
            (2, (2, 20)),
            (3, (2, 20)),
            (5, (5, 30)),
            (6, (5, 30)),
            (7, (7, 99)),
            (8, (-1, -1)),
        ] {
            let found = cache.end_offset_for(LeaderEpoch(epoch), Offset(99));
            assert_eq!((found.0.0, found.1.0), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn contradicted_entries_are_dropped() {
        assert_eq!(cache(&[(1, 0), (2, 10), (3, 10)]).entries.len(), 2);
        assert_eq!(cache(&[(1, 0), (3, 10), (2, 20)]), cache(&[(1, 0), (2, 20)]));
        assert_eq!(cache(&[(1, 5), (1, 9)]), cache(&[(1, 5)]));
        assert_eq!(cache(&[(1, 5), (1, 3)]), cache(&[(1, 3)]));
    }

    #[test]
    fn a_leader_drops_epochs_that_none_had_and_keeps_its_own_beginning() {
        for (epoch, changes, expected) in [
            (3, false, cache(&[(1, 0), (3, 10)])),
            (4, true, cache(&[(1, 0), (3, 10), (4, 99)])),
            (2, true, cache(&[(1, 0), (2, 99)])),
            (1, true, cache(&[(1, 0)])),
        ] {
            let mut found = cache(&[(1, 0), (3, 10)]);
            assert_eq!((found.reign(LeaderEpoch(epoch), Offset(99)), found), (changes, expected), "{epoch}");
        }
    }

    #[test]
    fn truncation_keeps_the_epoch_at_the_edge() {
        let mut both = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(both.truncate_from_end(Offset(20)));
        assert!(both.truncate_from_start(Offset(12)));
        assert_eq!(both, cache(&[(2, 12)]));
        assert!(!both.truncate_from_start(Offset(5)));
        assert_eq!(both.epoch_for_offset(Offset(12)), Some(LeaderEpoch(2)));
        assert_eq!(both.epoch_for_offset(Offset(11)), None);
    }

    #[test]
    fn files_are_kafkas() {
        let cache = cache(&[(0, 0), (3, 100)]);
        assert_eq!(cache.format(), b"0\n2\n0 0\n3 100\n");
        assert_eq!(EpochCache::parse(&cache.format()), Ok(cache));
        for bad in ["0\n1\n", "1\n0\n", "0\n1\n1 2 3\n", "0\n1\nx 2\n", "0\n1\n-1 2\n"] {
            assert!(EpochCache::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
