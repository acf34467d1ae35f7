//! Measuring how far groups are behind, in the background.
//!
//! Each shard looks at the committed offsets of the groups it coordinates, every
//! `corelog.group.lag.interval.ms`, and asks the shards that own their partitions where those end. The age of
//! the oldest unread record takes a read, once for each offset that was committed and left behind: at most
//! [`TIMES_MAX`] in a round. All of it runs in the background queue; no request waits for it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::groups::Slot;
use crate::group::{GroupCoordinator, MeasuredLag, OffsetToMeasure};
use crate::record::batch::{BatchHeader, TimestampType};
use crate::rt::{task, time};
use crate::shard::Shard;
use crate::shard::message::{LagPart, PartitionId, ShardReply, ShardRequest};
use crate::types::{Offset, ShardId, Timestamp};

/// Offsets that are asked about together.
const OFFSETS_AT_A_TIME: usize = 256;
/// Records whose time is looked up in one round; the others keep an unknown age until a later round.
const TIMES_MAX: usize = 1_000;

/// A round's sums.
#[derive(Debug, Default)]
struct Round {
    groups: u64,
    lagging: u64,
    times_left: usize,
}

impl Shard {
    /// Measures the groups of this shard again and again, for as long as the shard lives.
    pub async fn run_group_lag(self: Rc<Self>) {
        self.started().await;
        let Some(interval) = self.config().groups.lag_interval else { return };
        while !self.closing.is_cancelled() {
            self.rest(interval).await;
            let mut round = Round { times_left: TIMES_MAX, ..Round::default() };
            for slot in self.coordinator_slots() {
                self.measure_groups(&slot, &mut round).await;
            }
            if 0 < round.groups {
                let Round { groups, lagging, .. } = round;
                tracing::debug!(target: "group", shard = %self.id, groups, lagging, "lag measured");
            }
        }
    }

    async fn measure_groups(self: &Rc<Self>, slot: &Slot, round: &mut Round) {
        for group_id in slot.with(GroupCoordinator::groups_to_measure).unwrap_or_default() {
            let offsets = slot.with(|of| of.offsets_to_measure(&group_id)).unwrap_or_default();
            let mut measured = Vec::with_capacity(offsets.len());
            for some in offsets.chunks(OFFSETS_AT_A_TIME) {
                let found = self.measure(some, round).await;
                measured.extend(some.iter().zip(found).filter_map(|(offset, found)| Some((offset, found?))));
                task::yield_if_needed().await;
            }
            let behind: i64 = measured.iter().map(|(_, lag)| (lag.end.0 - lag.offset.0).max(0)).sum();
            round.groups += 1;
            if 0 < behind {
                round.lagging += 1;
                let times = measured.iter().map(|(_, lag)| lag.oldest_unread);
                let oldest = times.filter(|time| *time != Timestamp::NONE).min_by_key(|time| time.0);
                let oldest_unread_ms = oldest.map(|oldest| time::wall_clock().ms_since(oldest));
                tracing::debug!(target: "group", group = group_id, lag_offsets = behind, ?oldest_unread_ms);
            }
            let measured = measured.into_iter().map(|(of, lag)| (of.topic.clone(), of.partition, lag));
            slot.with(|of| of.handle_lag_measured(group_id, measured));
        }
    }

    /// Asks the owners of the partitions; `None` for a partition that is not there.
    async fn measure(
        self: &Rc<Self>,
        offsets: &[OffsetToMeasure],
        round: &mut Round,
    ) -> Vec<Option<MeasuredLag>> {
        let mut by_owner: BTreeMap<ShardId, (Vec<usize>, Vec<LagPart>)> = BTreeMap::new();
        for (place, of) in offsets.iter().enumerate() {
            let Ok((owner, id)) = self.locate_by_name(of.topic.as_str(), of.partition) else { continue };
            let wants_time = of.oldest_unread == Timestamp::NONE && 0 < round.times_left;
            round.times_left -= usize::from(wants_time);
            let (places, parts) = by_owner.entry(owner).or_default();
            places.push(place);
            parts.push(LagPart { id, offset: of.offset, wants_time });
        }
        let asked: Vec<_> = by_owner
            .into_iter()
            .map(|(owner, (places, parts))| (places, self.ask(owner, ShardRequest::Lag(parts))))
            .collect();
        let mut measured = vec![None; offsets.len()];
        for (places, answer) in asked {
            // A shard that is stopping answers nothing.
            let Some(ShardReply::Lag(found)) = answer.await else { continue };
            for (place, found) in places.into_iter().zip(found) {
                measured[place] = found.map(|found| MeasuredLag {
                    oldest_unread: match found.oldest_unread {
                        Timestamp::NONE => offsets[place].oldest_unread,
                        time => time,
                    },
                    ..found
                });
            }
        }
        measured
    }

    /// Where this shard's partitions end, seen from an offset of each.
    pub(in crate::shard) async fn look_behind(&self, parts: Vec<LagPart>) -> Vec<Option<MeasuredLag>> {
        let mut measured = Vec::with_capacity(parts.len());
        for part in parts {
            measured.push(self.end_after(&part).await);
            task::yield_if_needed().await;
        }
        measured
    }

    async fn end_after(&self, part: &LagPart) -> Option<MeasuredLag> {
        let end = self.partition(part.id).ok()?.high_watermark();
        let oldest_unread = match part.wants_time && part.offset < end {
            true => self.time_of_batch(part.id, part.offset, end).await.unwrap_or(Timestamp::NONE),
            false => Timestamp::NONE,
        };
        Some(MeasuredLag { offset: part.offset, end, oldest_unread })
    }

    /// The time of the first record of the batch at an offset, or behind it where records are gone. Up to the
    /// length of one batch before the time of the record itself, and had without unpacking the batch.
    async fn time_of_batch(&self, id: PartitionId, offset: Offset, end: Offset) -> Option<Timestamp> {
        let partition = self.partition(id).ok()?;
        let from = offset.max(partition.log.log_start_offset());
        if end <= from {
            return None;
        }
        let read = partition.log.read(from, end, 1, true).await.ok()?;
        let header = BatchHeader::decode(read.chunks.first()?).ok()?;
        Some(match header.attributes.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp,
        })
    }
}
