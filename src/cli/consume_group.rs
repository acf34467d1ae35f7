//! `corelog consume --group`: reading as a member of a consumer group.
//!
//! Heartbeats, fetches and commits take turns in one loop, so that a partition is never read after it was
//! given up, and what is committed was printed. A heartbeat may be late by one round of fetches, which wait
//! for half a second at most.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::CliError;
use super::consume::{Consuming, Round};
use super::output::written;
use crate::client::groups::{CommittedOffset, committed_offsets, coordinator};
use crate::client::{GroupMember, Heard};
use crate::rt::{signals, time};
use crate::types::{Offset, Uuid};

/// How often what was read is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a member without partitions waits before it looks again what there is to do.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

/// Reads as a member of `group` until the count is reached, nobody reads on, or a signal comes.
pub(super) async fn run(consuming: Consuming, group: &str) -> Result<(), CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    signals::watch(move |_| stopping.store(true, Ordering::Relaxed))
        .map_err(|error| CliError::failed(format!("cannot wait for signals: {error}")))?;
    let member_id = Uuid::from_bytes(uuid::Uuid::new_v4().into_bytes()).to_string();
    let member = GroupMember::new(group, &consuming.topic.name, consuming.topic.id, member_id);
    let now = time::monotonic_now();
    let mut membership = Membership {
        consuming: Consuming { follows: true, ..consuming },
        group: group.to_owned(),
        member,
        next_heartbeat: now,
        next_commit: now + COMMIT_INTERVAL,
    };
    let outcome = membership.read_until(|| stop.load(Ordering::Relaxed)).await;
    // The others get the partitions at once, whatever the reason.
    let committed = membership.commit().await;
    let left = membership.member.leave(&membership.consuming.cluster).await;
    outcome.and(committed.map(drop)).and(left.map_err(CliError::from))
}

/// A member with what it reads.
struct Membership {
    consuming: Consuming,
    group: String,
    member: GroupMember,
    next_heartbeat: Instant,
    next_commit: Instant,
}

impl Membership {
    async fn read_until(&mut self, is_over: impl Fn() -> bool) -> Result<(), CliError> {
        let mut out = BufWriter::new(io::stdout().lock());
        while !is_over() {
            let now = time::monotonic_now();
            if self.next_heartbeat <= now || self.member.has_news() {
                self.heartbeat().await?;
            }
            if self.next_commit <= now {
                self.commit().await?;
            }
            if self.consuming.left == Some(0) {
                break;
            }
            if self.consuming.cursors.is_empty() {
                time::sleep(IDLE_PAUSE).await;
                continue;
            }
            if self.consuming.read(&mut out).await? == Round::Unread {
                break;
            }
        }
        written(out.flush()).map(drop)
    }

    async fn heartbeat(&mut self) -> Result<(), CliError> {
        match self.member.heartbeat(&self.consuming.cluster).await? {
            Heard::Nothing => {}
            Heard::Assigned(partitions) => self.follow(partitions).await?,
            Heard::Fenced => {
                // Others may read these by now, and commit for them.
                self.consuming.cursors.clear();
                eprintln!("group {} went on without this member, which joins again", self.group);
            }
        }
        self.next_heartbeat = time::monotonic_now() + self.member.interval();
        Ok(())
    }

    /// Gives up what is no longer assigned, takes up what is new, and says so.
    async fn follow(&mut self, assigned: BTreeSet<i32>) -> Result<(), CliError> {
        let owned: BTreeSet<i32> = self.consuming.cursors.keys().copied().collect();
        if owned.difference(&assigned).next().is_some() {
            self.commit().await?;
            self.consuming.cursors.retain(|partition, _| assigned.contains(partition));
        }
        let new: BTreeSet<i32> = assigned.difference(&owned).copied().collect();
        if !new.is_empty() {
            self.begin(&new).await?;
        }
        self.tell(&assigned);
        self.member.acknowledge(assigned);
        Ok(())
    }

    async fn begin(&mut self, new: &BTreeSet<i32>) -> Result<(), CliError> {
        let Consuming { cluster, topic, .. } = &mut self.consuming;
        if new.iter().any(|&partition| topic.partitions.iter().all(|info| info.partition != partition)) {
            // The topic has more partitions than before.
            let found = cluster.find_topic(&topic.name, false).await?;
            *topic = found.ok_or_else(|| CliError::failed(format!("topic {} is gone", topic.name)))?;
        }
        let connection = coordinator(cluster, &self.group).await?;
        let committed = committed_offsets(&connection, &self.group).await?;
        for &partition in new {
            let of_partition = |of: &&CommittedOffset| {
                of.topic == self.consuming.topic.name
                    && of.partition == partition
                    && Offset::ZERO <= of.offset
            };
            let offset = committed.iter().find(of_partition).map(|of| of.offset);
            let cursor = self.consuming.cursor(partition, offset).await?;
            self.consuming.cursors.insert(partition, cursor);
        }
        Ok(())
    }

    /// Commits how far every partition was read. A member that the group has gone on without hears of it with
    /// its next heartbeat.
    async fn commit(&mut self) -> Result<(), CliError> {
        let topic = &self.consuming.topic.name;
        let offsets: Vec<_> = self
            .consuming
            .cursors
            .iter()
            .map(|(&partition, cursor)| CommittedOffset {
                topic: topic.clone(),
                partition,
                offset: cursor.next,
            })
            .collect();
        if !offsets.is_empty() && !self.member.commit(&self.consuming.cluster, &offsets).await? {
            self.next_heartbeat = time::monotonic_now();
        }
        self.next_commit = time::monotonic_now() + COMMIT_INTERVAL;
        Ok(())
    }

    fn tell(&self, assigned: &BTreeSet<i32>) {
        let (group, topic) = (&self.group, &self.consuming.topic.name);
        let partitions: Vec<_> = assigned.iter().map(i32::to_string).collect();
        match assigned.is_empty() {
            true => eprintln!("group {group}: reads no partition of {topic}"),
            false => eprintln!("group {group}: reads partitions {} of {topic}", partitions.join(",")),
        }
    }
}
