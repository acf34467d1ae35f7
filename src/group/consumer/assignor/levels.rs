//! The subscribers of one topic by load, and whose turn it is to get or to give a partition.

/// Members in the order of their load, with the range of the least and that of the most loaded:
///
/// ```text
///       ^ least                most
///  load | loaded               loaded        cannot
///       | [.........>]     [<....#####]      give
///       | [##########]#####[##########]  ##########
///       +------------------------------------------> members
/// ```
///
/// The left range gets partitions one member after the other; once each has one more, its level rises and the
/// range grows to the right. The right range gives in the same way and grows to the left. Members who own
/// nothing of this topic leave it at its right end.
#[derive(Debug)]
pub(super) struct Levels {
    order: Vec<usize>,
    spread: usize,
    /// The left range is `..low_end`; `low_level` is the load of its members before this turn of theirs.
    low_end: usize,
    low_level: i64,
    low_next: usize,
    /// The right range is `high_start..high_end`. Whoever is before `high_next` gives next.
    high_start: usize,
    high_end: usize,
    high_level: i64,
    high_next: usize,
}

impl Levels {
    /// Of a topic's subscribers, of whom there is at least one. `loads` is by member.
    pub(super) fn new(subscribers: &[usize], loads: &[usize]) -> Self {
        let mut order = subscribers.to_vec();
        order.sort_by_key(|&member| (loads[member], member));
        let lowest = loads[*order.first().expect("a topic of the group has a subscriber")];
        let highest = loads[order[order.len() - 1]];
        Self {
            spread: highest - lowest,
            low_end: 0,
            low_level: lowest as i64 - 1,
            low_next: 0,
            high_start: order.len(),
            high_end: order.len(),
            high_level: highest as i64 + 1,
            high_next: order.len(),
            order,
        }
    }

    /// How far apart the loads were at the start.
    pub(super) fn spread(&self) -> usize {
        self.spread
    }

    /// Whether moving one more partition would not help.
    pub(super) fn is_even(&self) -> bool {
        self.high_level - self.low_level <= 1
    }

    /// Who gets the next partition. `loads` may count what was handed out by this since the start, or not:
    /// only members not reached yet are looked up.
    pub(super) fn next_least_loaded(&mut self, loads: &[usize]) -> usize {
        if self.low_end <= self.low_next {
            self.low_level += 1;
            while self.order.get(self.low_end).is_some_and(|&next| loads[next] as i64 == self.low_level) {
                self.low_end += 1;
            }
            self.low_next = 0;
        }
        self.low_next += 1;
        self.order[self.low_next - 1]
    }

    /// Who gives the next partition; `None` when nobody can.
    pub(super) fn next_most_loaded(&mut self, loads: &[usize]) -> Option<usize> {
        if self.high_next <= self.high_start {
            let before = self.high_start.checked_sub(1).map(|at| loads[self.order[at]] as i64);
            match before {
                // All of the range were excluded, so that its level says nothing about the next member's.
                Some(level) if self.high_end <= self.high_start => self.high_level = level,
                _ => self.high_level -= 1,
            }
            while 0 < self.high_start && loads[self.order[self.high_start - 1]] as i64 == self.high_level {
                self.high_start -= 1;
            }
            self.high_next = self.high_end;
        }
        self.high_next = self.high_next.checked_sub(1)?;
        Some(self.order[self.high_next])
    }

    /// The member that [`Levels::next_most_loaded`] has just named has nothing to give.
    pub(super) fn exclude_most_loaded(&mut self) {
        self.high_end -= 1;
        self.order.swap(self.high_next, self.high_end);
    }
}
