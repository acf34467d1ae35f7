//! The command line.
//!
//! Each command is a file: its arguments, then what it does. Commands print results to standard output and
//! everything else to standard error; exit code 0 is success, 1 failure, 2 a command line that makes no
//! sense.

mod bench;
mod client_args;
mod config;
mod config_keys;
mod consume;
mod consume_group;
mod dump;
mod error;
mod format;
mod group;
mod group_seek;
mod output;
mod produce;
mod start;
mod topic;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;

use crate::rt;

/// A Kafka-wire-compatible broker in which every CPU core owns a shard of the partitions.
#[derive(Debug, Parser)]
#[command(name = "corelog", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the broker.
    Start(start::StartArgs),
    /// Create, list, describe, change and delete topics.
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// List, describe, seek and delete consumer groups.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Write each line of standard input as a record.
    Produce(produce::ProduceArgs),
    /// Print records.
    Consume(consume::ConsumeArgs),
    /// About the files of log directories.
    #[command(subcommand)]
    Log(LogCommand),
    /// About the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Generate load against any Kafka-wire broker and measure it.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print what segments, indexes and producer snapshots hold, and check it.
    Dump(dump::DumpArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its type, default, bounds and meaning.
    Keys(config_keys::KeysArgs),
    /// Show the configuration of a topic, broker or group.
    Describe(config::DescribeArgs),
    /// Change the configuration of a topic, broker or group.
    Alter(config::AlterArgs),
}

/// Carries out the process's command line.
pub fn run() -> ExitCode {
    // A task that panics would leave its executor waiting for ever.
    rt::panic::install();
    let cli = Cli::parse();
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelog: {error}");
            error.exit_code()
        }
    }
}

fn execute(command: Command) -> Result<(), CliError> {
    match command {
        Command::Start(args) => start::start(args),
        Command::Topic(command) => topic::run(command),
        Command::Group(command) => group::run(command),
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Log(LogCommand::Dump(args)) => dump::run(&args),
        Command::Config(ConfigCommand::Keys(args)) => config_keys::print(&args),
        Command::Config(ConfigCommand::Describe(args)) => config::describe(args),
        Command::Config(ConfigCommand::Alter(args)) => config::alter(args),
        Command::Bench(command) => bench::run(command),
    }
}
