//! Clients on the raw wire: many commits in flight, and members who remember every generation they were
//! given.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, JoinGroupRequest,
    OffsetCommitRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::ledger::Ledger;
use super::members::Phase;
use super::{PARTITIONS, TOPIC};
use crate::harness::wire::Wire;
use crate::versions::{name, read_response, send_request, try_ask};

/// Coordinator loading, not available, not here: ask again.
const RETRIABLE: [i16; 3] = [14, 15, 16];
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

const COMMIT_VERSION: i16 = 9;
const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const CONSUMER_HEARTBEAT_VERSION: i16 = 1;

/// Commits of one connection in flight.
const IN_FLIGHT: i64 = 16;

/// Commits between two generations.
const COMMITS_OF_GENERATION: usize = 5;

/// A client of one group.
pub(super) type Storm = fn(SocketAddr, &Ledger, &Phase);

/// The groups, in the order of [`ALL`].
pub(super) const NAMES: [&str; 6] = ["storm-a", "storm-b", "storm-c", "storm-d", "generations", "epochs"];

/// The clients.
pub(super) const ALL: [Storm; 6] =
    [commit_alone, commit_alone, commit_alone, commit_alone, generations, epochs];

fn group(ledger: &Ledger) -> GroupId {
    GroupId(StrBytes::from_static_str(ledger.name()))
}

/// Connections one after the other, until told to stop; each serves until it breaks.
fn connections(address: SocketAddr, phase: &Phase, mut serve: impl FnMut(&mut Wire) -> io::Result<()>) {
    const PAUSE: Duration = Duration::from_millis(5);
    while !phase.is_over() {
        let connected = Wire::try_connect(address);
        if connected.and_then(|mut wire| serve(&mut wire)).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

fn commit_request(ledger: &Ledger, partition: i32, offset: i64) -> OffsetCommitRequest {
    let committed = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::from_static_str("")));
    let topic = OffsetCommitRequestTopic::default().with_name(name(TOPIC)).with_partitions(vec![committed]);
    OffsetCommitRequest::default().with_group_id(group(ledger)).with_topics(vec![topic])
}

/// Commits without a membership, round the partitions, many at a time.
fn commit_alone(address: SocketAddr, ledger: &Ledger, phase: &Phase) {
    let mut next = 1;
    connections(address, phase, |wire| {
        while !phase.is_over() {
            let mut sent = Vec::new();
            for number in next..next + IN_FLIGHT {
                let partition = (number % i64::from(PARTITIONS)) as i32;
                sent.push((partition, ledger.send(partition, number)));
                let request =
                    commit_request(ledger, partition, number).with_generation_id_or_member_epoch(-1);
                send_request(wire, COMMIT_VERSION, &request)?;
            }
            next += IN_FLIGHT;
            for (partition, commit) in sent {
                if commit_code(wire)? == 0 {
                    ledger.acknowledge(partition, commit);
                }
            }
        }
        Ok(())
    });
}

/// The code of the answer to a commit: 0, or one that asks for another try or for a new membership.
fn commit_code(wire: &mut Wire) -> io::Result<i16> {
    let response = read_response::<OffsetCommitRequest>(wire, COMMIT_VERSION)?;
    let code = response.topics[0].partitions[0].error_code;
    let is_expected = code == 0
        || RETRIABLE.contains(&code)
        || [ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS].contains(&code);
    assert!(is_expected, "error code {code} of a commit");
    Ok(code)
}

/// What a member of the classic protocol was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    member_id: StrBytes,
    generation_id: i32,
    /// A generation may have begun that the member was not told of.
    is_in_doubt: bool,
}

/// The only member of a classic group leads it from generation to generation and commits in each. One that
/// was acknowledged by SyncGroup is still there after the broker was killed.
fn generations(address: SocketAddr, ledger: &Ledger, phase: &Phase) {
    let mut place: Option<Place> = None;
    let mut number = 0;
    connections(address, phase, |wire| {
        while !phase.is_over() {
            if let Some(place) = &place {
                for _ in 0..COMMITS_OF_GENERATION {
                    number += 1;
                    commit_as(wire, ledger, place, number)?;
                }
            }
            next_generation(wire, ledger, &mut place)?;
        }
        Ok(())
    });
}

/// Commits until there is an answer that settles it.
fn commit_as(wire: &mut Wire, ledger: &Ledger, place: &Place, number: i64) -> io::Result<()> {
    let partition = (number % i64::from(PARTITIONS)) as i32;
    let commit = ledger.send(partition, number);
    let request = commit_request(ledger, partition, number)
        .with_generation_id_or_member_epoch(place.generation_id)
        .with_member_id(place.member_id.clone());
    loop {
        send_request(wire, COMMIT_VERSION, &request)?;
        match commit_code(wire)? {
            0 => {
                ledger.acknowledge(partition, commit);
                return Ok(());
            }
            code if RETRIABLE.contains(&code) => thread::yield_now(),
            ILLEGAL_GENERATION if place.is_in_doubt => return Ok(()),
            code => panic!("{}: {place:?} was acknowledged, now a commit gets {code}", ledger.name()),
        }
    }
}

/// Joins and brings the assignment of the next generation.
fn next_generation(wire: &mut Wire, ledger: &Ledger, place: &mut Option<Place>) -> io::Result<()> {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("own"))
        .with_metadata(Bytes::from_static(b"m"));
    let request = JoinGroupRequest::default()
        .with_group_id(group(ledger))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(StrBytes::from_static_str("test"))
        .with_protocols(vec![protocol]);
    let member_id = place.as_ref().map(|place| place.member_id.clone()).unwrap_or_default();
    let mut joined = try_ask(wire, JOIN_VERSION, &request.clone().with_member_id(member_id))?;
    if joined.error_code == MEMBER_ID_REQUIRED {
        joined = try_ask(wire, JOIN_VERSION, &request.with_member_id(joined.member_id))?;
    }
    match joined.error_code {
        0 => {}
        code if RETRIABLE.contains(&code) => return Ok(()),
        // An id that was given and never used in a generation does not outlive the broker.
        UNKNOWN_MEMBER_ID if place.is_none() => return Ok(()),
        code => panic!("{}: error code {code} of JoinGroup, {place:?}", ledger.name()),
    }
    let last = place.as_ref().map_or(0, |place| place.generation_id);
    assert!(last < joined.generation_id, "{}: generation {last} again", ledger.name());
    if let Some(place) = place {
        place.is_in_doubt = true;
    }
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group(ledger))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_protocol_type(Some(StrBytes::from_static_str("test")))
        .with_protocol_name(Some(StrBytes::from_static_str("own")))
        .with_assignments(vec![assignment]);
    match try_ask(wire, SYNC_VERSION, &sync)?.error_code {
        0 => {
            let (member_id, generation_id) = (joined.member_id, joined.generation_id);
            *place = Some(Place { member_id, generation_id, is_in_doubt: false });
        }
        // A broker that stops answers those who wait before it has decided.
        code if RETRIABLE.contains(&code) => {}
        // The broker was another one by then.
        ILLEGAL_GENERATION | UNKNOWN_MEMBER_ID | REBALANCE_IN_PROGRESS => {}
        code => panic!("{}: error code {code} of SyncGroup", ledger.name()),
    }
    Ok(())
}

/// The only member of a group of the other protocol changes its assignor, and with it the group's epoch, and
/// commits in each. An epoch that was acknowledged is still good after the broker was killed.
fn epochs(address: SocketAddr, ledger: &Ledger, phase: &Phase) {
    const ASSIGNORS: [&str; 2] = ["uniform", "range"];
    const MEMBER_ID: &str = "a-member-that-stays";
    let (mut epoch, mut owned, mut number, mut round) = (0, Vec::<TopicPartitions>::new(), 0, 0);
    connections(address, phase, |wire| {
        while !phase.is_over() {
            // The same again until it is answered: a member may be one epoch behind, not two.
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group(ledger))
                .with_member_id(StrBytes::from_static_str(MEMBER_ID))
                .with_member_epoch(epoch)
                .with_rebalance_timeout_ms(60_000)
                .with_subscribed_topic_names(Some(vec![name(TOPIC)]))
                .with_server_assignor(Some(StrBytes::from_static_str(ASSIGNORS[round % 2])))
                .with_topic_partitions(Some(owned.clone()));
            let told = try_ask(wire, CONSUMER_HEARTBEAT_VERSION, &request)?;
            match told.error_code {
                0 => {}
                code if RETRIABLE.contains(&code) => continue,
                code => panic!("{}: epoch {epoch} was acknowledged, now {code}", ledger.name()),
            }
            assert!(epoch <= told.member_epoch, "{}: epoch {epoch}, then {told:?}", ledger.name());
            (epoch, round) = (told.member_epoch, round + 1);
            take_assignment(&told, &mut owned);
            number += 1;
            let place = Place {
                member_id: StrBytes::from_static_str(MEMBER_ID),
                generation_id: epoch,
                is_in_doubt: false,
            };
            commit_as(wire, ledger, &place, number)?;
        }
        Ok(())
    });
}

fn take_assignment(told: &ConsumerGroupHeartbeatResponse, owned: &mut Vec<TopicPartitions>) {
    let Some(assignment) = &told.assignment else { return };
    *owned = assignment
        .topic_partitions
        .iter()
        .map(|of| {
            TopicPartitions::default().with_topic_id(of.topic_id).with_partitions(of.partitions.clone())
        })
        .collect();
}
