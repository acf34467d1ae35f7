//! The controller: decides on changes of the cluster's metadata and emits the records that make them.
//! Sans-io.
//!
//! [`Controller`] takes events, [`replay`](Controller::replay)s the records it decides on over an image
//! of its own, and hands out [`Output`]s. No event depends on the time yet, so that none takes it.
//!
//! # How a driver uses it
//!
//! The control executor owns the metadata log and a *committed* image. At start it
//!
//! 1. reads the newest whole snapshot ([`snapshot::decode`]) or begins with an empty image,
//! 2. applies the batches of the log behind it ([`batch::decode_batches`], [`MetadataImage::apply_delta`]),
//! 3. appends and syncs the leader change of a new epoch ([`batch::encode_leader_change`]) and moves the
//!    image past it ([`MetadataDelta::control`]),
//! 4. makes the controller from a clone of that image and calls [`Controller::handle_activate`], which
//!    bootstraps an empty log and aborts a transaction that a crash left open,
//! 5. sends each shard a clone of the committed image, and from then on every committed delta,
//! 6. registers this broker ([`Controller::handle_register_broker`]), lets the shards open their
//!    partitions, then unfences it ([`Controller::handle_unfence_broker`]).
//!
//! After every event it drains [`Controller::poll_output`]:
//!
//! - [`Output::Append`]: append the records as one batch at exactly `first_offset`, in the order in which
//!   the outputs come. Any number may be in flight; one sync covers all that were appended before it.
//!   Committed means synced here and, with several voters, acknowledged by a majority. Then apply the same
//!   delta to the committed image and send it to the shards.
//! - [`Output::Reply`]: park it until the committed end offset has reached `after`, then send it.
//!   "Persist before promise" is this one comparison; it holds for refusals too, which may rest on records
//!   in flight.
//!
//! A driver takes a snapshot of the committed image whenever that is worth it ([`snapshot::encode`]), unless
//! the image is [inside of a transaction](MetadataImage::in_transaction).
//!
//! # Records in flight
//!
//! The controller's image runs ahead of the log: a decision is applied at once, before it is committed, so
//! that two creations of one topic in flight do not both succeed and that operations need not wait for
//! each other's sync. There is no way back. When an append fails, or leadership is lost, the driver drops the
//! controller with all its parked replies (to be answered `NOT_CONTROLLER`) and makes a new one from the
//! committed image; on a single node it stops the process, since the log directory is gone.
//!
//! The core knows no clock, file or thread, no wire format, and not which of its records are committed.
//!
//! [`snapshot::decode`]: crate::metadata::snapshot::decode
//! [`snapshot::encode`]: crate::metadata::snapshot::encode
//! [`batch::decode_batches`]: crate::metadata::batch::decode_batches
//! [`batch::encode_leader_change`]: crate::metadata::batch::encode_leader_change
//! [`MetadataImage::apply_delta`]: crate::metadata::MetadataImage::apply_delta
//! [`MetadataDelta::control`]: crate::metadata::MetadataDelta::control

mod alter_configs;
#[cfg(test)]
mod alter_tests;
mod brokers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod directories;
mod events;
mod leadership;
mod placement;
mod producer_ids;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod update_features;

use std::collections::VecDeque;

use crate::config::BrokerConfig;
use crate::metadata::features::bootstrap_records;
use crate::metadata::records::{AbortTransactionRecord, CONFIG_RESOURCE_BROKER};
use crate::metadata::{ImageError, MetadataDelta, MetadataImage, MetadataRecord};
use crate::types::{ErrorCode, NodeId, Offset, Prng, Uuid};

pub use alter_configs::effective_broker_config;
pub use events::*;
pub use producer_ids::PRODUCER_ID_BLOCK_SIZE;

/// Records that one request may lead to (`MAX_RECORDS_PER_USER_OP`). They are appended as one batch and take
/// effect together; a request that would need more is refused with `POLICY_VIOLATION`.
pub const RECORDS_PER_OPERATION_MAX: usize = 10_000;

/// Bytes of the records that one request may lead to, so that its batch stays below the 8 MiB that Kafka
/// allows in the metadata log (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
const OPERATION_BYTES_MAX: usize = 7 << 20;

/// What the controller has to know of the broker's configuration.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// What the broker was started with: defaults of new topics, and the rules for configuration.
    pub broker: BrokerConfig,
    /// Random: ids of new topics follow from it.
    pub seed: u64,
}

/// Decides on changes of the metadata; see the module's documentation for how to drive it.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    /// The broker's configuration with the dynamic changes in the image.
    broker: BrokerConfig,
    image: MetadataImage,
    prng: Prng,
    /// Every handler adds what its event needs, and the driver drains it before the next event.
    outputs: VecDeque<Output>,
}

impl Controller {
    /// A controller that goes on from `image`, whose epoch its records will have.
    pub fn new(config: ControllerConfig, image: MetadataImage) -> Self {
        let prng = Prng::new(config.seed);
        let broker = effective_broker_config(&config.broker, &image);
        Self { config, broker, image, prng, outputs: VecDeque::new() }
    }

    /// The image with all decisions, committed or not. Clients must be shown committed images only.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// What the driver has to do next, in this order; `None` until the next event.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Applies a record of the metadata log: the only way the controller's durable state changes.
    pub fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ImageError> {
        self.image.apply(offset, record)?;
        let may_change_broker = match record {
            MetadataRecord::Config(config) => config.resource_type == CONFIG_RESOURCE_BROKER,
            MetadataRecord::EndTransaction(_) => true,
            _ => false,
        };
        if may_change_broker {
            self.broker = effective_broker_config(&self.config.broker, &self.image);
        }
        Ok(())
    }

    /// The driver has taken over the log. Bootstraps an empty one, and aborts a transaction that was never
    /// ended (`ActivationRecordsGenerator`).
    pub fn handle_activate(&mut self) {
        if self.image.in_transaction() {
            let reason = Some("controller restarted".to_owned());
            self.append(vec![AbortTransactionRecord { reason }.into()]);
        }
        if self.image.is_unformatted() {
            self.append(bootstrap_records());
        }
    }

    /// Makes a decision: applies the records at the offsets they will have and has them appended as one
    /// batch.
    fn append(&mut self, records: Vec<MetadataRecord>) {
        if records.is_empty() {
            return;
        }
        let count = records.len();
        assert!(count <= RECORDS_PER_OPERATION_MAX, "{count} records in one batch of the metadata log");
        let delta = MetadataDelta::new(self.image.end_offset(), self.image.epoch(), records.into());
        for (index, record) in delta.records.iter().enumerate() {
            self.replay(delta.first_offset + index as i64, record).unwrap_or_else(|error| {
                panic!("the controller's own {} does not fit: {error}", record.name())
            });
        }
        self.outputs.push_back(Output::Append(delta));
    }

    /// As [`Controller::append`] for records that need not take effect together.
    fn append_in_pieces(&mut self, records: Vec<MetadataRecord>) {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            self.append(records.by_ref().take(RECORDS_PER_OPERATION_MAX).collect());
        }
    }

    /// Answers a request, once everything decided so far is committed.
    fn reply(&mut self, token: Token, response: Response) {
        self.outputs.push_back(Output::Reply { token, after: self.image.end_offset(), response });
    }

    /// Refuses a broker that is not registered, or an earlier incarnation of one that is.
    fn check_broker_epoch(&self, id: NodeId, epoch: i64) -> Result<(), ApiError> {
        match self.image.broker(id) {
            Some(broker) if broker.epoch == epoch => Ok(()),
            Some(broker) => Err(ApiError::new(
                ErrorCode::StaleBrokerEpoch,
                format!("broker {id} is registered with epoch {}, the request is for {epoch}", broker.epoch),
            )),
            None => Err(ApiError::new(ErrorCode::StaleBrokerEpoch, format!("broker {id} is not registered"))),
        }
    }
}

/// Refuses a request that leads to more than one batch of the metadata log can hold.
fn check_operation_size(records: &[MetadataRecord]) -> Result<(), ApiError> {
    let refuse = |what: String| Err(ApiError::new(ErrorCode::PolicyViolation, what));
    if RECORDS_PER_OPERATION_MAX < records.len() {
        return refuse(format!(
            "the request needs {} metadata records, at most {RECORDS_PER_OPERATION_MAX} are allowed",
            records.len()
        ));
    }
    let bytes: usize = records.iter().map(|record| record.encode().len()).sum();
    if OPERATION_BYTES_MAX < bytes {
        return refuse(format!(
            "the request needs {bytes} bytes of metadata records, at most {OPERATION_BYTES_MAX} are allowed"
        ));
    }
    Ok(())
}

/// A random id that no topic of `image` has.
fn new_topic_id(image: &MetadataImage, prng: &mut Prng) -> Uuid {
    loop {
        let bits = u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64());
        if let Some(id) = Uuid::from_random(bits).filter(|&id| image.topic(id).is_none()) {
            return id;
        }
    }
}
