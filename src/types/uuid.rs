//! 128-bit ids in Kafka's text form.

use std::fmt;
use std::str::FromStr;

/// A 128-bit id, written by Kafka as 22 characters of unpadded URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

/// The id of a topic; differs between two topics that had the same name one after the other (KIP-516).
pub type TopicId = Uuid;

/// The id of a log directory (KIP-858).
pub type DirectoryId = Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: usize = 22;

impl Uuid {
    /// "No id": what Kafka sends where an id is absent.
    pub const ZERO: Self = Self(0);
    /// The id of `__cluster_metadata` (`Uuid.METADATA_TOPIC_ID`).
    pub const METADATA_TOPIC: Self = Self(1);
    /// `DirectoryId.UNASSIGNED`: the broker has yet to choose a directory.
    pub const DIRECTORY_UNASSIGNED: Self = Self(0);
    /// `DirectoryId.LOST`: the directory is offline.
    pub const DIRECTORY_LOST: Self = Self(1);
    /// `DirectoryId.MIGRATING`: from before directories had ids.
    pub const DIRECTORY_MIGRATING: Self = Self(2);

    /// The id as 16 bytes, most significant first, as on the wire.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads 16 bytes, most significant first.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Makes an id out of 128 random bits. Kafka reserves ids below 100 and those whose text
    /// would start with a dash (`Uuid.randomUuid`), so some bits give `None`: draw again.
    pub fn from_random(bits: u128) -> Option<Self> {
        // Version 4, variant 1 (RFC 9562), as java.util.UUID.randomUUID makes them.
        let bits = bits & !(0xf000 << 64) | (0x4000 << 64);
        let bits = bits & !(0xc000 << 48) | (0x8000 << 48);
        let id = Self(bits);
        (100 <= bits && !id.to_string().starts_with('-')).then_some(id)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 22 characters carry 132 bits: the last four are zero.
        let mut text = [0; TEXT_LENGTH];
        for (position, slot) in text.iter_mut().enumerate() {
            let shift = 122 - 6 * position as i32;
            let index = if shift < 0 { self.0 << -shift } else { self.0 >> shift };
            *slot = ALPHABET[(index & 63) as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

/// The text is not an id in Kafka's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a 128-bit id: expected 22 characters of URL-safe base64")]
pub struct ParseUuidError(String);

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let refuse = || ParseUuidError(text.to_owned());
        let trimmed = text.trim_end_matches('=');
        if trimmed.len() != TEXT_LENGTH {
            return Err(refuse());
        }
        let mut bits: u128 = 0;
        for (position, byte) in trimmed.bytes().enumerate() {
            let value = ALPHABET.iter().position(|&letter| letter == byte).ok_or_else(refuse)? as u128;
            let shift = 122 - 6 * position as i32;
            bits |= if shift < 0 { value >> -shift } else { value << shift };
        }
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_kafkas() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id: Uuid = "MkU3OEVBNTcwNTJENDM2Qk".parse().unwrap();
        assert_eq!(id.to_bytes(), *b"2E78EA57052D436B");
        assert_eq!(id.to_string(), "MkU3OEVBNTcwNTJENDM2Qg");
        assert!("short".parse::<Uuid>().is_err());
        assert!("MkU3OEVBNTcwNTJENDM2Q!".parse::<Uuid>().is_err());
    }

    #[test]
    fn random_ids_round_trip_and_avoid_reserved_ones() {
        let mut prng = crate::types::Prng::new(3);
        for _ in 0..1_000 {
            let bits = u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64());
            let Some(id) = Uuid::from_random(bits) else { continue };
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(!id.to_string().starts_with('-'));
        }
    }
}
