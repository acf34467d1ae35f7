//! Requests that are much work: a healthy client of the same shard goes on beside each of them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::compression::Codec;
use corelog::types::Timestamp;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::wire::{self, Body, Reply, Wire};
use crate::harness::{clients, now_ms, requests};

/// The longest that a healthy client may wait beside any of this, on a machine that runs other tests too.
const HEALTHY_MAX: Duration = Duration::from_millis(1_200);

/// Runs `work` while another connection fetches a record from memory, so that how busy the disk is does not
/// show; how long that had to wait at the most, and the outcome.
fn beside_a_healthy_client<T>(address: SocketAddr, work: impl FnOnce() -> T) -> (Duration, T) {
    let batch = RawBatch::of(&[b"healthy"], now_ms());
    let mut wire = Wire::connect(address);
    let offset = requests::produce_ok(&mut wire, "healthy", 0, &batch);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_done.load(Ordering::Relaxed) {
                let begin = Instant::now();
                assert_eq!(requests::fetch(&mut wire, "healthy", 0, offset).first_offset(), offset);
                longest = longest.max(begin.elapsed());
                // It asks now and then; the processor is for the work.
                thread::sleep(Duration::from_millis(3));
            }
            longest
        });
        let outcome = work();
        is_done.store(true, Ordering::Relaxed);
        (serving.join().expect("the healthy client is served"), outcome)
    })
}

/// A produce of the same records to many partitions of one topic.
fn produce_body(topic: &str, partitions: usize, records: &[u8]) -> Body {
    let count = i32::try_from(partitions).expect("a few");
    let head = Body::new().null_string().i16(-1).i32(30_000).i32(1).string(topic).i32(count);
    (0..count).fold(head, |body, partition| body.i32(partition).bytes(records))
}

/// Error codes and base offsets by partition.
fn read_produced(reply: &mut Reply) -> Vec<(i16, i64)> {
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    let count = reply.i32();
    let read = |_| {
        let (_partition, error_code, base_offset) = (reply.i32(), reply.i16(), reply.i64());
        _ = (reply.i64(), reply.i64());
        (error_code, base_offset)
    };
    (0..count).map(read).collect()
}

/// A batch of a few kilobytes with one record of `bytes` zeros.
fn bomb(codec: Codec, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
    builder.append(Timestamp(now_ms()), None, Some(&vec![0; bytes]), &[]);
    builder.build().to_vec()
}

#[test]
fn a_request_full_of_bombs_stalls_no_other_client() {
    const PARTITIONS: usize = 100;
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "healthy", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "bombs", PARTITIONS as i32, &[]);
    for (codec, bytes) in [(Codec::Zstd, 250_000_000), (Codec::Gzip, 1_500_000)] {
        let batch = bomb(codec, bytes);
        assert!(batch.len() < 200_000, "{codec:?}: {} bytes", batch.len());
        let (longest, order) = beside_a_healthy_client(broker.address(), || {
            let mut wire = Wire::connect(broker.address());
            let mut frames = wire.frame(wire::PRODUCE_V7, &produce_body("bombs", PARTITIONS, &batch));
            let small = RawBatch::of(&[b"small"], now_ms()).encode();
            frames.extend(wire.frame(wire::PRODUCE_V7, &produce_body("bombs", PARTITIONS, &small)));
            wire.stream().write_all(&frames).expect("the broker reads");
            let [large, small] = [(); 2].map(|()| {
                let mut reply = wire.any_reply().expect("an answer");
                reply.i32();
                read_produced(&mut reply)
            });
            large.into_iter().zip(small).collect::<Vec<_>>()
        });
        eprintln!("{codec:?}: the healthy client waited for {longest:?} at the most");
        assert_eq!(order.len(), PARTITIONS);
        for ((error_code, large), (_, small)) in order {
            assert_eq!(error_code, 0, "{codec:?}");
            assert_eq!(small, large + 1, "{codec:?}: what came later was not appended behind it");
        }
        assert!(longest < HEALTHY_MAX, "{codec:?}: the healthy client waited for {longest:?}");
    }
}

#[test]
fn a_request_of_a_thousand_partitions_stalls_no_other_client() {
    const PARTITIONS: usize = 1_000;
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "healthy", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "wide", PARTITIONS as i32, &[]);
    let small = RawBatch::of(&[b"one"], now_ms()).encode();
    let (longest, produced) = beside_a_healthy_client(broker.address(), || {
        let mut wire = Wire::connect(broker.address());
        let mut reply = wire.request(wire::PRODUCE_V7, &produce_body("wide", PARTITIONS, &small));
        read_produced(&mut reply)
    });
    eprintln!("the healthy client waited for {longest:?} at the most");
    assert!(longest < HEALTHY_MAX, "the healthy client waited for {longest:?}");
    assert_eq!(produced, vec![(0, 0); PARTITIONS]);
}

#[test]
fn a_request_of_a_hundred_megabytes_stalls_no_other_client() {
    const PARTITIONS: usize = 96;
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "healthy", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "large", PARTITIONS as i32, &[]);
    let batch = RawBatch::of(&[&vec![b'x'; 1_040_000]], now_ms()).encode();
    let (longest, produced) = beside_a_healthy_client(broker.address(), || {
        let mut wire = Wire::connect(broker.address());
        let mut reply = wire.request(wire::PRODUCE_V7, &produce_body("large", PARTITIONS, &batch));
        read_produced(&mut reply)
    });
    eprintln!("the healthy client waited for {longest:?} at the most");
    assert!(longest < HEALTHY_MAX, "the healthy client waited for {longest:?}");
    assert_eq!(produced, vec![(0, 0); PARTITIONS]);
}

#[test]
fn lookups_in_a_bomb_stall_no_other_client() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "healthy", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "bombs", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let mut reply =
        wire.request(wire::PRODUCE_V7, &produce_body("bombs", 1, &bomb(Codec::Gzip, 250_000_000)));
    assert_eq!(read_produced(&mut reply), [(0, 0)]);
    let (longest, found) = beside_a_healthy_client(broker.address(), || {
        [1, 2].map(|timestamp| requests::list_offset(&mut wire, "bombs", 0, timestamp))
    });
    eprintln!("the healthy client waited for {longest:?} at the most");
    for (error_code, timestamp, offset) in found {
        assert_eq!((error_code, offset), (0, 0));
        assert!(2 < timestamp, "the time of the record");
    }
    assert!(longest < HEALTHY_MAX, "the healthy client waited for {longest:?}");
}
