//! A place in a group that members of librdkafka take one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corelog::types::Prng;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::TOPIC;
use super::ledger::Ledger;
use crate::harness::clients;

/// How long a member may take to give up its partitions while no broker answers.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// A killed broker is the point of the test; that its connections break is no news.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

/// How far the test has come.
#[derive(Default)]
pub(super) struct Phase {
    /// Members stay, so that they come to the end of the partitions.
    pub(super) settles: AtomicBool,
    pub(super) is_over: AtomicBool,
}

impl Phase {
    fn settles(&self) -> bool {
        self.settles.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Joins, reads and commits for a while, leaves, and begins again.
pub(super) fn run(
    bootstrap: &str,
    settings: &[(&str, &str)],
    ledger: &Ledger,
    mut prng: Prng,
    phase: &Phase,
) {
    while !phase.is_over() {
        let life = Duration::from_millis(500 + prng.below(3_000));
        let consumer = join(bootstrap, ledger.name(), settings);
        let until = Instant::now() + life;
        while (Instant::now() < until || phase.settles()) && !phase.is_over() {
            // Errors tell of the broker's end.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else { continue };
            ledger.read(message.partition(), message.offset());
            if prng.chance(1, if phase.settles() { 100 } else { 4 }) {
                commit(&consumer, ledger, message.partition(), message.offset() + 1);
            }
        }
        leave(&consumer);
    }
}

/// Gives up all partitions before the end: librdkafka 2.12 may wait for ever for itself when a rebalance
/// meets its close.
fn leave(consumer: &BaseConsumer<Silent>) {
    consumer.unsubscribe();
    let until = Instant::now() + LEAVE_PATIENCE;
    while consumer.assignment().is_ok_and(|owned| 0 < owned.count()) && Instant::now() < until {
        // What comes now is not committed, and so another member gets it.
        consumer.poll(Duration::from_millis(10));
    }
}

fn join(bootstrap: &str, group: &str, settings: &[(&str, &str)]) -> BaseConsumer<Silent> {
    let mut config = clients::config(bootstrap);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50");
    // The broker sets the pace of the other protocol's members.
    if settings.iter().all(|(key, _)| *key != "group.protocol") {
        config.set("heartbeat.interval.ms", "200");
    }
    settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
    let consumer: BaseConsumer<_> = config.create_with_context(Silent).expect("the settings are right");
    consumer.subscribe(&[TOPIC]).expect("a subscription");
    consumer
}

/// Commits behind the record that was just read. A member that the group has given up on is refused, which
/// is as it should be: only what is acknowledged counts.
fn commit(consumer: &BaseConsumer<Silent>, ledger: &Ledger, partition: i32, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, partition, Offset::Offset(offset)).expect("a right offset");
    let number = ledger.send(partition, offset);
    if consumer.commit(&offsets, CommitMode::Sync).is_ok() {
        ledger.acknowledge(partition, number);
    }
}
