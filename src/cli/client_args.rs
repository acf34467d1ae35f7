//! What every command that talks to a cluster has in common.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::CliError;
use crate::client::producer::Acks;
use crate::client::{Cluster, ConnectOptions};
use crate::record::compression::Codec;
use crate::rt::executor::{self, ExecutorConfig};

#[derive(Debug, Clone, Args)]
pub(super) struct ClientArgs {
    /// Brokers to find the cluster through.
    #[arg(
        short,
        long,
        visible_alias = "bootstrap-server",
        value_name = "HOST:PORT,...",
        default_value = "127.0.0.1:9092"
    )]
    pub(super) bootstrap: String,
    /// How long to wait for a connection and for each answer.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub(super) timeout_ms: u64,
}

impl ClientArgs {
    pub(super) fn options(&self) -> ConnectOptions {
        ConnectOptions { timeout: Duration::from_millis(self.timeout_ms), ..ConnectOptions::default() }
    }

    pub(super) async fn connect(&self) -> Result<Cluster, CliError> {
        Ok(Cluster::connect(&self.bootstrap, self.options()).await?)
    }
}

/// `acks` as Kafka spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AcksArg {
    /// No answer at all.
    #[value(name = "0")]
    None,
    /// The leader's.
    #[value(name = "1")]
    Leader,
    /// That of every replica in sync.
    #[value(name = "all", alias = "-1")]
    All,
}

impl From<AcksArg> for Acks {
    fn from(arg: AcksArg) -> Self {
        match arg {
            AcksArg::None => Self::None,
            AcksArg::Leader => Self::Leader,
            AcksArg::All => Self::All,
        }
    }
}

/// A codec's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CodecArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CodecArg> for Codec {
    fn from(arg: CodecArg) -> Self {
        match arg {
            CodecArg::None => Self::None,
            CodecArg::Gzip => Self::Gzip,
            CodecArg::Snappy => Self::Snappy,
            CodecArg::Lz4 => Self::Lz4,
            CodecArg::Zstd => Self::Zstd,
        }
    }
}

/// Runs a command's future on an executor of its own.
pub(super) fn on_executor<Main, Fut, T>(main: Main) -> Result<T, CliError>
where
    Main: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, CliError>> + 'static,
    T: Send + 'static,
{
    let handle = executor::spawn(ExecutorConfig::unpinned("cli"), main)
        .map_err(|error| CliError::failed(error.to_string()))?;
    handle.join().map_err(|error| CliError::failed(error.to_string()))?
}

/// `KEY=VALUE` of an argument.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not KEY=VALUE")),
    }
}
