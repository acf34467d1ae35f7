//! A broker as the cluster knows it.

use super::ImageError;
use crate::metadata::records::{
    BrokerRegistrationChangeRecord, ListenerEndpoint, RegisterBrokerRecord, SupportedFeature,
};
use crate::types::{DirectoryId, NodeId, Uuid};

/// The registration of one broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerRegistration {
    /// The broker's node id.
    pub id: NodeId,
    /// Offset of the record that registered this incarnation; fences messages of earlier ones (KIP-903).
    pub epoch: i64,
    /// Differs with every start of the broker's process.
    pub incarnation_id: Uuid,
    /// Advertised listeners.
    pub endpoints: Vec<ListenerEndpoint>,
    /// Feature levels the broker can work with, by name: Kafka writes them in any order.
    pub features: Vec<SupportedFeature>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is not shown to clients.
    pub fenced: bool,
    /// The broker is handing over its partitions before it stops.
    pub in_controlled_shutdown: bool,
    /// Log directories that are online, in the broker's own order.
    pub directories: Vec<DirectoryId>,
    /// Log directories that take no new partition; `None` until the broker said.
    pub cordoned_directories: Option<Vec<DirectoryId>>,
}

impl BrokerRegistration {
    /// Whether the broker may lead and be in an ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in `directory` is reachable. A replica whose directory is not known by id counts as
    /// reachable (`BrokerRegistration.hasOnlineDir`, `DirectoryId.isOnline`).
    pub fn has_online(&self, directory: DirectoryId) -> bool {
        match directory {
            Uuid::DIRECTORY_UNASSIGNED | Uuid::DIRECTORY_MIGRATING => true,
            Uuid::DIRECTORY_LOST => false,
            directory => self.directories.contains(&directory),
        }
    }

    /// The directories that take new partitions, in the broker's own order.
    pub fn usable_directories(&self) -> impl Iterator<Item = DirectoryId> {
        let cordoned = self.cordoned_directories.as_deref().unwrap_or_default();
        self.directories.iter().copied().filter(move |directory| !cordoned.contains(directory))
    }

    /// The address under which a listener is advertised.
    pub fn endpoint(&self, listener: &str) -> Option<&ListenerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    /// The registration that a record makes.
    pub fn from_record(record: &RegisterBrokerRecord) -> Self {
        let mut features = record.features.clone();
        features.sort_by(|left, right| left.name.cmp(&right.name));
        Self {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.clone(),
            features,
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: record.log_dirs.clone(),
            cordoned_directories: record.cordoned_log_dirs.clone(),
        }
    }

    pub(super) fn to_record(&self) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.endpoints.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.directories.clone(),
            cordoned_log_dirs: self.cordoned_directories.clone(),
        }
    }

    pub(super) fn apply_change(&mut self, change: &BrokerRegistrationChangeRecord) -> Result<(), ImageError> {
        let unknown = |field, value: i8| ImageError::UnknownValue {
            record: "BrokerRegistrationChangeRecord",
            field,
            value: value.into(),
        };
        match change.fenced {
            -1 => self.fenced = false,
            0 => {}
            1 => self.fenced = true,
            value => return Err(unknown("fenced", value)),
        }
        match change.in_controlled_shutdown {
            0 => {}
            1 => self.in_controlled_shutdown = true,
            value => return Err(unknown("in_controlled_shutdown", value)),
        }
        if !change.log_dirs.is_empty() {
            self.directories = change.log_dirs.clone();
        }
        if let Some(cordoned) = &change.cordoned_log_dirs {
            self.cordoned_directories = Some(cordoned.clone());
        }
        Ok(())
    }
}
