//! What a member of a consumer group says, and what it is told: plain data, free of any wire format.

use super::assignment::Assignment;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH};
use super::refusal::Refusal;
use crate::group::codec::STRING_BYTES_MAX;
use crate::types::{ErrorCode, TopicId};

/// ConsumerGroupHeartbeat v0 to v1. What has not changed since the last one is left out, except in the
/// first and after an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group_id: String,
    /// The member; empty when the coordinator is to choose (v0).
    pub member_id: String,
    /// The epoch the member is in; 0 to join, -1 to leave, -2 when a static member goes for a while.
    pub member_epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.rack`
    pub rack_id: Option<String>,
    /// Milliseconds that the member may take to give up partitions; -1 for as before.
    pub rebalance_timeout_ms: i32,
    /// Topics by name.
    pub topic_names: Option<Vec<String>>,
    /// Topics by pattern (v1); empty for none.
    pub topic_regex: Option<String>,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// The partitions it reads.
    pub owned: Option<Assignment>,
    /// Whether clients of this version choose their member id (v1, KIP-1082).
    pub requires_member_id: bool,
    /// What the client calls itself.
    pub client_id: String,
    /// Where the client is.
    pub client_host: String,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInstruction {
    /// Its id.
    pub member_id: String,
    /// The epoch it is in.
    pub member_epoch: i32,
    /// Milliseconds until it is to report again; 0 to one that leaves.
    pub heartbeat_interval_ms: i32,
    /// All partitions it may read, when they have changed or when it asked for everything.
    pub assignment: Option<Assignment>,
}

impl ConsumerHeartbeat {
    /// Whether the member goes, for good or for a while.
    pub(super) fn is_leave(&self) -> bool {
        matches!(self.member_epoch, LEAVE_EPOCH | STATIC_LEAVE_EPOCH)
    }

    /// Whether the member says all there is to say, and is owed all there is to know.
    pub(super) fn is_full(&self) -> bool {
        let has_subscription = self.topic_names.is_some() || self.topic_regex.is_some();
        self.rebalance_timeout_ms != -1 && has_subscription && self.owned.is_some()
    }

    /// `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`, but for the assignor.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let needs_member_id =
            self.requires_member_id || 0 < self.member_epoch || self.member_epoch == LEAVE_EPOCH;
        let texts = [
            (Some(&self.member_id).filter(|_| needs_member_id), "MemberId"),
            (Some(&self.group_id), "GroupId"),
            (self.instance_id.as_ref(), "InstanceId"),
            (self.rack_id.as_ref(), "RackId"),
        ];
        for (text, name) in texts {
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(invalid(format!("{name} can't be empty.")));
            }
        }
        self.check_lengths()?;
        match self.member_epoch {
            JOIN_EPOCH => self.check_join(),
            STATIC_LEAVE_EPOCH if self.instance_id.is_none() => Err(invalid("InstanceId can't be null.")),
            ..STATIC_LEAVE_EPOCH => Err(invalid("MemberEpoch is invalid.")),
            _ => Ok(()),
        }
    }

    fn check_join(&self) -> Result<(), Refusal> {
        if self.rebalance_timeout_ms == -1 {
            return Err(invalid("RebalanceTimeoutMs must be provided in first request."));
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err(invalid("TopicPartitions must be empty when (re-)joining."));
        }
        if self.topic_names.is_none() && self.topic_regex.is_none() {
            let what =
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
            return Err(invalid(what));
        }
        Ok(())
    }

    /// Whatever goes into a record has to fit one of its strings.
    fn check_lengths(&self) -> Result<(), Refusal> {
        let optional = [&self.instance_id, &self.rack_id, &self.topic_regex, &self.server_assignor];
        let texts = [&self.group_id, &self.member_id, &self.client_id, &self.client_host];
        let all =
            texts.into_iter().chain(optional.into_iter().flatten()).chain(self.topic_names.iter().flatten());
        match all.map(String::len).max() {
            Some(longest) if STRING_BYTES_MAX < longest => Err(invalid(format!(
                "A string of {longest} bytes is longer than the {STRING_BYTES_MAX} that are allowed."
            ))),
            _ => Ok(()),
        }
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// A consumer group in full (ConsumerGroupDescribe v0 to v1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Its state, as Kafka spells it.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of its target.
    pub assignment_epoch: i32,
    /// The assignor in use.
    pub assignor: String,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its `client.rack`.
    pub rack_id: Option<String>,
    /// The epoch it is in.
    pub member_epoch: i32,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// Topics it is subscribed to by name.
    pub topic_names: Vec<String>,
    /// The pattern it is subscribed to; empty for none.
    pub topic_regex: String,
    /// What it has, what it must give up among it.
    pub assignment: Vec<DescribedTopic>,
    /// What it is to have.
    pub target_assignment: Vec<DescribedTopic>,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTopic {
    /// The topic.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    fn join() -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group_id: "group".to_owned(),
            member_id: "member".to_owned(),
            member_epoch: 0,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: 60_000,
            topic_names: Some(vec!["orders".to_owned()]),
            topic_regex: None,
            server_assignor: None,
            owned: Some(Assignment::default()),
            requires_member_id: true,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
        }
    }

    #[test]
    fn requests_that_are_in_order_pass() {
        let none = ConsumerHeartbeat { topic_names: None, rebalance_timeout_ms: -1, owned: None, ..join() };
        let instance_id = Some("instance".to_owned());
        for request in [
            join(),
            ConsumerHeartbeat { topic_names: None, topic_regex: Some(String::new()), ..join() },
            ConsumerHeartbeat { member_id: String::new(), requires_member_id: false, ..join() },
            ConsumerHeartbeat { member_epoch: 5, ..none.clone() },
            ConsumerHeartbeat { member_epoch: -1, ..none.clone() },
            ConsumerHeartbeat { member_epoch: -2, instance_id, ..none },
        ] {
            assert_eq!(request.check(), Ok(()), "{request:?}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let check = |request: ConsumerHeartbeat, message: &str| {
            let refusal = request.check().unwrap_err();
            assert_eq!((refusal.error, refusal.message.as_str()), (ErrorCode::InvalidRequest, message));
        };
        let empty = || Some(String::new());
        check(ConsumerHeartbeat { group_id: " ".to_owned(), ..join() }, "GroupId can't be empty.");
        check(ConsumerHeartbeat { member_id: String::new(), ..join() }, "MemberId can't be empty.");
        let old = ConsumerHeartbeat { member_id: String::new(), requires_member_id: false, ..join() };
        check(ConsumerHeartbeat { member_epoch: 1, ..old }, "MemberId can't be empty.");
        check(ConsumerHeartbeat { instance_id: empty(), ..join() }, "InstanceId can't be empty.");
        check(ConsumerHeartbeat { rack_id: empty(), ..join() }, "RackId can't be empty.");
        check(
            ConsumerHeartbeat { rebalance_timeout_ms: -1, ..join() },
            "RebalanceTimeoutMs must be provided in first request.",
        );
        let owned = Some([(Uuid(1), 0)].into_iter().collect());
        for owned in [None, owned] {
            let request = ConsumerHeartbeat { owned, ..join() };
            check(request, "TopicPartitions must be empty when (re-)joining.");
        }
        check(
            ConsumerHeartbeat { topic_names: None, ..join() },
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        );
        check(ConsumerHeartbeat { member_epoch: -2, ..join() }, "InstanceId can't be null.");
        check(ConsumerHeartbeat { member_epoch: -3, ..join() }, "MemberEpoch is invalid.");
        check(
            ConsumerHeartbeat { topic_names: Some(vec!["x".repeat(40_000)]), ..join() },
            "A string of 40000 bytes is longer than the 32767 that are allowed.",
        );
    }
}
