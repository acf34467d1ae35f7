//! Who may do what, and how much of it: ACLs, credentials, tokens, quotas.
//!
//! Kept so that a snapshot loses nothing; the modules that enforce them read them from here.

use std::collections::BTreeMap;

use crate::metadata::records::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, MetadataRecord, QuotaEntity,
    UserScramCredentialRecord,
};
use crate::types::Uuid;

/// The entity of a quota: type and name of each component, sorted.
pub type QuotaEntityKey = Vec<(String, Option<String>)>;

/// The state behind authorization, authentication and quotas.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessImage {
    pub(super) acls: BTreeMap<Uuid, AccessControlEntryRecord>,
    pub(super) scram_credentials: BTreeMap<(i8, String), UserScramCredentialRecord>,
    pub(super) delegation_tokens: BTreeMap<String, DelegationTokenRecord>,
    pub(super) quotas: BTreeMap<QuotaEntityKey, BTreeMap<String, f64>>,
}

impl AccessImage {
    /// All ACLs by id.
    pub fn acls(&self) -> &BTreeMap<Uuid, AccessControlEntryRecord> {
        &self.acls
    }

    /// A user's credential for one mechanism (`ScramMechanism.type`).
    pub fn scram_credential(&self, mechanism: i8, user: &str) -> Option<&UserScramCredentialRecord> {
        self.scram_credentials.get(&(mechanism, user.to_owned()))
    }

    /// All delegation tokens by id.
    pub fn delegation_tokens(&self) -> &BTreeMap<String, DelegationTokenRecord> {
        &self.delegation_tokens
    }

    /// All quotas by entity, then by key.
    pub fn quotas(&self) -> &BTreeMap<QuotaEntityKey, BTreeMap<String, f64>> {
        &self.quotas
    }

    pub(super) fn apply_quota(&mut self, record: &ClientQuotaRecord) {
        let mut entity: QuotaEntityKey =
            record.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect();
        entity.sort();
        if !record.remove {
            self.quotas.entry(entity).or_default().insert(record.key.clone(), record.value);
        } else if let Some(quotas) = self.quotas.get_mut(&entity) {
            quotas.remove(&record.key);
            if quotas.is_empty() {
                self.quotas.remove(&entity);
            }
        }
    }

    pub(super) fn quota_records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.quotas.iter().flat_map(|(entity, quotas)| {
            quotas.iter().map(|(key, &value)| {
                let part = |(entity_type, entity_name): &(String, Option<String>)| QuotaEntity {
                    entity_type: entity_type.clone(),
                    entity_name: entity_name.clone(),
                };
                let entity = entity.iter().map(part).collect();
                ClientQuotaRecord { entity, key: key.clone(), value, remove: false }.into()
            })
        })
    }

    pub(super) fn security_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let acls = self.acls.values().cloned().map(MetadataRecord::from);
        let credentials = self.scram_credentials.values().cloned().map(MetadataRecord::from);
        let tokens = self.delegation_tokens.values().cloned().map(MetadataRecord::from);
        acls.chain(credentials).chain(tokens)
    }
}
