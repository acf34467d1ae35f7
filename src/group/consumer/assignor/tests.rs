//! What every target keeps to, and that the targets are Kafka's.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::types::{Prng, Uuid};

/// A group as a test describes it.
#[derive(Debug, Clone, Default)]
struct Group {
    partition_counts: BTreeMap<TopicId, i32>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Default)]
struct Member {
    instance_id: Option<String>,
    topics: BTreeSet<TopicId>,
    assigned: Assignment,
}

impl Member {
    fn spec(&self) -> MemberSpec<'_> {
        MemberSpec {
            instance_id: self.instance_id.as_deref(),
            topics: &self.topics,
            assigned: &self.assigned,
        }
    }
}

impl Group {
    fn spec(&self) -> GroupSpec<'_> {
        GroupSpec {
            members: self.members.iter().map(Member::spec).collect(),
            partition_counts: self.partition_counts.clone(),
        }
    }

    fn assign(&mut self, assignor: Assignor) -> Vec<Assignment> {
        let targets = assignor.assign(&self.spec());
        for (member, target) in self.members.iter_mut().zip(&targets) {
            member.assigned.clone_from(target);
        }
        targets
    }
}

/// `3:0,2 4:1`
fn parse_assignment(text: &str) -> Assignment {
    let mut assignment = Assignment::default();
    for topic in text.split_whitespace() {
        let (topic, partitions) = topic.split_once(':').unwrap();
        let partitions = partitions.split(',').map(|index| index.parse().unwrap());
        assignment.extend(Uuid(topic.parse().unwrap()), partitions);
    }
    assignment
}

/// What each assignor gives the members of a case.
type Targets = Vec<(Assignor, Assignment)>;

/// The cases of `tests/golden/group/README.md`.
fn golden_cases() -> Vec<(String, Group, Targets)> {
    let text = include_str!("../../../../tests/golden/group/assignors-kafka-4.3.1.txt");
    let mut cases: Vec<(String, Group, Targets)> = Vec::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            cases.push((rest.to_owned(), Group::default(), Vec::new()));
            continue;
        }
        let (_, group, targets) = cases.last_mut().unwrap();
        match word {
            "topics" => {
                let pair = |pair: &str| {
                    let (topic, count) = pair.split_once('=').unwrap();
                    (Uuid(topic.parse().unwrap()), count.parse().unwrap())
                };
                group.partition_counts = rest.split(' ').map(pair).collect();
            }
            "member" => {
                let [instance, topics, assigned] = rest.split('|').collect::<Vec<_>>().try_into().unwrap();
                group.members.push(Member {
                    instance_id: Some(instance.trim().to_owned()).filter(|id| id != "-"),
                    topics: topics.trim().split(',').filter_map(|id| id.parse().ok()).map(Uuid).collect(),
                    assigned: parse_assignment(assigned),
                });
            }
            name => targets.push((Assignor::from_name(name).unwrap(), parse_assignment(rest))),
        }
    }
    cases
}

#[test]
fn targets_are_those_of_kafka() {
    let cases = golden_cases();
    assert!(100 <= cases.len(), "{} cases", cases.len());
    for (name, group, expected) in cases {
        for assignor in Assignor::ALL {
            let expected: Vec<Assignment> =
                expected.iter().filter(|(by, _)| *by == assignor).map(|(_, target)| target.clone()).collect();
            assert_eq!(assignor.assign(&group.spec()), expected, "{assignor:?}, case {name}: {group:#?}");
        }
    }
}

fn random_group(prng: &mut Prng) -> Group {
    let topics = 1 + prng.below(6);
    let partition_counts: BTreeMap<TopicId, i32> =
        (0..topics).map(|topic| (Uuid(u128::from(topic)), 1 + prng.below(12) as i32)).collect();
    let alike = prng.chance(1, 2);
    let members = (0..1 + prng.below(9))
        .map(|index| Member {
            instance_id: prng.chance(1, 3).then(|| format!("instance-{}", 100 - index)),
            topics: partition_counts.keys().copied().filter(|_| alike || prng.chance(1, 2)).collect(),
            assigned: Assignment::default(),
        })
        .collect();
    Group { partition_counts, members }
}

/// Every partition with a subscriber belongs to exactly one of them.
fn check_complete(group: &Group, targets: &[Assignment], seed: u64) {
    let mut owned: BTreeMap<(TopicId, i32), usize> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        for (topic, partition) in target.iter() {
            assert!(group.members[index].topics.contains(&topic), "not subscribed, seed {seed}");
            assert_eq!(owned.insert((topic, partition), index), None, "two owners, seed {seed}");
        }
    }
    for topic in group.members.iter().flat_map(|member| &member.topics) {
        for partition in 0..group.partition_counts[topic] {
            assert!(owned.contains_key(&(*topic, partition)), "{topic}-{partition} is vacant, seed {seed}");
        }
    }
}

/// No subscriber of a topic has two partitions more than another, unless it owns nothing of that topic that
/// it could give.
fn check_even(group: &Group, targets: &[Assignment], seed: u64) {
    let load = |index: usize| targets[index].partition_count();
    for (topic, subscribers) in group.spec().subscribers() {
        let least = subscribers.iter().map(|&index| load(index)).min().unwrap();
        for &index in &subscribers {
            let gives = targets[index].topics().any(|(owned, _)| owned == topic);
            assert!(!gives || load(index) <= least + 1, "uneven, seed {seed}: {group:?} {targets:?}");
        }
    }
}

#[test]
fn every_partition_has_one_owner_who_is_subscribed() {
    for seed in 0..2_000 {
        let mut prng = Prng::new(seed);
        let mut group = random_group(&mut prng);
        for assignor in Assignor::ALL {
            let targets = group.assign(assignor);
            check_complete(&group, &targets, seed);
        }
    }
}

#[test]
fn uniform_targets_are_even() {
    for seed in 0..2_000 {
        let mut group = random_group(&mut Prng::new(seed));
        let targets = group.assign(Assignor::Uniform);
        check_even(&group, &targets, seed);
    }
}

#[test]
fn a_target_that_is_even_already_does_not_change() {
    for seed in 0..1_000 {
        let mut group = random_group(&mut Prng::new(seed));
        let first = group.assign(Assignor::Uniform);
        assert_eq!(group.assign(Assignor::Uniform), first, "seed {seed}");
    }
}

#[test]
fn a_newcomer_only_takes_and_a_leaver_only_gives() {
    for seed in 0..1_000 {
        let mut prng = Prng::new(seed);
        let mut group = random_group(&mut prng);
        let topics: BTreeSet<TopicId> = group.partition_counts.keys().copied().collect();
        group.members.iter_mut().for_each(|member| member.topics.clone_from(&topics));
        group.assign(Assignor::Uniform);

        let before = group.clone();
        group.members.push(Member { topics: topics.clone(), ..Member::default() });
        let targets = group.assign(Assignor::Uniform);
        check_even(&group, &targets, seed);
        for (member, target) in before.members.iter().zip(&targets) {
            assert!(
                target.iter().all(|(topic, index)| member.assigned.contains(topic, index)),
                "seed {seed}"
            );
        }

        let leaver = prng.below(group.members.len() as u64) as usize;
        group.members.remove(leaver);
        if group.members.is_empty() {
            continue;
        }
        let before = group.clone();
        let targets = group.assign(Assignor::Uniform);
        check_even(&group, &targets, seed);
        for (member, target) in before.members.iter().zip(&targets) {
            assert!(
                member.assigned.iter().all(|(topic, index)| target.contains(topic, index)),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn range_gives_the_same_indexes_of_equal_topics_and_follows_instance_ids() {
    let topics = BTreeSet::from([Uuid(1), Uuid(2)]);
    let member = |instance: Option<&str>| Member {
        instance_id: instance.map(str::to_owned),
        topics: topics.clone(),
        assigned: Assignment::default(),
    };
    let mut group = Group {
        partition_counts: topics.iter().map(|&topic| (topic, 3)).collect(),
        members: vec![member(None), member(Some("b")), member(Some("a"))],
    };
    let expected = |index| parse_assignment(&format!("1:{index} 2:{index}"));
    assert_eq!(group.assign(Assignor::Range), [expected(2), expected(1), expected(0)]);
}

#[test]
fn a_target_from_a_broken_log_is_set_right() {
    let topics = BTreeSet::from([Uuid(1)]);
    let assigned = parse_assignment("1:0,1,7 9:0");
    let member = Member { instance_id: None, topics, assigned };
    let group = Group {
        partition_counts: BTreeMap::from([(Uuid(1), 2), (Uuid(2), 1)]),
        members: vec![member.clone(), member],
    };
    let mut other = group.clone();
    other.members[1].topics.insert(Uuid(2));
    for group in [group, other] {
        check_complete(&group, &Assignor::Uniform.assign(&group.spec()), 0);
    }
}
