//! A driver for tests: appends at once or holds back, and checks what a real driver relies on.

use std::collections::VecDeque;

use super::*;
use crate::config::{BrokerConfig, ConfigFile, Sources};
use crate::metadata::ConfigResource;
use crate::metadata::batch::{BatchPlace, decode_batches, encode_records};
use crate::metadata::features::supported_features;
use crate::types::{DirectoryId, LeaderEpoch, Timestamp};

pub(super) const CLUSTER: &str = "cluster";

pub(super) fn config(properties: &str) -> ControllerConfig {
    let file = Some(ConfigFile { path: "test.properties", text: properties });
    let (broker, _) = BrokerConfig::load(&Sources { file, host_name: "h", ..Sources::default() }).unwrap();
    ControllerConfig { broker, seed: 7 }
}

pub(super) fn directories(broker: i32, count: u128) -> Vec<DirectoryId> {
    (0..count).map(|index| Uuid(1_000 * (broker as u128 + 1) + index)).collect()
}

/// A controller with its log: the committed image, and what is appended but not committed.
pub(super) struct Driver {
    pub(super) controller: Controller,
    pub(super) committed: MetadataImage,
    pub(super) in_flight: VecDeque<MetadataDelta>,
    parked: VecDeque<(Token, Offset, Response)>,
    /// Answers that were sent, oldest first.
    pub(super) sent: VecDeque<(Token, Response)>,
}

impl Driver {
    /// An activated controller without brokers.
    pub(super) fn new(properties: &str) -> Self {
        let mut committed = MetadataImage::new(CLUSTER);
        committed.advance(Offset(1), LeaderEpoch(1)).unwrap();
        let controller = Controller::new(config(properties), committed.clone());
        let (in_flight, parked, sent) = Default::default();
        let mut driver = Self { controller, committed, in_flight, parked, sent };
        driver.controller.handle_activate();
        driver.settle();
        driver
    }

    /// As [`Driver::new`] with broker 1 unfenced, in two directories.
    pub(super) fn with_broker(properties: &str) -> Self {
        let mut driver = Self::new(properties);
        driver.start_broker(1, 2);
        driver
    }

    /// Registers and unfences a broker; returns its epoch.
    pub(super) fn start_broker(&mut self, id: i32, directory_count: u128) -> i64 {
        let epoch = self.register(&registration(id, directory_count)).unwrap();
        self.unfence(id, epoch).unwrap();
        epoch
    }

    pub(super) fn register(&mut self, request: &RegisterBroker) -> Result<i64, ApiError> {
        self.controller.handle_register_broker(Token(0), request);
        match self.answer() {
            Response::RegisterBroker(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn unfence(&mut self, id: i32, broker_epoch: i64) -> Result<(), ApiError> {
        let request = UnfenceBroker { broker_id: NodeId(id), broker_epoch };
        self.controller.handle_unfence_broker(Token(0), request);
        match self.answer() {
            Response::UnfenceBroker(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn create(&mut self, topics: Vec<NewTopic>) -> Vec<CreateTopicResult> {
        self.create_or_validate(&CreateTopics { topics, validate_only: false })
    }

    pub(super) fn create_or_validate(&mut self, request: &CreateTopics) -> Vec<CreateTopicResult> {
        self.controller.handle_create_topics(Token(0), request);
        match self.answer() {
            Response::CreateTopics(results) => results,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn create_one(&mut self, topic: NewTopic) -> Result<CreatedTopic, ErrorCode> {
        let mut results = self.create(vec![topic]);
        assert_eq!(results.len(), 1);
        results.remove(0).result.map_err(|error| error.code)
    }

    pub(super) fn delete(&mut self, topics: Vec<TopicReference>) -> Vec<DeleteTopicResult> {
        self.controller.handle_delete_topics(Token(0), &DeleteTopics { topics });
        match self.answer() {
            Response::DeleteTopics(results) => results,
            other => panic!("{other:?}"),
        }
    }

    /// Changes the configuration of topic `t`.
    pub(super) fn alter(&mut self, changes: Vec<(&str, ConfigChange)>) -> Result<(), ErrorCode> {
        let topic = ConfigResource::topic("t");
        self.alter_resource(topic, AlterMode::Incremental, changes).map_err(|error| error.code)
    }

    pub(super) fn alter_resource(
        &mut self,
        resource: ConfigResource,
        mode: AlterMode,
        changes: Vec<(&str, ConfigChange)>,
    ) -> Result<(), ApiError> {
        let changes = changes.into_iter().map(|(key, change)| (key.to_owned(), change)).collect();
        let resources = vec![ResourceChanges { resource, mode, changes }];
        let request = AlterConfigs { resources, validate_only: false };
        self.controller.handle_alter_configs(Token(0), &request);
        match self.answer() {
            Response::AlterConfigs(mut results) => results.remove(0).result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn create_partitions(&mut self, request: &CreatePartitions) -> Vec<CreatePartitionsResult> {
        self.controller.handle_create_partitions(Token(0), request);
        match self.answer() {
            Response::CreatePartitions(results) => results,
            other => panic!("{other:?}"),
        }
    }

    /// Commits everything and returns the last answer.
    pub(super) fn answer(&mut self) -> Response {
        self.settle();
        self.sent.pop_back().expect("every request is answered").1
    }

    /// Takes the controller's outputs and commits all of them.
    pub(super) fn settle(&mut self) {
        self.drain_outputs();
        while self.commit_one() {}
        assert!(self.parked.is_empty(), "no answer waits for more than what was appended");
        assert_eq!(&self.committed, self.controller.image(), "the committed image catches up");
    }

    /// Takes the controller's outputs, as a real driver does after every event.
    pub(super) fn drain_outputs(&mut self) {
        while let Some(output) = self.controller.poll_output() {
            match output {
                Output::Append(delta) => {
                    let last = self.in_flight.back();
                    let end = last.map_or(self.committed.end_offset(), MetadataDelta::end_offset);
                    assert_eq!(delta.first_offset, end, "appends follow each other without a gap");
                    self.in_flight.push_back(through_bytes(&delta));
                }
                Output::Reply { token, after, response } => self.parked.push_back((token, after, response)),
            }
        }
        self.send_ready();
    }

    /// Commits the oldest append; false when there is none.
    pub(super) fn commit_one(&mut self) -> bool {
        let Some(delta) = self.in_flight.pop_front() else { return false };
        self.committed.apply_delta(&delta).unwrap();
        self.send_ready();
        true
    }

    fn send_ready(&mut self) {
        let end = self.committed.end_offset();
        while self.parked.front().is_some_and(|&(_, after, _)| after <= end) {
            let (token, _, response) = self.parked.pop_front().unwrap();
            self.sent.push_back((token, response));
        }
    }

    /// The machine crashes, and with it every parked answer is gone. Of what was in flight, the first
    /// `kept` batches turn out to have reached the disk.
    pub(super) fn crash(&mut self, kept: usize) {
        self.parked.clear();
        for delta in self.in_flight.drain(..).take(kept) {
            self.committed.apply_delta(&delta).unwrap();
        }
        let epoch = LeaderEpoch(self.committed.epoch().0 + 1);
        let end = self.committed.end_offset();
        self.committed.apply_delta(&MetadataDelta::control(end, end, epoch)).unwrap();
        let config = ControllerConfig { seed: end.0 as u64, ..self.controller.config.clone() };
        self.controller = Controller::new(config, self.committed.clone());
        self.controller.handle_activate();
        self.settle();
    }
}

/// What a delta is after its way through the log.
fn through_bytes(delta: &MetadataDelta) -> MetadataDelta {
    let place =
        BatchPlace { base_offset: delta.first_offset, epoch: delta.epoch, timestamp: Timestamp(1_000) };
    let bytes = encode_records(place, &delta.records);
    let mut batches = decode_batches(&bytes);
    let decoded = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none(), "an append is one batch");
    assert_eq!(&decoded, delta);
    decoded
}

pub(super) fn registration(id: i32, directory_count: u128) -> RegisterBroker {
    RegisterBroker {
        broker_id: NodeId(id),
        cluster_id: CLUSTER.to_owned(),
        incarnation_id: Uuid(1 << 100 | id as u128),
        endpoints: Vec::new(),
        features: supported_features(),
        rack: None,
        directories: directories(id, directory_count),
        previous_stop: PreviousStop::Clean,
    }
}

pub(super) fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { partitions, replication_factor, ..NewTopic::with_defaults(name) }
}

pub(super) fn by_name(name: &str) -> TopicReference {
    TopicReference { name: Some(name.to_owned()), id: Uuid::ZERO }
}
