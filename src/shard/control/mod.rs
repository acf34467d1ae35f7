//! The control executor: it owns the metadata log and drives the controller.
//!
//! Start: [`directories`] finds or formats the log directories, [`meta_log`] reads the metadata back,
//! [`driver`] takes over the log with a new epoch, hands every shard its directories and a copy of the image,
//! registers this broker, and from then on turns requests into records and committed records into deltas.
//! It runs on a thread of its own, so that a metadata sync never waits behind a shard's work.

mod directories;
mod driver;
mod meta_log;

use std::path::PathBuf;

use crate::controller::{
    AlterConfigs, CreatePartitions, CreateTopics, DeleteTopics, Response, UpdateFeatures,
};
use crate::metadata::MetadataImage;
use crate::shard::placement::Placement;
use crate::types::DirectoryId;

pub use directories::DirectoryError;
pub use driver::{ControlFailure, ControlSetup, ControlSignal, run};

/// What a shard asks of control.
#[derive(Debug)]
pub enum ControlRequest {
    /// Create topics.
    CreateTopics(CreateTopics),
    /// Delete topics.
    DeleteTopics(DeleteTopics),
    /// Add partitions to topics.
    CreatePartitions(CreatePartitions),
    /// Change the configuration of topics, brokers and groups.
    AlterConfigs(AlterConfigs),
    /// Finalize features at other levels.
    UpdateFeatures(UpdateFeatures),
    /// A block of producer ids for the asking shard.
    AllocateProducerIds,
    /// A log directory of the asking shard has failed.
    FailDirectory(FailedDirectory),
}

/// A log directory that is out of use until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDirectory {
    /// Its id.
    pub id: DirectoryId,
    /// Where it is.
    pub path: PathBuf,
    /// What failed.
    pub cause: String,
}

/// The answer, of the kind of the request. It comes after every shard has applied what it promises.
pub type ControlReply = Result<Response, ControlError>;

/// Why control did not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// Where clients reach one of this broker's listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertisedListener {
    /// The listener's name.
    pub name: String,
    /// The host that clients are told.
    pub host: String,
    /// The port that clients are told, never 0.
    pub port: u16,
}

/// What a shard needs to begin.
#[derive(Debug)]
pub struct StartShard {
    /// Which shard owns which directory.
    pub placement: Placement,
    /// The directories of this shard.
    pub directories: Vec<Directory>,
    /// The committed metadata.
    pub image: MetadataImage,
    /// The epoch under which this broker is registered.
    pub broker_epoch: i64,
}

/// A log directory of this broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its id, from its `meta.properties`.
    pub id: DirectoryId,
    /// Where it is.
    pub path: PathBuf,
}
