//! What the members of a group ask for, counted.

use std::collections::BTreeMap;

use super::member::Member;
use super::regex::ResolvedRegex;

/// How often each of some names occurs. None is at zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(super) fn add(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(name.to_owned(), 1);
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(1) => {
                self.0.remove(name);
            }
            Some(count) => *count -= 1,
            None => panic!("{name} was never counted"),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The names, ascending.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The name that occurs most often; of equals, the first.
    pub(super) fn most_frequent(&self) -> Option<&str> {
        let most = self.0.values().max()?;
        self.0.iter().find(|(_, count)| *count == most).map(|(name, _)| name.as_str())
    }
}

/// The sums over a group's members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Census {
    /// Members subscribed to a topic by name, and patterns that stand for it.
    pub(super) topics: Tally,
    /// Members subscribed to a pattern.
    pub(super) regexes: Tally,
    /// Members that ask for an assignor.
    pub(super) server_assignors: Tally,
    /// Members of the classic protocol that know one of its protocols.
    pub(super) classic_protocols: Tally,
    /// Members of the classic protocol.
    pub(super) classic_members: usize,
}

impl Census {
    pub(super) fn add(&mut self, member: &Member) {
        member.topic_names.iter().for_each(|topic| self.topics.add(topic));
        member.regex().into_iter().for_each(|regex| self.regexes.add(regex));
        member.server_assignor.iter().for_each(|name| self.server_assignors.add(name));
        member.classic_protocols().iter().for_each(|protocol| self.classic_protocols.add(&protocol.name));
        self.classic_members += usize::from(member.classic.is_some());
    }

    pub(super) fn remove(&mut self, member: &Member) {
        member.topic_names.iter().for_each(|topic| self.topics.remove(topic));
        member.regex().into_iter().for_each(|regex| self.regexes.remove(regex));
        member.server_assignor.iter().for_each(|name| self.server_assignors.remove(name));
        member.classic_protocols().iter().for_each(|protocol| self.classic_protocols.remove(&protocol.name));
        self.classic_members -= usize::from(member.classic.is_some());
    }

    pub(super) fn add_resolved(&mut self, resolved: &ResolvedRegex) {
        resolved.topics.iter().for_each(|topic| self.topics.add(topic));
    }

    pub(super) fn remove_resolved(&mut self, resolved: &ResolvedRegex) {
        resolved.topics.iter().for_each(|topic| self.topics.remove(topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_is_the_first_of_equals() {
        let mut tally = Tally::default();
        assert_eq!(tally.most_frequent(), None);
        ["b", "a", "b", "a", "c"].iter().for_each(|name| tally.add(name));
        assert_eq!(tally.most_frequent(), Some("a"));
        tally.remove("a");
        assert_eq!((tally.most_frequent(), tally.count("a")), (Some("b"), 1));
        tally.remove("a");
        assert_eq!(tally.names().collect::<Vec<_>>(), ["b", "c"]);
    }
}
