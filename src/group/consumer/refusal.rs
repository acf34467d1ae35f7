//! Why a request to a consumer group is refused.

use std::fmt;

use crate::types::ErrorCode;

/// A refusal as clients get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error.
    pub error: ErrorCode,
    /// For the reader of the client's log.
    pub message: String,
}

impl Refusal {
    pub(in crate::group) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.message)
    }
}
