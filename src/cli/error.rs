//! How a command fails, and with which exit code.

use std::process::ExitCode;

use crate::client::ClientError;

/// Why a command did not do what it was asked for. The text names the thing, its value, what was expected
/// and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// The command line contradicts itself: exit code 2, as for what clap refuses.
    #[error("{0}")]
    Usage(String),
    /// The command could not be carried out, or found something wrong: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// A failure with this text.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// A contradiction with this text.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}
