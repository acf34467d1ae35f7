//! How many connections a broker has, in all and from one address (`ConnectionQuotas`).
//!
//! Every connection of the broker arrives and departs here, whichever shard serves it, so the counts are
//! exact wherever the kernel puts connections. Beyond the limit of its address a connection is refused.
//! Beyond `max.connections` it waits until another departs, in the order of arrival; whoever accepts
//! connections asks for one at a time, so that those which wait are at most one for each listener of each
//! shard, and the rest stays in the kernel's backlog.
//!
//! The listener that brokers use among themselves is protected where it is not the only one: it takes
//! connections beyond `max.connections`, and for each of those the least recently used connection of another
//! listener goes, on the shard that has most of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use crate::types::ShardId;

/// The limits; `usize::MAX` is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`
    pub total: usize,
    /// `max.connections.per.ip`
    pub per_ip: usize,
    /// `max.connection.creation.rate`; kept by [`CreationRate`](super::CreationRate).
    pub creations_per_second: usize,
    /// `max.connections.per.ip.overrides`, resolved; canonical addresses.
    pub overrides: HashMap<IpAddr, usize>,
}

impl ConnectionLimits {
    /// Kafka's default of a limit, which stands for none.
    const NONE: usize = i32::MAX as usize;

    /// Whether no connection can ever be refused or have to wait.
    pub fn is_unlimited(&self) -> bool {
        let least = self.total.min(self.per_ip).min(self.creations_per_second);
        Self::NONE <= least && self.overrides.is_empty()
    }

    fn of_ip(&self, ip: IpAddr) -> usize {
        self.overrides.get(&ip).copied().unwrap_or(self.per_ip)
    }
}

/// A connection as far as limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub ip: IpAddr,
    /// The shard that accepted it.
    pub shard: ShardId,
    /// Whether it came in by the protected listener.
    pub is_protected: bool,
}

/// What becomes of a connection that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted until it departs.
    Admitted,
    /// Its address has `max` connections already; it is not counted.
    Refused {
        /// The limit of the address.
        max: usize,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<Token> {
    /// Tell whoever asked.
    Reply(Token, Verdict),
    /// Have this shard close its least recently used connection of an unprotected listener.
    Shed(ShardId),
}

/// The counts and those who wait for a place. A token is the driver's, to find whom to answer.
#[derive(Debug)]
pub struct ConnectionQuotas<Token> {
    limits: ConnectionLimits,
    total: usize,
    /// Open connections by address; no entry is 0.
    by_ip: HashMap<IpAddr, usize>,
    /// Open connections of unprotected listeners by shard.
    unprotected: BTreeMap<ShardId, usize>,
    waiting: VecDeque<(Token, Peer)>,
    outputs: VecDeque<Output<Token>>,
}

impl<Token> ConnectionQuotas<Token> {
    /// Nobody is connected.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            total: 0,
            by_ip: HashMap::new(),
            unprotected: BTreeMap::new(),
            waiting: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The limits changed. Connections beyond them stay; those that wait and have room now are admitted.
    pub fn handle_limits(&mut self, total: usize, per_ip: usize) {
        self.limits.total = total;
        self.limits.per_ip = per_ip;
        self.admit_waiting();
    }

    /// A connection was accepted and asks to be served.
    pub fn handle_arrival(&mut self, token: Token, peer: Peer) {
        let peer = Peer { ip: peer.ip.to_canonical(), ..peer };
        if !peer.is_protected && (self.limits.total <= self.total || !self.waiting.is_empty()) {
            self.waiting.push_back((token, peer));
            return;
        }
        self.decide(token, peer);
    }

    /// A connection was admitted where nothing was limited yet: it counts, whatever the limits are now.
    pub fn handle_unasked(&mut self, peer: Peer) {
        let peer = Peer { ip: peer.ip.to_canonical(), ..peer };
        self.count(peer);
    }

    /// A connection that was admitted goes to another shard.
    pub fn handle_move(&mut self, peer: Peer, to: ShardId) {
        if !peer.is_protected {
            self.leave_shard(peer.shard);
            *self.unprotected.entry(to).or_default() += 1;
        }
    }

    /// A connection that was admitted has ended.
    pub fn handle_departure(&mut self, peer: Peer) {
        let ip = peer.ip.to_canonical();
        self.total = self.total.checked_sub(1).expect("only admitted connections depart");
        let of_ip = self.by_ip.get_mut(&ip).expect("the address of an admitted connection is counted");
        *of_ip -= 1;
        if *of_ip == 0 {
            self.by_ip.remove(&ip);
        }
        if !peer.is_protected {
            self.leave_shard(peer.shard);
        }
        self.admit_waiting();
    }

    fn leave_shard(&mut self, shard: ShardId) {
        let of_shard = self.unprotected.get_mut(&shard).expect("its shard is counted");
        *of_shard = of_shard.checked_sub(1).expect("only admitted connections depart");
    }

    fn admit_waiting(&mut self) {
        // One that its address refuses leaves its place to the next.
        while self.total < self.limits.total
            && let Some((token, peer)) = self.waiting.pop_front()
        {
            self.decide(token, peer);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output<Token>> {
        self.outputs.pop_front()
    }

    fn decide(&mut self, token: Token, peer: Peer) {
        let max = self.limits.of_ip(peer.ip);
        let of_ip = self.by_ip.get(&peer.ip).copied().unwrap_or(0);
        if max <= of_ip {
            self.outputs.push_back(Output::Reply(token, Verdict::Refused { max }));
            return;
        }
        self.count(peer);
        self.outputs.push_back(Output::Reply(token, Verdict::Admitted));
        if peer.is_protected && self.limits.total < self.total {
            let most = self.unprotected.iter().max_by_key(|(_, count)| **count);
            let shed = most.filter(|(_, count)| 0 < **count).map(|(shard, _)| Output::Shed(*shard));
            self.outputs.extend(shed);
        }
    }

    fn count(&mut self, peer: Peer) {
        self.total += 1;
        *self.by_ip.entry(peer.ip).or_default() += 1;
        if !peer.is_protected {
            *self.unprotected.entry(peer.shard).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Prng;

    fn limits(total: usize, per_ip: usize) -> ConnectionLimits {
        let creations_per_second = usize::MAX;
        ConnectionLimits {
            total,
            per_ip,
            creations_per_second,
            overrides: HashMap::from([([10, 0, 0, 9].into(), 3)]),
        }
    }

    fn peer(last: u8, shard: u16) -> Peer {
        Peer { ip: [10, 0, 0, last].into(), shard: ShardId(shard), is_protected: false }
    }

    fn outputs(quotas: &mut ConnectionQuotas<u32>) -> Vec<Output<u32>> {
        std::iter::from_fn(|| quotas.poll_output()).collect()
    }

    fn admitted(token: u32) -> Output<u32> {
        Output::Reply(token, Verdict::Admitted)
    }

    #[test]
    fn an_address_has_its_limit_whatever_shards_it_came_to() {
        let mut quotas = ConnectionQuotas::new(limits(usize::MAX, 1));
        quotas.handle_arrival(1, peer(1, 0));
        quotas.handle_arrival(2, peer(1, 1));
        quotas.handle_arrival(3, peer(2, 1));
        assert_eq!(
            outputs(&mut quotas),
            [admitted(1), Output::Reply(2, Verdict::Refused { max: 1 }), admitted(3)]
        );
        quotas.handle_departure(peer(1, 0));
        quotas.handle_arrival(4, peer(1, 1));
        assert_eq!(outputs(&mut quotas), [admitted(4)]);
        for token in 5..9 {
            quotas.handle_arrival(token, peer(9, 0));
        }
        let replies = outputs(&mut quotas);
        assert_eq!(replies[..3], [admitted(5), admitted(6), admitted(7)]);
        assert_eq!(replies[3], Output::Reply(8, Verdict::Refused { max: 3 }), "the limit of this address");
    }

    #[test]
    fn a_raised_limit_admits_those_that_wait() {
        let mut quotas = ConnectionQuotas::new(limits(1, usize::MAX));
        (1..5).for_each(|token| quotas.handle_arrival(token, peer(token as u8, 0)));
        assert_eq!(outputs(&mut quotas), [admitted(1)]);
        quotas.handle_limits(3, usize::MAX);
        assert_eq!(outputs(&mut quotas), [admitted(2), admitted(3)]);
        quotas.handle_limits(1, usize::MAX);
        quotas.handle_departure(peer(1, 0));
        assert_eq!(outputs(&mut quotas), [], "two are open where one may be");
    }

    #[test]
    fn those_let_in_before_there_was_a_limit_count_beyond_it() {
        let mut quotas = ConnectionQuotas::new(limits(1, 1));
        quotas.handle_unasked(peer(1, 0));
        quotas.handle_unasked(peer(1, 1));
        quotas.handle_arrival(1, peer(2, 0));
        quotas.handle_departure(peer(1, 1));
        assert_eq!(outputs(&mut quotas), []);
        quotas.handle_departure(peer(1, 0));
        assert_eq!(outputs(&mut quotas), [admitted(1)]);
    }

    #[test]
    fn a_connection_that_moved_is_looked_for_where_it_is() {
        let mut quotas = ConnectionQuotas::new(limits(2, usize::MAX));
        quotas.handle_arrival(1, peer(1, 0));
        quotas.handle_arrival(2, peer(1, 0));
        quotas.handle_move(peer(1, 0), ShardId(1));
        quotas.handle_move(peer(1, 0), ShardId(1));
        outputs(&mut quotas);
        let broker = Peer { is_protected: true, ..peer(5, 0) };
        quotas.handle_arrival(3, broker);
        assert_eq!(outputs(&mut quotas), [admitted(3), Output::Shed(ShardId(1))]);
        quotas.handle_move(broker, ShardId(1));
        for departed in [peer(1, 1), peer(1, 1), Peer { shard: ShardId(1), ..broker }] {
            quotas.handle_departure(departed);
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        let mut quotas = ConnectionQuotas::new(limits(usize::MAX, 1));
        let mapped = Peer { ip: "::ffff:10.0.0.1".parse().unwrap(), ..peer(1, 0) };
        quotas.handle_arrival(1, mapped);
        quotas.handle_arrival(2, peer(1, 0));
        assert_eq!(outputs(&mut quotas), [admitted(1), Output::Reply(2, Verdict::Refused { max: 1 })]);
        quotas.handle_departure(mapped);
        quotas.handle_arrival(3, peer(1, 0));
        assert_eq!(outputs(&mut quotas), [admitted(3)]);
    }

    #[test]
    fn beyond_the_total_connections_wait_in_order() {
        let mut quotas = ConnectionQuotas::new(limits(2, 2));
        quotas.handle_arrival(1, peer(1, 0));
        quotas.handle_arrival(2, peer(1, 1));
        quotas.handle_arrival(3, peer(1, 0));
        quotas.handle_arrival(4, peer(2, 1));
        assert_eq!(outputs(&mut quotas), [admitted(1), admitted(2)]);
        quotas.handle_departure(peer(1, 1));
        assert_eq!(outputs(&mut quotas), [admitted(3)]);
        quotas.handle_arrival(5, peer(3, 0));
        quotas.handle_departure(peer(1, 0));
        assert_eq!(outputs(&mut quotas), [admitted(4)], "the older one first");
    }

    #[test]
    fn one_that_its_address_refuses_leaves_its_place_to_the_next() {
        let mut quotas = ConnectionQuotas::new(limits(2, 1));
        quotas.handle_arrival(1, peer(1, 0));
        quotas.handle_arrival(2, peer(2, 0));
        quotas.handle_arrival(3, peer(1, 0));
        quotas.handle_arrival(4, peer(3, 0));
        outputs(&mut quotas);
        quotas.handle_departure(peer(2, 0));
        assert_eq!(outputs(&mut quotas), [Output::Reply(3, Verdict::Refused { max: 1 }), admitted(4)]);
    }

    #[test]
    fn the_protected_listener_takes_more_and_another_connection_goes() {
        let mut quotas = ConnectionQuotas::new(limits(3, usize::MAX));
        let broker = Peer { is_protected: true, ..peer(5, 0) };
        quotas.handle_arrival(1, peer(1, 0));
        quotas.handle_arrival(2, peer(1, 1));
        quotas.handle_arrival(3, peer(1, 1));
        quotas.handle_arrival(4, broker);
        assert_eq!(
            outputs(&mut quotas),
            [admitted(1), admitted(2), admitted(3), admitted(4), Output::Shed(ShardId(1))]
        );
        quotas.handle_departure(peer(1, 1));
        quotas.handle_arrival(5, peer(1, 0));
        assert_eq!(outputs(&mut quotas), [], "there are three again");
        for one in [peer(1, 0), peer(1, 1)] {
            quotas.handle_departure(one);
        }
        assert_eq!(outputs(&mut quotas), [admitted(5)]);
        quotas.handle_departure(peer(1, 0));
        (6..10).for_each(|token| quotas.handle_arrival(token, broker));
        let protected_only = outputs(&mut quotas);
        assert!(!protected_only.contains(&Output::Shed(ShardId(0))), "nobody is there to go");
    }

    /// Whatever comes and goes: no limit is passed, and nobody waits while there is room.
    #[test]
    fn limits_hold_in_any_order_of_events() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let mut quotas = ConnectionQuotas::new(limits(8, 4));
            let mut asked = Vec::new();
            let mut open: Vec<Peer> = Vec::new();
            let mut waiting = 0;
            for token in 0..300_u32 {
                if prng.chance(1, 2) || open.is_empty() {
                    asked.push((token, peer(prng.below(4) as u8 + 6, prng.below(3) as u16)));
                    quotas.handle_arrival(token, asked.last().unwrap().1);
                    waiting += 1;
                } else {
                    let at = prng.below(open.len() as u64) as usize;
                    quotas.handle_departure(open.swap_remove(at));
                }
                for output in outputs(&mut quotas) {
                    let Output::Reply(token, verdict) = output else { panic!("seed {seed}: nobody sheds") };
                    let at = asked.iter().position(|(of, _)| *of == token).expect("a reply to who asked");
                    let (_, peer) = asked.remove(at);
                    waiting -= 1;
                    if verdict == Verdict::Admitted {
                        open.push(peer);
                    }
                }
                assert!(open.len() <= 8, "seed {seed}");
                assert!(waiting == 0 || open.len() == 8, "seed {seed}: {waiting} wait beside {}", open.len());
                for last in 6..10 {
                    let of_ip = open.iter().filter(|of| of.ip == peer(last, 0).ip).count();
                    assert!(of_ip <= if last == 9 { 3 } else { 4 }, "seed {seed}");
                }
            }
        }
    }
}
