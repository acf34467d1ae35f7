//! `corelog topic`, `corelog group` and `corelog config` against a broker, as a person uses them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::harness::broker::{Broker, Launch, temporary_directory};
use crate::harness::clients::{self, TestProducer};
use crate::harness::{PATIENCE, eventually};

fn corelog(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelog")).args(words).output().expect("the program runs")
}

/// Runs a command that must succeed; what it prints.
fn says(broker: &Broker, words: &[&str]) -> String {
    let output = corelog(&[words, &["--bootstrap-server", &broker.bootstrap()]].concat());
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command that must fail; what it prints to standard error.
fn refuses(broker: &Broker, words: &[&str]) -> String {
    let output = corelog(&[words, &["-b", &broker.bootstrap()]].concat());
    assert!(!output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn topics_are_changed() {
    let broker = Broker::start(2, &[]);
    assert_eq!(says(&broker, &["topic", "create", "t", "--partitions", "2"]), "topic t created\n");
    let more = says(&broker, &["topic", "add-partitions", "t", "--partitions", "3"]);
    assert_eq!(more, "topic t has 3 partitions\n");
    let refused = refuses(&broker, &["topic", "add-partitions", "t", "--partitions", "3"]);
    assert!(refused.contains("INVALID_PARTITIONS (Topic already has 3 partition(s).)"), "{refused}");

    let altered =
        says(&broker, &["topic", "alter", "t", "retention.ms=5000", "--append", "cleanup.policy=compact"]);
    assert_eq!(altered, "retention.ms changed\ncleanup.policy changed\n");
    let described = says(&broker, &["config", "describe", "topic", "t"]);
    assert_eq!(
        described,
        "cleanup.policy=delete,compact\tSource: DYNAMIC_TOPIC_CONFIG\n\
         retention.ms=5000\tSource: DYNAMIC_TOPIC_CONFIG\n"
    );
    says(
        &broker,
        &["topic", "alter", "t", "--delete", "retention.ms", "--subtract", "cleanup.policy=compact"],
    );
    let refused = refuses(&broker, &["topic", "alter", "t", "segment.bytes=1"]);
    assert!(refused.contains("Value must be at least 1048576"), "{refused}");
    assert!(refuses(&broker, &["topic", "alter", "t"]).contains("nothing to change"));

    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    (0..30).for_each(|number| _ = producer.send_value("t", number % 3, b"value"));
    producer.flush_ok();
    let trimmed = says(&broker, &["topic", "trim", "t", "--before", "4", "--partition", "1"]);
    assert_eq!(trimmed, "t-1 begins at 4\n");
    for option in ["--partition", "--partitions"] {
        let read = says(&broker, &["consume", "t", option, "1,2", "--format", "%p%o ", "--offset", "-1"]);
        assert_eq!(read, "19 29 ", "{option}");
    }
    let trimmed = says(&broker, &["topic", "trim", "t", "--before", "end"]);
    assert_eq!(trimmed, "t-0 begins at 10\nt-1 begins at 10\nt-2 begins at 10\n");
    assert_eq!(clients::watermarks(&broker.bootstrap(), "t", 2), (10, 10));
    assert!(refuses(&broker, &["topic", "trim", "t", "--before", "11"]).contains("OFFSET_OUT_OF_RANGE"));
    assert!(refuses(&broker, &["topic", "trim", "t", "--before", "soon"]).contains("'soon' is no offset"));
}

#[test]
fn topics_are_shown_with_the_directory_of_each_partition() {
    let mut broker = Broker::start(2, &[]);
    says(&broker, &["topic", "create", "t", "u", "--partitions", "4"]);
    let shard_of = |partition: i32| {
        let has_it = |shard: &&str| broker.data().join(shard).join(format!("t-{partition}")).is_dir();
        ["shard-00", "shard-01"].into_iter().find(has_it)
    };
    let shards: Vec<_> = eventually("the logs are there", PATIENCE, || (0..4).map(shard_of).collect());
    assert!(shards.contains(&"shard-00") && shards.contains(&"shard-01"), "{shards:?}");
    let path = |shard: &str| broker.data().join(shard).to_str().expect("UTF-8").to_owned();
    let described = says(&broker, &["topic", "describe", "t"]);
    let lines: Vec<_> = described.lines().collect();
    assert_eq!(lines.len(), 5, "{described}");
    for (partition, shard) in shards.iter().enumerate() {
        let expected = format!(
            "\tTopic: t\tPartition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1\tLogDir: {}",
            path(shard)
        );
        assert_eq!(lines[1 + partition], expected);
    }
    let described = says(&broker, &["topic", "describe", "--json"]);
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described[0]["partitions"][3]["log_dirs"], serde_json::json!([path(shards[3])]));
    assert_eq!(described[1]["name"], "u");

    // Directories outlive the number of shards.
    broker.stop();
    broker.restart_with(|launch| launch.with("corelog.shards", "1"));
    let again = says(&broker, &["topic", "describe", "t"]);
    assert!(again.lines().skip(1).eq(lines[1..].iter().copied()), "{again}");
}

#[test]
fn brokers_and_groups_are_configured() {
    let broker = Broker::start(1, &[]);
    let altered = says(&broker, &["config", "alter", "broker", "all", "log.retention.ms=60000"]);
    assert_eq!(altered, "log.retention.ms changed\n");
    let all = says(&broker, &["config", "describe", "broker"]);
    assert_eq!(all, "log.retention.ms=60000\tSource: DYNAMIC_DEFAULT_BROKER_CONFIG\n");
    let own = says(&broker, &["config", "describe", "broker", "1", "--json"]);
    let own: serde_json::Value = serde_json::from_str(&own).expect("JSON");
    let retention = own.as_array().expect("a list").iter().find(|of| of["name"] == "log.retention.ms");
    assert_eq!(retention.expect("the key")["source"], "DYNAMIC_DEFAULT_BROKER_CONFIG");
    let validated = says(
        &broker,
        &["config", "alter", "group", "g", "share.auto.offset.reset=earliest", "--validate-only"],
    );
    assert_eq!(validated, "share.auto.offset.reset could be changed\n");
    let all = says(&broker, &["config", "describe", "group", "g", "--all"]);
    assert!(all.contains("share.auto.offset.reset=latest\tSource: DEFAULT_CONFIG\n"), "{all}");
    let refused = refuses(&broker, &["config", "alter", "broker", "1", "num.partitions=3"]);
    assert!(refused.contains("Cannot update these configs dynamically: [num.partitions]"), "{refused}");
}

#[test]
fn a_group_that_is_not_there_is_not_made_by_a_wrong_name() {
    let broker = Broker::start(1, &[]);
    says(&broker, &["topic", "create", "t", "--partitions", "1"]);
    let seek = ["group", "seek", "reader", "--topic", "t", "--to", "start"];
    for words in [&seek[..], &[&seek[..], &["--execute"]].concat()] {
        let refused = refuses(&broker, words);
        assert!(refused.contains("group reader is not there") && refused.contains("--create"), "{refused}");
    }
    assert_eq!(says(&broker, &["group", "list"]), "");
    let created = says(&broker, &[&seek[..], &["--create", "--execute"]].concat());
    assert_eq!(created, "Topic: t\tPartition: 0\tFrom: -\tTo: 0\n");
    assert_eq!(says(&broker, &["group", "list"]), "Group: reader\tState: Empty\n");
    says(&broker, &[&seek[..], &["--execute"]].concat());
}

#[test]
fn a_key_that_nothing_obeys_is_told() {
    let broker = Broker::start(1, &[]);
    says(&broker, &["topic", "create", "t", "--partitions", "1"]);
    let refused = refuses(&broker, &["config", "alter", "topic", "t", "retention.mss=1"]);
    assert!(
        refused.contains("INVALID_CONFIG") && refused.contains("did you mean retention.ms?"),
        "{refused}"
    );
    // What the broker takes, as Kafka does.
    for words in [
        ["config", "alter", "broker", "all", "log.retention.mss=1"].as_slice(),
        &["config", "alter", "broker", "1", "log.retention.mss=1", "--validate-only"],
        &["config", "alter", "broker", "all", "--delete", "log.retention.mss"],
        &["topic", "alter", "t", "--delete", "retention.mss"],
    ] {
        let output = corelog(&[words, &["-b", &broker.bootstrap()]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("unknown key"), "{words:?}: {told}");
        assert!(told.contains("retention.ms?"), "{words:?}: {told}");
    }
    let known =
        corelog(&["config", "alter", "broker", "all", "log.retention.ms=1", "-b", &broker.bootstrap()]);
    assert_eq!(String::from_utf8_lossy(&known.stderr), "");
}

#[test]
fn an_offset_outside_of_the_log_is_told() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    (0..10).for_each(|number| _ = producer.send_value("t", 0, number.to_string().as_bytes()));
    producer.flush_ok();
    says(&broker, &["topic", "trim", "t", "--before", "4"]);
    let consumed = |offset: &str, more: &[&str]| {
        let bootstrap = broker.bootstrap();
        let words = ["consume", "t", "--offset", offset, "--format", "%v ", "-b", &bootstrap];
        let output = corelog(&[&words, more].concat());
        let [read, told] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        assert!(output.status.success(), "{offset}: {told}");
        (read, told)
    };
    let told = |named: &str, next: &str| {
        format!(
            "t-0: offset {named} is not there, the log begins at 4 and ends at 10; reading begins at {next}\n"
        )
    };
    let nothing = String::new();
    assert_eq!(consumed("11", &[]), (nothing.clone(), told("11", "10")));
    assert_eq!(consumed("1", &["-n", "2"]), ("4 5 ".to_owned(), told("1", "4")));
    assert_eq!(consumed("10", &[]), (nothing.clone(), nothing.clone()));
    assert_eq!(consumed("-100", &["-n", "1"]), ("4 ".to_owned(), nothing));
    // Who waits for more waits at the end.
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_corelog"))
        .args(["consume", "t", "--offset", "50", "--follow", "-n", "1", "-b", &broker.bootstrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let mut stderr = BufReader::new(waiting.stderr.take().expect("a pipe"));
    stderr.read_line(&mut line).expect("a line");
    assert_eq!(line, told("50", "10"));
    producer.send_value("t", 0, b"late");
    producer.flush_ok();
    let output = waiting.wait_with_output().expect("the program runs");
    assert!(output.status.success() && output.stdout == b"late\n", "{output:?}");
}

#[test]
fn a_log_directory_that_cannot_be_made_is_named() {
    let directory = temporary_directory();
    let file = directory.path().join("file");
    fs::write(&file, "no directory").expect("a file");
    let (code, output) = Launch::new(&file.join("data"), &directory.path().join("log")).fails();
    assert_eq!(code, Some(1));
    assert!(output.contains("cannot create the log directory"), "{output}");
    assert!(!output.contains("cannot lock"), "{output}");
}

#[test]
fn a_dump_of_a_file_that_is_not_there_prints_the_error_only() {
    let output = corelog(&["log", "dump", "/no/such/00000000000000000000.log"]);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"));
}
