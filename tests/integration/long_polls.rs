//! Fetches that wait: they hold nothing that others need, take no processor time, and end with their client
//! or with the broker.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::requests::{self, Fetched, Limits};
use crate::harness::wire::{self, Wire};
use crate::harness::{PATIENCE, clients, eventually, now_ms};

/// How long the fetches of these tests would wait, if nothing happened: longer than any of the bounds below.
const WAIT: Duration = Duration::from_secs(18);
const WAIT_MS: i32 = WAIT.as_millis() as i32;

/// What is to happen at once has this long, on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_secs(6);

/// A connection with a fetch of the end of `topic` under way.
fn long_poll(broker: &Broker, topic: &str) -> Wire {
    let mut wire = Wire::connect(broker.address());
    requests::send_fetch(&mut wire, topic, 0, 0, WAIT_MS);
    wire
}

fn batch_of(bytes: usize) -> RawBatch {
    RawBatch::of(&[&vec![b'x'; bytes]], now_ms())
}

/// Requests behind a fetch that waited once filled the memory that the requests of a shard share, and every
/// other client waited along.
#[test]
fn what_a_client_sends_behind_a_long_poll_holds_up_nobody() {
    let broker = Broker::start(1, &[("corelog.staged.bytes.max", "1048576")]);
    clients::create_topic(&broker.bootstrap(), "quiet", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "busy", 1, &[]);
    let begin = Instant::now();
    let mut polls: Vec<Wire> = (0..3).map(|_| long_poll(&broker, "quiet")).collect();
    for wire in &mut polls {
        let records = batch_of(700_000).encode();
        let frame = wire.frame(wire::PRODUCE_V7, &requests::produce_body("busy", 0, -1, &records));
        // What the kernel does not take of it, the broker does not read either.
        wire.stream().set_nonblocking(true).expect("a socket can be non-blocking");
        assert!(0 < wire.stream().write(&frame).expect("the kernel takes the beginning"));
        wire.stream().set_nonblocking(false).expect("a socket can be blocking");
    }
    let mut healthy = Wire::connect(broker.address());
    for _ in 0..20 {
        requests::produce_ok(&mut healthy, "busy", 0, &batch_of(700_000));
    }
    assert!(begin.elapsed() < AT_ONCE, "the other connection took {:?}", begin.elapsed());
    // The polls are still there, and end with the first record.
    requests::produce_ok(&mut healthy, "quiet", 0, &batch_of(1));
    for mut wire in polls {
        // The reply to the fetch; the correlation id that the wire remembers is that of the produce.
        wire.any_reply().expect("the fetch is answered");
    }
    assert!(begin.elapsed() < WAIT, "it took {:?}", begin.elapsed());
}

/// What a client sends while its fetch waits is answered after it, in order.
#[test]
fn requests_behind_a_long_poll_are_answered_after_it() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "quiet", 1, &[]);
    let mut wire = long_poll(&broker, "quiet");
    let frames: Vec<u8> =
        (0..10).flat_map(|_| wire.frame(wire::API_VERSIONS_V2, &wire::Body::new())).collect();
    wire.stream().write_all(&frames).expect("the kernel takes a few bytes");
    requests::produce_ok(&mut Wire::connect(broker.address()), "quiet", 0, &batch_of(1));
    let order: Vec<i32> = (0..11).map(|_| wire.any_reply().expect("a reply").i32()).collect();
    assert_eq!(order, (1..=11).collect::<Vec<_>>());
}

/// A read ends at the end of a segment. A fetch that asks for more than is left in one, while the log has
/// enough, once read the same bytes again and again until its time was over.
#[test]
fn more_than_one_read_can_find_is_answered_at_once() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "segments", 1, &[("segment.bytes", "1048576")]);
    let mut wire = Wire::connect(broker.address());
    (0..6).for_each(|_| _ = requests::produce_ok(&mut wire, "segments", 0, &batch_of(300_000)));

    for (case, bytes_min, bytes_max) in [
        ("more than the segment has, less than the log", 1_500_000, 50_000_000),
        ("more than the response may have", 40_000_000, 500_000),
    ] {
        let (begin, cpu) = (Instant::now(), broker.cpu_time());
        let limits = Limits { wait_ms: WAIT_MS, bytes_min, bytes_max };
        requests::send_fetch_within(&mut wire, "segments", 0, 0, limits);
        let fetched = Fetched::read(&mut wire);
        assert!(fetched.whole_batches() > 0, "{case}");
        assert!(begin.elapsed() < AT_ONCE, "{case}: it took {:?}", begin.elapsed());
        let used = broker.cpu_time() - cpu;
        assert!(used < Duration::from_millis(500), "{case}: it took {used:?} of processor time");
    }
}

#[test]
fn a_fetch_that_waits_takes_no_processor_time() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "little", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    requests::produce_ok(&mut wire, "little", 0, &batch_of(10_000));
    requests::fetch(&mut wire, "little", 0, 0);

    let wait = Duration::from_secs(3);
    let (begin, cpu) = (Instant::now(), broker.cpu_time());
    let limits = Limits { wait_ms: wait.as_millis() as i32, bytes_min: 20_000_000, bytes_max: 50_000_000 };
    requests::send_fetch_within(&mut wire, "little", 0, 0, limits);
    assert_eq!(Fetched::read(&mut wire).whole_batches(), 1, "what is there comes when the time is over");
    assert!(wait <= begin.elapsed(), "it waited for {:?} only", begin.elapsed());
    let used = broker.cpu_time() - cpu;
    assert!(used < wait / 6, "it took {used:?} of processor time in {wait:?}");
}

#[test]
fn a_long_poll_ends_with_its_client() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "quiet", 1, &[]);
    let mut healthy = Wire::connect(broker.address());
    healthy.api_versions().expect("an answer");
    let before = eventually("the connections of the test's tools are gone", PATIENCE, || {
        let sockets = broker.sockets();
        thread::sleep(Duration::from_millis(50));
        (sockets == broker.sockets()).then_some(sockets)
    });
    let polls: Vec<Wire> = (0..40).map(|_| long_poll(&broker, "quiet")).collect();
    eventually("the polls have arrived", AT_ONCE, || (before + 40 <= broker.sockets()).then_some(()));
    drop(polls);
    eventually("the polls are given up", AT_ONCE, || (broker.sockets() <= before).then_some(()));
    requests::produce_ok(&mut healthy, "quiet", 0, &batch_of(1));
}

#[test]
fn a_stop_does_not_wait_for_long_polls() {
    for shards in [1, 2] {
        let mut broker = Broker::start(shards, &[]);
        clients::create_topic(&broker.bootstrap(), "quiet", 1, &[]);
        let mut polls: Vec<Wire> = (0..40).map(|_| long_poll(&broker, "quiet")).collect();
        // A reply says that the broker has read what was sent before on other connections, as good as surely.
        Wire::connect(broker.address()).api_versions().expect("an answer");
        let begin = Instant::now();
        broker.signal(Signal::TERM);
        let status = broker.wait(WAIT);
        assert!(status.success(), "{status}:\n{}", broker.output());
        assert!(begin.elapsed() < AT_ONCE, "the stop took {:?}", begin.elapsed());
        for wire in &mut polls {
            // Either the fetch was read and is answered, or the broker stopped before it read it.
            assert!(wire.reply(wire::FETCH_V11).is_ok() || wire.is_closed());
        }
    }
}
