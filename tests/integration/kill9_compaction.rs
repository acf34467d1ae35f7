//! The broker is killed in the middle of compactions, at a moment that its files show: the contents are right
//! each time.
//!
//! `CORELOG_KILL_ROUNDS` sets the number of kills (6 by default: one at each stage), `CORELOG_TEST_SEED`
//! keys, values and moments.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelog::types::Prng;

use crate::compaction::{EAGER, count_of, files, read_all, send, until};
use crate::harness::PATIENCE;
use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};

const TOPIC: &str = "killed";

/// Keys that are written again and again.
const KEYS: u64 = 40;

/// One record of so many has a key of its own: no later record hides its loss.
const ONE_KEPT_OF: u64 = 20;

/// Records that a producer queues between two pauses of [`PAUSE`].
const BURST: usize = 30;
const PAUSE: Duration = Duration::from_millis(4);

/// Records that wait for their acknowledgement at most: less than librdkafka's queue takes.
const UNACKNOWLEDGED_MAX: usize = 5_000;

/// Records that a round produces at least, most of them before the kill.
const RECORDS_OF_ROUND: usize = 600;

/// The broker runs at most so long between two looks at its files.
const STRIDE_MICROS_MAX: u64 = 500;

/// More than the records in a segment: those of the active one are not compacted.
const RECORDS_OF_SEGMENT_MAX: usize = 500;

/// Small segments, so that many are closed, and compactions come one upon the other.
const CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "30000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("file.delete.delay.ms", "0"),
];

/// How far a compaction is, as the names of the files tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A new segment is being written.
    Writing,
    /// Its indexes are, too.
    Indexing,
    /// It is whole, and some of its files are about to replace the old ones.
    Committing,
    /// All of them are.
    Committed,
    /// The first of the old segments is out of the way.
    OldGone,
    /// The new segment has its name, its indexes have not.
    Naming,
}

const STAGES: [Stage; 6] =
    [Stage::Writing, Stage::Indexing, Stage::Committing, Stage::Committed, Stage::OldGone, Stage::Naming];

impl Stage {
    /// The stage of the compaction under way, if there is one.
    fn of(names: &BTreeSet<String>) -> Option<Self> {
        let ending = |ending: &str| names.iter().find_map(|name| name.strip_suffix(ending));
        let is_cleaned = ending(".log.cleaned").is_some();
        let is_indexed = ending("index.cleaned").is_some();
        match (ending(".log.swap"), is_indexed) {
            (None, false) if is_cleaned => Some(Self::Writing),
            (None, true) => Some(Self::Indexing),
            (None, false) => ending("index.swap").map(|_| Self::Naming),
            (Some(_), true) => Some(Self::Committing),
            (Some(base), false) if names.contains(&format!("{base}.log")) => Some(Self::Committed),
            (Some(_), false) => Some(Self::OldGone),
        }
    }
}

/// What the topic has to hold: of each key the last value and its offset.
#[derive(Default)]
struct Ledger {
    last: BTreeMap<String, (i64, String)>,
    end: i64,
}

impl Ledger {
    /// Produces until told to stop, over the end of the broker. Every offset is given once.
    fn produce(&mut self, bootstrap: &str, prng: &mut Prng, round: u64, stop: &AtomicBool) {
        let settings = [("batch.size", "2000"), ("enable.idempotence", "true"), ("retry.backoff.ms", "20")];
        let mut producer = TestProducer::new(bootstrap, &settings);
        let mut sent = Vec::new();
        while sent.len() < RECORDS_OF_ROUND || !stop.load(Ordering::Relaxed) {
            for _ in 0..BURST {
                let key = match prng.chance(1, ONE_KEPT_OF) {
                    true => format!("kept-{round}-{}", sent.len()),
                    false => format!("key-{}", prng.below(KEYS)),
                };
                let value = format!("{round}-{}-{}", sent.len(), "x".repeat(prng.below(400) as usize));
                send(&mut producer, TOPIC, &key, Some(&value));
                sent.push((key, value));
            }
            producer.wait_for_deliveries(sent.len().saturating_sub(UNACKNOWLEDGED_MAX));
            thread::sleep(PAUSE);
        }
        let taken = producer.flush_ok();
        for (number, (key, value)) in sent.into_iter().enumerate() {
            let (_, offset) = taken[&number];
            assert_eq!(offset, self.end, "record {number} of round {round}: none twice, none left out");
            self.end += 1;
            self.last.insert(key, (offset, value));
        }
    }

    /// Compares with what the broker has.
    fn verify(&self, bootstrap: &str, what: &str) {
        assert_eq!(clients::watermarks(bootstrap, TOPIC, 0), (0, self.end), "{what}");
        let seen = read_all(bootstrap, TOPIC);
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "{what}: offsets grow");
        let value = |value: Option<String>| value.expect("no record is a tombstone");
        let found: BTreeMap<_, _> =
            seen.into_iter().map(|(offset, key, found)| (key, (offset, value(found)))).collect();
        for (key, last) in &self.last {
            assert_eq!(found.get(key), Some(last), "{what}: {key}");
        }
        assert_eq!(found.len(), self.last.len(), "{what}: no other keys");
    }
}

/// Lets the broker run for moments until a compaction is at this stage, and leaves it standing there.
fn freeze_at(broker: &Broker, stage: Stage, prng: &mut Prng) {
    let began = Instant::now();
    loop {
        broker.freeze();
        let name = |path: std::path::PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        let names: BTreeSet<String> = files(broker, TOPIC).into_iter().filter_map(name).collect();
        let found = Stage::of(&names);
        if found == Some(stage) {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "no compaction is {stage:?} within {PATIENCE:?}; last: {names:?}"
        );
        broker.thaw();
        // Some stages last microseconds: the nearer one is, the shorter the stride.
        let stride = if found.is_some() { STRIDE_MICROS_MAX / 10 } else { STRIDE_MICROS_MAX };
        thread::sleep(Duration::from_micros(prng.below(stride)));
    }
}

#[test]
fn compaction_survives_kills() {
    let rounds: u64 = env::var("CORELOG_KILL_ROUNDS").map_or(6, |rounds| rounds.parse().expect("a number"));
    let seed = env::var("CORELOG_TEST_SEED").map_or(20_261_121, |seed| seed.parse().expect("a number"));
    eprintln!("{rounds} rounds; repeat with CORELOG_TEST_SEED={seed}");
    let mut prng = Prng::new(seed);
    let mut broker = Broker::start(2, EAGER);
    let bootstrap = broker.bootstrap();
    clients::create_topic(&bootstrap, TOPIC, 1, CONFIGS);
    let mut ledger = Ledger::default();
    for round in 0..rounds {
        let stage = STAGES[round as usize % STAGES.len()];
        let stop = AtomicBool::new(false);
        let mut moments = Prng::new(prng.next_u64());
        thread::scope(|scope| {
            let stop_at_end = StopAtEnd(&stop);
            let producing = scope.spawn(|| ledger.produce(&bootstrap, &mut prng, round, &stop));
            freeze_at(&broker, stage, &mut moments);
            broker.kill();
            broker.restart();
            drop(stop_at_end);
            producing.join().expect("the producer did not panic");
        });
        ledger.verify(&bootstrap, &format!("round {round}, killed while {stage:?}"));
    }
    until("the rest is compacted", || {
        read_all(&bootstrap, TOPIC).len() < ledger.last.len() + RECORDS_OF_SEGMENT_MAX
    });
    ledger.verify(&bootstrap, "at the end");
    let log = broker.output();
    assert!(!log.contains("ERROR"), "{log}");
    until("no file of a compaction is left", || {
        [".cleaned", ".swap"].iter().all(|ending| count_of(&broker, TOPIC, ending) == 0)
    });
    eprintln!("{} records of {} keys over {rounds} kills, all right", ledger.end, ledger.last.len());
}

/// Tells the producer to stop when it goes out of scope.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
