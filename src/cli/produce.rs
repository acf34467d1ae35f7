//! `corelog produce`: each line of standard input is a record.

use std::io::{self, BufRead, BufReader};

use clap::Args;

use super::CliError;
use super::client_args::{AcksArg, ClientArgs, CodecArg, on_executor, parse_pair};
use crate::client::producer::{Acks, PartitionBatch, ProduceOptions, init_producer_id, produce};
use crate::client::{Cluster, TopicInfo, retrying};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::records::HeaderRef;
use crate::rt::time;
use crate::types::{ProducerEpoch, ProducerId};

/// Bytes of records after which a partition's batch is sent.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Bytes that are read from standard input at once.
const INPUT_BYTES: usize = 1024 * 1024;

/// Seed of `murmur2`, as Kafka's default partitioner has it.
const MURMUR2_SEED: u32 = 0x9747_b28c;

#[derive(Debug, Args)]
pub(super) struct ProduceArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic.
    topic: String,
    /// Write to this partition. Otherwise: by key as Kafka's clients do, without a key in turns.
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// What stands between key and value in a line. Without it lines have no key.
    #[arg(short, long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of every record.
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = parse_pair)]
    headers: Vec<(String, String)>,
    /// An empty value is a null value, a tombstone.
    #[arg(long)]
    null_value: bool,
    /// How to compress batches.
    #[arg(short = 'z', long, default_value = "none")]
    compression: CodecArg,
    /// Which acknowledgement to wait for.
    #[arg(short, long, default_value = "all")]
    acks: AcksArg,
    /// Ask for a producer id and number the batches, so that none is written twice.
    #[arg(long)]
    idempotent: bool,
    /// Print where each batch went.
    #[arg(short, long)]
    verbose: bool,
}

/// Sends standard input to its end.
pub(super) fn run(args: ProduceArgs) -> Result<(), CliError> {
    if args.idempotent && args.acks != AcksArg::All {
        return Err(CliError::usage(
            "--idempotent needs --acks all: only then is every batch answered in order",
        ));
    }
    on_executor(async move || {
        let cluster = args.client.connect().await?;
        let topic = found_topic(&cluster, &args.topic).await?;
        let producer = match args.idempotent {
            true => retrying(async || init_producer_id(cluster.any()).await).await?,
            false => (ProducerId::NONE, ProducerEpoch::NONE),
        };
        Producing::new(args, cluster, topic, producer).send_all().await
    })
}

/// The topic, created if the broker creates topics by itself.
async fn found_topic(cluster: &Cluster, name: &str) -> Result<TopicInfo, CliError> {
    /// How often a topic that is being created is asked for, 50 ms apart.
    const ATTEMPTS: usize = 100;
    for _ in 0..ATTEMPTS {
        match cluster.find_topic(name, true).await? {
            Some(topic) if topic.partitions.iter().all(|info| 0 <= info.leader) => return Ok(topic),
            _ => time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    Err(CliError::failed(format!("topic {name} is not there; create it with `corelog topic create {name}`")))
}

struct Producing {
    args: ProduceArgs,
    cluster: Cluster,
    topic: TopicInfo,
    producer: (ProducerId, ProducerEpoch),
    /// One per partition.
    batches: Vec<Batch>,
    next_unkeyed: usize,
}

struct Batch {
    builder: Option<BatchBuilder>,
    next_sequence: i32,
}

impl Producing {
    fn new(
        args: ProduceArgs,
        cluster: Cluster,
        topic: TopicInfo,
        producer: (ProducerId, ProducerEpoch),
    ) -> Self {
        let batches = topic.partitions.iter().map(|_| Batch { builder: None, next_sequence: 0 }).collect();
        Self { args, cluster, topic, producer, batches, next_unkeyed: 0 }
    }

    async fn send_all(mut self) -> Result<(), CliError> {
        let mut input = BufReader::with_capacity(INPUT_BYTES, io::stdin());
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            match read.map_err(|error| CliError::failed(format!("standard input: {error}")))? {
                0 => break,
                _ => self.append(line.strip_suffix(b"\n").unwrap_or(&line)).await?,
            }
            // What is there goes out before more is waited for: a line typed by hand is sent at once.
            if !input.buffer().contains(&b'\n') {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn append(&mut self, line: &[u8]) -> Result<(), CliError> {
        let (key, value) = split(line, self.args.key_separator.as_deref());
        let value = (!(self.args.null_value && value.is_empty())).then_some(value);
        let index = self.partition_index(key)?;
        let headers: Vec<_> = self
            .args
            .headers
            .iter()
            .map(|(key, value)| HeaderRef { key: key.as_bytes(), value: Some(value.as_bytes()) })
            .collect();
        let batch = &mut self.batches[index];
        let fields = BatchFields {
            codec: self.args.compression.into(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            base_sequence: if self.args.idempotent { batch.next_sequence } else { -1 },
            ..BatchFields::default()
        };
        let builder = batch.builder.get_or_insert_with(|| BatchBuilder::new(fields));
        builder.append(time::wall_clock(), key, value, &headers);
        if BATCH_BYTES_MAX <= builder.uncompressed_len() {
            self.send(index).await?;
        }
        Ok(())
    }

    /// Keys go where Kafka's clients put them; records without a key fill one batch, then the next.
    fn partition_index(&mut self, key: Option<&[u8]>) -> Result<usize, CliError> {
        let count = self.topic.partitions.len();
        match (self.args.partition, key) {
            (Some(partition), _) => match usize::try_from(partition) {
                Ok(index) if index < count => Ok(index),
                _ => Err(CliError::failed(format!(
                    "--partition {partition}: topic {} has partitions 0 to {}",
                    self.topic.name,
                    count - 1
                ))),
            },
            (None, Some(key)) => Ok((murmur2(key) & 0x7fff_ffff) as usize % count),
            (None, None) => Ok(self.next_unkeyed % count),
        }
    }

    async fn flush(&mut self) -> Result<(), CliError> {
        for index in 0..self.batches.len() {
            self.send(index).await?;
        }
        Ok(())
    }

    async fn send(&mut self, index: usize) -> Result<(), CliError> {
        let batch = &mut self.batches[index];
        let Some(builder) = batch.builder.take() else { return Ok(()) };
        let count = builder.record_count();
        batch.next_sequence = batch.next_sequence.wrapping_add(count) & i32::MAX;
        self.next_unkeyed += 1;
        let partition = self.topic.partitions[index].partition;
        let leader = self.cluster.leader(&self.topic, partition).await?;
        let batch = PartitionBatch { topic: &self.topic.name, partition, records: builder.build() };
        let options = ProduceOptions { acks: self.args.acks.into(), timeout_ms: 30_000 };
        let offset = retrying(async || produce(&leader, &batch, options).await).await?;
        if options.acks == Acks::None {
            leader.flush().await?;
        }
        if self.args.verbose {
            let place =
                offset.map_or_else(|| "unacknowledged".to_owned(), |offset| format!("offset {offset}"));
            eprintln!("{}-{partition}: {count} records, {place}", self.topic.name);
        }
        Ok(())
    }
}

/// Key and value of a line.
fn split<'a>(line: &'a [u8], separator: Option<&str>) -> (Option<&'a [u8]>, &'a [u8]) {
    let Some(separator) = separator.map(str::as_bytes).filter(|separator| !separator.is_empty()) else {
        return (None, line);
    };
    match line.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
        None => (None, line),
    }
}

/// MurmurHash2 as Kafka's clients use it to choose a partition (`Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SHIFT: u32 = 24;
    let mut hash = MURMUR2_SEED ^ bytes.len() as u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("chunks of four")).wrapping_mul(MIX);
        word = (word ^ (word >> SHIFT)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ word;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test of its partitioner (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_hash_as_in_kafkas_clients() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key) as i32, expected, "{key:?}");
        }
    }

    #[test]
    fn lines_are_split_at_the_first_separator() {
        let cases: [(&str, Option<&str>, Option<&str>, &str); 5] = [
            ("k:v", None, None, "k:v"),
            ("k:v:w", Some(":"), Some("k"), "v:w"),
            ("kv", Some(":"), None, "kv"),
            (":v", Some(":"), Some(""), "v"),
            ("k=>v", Some("=>"), Some("k"), "v"),
        ];
        for (line, separator, key, value) in cases {
            let found = split(line.as_bytes(), separator);
            assert_eq!(found, (key.map(str::as_bytes), value.as_bytes()), "{line}");
        }
    }
}
