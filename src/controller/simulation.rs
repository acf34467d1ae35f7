//! Random requests against a model, with commits that lag behind and crashes that lose what they had not
//! reached.
//!
//! The model knows only what was answered. After every crash and at the end: everything answered with success
//! is there, nothing answered with a refusal came to be, and replay of the log gives the same image.

use std::collections::{BTreeMap, BTreeSet};

use super::testing::*;
use super::*;
use crate::types::ProducerId;

const SEEDS: u64 = 150;
const STEPS: u64 = 200;

/// What a request in flight will mean once it is answered.
enum Asked {
    Create(String),
    Delete(String),
    ProducerIds,
}

/// What clients were told.
#[derive(Default)]
struct Model {
    /// Topics whose creation was answered and no deletion asked for since: they must be there.
    present: BTreeSet<String>,
    /// Topics whose deletion was answered and no creation asked for since: they must not be there.
    absent: BTreeSet<String>,
    producer_ids: BTreeSet<ProducerId>,
}

struct Simulation {
    driver: Driver,
    prng: Prng,
    broker_epoch: i64,
    next_token: u64,
    asked: BTreeMap<Token, Asked>,
    model: Model,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut driver = Driver::new("");
        let broker_epoch = driver.start_broker(1, 3);
        let (asked, model) = Default::default();
        Self { driver, prng: Prng::new(seed), broker_epoch, next_token: 0, asked, model }
    }

    fn step(&mut self) {
        match self.prng.below(20) {
            0..7 => self.ask_create(),
            7..12 => self.ask_delete(),
            12..14 => self.ask_producer_ids(),
            14..19 => {
                self.driver.commit_one();
            }
            _ => self.crash(),
        }
        self.driver.drain_outputs();
        self.hear_answers();
    }

    fn ask(&mut self, asked: Asked) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.asked.insert(token, asked);
        token
    }

    fn ask_create(&mut self) {
        let name = format!("topic-{}", self.prng.below(12));
        self.model.absent.remove(&name);
        let token = self.ask(Asked::Create(name.clone()));
        let partitions = self.prng.below(9) as i32;
        let request = CreateTopics { topics: vec![topic(&name, partitions, 1)], validate_only: false };
        self.driver.controller.handle_create_topics(token, &request);
    }

    fn ask_delete(&mut self) {
        let name = format!("topic-{}", self.prng.below(12));
        self.model.present.remove(&name);
        let token = self.ask(Asked::Delete(name.clone()));
        let request = DeleteTopics { topics: vec![by_name(&name)] };
        self.driver.controller.handle_delete_topics(token, &request);
    }

    fn ask_producer_ids(&mut self) {
        let token = self.ask(Asked::ProducerIds);
        let request = AllocateProducerIds { broker_id: NodeId(1), broker_epoch: self.broker_epoch };
        self.driver.controller.handle_allocate_producer_ids(token, request);
    }

    fn crash(&mut self) {
        self.driver.drain_outputs();
        self.hear_answers();
        self.asked.clear();
        let kept = self.prng.below(self.driver.in_flight.len() as u64 + 1) as usize;
        self.driver.crash(kept);
        let incarnation_id = Uuid(u128::from(self.prng.next_u64()));
        let previous_stop = if self.prng.chance(1, 2) { PreviousStop::Clean } else { PreviousStop::Unclean };
        let request = RegisterBroker { incarnation_id, previous_stop, ..registration(1, 3) };
        self.broker_epoch = self.driver.register(&request).unwrap();
        self.driver.unfence(1, self.broker_epoch).unwrap();
        self.check();
    }

    fn hear_answers(&mut self) {
        while let Some((token, response)) = self.driver.sent.pop_front() {
            let asked = self.asked.remove(&token).expect("each request is answered once");
            self.hear(asked, response);
        }
    }

    fn hear(&mut self, asked: Asked, response: Response) {
        match (asked, response) {
            (Asked::Create(name), Response::CreateTopics(results)) => {
                if results[0].result.is_ok()
                    && !self.is_asked(|asked| matches!(asked, Asked::Delete(n) if *n == name))
                {
                    self.model.present.insert(name);
                }
            }
            (Asked::Delete(name), Response::DeleteTopics(results)) => {
                if results[0].result.is_ok()
                    && !self.is_asked(|asked| matches!(asked, Asked::Create(n) if *n == name))
                {
                    self.model.absent.insert(name);
                }
            }
            (Asked::ProducerIds, Response::AllocateProducerIds(block)) => {
                let block = block.unwrap();
                assert!(self.model.producer_ids.insert(block.first), "block {block:?} was given out twice");
                assert_eq!(block.first.0 % i64::from(PRODUCER_ID_BLOCK_SIZE), 0);
            }
            (_, other) => panic!("an answer to something else: {other:?}"),
        }
    }

    fn is_asked(&self, matches: impl Fn(&Asked) -> bool) -> bool {
        self.asked.values().any(matches)
    }

    fn check(&self) {
        let image = &self.driver.committed;
        for name in &self.model.present {
            let topic = image.topic_by_name(name).unwrap_or_else(|| panic!("{name} was lost"));
            assert!(!topic.partitions().is_empty(), "{name} has no partitions: half of a batch was applied");
        }
        for name in &self.model.absent {
            assert!(image.topic_by_name(name).is_none(), "{name} is back");
        }
        for topic in image.topics() {
            for partition in topic.partitions() {
                assert_eq!(partition.leader, Some(NodeId(1)));
                assert_eq!(partition.replicas.len(), partition.directories.len());
            }
        }
        let records: Vec<_> = image.to_records().collect();
        let replayed =
            MetadataImage::from_snapshot(CLUSTER, &records, image.end_offset(), image.epoch()).unwrap();
        assert_eq!(&replayed, image);
    }
}

#[test]
fn what_was_answered_survives_and_what_was_refused_never_happened() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            for _ in 0..STEPS {
                simulation.step();
            }
            simulation.driver.settle();
            simulation.hear_answers();
            simulation.check();
        });
        assert!(run.is_ok(), "seed {seed} fails: Simulation::new({seed}) replays it");
    }
}
