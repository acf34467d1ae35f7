//! Kafka's KRaft metadata records and their encoding.
//!
//! One record is the value of one record of the metadata log: frame version, key, version, body
//! (`AbstractApiMessageSerde`), the body in the flexible encoding. Facts from `common/metadata/*.json` of
//! Kafka 4.4. Every version that Kafka reads is read; the newest is written, since it loses nothing.
//!
//! An unknown key or version is an error and never skipped: a replica that skips a record has a different
//! cluster from everyone else's.
//!
//! What the records mean is [`image`](crate::metadata::image)'s business.

mod kinds;

use super::codec::{BodyProblem, Reader, put_unsigned_varint};

pub use kinds::*;

/// `AbstractApiMessageSerde.DEFAULT_FRAME_VERSION`.
const FRAME_VERSION: u32 = 1;

/// Why bytes are not a metadata record of this version of Corelog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRecordError {
    /// The frame around the record is cut off.
    #[error("the frame of a metadata record is broken: {0}")]
    Frame(BodyProblem),
    /// Another frame than Kafka has written since 3.0.
    #[error("metadata record frame version {found}, expected {FRAME_VERSION}")]
    UnknownFrame {
        /// The version found.
        found: u32,
    },
    /// A kind of record from a newer Kafka.
    #[error("metadata record with unknown key {api_key}, version {version}")]
    UnknownKey {
        /// The key found.
        api_key: u32,
        /// The version found with it.
        version: u32,
    },
    /// A known kind of record in a newer version.
    #[error("metadata record {name} (key {api_key}) version {version}, the newest known is {newest}")]
    UnknownVersion {
        /// The record's key.
        api_key: u32,
        /// Kafka's name of the record.
        name: &'static str,
        /// The version found.
        version: u32,
        /// The newest version known.
        newest: i16,
    },
    /// The body does not follow the schema.
    #[error("metadata record with key {api_key} version {version}, byte {position}: {problem}")]
    Body {
        /// The record's key.
        api_key: u32,
        /// The record's version.
        version: u32,
        /// Bytes into the record at which reading stopped.
        position: usize,
        /// What is wrong there.
        problem: BodyProblem,
    },
}

impl MetadataRecord {
    /// The record as the value of a record of the metadata log, in its newest version.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_version(self.newest_version())
    }

    /// As [`MetadataRecord::encode`] in an older version, which drops the fields that version lacks.
    pub(crate) fn encode_version(&self, version: i16) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_unsigned_varint(&mut out, FRAME_VERSION);
        put_unsigned_varint(&mut out, self.api_key());
        put_unsigned_varint(&mut out, u32::try_from(version).expect("versions are not negative"));
        self.encode_body(version, &mut out);
        out
    }

    /// Reads the value of a record of the metadata log.
    pub fn decode(value: &[u8]) -> Result<Self, MetadataRecordError> {
        let mut input = Reader::new(value);
        let found = input.unsigned_varint().map_err(MetadataRecordError::Frame)?;
        if found != FRAME_VERSION {
            return Err(MetadataRecordError::UnknownFrame { found });
        }
        let api_key = input.unsigned_varint().map_err(MetadataRecordError::Frame)?;
        let version = input.unsigned_varint().map_err(MetadataRecordError::Frame)?;
        let &(_, name, newest) = Self::KINDS
            .iter()
            .find(|&&(key, ..)| key == api_key)
            .ok_or(MetadataRecordError::UnknownKey { api_key, version })?;
        let known = i16::try_from(version).ok().filter(|&version| version <= newest);
        let known = known.ok_or(MetadataRecordError::UnknownVersion { api_key, name, version, newest })?;

        let decoded = Self::decode_body(api_key, known, &mut input).expect("the key is in the table");
        let position = value.len() - input.remaining();
        let record = decoded.and_then(|record| input.finish().map(|()| record));
        record.map_err(|problem| MetadataRecordError::Body { api_key, version, position, problem })
    }
}

#[cfg(test)]
mod tests;
