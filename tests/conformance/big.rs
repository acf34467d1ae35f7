//! Produces gigabytes by librdkafka (acks=all, idempotent, lz4) over many partitions, reads them back, and
//! compares count, order and checksum of each partition. `conformance_big HOST:PORT GIB`; `big.sh` runs it.

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog::types::Prng;
use futures_lite::future::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

const PARTITIONS: usize = 16;
const RECORD_BYTES: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(120);

/// Records and a checksum of all of them in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lane {
    count: u64,
    checksum: u32,
}

impl Lane {
    fn add(&mut self, value: &[u8]) {
        self.count += 1;
        self.checksum = crc32c::crc32c_append(self.checksum, value);
    }
}

/// What the delivery reports say that must not be.
#[derive(Clone, Default)]
struct Reports {
    delivered: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, expected_offset: usize) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let wrong = match result {
            Ok(message) if message.offset() == expected_offset as i64 => return,
            Ok(message) => format!("offset {} where {expected_offset} was due", message.offset()),
            Err((error, _)) => format!("offset {expected_offset}: {error}"),
        };
        self.wrong.lock().expect("no holder panicked").push(wrong);
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
    config
}

/// Half of a record is noise, half is a pattern, so that a codec has something to do.
fn fill(value: &mut [u8], prng: &mut Prng, partition: usize, number: u64) {
    let half = value.len() / 2;
    prng.fill(&mut value[..half]);
    value[half..].fill((number % 251) as u8);
    value[..8].copy_from_slice(&(partition as u64).to_be_bytes());
    value[8..16].copy_from_slice(&number.to_be_bytes());
}

fn produce(bootstrap: &str, topic: &str, records: u64) -> Result<Vec<Lane>, String> {
    let reports = Reports::default();
    let producer: ThreadedProducer<Reports> = config(bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        .set("queue.buffering.max.kbytes", "262144")
        .set("queue.buffering.max.messages", "200000")
        .create_with_context(reports.clone())
        .map_err(|error| error.to_string())?;
    let mut prng = Prng::new(16);
    let mut lanes = vec![Lane::default(); PARTITIONS];
    let mut value = vec![0; RECORD_BYTES];
    for number in 0..records {
        // Runs of one partition make batches of a useful size.
        let partition = (number / 64) as usize % PARTITIONS;
        fill(&mut value, &mut prng, partition, number);
        let opaque = lanes[partition].count as usize;
        let mut record = BaseRecord::<(), [u8], usize>::with_opaque_to(topic, opaque);
        record = record.partition(partition as i32).payload(&value);
        while let Err((error, refused)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.to_string());
            }
            thread::sleep(Duration::from_millis(2));
            record = refused;
        }
        lanes[partition].add(&value);
    }
    producer.flush(PATIENCE).map_err(|error| format!("flush: {error}"))?;
    let wrong = reports.wrong.lock().expect("no holder panicked");
    match wrong.first() {
        Some(first) => Err(format!("{} wrong deliveries, the first: {first}", wrong.len())),
        None if reports.delivered.load(Ordering::Relaxed) != records => Err("reports are missing".to_owned()),
        None => Ok(lanes),
    }
}

fn consume(bootstrap: &str, topic: &str, records: u64) -> Result<Vec<Lane>, String> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "65536")
        .create()
        .map_err(|error| error.to_string())?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let added = assignment.add_partition_offset(topic, partition as i32, Offset::Beginning);
        added.map_err(|error| error.to_string())?;
    }
    consumer.assign(&assignment).map_err(|error| error.to_string())?;
    let mut lanes = vec![Lane::default(); PARTITIONS];
    for read in 0..records {
        let message = consumer.poll(PATIENCE).ok_or_else(|| format!("nothing comes after {read} records"))?;
        let message = message.map_err(|error| error.to_string())?;
        let lane = &mut lanes[message.partition() as usize];
        if message.offset() != lane.count as i64 {
            return Err(format!("offset {} where {} was due", message.offset(), lane.count));
        }
        lane.add(message.payload().unwrap_or_default());
    }
    match consumer.poll(Duration::from_millis(500)) {
        Some(more) => Err(format!("there is more than was produced: {more:?}")),
        None => Ok(lanes),
    }
}

fn run(bootstrap: &str, gibibytes: f64) -> Result<(), String> {
    let records = (gibibytes * (1_u64 << 30) as f64 / RECORD_BYTES as f64) as u64;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let topic = format!("big-{}", since.as_millis());
    let admin: AdminClient<DefaultClientContext> =
        config(bootstrap).create().map_err(|error: KafkaError| error.to_string())?;
    let new = NewTopic::new(&topic, PARTITIONS as i32, TopicReplication::Fixed(1));
    let created =
        block_on(admin.create_topics([&new], &AdminOptions::new())).map_err(|error| error.to_string())?;
    created
        .into_iter()
        .next()
        .expect("one result")
        .map_err(|(_, code)| format!("creating {topic}: {code}"))?;

    let megabytes = records as f64 * RECORD_BYTES as f64 / 1e6;
    let begin = Instant::now();
    let sent = produce(bootstrap, &topic, records)?;
    println!("produced {records} records, {:.0} MB/s", megabytes / begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let found = consume(bootstrap, &topic, records)?;
    println!("consumed {records} records, {:.0} MB/s", megabytes / begin.elapsed().as_secs_f64());
    for (partition, (sent, found)) in sent.iter().zip(&found).enumerate() {
        println!("partition {partition:2}: {} records, checksum {:08x}", found.count, found.checksum);
        if sent != found {
            return Err(format!("partition {partition}: sent {sent:?}, found {found:?}"));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(bootstrap), Some(gibibytes)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: conformance_big HOST:PORT GIB");
        return ExitCode::from(2);
    };
    let gibibytes = gibibytes.parse().expect("GIB is a number");
    match run(&bootstrap, gibibytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
