//! Which protocol the members of a classic group use (`ClassicGroup.selectProtocol`).
//!
//! In one pass over what the members name: a large group, or a member that names a hundred thousand, must
//! not hold up its shard.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The names that all members know. A member is the names it knows; one that it repeats counts once.
pub(super) fn known_to_all<'a, Names>(members: impl Iterator<Item = Names>) -> HashSet<&'a str>
where
    Names: Iterator<Item = &'a str>,
{
    let mut known_to: HashMap<&str, usize> = HashMap::new();
    let mut count = 0;
    for names in members {
        for name in names {
            let known = known_to.entry(name).or_default();
            if *known == count {
                *known += 1;
            }
        }
        count += 1;
    }
    known_to.retain(|_, known| *known == count);
    known_to.into_keys().collect()
}

/// The name that all members know and most prefer, each naming what it prefers first; of equals, the first
/// in their order.
pub(super) fn most_preferred<'a, Names>(members: impl Iterator<Item = Names> + Clone) -> Option<&'a str>
where
    Names: Iterator<Item = &'a str>,
{
    let common = known_to_all(members.clone());
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for mut names in members {
        if let Some(choice) = names.find(|name| common.contains(name)) {
            *votes.entry(choice).or_default() += 1;
        }
    }
    let most = votes.values().copied().max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(members: &[&[&str]], expected: Option<&str>) {
        let members = members.iter().map(|names| names.iter().copied());
        assert_eq!(most_preferred(members), expected);
    }

    #[test]
    fn the_common_name_that_most_prefer_is_chosen() {
        check(&[], None);
        check(&[&["range", "sticky"]], Some("range"));
        check(&[&["range", "sticky"], &["sticky", "range"], &["sticky"]], Some("sticky"));
        check(&[&["b", "a"], &["a", "b"]], Some("a"));
        check(&[&["range"], &["sticky"]], None);
        check(&[&["range", "range"], &["sticky"]], None);
    }

    /// Compared each with each, this would take minutes.
    #[test]
    fn many_names_are_compared_in_one_pass() {
        let names: Vec<Vec<String>> = ["first", "second", "third"]
            .map(|member| (0..100_000).map(|index| format!("{member}-{index}")).collect())
            .into();
        let members = names.iter().map(|names| names.iter().map(String::as_str).chain(["common"]));
        let began = std::time::Instant::now();
        assert_eq!(most_preferred(members), Some("common"));
        let elapsed = began.elapsed();
        assert!(elapsed < std::time::Duration::from_secs(5), "it took {elapsed:?}");
    }
}
