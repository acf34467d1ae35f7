//! One connection of `corelog bench produce`: a task that sends what is due, one that reads the answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::runner::Run;
use super::stamp::StampPlaces;
use super::stats::Stats;
use crate::cli::CliError;
use crate::client::{ApiVersion, resolve};
use crate::rt::net::{self, ReadBuffer, StreamReader, StreamWriter, WriteQueue};
use crate::rt::sync::{Notify, Permit, Semaphore};
use crate::rt::{task, time};
use crate::types::ErrorCode;
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use crate::wire::header::decode_response_header;
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

/// How a connection sends.
#[derive(Debug, Clone)]
pub(super) struct SendRules {
    /// Requests that may be unanswered.
    pub(super) inflight: usize,
    /// False for acks=0.
    pub(super) has_answers: bool,
    /// Records per second, all connections together; `None` for as fast as possible.
    pub(super) rate: Option<u64>,
    /// Of the measured part.
    pub(super) duration: Option<Duration>,
    /// Of the measured part, all connections together.
    pub(super) records_max: Option<u64>,
    /// Bytes that a record counts for.
    pub(super) record_bytes: u64,
}

/// A request, encoded but for its correlation id.
#[derive(Debug, Clone)]
pub(super) struct Template {
    head: [u8; HEAD_LEN],
    body: Bytes,
    records: u64,
    /// Where it says when it was due, if it does.
    stamps: Option<StampPlaces>,
}

impl Template {
    /// Takes a whole frame that carries `records` records.
    pub(super) fn new(frame: &Bytes, records: u64) -> Self {
        let head = *frame.first_chunk().expect("a frame is longer than its head");
        Self { head, body: frame.slice(HEAD_LEN..), records, stamps: None }
    }

    /// The same with room for a stamp in each copy of `batch`.
    pub(super) fn with_stamps(mut self, batch: &Bytes) -> Self {
        self.stamps = Some(StampPlaces::find(&self.body, batch));
        self
    }

    fn body(&self, due: Instant) -> Bytes {
        self.stamps.as_ref().map_or_else(|| self.body.clone(), |stamps| stamps.stamped(&self.body, due))
    }

    /// The part in front of the body that both sends and answers are told apart by.
    fn head(&self, correlation_id: i32) -> Bytes {
        let mut head = BytesMut::with_capacity(HEAD_LEN);
        head.put_slice(&self.head[..CORRELATION_ID_AT]);
        head.put_i32(correlation_id);
        head.freeze()
    }
}

fn mean_records(templates: &[Template]) -> f64 {
    templates.iter().map(|template| template.records).sum::<u64>() as f64 / templates.len() as f64
}

/// Opens a connection for raw frames.
pub(super) async fn connect(address: &str) -> Result<net::Stream, CliError> {
    let candidates = resolve(address)?;
    let first = *candidates.first().ok_or_else(|| CliError::failed(format!("{address} has no address")))?;
    net::connect(first)
        .await
        .map_err(|error| CliError::failed(format!("cannot connect to {address}: {error}")))
}

/// Sends the templates in turns until the load is over and every answer is there.
pub(super) async fn drive(
    rules: &SendRules,
    stream: net::Stream,
    spoken: ApiVersion,
    templates: &[Template],
    run: Run,
) -> Stats {
    let (reader, writer) = stream.split();
    let sending = Rc::new(Sending {
        inflight: Semaphore::new(rules.inflight),
        unanswered: RefCell::default(),
        is_over: Cell::new(false),
        stats: RefCell::default(),
        answered: Notify::new(),
        record_bytes: rules.record_bytes,
        run,
    });
    let receiving = task::spawn(receive(Rc::clone(&sending), reader, spoken));
    send(rules, &sending, writer, templates).await;
    sending.drained().await;
    receiving.cancel().await;
    sending.stats.take()
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
    fn new(rate: Option<u64>, records_per_request: f64, run: &Run) -> Self {
        let interval = rate.map(|rate| {
            let requests_per_second = rate as f64 / records_per_request / run.connections as f64;
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

async fn send(rules: &SendRules, sending: &Sending, mut writer: StreamWriter, templates: &[Template]) {
    let run = &sending.run;
    let end = rules.duration.map(|duration| run.measure_from + duration);
    let records_max = rules.records_max.map_or(u64::MAX, |records| records.div_ceil(run.connections as u64));
    let mut pace = Pace::new(rules.rate, mean_records(templates), run);
    let mut queue = WriteQueue::new();
    let mut sent: u64 = 0;
    let mut measured: u64 = 0;
    let mut turns = templates.iter().cycle();
    loop {
        let mut permit = Some(sending.inflight.acquire(1).await);
        let now = time::monotonic_now();
        if sending.is_over.get() || records_max <= measured || end.is_some_and(|end| end <= now) {
            return;
        }
        let mut unacknowledged = Vec::new();
        while measured < records_max && queue.bytes() < WRITE_BYTES_MAX {
            let Some(permit) = permit.take().or_else(|| sending.inflight.try_acquire(1)) else { break };
            let Some(due) = pace.take_due(now) else { break };
            let template = turns.next().expect("a connection has a partition");
            let correlation_id = (sent & 0x7fff_ffff) as i32;
            queue.push(template.head(correlation_id));
            queue.push(template.body(due));
            sent += 1;
            let records = template.records;
            measured += if run.measure_from <= now { records } else { 0 };
            let unanswered = Unanswered { correlation_id, due, records, _permit: permit };
            match rules.has_answers {
                true => sending.unanswered.borrow_mut().push_back(unanswered),
                false => unacknowledged.push(unanswered),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(index: usize, connections: usize) -> Run {
        let start = Instant::now();
        Run { start, measure_from: start, index, connections, progress: Default::default() }
    }

    #[test]
    fn an_open_loop_is_due_by_the_clock_not_by_the_answers() {
        let run = run(1, 4);
        // 4,000 records/s of 10 a request over 4 connections: 100 requests/s each, staggered.
        let mut pace = Pace::new(Some(4_000), 10.0, &run);
        let at = |micros| run.start + Duration::from_micros(micros);
        assert_eq!(pace.take_due(at(2_499)), None);
        assert_eq!(pace.take_due(at(2_500)), Some(at(2_500)));
        assert_eq!(pace.take_due(at(2_500)), None);
        // Late: both were due in the past.
        assert_eq!(pace.take_due(at(30_000)), Some(at(12_500)));
        assert_eq!(pace.take_due(at(30_000)), Some(at(22_500)));
        assert_eq!(pace.take_due(at(30_000)), None);
        let mut unpaced = Pace::new(None, 10.0, &run);
        assert_eq!(unpaced.take_due(at(7)), Some(at(7)));
    }

    #[test]
    fn only_the_correlation_id_differs_between_sends() {
        let frame = Bytes::from((0..40).collect::<Vec<u8>>());
        let template = Template::new(&frame, 1);
        let sent = [&template.head(0x0a0b_0c0d)[..], &template.body[..]].concat();
        assert_eq!((&sent[..8], &sent[8..12]), (&frame[..8], &[10, 11, 12, 13][..]));
        assert_eq!(sent[12..], frame[12..]);
    }
}
