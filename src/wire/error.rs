//! What can be wrong with a request's bytes.

/// Bytes that are not a request this broker serves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length before a frame is negative.
    #[error("frame length {found} is negative")]
    NegativeFrameLength {
        /// The length field.
        found: i32,
    },
    /// The length before a frame is above the bound. Nothing was allocated for it.
    #[error("frame of {found} bytes, at most {max} are allowed")]
    FrameTooLarge {
        /// `socket.request.max.bytes`
        max: usize,
        /// The length field.
        found: usize,
    },
    /// An API this broker does not serve.
    #[error("api key {api_key} version {api_version} is not served")]
    UnknownApi {
        /// The request's API key.
        api_key: i16,
        /// The request's version.
        api_version: i16,
    },
    /// A version of a served API that is not served.
    #[error("api key {api_key} is served in versions {min} to {max}, not in {api_version}")]
    UnsupportedVersion {
        /// The request's API key.
        api_key: i16,
        /// The request's version.
        api_version: i16,
        /// What the answer must repeat.
        correlation_id: i32,
        /// The lowest version served.
        min: i16,
        /// The highest version served.
        max: i16,
    },
    /// The bytes end inside a field.
    #[error("{found} bytes are left where a field needs {expected}")]
    Truncated {
        /// Bytes of the field.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// An array claims more elements than its bytes can hold, or than are allowed in one array.
    #[error("an array of {found} elements, at most {max} can be there")]
    TooManyElements {
        /// The bound at this place.
        max: usize,
        /// The claimed count.
        found: usize,
    },
    /// A message is longer than any of its API has a reason to be.
    #[error("a message of {found} bytes, at most {max} are taken or sent")]
    MessageTooLarge {
        /// The bound in bytes.
        max: usize,
        /// Bytes of the message.
        found: usize,
    },
    /// The bytes break another rule of the protocol.
    #[error("malformed message: {detail}")]
    Malformed {
        /// The rule.
        detail: String,
    },
    /// A message of ours has a field that the version cannot carry: a bug of the caller.
    #[error("message cannot be encoded in version {version}: {detail}")]
    Unencodable {
        /// The version asked for.
        version: i16,
        /// The field.
        detail: String,
    },
}

impl WireError {
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed { detail: detail.into() }
    }
}
