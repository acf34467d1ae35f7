//! Registering and unfencing brokers (`ClusterControlManager`).

use std::collections::BTreeSet;

use super::Controller;
use super::events::{ApiError, RegisterBroker, Response, Token, UnfenceBroker};
use super::leadership;
use crate::metadata::codec::STRING_BYTES_MAX;
use crate::metadata::image::METADATA_VERSION;
use crate::metadata::records::{BrokerRegistrationChangeRecord, RegisterBrokerRecord, SupportedFeature};
use crate::metadata::{BrokerRegistration, MetadataRecord};
use crate::types::{ErrorCode, Uuid};

/// `DirectoryId.reserved`: ids below this are not directories but states of one.
const RESERVED_DIRECTORY_IDS: Uuid = Uuid(100);

impl Controller {
    /// Registers a broker, fenced; its epoch is the offset of the registration. The same incarnation amends
    /// its registration and keeps epoch and state.
    pub fn handle_register_broker(&mut self, token: Token, request: &RegisterBroker) {
        let response = self.check_registration(request).map(|()| self.register(request));
        self.reply(token, Response::RegisterBroker(response));
    }

    /// Lets a registered broker lead, and gives it the partitions that have no leader and that it can lead.
    pub fn handle_unfence_broker(&mut self, token: Token, request: UnfenceBroker) {
        let UnfenceBroker { broker_id, broker_epoch } = request;
        let response = self.check_broker_epoch(broker_id, broker_epoch).map(|()| self.unfence(request));
        self.reply(token, Response::UnfenceBroker(response));
    }

    fn check_registration(&self, request: &RegisterBroker) -> Result<(), ApiError> {
        if request.cluster_id != self.image.cluster_id() {
            return Err(ApiError::new(
                ErrorCode::InconsistentClusterId,
                format!("cluster id {}, expected {}", request.cluster_id, self.image.cluster_id()),
            ));
        }
        check_strings(request)?;
        self.check_directories(request)?;
        if !request.features.iter().any(|feature| feature.name == METADATA_VERSION) {
            return Err(ApiError::new(
                ErrorCode::InvalidRegistration,
                format!("the broker does not say which {METADATA_VERSION} it supports"),
            ));
        }
        self.image.features().iter().try_for_each(|(name, &level)| {
            check_feature(request.features.iter().find(|feature| feature.name == *name), name, level)
        })
    }

    fn check_directories(&self, request: &RegisterBroker) -> Result<(), ApiError> {
        let invalid = |message| Err(ApiError::new(ErrorCode::InvalidRegistration, message));
        if request.directories.is_empty() {
            return invalid("the broker has no log directory".to_owned());
        }
        let mut seen = BTreeSet::new();
        for &directory in &request.directories {
            if directory < RESERVED_DIRECTORY_IDS {
                return invalid(format!("log directory id {directory} is reserved"));
            }
            if !seen.insert(directory) {
                return invalid(format!("log directory id {directory} is given twice"));
            }
            let others = self.image.brokers().filter(|broker| broker.id != request.broker_id);
            if let Some(owner) = others.into_iter().find(|broker| broker.directories.contains(&directory)) {
                return invalid(format!("log directory id {directory} belongs to broker {}", owner.id));
            }
        }
        Ok(())
    }

    fn register(&mut self, request: &RegisterBroker) -> i64 {
        let previous = self.image.broker(request.broker_id);
        let amended = previous.filter(|broker| broker.incarnation_id == request.incarnation_id).cloned();
        let mut record = registration(request, amended.as_ref());
        if amended.is_none() {
            let broker = BrokerRegistration::from_record(&record);
            let changes = leadership::plan_new_incarnation(&self.image, &broker, request.previous_stop);
            // The registration comes last: a crash in between leaves a broker that registers once more.
            self.append_in_pieces(changes);
            record.broker_epoch = self.image.end_offset().0;
        }
        let epoch = record.broker_epoch;
        self.append(vec![record.into()]);
        epoch
    }

    fn unfence(&mut self, request: UnfenceBroker) {
        let broker = self.image.broker(request.broker_id).expect("its epoch was just checked");
        let mut records = Vec::new();
        if broker.fenced {
            let change = BrokerRegistrationChangeRecord {
                broker_id: request.broker_id,
                broker_epoch: request.broker_epoch,
                fenced: -1,
                ..BrokerRegistrationChangeRecord::default()
            };
            records.push(MetadataRecord::from(change));
        }
        records.extend(leadership::plan_arrival(&self.image, broker));
        self.append_in_pieces(records);
    }
}

/// The record of a registration: of a new incarnation, or with the state of the one that is amended.
fn registration(request: &RegisterBroker, amended: Option<&BrokerRegistration>) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: request.broker_id,
        is_migrating_zk_broker: false,
        incarnation_id: request.incarnation_id,
        broker_epoch: amended.map_or(-1, |broker| broker.epoch),
        end_points: request.endpoints.clone(),
        features: request.features.clone(),
        rack: request.rack.clone(),
        fenced: amended.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: amended.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: request.directories.clone(),
        cordoned_log_dirs: amended.and_then(|broker| broker.cordoned_directories.clone()),
    }
}

/// A finalized feature must be inside of what the broker supports; what it does not name, it supports at 0.
fn check_feature(supported: Option<&SupportedFeature>, name: &str, level: i16) -> Result<(), ApiError> {
    let (min, max) =
        supported.map_or((0, 0), |feature| (feature.min_supported_version, feature.max_supported_version));
    if (min..=max).contains(&level) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedVersion,
        format!("{name} is finalized at {level}, the broker supports {min} to {max}"),
    ))
}

/// Longer strings than Kafka's would not fit the record.
fn check_strings(request: &RegisterBroker) -> Result<(), ApiError> {
    let endpoints = request.endpoints.iter().flat_map(|endpoint| [&endpoint.name, &endpoint.host]);
    let features = request.features.iter().map(|feature| &feature.name);
    match endpoints.chain(features).chain(&request.rack).map(String::len).max() {
        Some(longest) if STRING_BYTES_MAX < longest => Err(ApiError::new(
            ErrorCode::InvalidRegistration,
            format!("a string of {longest} bytes, at most {STRING_BYTES_MAX} are allowed"),
        )),
        _ => Ok(()),
    }
}
