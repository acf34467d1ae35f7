//! The broker is killed or stopped again and again while groups rebalance and commit: an acknowledged commit
//! never goes back, no record is skipped, and groups go on by themselves.
//!
//! Members of librdkafka come and go in groups of both protocols (`members`); clients on the raw wire commit
//! as fast as they are answered, and hold the broker to every generation and epoch that it gave (`storms`).
//!
//! `CORELOG_KILL_ROUNDS` sets the number of rounds (3 by default), `CORELOG_TEST_SEED` the moments.

mod ledger;
mod members;
mod storms;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelog::types::Prng;

use ledger::{Clients, Ledger};
use members::Phase;

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::eventually;

const TOPIC: &str = "shared";
const PARTITIONS: i32 = 6;

/// Members of each group that come and go.
const MEMBERS: usize = 3;

/// Acknowledged commits that each group must see after a start before the broker may be killed again.
const PROGRESS: u64 = 5;

/// The time that a group may take: several members whose good-bye was lost may have to be waited for.
const GROUP_PATIENCE: Duration = Duration::from_secs(120);

/// Silence after which a member whose good-bye was lost is taken for gone.
const SESSION_MS: &str = "3000";

const QUICK: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    // The member that no rebalance may cost its epoch is not to be lost to a busy machine either.
    ("group.consumer.session.timeout.ms", "10000"),
    ("group.consumer.min.heartbeat.interval.ms", "100"),
    ("group.consumer.heartbeat.interval.ms", "200"),
    ("group.consumer.assignment.interval.ms", "0"),
    // The topic of the groups is compacted meanwhile.
    ("offsets.topic.segment.bytes", "1048576"),
    ("log.roll.ms", "1000"),
    ("log.cleaner.backoff.ms", "50"),
    ("log.flush.offset.checkpoint.interval.ms", "20"),
];

/// The groups of librdkafka's members, with their settings.
const GROUPS: [(&str, &[(&str, &str)]); 3] = [
    ("eager", &[("partition.assignment.strategy", "range"), ("session.timeout.ms", SESSION_MS)]),
    (
        "cooperative",
        &[("partition.assignment.strategy", "cooperative-sticky"), ("session.timeout.ms", SESSION_MS)],
    ),
    ("consumer", &[("group.protocol", "consumer")]),
];

/// Tells the clients to stop when it goes out of scope: a panic must not leave the scope waiting for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn torture(shards: usize, settings: &[(&str, &str)]) {
    let rounds: u64 = env::var("CORELOG_KILL_ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number"));
    let seed: u64 = env::var("CORELOG_TEST_SEED").map_or(20_261_121, |seed| seed.parse().expect("a number"));
    eprintln!("{rounds} rounds, {shards} shards; repeat with CORELOG_TEST_SEED={seed}");
    let mut prng = Prng::new(seed ^ shards as u64);
    let mut broker = Broker::start(shards, &[QUICK, settings].concat());
    let bootstrap = broker.bootstrap();
    clients::create_topic(&bootstrap, TOPIC, PARTITIONS, &[]);

    let groups: Vec<Ledger> = GROUPS.iter().map(|(name, _)| Ledger::new(name, Clients::Many)).collect();
    let storms: Vec<Ledger> = storms::NAMES.iter().map(|name| Ledger::new(name, Clients::One)).collect();
    let ledgers: Vec<&Ledger> = groups.iter().chain(&storms).collect();
    let (phase, stop_producing) = (Phase::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let producer = scope.spawn(|| produce_until(&bootstrap, &stop_producing));
        let mut clients = Vec::new();
        for (ledger, (_, settings)) in groups.iter().zip(GROUPS) {
            for _ in 0..MEMBERS {
                let (prng, bootstrap, phase) = (Prng::new(prng.next_u64()), &bootstrap, &phase);
                clients.push(scope.spawn(move || members::run(bootstrap, settings, ledger, prng, phase)));
            }
        }
        for (ledger, storm) in storms.iter().zip(storms::ALL) {
            let (address, phase) = (broker.address(), &phase);
            clients.push(scope.spawn(move || storm(address, ledger, phase)));
        }
        let stop_all = (StopAtEnd(&phase.is_over), StopAtEnd(&stop_producing));
        let mut resumed = Vec::new();
        for round in 0..rounds {
            await_progress(&format!("round {round}"), &ledgers, &mut resumed, || {
                assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up, see above");
            });
            thread::sleep(Duration::from_millis(prng.below(400)));
            end_and_restart(&mut broker, &mut prng);
            ledgers.iter().for_each(|ledger| ledger.compare(&broker));
        }
        drop(stop_all.1);
        producer.join().expect("the producer did not panic");
        phase.settles.store(true, Ordering::Relaxed);
        let ends: Vec<i64> =
            (0..PARTITIONS).map(|partition| clients::watermarks(&bootstrap, TOPIC, partition).1).collect();
        for group in &groups {
            eventually(&format!("{} has read everything", group.name()), GROUP_PATIENCE, || {
                group.missing(&ends).is_none().then_some(())
            });
        }
        drop(stop_all.0);
        clients.into_iter().for_each(|client| client.join().expect("the client did not panic"));
        report(&mut resumed);
    });
    broker.kill();
    broker.restart();
    ledgers.iter().for_each(|ledger| ledger.compare(&broker));
    let counts: Vec<_> = ledgers.iter().map(|ledger| (ledger.name(), ledger.commits())).collect();
    eprintln!("acknowledged commits over {rounds} rounds: {counts:?}, none went back");
    let log = broker.output();
    assert!(!log.contains("ERROR"), "{log}");
}

/// Three of four ends are kills; some come again before anyone is served.
fn end_and_restart(broker: &mut Broker, prng: &mut Prng) {
    match prng.below(4) {
        0 => broker.stop(),
        _ => broker.kill(),
    }
    broker.restart();
    if prng.chance(1, 4) {
        thread::sleep(Duration::from_millis(prng.below(50)));
        broker.kill();
        broker.restart();
    }
}

/// Waits until every group has had commits acknowledged; notes how long each took.
fn await_progress(
    what: &str,
    ledgers: &[&Ledger],
    resumed: &mut Vec<(&'static str, Duration)>,
    check: impl Fn(),
) {
    let began = Instant::now();
    let before: Vec<u64> = ledgers.iter().map(|ledger| ledger.commits()).collect();
    let mut waiting: Vec<usize> = (0..ledgers.len()).collect();
    eventually(&format!("{what}: every group commits"), GROUP_PATIENCE, || {
        check();
        waiting.retain(|&index| {
            let is_on = before[index] + PROGRESS <= ledgers[index].commits();
            if is_on {
                resumed.push((ledgers[index].name(), began.elapsed()));
            }
            !is_on
        });
        waiting.is_empty().then_some(())
    });
}

/// How long after a start groups went on.
fn report(resumed: &mut Vec<(&'static str, Duration)>) {
    resumed.sort_unstable();
    for of_group in resumed.chunk_by(|one, other| one.0 == other.0) {
        let [(name, _), ..] = of_group else { continue };
        let (median, max) = (of_group[of_group.len() / 2].1, of_group[of_group.len() - 1].1);
        eprintln!("{name}: {PROGRESS} commits after a start within {median:?} (median), {max:?} (most)");
    }
}

fn produce_until(bootstrap: &str, stop: &AtomicBool) {
    const PAUSE: Duration = Duration::from_millis(20);
    let settings =
        [("enable.idempotence", "true"), ("message.timeout.ms", "300000"), ("retry.backoff.ms", "20")];
    let mut producer = TestProducer::new(bootstrap, &settings);
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for partition in 0..PARTITIONS {
            producer.send_value(TOPIC, partition, format!("{sent}").as_bytes());
            sent += 1;
        }
        thread::sleep(PAUSE);
    }
    producer.flush_ok();
}

#[test]
fn one_shard_forgets_no_commit() {
    torture(1, &[("corelog.journal.enable", "false")]);
}

#[test]
fn two_shards_with_journals_forget_no_commit() {
    torture(2, &[("corelog.journal.enable", "true"), ("corelog.journal.bytes", "4194304")]);
}
