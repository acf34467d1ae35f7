//! Whole requests on a [`Wire`], with the fields a test asks for and the rest as a client would send them.

use super::batch::RawBatch;
use super::wire::{self, Body, Reply, Wire};
use super::{PATIENCE, eventually};

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;

/// What a broker answered for the one partition of a produce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) error_code: i16,
    pub(crate) base_offset: i64,
}

/// Produce v7 with `records` for one partition.
pub(crate) fn produce_body(topic: &str, partition: i32, acks: i16, records: &[u8]) -> Body {
    let head = Body::new().null_string().i16(acks).i32(30_000);
    head.i32(1).string(topic).i32(1).i32(partition).bytes(records)
}

pub(crate) fn read_produced(reply: &mut Reply) -> Produced {
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    assert_eq!(reply.i32(), 1, "one partition");
    reply.i32();
    Produced { error_code: reply.i16(), base_offset: reply.i64() }
}

/// Produces these bytes, which may be anything, with acks=all.
pub(crate) fn produce(wire: &mut Wire, topic: &str, partition: i32, records: &[u8]) -> Produced {
    read_produced(&mut wire.request(wire::PRODUCE_V7, &produce_body(topic, partition, -1, records)))
}

/// Produces a batch that must be taken; returns its base offset.
pub(crate) fn produce_ok(wire: &mut Wire, topic: &str, partition: i32, batch: &RawBatch) -> i64 {
    let produced = produce(wire, topic, partition, &batch.encode());
    assert_eq!(produced.error_code, 0, "error code of Produce");
    produced.base_offset
}

/// What a broker answered for the one partition of a fetch request.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) error_code: i16,
    pub(crate) high_watermark: i64,
    pub(crate) records: Vec<u8>,
}

impl Fetched {
    /// Reads the reply to a [`send_fetch`].
    pub(crate) fn read(wire: &mut Wire) -> Self {
        let mut reply =
            wire.reply(wire::FETCH_V11).unwrap_or_else(|error| panic!("no reply to Fetch: {error}"));
        reply.i32();
        assert_eq!(reply.i16(), 0, "error code of Fetch");
        reply.i32();
        assert_eq!(reply.i32(), 1, "one topic");
        reply.string();
        assert_eq!(reply.i32(), 1, "one partition");
        reply.i32();
        let (error_code, high_watermark) = (reply.i16(), reply.i64());
        let (_last_stable_offset, _log_start_offset) = (reply.i64(), reply.i64());
        (0..reply.i32().max(0)).for_each(|_| _ = (reply.i64(), reply.i64()));
        let _preferred_read_replica = reply.i32();
        let records = reply.bytes().unwrap_or_default();
        Self { error_code, high_watermark, records }
    }

    /// Base offset of the first batch.
    pub(crate) fn first_offset(&self) -> i64 {
        let bytes = self.records.get(..8).expect("a batch");
        i64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    }

    /// The batches that came whole.
    pub(crate) fn batches(&self) -> Vec<&[u8]> {
        let mut found = Vec::new();
        let mut rest = self.records.as_slice();
        while let Some(length) = rest.get(8..12) {
            let length = i32::from_be_bytes(length.try_into().expect("four bytes")) as usize + 12;
            let Some(batch) = rest.get(..length) else { break };
            found.push(batch);
            rest = &rest[length..];
        }
        found
    }

    pub(crate) fn whole_batches(&self) -> usize {
        self.batches().len()
    }
}

/// Bounds of a fetch.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) wait_ms: i32,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
}

impl Limits {
    /// What is there at once; otherwise the first that comes within `wait_ms`.
    pub(crate) fn waiting(wait_ms: i32) -> Self {
        Self { wait_ms, bytes_min: 1, bytes_max: 50_000_000 }
    }
}

fn fetch_body(topic: &str, partition: i32, offset: i64, limits: Limits) -> Body {
    let head = Body::new().i32(-1).i32(limits.wait_ms).i32(limits.bytes_min).i32(limits.bytes_max).i8(0);
    let session = head.i32(0).i32(-1);
    let topic = session.i32(1).string(topic).i32(1);
    let partition = topic.i32(partition).i32(-1).i64(offset).i64(-1).i32(limits.bytes_max);
    partition.i32(0).string("")
}

/// Sends a fetch of one partition and does not wait for the reply.
pub(crate) fn send_fetch(wire: &mut Wire, topic: &str, partition: i32, offset: i64, wait_ms: i32) {
    send_fetch_within(wire, topic, partition, offset, Limits::waiting(wait_ms));
}

/// The same with bounds of the test's own.
pub(crate) fn send_fetch_within(wire: &mut Wire, topic: &str, partition: i32, offset: i64, limits: Limits) {
    wire.send(wire::FETCH_V11, &fetch_body(topic, partition, offset, limits));
}

/// Fetches what is there, waiting for at most `wait_ms` when there is nothing.
pub(crate) fn fetch_waiting(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
    wait_ms: i32,
) -> Fetched {
    send_fetch(wire, topic, partition, offset, wait_ms);
    Fetched::read(wire)
}

/// Fetches what is there.
pub(crate) fn fetch(wire: &mut Wire, topic: &str, partition: i32, offset: i64) -> Fetched {
    fetch_waiting(wire, topic, partition, offset, 0)
}

/// Fetches at most `bytes_max` bytes, in all and of the partition.
pub(crate) fn fetch_limited(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
    bytes_max: i32,
) -> Fetched {
    send_fetch_within(wire, topic, partition, offset, Limits { bytes_max, ..Limits::waiting(0) });
    Fetched::read(wire)
}

/// Every batch from `offset` to the end of the log.
pub(crate) fn fetch_all(wire: &mut Wire, topic: &str, partition: i32, mut offset: i64) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let fetched = fetch(wire, topic, partition, offset);
        assert_eq!(fetched.error_code, 0, "error code of Fetch at {offset}");
        let Some(last) = fetched.batches().last().copied() else { return found };
        let base = i64::from_be_bytes(last[..8].try_into().expect("eight bytes"));
        offset = base + i64::from(i32::from_be_bytes(last[23..27].try_into().expect("four bytes"))) + 1;
        found.extend(fetched.batches().into_iter().map(<[u8]>::to_vec));
    }
}

/// The number of each batch's codec.
pub(crate) fn batch_codecs(batches: &[Vec<u8>]) -> Vec<usize> {
    batches.iter().map(|batch| usize::from(batch[22] & 7)).collect()
}

/// ListOffsets v5 of one partition: error code, timestamp, offset.
pub(crate) fn list_offset(wire: &mut Wire, topic: &str, partition: i32, timestamp: i64) -> (i16, i64, i64) {
    let body = Body::new().i32(-1).i8(0).i32(1).string(topic).i32(1).i32(partition).i32(-1).i64(timestamp);
    let mut reply = wire.request(wire::LIST_OFFSETS_V5, &body);
    reply.i32();
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    assert_eq!(reply.i32(), 1, "one partition");
    reply.i32();
    (reply.i16(), reply.i64(), reply.i64())
}

/// Metadata v8: how many brokers there are, and how many partitions of a topic have a leader. Nothing when
/// the connection breaks.
pub(crate) fn brokers_and_partitions(wire: &mut Wire, topic: &str) -> Option<(i32, usize)> {
    let body = Body::new().i32(1).string(topic).i8(0).i8(0).i8(0);
    let mut reply = wire.try_request(wire::METADATA_V8, &body).ok()?;
    reply.i32();
    let brokers = reply.i32();
    (0..brokers).for_each(|_| _ = (reply.i32(), reply.string(), reply.i32(), reply.string()));
    _ = (reply.string(), reply.i32());
    assert_eq!(reply.i32(), 1, "one topic");
    _ = (reply.i16(), reply.string(), reply.i8());
    let mut led = 0;
    for _ in 0..reply.i32() {
        let (error_code, _partition, leader) = (reply.i16(), reply.i32(), reply.i32());
        _ = reply.i32();
        (0..3).for_each(|_| (0..reply.i32()).for_each(|_| _ = reply.i32()));
        led += usize::from(error_code == 0 && leader >= 0);
    }
    Some((brokers, led))
}

/// A producer id and its epoch. A broker that has just started may ask for patience.
pub(crate) fn init_producer_id(wire: &mut Wire) -> (i64, i16) {
    eventually("a producer id", PATIENCE, || {
        let mut reply = wire.request(wire::INIT_PRODUCER_ID_V1, &Body::new().null_string().i32(60_000));
        reply.i32();
        match reply.i16() {
            0 => Some((reply.i64(), reply.i16())),
            COORDINATOR_LOAD_IN_PROGRESS => None,
            error_code => panic!("error code {error_code} of InitProducerId"),
        }
    })
}

/// CreateTopics v4 of one topic with one config; its error code.
pub(crate) fn create_topic(
    wire: &mut Wire,
    name: &str,
    partitions: i32,
    config: Option<(&str, &str)>,
) -> i16 {
    let body = Body::new().i32(1).string(name).i32(partitions).i16(1).i32(0);
    let body = match config {
        Some((key, value)) => body.i32(1).string(key).string(value),
        None => body.i32(0),
    };
    let mut reply = wire.request(wire::CREATE_TOPICS_V4, &body.i32(20_000).i8(0));
    reply.i32();
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    reply.i16()
}
