//! `corelog bench`: a load generator against any Kafka-wire broker.
//!
//! One thread runs one executor; each connection is two tasks of it. What is sent is encoded before the
//! clock starts and sent again and again, and of what comes back only the error codes and batch headers are
//! looked at, so that the broker is what is measured. In an open loop a request's latency counts from when
//! it was due, not from when it could be sent: a broker that stalls cannot hide it (no coordinated omission).

mod cpu;
mod fetch;
mod plan;
mod produce;
mod report;
mod runner;
mod sender;
mod stamp;
mod stats;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};

use super::CliError;
use super::client_args::{ClientArgs, parse_pair};

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Measure produces.
    Produce(produce::ProduceArgs),
    /// Measure fetches from the beginning of partitions, or how long records take from end to end.
    Fetch(fetch::FetchArgs),
}

/// Runs the command to its report.
pub(super) fn run(command: BenchCommand) -> Result<(), CliError> {
    match command {
        BenchCommand::Produce(args) => produce::run(args),
        BenchCommand::Fetch(args) => fetch::run(args),
    }
}

/// What both directions have in common.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic; created when it is missing.
    #[arg(short, long, default_value = "bench")]
    topic: String,
    /// Spread over this many topics, TOPIC-0, TOPIC-1 and so on, instead of TOPIC.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = one_or_more())]
    topics: u32,
    /// Partitions of each topic that take part.
    #[arg(short, long, value_name = "COUNT", default_value_t = 16, value_parser = one_or_more())]
    partitions: u32,
    /// Replicas of a topic that is created; -1 for the broker's default.
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    replication_factor: i16,
    /// A config of a topic that is created.
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = parse_pair)]
    topic_configs: Vec<(String, String)>,
    /// Connections in all; partitions are dealt to them.
    #[arg(short, long, value_name = "COUNT", default_value_t = 4, value_parser = one_or_more())]
    connections: u32,
    /// Threads of the load generator, each with its part of the connections.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = one_or_more())]
    threads: u32,
    /// Seconds before the measured part, not counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_seconds)]
    warmup: f64,
    /// Process id of the broker: reports its CPU time and memory, unless it ends meanwhile.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// Write the report to this file as JSON; `-` for standard output instead of the text.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No line each second.
    #[arg(short, long)]
    quiet: bool,
}

impl LoadArgs {
    fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    fn topic_names(&self) -> Vec<String> {
        match self.topics {
            1 => vec![self.topic.clone()],
            count => (0..count).map(|index| format!("{}-{index}", self.topic)).collect(),
        }
    }
}

/// A count that is not zero.
fn one_or_more() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// Seconds as a number that is not negative and not absurd.
fn parse_seconds(text: &str) -> Result<f64, String> {
    const SECONDS_MAX: f64 = 30.0 * 24.0 * 3_600.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("'{text}' is no number of seconds from 0 to {SECONDS_MAX}")),
    }
}

/// A count such as `500000`, `1_000`, `10k`, `2.5M` or `10G` (powers of 1,000), or `64KiB`, `10GiB`.
fn parse_count(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 7] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("", 1.0),
    ];
    let found = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (digits, factor) = found.unwrap_or((text, &1.0));
    match digits.replace('_', "").parse::<f64>() {
        Ok(number) if 0.0 < number && number * factor < 1e18 => Ok((number * factor) as u64),
        _ => Err(format!(
            "'{text}' is no count above 0; expected a number, if need be with k, M, G or KiB, MiB, GiB"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_units() {
        let cases = [
            ("5", 5),
            ("1_000", 1_000),
            ("10k", 10_000),
            ("2.5M", 2_500_000),
            ("1GiB", 1 << 30),
            ("64KiB", 65_536),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_count(text), Ok(expected), "{text}");
        }
        for bad in ["", "x", "-1", "0", "1T", "1e30", "NaN"] {
            assert!(parse_count(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_seconds("0.5"), Ok(0.5));
        assert!(parse_seconds("-1").is_err() && parse_seconds("inf").is_err());
    }
}
