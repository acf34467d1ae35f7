//! A coordinator on virtual time with a log in memory, for the tests.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::group::kinds::Group;
use crate::group::offsets::OffsetStore;
use crate::group::records::{EncodedRecord, GroupMetadataValue, GroupRecord};
use crate::group::{
    CommitOffsets, FetchOffsets, GroupConfig, GroupCoordinator, Heartbeat, JoinGroup, JoinProtocol,
    JoinedGroup, LeaveGroup, LeavingMember, Moment, OffsetPartitions, OffsetToCommit, Output, Request,
    Response, SyncGroup, SyncedGroup, Token,
};
use crate::metadata::MetadataImage;
use crate::types::{ErrorCode, Offset, Prng, Timestamp, TopicName, Uuid};

pub(super) const GROUP: &str = "billing";
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;
const START_WALL: i64 = 1_700_000_000_000;

/// What a coordinator keeps over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) groups: BTreeMap<String, Option<GroupMetadataValue>>,
    pub(super) offsets: OffsetStore,
}

/// A coordinator, its log and its driver. Replies leave when the test commits.
pub(super) struct Fixture {
    pub(super) coordinator: GroupCoordinator,
    pub(super) log: Vec<EncodedRecord>,
    pub(super) committed: Offset,
    config: GroupConfig,
    /// Classic groups ask for no topics: none are there.
    image: &'static MetadataImage,
    start: Instant,
    elapsed: Duration,
    next_token: u64,
    seed: u64,
    pub(super) parked: Vec<(Token, Offset, Response)>,
    answered: HashMap<Token, Response>,
}

impl Fixture {
    pub(super) fn new(config: GroupConfig, seed: u64) -> Self {
        let mut fixture = Self {
            coordinator: GroupCoordinator::new(config.clone(), Prng::new(seed)),
            log: Vec::new(),
            committed: Offset::ZERO,
            config,
            image: Box::leak(Box::new(MetadataImage::new("cluster"))),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            next_token: 0,
            seed,
            parked: Vec::new(),
            answered: HashMap::new(),
        };
        fixture.coordinator.handle_activate(fixture.now(), Offset::ZERO);
        fixture
    }

    pub(super) fn now(&self) -> Moment<'static> {
        let wall = Timestamp(START_WALL + self.elapsed.as_millis() as i64);
        Moment { monotonic: self.start + self.elapsed, wall, image: self.image }
    }

    /// Hands a request in; its answer comes with [`Fixture::commit`].
    pub(super) fn send(&mut self, request: Request) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.coordinator.handle_request(self.now(), token, request);
        self.drain();
        token
    }

    /// Hands a request in and makes everything durable.
    pub(super) fn ask(&mut self, request: Request) -> Response {
        let token = self.send(request);
        self.commit();
        self.answer(token).expect("this request is answered at once")
    }

    fn drain(&mut self) {
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Append { first_offset, records, .. } => {
                    assert_eq!(first_offset, Offset(self.log.len() as i64), "offsets have no gaps");
                    assert!(!records.is_empty());
                    self.log.extend(records);
                }
                Output::SearchTopics { .. } => panic!("classic groups have no patterns"),
                Output::Reply { token, after, response } => {
                    assert!(after <= Offset(self.log.len() as i64), "a reply waits for what is appended");
                    assert!(
                        self.parked.iter().all(|(other, ..)| *other != token)
                            && !self.answered.contains_key(&token),
                        "{token:?} is answered twice"
                    );
                    self.parked.push((token, after, response));
                }
            }
        }
    }

    /// Makes everything durable that was appended.
    pub(super) fn commit(&mut self) {
        self.commit_up_to(Offset(self.log.len() as i64));
    }

    /// Makes durable what was appended before `end`, and lets the replies go that waited for it.
    pub(super) fn commit_up_to(&mut self, end: Offset) {
        assert!(self.committed <= end && end <= Offset(self.log.len() as i64));
        self.committed = end;
        self.coordinator.handle_committed(self.now(), end);
        self.drain();
        let (released, parked): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parked).into_iter().partition(|(_, after, _)| *after <= end);
        self.parked = parked;
        self.answered.extend(released.into_iter().map(|(token, _, response)| (token, response)));
    }

    /// The answer to a request, once.
    pub(super) fn answer(&mut self, token: Token) -> Option<Response> {
        self.answered.remove(&token)
    }

    /// Lets time pass, every deadline in its turn.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.elapsed + by;
        while let Some(deadline) = self.coordinator.poll_timeout() {
            let at = deadline.saturating_duration_since(self.start).max(self.elapsed);
            if end < at {
                break;
            }
            self.elapsed = at;
            self.coordinator.handle_timeout(self.now());
            self.drain();
        }
        self.elapsed = end;
    }

    pub(super) fn advance_ms(&mut self, by: i32) {
        self.advance(Duration::from_millis(by as u64));
    }

    /// The coordinator stops here and is loaded again from what was committed. Nobody is answered.
    pub(super) fn restart(&mut self) {
        self.log.truncate(self.committed.0 as usize);
        self.parked.clear();
        self.seed += 1;
        self.coordinator = self.replayed();
        self.coordinator.handle_activate(self.now(), self.committed);
        self.drain();
    }

    /// A coordinator with the log replayed, not yet in office.
    fn replayed(&self) -> GroupCoordinator {
        let mut coordinator = GroupCoordinator::new(self.config.clone(), Prng::new(self.seed));
        for (offset, record) in self.log.iter().enumerate() {
            let decoded = GroupRecord::decode(Some(record.key.clone()), record.value.clone());
            coordinator.replay(Offset(offset as i64), decoded.expect("records of ours can be read"));
        }
        coordinator
    }

    /// The durable state that the running coordinator has, which the log must add up to.
    pub(super) fn check_replay(&self) {
        assert_eq!(durable(&self.coordinator), durable(&self.replayed()), "the log gives the same state");
    }

    pub(super) fn join(&mut self, member_id: &str, instance_id: Option<&str>) -> Token {
        self.send(Request::Join(join(member_id, instance_id)))
    }

    pub(super) fn joined(&mut self, token: Token) -> JoinedGroup {
        match self.answer(token) {
            Some(Response::Join(joined)) => joined,
            other => panic!("expected the answer to a JoinGroup, found {other:?}"),
        }
    }

    /// Joins as a new dynamic member: takes an id and joins with it.
    pub(super) fn join_new(&mut self) -> (String, Token) {
        let token = self.join("", None);
        self.commit();
        let refused = self.joined(token);
        assert_eq!(refused.error, ErrorCode::MemberIdRequired);
        let token = self.join(&refused.member_id, None);
        (refused.member_id, token)
    }

    pub(super) fn sync(
        &mut self,
        member_id: &str,
        generation_id: i32,
        assignments: &[(&str, &str)],
    ) -> Token {
        let owned =
            |(member, part): &(&str, &str)| ((*member).to_owned(), Bytes::copy_from_slice(part.as_bytes()));
        self.send(Request::Sync(SyncGroup {
            group_id: GROUP.to_owned(),
            generation_id,
            member_id: member_id.to_owned(),
            assignments: assignments.iter().map(owned).collect(),
            ..SyncGroup::default()
        }))
    }

    pub(super) fn synced(&mut self, token: Token) -> SyncedGroup {
        match self.answer(token) {
            Some(Response::Sync(synced)) => synced,
            other => panic!("expected the answer to a SyncGroup, found {other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, member_id: &str, generation_id: i32) -> ErrorCode {
        let heartbeat = Heartbeat {
            group_id: GROUP.to_owned(),
            generation_id,
            member_id: member_id.to_owned(),
            group_instance_id: None,
        };
        match self.ask(Request::Heartbeat(heartbeat)) {
            Response::Heartbeat(error) => error,
            other => panic!("expected the answer to a Heartbeat, found {other:?}"),
        }
    }

    pub(super) fn leave(&mut self, member_id: &str, instance_id: Option<&str>) -> ErrorCode {
        let member = LeavingMember {
            member_id: member_id.to_owned(),
            group_instance_id: instance_id.map(str::to_owned),
        };
        let leave = LeaveGroup { group_id: GROUP.to_owned(), members: vec![member] };
        match self.ask(Request::Leave(leave)) {
            Response::Leave(Ok(left)) => left[0].error,
            other => panic!("expected the answer to a LeaveGroup, found {other:?}"),
        }
    }

    pub(super) fn commit_offset(&mut self, member_id: &str, generation_id: i32, offset: i64) -> ErrorCode {
        let outcome = self.ask(Request::CommitOffsets(offset_commit(member_id, generation_id, offset)));
        match outcome {
            Response::CommitOffsets(Ok(errors)) => errors[0],
            Response::CommitOffsets(Err(error)) => error,
            other => panic!("expected the answer to an OffsetCommit, found {other:?}"),
        }
    }

    /// The offset of the partition that [`Fixture::commit_offset`] commits to.
    pub(super) fn fetch_offset(&mut self) -> i64 {
        let topic =
            OffsetPartitions { topic: "orders".to_owned(), topic_id: Uuid::ZERO, partitions: vec![0] };
        let fetch =
            FetchOffsets { group_id: GROUP.to_owned(), topics: Some(vec![topic]), ..FetchOffsets::default() };
        match self.ask(Request::FetchOffsets(fetch)) {
            Response::FetchOffsets(Ok(topics)) => topics[0].partitions[0].offset.0,
            other => panic!("expected the answer to an OffsetFetch, found {other:?}"),
        }
    }

    /// The generation that a restart would go on with.
    pub(super) fn durable_generation(&self) -> i32 {
        let group = durable(&self.coordinator).groups.remove(GROUP).flatten();
        group.map_or(0, |group| group.generation_id)
    }

    pub(super) fn is_answered(&self, token: Token) -> bool {
        self.answered.contains_key(&token)
    }

    pub(super) fn state(&self) -> Option<&'static str> {
        self.coordinator.groups.get(GROUP).map(|group| group.listed().state)
    }

    /// A stable group of so many dynamic members; returns their ids, the leader first, and the generation.
    pub(super) fn stable_group(&mut self, size: usize) -> (Vec<String>, i32) {
        let mut members: Vec<_> = (0..size).map(|_| self.join_new()).collect();
        let answers: Vec<_> = members.iter().map(|(_, token)| *token).collect();
        while !answers.iter().all(|token| self.is_answered(*token)) {
            self.advance_ms(1_000);
            self.commit();
        }
        let answers: Vec<_> = answers.into_iter().map(|token| self.joined(token)).collect();
        let leader = answers[0].leader.clone();
        members.sort_by_key(|(id, _)| *id != leader);
        let ids: Vec<_> = members.into_iter().map(|(id, _)| id).collect();
        let generation = answers[0].generation_id;
        let parts: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        let tokens: Vec<_> = ids.iter().map(|id| self.sync(id, generation, &parts)).collect();
        self.commit();
        for (id, token) in ids.iter().zip(tokens) {
            assert_eq!(self.synced(token).assignment, id.as_bytes());
        }
        (ids, generation)
    }
}

pub(super) fn durable(coordinator: &GroupCoordinator) -> Durable {
    let groups = coordinator.groups.iter();
    let groups = groups
        .map(|(id, group)| match group {
            Group::Classic(group) => (id.clone(), group.durable().cloned()),
            Group::Consumer(_) => panic!("group {id} is no classic group"),
        })
        .collect();
    Durable { groups, offsets: coordinator.offsets.clone() }
}

pub(super) fn join(member_id: &str, instance_id: Option<&str>) -> JoinGroup {
    JoinGroup {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range"), protocol("sticky")],
        requires_known_member_id: true,
        supports_skipping_assignment: true,
    }
}

/// A protocol of a member that reads the topic `orders`.
pub(super) fn protocol(name: &str) -> JoinProtocol {
    let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff");
    JoinProtocol { name: name.to_owned(), metadata }
}

pub(super) fn offset_commit(member_id: &str, generation_id: i32, offset: i64) -> CommitOffsets {
    let commit = OffsetToCommit {
        topic: TopicName::new("orders").expect("a legal name"),
        topic_id: Uuid(7),
        partition: 0,
        offset: Offset(offset),
        leader_epoch: 0,
        metadata: String::new(),
    };
    CommitOffsets {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        group_instance_id: None,
        retention_time_ms: -1,
        knows_group_not_found: true,
        offsets: vec![commit],
    }
}
