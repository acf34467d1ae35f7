//! Consumers against a coordinator over a network that loses, repeats, delays and reorders, with consumers
//! that crash and a coordinator that is loaded again from its log. Every seed is one history.
//!
//! What must hold: within a generation a partition has one owner; no commit of a member that is not in the
//! current generation is accepted; an acknowledged commit is never lost; the log adds up to the running
//! state; and once the network is quiet, all consumers that live share all partitions, and every request is
//! answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::testing::{Fixture, GROUP, SESSION_MS, join, offset_commit};
use crate::group::{
    GroupConfig, Heartbeat, JoinedGroup, LeaveGroup, LeavingMember, Request, Response, SyncGroup,
    SyncedGroup, Token,
};
use crate::types::{ErrorCode, Prng};

const SEEDS: u64 = 1_000;
const PARTITIONS: i32 = 7;
/// Milliseconds of trouble, and of quiet after it.
const TROUBLE_MS: u64 = 120_000;
const QUIET_MS: u64 = 400_000;
/// A consumer asks again after this long without an answer.
const JOIN_PATIENCE_MS: u64 = 90_000;
const PATIENCE_MS: u64 = 6_000;
const TICK_MS: u64 = 2_000;

#[derive(Debug)]
enum Event {
    /// A request arrives at the coordinator.
    Arrive { consumer: usize, number: u64, request: Request },
    /// An answer arrives at a consumer.
    Answer { consumer: usize, number: u64, response: Response },
    /// A consumer looks after its membership.
    Tick { consumer: usize },
    /// What was appended becomes durable.
    Flush,
    /// Something goes wrong.
    Trouble,
}

#[derive(Debug, Default)]
struct Consumer {
    instance_id: Option<String>,
    is_alive: bool,
    member_id: String,
    generation_id: i32,
    /// The partitions it owns, in a generation it has synced.
    owned: Option<Vec<i32>>,
    /// The request it waits for, and when it stops waiting.
    asked: Option<(u64, u64)>,
}

struct Simulation {
    prng: Prng,
    fixture: Fixture,
    now_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    consumers: Vec<Consumer>,
    /// Who asked, for what request of whom, of the coordinator as it runs now.
    tokens: HashMap<Token, (usize, u64)>,
    commits: HashMap<Token, (String, i32, i64)>,
    /// The owner of each partition in each generation.
    owners: BTreeMap<(i32, i32), String>,
    /// The highest generation that any member was told of, by the coordinator as it runs now.
    generation_told: i32,
    generation_synced: i32,
    left: BTreeSet<String>,
    next_offset: i64,
    acknowledged_offset: i64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let config = GroupConfig {
            initial_rebalance_delay: Duration::from_millis(prng.below(4) * 1_000),
            ..GroupConfig::default()
        };
        let statics = prng.below(3);
        let consumers = (0..2 + prng.below(4)).map(|index| Consumer {
            instance_id: (index < statics).then(|| format!("instance-{index}")),
            is_alive: true,
            ..Consumer::default()
        });
        let mut simulation = Self {
            fixture: Fixture::new(config, seed),
            now_ms: 0,
            events: BTreeMap::new(),
            sequence: 0,
            consumers: consumers.collect(),
            tokens: HashMap::new(),
            commits: HashMap::new(),
            owners: BTreeMap::new(),
            generation_told: 0,
            generation_synced: 0,
            left: BTreeSet::new(),
            next_offset: 1,
            acknowledged_offset: -1,
            prng,
        };
        for consumer in 0..simulation.consumers.len() {
            simulation.after(0, Event::Tick { consumer });
        }
        simulation.after(0, Event::Flush);
        simulation.after(0, Event::Trouble);
        simulation
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn is_quiet(&self) -> bool {
        TROUBLE_MS <= self.now_ms
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if TROUBLE_MS + QUIET_MS < at {
                break;
            }
            self.fixture.advance(Duration::from_millis(at - self.now_ms));
            self.now_ms = at;
            self.look_at_replies();
            match event {
                Event::Arrive { consumer, number, request } => self.arrive(consumer, number, request),
                Event::Answer { consumer, number, response } => self.answered(consumer, number, response),
                Event::Tick { consumer } => self.tick(consumer),
                Event::Flush => self.flush(),
                Event::Trouble => self.trouble(),
            }
            self.look_at_replies();
        }
        self.fixture.commit();
        self.fixture.check_replay();
        self.check_end();
    }

    /// Sends a message over the network, which is good only when it is quiet.
    fn deliver(&mut self, make: impl Fn() -> Event) {
        if self.is_quiet() {
            let delay = self.prng.below(20);
            return self.after(delay, make());
        }
        if self.prng.chance(1, 10) {
            return;
        }
        let copies = if self.prng.chance(1, 10) { 2 } else { 1 };
        for _ in 0..copies {
            let bound = if self.prng.chance(1, 20) { 30_000 } else { 1_000 };
            let delay = self.prng.below(bound);
            self.after(delay, make());
        }
    }

    fn ask(&mut self, consumer: usize, request: Request) {
        self.sequence += 1;
        let number = self.sequence;
        let is_join = matches!(request, Request::Join(_));
        let patience = if is_join { JOIN_PATIENCE_MS } else { PATIENCE_MS };
        self.consumers[consumer].asked = Some((number, self.now_ms + patience));
        self.deliver(|| Event::Arrive { consumer, number, request: request.clone() });
    }

    fn arrive(&mut self, consumer: usize, number: u64, request: Request) {
        let commit = match &request {
            Request::CommitOffsets(commit) => {
                let offset = commit.offsets[0].offset.0;
                Some((commit.member_id.clone(), commit.generation_id, offset))
            }
            _ => None,
        };
        let told = self.generation_told;
        let has_left = commit.as_ref().is_some_and(|(member, ..)| self.left.contains(member));
        let token = self.fixture.send(request);
        self.tokens.insert(token, (consumer, number));
        if let Some((member_id, generation_id, offset)) = commit {
            let reply = self.fixture.parked.iter().find(|(parked, ..)| *parked == token);
            let (.., response) = reply.expect("a commit is decided on at once");
            if *response == Response::CommitOffsets(Ok(vec![ErrorCode::None])) {
                assert_eq!(generation_id, told, "{member_id} committed in an old generation");
                assert!(!has_left, "{member_id} committed after it left");
                self.commits.insert(token, (member_id, generation_id, offset));
            }
        }
    }

    /// Notes what the coordinator has decided, whether or not it is durable.
    fn look_at_replies(&mut self) {
        let decided: Vec<_> = self.fixture.parked.iter().map(|(_, _, response)| response.clone()).collect();
        let mut generation_id = 0;
        for response in decided {
            match response {
                Response::Join(joined) if joined.error == ErrorCode::None => {
                    assert!(generation_id <= joined.generation_id, "generations go up");
                    generation_id = joined.generation_id;
                    self.generation_told = self.generation_told.max(generation_id);
                }
                Response::Leave(Ok(left)) => {
                    let gone = left.into_iter().filter(|member| member.error == ErrorCode::None);
                    self.left.extend(gone.map(|gone| gone.member.member_id));
                }
                _ => {}
            }
        }
    }

    fn flush(&mut self) {
        self.fixture.commit();
        let tokens: Vec<_> = self.tokens.keys().copied().collect();
        for token in tokens {
            let Some(response) = self.fixture.answer(token) else { continue };
            let (consumer, number) = self.tokens.remove(&token).expect("the token was just seen");
            if let Some((_, _, offset)) = self.commits.remove(&token) {
                self.acknowledged_offset = self.acknowledged_offset.max(offset);
            }
            self.deliver(|| Event::Answer { consumer, number, response: response.clone() });
        }
        let bound = if self.is_quiet() { 1_000 } else { 50 };
        let delay = 1 + self.prng.below(bound);
        self.after(delay, Event::Flush);
    }

    fn answered(&mut self, index: usize, number: u64, response: Response) {
        let consumer = &mut self.consumers[index];
        if !consumer.is_alive || consumer.asked.is_none_or(|(asked, _)| asked != number) {
            return;
        }
        consumer.asked = None;
        match response {
            Response::Join(joined) => self.joined(index, joined),
            Response::Sync(synced) => self.synced(index, synced),
            Response::Heartbeat(error) | Response::CommitOffsets(Err(error)) => self.react(index, error),
            Response::CommitOffsets(Ok(_)) | Response::Leave(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn joined(&mut self, index: usize, joined: JoinedGroup) {
        match joined.error {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.consumers[index].member_id = joined.member_id;
                return self.join(index);
            }
            error => return self.react(index, error),
        }
        let consumer = &mut self.consumers[index];
        consumer.member_id = joined.member_id;
        consumer.generation_id = joined.generation_id;
        let members = if joined.skip_assignment { &[][..] } else { &joined.members[..] };
        let assignments = members.iter().enumerate().map(|(place, member)| {
            let of_member = (0..PARTITIONS).filter(|partition| *partition as usize % members.len() == place);
            (member.member_id.clone(), of_member.map(|partition| partition as u8).collect::<Bytes>())
        });
        let sync = SyncGroup {
            group_id: GROUP.to_owned(),
            generation_id: consumer.generation_id,
            member_id: consumer.member_id.clone(),
            group_instance_id: consumer.instance_id.clone(),
            assignments: assignments.collect(),
            ..SyncGroup::default()
        };
        self.ask(index, Request::Sync(sync));
    }

    fn synced(&mut self, index: usize, synced: SyncedGroup) {
        if synced.error != ErrorCode::None {
            return self.react(index, synced.error);
        }
        let consumer = &mut self.consumers[index];
        let owned: Vec<_> = synced.assignment.iter().map(|&partition| i32::from(partition)).collect();
        // A static member keeps what it owns when it comes back under a new id.
        let owner = consumer.instance_id.clone().unwrap_or_else(|| consumer.member_id.clone());
        for &partition in &owned {
            let known = self.owners.entry((consumer.generation_id, partition)).or_insert(owner.clone());
            assert_eq!(*known, owner, "partition {partition} of generation {}", consumer.generation_id);
        }
        self.generation_synced = self.generation_synced.max(consumer.generation_id);
        consumer.owned = Some(owned);
    }

    /// What a consumer does about an error, as Kafka's do.
    fn react(&mut self, index: usize, error: ErrorCode) {
        let consumer = &mut self.consumers[index];
        match error {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => consumer.owned = None,
            ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::FencedInstanceId
            | ErrorCode::GroupIdNotFound => {
                consumer.owned = None;
                if error != ErrorCode::IllegalGeneration {
                    consumer.member_id.clear();
                }
            }
            other => panic!("consumer {index} was told {other}"),
        }
    }

    fn join(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        consumer.owned = None;
        let request = join(&consumer.member_id, consumer.instance_id.as_deref());
        self.ask(index, Request::Join(request));
    }

    fn tick(&mut self, index: usize) {
        let jitter = self.prng.below(TICK_MS);
        self.after(TICK_MS / 2 + jitter, Event::Tick { consumer: index });
        let now_ms = self.now_ms;
        let consumer = &mut self.consumers[index];
        if !consumer.is_alive || consumer.asked.is_some_and(|(_, until)| now_ms < until) {
            return;
        }
        consumer.asked = None;
        if consumer.owned.is_none() {
            return self.join(index);
        }
        let (member_id, generation_id) = (consumer.member_id.clone(), consumer.generation_id);
        let group_instance_id = consumer.instance_id.clone();
        if self.prng.chance(1, 3) {
            let mut commit = offset_commit(&member_id, generation_id, self.next_offset);
            commit.group_instance_id = group_instance_id;
            self.next_offset += 1;
            return self.ask(index, Request::CommitOffsets(commit));
        }
        let group_id = GROUP.to_owned();
        self.ask(
            index,
            Request::Heartbeat(Heartbeat { group_id, generation_id, member_id, group_instance_id }),
        );
    }

    fn trouble(&mut self) {
        if self.is_quiet() {
            // The last one standing up: at least one consumer is to be served in the end.
            self.consumers[0].is_alive = true;
            return;
        }
        let delay = self.prng.below(15_000);
        self.after(delay, Event::Trouble);
        let index = self.prng.below(self.consumers.len() as u64) as usize;
        match self.prng.below(6) {
            0 => self.restart_coordinator(),
            1 => self.leave(index),
            2 | 3 => {
                // A crash, or a process that was down and comes back with nothing but its configuration.
                let consumer = &mut self.consumers[index];
                let instance_id = consumer.instance_id.take();
                let is_alive = !consumer.is_alive;
                *consumer = Consumer { instance_id, is_alive, ..Consumer::default() };
            }
            _ => {}
        }
    }

    fn leave(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        if consumer.is_alive && !consumer.member_id.is_empty() {
            let member = LeavingMember {
                member_id: std::mem::take(&mut consumer.member_id),
                group_instance_id: consumer.instance_id.clone(),
            };
            consumer.owned = None;
            let leave = LeaveGroup { group_id: GROUP.to_owned(), members: vec![member] };
            self.ask(index, Request::Leave(leave));
        }
    }

    fn restart_coordinator(&mut self) {
        self.fixture.restart();
        self.tokens.clear();
        self.commits.clear();
        // Generations that were begun and not yet assigned, and departures without a new generation, are
        // forgotten: as in Kafka, they live in memory alone.
        self.left.clear();
        self.generation_told = self.fixture.durable_generation();
        assert!(self.generation_synced <= self.generation_told, "who was assigned is in the log");
    }

    fn check_end(&mut self) {
        let alive: Vec<_> = self.consumers.iter().filter(|consumer| consumer.is_alive).collect();
        let generations: BTreeSet<_> = alive.iter().map(|consumer| consumer.generation_id).collect();
        assert_eq!(generations.len(), 1, "all are in one generation: {alive:?}");
        let mut owned: Vec<_> = alive
            .iter()
            .flat_map(|consumer| {
                consumer.owned.clone().unwrap_or_else(|| panic!("not assigned: {consumer:?}"))
            })
            .collect();
        owned.sort_unstable();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>(), "every partition has one owner");
        assert_eq!(self.fixture.state(), Some("Stable"));
        let waiting = self.tokens.keys().filter(|token| !self.fixture.is_answered(**token)).count();
        assert_eq!(waiting, 0, "every request is answered");
        assert!(self.acknowledged_offset <= self.fixture.fetch_offset() || self.has_later_commit());
        assert!(
            self.fixture.coordinator.timer_count() <= 1 + self.consumers.len() + 2,
            "timers are not left behind"
        );
    }

    /// Commits may arrive out of order: an older offset that arrives later wins, as it should.
    fn has_later_commit(&mut self) -> bool {
        let found = self.fixture.fetch_offset();
        0 < found && found < self.next_offset
    }
}

#[test]
fn any_history_ends_with_every_partition_owned_once() {
    let only = std::env::var("CORELOG_SIM_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| Simulation::new(seed).run());
        if let Err(cause) = outcome {
            eprintln!("seed {seed}: rerun with CORELOG_SIM_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
    const { assert!((SESSION_MS as u64) < QUIET_MS) };
}
