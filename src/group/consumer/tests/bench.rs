//! A coordinator with a clock, topics and a log of its own.

use std::time::{Duration, Instant};

use crate::group::consumer::{Assignment, ConsumerGroup, ConsumerGroupConfig, ConsumerHeartbeat};
use crate::group::consumer::{MemberInstruction, Refusal, TopicSearch};
use crate::group::kinds::Group;
use crate::group::records::{EncodedRecord, GroupRecord};
use crate::group::{GroupConfig, GroupCoordinator, Moment, Output, Request, Response, Token};
use crate::metadata::records::{PartitionRecord, RemoveTopicRecord, TopicRecord};
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::types::{NodeId, Offset, Prng, Timestamp, TopicId, TopicName, Uuid};

pub(super) const GROUP: &str = "group";

pub(super) struct Bench {
    pub(super) config: GroupConfig,
    pub(super) coordinator: GroupCoordinator,
    pub(super) image: MetadataImage,
    pub(super) log: Vec<EncodedRecord>,
    /// Where each batch of the log ends.
    pub(super) batch_ends: Vec<usize>,
    pub(super) replies: Vec<(Token, Offset, Response)>,
    pub(super) searches: Vec<(String, Vec<String>)>,
    start: Instant,
    pub(super) now_ms: i64,
    next_token: u64,
}

impl Bench {
    pub(super) fn new(consumer: ConsumerGroupConfig) -> Self {
        let config = GroupConfig { consumer, ..GroupConfig::default() };
        let mut coordinator = GroupCoordinator::new(config.clone(), Prng::new(7));
        let image = MetadataImage::new("cluster");
        let start = Instant::now();
        let now_ms = 1_700_000_000_000;
        let moment = Moment { monotonic: start, wall: Timestamp(now_ms), image: &image };
        coordinator.handle_activate(moment, Offset::ZERO);
        Self {
            config,
            coordinator,
            image,
            log: Vec::new(),
            batch_ends: Vec::new(),
            replies: Vec::new(),
            searches: Vec::new(),
            start,
            now_ms,
            next_token: 0,
        }
    }

    /// Targets follow at once, without the pause between two of them.
    pub(super) fn eager() -> Self {
        let mut config = ConsumerGroupConfig::default();
        config.assignment_interval.default = 0;
        Self::new(config)
    }

    fn apply(&mut self, record: MetadataRecord) {
        self.image.apply(self.image.end_offset(), &record).unwrap();
    }

    /// Adds partitions to a topic, which may be new.
    pub(super) fn add_partitions(&mut self, name: &str, count: i32) -> TopicId {
        let known = self.image.topic_id(name);
        let id = known.unwrap_or(Uuid(0x1_0000 + u128::from(self.image.end_offset().0 as u64)));
        if known.is_none() {
            self.apply(TopicRecord { name: name.to_owned(), topic_id: id }.into());
        }
        for _ in 0..count {
            let partition_id = self.image.topic(id).unwrap().partitions().len() as i32;
            let replicas = vec![NodeId(1)];
            let record = PartitionRecord {
                partition_id,
                topic_id: id,
                isr: replicas.clone(),
                leader: NodeId(1),
                directories: vec![Uuid(9)],
                replicas,
                ..PartitionRecord::default()
            };
            self.apply(record.into());
        }
        self.tell_topics(&[name], known.is_none());
        id
    }

    pub(super) fn remove_topic(&mut self, name: &str) {
        let topic_id = self.image.topic_id(name).unwrap();
        self.apply(RemoveTopicRecord { topic_id }.into());
        self.tell_topics(&[name], false);
    }

    fn tell_topics(&mut self, names: &[&str], are_new: bool) {
        let names: Vec<_> = names.iter().map(|name| TopicName::new(name).unwrap()).collect();
        self.with(|coordinator, now| coordinator.handle_metadata_changed(now, &names, are_new));
    }

    /// Has the coordinator do something, and commits what it appends.
    pub(super) fn with(&mut self, act: impl FnOnce(&mut GroupCoordinator, Moment<'_>)) {
        self.carry_out(act);
        let end = Offset(self.log.len() as i64);
        self.carry_out(|coordinator, now| coordinator.handle_committed(now, end));
    }

    fn carry_out(&mut self, act: impl FnOnce(&mut GroupCoordinator, Moment<'_>)) {
        let monotonic = self.start + Duration::from_millis((self.now_ms - 1_700_000_000_000) as u64);
        act(&mut self.coordinator, Moment { monotonic, wall: Timestamp(self.now_ms), image: &self.image });
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Append { first_offset, records, .. } => {
                    assert_eq!(first_offset, Offset(self.log.len() as i64));
                    self.log.extend(records);
                    self.batch_ends.push(self.log.len());
                }
                Output::Reply { token, after, response } => self.replies.push((token, after, response)),
                Output::SearchTopics { group_id, regexes } => self.searches.push((group_id, regexes)),
            }
        }
    }

    pub(super) fn send(&mut self, request: Request) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.with(|coordinator, now| coordinator.handle_request(now, token, request));
        token
    }

    /// The answer, which must be there.
    pub(super) fn ask(&mut self, request: Request) -> Response {
        let token = self.send(request);
        let index = self.replies.iter().position(|(answered, ..)| *answered == token);
        self.replies.remove(index.expect("the request is answered at once")).2
    }

    pub(super) fn heartbeat(&mut self, request: ConsumerHeartbeat) -> Result<MemberInstruction, Refusal> {
        let Response::ConsumerHeartbeat(result) = self.ask(Request::ConsumerHeartbeat(request)) else {
            panic!("another kind of answer")
        };
        result
    }

    /// Lets time pass, timers and all.
    pub(super) fn advance(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        loop {
            let due = self
                .coordinator
                .poll_timeout()
                .map(|at| 1_700_000_000_000 + at.saturating_duration_since(self.start).as_millis() as i64);
            match due.filter(|due| *due <= end) {
                Some(due) => {
                    self.now_ms = due.max(self.now_ms);
                    self.with(GroupCoordinator::handle_timeout);
                }
                None => break,
            }
        }
        self.now_ms = end;
    }

    /// Does the searches that were asked for.
    pub(super) fn search(&mut self) {
        for (group_id, regexes) in std::mem::take(&mut self.searches) {
            let mut search = TopicSearch::new(group_id, regexes, &self.image, Timestamp(self.now_ms));
            while !search.step(&self.image, 2) {}
            self.with(|coordinator, now| coordinator.handle_topics_found(now, search));
        }
    }

    /// A coordinator with nothing but the log.
    pub(super) fn replayed(&self) -> GroupCoordinator {
        let mut coordinator = GroupCoordinator::new(self.config.clone(), Prng::new(8));
        for (offset, record) in (0..).zip(&self.log) {
            let record = GroupRecord::decode(Some(record.key.clone()), record.value.clone()).unwrap();
            coordinator.replay(Offset(offset), record);
        }
        coordinator
    }

    /// The process starts again with the log up to `end`.
    pub(super) fn restart(&mut self, end: usize) {
        self.log.truncate(end);
        self.batch_ends.retain(|at| *at <= end);
        self.coordinator = self.replayed();
        self.replies.clear();
        self.searches.clear();
        self.with(|coordinator, now| coordinator.handle_activate(now, Offset(end as i64)));
    }

    pub(super) fn group(&self) -> &ConsumerGroup {
        consumer_group(&self.coordinator).expect("there is a consumer group")
    }

    /// What the records add up to is what the coordinator works with.
    pub(super) fn check_replay(&self) {
        let durable = |coordinator: &GroupCoordinator| {
            let mut group = consumer_group(coordinator)?.clone();
            (group.needs_metadata_refresh, group.is_searching) = (false, false);
            Some(group)
        };
        assert_eq!(durable(&self.replayed()), durable(&self.coordinator));
    }
}

pub(super) fn consumer_group(coordinator: &GroupCoordinator) -> Option<&ConsumerGroup> {
    match coordinator.groups.get(GROUP)? {
        Group::Consumer(group) => Some(group),
        Group::Classic(_) => None,
    }
}

/// The first heartbeat of a member.
pub(super) fn join(member_id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch: 0,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: 30_000,
        topic_names: Some(topics.iter().map(|&topic| topic.to_owned()).collect()),
        topic_regex: None,
        server_assignor: None,
        owned: Some(Assignment::default()),
        requires_member_id: true,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

/// A heartbeat that says nothing new.
pub(super) fn stay(member_id: &str, member_epoch: i32) -> ConsumerHeartbeat {
    let silent = ConsumerHeartbeat {
        rebalance_timeout_ms: -1,
        topic_names: None,
        owned: None,
        ..join(member_id, &[])
    };
    ConsumerHeartbeat { member_epoch, ..silent }
}

pub(super) fn partitions(topic: TopicId, indexes: &[i32]) -> Assignment {
    indexes.iter().map(|&index| (topic, index)).collect()
}
