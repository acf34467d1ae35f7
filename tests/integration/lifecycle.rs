//! Starting and stopping: signals, configuration, and the one line that says why a start was refused.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::harness::batch::RawBatch;
use crate::harness::broker::{Broker, Launch, temporary_directory};
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::{self, Wire};
use crate::harness::{PATIENCE, now_ms, requests};

/// How long a stop may take when nothing holds it up.
const STOP_MAX: Duration = Duration::from_secs(10);

#[test]
fn sigterm_and_sigint_finish_what_is_in_flight() {
    for (shards, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let mut broker = Broker::start(shards, &[]);
        clients::create_topic(&broker.bootstrap(), "flight", 4, &[]);
        let settings = [("message.timeout.ms", "5000"), ("linger.ms", "1"), ("retries", "0")];
        let mut producer = TestProducer::new(&broker.bootstrap(), &settings);
        let mut waiting = Wire::connect(broker.address());
        requests::send_fetch(&mut waiting, "flight", 0, 1_000_000_000, 20_000);
        let mut idle = Wire::connect(broker.address());
        idle.api_versions().expect("an answer");
        for number in 0..2_000 {
            producer.send_value("flight", number % 4, &number.to_be_bytes());
            if number == 500 {
                producer.wait_for_deliveries(1);
            }
            if number == 1_000 {
                thread::sleep(Duration::from_millis(20));
                broker.signal(signal);
            }
        }
        let begin = Instant::now();
        let status = broker.wait(STOP_MAX);
        assert!(status.success(), "{status} after {signal:?}:\n{}", broker.output());
        eprintln!("{shards} shards stopped in {:?}", begin.elapsed());
        assert!(idle.is_closed() && waiting.reply(wire::FETCH_V11).is_ok() | waiting.is_closed());

        let deliveries = producer.flush();
        broker.restart();
        let taken: Vec<_> =
            deliveries.iter().filter_map(|(number, taken)| Some((number, taken.ok()?))).collect();
        assert!(!taken.is_empty(), "nothing was acknowledged before the stop");
        // Each record is read on its own, which is slow: the last ones and some of the others tell as much.
        let last = taken.len().saturating_sub(8);
        for (_, (number, (partition, offset))) in
            taken.iter().enumerate().filter(|(at, _)| at % 97 == 0 || *at >= last)
        {
            let records = clients::read(&broker.bootstrap(), "flight", *partition, *offset, 1);
            let expected = (**number as i32).to_be_bytes();
            assert_eq!(rdkafka::Message::payload(&records[0]), Some(expected.as_slice()), "record {number}");
        }
    }
}

#[test]
fn a_second_signal_ends_a_stop_that_hangs() {
    let mut broker = Broker::start(1, &[("corelog.shutdown.timeout.ms", "60000")]);
    let _stuck = stuck_reader(&broker);
    broker.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    let status = match broker.try_signal(Signal::TERM) {
        Ok(()) => broker.wait(STOP_MAX),
        Err(_) => broker.wait(Duration::from_secs(1)),
    };
    assert!(begin.elapsed() < Duration::from_secs(2), "it took {:?}", begin.elapsed());
    // A stop that does not wait for such a client is over before the second signal.
    let by_signal = status.code() == Some(143) || status.signal() == Some(15);
    assert!(by_signal || status.success(), "{status}:\n{}", broker.output());
}

#[test]
fn a_stop_takes_no_longer_than_its_bound() {
    let mut broker = Broker::start(1, &[("corelog.shutdown.timeout.ms", "1000")]);
    let _stuck = stuck_reader(&broker);
    broker.signal(Signal::TERM);
    let status = broker.wait(STOP_MAX);
    assert!(status.success(), "{status}:\n{}", broker.output());
}

/// A client that asks for more than the sockets hold and reads nothing of it.
fn stuck_reader(broker: &Broker) -> Wire {
    clients::create_topic(&broker.bootstrap(), "much", 1, &[]);
    let value = vec![b'x'; 900_000];
    let mut producing = Wire::connect(broker.address());
    (0..10).for_each(|_| {
        _ = requests::produce_ok(&mut producing, "much", 0, &RawBatch::of(&[&value], now_ms()))
    });
    let mut stuck = Wire::connect(broker.address());
    (0..4).for_each(|_| requests::send_fetch(&mut stuck, "much", 0, 0, 0));
    thread::sleep(Duration::from_millis(200));
    stuck
}

#[test]
fn a_port_that_is_taken_is_named() {
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let shared = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    shared.set_reuse_port(true).expect("the option is there");
    shared.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    shared.listen(16).expect("it listens");
    let shared: TcpListener = shared.into();
    for taken in [plain, shared] {
        let port = taken.local_addr().expect("it is bound").port();
        let directory = temporary_directory();
        let launch = Launch::new(&directory.path().join("data"), &directory.path().join("log"))
            .with("listeners", &format!("PLAINTEXT://127.0.0.1:{port}"));
        let (code, output) = launch.fails();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(&port.to_string()) && output.contains("in use"), "{output}");
    }
}

#[test]
fn a_directory_that_another_broker_uses_is_refused() {
    let broker = Broker::start(2, &[]);
    let (code, output) = Launch::new(&broker.data(), &broker.directory().join("second.log")).fails();
    assert_eq!(code, Some(1), "{output}");
    let data = broker.data();
    assert!(output.contains(data.to_str().expect("UTF-8")) && output.contains("lock"), "{output}");
    clients::create_topic(&broker.bootstrap(), "alive", 1, &[]);
}

#[test]
fn a_directory_may_be_named_from_the_working_directory() {
    let directory = temporary_directory();
    let enter = ["env", "-C", directory.path().to_str().expect("UTF-8")].map(str::to_owned);
    let broker = Broker::start_with(1, |launch| launch.through(&enter).with("log.dirs", "data"));
    Wire::connect(broker.address()).api_versions().expect("the broker serves");
    assert!(directory.path().join("data").is_dir());
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let directory = temporary_directory();
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("a directory");
    fs::write(data.join("thesis.tex"), "precious").expect("a file");
    let (code, output) = Launch::new(&data, &directory.path().join("log")).fails();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(data.to_str().expect("UTF-8")), "{output}");
    let names: Vec<_> =
        fs::read_dir(&data).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    let added: Vec<_> = names.iter().filter(|name| *name != "thesis.tex" && *name != ".lock").collect();
    assert!(added.is_empty(), "the broker left {added:?} behind");
}

#[test]
fn partitions_without_their_metadata_are_left_alone() {
    let mut broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "kept", 1, &[]);
    broker.stop();
    fs::rename(broker.data().join("__cluster_metadata-0"), broker.directory().join("elsewhere"))
        .expect("a move");
    let launch = Launch::new(&broker.data(), &broker.directory().join("other.log"));
    let (code, output) = launch.fails();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("metadata.log.dir"), "{output}");
    assert!(broker.data().join("shard-00/kept-0").is_dir(), "the partition was set aside");
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let mut broker = Broker::start(1, &[("corelog.cluster.id", "AAAAAAAAAAAAAAAAAAAAAQ")]);
    broker.stop();
    let launch = Launch::new(&broker.data(), &broker.directory().join("other.log"));
    let (code, output) = launch.with("corelog.cluster.id", "AAAAAAAAAAAAAAAAAAAAAg").fails();
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("AAAAAAAAAAAAAAAAAAAAAQ") && output.contains("AAAAAAAAAAAAAAAAAAAAAg"),
        "{output}"
    );
    let (code, output) =
        Launch::new(&broker.data(), &broker.directory().join("node.log")).with("node.id", "77").fails();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("77"), "{output}");
    broker.restart();
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let directory = temporary_directory();
    let launch = Launch::new(&directory.path().join("data"), &directory.path().join("log"));
    for (key, value) in [("num.partitions", "many"), ("corelog.shards", "0"), ("log.segment.bytes", "-3")] {
        let (code, output) = launch.clone().with(key, value).fails();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(key) && output.contains(value), "{output}");
    }
    let file = directory.path().join("server.properties");
    fs::write(&file, "# a comment\nnum.partitions=3\n\nmessage.max.bytes = lots\n").expect("a file");
    let (_, output) = launch.arguments(&["--config", file.to_str().expect("UTF-8")]).fails();
    assert!(output.contains("message.max.bytes") && output.contains("lots"), "{output}");
    assert!(output.contains("server.properties:4"), "{output}");
}

#[test]
fn settings_come_from_file_environment_and_overrides() {
    let directory = temporary_directory();
    let file = directory.path().join("server.properties");
    fs::write(&file, "num.partitions=3\nno.such.key=1\nmessage.max.bytes=5000\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    let broker = Broker::start_with(1, |launch| {
        launch.arguments(&["--config", path]).env("KAFKA_MESSAGE_MAX_BYTES", "7000")
    });
    assert!(broker.output().contains("no.such.key"), "an unknown key is not mentioned:\n{}", broker.output());
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    producer.send_value("from-file", 2, &[b'x'; 6_000]);
    producer.flush_ok();
    producer.send_value("from-file", 2, &[b'x'; 8_000]);
    assert!(producer.flush().pop_first().expect("a report").1.is_err(), "the limit is not the environment's");

    let overridden = Broker::start_with(1, |launch| {
        launch
            .arguments(&["--config", path])
            .env("KAFKA_MESSAGE_MAX_BYTES", "7000")
            .with("message.max.bytes", "9000")
    });
    let mut producer = TestProducer::new(&overridden.bootstrap(), &[]);
    producer.send_value("from-override", 0, &[b'x'; 8_000]);
    producer.flush_ok();
}

#[test]
fn each_listener_tells_clients_its_own_address() {
    let broker = Broker::start(
        2,
        &[
            ("listeners", "PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:0"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT"),
        ],
    );
    let other = broker.address_of("OTHER").expect("the second listener is printed");
    assert_ne!(other, broker.address());
    for address in [broker.address(), other] {
        let consumer = clients::consumer(&address.to_string(), &[]);
        let metadata =
            rdkafka::consumer::Consumer::fetch_metadata(&consumer, None, PATIENCE).expect("metadata");
        assert_eq!(metadata.brokers()[0].port(), i32::from(address.port()));
    }
}
