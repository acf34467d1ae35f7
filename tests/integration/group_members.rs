//! Groups by the protocol of KIP-848, seen from the command line and from the wire.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, DescribeGroupsRequest, GroupId, TopicName, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::StrBytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::Wire;
use crate::harness::{PATIENCE, eventually};
use crate::versions::ask;

/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
const NOT_YET: [i16; 3] = [14, 15, 16];
const UNSUPPORTED_VERSION: i16 = 35;
const GROUP_ID_NOT_FOUND: i16 = 69;

/// Sends this many values to each of two partitions, numbered on from `first`.
fn fill(broker: &Broker, first: usize, count: usize) {
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    for number in first..first + count {
        for partition in 0..2 {
            producer.send_value("shared", partition, format!("{partition}-{number}").as_bytes());
        }
    }
    producer.flush_ok();
}

/// `corelog consume shared --group readers` as a process.
struct Member {
    process: Child,
    out: PathBuf,
    told: PathBuf,
}

impl Member {
    fn start(broker: &Broker, name: &str, words: &[&str]) -> Self {
        let (out, told) =
            (broker.directory().join(format!("{name}.out")), broker.directory().join(format!("{name}.err")));
        let process = Command::new(env!("CARGO_BIN_EXE_corelog"))
            .args(["consume", "shared", "--group", "readers", "--bootstrap", &broker.bootstrap()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&told).expect("a file"))
            .spawn()
            .expect("the program runs");
        Self { process, out, told }
    }

    /// What it has printed so far.
    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.out).expect("a file").lines().map(str::to_owned).collect()
    }

    /// Waits until the last it said of its partitions is this.
    fn reads(&self, partitions: &str) {
        let said = format!("group readers: reads partitions {partitions} of shared");
        eventually(&said, PATIENCE, || {
            let told = fs::read_to_string(&self.told).expect("a file");
            (told.lines().last() == Some(said.as_str())).then_some(())
        });
    }

    fn wait(mut self) -> Vec<String> {
        let status = self.process.wait().expect("the process is a child of ours");
        assert!(status.success(), "{status}: {}", fs::read_to_string(&self.told).expect("a file"));
        self.lines()
    }

    /// Presses Ctrl-C; what it has printed in all.
    fn interrupt(self) -> Vec<String> {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("it runs");
        self.wait()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A test that fails leaves nobody behind.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn describe(broker: &Broker) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_corelog"))
        .args(["group", "describe", "readers", "--json", "--bootstrap", &broker.bootstrap()])
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn members_on_the_command_line_share_a_topic_and_lose_nothing() {
    let broker = Broker::start(2, &[("group.consumer.assignment.interval.ms", "0")]);
    clients::create_topic(&broker.bootstrap(), "shared", 2, &[]);
    fill(&broker, 0, 5);
    let first = Member::start(&broker, "first", &[]);
    first.reads("0,1");
    eventually("all is read", PATIENCE, || (first.lines().len() == 10).then_some(()));

    // A second member gets a partition, which the first has committed and given up before.
    let second = Member::start(&broker, "second", &[]);
    eventually("both members have a partition", PATIENCE, || {
        let group = describe(&broker);
        let told = fs::read_to_string(&second.told).expect("a file");
        (group["members"].as_array().map(Vec::len) == Some(2) && told.contains("reads partitions 1 of"))
            .then_some(())
    });
    first.reads("0");
    fill(&broker, 5, 5);
    eventually("all is read", PATIENCE, || (first.lines().len() + second.lines().len() == 20).then_some(()));

    // The one that stays gets everything back at once.
    let from_first = first.interrupt();
    second.reads("0,1");
    fill(&broker, 10, 1);
    eventually("all is read", PATIENCE, || (from_first.len() + second.lines().len() == 22).then_some(()));
    let from_second = second.interrupt();
    let mut all: Vec<_> = from_first.into_iter().chain(from_second).collect();
    all.sort_unstable();
    let mut expected: Vec<_> =
        (0..2).flat_map(|partition| (0..11).map(move |number| format!("{partition}-{number}"))).collect();
    expected.sort_unstable();
    assert_eq!(all, expected, "every record once");

    let left = describe(&broker);
    assert_eq!((&left["state"], &left["offsets"][0]["lag"]), (&"Empty".into(), &0.into()));
    // A later member goes on from what was committed, and commits no more than it has printed.
    fill(&broker, 11, 3);
    let counted = Member::start(&broker, "counted", &["--count", "4"]).wait();
    assert_eq!(counted.len(), 4);
    let lags = describe(&broker)["offsets"].as_array().expect("a list").clone();
    assert_eq!(lags.iter().map(|of| of["lag"].as_i64().expect("a number")).sum::<i64>(), 2);
}

#[test]
fn the_broker_knows_how_far_groups_are_behind() {
    let broker = Broker::start(2, &[("corelog.group.lag.interval.ms", "50")]);
    clients::create_topic(&broker.bootstrap(), "shared", 2, &[]);
    fill(&broker, 0, 5);
    let seek = |offset: &str| {
        let words =
            ["group", "seek", "readers", "--create", "--execute", "-t", "shared", "-p", "1", "--to", offset];
        let output = Command::new(env!("CARGO_BIN_EXE_corelog"))
            .args(words)
            .args(["--bootstrap", &broker.bootstrap()])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let measured = || {
        let of = &describe(&broker)["offsets"][0];
        (of["measured_lag"].as_i64(), of["oldest_unread_ms"].as_i64())
    };
    seek("2");
    let (lag, age) = eventually("the lag is known", PATIENCE, || {
        Some(measured()).filter(|(lag, age)| lag.is_some() && age.is_some())
    });
    assert_eq!(lag, Some(3));
    assert!((0..600_000).contains(&age.expect("an age")), "{age:?} ms");
    eventually("the record gets older", PATIENCE, || (measured().1 > age).then_some(()));
    fill(&broker, 5, 1);
    eventually("new records count", PATIENCE, || (measured().0 == Some(4)).then_some(()));
    seek("end");
    eventually("nothing is left to read", PATIENCE, || (measured() == (Some(0), Some(0))).then_some(()));
}

fn update_group_version(wire: &mut Wire, level: i16, upgrade_type: i8) {
    let update = FeatureUpdateKey::default()
        .with_feature(StrBytes::from_static_str("group.version"))
        .with_max_version_level(level)
        .with_upgrade_type(upgrade_type);
    let updated = ask(wire, 1, &UpdateFeaturesRequest::default().with_feature_updates(vec![update]));
    assert_eq!(updated.error_code, 0, "{:?}", updated.error_message);
}

#[test]
fn the_protocol_comes_with_the_feature_and_without_a_restart() {
    const UPGRADE: i8 = 1;
    const SAFE_DOWNGRADE: i8 = 2;
    let mut broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "shared", 2, &[]);
    let group = || GroupId(StrBytes::from_static_str("readers"));
    let join = || {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(StrBytes::from_static_str("member-1"))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(StrBytes::from_static_str("shared"))]))
            .with_topic_partitions(Some(Vec::new()))
    };
    let mut wire = Wire::connect(broker.address());
    // As a cluster is that was formatted before there was the feature.
    update_group_version(&mut wire, 0, SAFE_DOWNGRADE);
    assert_eq!(ask(&mut wire, 1, &join()).error_code, UNSUPPORTED_VERSION);
    broker.stop();
    broker.restart();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(ask(&mut wire, 1, &join()).error_code, UNSUPPORTED_VERSION);

    update_group_version(&mut wire, 1, UPGRADE);
    // Whoever asks for a coordinator first has the topic of the groups created.
    let asker = clients::consumer(&broker.bootstrap(), &[("group.id", "first")]);
    clients::committed(&asker, "shared", 0);
    let joined = eventually("the coordinator is there", PATIENCE, || {
        let answer = ask(&mut wire, 1, &join());
        (!NOT_YET.contains(&answer.error_code)).then_some(answer)
    });
    assert_eq!((joined.error_code, joined.member_epoch > 0), (0, true), "{joined:?}");

    let described = ask(&mut wire, 6, &DescribeGroupsRequest::default().with_groups(vec![group()]));
    let found = &described.groups[0];
    let expected = StrBytes::from_static_str("Group readers is not a classic group.");
    assert_eq!((found.error_code, found.error_message.clone()), (GROUP_ID_NOT_FOUND, Some(expected)));
}
