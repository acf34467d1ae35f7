//! More than the broker can take: it takes what it can, in bounded memory, nobody else is kept from theirs,
//! and what it acknowledged is there.
//!
//! A flood is made of connections that send produce requests as fast as the broker reads them and that read
//! no answer before the flood is over.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use corelog::types::Prng;
use rdkafka::message::Message;
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::wire::{self, Body, Wire};
use crate::harness::{PATIENCE, clients, eventually, now_ms, requests};

const CONNECTIONS: usize = 40;
const PARTITIONS: usize = 4;
const HEALTHY_REQUESTS: usize = 20;

const STAGED_BYTES_MAX: usize = 1 << 20;
const JOURNAL_BYTES: usize = 4 << 20;
const CACHE_BYTES: usize = 1 << 20;

/// The default of `corelog.connection.inflight.requests.max`.
const INFLIGHT_REQUESTS_MAX: usize = 128;

/// A block of 128 KiB that a connection receives into, and one whose requests are still in use.
const CONNECTION_BYTES: usize = 2 * (128 << 10);

/// What the allocator keeps, the tasks of the connections, the one batch that is compressed at a time.
const SLACK_BYTES: usize = 16 << 20;

/// How much the broker may grow in a flood. Requests are there twice: as they came, and staged to be written.
const GROWTH_BYTES_MAX: usize =
    2 * STAGED_BYTES_MAX + JOURNAL_BYTES + CACHE_BYTES + CONNECTIONS * CONNECTION_BYTES + SLACK_BYTES;

/// A write that has taken nothing for so long counts as held up, and is tried again.
const WRITE_TIMEOUT: Duration = Duration::from_millis(50);

/// A broker of one shard with little memory, and a topic that is flooded.
fn broker(flooded: &[(&str, &str)]) -> Broker {
    let broker = Broker::start(
        1,
        &[
            ("corelog.staged.bytes.max", &STAGED_BYTES_MAX.to_string()),
            ("corelog.journal.bytes", &JOURNAL_BYTES.to_string()),
            ("corelog.cache.bytes", &CACHE_BYTES.to_string()),
        ],
    );
    clients::create_topic(&broker.bootstrap(), "healthy", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "flooded", PARTITIONS as i32, flooded);
    broker
}

/// A connection on which little is on its way: a few answers that are not read fill every buffer.
fn connect_with_small_buffers(address: SocketAddr) -> Wire {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(1).expect("the kernel takes its least");
    socket.set_send_buffer_size(16 << 10).expect("a buffer of 16 KiB");
    // The size of the broker's buffers follows from it.
    socket.set_tcp_mss(536).expect("a small segment size");
    socket.connect(&address.into()).expect("the broker accepts");
    Wire::over(TcpStream::from(socket))
}

/// Has the answers come faster, once they are read.
fn enlarge_receive_buffer(stream: &TcpStream) {
    SockRef::from(stream).set_recv_buffer_size(256 << 10).expect("a larger buffer");
}

/// A flood, as its connections share it.
struct Flood {
    address: SocketAddr,
    value_bytes: usize,
    /// Connections that could not send at once.
    held_up: AtomicUsize,
    is_over: AtomicBool,
}

/// Which request a record came with: the connection's number, and the request's on it.
type Origin = (usize, usize);

/// What was acknowledged: where, and what is there.
type Acknowledged = BTreeMap<(usize, i64), Origin>;

impl Flood {
    fn new(broker: &Broker, value_bytes: usize) -> Self {
        let (held_up, is_over) = Default::default();
        Self { address: broker.address(), value_bytes, held_up, is_over }
    }

    /// Runs `beside` once every connection is held up, and ends when it is done.
    fn run<T>(&self, beside: impl FnOnce() -> T) -> (T, Acknowledged) {
        thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|connection| scope.spawn(move || Sender::connect(self, connection).run()))
                .collect();
            // However this ends, the senders end with it.
            let running = Running(&self.is_over);
            eventually("every connection of the flood is held up", PATIENCE, || {
                (self.held_up.load(Ordering::Relaxed) == CONNECTIONS).then_some(())
            });
            let outcome = beside();
            drop(running);
            let acknowledged = senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends"));
            (outcome, acknowledged.collect())
        })
    }
}

/// A flood that goes on; it is over when this is dropped.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection of the flood.
struct Sender<'a> {
    flood: &'a Flood,
    connection: usize,
    wire: Wire,
    prng: Prng,
}

impl<'a> Sender<'a> {
    fn connect(flood: &'a Flood, connection: usize) -> Self {
        let mut wire = connect_with_small_buffers(flood.address);
        wire.stream().set_write_timeout(Some(WRITE_TIMEOUT)).expect("a timeout can be set");
        Self { flood, connection, wire, prng: Prng::new(connection as u64) }
    }

    fn partition(&self) -> usize {
        self.connection % PARTITIONS
    }

    /// Sends until the flood is over, and then reads all answers.
    fn run(mut self) -> Vec<((usize, i64), Origin)> {
        let (mut sent, mut unsent) = (0, Vec::new());
        let mut is_held_up = false;
        while !self.flood.is_over.load(Ordering::Relaxed) {
            if unsent.is_empty() {
                unsent = self.request(sent);
                sent += 1;
            }
            match self.wire.stream().write(&unsent) {
                Ok(count) => drop(unsent.drain(..count)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if !std::mem::replace(&mut is_held_up, true) {
                        self.flood.held_up.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) => panic!("connection {}: {error}", self.connection),
            }
        }
        self.read_answers(sent, &unsent)
    }

    /// A request whose record tells where it came from; its bytes do not compress.
    fn request(&mut self, number: usize) -> Vec<u8> {
        let mut value = vec![0; self.flood.value_bytes];
        self.prng.fill(&mut value);
        value[..8].copy_from_slice(&(self.connection as u64).to_be_bytes());
        value[8..16].copy_from_slice(&(number as u64).to_be_bytes());
        let records = RawBatch::of(&[&value], now_ms()).encode();
        let body = requests::produce_body("flooded", self.partition() as i32, -1, &records);
        self.wire.frame(wire::PRODUCE_V7, &body)
    }

    /// The answers to all requests, of the last of which a part may not be sent yet.
    fn read_answers(mut self, sent: usize, unsent: &[u8]) -> Vec<((usize, i64), Origin)> {
        let mut writing = self.wire.stream().try_clone().expect("a second handle");
        enlarge_receive_buffer(&writing);
        writing.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        thread::scope(|scope| {
            scope.spawn(move || writing.write_all(unsent).expect("the broker reads on"));
            let read = |number| {
                let mut reply = self.wire.any_reply().expect("every request is answered");
                assert_eq!(reply.i32(), number as i32 + 1, "answers come in order");
                let produced = requests::read_produced(&mut reply);
                assert_eq!(produced.error_code, 0, "request {number} of connection {}", self.connection);
                ((self.connection % PARTITIONS, produced.base_offset), (self.connection, number))
            };
            (0..sent).map(read).collect()
        })
    }
}

/// Produces that must all succeed, and be found afterwards.
fn healthy_requests(broker: &Broker) {
    let mut wire = Wire::connect(broker.address());
    for number in 0..HEALTHY_REQUESTS {
        let batch = RawBatch::of(&[format!("healthy {number}").as_bytes()], now_ms());
        assert_eq!(requests::produce_ok(&mut wire, "healthy", 0, &batch), number as i64);
    }
    assert_eq!(requests::fetch_all(&mut wire, "healthy", 0, 0).len(), HEALTHY_REQUESTS);
}

/// Each record that was acknowledged is where the answer said, and there are no others.
fn assert_readable(broker: &Broker, acknowledged: &Acknowledged) {
    let field =
        |value: &[u8], at| u64::from_be_bytes(value[at..at + 8].try_into().expect("8 bytes")) as usize;
    for partition in 0..PARTITIONS {
        let expected: Vec<_> = acknowledged.range((partition, 0)..(partition + 1, 0)).collect();
        let end = clients::watermarks(&broker.bootstrap(), "flooded", partition as i32).1;
        assert_eq!(expected.len() as i64, end, "records of partition {partition}");
        let found = clients::read(&broker.bootstrap(), "flooded", partition as i32, 0, expected.len());
        for (((_, offset), origin), message) in expected.into_iter().zip(found) {
            let value = message.payload().expect("a value");
            assert_eq!((message.offset(), (field(value, 0), field(value, 8))), (*offset, *origin));
        }
    }
}

#[test]
fn a_flood_that_no_core_could_take_leaves_memory_bounded() {
    const VALUE_BYTES: usize = 100_000;
    const _: () = assert!(10 * GROWTH_BYTES_MAX < CONNECTIONS * INFLIGHT_REQUESTS_MAX * VALUE_BYTES);
    // The broker has to compress each batch, one at a time, which takes far longer than to send it.
    let broker = broker(&[("compression.type", "gzip")]);
    let before = broker.resident_bytes();
    let flood = Flood::new(&broker, VALUE_BYTES);
    let (most, acknowledged) = flood.run(|| {
        healthy_requests(&broker);
        broker.resident_bytes_max()
    });
    let growth = most.saturating_sub(before);
    eprintln!(
        "{} requests acknowledged; resident {before} bytes before, {most} at the most: {growth} of at most \
         {GROWTH_BYTES_MAX} more",
        acknowledged.len()
    );
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more than before, at most {GROWTH_BYTES_MAX}");
    assert_readable(&broker, &acknowledged);
}

#[test]
fn requests_whose_answers_nobody_reads_keep_no_memory_from_others() {
    const QUESTIONS: usize = 40;
    const LARGE_REQUESTS: usize = 3;
    // Each takes all of `corelog.staged.bytes.max`.
    let value = vec![b'x'; STAGED_BYTES_MAX + 1];
    let batch = RawBatch::of(&[&value], now_ms()).encode();
    let broker = broker(&[("max.message.bytes", &(2 * STAGED_BYTES_MAX).to_string())]);
    clients::create_topic(&broker.bootstrap(), "wide", 300, &[]);

    let mut silent = connect_with_small_buffers(broker.address());
    // Their answers have ten times the bytes that fit on the way.
    let question = Body::new().i32(1).string("wide").i8(0).i8(0).i8(0);
    (0..QUESTIONS).for_each(|_| silent.send(wire::METADATA_V8, &question));
    (0..LARGE_REQUESTS).for_each(|_| {
        silent.send(wire::PRODUCE_V7, &requests::produce_body("flooded", 0, -1, &batch));
    });
    healthy_requests(&broker);
    let mut other = Wire::connect(broker.address());
    eventually("the records are there", PATIENCE, || {
        let fetched = requests::fetch_limited(&mut other, "flooded", 0, 0, 1);
        (fetched.high_watermark == LARGE_REQUESTS as i64).then_some(())
    });

    enlarge_receive_buffer(silent.stream());
    (0..QUESTIONS).for_each(|_| _ = silent.any_reply().expect("every question is answered"));
    for number in 0..LARGE_REQUESTS {
        let mut reply = silent.any_reply().expect("every request is answered");
        assert_eq!(reply.i32(), (QUESTIONS + number) as i32 + 1, "answers come in order");
        let produced = requests::read_produced(&mut reply);
        assert_eq!((produced.error_code, produced.base_offset), (0, number as i64));
    }
}

#[test]
fn connections_that_are_cut_leave_memory_bounded() {
    const CUTS: usize = 100;
    const LONG_REQUESTS: usize = 8;
    const VALUE_BYTES: usize = 100_000;
    const _: () = assert!(2 * GROWTH_BYTES_MAX < CUTS * LONG_REQUESTS * VALUE_BYTES);
    // The broker has to compress each batch, one at a time: they are still to do when their connection ends.
    let broker = broker(&[("compression.type", "gzip")]);
    let before = broker.resident_bytes();
    let mut prng = Prng::new(1);
    let small = RawBatch::of(&[b"small"], now_ms()).encode();
    for cut in 0..CUTS {
        let mut value = vec![0; VALUE_BYTES];
        prng.fill(&mut value);
        let large = RawBatch::of(&[&value], now_ms()).encode();
        let mut wire = Wire::connect(broker.address());
        // The second ends the connection when the first is done; those behind are read meanwhile.
        let mut requests = wire.frame(wire::PRODUCE_V7, &requests::produce_body("healthy", 0, -1, &small));
        requests.extend(wire.frame(wire::PRODUCE_V7, &requests::produce_body("missing", -1, 0, &small)));
        for _ in 0..LONG_REQUESTS {
            let body = requests::produce_body("flooded", (cut % PARTITIONS) as i32, -1, &large);
            requests.extend(wire.frame(wire::PRODUCE_V7, &body));
        }
        // Not all of it may be read.
        _ = wire.stream().write_all(&requests);
        while wire.any_reply().is_ok() {}
    }
    let growth = broker.resident_bytes_max().saturating_sub(before);
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more than before, at most {GROWTH_BYTES_MAX}");
    requests::produce_ok(
        &mut Wire::connect(broker.address()),
        "healthy",
        0,
        &RawBatch::of(&[b"x"], now_ms()),
    );
}
