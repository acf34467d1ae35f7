//! Cluster metadata: Kafka's KRaft records and what they add up to. Sans-io.
//!
//! The truth is the metadata log `__cluster_metadata-0`, a Kafka-format log of [`records`]. Whoever
//! applies them in order to an [`image`] knows the cluster. `controller` decides which records to append;
//! the control executor appends them and sends each committed batch as a [`MetadataDelta`] to the shards,
//! which apply it to images of their own.

pub mod batch;
pub mod codec;
pub mod features;
#[cfg(test)]
mod golden;
pub mod image;
pub mod records;
pub(crate) mod schema;
pub mod snapshot;

pub use image::{
    BrokerRegistration, ConfigResource, ImageChanges, ImageError, MetadataDelta, MetadataImage,
    PartitionRegistration, TopicImage,
};
pub use records::{MetadataRecord, MetadataRecordError};
pub use snapshot::SnapshotId;
