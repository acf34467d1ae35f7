//! What executors say to each other.
//!
//! A client request is split once per owning shard and travels as one message; record bytes cross cores
//! by reference count. Everything here is owned data: nothing of a shard's world is reachable from
//! another core.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::group;
use crate::log::ProducerSummary;
use crate::metadata::MetadataDelta;
use crate::quota::{Peer, Verdict};
use crate::record::validate::InvalidBatch;
use crate::shard::MovingConnection;
use crate::shard::admin::{DeleteRecordsPart, DescribedLogDir};
use crate::shard::control::{ControlReply, ControlRequest, StartShard};
use crate::types::{ErrorCode, LeaderEpoch, Offset, Piece, ShardId, Timestamp, TopicId};

/// A partition by its topic's id, which no later topic of the same name shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's index within the topic.
    pub partition: i32,
}

/// Numbers the requests of one executor, so that a reply finds its waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// Names a waiting fetch of one shard; the shards that own its partitions send it back when there is
/// something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchToken(pub u64);

/// A message between two executors.
#[derive(Debug)]
pub enum Message {
    /// A request of one shard to another.
    Request {
        /// Comes back with the reply.
        id: RequestId,
        /// What is asked.
        body: ShardRequest,
    },
    /// The answer to a [`Message::Request`].
    Reply {
        /// The request's.
        id: RequestId,
        /// The answer.
        body: ShardReply,
    },
    /// A request of a shard to the control executor.
    Control {
        /// Comes back with the reply.
        id: RequestId,
        /// What is asked.
        body: ControlRequest,
    },
    /// The answer to a [`Message::Control`].
    ControlReply {
        /// The request's.
        id: RequestId,
        /// The answer.
        body: ControlReply,
    },
    /// A watched partition has news.
    Woken(WatchToken),
    /// A fetch no longer waits for these partitions.
    Unwatch {
        /// The fetch.
        token: WatchToken,
        /// The partitions it watched on the receiving shard.
        partitions: Vec<PartitionId>,
    },
    /// A connection was admitted while nothing was limited.
    ConnectionOpened(Peer),
    /// A connection that was admitted has ended.
    ConnectionClosed(Peer),
    /// A connection, with its place among all: the receiver serves it from now on.
    Connection(Box<MovingConnection>, Peer),
    /// The least recently used connection of an unprotected listener has to go.
    ShedConnection,
    /// Control hands a shard its directories and the metadata to begin with. Answered by
    /// [`Message::Started`].
    Start(Box<StartShard>),
    /// A shard has loaded its partitions, or could not.
    Started(Result<(), String>),
    /// Committed metadata, in order. Answered by [`Message::Applied`].
    Metadata(Arc<MetadataDelta>),
    /// A shard has applied the metadata up to this offset (inclusive).
    Applied(Offset),
    /// Stop accepting and finish what is in flight. Answered by [`Message::Drained`].
    Shutdown,
    /// A shard has answered its clients.
    Drained,
    /// No shard has clients any more: write everything and end. Answered by [`Message::Stopped`].
    Close,
    /// A shard has closed its logs.
    Stopped,
}

/// What one shard asks of another.
#[derive(Debug)]
pub enum ShardRequest {
    /// Append records.
    Produce(ProduceParts),
    /// Read records.
    Fetch(FetchParts),
    /// How many bytes a fetch would find, and optionally a wake-up once there are more.
    Probe(ProbeParts),
    /// Look up offsets.
    ListOffsets(Vec<ListOffsetPart>),
    /// Look up the ends of leader epochs.
    EpochEnds(Vec<EpochEndPart>),
    /// Count a connection, or refuse it; may be answered when another has ended.
    AdmitConnection(Peer),
    /// Count a connection for another shard from now on.
    MoveConnection(Peer, ShardId),
    /// Move log starts forward.
    DeleteRecords(Vec<DeleteRecordsPart>),
    /// How much each directory of the shard holds.
    LogDirs,
    /// Which producers the logs remember.
    Producers(Vec<PartitionId>),
    /// Ask group coordinators.
    Groups(Vec<GroupPart>),
    /// Look how much there is behind committed offsets.
    Lag(Vec<LagPart>),
}

/// The answers, in the order of the parts asked for.
#[derive(Debug)]
pub enum ShardReply {
    /// To [`ShardRequest::Produce`].
    Produce(Vec<Result<Produced, PartitionError>>),
    /// To [`ShardRequest::Fetch`].
    Fetch(Vec<Fetched>),
    /// To [`ShardRequest::Probe`].
    Probe(Probed),
    /// To [`ShardRequest::ListOffsets`].
    ListOffsets(Vec<Result<FoundOffset, PartitionError>>),
    /// To [`ShardRequest::EpochEnds`].
    EpochEnds(Vec<Result<EpochEnd, PartitionError>>),
    /// To [`ShardRequest::AdmitConnection`].
    AdmitConnection(Verdict),
    /// To [`ShardRequest::MoveConnection`].
    MoveConnection,
    /// To [`ShardRequest::DeleteRecords`]: the log starts.
    DeleteRecords(Vec<Result<Offset, PartitionError>>),
    /// To [`ShardRequest::LogDirs`], in the order of the shard's directories.
    LogDirs(Vec<DescribedLogDir>),
    /// To [`ShardRequest::Producers`].
    Producers(Vec<Result<Vec<ProducerSummary>, PartitionError>>),
    /// To [`ShardRequest::Groups`].
    Groups(Vec<GroupReply>),
    /// To [`ShardRequest::Lag`]; `None` for a partition that the shard does not have.
    Lag(Vec<Option<group::MeasuredLag>>),
}

/// A request to the coordinator of some groups.
#[derive(Debug)]
pub struct GroupPart {
    /// The partition of `__consumer_offsets` that holds the groups.
    pub id: PartitionId,
    /// What is asked.
    pub request: group::Request,
}

/// A question for what is behind an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagPart {
    /// The partition.
    pub id: PartitionId,
    /// The next offset to be read.
    pub offset: Offset,
    /// Whether the time of the record at the offset is wanted, which takes a read.
    pub wants_time: bool,
}

/// A coordinator's answer, of the kind of the request; or why there is no coordinator.
pub type GroupReply = Result<group::Response, ErrorCode>;

/// Which acknowledgement a producer waits for (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// 0: none; the request has no response.
    None,
    /// 1: the leader's.
    Leader,
    /// -1: that of all in-sync replicas.
    All,
}

/// Records for several partitions of one shard.
#[derive(Debug)]
pub struct ProduceParts {
    /// The acknowledgement to wait for.
    pub acks: Acks,
    /// After this long, or a few seconds if it is less, an append with [`Acks::All`] that is not durable is
    /// answered REQUEST_TIMED_OUT.
    pub timeout: Duration,
    /// Whether the request's version may carry zstd.
    pub allows_zstd: bool,
    /// The records.
    pub parts: Vec<ProducePart>,
}

/// Records for one partition.
#[derive(Debug, Clone)]
pub struct ProducePart {
    /// The partition.
    pub id: PartitionId,
    /// One record batch as it came in.
    pub records: Bytes,
}

/// A successful append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The broker's time where the topic stamps records itself, else `NONE`.
    pub log_append_time: Timestamp,
    /// The partition's first offset.
    pub log_start_offset: Offset,
}

/// Reads from several partitions of one shard.
#[derive(Debug)]
pub struct FetchParts {
    /// Bytes in all at most; the first partition with data may exceed it by its first batch.
    pub max_bytes: usize,
    /// What to read, in order.
    pub parts: Vec<FetchPart>,
}

/// A read of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPart {
    /// The partition.
    pub id: PartitionId,
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// The epoch the client believes in; `UNKNOWN` is not checked.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the client's last record; `UNKNOWN` is not checked.
    pub last_fetched_epoch: LeaderEpoch,
    /// Bytes at most; the first batch comes whole.
    pub max_bytes: usize,
}

/// What a read found.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// `None` when the read went well.
    pub error: Option<PartitionError>,
    /// The exclusive end of what consumers may see.
    pub high_watermark: Offset,
    /// The exclusive end of what has no open transaction before it.
    pub last_stable_offset: Offset,
    /// The partition's first offset.
    pub log_start_offset: Offset,
    /// Where the client's log and ours part (KIP-595): the epoch and its end.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The current epoch.
    pub leader_epoch: LeaderEpoch,
    /// Record batches, in order.
    pub chunks: Vec<Piece>,
    /// Bytes in `chunks`.
    pub bytes: usize,
}

/// A question for what a fetch would find.
#[derive(Debug)]
pub struct ProbeParts {
    /// The reads in question.
    pub parts: Vec<FetchPart>,
    /// The fetch to wake once, when any of the partitions has news.
    pub watch: Option<WatchToken>,
}

/// What a fetch would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// Bytes there are to read, each partition counted up to its limit.
    pub bytes: u64,
    /// Some partition would answer with an error or a divergence: the fetch must not wait.
    pub answer_now: bool,
}

/// An offset asked for by a timestamp or one of Kafka's special values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListOffsetPart {
    /// The partition.
    pub id: PartitionId,
    /// The epoch the client believes in; `UNKNOWN` is not checked.
    pub current_leader_epoch: LeaderEpoch,
    /// Milliseconds, or -1 latest, -2 earliest, -3 the record with the largest timestamp,
    /// -4 earliest local, -5 latest tiered.
    pub timestamp: i64,
}

/// An offset found; -1 in all fields when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The record's timestamp, -1 for the special values that have none.
    pub timestamp: Timestamp,
    /// The record's offset.
    pub offset: Offset,
    /// The record's leader epoch.
    pub leader_epoch: LeaderEpoch,
}

/// A question for the end of a leader epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEndPart {
    /// The partition.
    pub id: PartitionId,
    /// The epoch the client believes is the current one.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch in question.
    pub leader_epoch: LeaderEpoch,
}

/// The end of the largest epoch not above the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// That epoch.
    pub leader_epoch: LeaderEpoch,
    /// Its exclusive end offset.
    pub end_offset: Offset,
}

/// Why a partition could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// This shard does not have the partition, or no longer.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The client's leader epoch is older than ours.
    #[error("the leader epoch {found} is older than the current {expected}")]
    FencedEpoch {
        /// Ours.
        expected: LeaderEpoch,
        /// The client's.
        found: LeaderEpoch,
    },
    /// The client's leader epoch is newer than ours.
    #[error("the leader epoch {found} is newer than the current {expected}")]
    UnknownEpoch {
        /// Ours.
        expected: LeaderEpoch,
        /// The client's.
        found: LeaderEpoch,
    },
    /// The offset is not in the log.
    #[error("offset {offset} is not within {log_start_offset} to {high_watermark}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The log's first offset.
        log_start_offset: Offset,
        /// The exclusive end of what can be read.
        high_watermark: Offset,
    },
    /// The records break a rule of the protocol or of the topic.
    #[error("{0}")]
    Invalid(InvalidBatch),
    /// The producer's state refuses the batch.
    #[error("{message}")]
    Producer {
        /// Kafka's error for it.
        error: ErrorCode,
        /// The numbers.
        message: String,
    },
    /// The bytes on disk are not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// The log directory is offline, or the read failed.
    #[error("{0}")]
    Storage(String),
    /// The append was not durable in time; it may still become so.
    #[error("the append was not durable within the request's timeout")]
    TimedOut,
    /// The topic's configuration forbids it.
    #[error("{0}")]
    Policy(String),
    /// What was asked for does not exist in this version of the broker.
    #[error("{0}")]
    Unsupported(String),
}
