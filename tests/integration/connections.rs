//! Limits on connections, which hold for the whole broker whatever shards the kernel gives connections to,
//! and the end of idle ones.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::admin;
use crate::harness::broker::Broker;
use crate::harness::wire::{self, Body, Wire};
use crate::harness::{PATIENCE, eventually};

/// A connection that the broker serves, or none.
fn served(address: SocketAddr) -> Option<Wire> {
    let mut wire = Wire::try_connect(address).ok()?;
    wire.api_versions().is_ok().then_some(wire)
}

/// Connections until the broker refuses one.
fn as_many_as_possible(address: SocketAddr) -> Vec<Wire> {
    std::iter::from_fn(|| served(address)).take(50).collect()
}

/// Nothing comes from the broker for a while, and the connection stays open.
fn is_left_waiting(wire: &mut Wire) -> bool {
    wire.stream().set_read_timeout(Some(Duration::from_millis(400))).expect("a timeout can be set");
    let read = wire.stream().read(&mut [0]);
    wire.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn an_address_has_no_more_connections_than_its_limit() {
    for shards in [1, 3] {
        let broker = Broker::start(shards, &[("max.connections.per.ip", "7")]);
        let mut open = eventually("the limit is reached", PATIENCE, || {
            // The connections of the harness may still be counted.
            let open = as_many_as_possible(broker.address());
            assert!(open.len() <= 7, "{} connections", open.len());
            (open.len() == 7).then_some(open)
        });
        assert!(broker.output().contains("configured maximum of 7"), "{}", broker.output());
        open.iter_mut().for_each(|wire| _ = wire.api_versions().expect("the others are not harmed"));
        open.truncate(4);
        eventually("places become free", PATIENCE, || {
            open.extend(as_many_as_possible(broker.address()));
            assert!(open.len() <= 7, "{} connections", open.len());
            (open.len() == 7).then_some(())
        });
    }
}

#[test]
fn an_address_may_have_a_limit_of_its_own() {
    let overrides = "localhost:3,127.0.0.3:1";
    let settings = [("max.connections.per.ip", "0"), ("max.connections.per.ip.overrides", overrides)];
    let broker = Broker::start(2, &settings);
    eventually("the limit is reached", PATIENCE, || {
        let open = as_many_as_possible(broker.address());
        assert!(open.len() <= 3, "{} connections", open.len());
        (open.len() == 3).then_some(())
    });
    let from = |last| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into()).expect("an own address");
        socket.connect(&broker.address().into()).expect("the kernel accepts");
        Wire::over(socket.into())
    };
    let mut first = from(3);
    first.api_versions().expect("one connection of this address is served");
    assert!(from(3).api_versions().is_err(), "a second one is not");
    assert!(from(4).api_versions().is_err(), "an address without a limit of its own has none");
    first.api_versions().expect("the first is not harmed");
}

#[test]
fn beyond_the_limit_of_the_broker_connections_wait() {
    for shards in [1, 2] {
        let broker = Broker::start(shards, &[("max.connections", "5")]);
        let mut open: Vec<Wire> =
            (0..5).map(|_| served(broker.address()).expect("a place is free")).collect();
        let mut late: Vec<Wire> = (0..4).map(|_| Wire::connect(broker.address())).collect();
        late.iter_mut().for_each(|wire| wire.send(wire::API_VERSIONS_V2, &Body::new()));
        assert!(late.iter_mut().all(is_left_waiting), "a connection too many is served");
        for wire in &mut open {
            wire.api_versions().expect("those that were there first are served");
        }
        drop(open);
        for wire in &mut late {
            wire.reply(wire::API_VERSIONS_V2).expect("a place became free");
        }
    }
}

/// How long it takes to have `count` more connections served.
fn time_to_connect(address: SocketAddr, count: usize) -> Duration {
    let begin = Instant::now();
    let open: Vec<Wire> = (0..count).map(|_| served(address).expect("it waits, and is served")).collect();
    drop(open);
    begin.elapsed()
}

#[test]
fn connections_come_no_faster_than_their_rate() {
    for shards in [1, 2] {
        let broker = Broker::start(shards, &[("max.connection.creation.rate", "10")]);
        // A burst of ten may pass at once; the other 20 take 100 ms each.
        let took = time_to_connect(broker.address(), 30);
        assert!(Duration::from_millis(1_900) <= took, "{took:?} for 30 connections");
    }
    let unlimited = Broker::start(1, &[]);
    let took = time_to_connect(unlimited.address(), 30);
    assert!(took < Duration::from_millis(1_900), "{took:?} without a limit");
}

#[test]
fn the_rate_of_connections_can_be_changed_while_the_broker_runs() {
    let broker = Broker::start(2, &[]);
    let mut wire = Wire::connect(broker.address());
    admin::altered(&mut wire, admin::BROKER, "", ("max.connection.creation.rate", admin::SET, Some("5")));
    let took = time_to_connect(broker.address(), 15);
    assert!(Duration::from_millis(1_900) <= took, "{took:?} for 15 connections");
}

#[test]
fn the_listener_of_brokers_takes_a_place_from_another() {
    let broker = Broker::start(
        1,
        &[
            ("listeners", "PLAINTEXT://127.0.0.1:0,BROKERS://127.0.0.1:0"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT"),
            ("inter.broker.listener.name", "BROKERS"),
            ("max.connections", "3"),
        ],
    );
    let brokers = broker.address_of("BROKERS").expect("the second listener is printed");
    let mut clients: Vec<Wire> = (0..3).map(|_| served(broker.address()).expect("a place is free")).collect();
    for used in [2, 0] {
        clients[used].api_versions().expect("the client is served");
    }
    let mut peer = served(brokers).expect("the broker's listener goes beyond the limit");
    assert!(clients[1].is_closed(), "the least recently used connection is still there");
    for used in [2, 0] {
        clients[used].api_versions().expect("the client is served");
    }
    peer.api_versions().expect("the broker is served");
    let mut late = Wire::connect(broker.address());
    late.send(wire::API_VERSIONS_V2, &Body::new());
    assert!(is_left_waiting(&mut late), "a client's connection too many is served");
}

#[test]
fn an_idle_connection_is_closed_and_no_other() {
    let idle_max = Duration::from_millis(1_500);
    let broker = Broker::start(2, &[("connections.max.idle.ms", "1500")]);
    let mut used = Wire::connect(broker.address());
    let mut idle: Vec<Wire> = (0..4).map(|_| served(broker.address()).expect("it is served")).collect();
    let begin = Instant::now();
    while begin.elapsed() < idle_max * 2 {
        used.api_versions().expect("a connection in use stays");
        if begin.elapsed() < idle_max / 2 {
            idle.iter_mut().for_each(|wire| wire.stream().set_nonblocking(true).expect("it can"));
            let is_open = |wire: &mut Wire| {
                wire.stream().read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            };
            assert!(idle.iter_mut().all(is_open), "closed after {:?}", begin.elapsed());
            idle.iter_mut().for_each(|wire| wire.stream().set_nonblocking(false).expect("it can"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(idle.iter_mut().all(Wire::is_closed), "an idle connection is still open");
    assert!(begin.elapsed() < idle_max * 6, "it took {:?}", begin.elapsed());
}
