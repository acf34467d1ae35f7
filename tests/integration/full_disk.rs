//! A file system that fills up: produces fail, reads go on, nothing acknowledged is lost, and room and a
//! restart mend it.
//!
//! The file system is an image that only the broker sees, in a mount namespace of its own, so nothing is left
//! behind. That needs the rights of root and a loop device; without them the test says so and is skipped.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::batch::RawBatch;
use crate::harness::broker::{Broker, temporary_directory};
use crate::harness::requests::{self, Produced};
use crate::harness::wire::Wire;
use crate::harness::{PATIENCE, clients, eventually, now_ms};

const KAFKA_STORAGE_ERROR: i16 = 56;

const IMAGE_BYTES: u64 = 96 << 20;

/// Mounts the image `$0` at `$1`, fills some of it, and becomes the program that follows.
const MOUNT_WITH_BALLAST: &str =
    r#"mount -o loop "$0" "$1" && fallocate -l 32M "$1/ballast" && shift && exec "$@""#;
pub(crate) const MOUNT_AND_MAKE_ROOM: &str =
    r#"mount -o loop "$0" "$1" && rm -f "$1/ballast" && shift && exec "$@""#;

/// The words that run a script in a mount namespace of its own. What is mounted there is gone with the
/// process.
pub(crate) fn in_a_mount_namespace(script: &str, directory: &Path) -> Vec<String> {
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    words.extend(["image", "mount"].map(|name| directory.join(name).to_string_lossy().into_owned()));
    words
}

/// A directory with an ext4 image and a place to mount it; where that cannot be, says so.
pub(crate) fn directory_with_image() -> Option<TempDir> {
    let directory = temporary_directory();
    match make_image(directory.path()) {
        Ok(()) => Some(directory),
        Err(reason) => {
            eprintln!("skipped, no file system of its own can be mounted here: {reason}");
            None
        }
    }
}

fn make_image(directory: &Path) -> Result<(), String> {
    let path = directory.join("image");
    File::create(&path).and_then(|file| file.set_len(IMAGE_BYTES)).map_err(|error| error.to_string())?;
    fs::create_dir(directory.join("mount")).map_err(|error| error.to_string())?;
    run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&path))?;
    let words = in_a_mount_namespace(MOUNT_AND_MAKE_ROOM, directory);
    run(Command::new(&words[0]).args(&words[1..]).arg("true"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// A journal file that the whole file system has no room for.
const JOURNAL_BYTES: &str = "8589934592";

#[test]
fn without_room_for_the_journal_producers_are_served_from_segments() {
    let Some(directory) = directory_with_image() else { return };
    let data = directory.path().join("mount/data");
    let broker = Broker::start_with(1, |launch| {
        launch
            .through(&in_a_mount_namespace(MOUNT_AND_MAKE_ROOM, directory.path()))
            .with("log.dirs", data.to_str().expect("UTF-8"))
            .with("corelog.journal.bytes", JOURNAL_BYTES)
    });
    clients::create_topic(&broker.bootstrap(), "first", 1, &[]);
    clients::create_topic(&broker.bootstrap(), "small", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let batch = RawBatch::of(&[b"value"], now_ms());
    eventually("the journal is given up", PATIENCE, || {
        // The attempt fills the disk for a moment: this may fail.
        requests::produce(&mut wire, "first", 0, &batch.encode());
        broker.output().contains("no room for the whole journal").then_some(())
    });
    let cpu_before = broker.cpu_time();
    for offset in 0..50 {
        assert_eq!(requests::produce_ok(&mut wire, "small", 0, &batch), offset);
    }
    let cpu = broker.cpu_time() - cpu_before;
    assert!(cpu < Duration::from_secs(5), "{cpu:?} for 50 records");
}

/// Every acknowledged value is at its offset.
fn is_whole(wire: &mut Wire, acknowledged: &[(i64, u8)]) {
    let batches = requests::fetch_all(wire, "full", 0, 0);
    for (offset, filling) in acknowledged {
        let at = |batch: &&Vec<u8>| batch[..8] == offset.to_be_bytes();
        let batch = batches.iter().find(at).unwrap_or_else(|| panic!("offset {offset} is lost"));
        assert_eq!(batch[1_000], *filling, "offset {offset} is not what was sent");
    }
}

#[test]
fn a_full_disk_fails_produces_and_nothing_else() {
    let Some(directory) = directory_with_image() else { return };
    let data = directory.path().join("mount/data");
    let mut broker = Broker::start_with(1, |launch| {
        let wrapper = in_a_mount_namespace(MOUNT_WITH_BALLAST, directory.path());
        launch
            .through(&wrapper)
            .with("log.dirs", data.to_str().expect("UTF-8"))
            .with("log.segment.bytes", "8388608")
    });
    clients::create_topic(&broker.bootstrap(), "full", 1, &[]);

    let mut wire = Wire::connect(broker.address());
    let mut acknowledged = Vec::new();
    let refused = (0..200_u8).find_map(|filling| {
        let batch = RawBatch::of(&[&vec![filling; 700_000]], now_ms());
        match requests::produce(&mut wire, "full", 0, &batch.encode()) {
            Produced { error_code: 0, base_offset } => acknowledged.push((base_offset, filling)),
            refused => return Some(refused.error_code),
        }
        None
    });
    assert_eq!(refused, Some(KAFKA_STORAGE_ERROR), "after {} batches", acknowledged.len());
    assert!(acknowledged.len() > 20, "the disk was full after {} batches", acknowledged.len());
    is_whole(&mut Wire::connect(broker.address()), &acknowledged);
    assert!(
        broker.output().to_lowercase().contains("no space left"),
        "the broker does not say why:\n{}",
        broker.output()
    );

    broker.kill();
    broker
        .restart_with(|launch| launch.through(&in_a_mount_namespace(MOUNT_AND_MAKE_ROOM, directory.path())));
    let mut wire = Wire::connect(broker.address());
    is_whole(&mut wire, &acknowledged);
    for filling in 200..220 {
        let batch = RawBatch::of(&[&vec![filling; 700_000]], now_ms());
        let offset = eventually("produces are taken again", PATIENCE, || {
            let produced = requests::produce(&mut wire, "full", 0, &batch.encode());
            (produced.error_code == 0).then_some(produced.base_offset)
        });
        acknowledged.push((offset, filling));
    }
    is_whole(&mut wire, &acknowledged);
}
