//! The APIs of groups in every version of their ranges.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::harness::broker::Broker;
use crate::harness::clients;
use crate::harness::wire::{Body, Wire, flexible};
use crate::versions::ask;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const ILLEGAL_GENERATION: i16 = 22;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_SESSION_TIMEOUT: i16 = 26;
const GROUP_ID_NOT_FOUND: i16 = 69;
const UNKNOWN_TOPIC_ID: i16 = 100;
const NON_EMPTY_GROUP: i16 = 68;
const MEMBER_ID_REQUIRED: i16 = 79;

struct Scene {
    broker: Broker,
    wire: Wire,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

impl Scene {
    fn new() -> Self {
        let broker = Broker::start(2, &[("group.initial.rebalance.delay.ms", "0")]);
        clients::create_topic(&broker.bootstrap(), "there", 2, &[]);
        // Its consumer has asked for a coordinator, which creates the topic of the groups.
        let consumer = clients::consumer(&broker.bootstrap(), &[("group.id", "first")]);
        clients::committed(&consumer, "there", 0);
        let wire = Wire::connect(broker.address());
        Self { broker, wire }
    }

    fn range(&mut self, key: i16) -> RangeInclusive<i16> {
        let offered = Wire::connect(self.broker.address()).api_versions().expect("an answer");
        let found = offered.into_iter().find(|(offered, ..)| *offered == key);
        let (_, min, max) = found.expect("the API is offered");
        min..=max
    }

    /// Joins in the way of a version, and has the only member assign itself.
    fn join(&mut self, version: i16, name: &str) -> JoinGroupResponse {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"m"));
        let request = JoinGroupRequest::default()
            .with_group_id(group(name))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(if version == 0 { -1 } else { 30_000 })
            .with_protocol_type(text("test"))
            .with_protocols(vec![protocol]);
        let mut joined = ask(&mut self.wire, version, &request);
        if version >= 4 {
            assert_eq!(joined.error_code, MEMBER_ID_REQUIRED, "version {version}");
            joined = ask(&mut self.wire, version, &request.with_member_id(joined.member_id));
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}: {joined:?}");
        assert_eq!(joined.leader, joined.member_id, "version {version}");
        assert_eq!(joined.members.len(), 1, "version {version}");
        assert_eq!(joined.protocol_name, Some(text("range")), "version {version}");
        joined
    }

    fn sync(&mut self, version: i16, name: &str, joined: &JoinGroupResponse) -> Bytes {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(group(name))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![assignment]);
        let request = match version {
            ..=4 => request,
            _ => request.with_protocol_type(Some(text("test"))).with_protocol_name(Some(text("range"))),
        };
        let synced = ask(&mut self.wire, version, &request);
        assert_eq!(synced.error_code, 0, "version {version}");
        let stale = ask(&mut self.wire, version, &request.with_generation_id(9));
        assert_eq!(stale.error_code, ILLEGAL_GENERATION, "version {version}");
        synced.assignment
    }

    fn commit(&mut self, version: i16, name: &str, topic: &str, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(1)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        let partition = if version >= 6 { partition.with_committed_leader_epoch(0) } else { partition };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group(name))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        ask(&mut self.wire, version, &request).topics[0].partitions[0].error_code
    }

    /// The offset and the note of partition 1, asked for by name or with everything there is.
    fn fetch(&mut self, version: i16, name: &str, by_name: bool) -> (i64, Option<StrBytes>) {
        let topic_name = || TopicName(text("there"));
        if version < 8 {
            let topic =
                OffsetFetchRequestTopic::default().with_name(topic_name()).with_partition_indexes(vec![1]);
            let request = OffsetFetchRequest::default().with_group_id(group(name));
            let response = ask(&mut self.wire, version, &request.with_topics(by_name.then(|| vec![topic])));
            assert_eq!(response.error_code, 0, "version {version}");
            let partition = response.topics[0].partitions[0].clone();
            assert_eq!((partition.error_code, partition.partition_index), (0, 1), "version {version}");
            return (partition.committed_offset, partition.metadata);
        }
        let topic =
            OffsetFetchRequestTopics::default().with_name(topic_name()).with_partition_indexes(vec![1]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group(name))
            .with_topics(by_name.then(|| vec![topic]));
        let unknown = OffsetFetchRequestGroup::default().with_group_id(group("unknown")).with_topics(None);
        let request =
            OffsetFetchRequest::default().with_groups(vec![asked, unknown]).with_require_stable(true);
        let response = ask(&mut self.wire, version, &request);
        assert_eq!((response.groups[0].error_code, response.groups[1].error_code), (0, 0));
        assert!(response.groups[1].topics.is_empty(), "version {version}");
        let partition = response.groups[0].topics[0].partitions[0].clone();
        assert_eq!((partition.error_code, partition.partition_index), (0, 1), "version {version}");
        (partition.committed_offset, partition.metadata)
    }
}

#[test]
fn members_join_sync_beat_and_leave() {
    let mut scene = Scene::new();
    for version in scene.range(11) {
        let name = format!("joined-{version}");
        let joined = scene.join(version, &name);
        for sync_version in scene.range(14) {
            assert_eq!(scene.sync(sync_version, &name, &joined), "all", "version {sync_version}");
        }
        for beat_version in scene.range(12) {
            let request = HeartbeatRequest::default()
                .with_group_id(group(&name))
                .with_generation_id(1)
                .with_member_id(joined.member_id.clone());
            assert_eq!(ask(&mut scene.wire, beat_version, &request).error_code, 0, "version {beat_version}");
            let stranger = request.with_member_id(text("stranger"));
            let refused = ask(&mut scene.wire, beat_version, &stranger).error_code;
            assert_eq!(refused, UNKNOWN_MEMBER_ID, "version {beat_version}");
        }
    }
    for version in scene.range(13) {
        let name = format!("left-{version}");
        let joined = scene.join(9, &name);
        for expected in [0, UNKNOWN_MEMBER_ID] {
            let request = LeaveGroupRequest::default().with_group_id(group(&name));
            let request = match version {
                ..=2 => request.with_member_id(joined.member_id.clone()),
                _ => {
                    let member = MemberIdentity::default().with_member_id(joined.member_id.clone());
                    request.with_members(vec![member])
                }
            };
            let left = ask(&mut scene.wire, version, &request);
            let error_code = left.members.first().map_or(left.error_code, |member| member.error_code);
            assert_eq!(error_code, expected, "version {version}");
        }
    }
}

#[test]
fn joins_that_cannot_be_are_refused_in_every_version() {
    let mut scene = Scene::new();
    for version in scene.range(11) {
        let request = JoinGroupRequest::default().with_protocol_type(text("test"));
        let request = request.with_rebalance_timeout_ms(if version == 0 { -1 } else { 1 });
        let nameless = request.clone().with_session_timeout_ms(30_000);
        assert_eq!(
            ask(&mut scene.wire, version, &nameless).error_code,
            INVALID_GROUP_ID,
            "version {version}"
        );
        let hasty = request.with_group_id(group("hasty")).with_session_timeout_ms(1);
        let refused = ask(&mut scene.wire, version, &hasty).error_code;
        assert_eq!(refused, INVALID_SESSION_TIMEOUT, "version {version}");
    }
}

#[test]
fn offsets_are_committed_fetched_and_deleted() {
    let mut scene = Scene::new();
    assert_eq!((scene.range(8), scene.range(9)), (2..=10, 1..=10), "version 10 has a test of its own");
    for version in 2..=9 {
        assert_eq!(scene.commit(version, "simple", "there", i64::from(version)), 0, "version {version}");
        assert_eq!(scene.commit(version, "simple", "not-there", 1), UNKNOWN_TOPIC_OR_PARTITION);
        let fetched = scene.fetch(9, "simple", true);
        assert_eq!(fetched, (i64::from(version), Some(text("note"))), "version {version}");
    }
    for version in 1..=9 {
        assert_eq!(scene.fetch(version, "simple", true).0, 9, "version {version}");
        assert_eq!(scene.fetch(version, "nobody", true), (-1, Some(text(""))), "version {version}");
        if version >= 2 {
            assert_eq!(scene.fetch(version, "simple", false).0, 9, "version {version}");
        }
    }
    for version in scene.range(47) {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(1);
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(TopicName(text("there")))
            .with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default().with_topics(vec![topic]);
        let deleted = ask(&mut scene.wire, version, &request.clone().with_group_id(group("simple")));
        assert_eq!((deleted.error_code, deleted.topics[0].partitions[0].error_code), (0, 0));
        let refused = ask(&mut scene.wire, version, &request.with_group_id(group("nobody")));
        assert_eq!(refused.error_code, GROUP_ID_NOT_FOUND);
        assert_eq!(scene.fetch(9, "simple", true).0, -1);
    }
}

#[test]
fn offsets_go_by_topic_id_from_version_10_on() {
    const STRANGER: u128 = 42;
    let mut scene = Scene::new();
    let described = ask(
        &mut scene.wire,
        12,
        &MetadataRequest::default().with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(TopicName(text("there")))),
        ])),
    );
    let id = described.topics[0].topic_id.as_u128();

    // Partition 1 of the topic, partition 7 that it does not have, and a topic that nobody has.
    let mut body =
        Body::new().compact_string(Some("by-id")).i32(-1).compact_string(Some("")).compact_string(None);
    body = body.compact_len(Some(2));
    for (topic, partitions) in [(id, &[1, 7][..]), (STRANGER, &[0])] {
        body = body.uuid(topic).compact_len(Some(partitions.len()));
        for &partition in partitions {
            body = body.i32(partition).i64(5).i32(0).compact_string(Some("note")).tags();
        }
        body = body.tags();
    }
    let mut reply = scene.wire.request(flexible(8, 10), &body.tags());
    let mut committed = Vec::new();
    reply.i32();
    for _ in 0..reply.compact_len() {
        let topic = reply.uuid();
        for _ in 0..reply.compact_len() {
            committed.push((topic, reply.i32(), reply.i16()));
            reply.skip_tags();
        }
        reply.skip_tags();
    }
    assert_eq!(committed, [(id, 1, 0), (id, 7, UNKNOWN_TOPIC_OR_PARTITION), (STRANGER, 0, UNKNOWN_TOPIC_ID)]);
    assert_eq!(scene.fetch(9, "by-id", true), (5, Some(text("note"))));

    let mut fetch = |topics: Option<&[(u128, i32)]>| {
        let mut body = Body::new().compact_len(Some(1)).compact_string(Some("by-id"));
        body = body.compact_string(None).i32(-1).compact_len(topics.map(<[_]>::len));
        for &(topic, partition) in topics.unwrap_or_default() {
            body = body.uuid(topic).compact_len(Some(1)).i32(partition).tags();
        }
        let mut reply = scene.wire.request(flexible(9, 10), &body.tags().i8(1).tags());
        reply.i32();
        assert_eq!((reply.compact_len(), reply.compact_string()), (1, "by-id".to_owned()));
        let mut found = Vec::new();
        for _ in 0..reply.compact_len() {
            let topic = reply.uuid();
            for _ in 0..reply.compact_len() {
                let (_partition, offset, _epoch) = (reply.i32(), reply.i64(), reply.i32());
                reply.compact_string();
                found.push((topic, offset, reply.i16()));
                reply.skip_tags();
            }
            reply.skip_tags();
        }
        assert_eq!(reply.i16(), 0, "error code of the group");
        found
    };
    let asked = [(id, 1), (id, 0), (STRANGER, 0)];
    assert_eq!(fetch(Some(&asked)), [(id, 5, 0), (id, -1, 0), (STRANGER, -1, UNKNOWN_TOPIC_ID)]);
    assert_eq!(fetch(None), [(id, 5, 0)]);
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let mut scene = Scene::new();
    let joined = scene.join(9, "busy");
    scene.sync(5, "busy", &joined);
    assert_eq!(scene.commit(9, "idle", "there", 1), 0);
    for version in scene.range(16) {
        let listed = ask(&mut scene.wire, version, &ListGroupsRequest::default());
        let mut names: Vec<_> = listed.groups.iter().map(|group| group.group_id.to_string()).collect();
        names.sort_unstable();
        assert_eq!((listed.error_code, names), (0, vec!["busy".to_owned(), "idle".to_owned()]));
        if version >= 4 {
            let request = ListGroupsRequest::default().with_states_filter(vec![text("Stable")]);
            let stable = ask(&mut scene.wire, version, &request);
            assert_eq!((stable.groups.len(), &stable.groups[0].group_state), (1, &text("Stable")));
        }
        if version >= 5 {
            let request = ListGroupsRequest::default().with_types_filter(vec![text("consumer")]);
            assert!(ask(&mut scene.wire, version, &request).groups.is_empty());
        }
    }
    for version in scene.range(15) {
        let request = DescribeGroupsRequest::default().with_groups(vec![group("busy"), group("nobody")]);
        let described = ask(&mut scene.wire, version, &request);
        let (busy, nobody) = (&described.groups[0], &described.groups[1]);
        assert_eq!((busy.error_code, &busy.group_state), (0, &text("Stable")), "version {version}");
        assert_eq!((&busy.protocol_type, &busy.protocol_data), (&text("test"), &text("range")));
        let member = &busy.members[0];
        assert_eq!((&member.client_id, &member.client_host), (&text("versions"), &text("/127.0.0.1")));
        assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&b"m"[..], &b"all"[..]));
        let expected = if version < 6 { 0 } else { GROUP_ID_NOT_FOUND };
        assert_eq!((nobody.error_code, &nobody.group_state), (expected, &text("Dead")), "version {version}");
    }
    for version in scene.range(42) {
        let name = format!("deleted-{version}");
        assert_eq!(scene.commit(9, &name, "there", 1), 0);
        for (name, expected) in
            [(name.as_str(), 0), (name.as_str(), GROUP_ID_NOT_FOUND), ("busy", NON_EMPTY_GROUP)]
        {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![group(name)]);
            let deleted = ask(&mut scene.wire, version, &request);
            assert_eq!(deleted.results[0].error_code, expected, "version {version} of {name}");
        }
    }
}
