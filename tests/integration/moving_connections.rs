//! Connections that move to the shard whose partitions they ask for.

use std::io::Write;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::requests::{self, produce_body, read_produced};
use crate::harness::wire::{self, Body, Reply, Wire};
use crate::harness::{PATIENCE, clients, eventually, now_ms};

/// The kernel gives each connection to either shard: that none of so many, or all, came to the right one
/// does not happen.
const CONNECTIONS: usize = 24;

const BURST: usize = 10;

/// A broker of two shards with the topic `t` of two partitions.
fn broker(settings: &[(&str, &str)]) -> Broker {
    let broker = Broker::start_with(2, |launch| {
        let launch = launch.env("RUST_LOG", "info,server=debug");
        settings.iter().fold(launch, |launch, (key, value)| launch.with(key, value))
    });
    clients::create_topic(&broker.bootstrap(), "t", 2, &[]);
    broker
}

fn moves(broker: &Broker) -> usize {
    broker.output().lines().filter(|line| line.contains("a connection moves")).count()
}

/// Sends requests of one record each in bursts, the next burst's first bytes along with each, and reads the
/// replies. Returns the offsets.
fn produce_in_bursts(wire: &mut Wire, partition: i32, bursts: usize) -> Vec<i64> {
    let records = RawBatch::of(&[b"value"], now_ms()).encode();
    let body = produce_body("t", partition, -1, &records);
    let mut offsets = Vec::new();
    let mut ahead = 0;
    for burst in 0..bursts {
        let frames: Vec<Vec<u8>> = (0..BURST).map(|_| wire.frame(wire::PRODUCE_V7, &body)).collect();
        let bytes = frames.concat();
        // Every burst but the last stops within its last request, whose rest comes with the next.
        let end = if burst + 1 < bursts { bytes.len() - 7 } else { bytes.len() };
        wire.stream().write_all(&bytes[..end]).expect("the broker takes the burst");
        let replies = if burst + 1 < bursts { BURST - 1 } else { BURST };
        offsets.extend((0..replies + ahead).map(|_| read_offset(wire)));
        if burst + 1 < bursts {
            wire.stream().write_all(&bytes[end..]).expect("the broker takes the rest");
            ahead = 1;
        }
    }
    offsets
}

fn read_offset(wire: &mut Wire) -> i64 {
    let mut reply = wire.any_reply().expect("every request is answered");
    reply.i32();
    let produced = read_produced(&mut reply);
    assert_eq!(produced.error_code, 0, "error code of Produce");
    produced.base_offset
}

#[test]
fn a_producer_of_one_partition_moves_to_its_shard_once() {
    let broker = broker(&[("corelog.connection.moves.after.requests", "8")]);
    for partition in 0..2 {
        let mut next = 0;
        for _ in 0..CONNECTIONS {
            let mut wire = Wire::connect(broker.address());
            let offsets = produce_in_bursts(&mut wire, partition, 5);
            let expected: Vec<i64> = (next..next + 5 * BURST as i64).collect();
            assert_eq!(offsets, expected, "each request once, in its order");
            next += offsets.len() as i64;
        }
    }
    let moves = moves(&broker);
    assert!((1..2 * CONNECTIONS).contains(&moves), "{moves} moves of {} connections", 2 * CONNECTIONS);
}

#[test]
fn a_producer_of_all_partitions_stays_where_it_is() {
    let broker = broker(&[("corelog.connection.moves.after.requests", "8")]);
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect(broker.address());
        for _ in 0..10 {
            for partition in 0..2 {
                requests::produce_ok(&mut wire, "t", partition, &RawBatch::of(&[b"value"], now_ms()));
            }
        }
    }
    assert_eq!(moves(&broker), 0);
}

#[test]
fn connections_that_moved_keep_their_place_within_the_limit() {
    let limit = CONNECTIONS.to_string();
    let broker =
        broker(&[("corelog.connection.moves.after.requests", "1"), ("max.connections.per.ip", &limit)]);
    let body = produce_body("t", 0, -1, &RawBatch::of(&[b"value"], now_ms()).encode());
    for round in 0..3 {
        let mut open = eventually("all places are free", PATIENCE, || {
            let open: Vec<Wire> = std::iter::from_fn(|| served(&broker)).take(CONNECTIONS + 1).collect();
            assert!(open.len() <= CONNECTIONS, "{} connections", open.len());
            (open.len() == CONNECTIONS).then_some(open)
        });
        for wire in &mut open {
            produce_in_bursts(wire, 0, 2);
        }
        assert!(served(&broker).is_none(), "round {round}: a connection that moved has left its place");
        // The next ones leave while they are about to move.
        for wire in &mut open {
            wire.send(wire::PRODUCE_V7, &body);
        }
    }
    assert!(0 < moves(&broker));
}

/// A connection that the broker serves, or none.
fn served(broker: &Broker) -> Option<Wire> {
    let mut wire = Wire::try_connect(broker.address()).ok()?;
    wire.api_versions().is_ok().then_some(wire)
}

/// Fetch v11 of partition 0 within a session, or to begin one.
fn session_fetch(wire: &mut Wire, (id, epoch): (i32, i32)) -> (i16, i32) {
    let head = Body::new().i32(-1).i32(0).i32(1).i32(1_000_000).i8(0).i32(id).i32(epoch);
    let body = if epoch == 0 {
        let partition = head.i32(1).string("t").i32(1).i32(0).i32(-1).i64(0).i64(-1).i32(1_000_000);
        partition.i32(0).string("")
    } else {
        head.i32(0).i32(0).string("")
    };
    let mut reply: Reply = wire.request(wire::FETCH_V11, &body);
    reply.i32();
    (reply.i16(), reply.i32())
}

#[test]
fn a_connection_with_a_session_stays_whatever_else_it_asks_for() {
    let broker = broker(&[("corelog.connection.moves.after.requests", "8")]);
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect(broker.address());
        let id = std::iter::repeat_with(|| session_fetch(&mut wire, (0, 0)).1).take(2).find(|id| *id != 0);
        let id = id.expect("a session is opened here or at the other shard");
        produce_in_bursts(&mut wire, 1, 5);
        assert_eq!(session_fetch(&mut wire, (id, 1)), (0, id));
    }
}

#[test]
fn a_consumer_has_its_session_where_its_partition_is() {
    let broker = broker(&[]);
    let mut wires: Vec<Wire> = (0..CONNECTIONS).map(|_| Wire::connect(broker.address())).collect();
    let mut without_session = 0;
    for wire in &mut wires {
        let mut opened = session_fetch(wire, (0, 0));
        if opened == (0, 0) {
            without_session += 1;
            opened = session_fetch(wire, (0, 0));
        }
        let (error, id) = opened;
        assert!(error == 0 && id != 0, "error {error}, session {id}");
        for epoch in 1..100 {
            assert_eq!(
                session_fetch(wire, (id, epoch)),
                (0, id),
                "the session stays, and so does the client"
            );
        }
    }
    assert!((1..CONNECTIONS).contains(&without_session), "{without_session} clients came to the other shard");
    assert_eq!(moves(&broker), without_session);
}
