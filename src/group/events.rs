//! What a coordinator is asked, and what it answers: plain data, free of any wire format.

use bytes::Bytes;

use super::consumer::{ConsumerHeartbeat, DescribedConsumerGroup, MemberInstruction, Refusal};
use super::lag::Lag;
use super::records::EncodedRecord;
use crate::types::{ErrorCode, Offset, Timestamp, TopicId, TopicName};

/// The driver's name for one request; comes back with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Append these records to the partition as one batch.
    Append {
        /// The offset the first record gets.
        first_offset: Offset,
        /// The time of every record.
        timestamp: Timestamp,
        /// The records, at least one.
        records: Vec<EncodedRecord>,
    },
    /// Answer a request once the committed end offset of the partition has reached `after`.
    Reply {
        /// The request.
        token: Token,
        /// The exclusive end of what must be committed first.
        after: Offset,
        /// The answer, of the kind of the request.
        response: Response,
    },
    /// Search the topics for those that these patterns stand for, with a
    /// [`TopicSearch`](super::TopicSearch), and bring it to
    /// [`handle_topics_found`](super::GroupCoordinator::handle_topics_found).
    SearchTopics {
        /// The group.
        group_id: String,
        /// All its patterns.
        regexes: Vec<String>,
    },
}

/// A request to a coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// JoinGroup v0 to v9.
    Join(JoinGroup),
    /// SyncGroup v0 to v5.
    Sync(SyncGroup),
    /// Heartbeat v0 to v4.
    Heartbeat(Heartbeat),
    /// LeaveGroup v0 to v5.
    Leave(LeaveGroup),
    /// OffsetCommit v2 to v10.
    CommitOffsets(CommitOffsets),
    /// One group of OffsetFetch v1 to v10.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete v0.
    DeleteOffsets(DeleteOffsets),
    /// ConsumerGroupHeartbeat v0 to v1.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// One group of ConsumerGroupDescribe v0 to v1.
    DescribeConsumer(String),
    /// ListGroups v0 to v5.
    List(ListGroups),
    /// One group of DescribeGroups v0 to v6.
    Describe(String),
    /// One group of DeleteGroups v0 to v2.
    Delete(String),
}

/// The answer to one request, of the kind of the request.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To [`Request::Join`].
    Join(JoinedGroup),
    /// To [`Request::Sync`].
    Sync(SyncedGroup),
    /// To [`Request::Heartbeat`].
    Heartbeat(ErrorCode),
    /// To [`Request::Leave`]: one entry per member, in the order of the request.
    Leave(Result<Vec<LeftMember>, ErrorCode>),
    /// To [`Request::CommitOffsets`]: one entry per offset, in the order of the request.
    CommitOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// To [`Request::FetchOffsets`]: in the order of the request, or everything there is.
    FetchOffsets(Result<Vec<FetchedTopic>, ErrorCode>),
    /// To [`Request::DeleteOffsets`]: one entry per partition, in the order of the request.
    DeleteOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// To [`Request::ConsumerHeartbeat`].
    ConsumerHeartbeat(Result<MemberInstruction, Refusal>),
    /// To [`Request::DescribeConsumer`].
    DescribeConsumer(Result<DescribedConsumerGroup, Refusal>),
    /// To [`Request::List`].
    List(Vec<ListedGroup>),
    /// To [`Request::Describe`].
    Describe(Result<DescribedGroup, Refusal>),
    /// To [`Request::Delete`].
    Delete(ErrorCode),
}

/// A member of a classic group comes, or comes again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JoinGroup {
    /// The group.
    pub group_id: String,
    /// The member; empty when it has no id yet.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where the client is.
    pub client_host: String,
    /// Silence after which the member is out.
    pub session_timeout_ms: i32,
    /// How long the member takes to join again.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect` or anything else.
    pub protocol_type: String,
    /// What the member can do, the best first.
    pub protocols: Vec<JoinProtocol>,
    /// Whether the client takes an id first and joins with it then (KIP-394: from version 4 on).
    pub requires_known_member_id: bool,
    /// Whether the client understands that a leader need not assign (KIP-814: from version 9 on).
    pub supports_skipping_assignment: bool,
}

/// A protocol that a member can follow, with what it wants to tell the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinProtocol {
    /// The name, such as `range`.
    pub name: String,
    /// For consumers, their subscription.
    pub metadata: Bytes,
}

/// The answer to [`JoinGroup`].
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedGroup {
    /// `None` when the member has joined.
    pub error: ErrorCode,
    /// The generation joined, or -1.
    pub generation_id: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol_name: Option<String>,
    /// The member that assigns.
    pub leader: String,
    /// Whether the leader is to keep the assignment as it is.
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: String,
    /// All members, for the leader alone.
    pub members: Vec<JoinedMember>,
}

impl JoinedGroup {
    /// A refusal.
    pub fn refused(member_id: &str, error: ErrorCode) -> Self {
        Self {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        }
    }
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// What it said with the chosen protocol.
    pub metadata: Bytes,
}

/// A member asks for its assignment; the leader brings everyone's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncGroup {
    /// The group.
    pub group_id: String,
    /// The generation the member has joined.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// The protocol type it believes in, if it says so (KIP-559).
    pub protocol_type: Option<String>,
    /// The protocol it believes in, if it says so.
    pub protocol_name: Option<String>,
    /// Member ids and their assignments, from the leader.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to [`SyncGroup`].
#[derive(Debug, Clone, PartialEq)]
pub struct SyncedGroup {
    /// `None` when there is an assignment.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The group's protocol.
    pub protocol_name: Option<String>,
    /// What the leader gave the member.
    pub assignment: Bytes,
}

impl SyncedGroup {
    /// A refusal.
    pub fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// A member is alive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// The group.
    pub group_id: String,
    /// The generation the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
}

/// Members go, or are removed by an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaveGroup {
    /// The group.
    pub group_id: String,
    /// Who.
    pub members: Vec<LeavingMember>,
}

/// A member that goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeavingMember {
    /// Its id; empty when only the instance is known.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
}

/// What became of a [`LeavingMember`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftMember {
    /// As asked.
    pub member: LeavingMember,
    /// `None` when it is gone.
    pub error: ErrorCode,
}

/// Offsets to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitOffsets {
    /// The group.
    pub group_id: String,
    /// The committing member's generation; -1 from outside of the group.
    pub generation_id: i32,
    /// The committing member; empty from outside of the group.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// Keep the offsets for this long (version 2 to 4); -1 for the broker's retention.
    pub retention_time_ms: i64,
    /// Whether the client knows GROUP_ID_NOT_FOUND (from version 9 on, KIP-848).
    pub knows_group_not_found: bool,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// An offset to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: TopicName,
    /// The topic's id, or zero.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The next offset to be read.
    pub offset: Offset,
    /// The epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: String,
}

/// Partitions of a topic whose offsets are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetPartitions {
    /// The topic.
    pub topic: String,
    /// Its id, or zero; offsets of another topic of this name are not shown.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// A question for the offsets of one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchOffsets {
    /// The group.
    pub group_id: String,
    /// The fetching member, if it says so (version 9, KIP-848).
    pub member_id: Option<String>,
    /// Its epoch; -1 from outside of the group.
    pub member_epoch: i32,
    /// What is wanted; `None` for everything.
    pub topics: Option<Vec<OffsetPartitions>>,
    /// Whether the last measured lag is wanted, too.
    pub wants_lag: bool,
}

/// Offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic.
    pub topic: String,
    /// Its id as asked for; with everything there is, that of the commits, or zero.
    pub topic_id: TopicId,
    /// One entry per partition.
    pub partitions: Vec<FetchedOffset>,
}

/// A committed offset; -1 when there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The partition.
    pub partition: i32,
    /// The next offset to be read, or -1.
    pub offset: Offset,
    /// The epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: String,
    /// How far the group is behind, if it was asked for and measured.
    pub lag: Option<Lag>,
}

/// Offsets that are not needed any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOffsets {
    /// The group.
    pub group_id: String,
    /// Topics and partitions.
    pub partitions: Vec<(String, i32)>,
}

/// Which groups to list; an empty filter lets everything pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListGroups {
    /// States, in any case (KIP-518).
    pub states: Vec<String>,
    /// Types, in any case (KIP-848).
    pub types: Vec<String>,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// Its protocol type, empty for a group that only has offsets.
    pub protocol_type: String,
    /// Its state, as Kafka spells it.
    pub state: &'static str,
    /// Its type, as Kafka spells it.
    pub group_type: &'static str,
}

/// A classic group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state, as Kafka spells it.
    pub state: &'static str,
    /// Its protocol type, empty for a group that only has offsets.
    pub protocol_type: String,
    /// The protocol its members agreed on, empty while they have not.
    pub protocol_name: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// What it said with the group's protocol; empty outside of a stable group.
    pub metadata: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}
