//! librdkafka with the settings that the tests share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{PATIENCE, eventually};

/// Settings every client begins with.
pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set_log_level(RDKafkaLogLevel::Error);
    config
}

/// A delivery report: the offset the broker gave, or why it refused.
pub(crate) type Delivery = Result<(i32, i64), RDKafkaErrorCode>;

/// Collects delivery reports by the number that each record was sent with.
#[derive(Clone, Default)]
pub(crate) struct Deliveries(Arc<Mutex<BTreeMap<usize, Delivery>>>);

impl Deliveries {
    pub(crate) fn take(&self) -> BTreeMap<usize, Delivery> {
        std::mem::take(&mut self.0.lock().expect("no test thread panicked with the lock held"))
    }

    fn len(&self) -> usize {
        self.0.lock().expect("no test thread panicked with the lock held").len()
    }
}

impl ClientContext for Deliveries {
    // The tests kill brokers; what librdkafka has to say about that is noise.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let delivery = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("a delivery fails with a code")),
        };
        self.0.lock().expect("no test thread panicked with the lock held").insert(number, delivery);
    }
}

/// A producer that remembers its delivery reports.
pub(crate) struct TestProducer {
    inner: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    sent: usize,
}

impl TestProducer {
    pub(crate) fn new(bootstrap: &str, settings: &[(&str, &str)]) -> Self {
        let deliveries = Deliveries::default();
        let mut config = config(bootstrap);
        config.set("message.timeout.ms", "30000");
        settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        let inner = config.create_with_context(deliveries.clone()).expect("the settings are right");
        Self { inner, deliveries, sent: 0 }
    }

    /// Queues a record and returns its number.
    pub(crate) fn send(&mut self, record: BaseRecord<'_, [u8], [u8], usize>) -> usize {
        let number = self.sent;
        self.sent += 1;
        self.inner.send(record.delivery_opaque(number)).unwrap_or_else(|(error, _)| panic!("send: {error}"));
        number
    }

    /// Queues a value for a partition.
    pub(crate) fn send_value(&mut self, topic: &str, partition: i32, value: &[u8]) -> usize {
        self.send(BaseRecord::with_opaque_to(topic, 0).partition(partition).payload(value))
    }

    /// Waits until this many reports are there.
    pub(crate) fn wait_for_deliveries(&self, count: usize) {
        eventually("delivery reports", PATIENCE, || (self.deliveries.len() >= count).then_some(()));
    }

    /// Waits for every queued record and returns the reports of all since the last call.
    pub(crate) fn flush(&self) -> BTreeMap<usize, Delivery> {
        self.inner.flush(PATIENCE).expect("every record is delivered or refused in time");
        self.deliveries.take()
    }

    /// Waits for every queued record, all of which must have been taken.
    pub(crate) fn flush_ok(&self) -> BTreeMap<usize, (i32, i64)> {
        let taken = |(number, delivery): (usize, Delivery)| {
            (number, delivery.unwrap_or_else(|code| panic!("record {number} was refused: {code}")))
        };
        self.flush().into_iter().map(taken).collect()
    }
}

/// A client for metadata and watermarks. It has no group: one that has asks for its coordinator at once, and
/// the broker creates the topic of the groups for it.
fn onlooker(bootstrap: &str) -> BaseConsumer {
    config(bootstrap).create().expect("the settings are right")
}

pub(crate) fn consumer(bootstrap: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(bootstrap);
    config
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("fetch.wait.max.ms", "50");
    settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
    config.create().expect("the settings are right")
}

/// Reads `count` records of one partition from `offset` on.
pub(crate) fn read(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    offset: i64,
    count: usize,
) -> Vec<OwnedMessage> {
    let consumer = consumer(bootstrap, &[]);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a right offset");
    consumer.assign(&assignment).expect("an assignment of ours");
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let message = next(&consumer);
        assert_eq!(message.partition(), partition);
        found.push(message.detach());
    }
    found
}

/// The next record, which must come.
pub(crate) fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.poll(left).expect("a record arrives in time") {
            Ok(record) => return record,
            // Informational, says librdkafka: it goes on connecting. Who is down fails by the deadline.
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)) => {}
            Err(error) => panic!("consuming: {error}"),
        }
    }
}

/// Log start offset and high watermark, asked of the broker.
pub(crate) fn watermarks(bootstrap: &str, topic: &str, partition: i32) -> (i64, i64) {
    onlooker(bootstrap).fetch_watermarks(topic, partition, PATIENCE).expect("the partition is there")
}

/// The topics of a test. A consumer of librdkafka has the topic of its coordinator created.
pub(crate) fn topics(metadata: &Metadata) -> impl Iterator<Item = &MetadataTopic> {
    metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"))
}

/// What the consumer's group has committed for a partition.
pub(crate) fn committed(consumer: &BaseConsumer, topic: &str, partition: i32) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    let found = consumer.committed_offsets(asked, PATIENCE).expect("the committed offsets");
    found.elements()[0].offset()
}

pub(crate) fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    config(bootstrap).create().expect("the settings are right")
}

/// Creates a topic, which must be possible, and waits until the broker tells of it.
pub(crate) fn create_topic(bootstrap: &str, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    try_create_topic(bootstrap, name, partitions, configs)
        .unwrap_or_else(|code| panic!("creating {name}: {code}"));
    let onlooker = onlooker(bootstrap);
    eventually("the new topic is listed", PATIENCE, || {
        let metadata = onlooker.fetch_metadata(Some(name), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions();
        (!partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)).then_some(())
    });
}

pub(crate) fn try_create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<(), RDKafkaErrorCode> {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let results = block_on(admin(bootstrap).create_topics([&topic], &options)).expect("an answer");
    results.into_iter().next().expect("one result").map(|_| ()).map_err(|(_, code)| code)
}

pub(crate) fn delete_topic(bootstrap: &str, name: &str) -> Result<(), RDKafkaErrorCode> {
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let results = block_on(admin(bootstrap).delete_topics(&[name], &options)).expect("an answer");
    results.into_iter().next().expect("one result").map(|_| ()).map_err(|(_, code)| code)
}
