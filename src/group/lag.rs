//! How far groups are behind the partitions they read, as it was last measured.
//!
//! The driver measures at its own pace: it asks which offsets there are, looks at their partitions, and hands
//! in what it found. Nothing here is durable, and nothing that a request waits for is computed here.
//!
//! `committed offset <= end` where a group is behind; a group may be ahead of a partition that was truncated
//! or created anew, which counts as not behind.

use std::collections::{BTreeMap, HashMap};

use super::coordinator::GroupCoordinator;
use super::offsets::OffsetStore;
use super::records::CommittedOffset;
use crate::types::{Offset, Timestamp, TopicName};

/// A committed offset whose partition is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToMeasure {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// The next offset to be read.
    pub offset: Offset,
    /// The time of the record at this offset, if it is known from an earlier measurement; `NONE` if not.
    pub oldest_unread: Timestamp,
}

/// What was found about the partition of a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredLag {
    /// The committed offset.
    pub offset: Offset,
    /// The exclusive end of what consumers can read.
    pub end: Offset,
    /// The time of the first record that was not read; `NONE` when there is none, or it is not known.
    pub oldest_unread: Timestamp,
}

/// How far a group is behind a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Offsets between the committed one and the end when it was last measured.
    pub offsets: i64,
    /// Age of the oldest record that was not read, in milliseconds; 0 when all were, `None` when it is not
    /// known yet.
    pub oldest_unread_ms: Option<i64>,
}

/// The last measurement of every committed offset, by group.
#[derive(Debug, Default)]
pub(super) struct LagTable {
    by_group: HashMap<String, BTreeMap<(TopicName, i32), MeasuredLag>>,
}

impl LagTable {
    fn measured(&self, group_id: &str, topic: &TopicName, partition: i32) -> Option<MeasuredLag> {
        self.by_group.get(group_id)?.get(&(topic.clone(), partition)).copied()
    }

    /// The lag of an offset as it is committed now; `None` before its partition was looked at.
    pub(super) fn of(
        &self,
        group_id: &str,
        topic: &TopicName,
        partition: i32,
        value: &CommittedOffset,
        now: Timestamp,
    ) -> Option<Lag> {
        let measured = self.measured(group_id, topic, partition)?;
        let offsets = (measured.end.0 - value.offset.0).max(0);
        let oldest_unread_ms = match measured.oldest_unread {
            _ if offsets == 0 => Some(0),
            // A later commit has another oldest record.
            Timestamp::NONE => None,
            _ if measured.offset != value.offset => None,
            oldest => Some(now.ms_since(oldest).max(0)),
        };
        Some(Lag { offsets, oldest_unread_ms })
    }
}

impl GroupCoordinator {
    /// The groups that have offsets, to be measured one after the other. Measurements of others are
    /// forgotten.
    pub fn groups_to_measure(&mut self) -> Vec<String> {
        let offsets: &OffsetStore = &self.offsets;
        self.lags.by_group.retain(|group_id, _| offsets.group(group_id).is_some());
        offsets.groups().map(|(group_id, _)| group_id.clone()).collect()
    }

    /// The offsets of a group that are to be measured.
    pub fn offsets_to_measure(&self, group_id: &str) -> Vec<OffsetToMeasure> {
        let topics = self.offsets.group(group_id).into_iter().flatten();
        let committed = topics.flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(&partition, value)| (topic, partition, value.offset))
        });
        let known = |topic, partition, offset| {
            let measured = self.lags.measured(group_id, topic, partition);
            measured.filter(|of| of.offset == offset).map_or(Timestamp::NONE, |of| of.oldest_unread)
        };
        committed
            .filter(|(_, _, offset)| Offset::ZERO <= *offset)
            .map(|(topic, partition, offset)| OffsetToMeasure {
                topic: topic.clone(),
                partition,
                offset,
                oldest_unread: known(topic, partition, offset),
            })
            .collect()
    }

    /// Takes up what was found about the offsets of a group, in place of everything found before.
    pub fn handle_lag_measured(
        &mut self,
        group_id: String,
        measured: impl IntoIterator<Item = (TopicName, i32, MeasuredLag)>,
    ) {
        // The group may have lost its offsets meanwhile.
        if self.offsets.group(&group_id).is_some() {
            let measured = measured.into_iter();
            let by_partition = measured.map(|(topic, partition, lag)| ((topic, partition), lag)).collect();
            self.lags.by_group.insert(group_id, by_partition);
        }
    }
}
