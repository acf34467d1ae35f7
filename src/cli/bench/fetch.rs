//! `corelog bench fetch`.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use clap::Args;
use serde_json::json;

use super::plan::{ConnectionPlan, Target};
use super::runner::{self, Load, Run};
use super::sender::{connect, error_name};
use super::stamp::micros_since_due;
use super::stats::Stats;
use super::{LoadArgs, parse_count, parse_seconds};
use crate::cli::CliError;
use crate::client::consumer::{FetchOptions, OffsetSpec, fetch_request, list_offset};
use crate::client::{ApiVersion, ConnectOptions, Connection, encode_frame};
use crate::record::batch::{Batches, crc_matches};
use crate::rt::net::{ReadBuffer, StreamReader, WriteQueue};
use crate::rt::time;
use crate::types::Offset;
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use crate::wire::header::decode_response_header;
use crate::wire::messages::ApiKey;
use crate::wire::reply::{FetchedPartition, read_fetch_reply};

/// Largest answer to a Fetch.
const REPLY_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FetchArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Most bytes of each answer. Answers above 4 MiB cost this process copies and fresh memory, which
    /// slows it down.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = parse_count)]
    max_bytes: u64,
    /// Most bytes of each partition in an answer.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = parse_count)]
    partition_max_bytes: u64,
    /// Bytes that are worth an answer.
    #[arg(long, value_name = "BYTES", default_value_t = 1)]
    min_bytes: u32,
    /// How long the broker may wait for --min-bytes.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    max_wait_ms: u32,
    /// Begin at the end of the partitions and fetch what `bench produce --stamp` adds. Latency is then that
    /// of each batch, from when it was due to be sent until it is here.
    #[arg(long, requires = "duration")]
    follow: bool,
    /// Check the CRC of each batch, which costs this process time.
    #[arg(long)]
    verify: bool,
    /// Go on for this many seconds, again from the beginning at the end. Without a limit: once to the end.
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<f64>,
    /// Go on until this many bytes were fetched, again from the beginning at the end.
    #[arg(long, value_name = "BYTES", value_parser = parse_count)]
    bytes: Option<u64>,
}

/// Runs the load and reports.
pub(super) fn run(mut args: FetchArgs) -> Result<(), CliError> {
    let repeats = args.duration.is_some() || args.bytes.is_some();
    if !repeats {
        // Reading once to the end leaves nothing for a part that does not count.
        args.load.warmup = 0.0;
    }
    let load = FetchLoad {
        options: FetchOptions {
            max_wait_ms: int(u64::from(args.max_wait_ms)),
            min_bytes: int(u64::from(args.min_bytes)),
            max_bytes: int(args.max_bytes),
            partition_max_bytes: int(args.partition_max_bytes),
        },
        follow: args.follow,
        verify: args.verify,
        duration: args.duration.map(Duration::from_secs_f64),
        bytes_max: args.bytes,
        connect: args.load.client.options(),
    };
    let measured = runner::run(&args.load, &load, false)?;
    let arguments = json!({
        "topics": args.load.topics,
        "partitions": args.load.partitions,
        "connections": args.load.connections,
        "threads": args.load.threads,
        "max_bytes": args.max_bytes,
        "partition_max_bytes": args.partition_max_bytes,
        "verify": args.verify,
        "follow": args.follow,
    });
    measured.finish(if args.follow { "followed" } else { "fetched" }, arguments, args.load.json.as_deref())
}

/// The protocol's sizes are 32 bits wide.
fn int(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[derive(Debug, Clone)]
struct FetchLoad {
    options: FetchOptions,
    /// Whether to begin at the end.
    follow: bool,
    verify: bool,
    /// Of the measured part; with it, or with `bytes_max`, reading starts again at the end.
    duration: Option<Duration>,
    /// Of the measured part, all connections together.
    bytes_max: Option<u64>,
    connect: ConnectOptions,
}

/// A connection that is open, and what it will read.
pub(super) struct PreparedFetch {
    stream: crate::rt::net::Stream,
    spoken: ApiVersion,
    request: RequestTemplate,
    cursors: Vec<Cursor>,
    positions: Positions,
}

/// Where reading a partition stands.
#[derive(Debug)]
struct Cursor {
    start: Offset,
    /// The end when the load began.
    end: Offset,
    next: Offset,
}

/// An encoded Fetch whose offsets are patched in place.
#[derive(Debug)]
struct RequestTemplate {
    frame: Bytes,
    /// Where each partition's offset is, in the order of the cursors.
    offsets_at: Vec<usize>,
}

impl RequestTemplate {
    /// Encodes the request with an offset that occurs nowhere else, and finds it again.
    fn new(targets: &[Target], spoken: ApiVersion, options: FetchOptions) -> Result<Self, CliError> {
        const MARK: i64 = 0x6d61_726b_6d61_726b;
        let partitions: Vec<_> =
            targets.iter().map(|target| (target.topic.as_str(), target.partition, Offset(MARK))).collect();
        let frame = encode_frame(spoken, 0, "corelog-bench", &fetch_request(&partitions, options))?;
        let mark = MARK.to_be_bytes();
        let offsets_at: Vec<_> =
            (0..frame.len() - mark.len() + 1).filter(|&at| frame[at..].starts_with(&mark)).collect();
        assert_eq!(offsets_at.len(), targets.len(), "each partition has one offset, and topics no such name");
        Ok(Self { frame, offsets_at })
    }

    fn at(&self, cursors: &[Cursor]) -> Bytes {
        let mut frame = BytesMut::from(&self.frame[..]);
        for (&at, cursor) in self.offsets_at.iter().zip(cursors) {
            frame[at..at + 8].copy_from_slice(&cursor.next.0.to_be_bytes());
        }
        frame.freeze()
    }
}

impl Load for FetchLoad {
    type Prepared = PreparedFetch;

    async fn prepare(&self, plan: ConnectionPlan, _index: usize) -> Result<PreparedFetch, CliError> {
        let connection = Connection::open(&plan.address, self.connect.clone()).await?;
        let spoken = connection.version(ApiKey::Fetch)?;
        let mut cursors = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let place = async |spec| list_offset(&connection, &target.topic, target.partition, spec).await;
            let end = place(OffsetSpec::Latest).await?.unwrap_or(Offset::ZERO);
            let start = match self.follow {
                true => end,
                false => place(OffsetSpec::Earliest).await?.unwrap_or(Offset::ZERO),
            };
            cursors.push(Cursor { start, end, next: start });
        }
        let request = RequestTemplate::new(&plan.targets, spoken, self.options)?;
        let positions = Positions::of(&plan.targets);
        Ok(PreparedFetch { stream: connect(&plan.address).await?, spoken, request, cursors, positions })
    }

    async fn drive(self: Rc<Self>, prepared: PreparedFetch, run: Run) -> Stats {
        let PreparedFetch { stream, spoken, request, cursors, positions } = prepared;
        let mut fetching = Fetching { load: self, spoken, cursors, positions, run, stats: Stats::default() };
        if let Err(error) = fetching.run(stream, &request).await {
            fetching.fail(error);
        }
        fetching.stats
    }
}

/// One connection that fetches.
struct Fetching {
    load: Rc<FetchLoad>,
    spoken: ApiVersion,
    cursors: Vec<Cursor>,
    positions: Positions,
    run: Run,
    stats: Stats,
}

impl Fetching {
    async fn run(&mut self, stream: crate::rt::net::Stream, request: &RequestTemplate) -> Result<(), String> {
        let (mut reader, mut writer) = stream.split();
        let (mut buffer, mut queue) = (ReadBuffer::new(), WriteQueue::new());
        while !self.is_over() {
            let due = time::monotonic_now();
            queue.push(request.at(&self.cursors));
            writer.write_all(&mut queue).await.map_err(|error| format!("connection lost: {error}"))?;
            let frame = read_frame(&mut reader, &mut buffer).await?;
            self.answer(frame, due)?;
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        let now = time::monotonic_now();
        let duration_over =
            self.load.duration.is_some_and(|duration| self.run.measure_from + duration <= now);
        let mine = self.load.bytes_max.map(|bytes| bytes / self.run.connections as u64);
        let bytes_over = mine.is_some_and(|bytes| bytes <= self.stats.bytes);
        if self.load.follow {
            return duration_over || bytes_over;
        }
        let at_end = self.cursors.iter().all(|cursor| cursor.end <= cursor.next);
        let is_empty = self.cursors.iter().all(|cursor| cursor.end <= cursor.start);
        let repeats = self.load.duration.is_some() || self.load.bytes_max.is_some();
        if at_end && repeats {
            self.cursors.iter_mut().for_each(|cursor| cursor.next = cursor.start);
        }
        duration_over || bytes_over || is_empty || (at_end && !repeats)
    }

    fn answer(&mut self, mut frame: Bytes, due: Instant) -> Result<(), String> {
        let now = time::monotonic_now();
        let wire = |error: crate::wire::WireError| error.to_string();
        decode_response_header(&mut frame, self.spoken.api, self.spoken.version).map_err(wire)?;
        let (mut records, mut bytes) = (0, 0);
        let mut errors = Vec::new();
        let (cursors, positions, verify) = (&mut self.cursors, &self.positions, self.load.verify);
        let (follow, is_measured) = (self.load.follow, self.run.measure_from <= now);
        let (stats, mut slowest) = (&mut self.stats, Duration::ZERO);
        let code = read_fetch_reply(frame, self.spoken.version, |part| {
            let cursor = positions.find(&part).map(|index| &mut cursors[index]);
            match (part.error_code, cursor) {
                (0, Some(cursor)) => {
                    let ages = |micros| {
                        slowest = slowest.max(Duration::from_micros(micros));
                        is_measured.then(|| stats.took(micros));
                    };
                    let aged = if follow { age_batches(&part.records, now, ages) } else { Ok(()) };
                    match aged.and_then(|()| advance(cursor, &part.records, verify)) {
                        Ok(read) => (records, bytes) = (records + read.records, bytes + read.bytes),
                        Err(error) => errors.push(error),
                    }
                }
                (0, None) => errors.push("a partition that was not asked for".to_owned()),
                (code, _) => errors.push(error_name(code)),
            }
        })
        .map_err(wire)?;
        if code != 0 {
            errors.push(error_name(code));
        }
        let latency = if follow { slowest } else { now.saturating_duration_since(due) };
        self.run.progress.answered(records, bytes, latency);
        match is_measured {
            true if follow => self.stats.counted(now, records, bytes),
            true => self.stats.answered(due, now, records, bytes),
            false => {}
        }
        match errors.pop() {
            // The offset cannot move on: asking again would not end.
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: String) {
        self.run.progress.failed();
        self.stats.failed(error);
    }
}

/// Hands out how long each whole batch took from when it was due.
fn age_batches(records: &Bytes, now: Instant, mut took: impl FnMut(u64)) -> Result<(), String> {
    for (position, header, batch) in Batches::new(records).map_while(Result::ok) {
        let batch = records.slice(position..position + batch.len());
        let micros = micros_since_due(&batch, now).ok_or_else(|| {
            let offset = header.base_offset;
            format!("the batch at offset {offset} has no stamp; produce with `bench produce --stamp`")
        })?;
        took(micros);
    }
    Ok(())
}

struct Read {
    records: u64,
    bytes: u64,
}

/// Moves the cursor past the whole batches of `records` and counts them.
fn advance(cursor: &mut Cursor, records: &[u8], verify: bool) -> Result<Read, String> {
    let mut read = Read { records: 0, bytes: 0 };
    for batch in Batches::new(records) {
        // The last one may be cut.
        let Ok((position, header, bytes)) = batch else { break };
        if verify && !crc_matches(bytes) {
            return Err(format!("CRC of the batch at offset {} ({position}) is wrong", header.base_offset));
        }
        cursor.next = cursor.next.max(header.next_offset());
        read.records += header.record_count.max(0) as u64;
        read.bytes += bytes.len() as u64;
    }
    Ok(read)
}

/// Which cursor an answer's part belongs to.
struct Positions(HashMap<String, HashMap<i32, usize>>);

impl Positions {
    fn of(targets: &[Target]) -> Self {
        let mut positions: HashMap<String, HashMap<i32, usize>> = HashMap::new();
        for (index, target) in targets.iter().enumerate() {
            positions.entry(target.topic.clone()).or_default().insert(target.partition, index);
        }
        Self(positions)
    }

    fn find(&self, part: &FetchedPartition) -> Option<usize> {
        self.0.get(part.topic.as_str())?.get(&part.partition).copied()
    }
}

/// The next frame's contents.
async fn read_frame(reader: &mut StreamReader, buffer: &mut ReadBuffer) -> Result<Bytes, String> {
    loop {
        match peek_frame(buffer.unread(), REPLY_BYTES_MAX).map_err(|error| error.to_string())? {
            FrameStatus::Complete { end } => {
                buffer.skip(LENGTH_LEN);
                return Ok(buffer.take(end - LENGTH_LEN));
            }
            FrameStatus::Partial { needed } => buffer.want(needed),
        }
        match reader.read(buffer).await {
            Ok(0) => return Err("connection lost: end of stream".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("connection lost: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::Timestamp;
    use crate::wire::api;

    fn target(partition: i32) -> Target {
        Target { topic: "t".to_owned(), partition }
    }

    #[test]
    fn patched_requests_are_those_that_would_be_encoded() {
        let options = FetchOptions { max_wait_ms: 1, min_bytes: 2, max_bytes: 3, partition_max_bytes: 4 };
        let api = api::lookup(ApiKey::Fetch as i16).unwrap();
        for version in 4..=12 {
            let spoken = ApiVersion { api, version };
            let template = RequestTemplate::new(&[target(0), target(7)], spoken, options).unwrap();
            let cursor = |next| Cursor { start: Offset::ZERO, end: Offset::ZERO, next: Offset(next) };
            let encoded = encode_frame(
                spoken,
                0,
                "corelog-bench",
                &fetch_request(&[("t", 0, Offset(5)), ("t", 7, Offset(i64::MAX))], options),
            );
            assert_eq!(template.at(&[cursor(5), cursor(i64::MAX)]), encoded.unwrap(), "v{version}");
        }
    }

    #[test]
    fn whole_batches_move_the_cursor() {
        let batch = |base_offset, count| {
            let fields = BatchFields { base_offset: Offset(base_offset), ..BatchFields::default() };
            let mut builder = BatchBuilder::new(fields);
            (0..count).for_each(|_| builder.append(Timestamp(1), None, Some(b"v"), &[]));
            builder.build()
        };
        let mut cursor = Cursor { start: Offset(0), end: Offset(9), next: Offset(4) };
        let records = [&batch(3, 2)[..], &batch(5, 3), &batch(8, 1)[..65]].concat();
        let read = advance(&mut cursor, &records, true).ok().unwrap();
        assert_eq!((cursor.next, read.records), (Offset(8), 5));
        let mut broken = batch(8, 1).to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert!(advance(&mut cursor, &broken, true).is_err());
        assert!(advance(&mut cursor, &broken, false).is_ok());
    }
}
