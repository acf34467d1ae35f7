//! The broker is killed again and again under load; afterwards every acknowledged record is there exactly
//! once and in order.
//!
//! `CORELOG_KILL_ROUNDS` sets the number of kills (5 by default), `CORELOG_TEST_SEED` the moments they come
//! at, `CORELOG_TEST_RDKAFKA_DEBUG` librdkafka's debug contexts, such as `eos,msg`.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corelog::types::Prng;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::harness::broker::Broker;
use crate::harness::{PATIENCE, clients, eventually};

const TOPIC: &str = "torture";
const PARTITIONS: usize = 32;
const PRODUCERS: usize = 3;

/// Records that a producer queues between two pauses of [`PAUSE`]: bounds what has to be verified.
const BURST: usize = 30;
const PAUSE: Duration = Duration::from_millis(4);

/// Records that must be acknowledged after a start before the broker may be killed again.
const PROGRESS: u64 = 200;

/// Lines of librdkafka's log that a failed test prints.
const LINES_KEPT: usize = 60;

/// Where a record was sent and what became of it: the offset it was acknowledged with, by sequence number.
type Lane = BTreeMap<u64, i64>;

/// What one producer was told.
#[derive(Clone, Default)]
struct Ledger {
    acknowledged: Arc<Mutex<[Lane; PARTITIONS]>>,
    refused: Arc<Mutex<Vec<(usize, u64, RDKafkaErrorCode)>>>,
    count: Arc<AtomicU64>,
    /// What librdkafka said last, for a test that fails.
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Ledger {
    /// How many records of each lane were sent and acknowledged, and what librdkafka said.
    fn state(&self, sent: &[u64; PARTITIONS]) -> String {
        let acknowledged = self.acknowledged.lock().expect("no holder panicked");
        let acknowledged: Vec<usize> = acknowledged.iter().map(BTreeMap::len).collect();
        let said: Vec<String> = self.said.lock().expect("no holder panicked").drain(..).collect();
        format!("sent {sent:?}, acknowledged {acknowledged:?}; librdkafka said\n{}", said.join("\n"))
    }
}

impl ClientContext for Ledger {
    // A killed broker is the point of the test; that its connections break is no news.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        let mut said = self.said.lock().expect("no holder panicked");
        if said.len() == LINES_KEPT {
            said.pop_front();
        }
        said.push_back(format!("{facility}: {message}"));
    }
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Ledger {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let sequence = sequence as u64;
        match result {
            Ok(message) => {
                let mut acknowledged = self.acknowledged.lock().expect("no holder panicked");
                acknowledged[message.partition() as usize].insert(sequence, message.offset());
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().expect("a delivery fails with a code");
                let place = (message.partition() as usize, sequence, code);
                self.refused.lock().expect("no holder panicked").push(place);
            }
        }
    }
}

fn producer(bootstrap: &str, index: usize, ledger: Ledger) -> ThreadedProducer<Ledger> {
    let mut config = clients::config(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", ["none", "lz4", "gzip"][index % 3])
        .set("linger.ms", "2")
        .set("retry.backoff.ms", "20")
        .set("queue.buffering.max.messages", "5000")
        .set("message.timeout.ms", "300000");
    if let Ok(debug) = env::var("CORELOG_TEST_RDKAFKA_DEBUG") {
        config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    }
    config.create_with_context(ledger).expect("the settings are right")
}

/// The value of a record names its producer and its place in that producer's lane; the rest is filling. One
/// in a hundred is so long that the journal does not copy it.
fn value(producer: usize, sequence: u64) -> Vec<u8> {
    let mut value = (producer as u64).to_be_bytes().to_vec();
    value.extend(sequence.to_be_bytes());
    let filling = if sequence % 100 == 50 { 50_000 } else { (sequence as usize * 37) % 400 };
    value.resize(16 + filling, sequence as u8);
    value
}

/// Sends lane by lane until told to stop; returns how many records each lane got.
fn send_until(stop: &AtomicBool, index: usize, producer: &ThreadedProducer<Ledger>) -> [u64; PARTITIONS] {
    let mut sent = [0; PARTITIONS];
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let partition = (sent.iter().sum::<u64>() / 5) as usize % PARTITIONS;
            let value = value(index, sent[partition]);
            let record = BaseRecord::<(), [u8], usize>::with_opaque_to(TOPIC, sent[partition] as usize);
            match producer.send(record.partition(partition as i32).payload(&value)) {
                Ok(()) => sent[partition] += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => panic!("producer {index}: {error}"),
            }
        }
        thread::sleep(PAUSE);
    }
    sent
}

/// How a broker is set up, and what it must have done before it may be killed again.
struct Setup {
    shards: usize,
    journal: bool,
    segment_bytes: &'static str,
    /// How often each journal must have taken a file back that was stored, to use it again.
    reuses: u64,
    /// The settings that rounds have in turn.
    turns: &'static [&'static [(&'static str, &'static str)]],
}

/// A kill comes in the middle of a checkpoint, and the next start trusts the one before.
const CHECKPOINTS_ALWAYS: &[(&str, &str)] =
    &[("log.flush.offset.checkpoint.interval.ms", "20"), ("corelog.journal.segment.delay.ms", "5000")];

/// Segments are written when the journal is full, and checkpoints are made by starts alone.
const JOURNAL_FULL: &[(&str, &str)] =
    &[("log.flush.offset.checkpoint.interval.ms", "60000"), ("corelog.journal.segment.delay.ms", "60000")];

const NO_JOURNAL: Setup =
    Setup { shards: 1, journal: false, segment_bytes: "1048576", reuses: 0, turns: &[CHECKPOINTS_ALWAYS] };
const JOURNAL: Setup = Setup { journal: true, ..NO_JOURNAL };

/// Checkpoints leave the journal time between them: while one stores a log, its appends pass the journal by.
const CHECKPOINTS_OFTEN: &[(&str, &str)] =
    &[("log.flush.offset.checkpoint.interval.ms", "300"), ("corelog.journal.segment.delay.ms", "1000")];

/// The least journal, beside small segments: files are used again all the time, in turn because checkpoints
/// have stored what is in them and because there is no room left.
const REUSE: Setup =
    Setup { segment_bytes: "262144", reuses: 2, turns: &[CHECKPOINTS_OFTEN, JOURNAL_FULL], ..JOURNAL };

impl Setup {
    fn settings(&self, round: u64) -> Vec<(&'static str, &'static str)> {
        let enable = if self.journal { "true" } else { "false" };
        let mut settings = vec![("corelog.journal.enable", enable), ("corelog.journal.bytes", "4194304")];
        settings.extend(self.turns[round as usize % self.turns.len()]);
        settings
    }
}

/// What the headers of a journal's files tell, see `docs/storage_format.md`.
#[derive(Default)]
struct JournalFiles {
    count: u64,
    newest_generation: u64,
}

/// The journals by their directories.
fn journals(broker: &Broker) -> BTreeMap<PathBuf, JournalFiles> {
    let mut journals: BTreeMap<_, JournalFiles> = BTreeMap::new();
    for dir in fs::read_dir(broker.data()).expect("the data directory").filter_map(Result::ok) {
        for file in fs::read_dir(dir.path()).into_iter().flatten().filter_map(Result::ok) {
            if !file.file_name().to_string_lossy().starts_with("corelog-journal-") {
                continue;
            }
            let mut header = [0; 20];
            // A file that is being created has none.
            if File::open(file.path()).and_then(|mut file| file.read_exact(&mut header)).is_ok() {
                let generation = u64::from_be_bytes(*header.last_chunk().expect("eight of twenty bytes"));
                let journal = journals.entry(dir.path()).or_default();
                journal.count += 1;
                journal.newest_generation = journal.newest_generation.max(generation);
            }
        }
    }
    journals
}

/// How often the journal that did so least has taken a file back since `before`: a new file takes a
/// generation as well.
fn least_reuses(before: &BTreeMap<PathBuf, JournalFiles>, now: &BTreeMap<PathBuf, JournalFiles>) -> u64 {
    let reuses = |(dir, now): (&PathBuf, &JournalFiles)| {
        let (generation, count) =
            before.get(dir).map_or((0, 0), |before| (before.newest_generation, before.count));
        now.newest_generation.saturating_sub(generation).saturating_sub(now.count.saturating_sub(count))
    };
    now.iter().map(reuses).min().unwrap_or(0)
}

fn torture(setup: &Setup) {
    let shards = setup.shards;
    let rounds: u64 = env::var("CORELOG_KILL_ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number"));
    let seed: u64 = env::var("CORELOG_TEST_SEED").map_or(20_261_121, |seed| seed.parse().expect("a number"));
    eprintln!("{rounds} rounds, {shards} shards; repeat with CORELOG_TEST_SEED={seed}");
    let mut prng = Prng::new(seed ^ shards as u64);
    let mut broker = Broker::start(shards, &setup.settings(0));
    let configs = [("internal.segment.bytes", setup.segment_bytes)];
    clients::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS as i32, &configs);

    let ledgers: Vec<Ledger> = (0..PRODUCERS).map(|_| Ledger::default()).collect();
    let acknowledged = || ledgers.iter().map(|ledger| ledger.count.load(Ordering::Relaxed)).sum::<u64>();
    let bootstrap = broker.bootstrap();
    let stop = AtomicBool::new(false);
    let mut reuses = 0;
    let sent: Vec<[u64; PARTITIONS]> = thread::scope(|scope| {
        let producers: Vec<_> = ledgers
            .iter()
            .enumerate()
            .map(|(index, ledger)| {
                let (bootstrap, stop) = (bootstrap.clone(), &stop);
                scope.spawn(move || {
                    let producer = producer(&bootstrap, index, ledger.clone());
                    let sent = send_until(stop, index, &producer);
                    let flushed = producer.flush(PATIENCE * 2);
                    assert!(flushed.is_ok(), "{flushed:?}: {}", ledger.state(&sent));
                    sent
                })
            })
            .collect();
        // A panic here must let the producers go, or the scope would wait for them for ever.
        let stop_at_end = StopAtEnd(&stop);
        for round in 0..rounds {
            let (before, journals_before) = (acknowledged(), journals(&broker));
            let progress = || (acknowledged() >= before + PROGRESS).then_some(());
            eventually(&format!("round {round}: the producers go on"), PATIENCE, progress);
            reuses += eventually(&format!("round {round}: journal files are used again"), PATIENCE, || {
                let reuses = least_reuses(&journals_before, &journals(&broker));
                (setup.reuses <= reuses).then_some(reuses)
            });
            thread::sleep(Duration::from_millis(prng.below(250)));
            broker.kill();
            let settings = setup.settings(round + 1);
            broker.restart_with(|launch| {
                settings.into_iter().fold(launch, |launch, (key, value)| launch.with(key, value))
            });
        }
        drop(stop_at_end);
        producers.into_iter().map(|producer| producer.join().expect("the producer did not panic")).collect()
    });

    for (index, ledger) in ledgers.iter().enumerate() {
        let refused = ledger.refused.lock().expect("no holder panicked");
        assert!(refused.is_empty(), "producer {index} was refused (partition, sequence, error): {refused:?}");
    }
    verify(&broker, &ledgers, &sent);
    broker.stop();
    broker.restart();
    verify(&broker, &ledgers, &sent);
    eprintln!(
        "{} records acknowledged over {rounds} kills, none lost, none twice; {reuses} journal files \
         were used again meanwhile",
        acknowledged()
    );
}

/// Tells the producers to stop when it goes out of scope.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Every record that was acknowledged is in the log, once, at its offset, and each lane is in order.
fn verify(broker: &Broker, ledgers: &[Ledger], sent: &[[u64; PARTITIONS]]) {
    let consumer = clients::consumer(&broker.bootstrap(), &[]);
    for partition in 0..PARTITIONS {
        let mut next = [0_u64; PRODUCERS];
        for (offset, found) in read_whole(&consumer, partition).into_iter().enumerate() {
            let index = u64::from_be_bytes(found[..8].try_into().expect("eight bytes")) as usize;
            let sequence = u64::from_be_bytes(found[8..16].try_into().expect("eight bytes"));
            let place = format!("partition {partition}, offset {offset}, producer {index}");
            assert_eq!(sequence, next[index], "{place}: missing, twice or out of order");
            assert_eq!(found, value(index, sequence), "{place}: not what was sent");
            let acknowledged = ledgers[index].acknowledged.lock().expect("no holder panicked");
            let told = acknowledged[partition].get(&sequence).copied();
            assert_eq!(told, Some(offset as i64), "{place}: sequence {sequence} was acknowledged elsewhere");
            next[index] += 1;
        }
        for (index, sent) in sent.iter().enumerate() {
            assert_eq!(next[index], sent[partition], "records of producer {index} in partition {partition}");
        }
    }
}

/// The values of a partition from its first to its last offset, which must have no gap.
fn read_whole(consumer: &BaseConsumer, partition: usize) -> Vec<Vec<u8>> {
    let (start, end) =
        consumer.fetch_watermarks(TOPIC, partition as i32, PATIENCE).expect("the partition is there");
    assert_eq!(start, 0, "nothing was deleted");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, partition as i32, Offset::Offset(0)).expect("a right offset");
    consumer.assign(&assignment).expect("an assignment of ours");
    let mut found = Vec::new();
    while (found.len() as i64) < end {
        let message = clients::next(consumer);
        assert_eq!(message.offset(), found.len() as i64, "a gap in partition {partition}");
        found.push(message.payload().expect("a value").to_vec());
    }
    found
}

#[test]
fn one_shard_loses_nothing_and_repeats_nothing() {
    torture(&NO_JOURNAL);
}

#[test]
fn two_shards_lose_nothing_and_repeat_nothing() {
    torture(&Setup { shards: 2, ..NO_JOURNAL });
}

#[test]
fn one_shard_with_a_journal_loses_nothing_and_repeats_nothing() {
    torture(&JOURNAL);
}

#[test]
fn two_shards_with_journals_lose_nothing_and_repeat_nothing() {
    torture(&Setup { shards: 2, ..JOURNAL });
}

#[test]
fn one_shard_that_reuses_its_journal_loses_nothing_and_repeats_nothing() {
    torture(&REUSE);
}

#[test]
fn two_shards_that_reuse_their_journals_lose_nothing_and_repeat_nothing() {
    torture(&Setup { shards: 2, ..REUSE });
}
