//! What of a log is to be cleaned, and how its segments are grouped. Only decides.
//!
//! ```text
//!   log start        first dirty          first uncleanable    active segment
//!       |---- clean ------|---- cleanable ---------|--- too young ---|---------
//! ```

use std::ops::Range;

use crate::types::Offset;

/// A closed segment, as far as the plan has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentSummary {
    pub(super) base_offset: Offset,
    pub(super) len: u64,
    pub(super) offset_index_len: u64,
    pub(super) time_index_len: u64,
}

/// The part of a log that a cleaning goes over (`LogToClean`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanable {
    /// Records below were cleaned before, and are cleaned again by the keys of those above.
    pub first_dirty_offset: Offset,
    /// Where the cleaning ends: the beginning of a segment.
    pub first_uncleanable_offset: Offset,
    /// Bytes of the segments below the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes of the segments that become clean.
    pub cleanable_bytes: u64,
    /// `max.compaction.lag.ms` has passed for a record: no ratio has to be reached.
    pub is_overdue: bool,
}

impl Cleanable {
    /// The dirty part of the bytes, 0 to 1.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.cleanable_bytes {
            0 => 0.0,
            total => self.cleanable_bytes as f64 / total as f64,
        }
    }

    /// Whether there is enough to clean (`LogCleanerManager.grabFilthiestCompactedLog`).
    pub fn is_due(&self, min_dirty_ratio: f64) -> bool {
        (self.is_overdue && 0 < self.cleanable_bytes) || min_dirty_ratio < self.dirty_ratio()
    }
}

/// Where the dirty part begins: the checkpoint, unless the log does not reach from there
/// (`cleanableOffsets`).
pub(super) fn first_dirty_offset(checkpoint: Option<Offset>, start: Offset, end: Offset) -> Offset {
    checkpoint.filter(|offset| start <= *offset && *offset <= end).unwrap_or(start)
}

/// The segments, by index, that hold offsets of `range`.
pub(super) fn segments_of(segments: &[SegmentSummary], range: Range<Offset>) -> Range<usize> {
    if range.is_empty() {
        return 0..0;
    }
    let end = segments.partition_point(|segment| segment.base_offset < range.end);
    let after_first = segments.partition_point(|segment| segment.base_offset <= range.start);
    after_first.saturating_sub(1).min(end)..end
}

/// What may be cleaned of `segments`, all closed; nothing from the segment on that holds `bound`, the
/// least of the last stable offset, the active segment and what `min.compaction.lag.ms` holds back.
pub(super) fn cleanable(
    segments: &[SegmentSummary],
    first_dirty: Offset,
    bound: Offset,
    active: Offset,
) -> Cleanable {
    let bound = bound.max(first_dirty).min(active);
    let uncleanable = match segments.partition_point(|segment| segment.base_offset <= bound).checked_sub(1) {
        Some(last) if bound < active => segments[last].base_offset,
        _ => active.min(bound),
    };
    let len_of = |range: Range<Offset>| -> u64 {
        segments[segments_of(segments, range)].iter().map(|segment| segment.len).sum()
    };
    let clean = segments.iter().take_while(|segment| segment.base_offset < first_dirty);
    Cleanable {
        first_dirty_offset: first_dirty,
        first_uncleanable_offset: uncleanable,
        clean_bytes: clean.map(|segment| segment.len).sum(),
        cleanable_bytes: len_of(first_dirty.min(uncleanable)..uncleanable),
        is_overdue: false,
    }
}

/// Bounds of a cleaned segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupLimits {
    /// `segment.bytes`
    pub(super) bytes: u64,
    /// `segment.index.bytes`
    pub(super) index_bytes: u64,
    /// Where the cleaning ends.
    pub(super) end_offset: Offset,
}

/// Groups neighbours that fit one segment together even if nothing of them goes (`groupSegmentsBySize`).
pub(super) fn group(segments: &[SegmentSummary], limits: GroupLimits) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < segments.len() {
        let mut sum = segments[start];
        let mut end = start + 1;
        while let Some(next) = segments.get(end) {
            let last = segments.get(end + 1).map_or(limits.end_offset, |after| after.base_offset) + -1;
            // Offsets within a segment are 32 bits wide; an empty one has none to be wide.
            let offsets_fit = next.len == 0 || last - sum.base_offset <= i64::from(i32::MAX);
            let fits = sum.len + next.len <= limits.bytes
                && sum.offset_index_len + next.offset_index_len <= limits.index_bytes
                && sum.time_index_len + next.time_index_len <= limits.index_bytes;
            if !fits || !offsets_fit {
                break;
            }
            sum.len += next.len;
            sum.offset_index_len += next.offset_index_len;
            sum.time_index_len += next.time_index_len;
            end += 1;
        }
        groups.push(start..end);
        start = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base_offset: i64, len: u64) -> SegmentSummary {
        SegmentSummary { base_offset: Offset(base_offset), len, offset_index_len: 8, time_index_len: 12 }
    }

    fn check(first_dirty: i64, bound: i64, expected: (i64, u64, u64)) {
        let segments = [segment(0, 100), segment(10, 50), segment(20, 30)];
        let found = cleanable(&segments, Offset(first_dirty), Offset(bound), Offset(30));
        let found_key = (found.first_uncleanable_offset.0, found.clean_bytes, found.cleanable_bytes);
        assert_eq!(found_key, expected, "dirty from {first_dirty}, bound {bound}");
    }

    #[test]
    fn what_is_cleanable_are_whole_segments_below_the_bound() {
        check(0, 30, (30, 0, 180));
        check(0, 99, (30, 0, 180));
        check(10, 30, (30, 100, 80));
        check(15, 30, (30, 150, 80));
        check(0, 25, (20, 0, 150));
        check(0, 20, (20, 0, 150));
        check(0, 5, (0, 0, 0));
        check(30, 30, (30, 180, 0));
        check(20, 10, (20, 150, 0));
    }

    #[test]
    fn dirt_counts_from_a_checkpoint_that_is_in_the_log() {
        let first =
            |checkpoint: Option<i64>| first_dirty_offset(checkpoint.map(Offset), Offset(10), Offset(20)).0;
        assert_eq!(
            [None, Some(5), Some(10), Some(15), Some(20), Some(21)].map(first),
            [10, 10, 10, 15, 20, 10]
        );
    }

    #[test]
    fn ratio_and_lag_decide() {
        let cleanable = |clean_bytes, cleanable_bytes, is_overdue| Cleanable {
            first_dirty_offset: Offset(0),
            first_uncleanable_offset: Offset(10),
            clean_bytes,
            cleanable_bytes,
            is_overdue,
        };
        assert!(!cleanable(0, 0, false).is_due(0.0));
        assert!(cleanable(0, 1, false).is_due(0.5));
        assert!(!cleanable(5, 5, false).is_due(0.5), "more than the ratio");
        assert!(cleanable(4, 6, false).is_due(0.5));
        assert!(cleanable(900, 1, true).is_due(0.5));
        assert!(!cleanable(900, 0, true).is_due(0.5));
        assert!(!cleanable(0, 7, false).is_due(1.0));
    }

    fn check_groups(segments: &[(i64, u64)], bytes: u64, expected: &[usize]) {
        let segments: Vec<_> = segments.iter().map(|(base, len)| segment(*base, *len)).collect();
        let end_offset = Offset(i64::from(i32::MAX) + 1);
        let limits = GroupLimits { bytes, index_bytes: 24, end_offset };
        let lens: Vec<_> = group(&segments, limits).into_iter().map(|range| range.len()).collect();
        assert_eq!(lens, expected);
    }

    #[test]
    fn groups_fit_a_segment() {
        check_groups(&[], 100, &[]);
        check_groups(&[(0, 60), (1, 40), (2, 1)], 100, &[2, 1]);
        check_groups(&[(0, 200), (1, 40), (2, 60)], 100, &[1, 2]);
        // Two time indexes of 12 bytes fit 24.
        check_groups(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)], 100, &[2, 2, 1]);
        let wide = i64::from(i32::MAX);
        check_groups(&[(0, 1), (10, 1), (wide + 2, 1)], 100, &[1, 2]);
        check_groups(&[(0, 1), (10, 1), (wide + 1, 1)], 100, &[2, 1]);
        check_groups(&[(0, 1), (10, 0), (wide + 9, 1)], 100, &[2, 1]);
    }
}
