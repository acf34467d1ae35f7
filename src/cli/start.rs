//! `corelog start`: reads the configuration and runs the broker until it is told to stop.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::config::{BrokerConfig, ConfigFile, Notice, Sources};
use crate::{broker, telemetry};

/// What is logged when the environment does not say otherwise.
const LOG_FILTER_DEFAULT: &str = "info";

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// A server.properties file. Without one: data in ./corelog-data, listening on 127.0.0.1:9092.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, whatever file and environment (KAFKA_LOG_DIRS for log.dirs) say.
    #[arg(short, long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Runs the broker; returns when it has stopped in order.
pub(super) fn start(args: StartArgs) -> Result<(), CliError> {
    telemetry::log::init(LOG_FILTER_DEFAULT).map_err(|error| CliError::failed(error.to_string()))?;
    let (config, notices) = load(&args)?;
    if args.config.is_none() {
        tracing::info!(log_dirs = ?config.log_dirs, "no --config: built-in configuration");
    }
    for notice in &notices {
        log_notice(notice);
    }
    broker::run(config).map_err(|error| CliError::failed(error.to_string()))
}

fn load(args: &StartArgs) -> Result<(BrokerConfig, Vec<Notice>), CliError> {
    let file = match &args.config {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                CliError::failed(format!("--config {}: cannot be read: {error}", path.display()))
            })?;
            Some((path.display().to_string(), text))
        }
    };
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources = Sources {
        file: file.as_ref().map(|(path, text)| ConfigFile { path, text }),
        environment: &environment,
        overrides: &args.overrides,
        host_name: &host_name(),
    };
    BrokerConfig::load(&sources)
        .map_err(|errors| CliError::failed(format!("the configuration is wrong:\n{errors}")))
}

/// What the kernel calls this host; clients of a wildcard listener are told to connect to it.
fn host_name() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => "localhost".to_owned(),
    }
}

fn log_notice(notice: &Notice) {
    if notice.is_warning() { tracing::warn!("{notice}") } else { tracing::info!("{notice}") }
}
