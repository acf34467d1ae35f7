//! What can go wrong between a client and a broker.

use std::fmt;

use crate::types::ErrorCode;
use crate::wire::WireError;

/// A failure of a request, or of the connection it was to go through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is not `host:port`, or nothing has this name.
    #[error("cannot resolve {address}: {detail}; expected HOST:PORT")]
    Unresolvable {
        /// The address as given.
        address: String,
        /// What the resolver said.
        detail: String,
    },
    /// Nobody accepted the connection.
    #[error("cannot connect to {address}: {detail}; is the broker running?")]
    Unreachable {
        /// Where to.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// The connection ended before the answer came.
    #[error("{address} closed the connection: {detail}")]
    Disconnected {
        /// The broker.
        address: String,
        /// What is known of the reason.
        detail: String,
    },
    /// No answer came in time.
    #[error("{address} did not answer within {after_ms} ms")]
    TimedOut {
        /// The broker.
        address: String,
        /// How long was waited.
        after_ms: u128,
    },
    /// The broker serves no version of the API that this client speaks.
    #[error("{address} serves {api} in no version that this client speaks ({min} to {max})")]
    Unsupported {
        /// The broker.
        address: String,
        /// The API's name.
        api: String,
        /// The lowest version this client speaks.
        min: i16,
        /// The highest version this client speaks.
        max: i16,
    },
    /// The answer's bytes are not an answer.
    #[error("{address} sent what is no answer: {error}")]
    Malformed {
        /// The broker.
        address: String,
        /// What is wrong with it.
        error: WireError,
    },
    /// A request of ours cannot be put into bytes: the broker's version lacks a field it sets.
    #[error("the request cannot be sent: {0}")]
    Unencodable(WireError),
    /// The broker refused.
    #[error("{what}: {refusal}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The broker's answer.
        refusal: Refusal,
    },
    /// The cluster has no such partition, or no leader for it now.
    #[error("{what}: {detail}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What is missing.
        detail: String,
    },
}

/// A broker's error: Kafka's code and, where the API has one, a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number on the wire.
    pub code: i16,
    /// The broker's words.
    pub message: Option<String>,
}

impl Refusal {
    /// The refusal in a response's `code` and `message`; `None` for code 0.
    pub fn from_response(code: i16, message: Option<&str>) -> Option<Self> {
        (code != 0).then(|| Self { code, message: message.map(str::to_owned) })
    }

    /// Kafka's error, if it has one with this code.
    pub fn error_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_code(self.code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error_code() {
            Some(error) => write!(f, "{error}")?,
            None => write!(f, "error code {}", self.code)?,
        }
        match &self.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

/// `Ok` for code 0, else [`ClientError::Refused`] about `what`.
pub(super) fn accepted(
    code: i16,
    message: Option<&str>,
    what: impl FnOnce() -> String,
) -> Result<(), ClientError> {
    match Refusal::from_response(code, message) {
        None => Ok(()),
        Some(refusal) => Err(ClientError::Refused { what: what(), refusal }),
    }
}
