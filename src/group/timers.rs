//! The deadlines of one coordinator. Every timer is set at most once at a time.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// What happens when a deadline passes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// A member was silent for too long, or did not use the id it was given.
    Session {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
    },
    /// A member of a consumer group had its time to give up partitions.
    Revocation {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
    },
    /// A member of a consumer group that speaks the classic protocol had its time to join again.
    MemberJoin {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
    },
    /// A member of a consumer group that speaks the classic protocol had its time to ask for its assignment.
    MemberSync {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
    },
    /// The members of a classic group had their time to join.
    Join {
        /// The group.
        group_id: String,
    },
    /// The members of a classic group had their time to ask for their assignment.
    Sync {
        /// The group.
        group_id: String,
    },
    /// It is time to look for offsets that nobody needs any more.
    Expiration,
}

/// Timers by deadline; those of one deadline fire in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_deadline: BTreeMap<(Instant, u64), Timer>,
    deadlines: HashMap<Timer, (Instant, u64)>,
    set_count: u64,
}

impl Timers {
    /// Sets a timer, in place of its earlier setting.
    pub(super) fn schedule(&mut self, timer: Timer, deadline: Instant) {
        self.cancel(&timer);
        self.set_count += 1;
        let place = (deadline, self.set_count);
        self.by_deadline.insert(place, timer.clone());
        self.deadlines.insert(timer, place);
    }

    /// Forgets a timer that may be set.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(place) = self.deadlines.remove(timer) {
            self.by_deadline.remove(&place);
        }
    }

    /// Whether a timer is set.
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    /// The next deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the timers whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Timer> {
        let mut due = Vec::new();
        while let Some(entry) = self.by_deadline.first_entry() {
            if now < entry.key().0 {
                break;
            }
            let timer = entry.remove();
            self.deadlines.remove(&timer);
            due.push(timer);
        }
        due
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_deadline.len(), self.deadlines.len());
        self.deadlines.len()
    }
}
