//! Three partitions against groups of one, three and five members, of which some are killed.
//!
//! Each member is librdkafka in a process of its own, since only a process dies without a good-bye: this
//! program again, running the test [`a_member_reads_everything_and_commits`] with its settings in the
//! environment. A member prints what it owns, and what it reads before it commits, so that nothing it did is
//! lost with it.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::{PATIENCE, eventually};

/// Holds the settings of a member, `key=value` by lines, in a process that is one.
const SETTINGS: &str = "CORELOG_TEST_GROUP_MEMBER";

const PARTITIONS: i32 = 3;
const TOPIC: &str = "shared";

/// Keys of the broker that let a dead member be missed soon.
const SOON: [(&str, &str); 6] = [
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "3000"),
    ("group.consumer.min.heartbeat.interval.ms", "100"),
    ("group.consumer.heartbeat.interval.ms", "300"),
];

/// What every member of the classic protocol sets; the other protocol has it of the broker.
const CLASSIC: [(&str, &str); 2] = [("session.timeout.ms", "3000"), ("heartbeat.interval.ms", "300")];

/// A line that a member prints.
#[derive(Debug)]
enum Line {
    Owns(BTreeSet<i32>),
    Read(i32, i64),
}

impl Line {
    fn print(&self) {
        match self {
            Line::Owns(partitions) => {
                let words: Vec<String> = partitions.iter().map(i32::to_string).collect();
                println!("owns {}", words.join(" "));
            }
            Line::Read(partition, offset) => println!("read {partition} {offset}"),
        }
    }

    /// Nothing for what the test program around the member prints.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = words.next()?;
        let numbers: Result<Vec<i64>, _> = words.map(str::parse).collect();
        match (kind, numbers.ok()?.as_slice()) {
            ("owns", partitions) => {
                Some(Line::Owns(partitions.iter().map(|&number| number as i32).collect()))
            }
            ("read", &[partition, offset]) => Some(Line::Read(partition as i32, offset)),
            _ => None,
        }
    }
}

/// Polls, commits behind each record, and gives every line to `tell` before it goes on; until that is false.
fn consume(settings: &[(&str, &str)], mut tell: impl FnMut(Line) -> bool) -> BaseConsumer {
    let mut config = rdkafka::ClientConfig::new();
    settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
    let consumer: BaseConsumer = config.create().expect("the settings are right");
    consumer.subscribe(&[TOPIC]).expect("a subscription");
    let mut owned = BTreeSet::new();
    loop {
        let polled = consumer.poll(Duration::from_millis(20));
        let assignment = consumer.assignment().expect("an assignment");
        let owns: BTreeSet<i32> = assignment.elements().iter().map(|element| element.partition()).collect();
        if owns != owned {
            owned = owns;
            if !tell(Line::Owns(owned.clone())) {
                return consumer;
            }
        }
        // An error is for librdkafka to retry: what must not be missing is found missing in the end.
        let Some(Ok(message)) = polled else { continue };
        let goes_on = tell(Line::Read(message.partition(), message.offset()));
        let mut offsets = TopicPartitionList::new();
        let next = Offset::Offset(message.offset() + 1);
        offsets.add_partition_offset(TOPIC, message.partition(), next).expect("a right offset");
        // Refused during a rebalance: then the next owner reads the record again.
        _ = consumer.commit(&offsets, CommitMode::Sync);
        if !goes_on {
            drop(message);
            return consumer;
        }
    }
}

/// Settings that all members have.
fn common(bootstrap: &str, group: &str) -> Vec<(String, String)> {
    let settings = [
        ("bootstrap.servers", bootstrap),
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "50"),
        ("reconnect.backoff.max.ms", "200"),
        ("log_level", "0"),
    ];
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Is the member, in a process that a test below starts. Run by itself it is a group of one in this process.
#[test]
fn a_member_reads_everything_and_commits() {
    if let Ok(settings) = env::var(SETTINGS) {
        // The test has ended, however it did, when nobody holds the other end.
        thread::spawn(|| {
            _ = std::io::stdin().read_to_end(&mut Vec::new());
            process::exit(0);
        });
        let settings: Vec<(&str, &str)> = settings.lines().filter_map(|line| line.split_once('=')).collect();
        consume(&settings, |line| {
            line.print();
            true
        });
    }
    let broker = Broker::start(2, &SOON);
    clients::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS, &[]);
    let all = produce(&broker, 30, &BTreeSet::new());
    let settings = common(&broker.bootstrap(), "alone");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    let mut read = BTreeSet::new();
    let consumer = consume(&settings, |line| {
        if let Line::Read(partition, offset) = line {
            read.insert((partition, offset));
        }
        read != all
    });
    for partition in 0..PARTITIONS {
        assert_eq!(clients::committed(&consumer, TOPIC, partition), Offset::Offset(10));
    }
}

/// Produces to all partitions in turn and adds where the records are.
fn produce(broker: &Broker, records: i32, before: &BTreeSet<(i32, i64)>) -> BTreeSet<(i32, i64)> {
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    for record in 0..records {
        producer.send_value(TOPIC, record % PARTITIONS, b"value");
    }
    producer.flush_ok().into_values().chain(before.iter().copied()).collect()
}

/// What the members of a group have read, all together.
type Reads = Arc<Mutex<BTreeSet<(i32, i64)>>>;

/// A member in a process of its own; dropping it kills it.
struct Member {
    process: Child,
    owned: Arc<Mutex<BTreeSet<i32>>>,
}

impl Member {
    fn start(settings: &[(String, String)], reads: &Reads) -> Self {
        let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut process = Command::new(env::current_exe().expect("the path of the test program"))
            .args(["--exact", "killed_members::a_member_reads_everything_and_commits", "--nocapture"])
            .env(SETTINGS, lines.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test program starts");
        let owned = Arc::default();
        let output = process.stdout.take().expect("a pipe");
        thread::spawn({
            let (owned, reads) = (Arc::clone(&owned), Arc::clone(reads));
            move || Self::listen(output, &owned, &reads)
        });
        Self { process, owned }
    }

    /// Takes in what the member prints, for as long as it lives.
    fn listen(output: ChildStdout, owned: &Mutex<BTreeSet<i32>>, reads: &Mutex<BTreeSet<(i32, i64)>>) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match Line::parse(&line) {
                Some(Line::Owns(partitions)) => *owned.lock().expect("no thread panicked") = partitions,
                Some(Line::Read(partition, offset)) => {
                    reads.lock().expect("no thread panicked").insert((partition, offset));
                }
                None => {}
            }
        }
    }

    fn owned(&self) -> BTreeSet<i32> {
        self.owned.lock().expect("no thread panicked").clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// A group whose members die, and everything that was produced for it.
struct Group {
    broker: Broker,
    settings: Vec<(String, String)>,
    has_static_members: bool,
    members: Vec<Member>,
    joined: usize,
    produced: BTreeSet<(i32, i64)>,
    reads: Reads,
}

impl Group {
    fn new(settings: &[(&str, &str)]) -> Self {
        let broker = Broker::start(2, &SOON);
        clients::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS, &[]);
        let own = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = common(&broker.bootstrap(), "mortals").into_iter().chain(own).collect();
        let produced = BTreeSet::new();
        Self {
            broker,
            settings,
            has_static_members: false,
            members: vec![],
            joined: 0,
            produced,
            reads: Reads::default(),
        }
    }

    fn with_static_members(mut self) -> Self {
        self.has_static_members = true;
        self
    }

    fn produce(&mut self) {
        self.produced = produce(&self.broker, 60, &self.produced);
    }

    fn join(&mut self) {
        let mut settings = self.settings.clone();
        if self.has_static_members {
            settings.push(("group.instance.id".to_owned(), format!("instance-{}", self.joined)));
        }
        self.joined += 1;
        self.members.push(Member::start(&settings, &self.reads));
    }

    /// Kills the first member that owns a partition. In the middle of an eager rebalance nobody does: on a
    /// busy machine a live member is missed, too, and comes back.
    fn kill_an_owner(&mut self) {
        let owner = || self.members.iter().position(|member| !member.owned().is_empty());
        let owner = eventually("somebody owns a partition", PATIENCE, owner);
        self.members.remove(owner);
    }

    /// Waits until the members share the partitions as `sizes` says, and nobody's is another's.
    fn await_shares(&self, sizes: &[usize]) {
        let mut found = vec![];
        let what = format!("shares of {sizes:?}");
        eventually(&what, PATIENCE, || {
            found = self.members.iter().map(Member::owned).collect();
            let mut shares: Vec<usize> = found.iter().map(BTreeSet::len).collect();
            shares.sort_unstable();
            let all: BTreeSet<i32> = found.iter().flatten().copied().collect();
            (shares == sizes && all.len() == PARTITIONS as usize).then_some(())
        });
    }

    /// Waits until every record was read by somebody, and everything is committed.
    fn await_everything(&self) {
        let missing = || {
            let reads = self.reads.lock().expect("no thread panicked");
            self.produced.difference(&reads).copied().collect::<BTreeSet<_>>()
        };
        eventually("every record is read", PATIENCE, || missing().is_empty().then_some(()));
        let onlooker = clients::consumer(&self.broker.bootstrap(), &[("group.id", "mortals")]);
        for partition in 0..PARTITIONS {
            let (_, end) = clients::watermarks(&self.broker.bootstrap(), TOPIC, partition);
            eventually("the end is committed", PATIENCE, || {
                (clients::committed(&onlooker, TOPIC, partition) == Offset::Offset(end)).then_some(())
            });
        }
    }

    /// The story that all kinds of groups share: it grows to five, and then one after the other dies.
    fn lives_and_dies(mut self) {
        let growth: [(usize, &[usize]); 3] = [(1, &[3]), (3, &[1, 1, 1]), (5, &[0, 0, 1, 1, 1])];
        for (size, shares) in growth {
            while self.members.len() < size {
                self.join();
            }
            self.produce();
            self.await_shares(shares);
        }
        let decline: [&[usize]; 4] = [&[0, 1, 1, 1], &[1, 1, 1], &[1, 2], &[3]];
        for shares in decline {
            self.produce();
            self.kill_an_owner();
            self.produce();
            self.await_shares(shares);
        }
        self.await_everything();
    }
}

#[test]
fn eager_members_are_killed_and_nothing_is_skipped() {
    let strategy = ("partition.assignment.strategy", "range");
    Group::new(&[CLASSIC[0], CLASSIC[1], strategy]).lives_and_dies();
}

#[test]
fn cooperative_members_are_killed_and_nothing_is_skipped() {
    let strategy = ("partition.assignment.strategy", "cooperative-sticky");
    Group::new(&[CLASSIC[0], CLASSIC[1], strategy]).lives_and_dies();
}

#[test]
fn static_members_are_killed_and_nothing_is_skipped() {
    Group::new(&CLASSIC).with_static_members().lives_and_dies();
}

#[test]
fn members_of_the_consumer_protocol_are_killed_and_nothing_is_skipped() {
    Group::new(&[("group.protocol", "consumer")]).lives_and_dies();
}

#[test]
fn static_members_of_the_consumer_protocol_are_killed_and_nothing_is_skipped() {
    Group::new(&[("group.protocol", "consumer")]).with_static_members().lives_and_dies();
}
