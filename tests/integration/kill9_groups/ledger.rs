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

/// One partition of the topic, as the group knows it.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The greatest offset that was acknowledged, or told when asked. Below it nothing may be found again.
    floor: i64,
    /// The greatest offset that was sent.
    tried: i64,
    /// Which offsets were read.
    read: Vec<bool>,
}

/// See the module.
pub(super) struct Ledger {
    name: &'static str,
    partitions: Mutex<Vec<Known>>,
    commits: AtomicU64,
}

impl Ledger {
    pub(super) fn new(name: &'static str) -> Self {
        let partitions = Mutex::new(vec![Known::default(); PARTITIONS as usize]);
        Self { name, partitions, commits: AtomicU64::new(0) }
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

    /// Notes a commit about to be sent; returns below which offset it must not be acknowledged.
    pub(super) fn send(&self, partition: i32, offset: i64) -> i64 {
        self.with(partition, |known| {
            known.tried = known.tried.max(offset);
            known.floor
        })
    }

    /// Notes an acknowledged commit; `floor` is what [`send`](Self::send) returned for it.
    pub(super) fn acknowledge(&self, partition: i32, offset: i64, floor: i64) {
        let place = format!("{}, partition {partition}", self.name);
        assert!(floor <= offset, "{place}: {offset} was acknowledged after {floor}");
        self.with(partition, |known| known.floor = known.floor.max(offset));
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// The greatest offset that was acknowledged.
    pub(super) fn floor(&self, partition: i32) -> i64 {
        self.with(partition, |known| known.floor)
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

    /// Takes an offset that the broker named; `floor` was known before it was asked.
    pub(super) fn told(&self, partition: i32, committed: i64, floor: i64) {
        let place = format!("{}, partition {partition}", self.name);
        assert!(floor <= committed.max(0), "{place}: {floor} was acknowledged, now {committed} is committed");
        self.with(partition, |known| {
            assert!(committed <= known.tried, "{place}: {committed} was never sent, at most {}", known.tried);
            known.floor = known.floor.max(committed);
        });
    }

    /// Asks a broker that was just started, while the clients go on.
    pub(super) fn compare(&self, broker: &Broker) {
        let floors: Vec<i64> = (0..PARTITIONS).map(|partition| self.floor(partition)).collect();
        let mut wire = Wire::connect(broker.address());
        let request = fetch_request(self.name);
        let committed = eventually("committed offsets", PATIENCE, || {
            committed(&ask(&mut wire, OFFSET_FETCH_VERSION, &request))
        });
        for (partition, committed) in committed {
            self.told(partition, committed, floors[partition as usize]);
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
