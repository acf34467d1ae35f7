//! Which connection serves which partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::LoadArgs;
use crate::cli::CliError;
use crate::client::admin::{NewTopic, create_topics};
use crate::client::consumer::{OffsetSpec, list_offset};
use crate::client::{Cluster, TopicInfo};
use crate::rt::time;

/// How long a new topic's partitions may take to get leaders.
const LEADERS_WAIT_MAX: Duration = Duration::from_secs(30);

/// A partition that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// One connection: where to, and for which partitions of that broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionPlan {
    pub(super) address: String,
    pub(super) targets: Vec<Target>,
}

/// Finds or creates the topics and deals their partitions to the connections.
pub(super) async fn plan(args: &LoadArgs, create: bool) -> Result<Vec<ConnectionPlan>, CliError> {
    let cluster = args.client.connect().await?;
    let mut by_leader: BTreeMap<i32, Vec<Target>> = BTreeMap::new();
    for name in args.topic_names() {
        let topic = ready_topic(&cluster, args, &name, create).await?;
        for info in topic.partitions.iter().take(args.partitions as usize) {
            let target = Target { topic: name.clone(), partition: info.partition };
            by_leader.entry(info.leader).or_default().push(target);
        }
    }
    let mut leaders = Vec::new();
    for (leader, targets) in by_leader {
        leaders.push((cluster.address_of(leader)?, targets));
    }
    Ok(deal(leaders, args.connections as usize))
}

/// Gives each leader its turn of the connections, and each of these its turn of the leader's partitions.
fn deal(leaders: Vec<(String, Vec<Target>)>, connections: usize) -> Vec<ConnectionPlan> {
    let connections = connections.max(leaders.len());
    let mut plans = Vec::with_capacity(connections);
    for (turn, (address, targets)) in leaders.iter().enumerate() {
        let mine = (turn..connections).step_by(leaders.len()).count();
        for index in 0..mine {
            let dealt: Vec<Target> = match targets.len() < mine {
                true => vec![targets[index % targets.len()].clone()],
                false => targets.iter().skip(index).step_by(mine).cloned().collect(),
            };
            plans.push(ConnectionPlan { address: address.clone(), targets: dealt });
        }
    }
    plans
}

/// The topic once every partition that takes part has a leader.
async fn ready_topic(
    cluster: &Cluster,
    args: &LoadArgs,
    name: &str,
    create: bool,
) -> Result<TopicInfo, CliError> {
    let mut found = cluster.find_topic(name, false).await?;
    if found.is_none() && create {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: i32::try_from(args.partitions).unwrap_or(i32::MAX),
            replication_factor: args.replication_factor,
            configs: args.topic_configs.clone(),
        };
        create_topics(cluster, &[topic], false).await?;
    } else if found.is_none() {
        return Err(CliError::failed(format!("topic {name} is not there; fill it with `bench produce`")));
    }
    let deadline = time::monotonic_now() + LEADERS_WAIT_MAX;
    loop {
        if let Some(topic) = found {
            if topic.partitions.len() < args.partitions as usize {
                let count = topic.partitions.len();
                let asked = args.partitions;
                return Err(CliError::failed(format!(
                    "topic {name} has {count} partitions, --partitions is {asked}; choose fewer"
                )));
            }
            if topic.partitions.iter().all(|info| 0 <= info.leader) && are_led(cluster, &topic).await {
                return Ok(topic);
            }
        }
        if deadline <= time::monotonic_now() {
            return Err(CliError::failed(format!(
                "topic {name} has no leader for every partition after {} s",
                LEADERS_WAIT_MAX.as_secs()
            )));
        }
        time::sleep(Duration::from_millis(20)).await;
        found = cluster.find_topic(name, false).await?;
    }
}

/// Whether the leaders know that they lead: a new topic is in the metadata before its logs are there.
async fn are_led(cluster: &Cluster, topic: &TopicInfo) -> bool {
    for info in &topic.partitions {
        let Ok(leader) = cluster.leader(topic, info.partition).await else { return false };
        if list_offset(&leader, &topic.name, info.partition, OffsetSpec::Latest).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(count: i32) -> Vec<Target> {
        (0..count).map(|partition| Target { topic: "t".to_owned(), partition }).collect()
    }

    fn check(leaders: &[i32], connections: usize, expected: &[&[i32]]) {
        let leaders = leaders.iter().map(|&count| (count.to_string(), targets(count))).collect();
        let plans = deal(leaders, connections);
        let dealt: Vec<Vec<i32>> =
            plans.iter().map(|plan| plan.targets.iter().map(|target| target.partition).collect()).collect();
        assert_eq!(dealt, expected);
    }

    #[test]
    fn partitions_are_dealt_evenly() {
        check(&[4], 2, &[&[0, 2], &[1, 3]]);
        check(&[2], 3, &[&[0], &[1], &[0]]);
        check(&[5], 2, &[&[0, 2, 4], &[1, 3]]);
        check(&[2, 1], 4, &[&[0], &[1], &[0], &[0]]);
        check(&[2, 1], 1, &[&[0, 1], &[0]]);
    }
}
