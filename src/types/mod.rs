//! Small value types that every layer shares: ids, offsets, epochs, time, error codes.
//!
//! Nothing here knows about the wire, the disk or the runtime.

mod error_code;
mod ids;
mod offset;
mod piece;
mod prng;
mod time;
mod topic;
mod uuid;

pub use error_code::ErrorCode;
pub use ids::{NodeId, ProducerEpoch, ProducerId, ShardId};
pub use offset::{LeaderEpoch, Offset};
pub use piece::{FileSlice, Piece};
pub use prng::Prng;
pub use time::Timestamp;
pub use topic::{TopicName, TopicNameError, TopicPartition};
pub use uuid::{DirectoryId, ParseUuidError, TopicId, Uuid};
