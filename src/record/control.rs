//! Control records: what a batch with the control bit holds instead of an application's records.
//!
//! The key is a version and a type, the value depends on the type. Only the end of a transaction is
//! written and read here; the metadata log has values of its own.

use super::RecordError;

/// The type of a control record (`ControlRecordType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlType {
    /// The transaction's records are void.
    Abort = 0,
    /// The transaction's records count.
    Commit = 1,
    /// A leader of the metadata log begins its epoch.
    LeaderChange = 2,
    /// The first record of a snapshot.
    SnapshotHeader = 3,
    /// The last record of a snapshot.
    SnapshotFooter = 4,
    /// The version of the raft protocol in force.
    KRaftVersion = 5,
    /// The voters in force.
    KRaftVoters = 6,
}

impl ControlType {
    const ALL: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KRaftVersion,
        Self::KRaftVoters,
    ];

    /// The key of a control record of this type.
    pub fn to_key(self) -> [u8; 4] {
        let [high, low] = (self as i16).to_be_bytes();
        [0, 0, high, low]
    }

    /// Reads the key of a control record. `None` for a type that is not known, which readers pass over.
    /// A version above ours is read as ours, as Kafka does.
    ///
    /// # Errors
    /// `MalformedRecord` for bytes that are no such key.
    pub fn from_key(key: &[u8]) -> Result<Option<Self>, RecordError> {
        let (_, id) = versioned(key)
            .ok_or(RecordError::MalformedRecord { index: 0, what: "its control key is broken" })?;
        let Some(id) = id.first_chunk() else {
            return Err(RecordError::MalformedRecord { index: 0, what: "its control key is cut off" });
        };
        let id = i16::from_be_bytes(*id);
        Ok(Self::ALL.into_iter().find(|control_type| *control_type as i16 == id))
    }
}

/// The value of an `Abort` or `Commit` record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// The epoch of the coordinator that ended the transaction; an older one is a zombie's.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The value's bytes, version 0.
    pub fn encode(self) -> [u8; 6] {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// Reads the value. A version above ours is read as ours, as Kafka does.
    ///
    /// # Errors
    /// `MalformedRecord` for bytes that are no such value.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        let epoch = versioned(value).and_then(|(_, rest)| rest.first_chunk());
        let broken = RecordError::MalformedRecord { index: 0, what: "its transaction marker is broken" };
        epoch.map(|epoch| Self { coordinator_epoch: i32::from_be_bytes(*epoch) }).ok_or(broken)
    }
}

/// A version of at least 0, and the bytes behind it.
fn versioned(bytes: &[u8]) -> Option<(i16, &[u8])> {
    let (version, rest) = bytes.split_first_chunk()?;
    let version = i16::from_be_bytes(*version);
    (0 <= version).then_some((version, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_unknown_types_are_none() {
        for control_type in ControlType::ALL {
            assert_eq!(ControlType::from_key(&control_type.to_key()), Ok(Some(control_type)));
        }
        assert_eq!(ControlType::from_key(&[0, 0, 0, 9]), Ok(None));
        assert_eq!(ControlType::from_key(&[0, 7, 0, 1, 5]), Ok(Some(ControlType::Commit)));
        for broken in [&[][..], &[0], &[0, 0, 1], &[0xff, 0xff, 0, 1]] {
            assert!(ControlType::from_key(broken).is_err());
        }
    }

    #[test]
    fn markers_round_trip() {
        let marker = EndTxnMarker { coordinator_epoch: 7 };
        assert_eq!(marker.encode(), [0, 0, 0, 0, 0, 7]);
        assert_eq!(EndTxnMarker::decode(&marker.encode()), Ok(marker));
        assert!(EndTxnMarker::decode(&[0, 0, 0]).is_err());
    }
}
