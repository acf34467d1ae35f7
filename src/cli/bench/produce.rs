//! `corelog bench produce`.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::plan::{ConnectionPlan, Target};
use super::runner::{self, Load, Run};
use super::sender::{self, SendRules, Template};
use super::stamp::STAMP_LEN;
use super::stats::Stats;
use super::{LoadArgs, one_or_more, parse_count, parse_seconds};
use crate::cli::CliError;
use crate::cli::client_args::{AcksArg, CodecArg};
use crate::client::producer::{Acks, PartitionBatch, ProduceOptions, produce_request};
use crate::client::{ApiVersion, ConnectOptions, Connection, encode_frame};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::Codec;
use crate::rt::{net, time};
use crate::types::{Prng, Timestamp};
use crate::wire::messages::ApiKey;

/// How long the broker may wait for replicas.
const ACKS_TIMEOUT_MS: i32 = 30_000;

/// Bytes of a batch's values at most.
const BATCH_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Seed of the record contents: every run sends the same bytes.
const CONTENT_SEED: u64 = 0x0063_6f72_656c_6f67;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ProduceArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Bytes of each record's value; there is no key.
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 1_000)]
    record_size: u32,
    /// Records of each batch.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = one_or_more())]
    records_per_batch: u32,
    /// Partitions of each request, one batch each.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = one_or_more())]
    partitions_per_request: u32,
    /// Unanswered requests of each connection at most.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = one_or_more())]
    inflight: u32,
    /// Which acknowledgement to wait for.
    #[arg(short, long, default_value = "all")]
    acks: AcksArg,
    /// How to compress batches. Values are hexadecimal digits at random, so that codecs find a half.
    #[arg(short = 'z', long, default_value = "none")]
    compression: CodecArg,
    /// Write into each batch when it was due, which `bench fetch --follow` measures by.
    #[arg(long)]
    stamp: bool,
    /// Records per second in all, in an open loop. Without it: as fast as possible.
    #[arg(short, long, value_name = "COUNT", value_parser = parse_count)]
    rate: Option<u64>,
    /// Length of the measured part in seconds, if no other limit is given 10.
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<f64>,
    /// End after this many records of the measured part.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = parse_count)]
    records: Option<u64>,
    /// End after this many bytes of record values of the measured part.
    #[arg(long, value_name = "BYTES", value_parser = parse_count)]
    bytes: Option<u64>,
}

/// Runs the load and reports.
pub(super) fn run(args: ProduceArgs) -> Result<(), CliError> {
    let acks = Acks::from(args.acks);
    let batch_bytes = u64::from(args.record_size) * u64::from(args.records_per_batch);
    if BATCH_BYTES_MAX < batch_bytes {
        return Err(CliError::usage(format!(
            "--record-size times --records-per-batch is {batch_bytes}, at most {BATCH_BYTES_MAX} make a batch"
        )));
    }
    if args.stamp && ((args.record_size as usize) < STAMP_LEN || Codec::from(args.compression) != Codec::None)
    {
        return Err(CliError::usage(format!(
            "--stamp takes records of at least {STAMP_LEN} bytes (--record-size) without --compression"
        )));
    }
    let records_max = match (args.records, args.bytes) {
        (Some(_), Some(_)) => return Err(CliError::usage("--records and --bytes exclude each other")),
        (Some(records), None) => Some(records),
        (None, Some(bytes)) => Some(bytes.div_ceil(u64::from(args.record_size.max(1)))),
        (None, None) => None,
    };
    let seconds = args.duration.or(if records_max.is_some() { None } else { Some(10.0) });
    let load = ProduceLoad {
        batch: build_batch(&args),
        records_per_batch: args.records_per_batch,
        partitions_per_request: args.partitions_per_request as usize,
        stamp: args.stamp,
        acks,
        rules: SendRules {
            inflight: args.inflight as usize,
            has_answers: acks != Acks::None,
            rate: args.rate,
            duration: seconds.map(Duration::from_secs_f64),
            records_max,
            record_bytes: u64::from(args.record_size),
        },
        connect: args.load.client.options(),
    };
    let measured = runner::run(&args.load, &load, true)?;
    let arguments = json!({
        "topics": args.load.topics,
        "partitions": args.load.partitions,
        "connections": args.load.connections,
        "threads": args.load.threads,
        "record_size": args.record_size,
        "records_per_batch": args.records_per_batch,
        "batch_bytes": load.batch.len(),
        "partitions_per_request": args.partitions_per_request,
        "inflight": args.inflight,
        "acks": acks.code(),
        "compression": Codec::from(args.compression).name(),
        "rate": args.rate,
        "stamp": args.stamp,
    });
    measured.finish("produced", arguments, args.load.json.as_deref())
}

/// The batch that every partition gets again and again.
fn build_batch(args: &ProduceArgs) -> Bytes {
    let fields = BatchFields { codec: args.compression.into(), ..BatchFields::default() };
    let mut builder = BatchBuilder::new(fields);
    let mut prng = Prng::new(CONTENT_SEED);
    let mut value = vec![0; args.record_size as usize];
    let now = time::wall_clock();
    for _ in 0..args.records_per_batch {
        prng.fill(&mut value);
        for byte in &mut value {
            *byte = b"0123456789abcdef"[usize::from(*byte & 15)];
        }
        builder.append(Timestamp(now.0), None, Some(&value), &[]);
    }
    builder.build()
}

#[derive(Debug, Clone)]
struct ProduceLoad {
    batch: Bytes,
    records_per_batch: u32,
    partitions_per_request: usize,
    stamp: bool,
    acks: Acks,
    rules: SendRules,
    connect: ConnectOptions,
}

/// A connection that is open, and what it will send.
pub(super) struct PreparedProduce {
    stream: net::Stream,
    spoken: ApiVersion,
    templates: Vec<Template>,
}

impl Load for ProduceLoad {
    type Prepared = PreparedProduce;

    async fn prepare(&self, plan: ConnectionPlan, _index: usize) -> Result<PreparedProduce, CliError> {
        let spoken = Connection::open(&plan.address, self.connect.clone()).await?.version(ApiKey::Produce)?;
        let templates = plan
            .targets
            .chunks(self.partitions_per_request)
            .map(|targets| self.template(targets, spoken))
            .collect::<Result<_, _>>()?;
        let stream = sender::connect(&plan.address).await?;
        Ok(PreparedProduce { stream, spoken, templates })
    }

    async fn drive(self: Rc<Self>, prepared: PreparedProduce, run: Run) -> Stats {
        let PreparedProduce { stream, spoken, templates } = prepared;
        sender::drive(&self.rules, stream, spoken, &templates, run).await
    }
}

impl ProduceLoad {
    fn template(&self, targets: &[Target], spoken: ApiVersion) -> Result<Template, CliError> {
        let batches: Vec<_> = targets
            .iter()
            .map(|target| PartitionBatch {
                topic: &target.topic,
                partition: target.partition,
                records: self.batch.clone(),
            })
            .collect();
        let request =
            produce_request(&batches, ProduceOptions { acks: self.acks, timeout_ms: ACKS_TIMEOUT_MS });
        let frame = encode_frame(spoken, 0, "corelog-bench", &request)?;
        let template = Template::new(&frame, targets.len() as u64 * u64::from(self.records_per_batch));
        Ok(if self.stamp { template.with_stamps(&self.batch) } else { template })
    }
}
