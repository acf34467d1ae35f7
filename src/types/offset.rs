//! Offsets and leader epochs.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A record's position in its partition. End offsets are exclusive everywhere:
/// a log with `log_end_offset` 5 holds at most the offsets 0 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of every new partition.
    pub const ZERO: Self = Self(0);
    /// Kafka's "no offset" (-1).
    pub const UNKNOWN: Self = Self(-1);
}

impl Add<i64> for Offset {
    type Output = Self;

    fn add(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl AddAssign<i64> for Offset {
    fn add_assign(&mut self, count: i64) {
        self.0 += count;
    }
}

impl Sub for Offset {
    type Output = i64;

    fn sub(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reign of one partition leader (KIP-101); grows with every change of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// The epoch of a partition that was never led by another broker.
    pub const ZERO: Self = Self(0);
    /// Kafka's "no epoch" (-1): a client that does not check, a batch no leader has seen.
    pub const UNKNOWN: Self = Self(-1);
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
