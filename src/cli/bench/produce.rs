//! `corelog bench produce`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::plan::{ConnectionPlan, Target};
use super::runner::{self, Load, Run};
use super::stats::Stats;
use super::{LoadArgs, one_or_more, parse_count, parse_seconds};
use crate::cli::CliError;
use crate::client::producer::{Acks, PartitionBatch, ProduceOptions, produce_request};
use crate::client::{ApiVersion, Connection, encode_frame, resolve};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::Codec;
use crate::rt::net::{self, ReadBuffer, StreamReader, StreamWriter, WriteQueue};
use crate::rt::sync::{Notify, Permit, Semaphore};
use crate::rt::{task, time};
use crate::types::{ErrorCode, Prng, Timestamp};
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use crate::wire::header::decode_response_header;
use crate::wire::messages::ApiKey;
use crate::wire::reply::read_produce_reply;

/// Bytes of a frame up to and with its correlation id, the only part that differs from send to send.
const HEAD_LEN: usize = 12;

/// Where the correlation id starts.
const CORRELATION_ID_AT: usize = 8;

/// Largest answer to a Produce.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the last answers may take after the load has ended.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Bytes that are handed to the kernel at once at most.
const WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;

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

/// `acks` as Kafka spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AcksArg {
    /// No answer at all.
    #[value(name = "0")]
    None,
    /// The leader's.
    #[value(name = "1")]
    Leader,
    /// That of every replica in sync.
    #[value(name = "all", alias = "-1")]
    All,
}

impl From<AcksArg> for Acks {
    fn from(arg: AcksArg) -> Self {
        match arg {
            AcksArg::None => Self::None,
            AcksArg::Leader => Self::Leader,
            AcksArg::All => Self::All,
        }
    }
}

/// A codec's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CodecArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CodecArg> for Codec {
    fn from(arg: CodecArg) -> Self {
        match arg {
            CodecArg::None => Self::None,
            CodecArg::Gzip => Self::Gzip,
            CodecArg::Snappy => Self::Snappy,
            CodecArg::Lz4 => Self::Lz4,
            CodecArg::Zstd => Self::Zstd,
        }
    }
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
        record_bytes: u64::from(args.record_size),
        partitions_per_request: args.partitions_per_request as usize,
        inflight: args.inflight as usize,
        options: ProduceOptions { acks, timeout_ms: 30_000 },
        rate: args.rate,
        duration: seconds.map(Duration::from_secs_f64),
        records_max,
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
    record_bytes: u64,
    partitions_per_request: usize,
    inflight: usize,
    options: ProduceOptions,
    /// Records per second, all connections together.
    rate: Option<u64>,
    /// Of the measured part.
    duration: Option<Duration>,
    /// Of the measured part, all connections together.
    records_max: Option<u64>,
    connect: crate::client::ConnectOptions,
}

/// A request, encoded but for its correlation id.
#[derive(Debug, Clone)]
struct Template {
    head: [u8; HEAD_LEN],
    body: Bytes,
    records: u64,
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
        let stream = connect(&plan.address).await?;
        Ok(PreparedProduce { stream, spoken, templates })
    }

    async fn drive(self: Rc<Self>, prepared: PreparedProduce, run: Run) -> Stats {
        let PreparedProduce { stream, spoken, templates } = prepared;
        let (reader, writer) = stream.split();
        let sending = Rc::new(Sending {
            inflight: Semaphore::new(self.inflight),
            unanswered: RefCell::default(),
            is_over: Cell::new(false),
            stats: RefCell::default(),
            answered: Notify::new(),
            record_bytes: self.record_bytes,
            run,
        });
        let receiving = task::spawn(receive(Rc::clone(&sending), reader, spoken));
        send(&self, &sending, writer, &templates).await;
        sending.drained().await;
        receiving.cancel().await;
        sending.stats.take()
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
        let request = produce_request(&batches, self.options);
        let frame = encode_frame(spoken, 0, "corelog-bench", &request)?;
        let head = *frame.first_chunk().expect("a frame is longer than its head");
        let records = targets.len() as u64 * u64::from(self.records_per_batch);
        Ok(Template { head, body: frame.slice(HEAD_LEN..), records })
    }

    /// Requests that one connection sends in the measured part, if they are limited.
    fn requests_max(&self, run: &Run, records_per_request: u64) -> Option<u64> {
        let records = self.records_max?.div_ceil(run.connections as u64);
        Some(records.div_ceil(records_per_request))
    }
}

/// Opens a connection for raw frames.
pub(super) async fn connect(address: &str) -> Result<net::Stream, CliError> {
    let candidates = resolve(address)?;
    let first = *candidates.first().ok_or_else(|| CliError::failed(format!("{address} has no address")))?;
    net::connect(first)
        .await
        .map_err(|error| CliError::failed(format!("cannot connect to {address}: {error}")))
}

/// What the two tasks of a connection share.
struct Sending {
    inflight: Semaphore,
    unanswered: RefCell<VecDeque<Unanswered>>,
    is_over: Cell<bool>,
    stats: RefCell<Stats>,
    answered: Notify,
    record_bytes: u64,
    run: Run,
}

struct Unanswered {
    correlation_id: i32,
    due: Instant,
    records: u64,
    _permit: Permit,
}

impl Sending {
    /// Counts an answer that came at `now`.
    fn count(&self, due: Instant, now: Instant, records: u64) {
        let bytes = records * self.record_bytes;
        self.run.progress.answered(records, bytes, now.saturating_duration_since(due));
        if self.run.measure_from <= now {
            self.stats.borrow_mut().answered(due, now, records, bytes);
        }
    }

    /// Counts an error that came at `now`; those of the warm-up only show in the progress line.
    fn refused(&self, error: String, now: Instant) {
        self.run.progress.failed();
        if self.run.measure_from <= now {
            self.stats.borrow_mut().failed(error);
        }
    }

    fn fail(&self, error: String) {
        self.run.progress.failed();
        self.stats.borrow_mut().failed(error);
    }

    /// The connection is of no more use.
    fn give_up(&self, error: String) {
        if !self.is_over.replace(true) {
            self.fail(error);
        }
        self.unanswered.borrow_mut().clear();
        self.answered.notify_all();
    }

    /// Waits for the last answers.
    async fn drained(&self) {
        let waited = time::timeout(DRAIN_MAX, async {
            while !self.unanswered.borrow().is_empty() {
                self.answered.wait().await;
            }
        });
        if waited.await.is_err() {
            let count = self.unanswered.borrow().len();
            self.fail(format!("{count} requests unanswered after {} s", DRAIN_MAX.as_secs()));
        }
    }
}

/// When requests of one connection are due.
struct Pace {
    next: Instant,
    interval: Option<Duration>,
}

impl Pace {
    /// Connections of an open loop are staggered over one interval.
    fn new(rate: Option<u64>, records_per_request: u64, run: &Run) -> Self {
        let interval = rate.map(|rate| {
            let requests_per_second = rate as f64 / records_per_request as f64 / run.connections as f64;
            Duration::from_secs_f64(1.0 / requests_per_second)
        });
        let stagger = interval.unwrap_or_default().mul_f64(run.index as f64 / run.connections as f64);
        Self { next: run.start + stagger, interval }
    }

    /// When the next request is due, if that is not later than `now`.
    fn take_due(&mut self, now: Instant) -> Option<Instant> {
        match self.interval {
            None => Some(now),
            Some(interval) => (self.next <= now).then(|| {
                let due = self.next;
                self.next += interval;
                due
            }),
        }
    }
}

async fn send(load: &ProduceLoad, sending: &Sending, mut writer: StreamWriter, templates: &[Template]) {
    let run = &sending.run;
    let end = load.duration.map(|duration| run.measure_from + duration);
    let requests_max = load.requests_max(run, templates[0].records).unwrap_or(u64::MAX);
    let mut pace = Pace::new(load.rate, templates[0].records, run);
    let mut queue = WriteQueue::new();
    let mut sent: u64 = 0;
    let mut measured: u64 = 0;
    let mut turns = templates.iter().cycle();
    loop {
        let mut permit = Some(sending.inflight.acquire(1).await);
        let now = time::monotonic_now();
        if sending.is_over.get() || requests_max <= measured || end.is_some_and(|end| end <= now) {
            return;
        }
        let mut unacknowledged = Vec::new();
        while measured < requests_max && queue.bytes() < WRITE_BYTES_MAX {
            let Some(permit) = permit.take().or_else(|| sending.inflight.try_acquire(1)) else { break };
            let Some(due) = pace.take_due(now) else { break };
            let template = turns.next().expect("a connection has a partition");
            let correlation_id = (sent & 0x7fff_ffff) as i32;
            queue.push(head(template, correlation_id));
            queue.push(template.body.clone());
            sent += 1;
            measured += u64::from(run.measure_from <= now);
            let records = template.records;
            let unanswered = Unanswered { correlation_id, due, records, _permit: permit };
            match load.options.acks {
                Acks::None => unacknowledged.push(unanswered),
                Acks::Leader | Acks::All => sending.unanswered.borrow_mut().push_back(unanswered),
            }
        }
        if queue.is_empty() {
            time::sleep(pace.next.saturating_duration_since(now)).await;
            continue;
        }
        if let Err(error) = writer.write_all(&mut queue).await {
            return sending.give_up(format!("connection lost: {error}"));
        }
        let now = time::monotonic_now();
        for request in unacknowledged {
            sending.count(request.due, now, request.records);
        }
    }
}

fn head(template: &Template, correlation_id: i32) -> Bytes {
    let mut head = BytesMut::with_capacity(HEAD_LEN);
    head.put_slice(&template.head[..CORRELATION_ID_AT]);
    head.put_i32(correlation_id);
    head.freeze()
}

async fn receive(sending: Rc<Sending>, mut reader: StreamReader, spoken: ApiVersion) {
    let mut buffer = ReadBuffer::new();
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return sending.give_up("connection lost: end of stream".to_owned()),
            Ok(_) => {}
            Err(error) => return sending.give_up(format!("connection lost: {error}")),
        }
        let now = time::monotonic_now();
        loop {
            match peek_frame(buffer.unread(), REPLY_BYTES_MAX) {
                Ok(FrameStatus::Partial { needed }) => {
                    buffer.want(needed);
                    break;
                }
                Ok(FrameStatus::Complete { end }) => {
                    buffer.skip(LENGTH_LEN);
                    let frame = buffer.take(end - LENGTH_LEN);
                    if let Err(error) = answer(&sending, frame, spoken, now) {
                        return sending.give_up(error);
                    }
                }
                Err(error) => return sending.give_up(error.to_string()),
            }
        }
        sending.answered.notify_all();
    }
}

fn answer(sending: &Sending, mut frame: Bytes, spoken: ApiVersion, now: Instant) -> Result<(), String> {
    let request = sending.unanswered.borrow_mut().pop_front().ok_or("an answer that nobody asked for")?;
    let correlation_id =
        decode_response_header(&mut frame, spoken.api, spoken.version).map_err(|error| error.to_string())?;
    if correlation_id != request.correlation_id {
        return Err(format!("correlation id {correlation_id} where {} was due", request.correlation_id));
    }
    let mut refused = 0;
    read_produce_reply(frame, spoken.version, |partition| {
        if partition.error_code != 0 {
            refused += 1;
            sending.refused(error_name(partition.error_code), now);
        }
    })
    .map_err(|error| error.to_string())?;
    if refused == 0 {
        sending.count(request.due, now, request.records);
    }
    Ok(())
}

/// Kafka's name of an error code.
pub(super) fn error_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error code {code}"), |error| error.name().to_owned())
}
