//! What the clients of one group were told, and what the broker says now.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::{PARTITIONS, TOPIC};
use crate::harness::broker::Broker;
use crate::harness::wire::Wire;
use crate::harness::{PATIENCE, eventually};
use crate::versions::{ask, name};

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const OFFSET_FETCH_VERSION: i16 = 9;

/// What stands for no committed offset.
const NOTHING: i64 = -1;

/// A commit that may be the one that counts: the last, as far as its sender can tell.
#[derive(Debug, Clone)]
struct Commit {
    /// Its place among all commits of the partition.
    number: usize,
    offset: i64,
    /// How many commits had been sent when its acknowledgement came. Those from there on came after it.
    acknowledged_at: Option<usize>,
}

/// One partition of the topic, as the group knows it.
#[derive(Debug, Clone)]
struct Known {
    /// The offset of each commit, in the order of sending.
    sent: Vec<i64>,
    /// Those that no acknowledged commit is known to have come after. Nothing else may be found.
    possible: Vec<Commit>,
    /// Which offsets were read.
    read: Vec<bool>,
}

impl Known {
    fn new() -> Self {
        let nothing = Commit { number: 0, offset: NOTHING, acknowledged_at: Some(1) };
        Self { sent: vec![NOTHING], possible: vec![nothing], read: Vec::new() }
    }

    /// A commit is in force: what came before it is not any more.
    fn confirm(&mut self, number: usize, clients: Clients) {
        self.possible.retain(|other| match clients {
            Clients::One => number <= other.number,
            Clients::Many => other.acknowledged_at.is_none_or(|at| number < at),
        });
        if let Some(commit) = self.possible.iter_mut().find(|commit| commit.number == number) {
            commit.acknowledged_at.get_or_insert(self.sent.len());
        }
    }
}

/// Who commits in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    /// One, over one connection after the other: its commits come in the order in which it sent them.
    One,
    /// Several. Two may commit for a partition at the same time, and either may be the last: a member of
    /// librdkafka names what it has when it is told to take more, and may by then have begun to read the
    /// partition that the answer takes from it and gives to another. Apache Kafka's coordinator lets it.
    Many,
}

/// What the broker may answer, as known before it is asked.
struct Expected {
    offsets: Vec<i64>,
    /// Commits that had been sent; what is sent later may be found too.
    sent: usize,
}

/// See the module.
pub(super) struct Ledger {
    name: &'static str,
    clients: Clients,
    partitions: Mutex<Vec<Known>>,
    commits: AtomicU64,
}

impl Ledger {
    pub(super) fn new(name: &'static str, clients: Clients) -> Self {
        let partitions = Mutex::new(vec![Known::new(); PARTITIONS as usize]);
        Self { name, clients, partitions, commits: AtomicU64::new(0) }
    }

    /// The group.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// How many commits were acknowledged.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn with<T>(&self, partition: i32, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.partitions.lock().expect("no holder panicked")[partition as usize])
    }

    /// Notes a commit about to be sent; returns its number. One that is never acknowledged may count or not.
    pub(super) fn send(&self, partition: i32, offset: i64) -> usize {
        self.with(partition, |known| {
            let number = known.sent.len();
            known.sent.push(offset);
            known.possible.push(Commit { number, offset, acknowledged_at: None });
            number
        })
    }

    /// Notes that a commit was acknowledged.
    pub(super) fn acknowledge(&self, partition: i32, number: usize) {
        self.with(partition, |known| known.confirm(number, self.clients));
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn expected(&self, partition: i32) -> Expected {
        self.with(partition, |known| Expected {
            offsets: known.possible.iter().map(|commit| commit.offset).collect(),
            sent: known.sent.len(),
        })
    }

    /// Notes a record that a member was given.
    pub(super) fn read(&self, partition: i32, offset: i64) {
        self.with(partition, |known| {
            let index = usize::try_from(offset).expect("an offset");
            if known.read.len() <= index {
                known.read.resize(index + 1, false);
            }
            known.read[index] = true;
        });
    }

    /// The first record that no member was given, if any.
    pub(super) fn missing(&self, ends: &[i64]) -> Option<(usize, usize)> {
        let partitions = self.partitions.lock().expect("no holder panicked");
        ends.iter().enumerate().find_map(|(partition, end)| {
            let read = &partitions[partition].read;
            let first = (0..*end as usize).find(|offset| !read.get(*offset).copied().unwrap_or(false))?;
            Some((partition, first))
        })
    }

    /// Takes an offset that the broker named when it was asked.
    fn told(&self, partition: i32, committed: i64, expected: &Expected) {
        let sent_since = self.with(partition, |known| known.sent[expected.sent..].contains(&committed));
        assert!(
            sent_since || expected.offsets.contains(&committed),
            "{}, partition {partition}: {committed} is committed, expected one of {:?}",
            self.name,
            expected.offsets
        );
        self.with(partition, |known| {
            let found = known.possible.iter().find(|commit| commit.offset == committed);
            if let Some(number) = found.map(|commit| commit.number) {
                known.confirm(number, self.clients);
            }
        });
    }

    /// Asks a broker that was just started, while the clients go on.
    pub(super) fn compare(&self, broker: &Broker) {
        let expected: Vec<Expected> = (0..PARTITIONS).map(|partition| self.expected(partition)).collect();
        let mut wire = Wire::connect(broker.address());
        let request = fetch_request(self.name);
        let committed = eventually("committed offsets", PATIENCE, || {
            committed(&ask(&mut wire, OFFSET_FETCH_VERSION, &request))
        });
        for (partition, committed) in committed {
            self.told(partition, committed, &expected[partition as usize]);
        }
    }
}

fn fetch_request(group: &'static str) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(name(TOPIC))
        .with_partition_indexes((0..PARTITIONS).collect());
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_static_str(group)))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group])
}

/// Partitions with their committed offsets, -1 for none; nothing while the coordinator loads.
fn committed(response: &kafka_protocol::messages::OffsetFetchResponse) -> Option<Vec<(i32, i64)>> {
    let [group] = &response.groups[..] else { panic!("one group: {response:?}") };
    if group.error_code == COORDINATOR_LOAD_IN_PROGRESS {
        return None;
    }
    assert_eq!(group.error_code, 0, "{response:?}");
    let [topic] = &group.topics[..] else { panic!("one topic: {response:?}") };
    let of = |partition: &kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions| {
        assert_eq!(partition.error_code, 0, "{response:?}");
        (partition.partition_index, partition.committed_offset)
    };
    Some(topic.partitions.iter().map(of).collect())
}
