//! Random histories of a group: members come, go, fall silent, lose answers; topics grow, come and go; the
//! coordinator restarts with what was committed.
//!
//! In every state no two members have a partition, no live client reads what the coordinator does not
//! think it may be reading, and the log adds up to the live state. In the end, without further trouble,
//! everything is assigned, read and stable. `CORELOG_SIM_SEED=n cargo test --lib
//! consumer::tests::simulation` replays one history.

use std::collections::BTreeMap;

use super::bench::{Bench, consumer_group, join};
use crate::group::consumer::{Assignment, ConsumerGroupConfig, ConsumerHeartbeat};
use crate::group::{Request, Response, Token};
use crate::types::{ErrorCode, Offset, Prng, TopicId};

const SEEDS: u64 = 1_000;
const STEPS: u64 = 120;
const CLIENTS_MAX: usize = 6;
const TOPICS: [&str; 4] = ["orders", "refunds", "returns", "audits"];

/// A consumer, as the protocol has it behave (KIP-848, "Consumer Group Member").
#[derive(Debug, Clone)]
struct Client {
    id: String,
    instance_id: Option<String>,
    epoch: i32,
    topics: Vec<String>,
    regex: Option<String>,
    /// What it reads.
    reads: Assignment,
    /// It has to say everything: it joins, or an answer did not come.
    says_all: bool,
    /// What it reads has changed since it last said so.
    must_report: bool,
    /// The request it waits for.
    waiting: Option<Token>,
    /// It reacts to nothing any more, but does not know that it is out.
    is_frozen: bool,
}

struct Simulation {
    bench: Bench,
    prng: Prng,
    clients: Vec<Client>,
    committed: usize,
    next_client: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut config = ConsumerGroupConfig::default();
        config.assignment_interval.default = [0, 1_000, 3_000][prng.below(3) as usize];
        let mut bench = Bench::new(config);
        bench.add_partitions("orders", 1 + prng.below(5) as i32);
        Self { bench, prng, clients: Vec::new(), committed: 0, next_client: 0 }
    }

    fn pick(&mut self) -> Option<usize> {
        let count = self.clients.len() as u64;
        (0 < count).then(|| self.prng.below(count) as usize)
    }

    fn random_topics(&mut self) -> Vec<String> {
        let topics: Vec<_> =
            TOPICS.iter().filter(|_| self.prng.chance(1, 2)).map(|&it| it.to_owned()).collect();
        if topics.is_empty() { vec!["orders".to_owned()] } else { topics }
    }

    fn new_client(&mut self, instance_id: Option<String>) {
        self.next_client += 1;
        let regex =
            self.prng.chance(1, 5).then(|| ["re.*", "a.*|orders"][self.prng.below(2) as usize].to_owned());
        let topics = if regex.is_some() { Vec::new() } else { self.random_topics() };
        self.clients.push(Client {
            id: format!("client-{:03}", self.next_client),
            instance_id,
            epoch: 0,
            topics,
            regex,
            reads: Assignment::default(),
            says_all: true,
            must_report: false,
            waiting: None,
            is_frozen: false,
        });
    }

    /// The next heartbeat of a client, unless it waits for the answer to one.
    fn send(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.waiting.is_some() || client.is_frozen {
            return;
        }
        let names = client.topics.iter().map(String::as_str).collect::<Vec<_>>();
        let mut request =
            ConsumerHeartbeat { instance_id: client.instance_id.clone(), ..join(&client.id, &names) };
        // Without this, a static member would inherit its predecessor's pattern.
        request.topic_regex = Some(client.regex.clone().unwrap_or_default());
        request.member_epoch = client.epoch;
        request.owned = Some(client.reads.clone());
        if !client.says_all {
            (request.topic_names, request.topic_regex) = (None, None);
            request.rebalance_timeout_ms = -1;
            if !client.must_report {
                request.owned = None;
            }
        }
        client.waiting = Some(self.bench.send(Request::ConsumerHeartbeat(request)));
        client.must_report = false;
        client.says_all = false;
    }

    /// Brings the answers whose records are committed, or loses them.
    fn deliver(&mut self, lossy: bool) {
        let committed = Offset(self.committed as i64);
        let (ready, parked) = std::mem::take(&mut self.bench.replies)
            .into_iter()
            .partition(|(_, after, _)| *after <= committed);
        self.bench.replies = parked;
        let ready: Vec<(Token, Offset, Response)> = ready;
        for (token, _, response) in ready {
            let Some(client) = self.clients.iter_mut().find(|client| client.waiting == Some(token)) else {
                continue;
            };
            client.waiting = None;
            if lossy && self.prng.chance(1, 6) {
                client.says_all = true;
                continue;
            }
            let Response::ConsumerHeartbeat(result) = response else { panic!("another kind of answer") };
            client.take(result.map_err(|refusal| refusal.error));
        }
    }

    fn lose_waiting(&mut self) {
        for client in &mut self.clients {
            if client.waiting.take().is_some() {
                client.says_all = true;
            }
        }
    }

    fn step(&mut self) {
        match self.prng.below(24) {
            0 | 1 if self.clients.len() < CLIENTS_MAX => {
                let instance = self.prng.chance(1, 3).then(|| format!("instance-{}", self.next_client));
                self.new_client(instance);
            }
            2 => self.leave(),
            3 => self.kill(),
            4 => {
                if let Some(index) = self.pick() {
                    self.clients[index].is_frozen ^= true;
                }
            }
            5 => self.change_subscription(),
            6 => {
                let topic = TOPICS[self.prng.below(4) as usize];
                if self.bench.image.topic_id(topic).is_none_or(|id| self.partition_count(id) < 8) {
                    self.bench.add_partitions(topic, 1 + self.prng.below(2) as i32);
                }
            }
            7 if self.prng.chance(1, 6) => {
                let topic = TOPICS[1 + self.prng.below(3) as usize];
                if self.bench.image.topic_id(topic).is_some() {
                    self.bench.remove_topic(topic);
                }
            }
            8 if self.prng.chance(1, 3) => self.crash(),
            9 => {
                let ms = [200, 1_000, 4_000, 31_000, 46_000][self.prng.below(5) as usize];
                self.bench.advance(ms);
            }
            10 | 11 => self.bench.search(),
            12..15 => self.committed = self.bench.log.len(),
            15..18 => self.deliver(true),
            _ => {
                if let Some(index) = self.pick() {
                    self.send(index);
                }
                self.bench.advance(self.prng.below(400) as i64);
            }
        }
        self.check();
    }

    fn partition_count(&self, id: TopicId) -> usize {
        self.bench.image.topic(id).map_or(0, |topic| topic.partitions().len())
    }

    /// A client says good-bye; the answer does not matter to it.
    fn leave(&mut self) {
        let Some(index) = self.pick() else { return };
        let client = self.clients.remove(index);
        let is_static = client.instance_id.is_some();
        let for_a_while = is_static && self.prng.chance(2, 3);
        let request = ConsumerHeartbeat {
            instance_id: client.instance_id.clone(),
            member_epoch: if for_a_while { -2 } else { -1 },
            topic_names: None,
            ..join(&client.id, &[])
        };
        self.bench.send(Request::ConsumerHeartbeat(request));
        if for_a_while && self.prng.chance(3, 4) {
            self.new_client(client.instance_id);
        }
    }

    /// A client is gone without a word, its successor with the same instance may come.
    fn kill(&mut self) {
        let Some(index) = self.pick() else { return };
        let client = self.clients.remove(index);
        if client.instance_id.is_some() && self.prng.chance(1, 2) {
            self.new_client(client.instance_id);
        }
    }

    fn change_subscription(&mut self) {
        let Some(index) = self.pick() else { return };
        let topics = self.random_topics();
        let client = &mut self.clients[index];
        if client.regex.is_none() && client.waiting.is_none() {
            client.topics = topics;
            client.says_all = true;
        }
    }

    /// What was not committed is lost, and with it every answer that waited for it.
    fn crash(&mut self) {
        let end =
            self.committed + self.prng.below((self.bench.log.len() - self.committed) as u64 + 1) as usize;
        // A batch is there as a whole or not at all.
        let end = self.bench.batch_ends.iter().copied().filter(|at| *at <= end).max().unwrap_or(0);
        self.bench.restart(end);
        self.committed = end;
        self.lose_waiting();
    }

    fn check(&mut self) {
        // The log is long and the other rules are cheap.
        if self.prng.chance(1, 16) {
            self.bench.check_replay();
        }
        let Some(group) = consumer_group(&self.bench.coordinator) else { return };
        let mut held: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for member in group.members.values() {
            let partitions = member.assigned.iter().chain(member.pending_revocation.iter());
            for (topic, partition, _) in partitions {
                let earlier = held.insert((topic, partition), &member.id);
                assert_eq!(earlier, None, "{topic}-{partition} is {}'s too", member.id);
            }
        }
        for client in &self.clients {
            let Some(member) = group.members.get(&client.id) else { continue };
            let is_current = client.epoch != 0 && client.epoch <= member.epoch;
            for (topic, partition) in client.reads.iter().filter(|_| is_current) {
                let knows = member.assigned.contains(topic, partition)
                    || member.pending_revocation.contains(topic, partition);
                assert!(knows, "{} reads {topic}-{partition} behind the coordinator's back", client.id);
            }
        }
    }

    /// Nothing goes wrong any more.
    fn settle(&mut self) {
        self.lose_waiting();
        self.clients.iter_mut().for_each(|client| client.is_frozen = false);
        for _ in 0..60 {
            for index in 0..self.clients.len() {
                self.send(index);
                self.committed = self.bench.log.len();
                self.deliver(false);
                self.check();
            }
            self.bench.search();
            self.bench.advance(5_000);
        }
    }

    fn check_end(&self) {
        let Some(group) = consumer_group(&self.bench.coordinator) else {
            return assert!(self.clients.is_empty(), "members without a group");
        };
        let state = if self.clients.is_empty() { "Empty" } else { "Stable" };
        assert_eq!(group.state().name(), state);
        let ids: Vec<_> = group.members.keys().collect();
        let mut clients: Vec<_> = self.clients.iter().map(|client| &client.id).collect();
        clients.sort();
        assert_eq!(ids, clients);
        let mut read: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            assert_eq!(client.epoch, group.target_epoch);
            assert_eq!(group.members[&client.id].assigned.partitions(), client.reads);
            for partition in client.reads.iter() {
                assert_eq!(read.insert(partition, &client.id), None);
            }
        }
        for topic in self.bench.image.topics() {
            let is_wanted = |client: &Client| match &client.regex {
                Some(regex) if regex == "re.*" => topic.name().as_str().starts_with("re"),
                Some(_) => topic.name().as_str().starts_with('a') || topic.name().as_str() == "orders",
                None => client.topics.iter().any(|name| name == topic.name().as_str()),
            };
            for partition in topic.partitions() {
                let is_read = read.contains_key(&(topic.id(), partition.id));
                assert_eq!(is_read, self.clients.iter().any(is_wanted), "{}-{}", topic.name(), partition.id);
            }
        }
    }
}

impl Client {
    fn take(&mut self, result: Result<crate::group::consumer::MemberInstruction, ErrorCode>) {
        match result {
            Ok(told) => {
                assert_eq!(told.member_id, self.id);
                self.epoch = told.member_epoch;
                if let Some(assignment) = told.assignment
                    && assignment != self.reads
                {
                    // It stops reading what is not its own before it reads anything new.
                    self.reads = assignment;
                    self.must_report = true;
                }
            }
            Err(
                ErrorCode::FencedMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::GroupIdNotFound
                | ErrorCode::UnreleasedInstanceId
                | ErrorCode::FencedInstanceId,
            ) => {
                self.epoch = 0;
                self.reads = Assignment::default();
                self.says_all = true;
            }
            Err(other) => panic!("{other} is no answer to an honest client"),
        }
    }
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    for _ in 0..STEPS {
        simulation.step();
    }
    simulation.settle();
    simulation.bench.check_replay();
    simulation.check_end();
}

#[test]
fn random_histories_end_well() {
    let chosen = std::env::var("CORELOG_SIM_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}: CORELOG_SIM_SEED={seed} replays it");
    }
}
