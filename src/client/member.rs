//! A member of a consumer group by the protocol of KIP-848: the coordinator assigns partitions, and the
//! member follows with one heartbeat after the other. [`GroupMember`] keeps what the protocol needs; what is
//! read and committed is its caller's.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster::{Cluster, topic_name};
use super::error::{ClientError, accepted};
use super::groups::{CommittedOffset, Committer, commit_offsets, coordinator};
use super::retry::retrying;
use crate::types::{ErrorCode, TopicId, Uuid};
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::wire::messages::consumer_group_heartbeat_response::Assignment;
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, StrBytes,
};

/// The epoch of a member that comes.
const JOIN_EPOCH: i32 = 0;
/// The epoch of a member that goes.
const LEAVE_EPOCH: i32 = -1;
/// How long the member may take to give partitions up; it does so between two fetches.
const REBALANCE_TIMEOUT_MS: i32 = 60_000;

/// What a heartbeat has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Everything is as it was.
    Nothing,
    /// These partitions of the topic are the member's from now on; it says so with
    /// [`GroupMember::acknowledge`] when it has given up all others.
    Assigned(BTreeSet<i32>),
    /// The group went on without the member, whose partitions others may read. The next heartbeat joins
    /// again.
    Fenced,
}

/// A member that reads one topic.
#[derive(Debug)]
pub struct GroupMember {
    group: String,
    topic: String,
    topic_id: TopicId,
    member_id: String,
    epoch: i32,
    interval: Duration,
    /// What the coordinator was told last, and is to be told with the next heartbeat.
    owned: BTreeSet<i32>,
    has_news: bool,
}

impl GroupMember {
    /// A member that has yet to join, with its first heartbeat. `member_id` is unique.
    pub fn new(group: &str, topic: &str, topic_id: TopicId, member_id: String) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            topic_id,
            member_id,
            epoch: JOIN_EPOCH,
            interval: Duration::ZERO,
            owned: BTreeSet::new(),
            has_news: true,
        }
    }

    /// How long to wait until the next heartbeat, at most.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether the coordinator is waiting to hear what the member has.
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Joins, or shows that the member is there.
    pub async fn heartbeat(&mut self, cluster: &Cluster) -> Result<Heard, ClientError> {
        let request = self.request();
        let response = match self.send(cluster, &request).await {
            Ok(response) => response,
            Err(error) if is_fenced(&error) => {
                (self.epoch, self.has_news) = (JOIN_EPOCH, true);
                self.owned.clear();
                return Ok(Heard::Fenced);
            }
            Err(error) => return Err(error),
        };
        self.has_news = false;
        self.epoch = response.member_epoch;
        self.interval = Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0));
        if let Some(member_id) = response.member_id {
            self.member_id = member_id.to_string();
        }
        Ok(response.assignment.map_or(Heard::Nothing, |assignment| self.heard(&assignment)))
    }

    fn heard(&self, assignment: &Assignment) -> Heard {
        let of_topic = assignment
            .topic_partitions
            .iter()
            .filter(|of| Uuid::from_bytes(*of.topic_id.as_bytes()) == self.topic_id);
        Heard::Assigned(of_topic.flat_map(|of| of.partitions.iter().copied()).collect())
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let partitions = TopicPartitions::default()
            .with_topic_id(uuid::Uuid::from_bytes(self.topic_id.to_bytes()))
            .with_partitions(self.owned.iter().copied().collect());
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![partitions] };
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(self.group.clone())))
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_member_epoch(self.epoch)
            .with_topic_partitions(self.has_news.then_some(owned));
        match self.epoch {
            JOIN_EPOCH => request
                .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
                .with_subscribed_topic_names(Some(vec![topic_name(&self.topic)])),
            _ => request,
        }
    }

    async fn send(
        &self,
        cluster: &Cluster,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ClientError> {
        retrying(async || {
            // The coordinator may be another one each time.
            let connection = coordinator(cluster, &self.group).await?;
            let response = connection.call(request).await?;
            let what = || format!("heartbeat to group {}", self.group);
            accepted(response.error_code, response.error_message.as_deref(), what)?;
            Ok(response)
        })
        .await
    }

    /// Has the next heartbeat say that these partitions are what the member reads, and no others.
    pub fn acknowledge(&mut self, owned: BTreeSet<i32>) {
        self.owned = owned;
        self.has_news = true;
    }

    /// Commits offsets; false when the group has gone on meanwhile, so that they were not taken: a heartbeat
    /// tells how.
    pub async fn commit(&self, cluster: &Cluster, offsets: &[CommittedOffset]) -> Result<bool, ClientError> {
        let committer = Committer { member_id: self.member_id.clone(), epoch: self.epoch };
        let connection = coordinator(cluster, &self.group).await?;
        match commit_offsets(&connection, &self.group, &committer, offsets).await {
            Ok(()) => Ok(true),
            Err(error) if is_fenced(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves the group, whose other members get the partitions at once.
    pub async fn leave(mut self, cluster: &Cluster) -> Result<(), ClientError> {
        self.epoch = LEAVE_EPOCH;
        self.has_news = false;
        match self.send(cluster, &self.request()).await {
            Ok(_) => Ok(()),
            Err(error) if is_fenced(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the group no longer takes the member for what it says it is.
fn is_fenced(error: &ClientError) -> bool {
    let ClientError::Refused { refusal, .. } = error else { return false };
    matches!(
        refusal.error_code(),
        Some(ErrorCode::FencedMemberEpoch | ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> GroupMember {
        GroupMember::new("readers", "orders", Uuid(7), "member-1".to_owned())
    }

    #[test]
    fn a_first_heartbeat_says_everything_and_later_ones_what_is_new() {
        let mut member = member();
        let first = member.request();
        assert_eq!((first.member_epoch, first.rebalance_timeout_ms), (0, REBALANCE_TIMEOUT_MS));
        assert_eq!(first.topic_partitions, Some(Vec::new()));
        assert_eq!(first.subscribed_topic_names.map(|names| names.len()), Some(1));

        (member.epoch, member.has_news) = (3, false);
        let quiet = member.request();
        assert_eq!((quiet.member_epoch, quiet.rebalance_timeout_ms), (3, -1));
        assert_eq!((quiet.topic_partitions, quiet.subscribed_topic_names), (None, None));

        member.acknowledge(BTreeSet::from([2, 5]));
        let news = member.request().topic_partitions.unwrap();
        assert_eq!(news[0].partitions, [2, 5]);
    }

    #[test]
    fn only_the_partitions_of_the_topic_are_taken() {
        use crate::wire::messages::consumer_group_heartbeat_response::TopicPartitions;
        let of = |id: u128, partitions| {
            TopicPartitions::default()
                .with_topic_id(uuid::Uuid::from_bytes(Uuid(id).to_bytes()))
                .with_partitions(partitions)
        };
        let assignment = Assignment::default().with_topic_partitions(vec![of(8, vec![0]), of(7, vec![1, 3])]);
        assert_eq!(member().heard(&assignment), Heard::Assigned(BTreeSet::from([1, 3])));
    }
}
