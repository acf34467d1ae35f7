//! Which shard a connection is served best by.
//!
//! The kernel gives a connection to some shard. Where all that its client asks for belongs to one other,
//! each request crosses cores and wakes them in turn; such a connection moves there. With each move the next
//! one takes twice as many requests, so that a client that changes its mind is not carried back and forth.

use std::cell::Cell;

use crate::types::ShardId;

/// What the requests of one connection say about it.
#[derive(Debug)]
pub(super) struct Affinity {
    here: ShardId,
    /// Requests in a row for one other shard after which it moves there; 0 for never.
    requests: Cell<usize>,
    /// How often it has moved.
    moves: u32,
    /// The other shard that the last requests were for, and how many they were.
    run: Cell<Option<(ShardId, usize)>>,
}

impl Affinity {
    /// A connection of shard `here` that has moved `moves` times; it moves after `requests` at first.
    pub(super) fn new(here: ShardId, requests: usize, moves: u32) -> Self {
        let requests = requests.saturating_mul(1 << moves.min(usize::BITS - 1));
        Self { here, requests: Cell::new(requests), moves, run: Cell::new(None) }
    }

    /// How often the connection has moved.
    pub(super) fn moves(&self) -> u32 {
        self.moves
    }

    /// A request was for partitions of this shard alone, or of several (`None`).
    pub(super) fn note(&self, owner: Option<ShardId>) {
        let run = owner.filter(|owner| *owner != self.here).map(|owner| match self.run.get() {
            Some((same, count)) if same == owner => (owner, count.saturating_add(1)),
            _ => (owner, 1),
        });
        self.run.set(run);
    }

    /// A request opens a fetch session, which would stay behind, for partitions of this shard alone, or of
    /// several. Whether the connection moves before there is a session: it does so once.
    pub(super) fn moves_before_session(&self, owner: Option<ShardId>) -> bool {
        self.note(owner);
        let (Some((owner, _)), 0, 1..) = (self.run.get(), self.moves, self.requests.get()) else {
            return false;
        };
        self.run.set(Some((owner, self.requests.get())));
        true
    }

    /// Where the connection is to move now.
    pub(super) fn target(&self) -> Option<ShardId> {
        let (owner, count) = self.run.get()?;
        (0 < self.requests.get() && self.requests.get() <= count).then_some(owner)
    }

    /// It cannot move.
    pub(super) fn stay(&self) {
        self.requests.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ShardId = ShardId(0);
    const THERE: ShardId = ShardId(1);

    fn noted(affinity: &Affinity, owners: &[Option<ShardId>]) -> Option<ShardId> {
        owners.iter().for_each(|owner| affinity.note(*owner));
        affinity.target()
    }

    #[test]
    fn requests_in_a_row_for_one_other_shard_move_a_connection() {
        let affinity = Affinity::new(HERE, 3, 0);
        assert_eq!(noted(&affinity, &[Some(THERE), Some(THERE)]), None);
        assert_eq!(noted(&affinity, &[Some(HERE), Some(THERE), Some(THERE)]), None, "one was for here");
        assert_eq!(noted(&affinity, &[None, Some(THERE), Some(THERE)]), None, "one was for several");
        assert_eq!(noted(&affinity, &[Some(ShardId(2)), Some(THERE), Some(THERE)]), None, "another shard's");
        assert_eq!(noted(&affinity, &[Some(THERE)]), Some(THERE));
    }

    #[test]
    fn each_move_takes_twice_as_many_requests_as_the_last() {
        assert_eq!(noted(&Affinity::new(HERE, 3, 1), &[Some(THERE); 5]), None);
        assert_eq!(noted(&Affinity::new(HERE, 3, 1), &[Some(THERE); 6]), Some(THERE));
        assert_eq!(noted(&Affinity::new(HERE, 3, 99), &[Some(THERE); 100]), None);
    }

    #[test]
    fn a_session_is_opened_where_its_partitions_are() {
        let affinity = Affinity::new(HERE, 3, 0);
        assert!(!affinity.moves_before_session(None) && !affinity.moves_before_session(Some(HERE)));
        assert_eq!(affinity.target(), None);
        assert!(affinity.moves_before_session(Some(THERE)));
        assert_eq!(affinity.target(), Some(THERE));
        assert!(!Affinity::new(HERE, 3, 1).moves_before_session(Some(THERE)), "it has moved before");
    }

    #[test]
    fn nothing_moves_where_it_is_switched_off_or_cannot() {
        let never = Affinity::new(HERE, 0, 0);
        assert!(!never.moves_before_session(Some(THERE)));
        assert_eq!(noted(&never, &[Some(THERE); 100]), None);
        let stuck = Affinity::new(HERE, 3, 0);
        assert_eq!(noted(&stuck, &[Some(THERE); 3]), Some(THERE));
        stuck.stay();
        assert_eq!(noted(&stuck, &[Some(THERE); 3]), None);
    }
}
