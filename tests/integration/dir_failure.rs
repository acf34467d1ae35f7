//! A log directory whose file system breaks under a running broker: its partitions go offline, the others do
//! not, and a start with the directory whole again brings them back.
//!
//! The file system is an image as in `full_disk`, shut down as a broken device makes the kernel do it;
//! without the rights for that the test says so and is skipped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::full_disk::{MOUNT_AND_MAKE_ROOM, directory_with_image, in_a_mount_namespace};
use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::requests;
use crate::harness::wire::{Body, FETCH_V11, Wire, api};
use crate::harness::{PATIENCE, clients, eventually, now_ms};

const KAFKA_STORAGE_ERROR: i16 = 56;
const PARTITIONS: i32 = 8;

/// `FS_IOC_SHUTDOWN` without a last write of its journal: from then on the kernel answers EIO.
const SHUT_DOWN: &str = r#"open(my $file, "<", $ARGV[0]) or die "$ARGV[0]: $!";
    my $how = pack("L", 2); ioctl($file, 0x8004587D, $how) or die "FS_IOC_SHUTDOWN: $!""#;

/// The image's file system as the broker sees it, from outside of its namespace.
fn seen_by(broker: &Broker, path: &Path) -> PathBuf {
    let root = format!("/proc/{}/root", broker.pid().as_raw_nonzero());
    Path::new(&root).join(path.strip_prefix("/").expect("an absolute path"))
}

fn shut_down(file: &Path) -> Result<(), String> {
    let output =
        Command::new("perl").args(["-e", SHUT_DOWN]).arg(file).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn produce(wire: &mut Wire, partition: i32) -> requests::Produced {
    let value = format!("value of {partition}");
    requests::produce(wire, "t", partition, &RawBatch::of(&[value.as_bytes()], now_ms()).encode())
}

/// Leader and error of every partition, as a client sees them.
fn leaders(broker: &Broker) -> BTreeMap<i32, (i32, Option<RDKafkaErrorCode>)> {
    let consumer = clients::consumer(&broker.bootstrap(), &[]);
    let metadata = consumer.fetch_metadata(Some("t"), PATIENCE).expect("the broker answers");
    let topic = clients::topics(&metadata).find(|topic| topic.name() == "t").expect("it was asked for");
    topic
        .partitions()
        .iter()
        .map(|of| (of.id(), (of.leader(), of.error().map(RDKafkaErrorCode::from))))
        .collect()
}

/// A fetch that would wait for a record of one partition answers at once what is wrong with another.
fn assert_fetch_does_not_wait(wire: &mut Wire, failed: i32, healthy: i32) {
    let end = requests::fetch(wire, "t", healthy, 0).high_watermark;
    let head = Body::new().i32(-1).i32(i32::MAX).i32(1).i32(1 << 20).i8(0).i32(0).i32(-1);
    let body = [(failed, 0), (healthy, end)]
        .iter()
        .fold(head.i32(1).string("t").i32(2), |body, &(partition, offset)| {
            body.i32(partition).i32(-1).i64(offset).i64(-1).i32(1 << 20)
        });
    let mut reply = wire.request(FETCH_V11, &body.i32(0).string(""));
    _ = (reply.i32(), reply.i16(), reply.i32());
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    assert_eq!((reply.i32(), reply.i32(), reply.i16()), (2, failed, KAFKA_STORAGE_ERROR));
}

/// DescribeLogDirs v1: each directory with its error.
fn log_dirs(wire: &mut Wire) -> Vec<(String, i16)> {
    let mut reply = wire.request(api(35, 1), &Body::new().i32(-1));
    reply.i32();
    let mut dirs = Vec::new();
    for _ in 0..reply.i32() {
        let (error_code, path) = (reply.i16(), reply.string().expect("a path"));
        for _ in 0..reply.i32() {
            reply.string();
            (0..reply.i32()).for_each(|_| _ = (reply.i32(), reply.i64(), reply.i64(), reply.i8()));
        }
        dirs.push((path, error_code));
    }
    dirs
}

#[test]
fn a_failed_directory_takes_its_partitions_along_and_no_others() {
    let Some(directory) = directory_with_image() else { return };
    let (sound, doomed) = (directory.path().join("sound"), directory.path().join("mount/data"));
    let wrapper = in_a_mount_namespace(MOUNT_AND_MAKE_ROOM, directory.path());
    let mut broker = Broker::start_with(2, |launch| {
        let dirs = format!("{},{}", sound.display(), doomed.display());
        launch.through(&wrapper).with("log.dirs", &dirs)
    });
    clients::create_topic(&broker.bootstrap(), "t", PARTITIONS, &[]);
    let mut wire = Wire::connect(broker.address());
    for partition in 0..PARTITIONS {
        assert_eq!(produce(&mut wire, partition).error_code, 0, "partition {partition}");
    }
    let shard = seen_by(&broker, &doomed.join("shard-01"));
    let is_doomed = |partition: i32| shard.join(format!("t-{partition}")).exists();
    let doomed_partitions: Vec<i32> = (0..PARTITIONS).filter(|&partition| is_doomed(partition)).collect();
    assert!((1..PARTITIONS as usize).contains(&doomed_partitions.len()), "{doomed_partitions:?}");
    let is_doomed = |partition: i32| doomed_partitions.contains(&partition);
    let healthy = (0..PARTITIONS).find(|&partition| !is_doomed(partition)).expect("not all are doomed");
    if let Err(reason) = shut_down(&shard.join("meta.properties")) {
        eprintln!("skipped, a file system cannot be shut down here: {reason}");
        return;
    }

    for partition in 0..PARTITIONS {
        let expected = if is_doomed(partition) { KAFKA_STORAGE_ERROR } else { 0 };
        assert_eq!(produce(&mut wire, partition).error_code, expected, "partition {partition}");
    }
    eventually("the partitions have no leader", PATIENCE, || {
        let of = leaders(&broker);
        let is_as_expected = of.iter().all(|(&partition, of)| match is_doomed(partition) {
            true => *of == (-1, Some(RDKafkaErrorCode::LeaderNotAvailable)),
            false => *of == (0, None) || (of.1.is_none() && 0 <= of.0),
        });
        is_as_expected.then_some(())
    });
    for partition in 0..PARTITIONS {
        let expected = if is_doomed(partition) { KAFKA_STORAGE_ERROR } else { 0 };
        assert_eq!(produce(&mut wire, partition).error_code, expected, "partition {partition}");
        assert_eq!(requests::fetch(&mut wire, "t", partition, 0).error_code, expected, "{partition}");
        assert_eq!(requests::list_offset(&mut wire, "t", partition, -1).0, expected, "{partition}");
    }
    assert_fetch_does_not_wait(&mut wire, doomed_partitions[0], healthy);
    let dirs = log_dirs(&mut wire);
    assert_eq!(dirs.len(), 2, "{dirs:?}");
    for (path, error_code) in dirs {
        let expected = if path.contains("/mount/") { KAFKA_STORAGE_ERROR } else { 0 };
        assert_eq!(error_code, expected, "{path}");
    }
    let offline: Vec<_> = broker
        .output()
        .lines()
        .filter(|line| line.contains("log directory offline"))
        .map(str::to_owned)
        .collect();
    assert!(matches!(&offline[..], [line] if line.contains("shard-01")), "{offline:?}");
    // New partitions go where there is a disk for them.
    clients::create_topic(&broker.bootstrap(), "later", 3, &[]);
    for partition in 0..3 {
        let batch = RawBatch::of(&[b"later"], now_ms());
        assert_eq!(requests::produce(&mut wire, "later", partition, &batch.encode()).error_code, 0);
    }
    drop(wire);
    broker.stop();

    broker.restart();
    let mut wire = Wire::connect(broker.address());
    for partition in 0..PARTITIONS {
        let expected = if is_doomed(partition) { 1 } else { 3 };
        let batches = requests::fetch_all(&mut wire, "t", partition, 0);
        assert_eq!(batches.len(), expected, "partition {partition}");
        assert_eq!(produce(&mut wire, partition).error_code, 0, "partition {partition}");
    }
    let codes: Vec<_> = log_dirs(&mut wire).into_iter().map(|(_, error_code)| error_code).collect();
    assert_eq!(codes, [0, 0]);
}

#[test]
fn the_broker_ends_with_its_last_directory() {
    let Some(directory) = directory_with_image() else { return };
    let data = directory.path().join("mount/data");
    let metadata = directory.path().join("metadata");
    fs::create_dir(&metadata).expect("a directory");
    let wrapper = in_a_mount_namespace(MOUNT_AND_MAKE_ROOM, directory.path());
    let mut broker = Broker::start_with(1, |launch| {
        launch
            .through(&wrapper)
            .with("log.dirs", data.to_str().expect("UTF-8"))
            .with("metadata.log.dir", metadata.to_str().expect("UTF-8"))
    });
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(produce(&mut wire, 0).error_code, 0);
    if let Err(reason) = shut_down(&seen_by(&broker, &data.join("shard-00/meta.properties"))) {
        eprintln!("skipped, a file system cannot be shut down here: {reason}");
        return;
    }
    let batch = RawBatch::of(&[b"lost"], now_ms());
    wire.send(crate::harness::wire::PRODUCE_V7, &requests::produce_body("t", 0, -1, &batch.encode()));
    let status = broker.wait(Duration::from_secs(20));
    let output = broker.output();
    assert!(!status.success() && output.contains("all log directories have failed"), "{status}:\n{output}");

    broker.restart();
    assert_eq!(requests::fetch_all(&mut Wire::connect(broker.address()), "t", 0, 0).len(), 1);
}
