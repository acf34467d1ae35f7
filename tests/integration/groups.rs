//! Consumer groups as librdkafka uses them: members share partitions, commit offsets and go on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, JoinGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::Wire;
use crate::harness::{PATIENCE, eventually};
use crate::versions::ask;

const MEMBER_ID_REQUIRED: i16 = 79;

/// Keys that make a test's groups quick.
const QUICK: [(&str, &str); 1] = [("group.initial.rebalance.delay.ms", "0")];

/// How often a member was given or took away partitions.
#[derive(Clone, Default)]
struct Rebalances(Arc<Mutex<Vec<String>>>);

impl Rebalances {
    fn count(&self) -> usize {
        self.0.lock().expect("no test thread panicked with the lock held").len()
    }
}

impl ClientContext for Rebalances {
    // The tests kill brokers; what librdkafka has to say about that is noise.
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.0.lock().expect("no test thread panicked with the lock held").push(format!("{rebalance:?}"));
    }
}

fn group_id(name: &'static str) -> GroupId {
    GroupId(StrBytes::from_static_str(name))
}

/// A member of a group.
struct Member {
    consumer: BaseConsumer<Rebalances>,
    rebalances: Rebalances,
}

impl Member {
    fn join(bootstrap: &str, group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let rebalances = Rebalances::default();
        let mut config = clients::config(bootstrap);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200")
            .set("fetch.wait.max.ms", "50");
        settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        let consumer: BaseConsumer<_> =
            config.create_with_context(rebalances.clone()).expect("the settings are right");
        consumer.subscribe(&[topic]).expect("a subscription");
        Self { consumer, rebalances }
    }

    /// The partitions it owns now.
    fn owned(&self) -> BTreeSet<i32> {
        let assignment = self.consumer.assignment().expect("an assignment");
        assignment.elements().iter().map(|element| element.partition()).collect()
    }

    /// Polls once, which also serves rebalances.
    fn poll(&self) -> Option<(i32, i64)> {
        let polled = self.consumer.poll(Duration::from_millis(10))?;
        let message = polled.unwrap_or_else(|error| panic!("consuming: {error}"));
        Some((message.partition(), message.offset()))
    }

    /// Reads this many records and commits behind them.
    fn read_and_commit(&self, count: usize) -> BTreeSet<(i32, i64)> {
        let mut read = BTreeSet::new();
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        eventually("records of the group", PATIENCE, || {
            if let Some((partition, offset)) = self.poll() {
                read.insert((partition, offset));
                next.insert(partition, offset + 1);
            }
            (count <= read.len()).then_some(())
        });
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets
                .add_partition_offset("shared", partition, Offset::Offset(offset))
                .expect("a right offset");
        }
        self.consumer.commit(&offsets, CommitMode::Sync).expect("the commit is taken");
        read
    }

    /// What the group has committed for these partitions.
    fn committed(&self, partitions: i32) -> BTreeMap<i32, Offset> {
        let mut asked = TopicPartitionList::new();
        for partition in 0..partitions {
            asked.add_partition("shared", partition);
        }
        let found = self.consumer.committed_offsets(asked, PATIENCE).expect("the committed offsets");
        found.elements().iter().map(|element| (element.partition(), element.offset())).collect()
    }
}

/// Polls all members until they share the partitions as `sizes` says, and nobody's is another's.
fn await_shares(members: &[&Member], partitions: i32, sizes: &[usize]) {
    let mut wanted = sizes.to_vec();
    wanted.sort_unstable();
    let mut shares = Vec::new();
    let is_shared = || {
        members.iter().for_each(|member| _ = member.poll());
        shares = members.iter().map(|member| member.owned()).collect::<Vec<_>>();
        let mut found: Vec<_> = shares.iter().map(BTreeSet::len).collect();
        found.sort_unstable();
        let all: BTreeSet<i32> = shares.iter().flatten().copied().collect();
        (found == wanted && all == (0..partitions).collect()).then_some(())
    };
    eventually("shares of the group", PATIENCE, is_shared);
}

fn fill(broker: &Broker, partitions: i32, records: usize) {
    clients::create_topic(&broker.bootstrap(), "shared", partitions, &[]);
    produce(broker, partitions, records);
}

fn produce(broker: &Broker, partitions: i32, records: usize) {
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    for record in 0..records {
        producer.send_value("shared", record as i32 % partitions, format!("{record}").as_bytes());
    }
    producer.flush_ok();
}

#[test]
fn a_group_commits_and_goes_on_after_stop_and_kill() {
    let mut broker = Broker::start(2, &QUICK);
    fill(&broker, 3, 30);
    let member = Member::join(&broker.bootstrap(), "resuming", "shared", &[]);
    let first = member.read_and_commit(30);
    assert_eq!(first.len(), 30);
    drop(member);

    broker.stop();
    broker.restart();
    produce(&broker, 3, 9);
    let member = Member::join(&broker.bootstrap(), "resuming", "shared", &[]);
    let second = member.read_and_commit(9);
    assert!(second.iter().all(|(_, offset)| *offset >= 10), "nothing is read twice: {second:?}");
    drop(member);

    broker.kill();
    broker.restart();
    let member = Member::join(&broker.bootstrap(), "resuming", "shared", &[]);
    assert!(member.committed(3).values().all(|offset| *offset == Offset::Offset(13)));
    produce(&broker, 3, 3);
    let third = member.read_and_commit(3);
    assert_eq!(third, (0..3).map(|partition| (partition, 13)).collect());
}

#[test]
fn members_share_the_partitions() {
    let broker = Broker::start(2, &QUICK);
    fill(&broker, 3, 3);
    let mut members: Vec<Member> = Vec::new();
    let join = || Member::join(&broker.bootstrap(), "sharing", "shared", &[]);
    for (size, shares) in [(1, vec![3]), (3, vec![1, 1, 1]), (5, vec![1, 1, 1, 0, 0])] {
        while members.len() < size {
            members.push(join());
        }
        await_shares(&members.iter().collect::<Vec<_>>(), 3, &shares);
    }
    // Two leave in order, and a third one with partitions.
    members.truncate(3);
    await_shares(&members.iter().collect::<Vec<_>>(), 3, &[1, 1, 1]);
    members.truncate(2);
    await_shares(&members.iter().collect::<Vec<_>>(), 3, &[1, 2]);
}

/// Joins a group as a member that has a share and then falls silent: no heartbeat, no good-bye.
fn join_and_die(broker: &Broker, group: &'static str) {
    let mut wire = Wire::connect(broker.address());
    let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x06shared\xff\xff\xff\xff");
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(subscription);
    let join = JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_session_timeout_ms(1_500)
        .with_rebalance_timeout_ms(30_000)
        .with_protocols(vec![protocol]);
    let given = ask(&mut wire, 9, &join);
    assert_eq!(given.error_code, MEMBER_ID_REQUIRED);
    let joined = ask(&mut wire, 9, &join.with_member_id(given.member_id.clone()));
    assert_eq!((joined.error_code, &joined.member_id), (0, &given.member_id));
    let sync = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id)
        .with_protocol_type(joined.protocol_type)
        .with_protocol_name(joined.protocol_name);
    let synced = ask(&mut wire, 5, &sync);
    assert_eq!(synced.error_code, 0);
    assert!(synced.assignment.windows(6).any(|found| found == b"shared"), "it has a share");
}

#[test]
fn the_partitions_of_a_dead_member_move() {
    let broker = Broker::start(2, &[QUICK[0], ("group.min.session.timeout.ms", "1000")]);
    fill(&broker, 3, 3);
    let survivor = Member::join(&broker.bootstrap(), "grieving", "shared", &[]);
    await_shares(&[&survivor], 3, &[3]);
    thread::scope(|scope| {
        let victim = scope.spawn(|| join_and_die(&broker, "grieving"));
        while !victim.is_finished() {
            survivor.poll();
        }
        victim.join().expect("the victim had its share");
    });
    await_shares(&[&survivor], 3, &[3]);
}

/// Who asks for the same thing again and again gets no answer of any length.
#[test]
fn a_group_that_is_named_again_is_described_once() {
    let broker = Broker::start(2, &QUICK);
    let mut wire = Wire::connect(broker.address());
    let coordinator =
        FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_static_str("talkative")]);
    eventually("a coordinator", PATIENCE, || {
        let found = ask(&mut wire, 4, &coordinator);
        (found.coordinators[0].error_code == 0).then_some(())
    });
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from(vec![b'x'; 900_000]));
    let join = JoinGroupRequest::default()
        .with_group_id(group_id("talkative"))
        .with_protocol_type(StrBytes::from_static_str("of-its-own"))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocols(vec![protocol]);
    let given = eventually("the coordinator is loaded", PATIENCE, || {
        let given = ask(&mut wire, 9, &join);
        (given.error_code == MEMBER_ID_REQUIRED).then_some(given)
    });
    let joined = ask(&mut wire, 9, &join.with_member_id(given.member_id));
    let sync = SyncGroupRequest::default()
        .with_group_id(group_id("talkative"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id)
        .with_protocol_type(joined.protocol_type)
        .with_protocol_name(joined.protocol_name);
    assert_eq!(ask(&mut wire, 5, &sync).error_code, 0);

    let describe = |times| DescribeGroupsRequest::default().with_groups(vec![group_id("talkative"); times]);
    assert_eq!(ask(&mut wire, 5, &describe(1)).groups[0].members[0].member_metadata.len(), 900_000);
    assert_eq!(ask(&mut wire, 5, &describe(2_500)).groups.len(), 1, "more than 2 GiB otherwise");
}

#[test]
fn a_stop_does_not_wait_for_members_to_come() {
    let mut broker = Broker::start(2, &[("group.initial.rebalance.delay.ms", "3600000")]);
    fill(&broker, 1, 1);
    let early = Member::join(&broker.bootstrap(), "patient", "shared", &[]);
    let mut wire = Wire::connect(broker.address());
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id("patient")]);
    eventually("the group prepares", PATIENCE, || {
        early.poll();
        let described = ask(&mut wire, 5, &request);
        (&*described.groups[0].group_state == "PreparingRebalance").then_some(())
    });
    let began = Instant::now();
    broker.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_topic_of_the_same_name_starts_from_nothing() {
    let broker = Broker::start(2, &QUICK);
    fill(&broker, 3, 9);
    let member = Member::join(&broker.bootstrap(), "forgetting", "shared", &[]);
    assert_eq!(member.read_and_commit(9).len(), 9);
    drop(member);
    assert_eq!(clients::delete_topic(&broker.bootstrap(), "shared"), Ok(()));
    fill(&broker, 3, 3);
    let member = Member::join(&broker.bootstrap(), "forgetting", "shared", &[]);
    assert!(member.committed(3).values().all(|offset| *offset == Offset::Invalid));
    assert_eq!(member.read_and_commit(3), (0..3).map(|partition| (partition, 0)).collect());
}

#[test]
fn cooperative_members_share_without_stopping_the_world() {
    let broker = Broker::start(2, &QUICK);
    fill(&broker, 6, 6);
    let settings = [("partition.assignment.strategy", "cooperative-sticky")];
    let first = Member::join(&broker.bootstrap(), "cooperating", "shared", &settings);
    await_shares(&[&first], 6, &[6]);
    let second = Member::join(&broker.bootstrap(), "cooperating", "shared", &settings);
    await_shares(&[&first, &second], 6, &[3, 3]);
    let third = Member::join(&broker.bootstrap(), "cooperating", "shared", &settings);
    await_shares(&[&first, &second, &third], 6, &[2, 2, 2]);
}

#[test]
fn a_static_member_restarts_without_a_rebalance() {
    let broker = Broker::start(2, &QUICK);
    fill(&broker, 4, 4);
    let join = |instance| {
        let settings = [("group.instance.id", instance), ("session.timeout.ms", "30000")];
        Member::join(&broker.bootstrap(), "steady", "shared", &settings)
    };
    let (first, second) = (join("one"), join("two"));
    await_shares(&[&first, &second], 4, &[2, 2]);
    let before = (first.owned(), second.owned());
    let rebalances = first.rebalances.count();
    // A static member does not say good-bye.
    drop(second);
    let second = join("two");
    await_shares(&[&first, &second], 4, &[2, 2]);
    assert_eq!((first.owned(), second.owned()), before);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        first.poll();
        second.poll();
        thread::yield_now();
    }
    assert_eq!(first.rebalances.count(), rebalances, "the other member has noticed nothing");
}

/// What `corelog group` prints; it must succeed.
fn group_command(broker: &Broker, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_corelog"))
        .arg("group")
        .args(arguments)
        .args(["--bootstrap", &broker.bootstrap()])
        .output()
        .expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_command_line_shows_and_moves_groups() {
    let broker = Broker::start(2, &QUICK);
    fill(&broker, 2, 10);
    let member = Member::join(&broker.bootstrap(), "shown", "shared", &[]);
    member.read_and_commit(10);
    let busy = group_command(&broker, &["describe", "shown"]);
    assert!(busy.starts_with("Group: shown\tState: Stable\tProtocol: range\tMembers: 1\n"), "{busy}");
    assert!(busy.contains("Topic: shared\tPartition: 1\tOffset: 5\tEnd: 5\tLag: 0\t"), "{busy}");
    drop(member);
    eventually("the member has left", PATIENCE, || {
        (group_command(&broker, &["list"]) == "Group: shown\tState: Empty\n").then_some(())
    });
    let planned = group_command(&broker, &["seek", "shown", "--topic", "shared", "--to", "2"]);
    let moved = |partition: i32, from: i64, to: i64| {
        format!("Topic: shared\tPartition: {partition}\tFrom: {from}\tTo: {to}\n")
    };
    let moves = moved(0, 5, 2) + &moved(1, 5, 2);
    assert_eq!(planned, format!("{moves}nothing is changed yet; --execute commits these offsets\n"));
    assert!(group_command(&broker, &["describe", "shown"]).contains("Partition: 1\tOffset: 5\t"));
    let seek = |words: &[&str]| group_command(&broker, &[&["seek", "shown", "--execute"], words].concat());
    assert_eq!(seek(&["--topic", "shared", "--to", "2"]), moves);
    assert_eq!(seek(&["--topic", "shared", "--partition", "1", "--to", "-1"]), moved(1, 2, 1));
    assert_eq!(seek(&["--topic", "shared", "--partition", "1", "--to", "+9"]), moved(1, 1, 5));
    let both = seek(&["--topic", "shared", "--partition", "1,0", "--to", "@1"]);
    assert_eq!(both, moved(1, 5, 0) + &moved(0, 2, 0));
    seek(&["--topic", "shared", "--partition", "0", "--to", "2"]);
    let plan = broker.directory().join("plan.csv");
    std::fs::write(&plan, "shared,1,2\n").expect("a file");
    assert_eq!(seek(&["--from-file", plan.to_str().expect("UTF-8")]), moved(1, 0, 2));
    let json = group_command(&broker, &["describe", "shown", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["state"], &json["offsets"][0]["lag"]), (&"Empty".into(), &3.into()));
    let member = Member::join(&broker.bootstrap(), "shown", "shared", &[]);
    assert_eq!(member.read_and_commit(6).first(), Some(&(0, 2)));
    drop(member);
    eventually("the member has left", PATIENCE, || {
        group_command(&broker, &["describe", "shown"]).contains("State: Empty").then_some(())
    });
    assert_eq!(group_command(&broker, &["delete", "shown"]), "group shown deleted\n");
    assert_eq!(group_command(&broker, &["list"]), "");
}
