//! `corelog topic`: create, list, describe, change and delete topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CliError;
use super::client_args::{ClientArgs, on_executor, parse_pair};
use super::config::{ChangeArgs, change};
use super::output::print_text;
use crate::client::admin::{
    NewTopic, create_partitions, create_topics, delete_records, delete_topics, describe_log_dirs,
};
use crate::client::configs::ConfigOwner;
use crate::client::{ClientError, Cluster, PartitionInfo, TopicInfo};
use crate::types::ErrorCode;

#[derive(Debug, Subcommand)]
pub(super) enum TopicCommand {
    /// Create topics.
    Create(CreateArgs),
    /// List the topics' names.
    List(ListArgs),
    /// Show partitions, leaders, replicas and their log directories, of which each core has its own.
    Describe(DescribeArgs),
    /// Change a topic's configuration.
    Alter(AlterArgs),
    /// Add partitions to a topic.
    AddPartitions(AddPartitionsArgs),
    /// Delete a topic's oldest records.
    Trim(TrimArgs),
    /// Delete topics and their records.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partitions of each; -1 for the broker's num.partitions.
    #[arg(short, long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    partitions: i32,
    /// Replicas of each partition; -1 for the broker's default.replication.factor.
    #[arg(short, long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    replication_factor: i16,
    /// A config of the topics; `corelog config keys --topic` lists what there is.
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = parse_pair)]
    configs: Vec<(String, String)>,
    /// Only ask whether the broker would create them.
    #[arg(long)]
    validate_only: bool,
    /// A topic that is there already is no error.
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The cluster's own topics too.
    #[arg(long)]
    internal: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Names of the topics; all without one.
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AlterArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic's name.
    #[arg(value_name = "TOPIC")]
    topic: String,
    #[command(flatten)]
    changes: ChangeArgs,
}

#[derive(Debug, Args)]
pub(super) struct AddPartitionsArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic's name.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// How many partitions the topic has afterwards.
    #[arg(short, long, value_name = "COUNT")]
    partitions: i32,
    /// Only ask whether the broker would add them.
    #[arg(long)]
    validate_only: bool,
}

#[derive(Debug, Args)]
pub(super) struct TrimArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic's name.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// The first offset to keep, or `end` to keep nothing.
    #[arg(long, value_name = "OFFSET", value_parser = parse_before)]
    before: i64,
    /// Partitions, such as 0,3; all without it.
    #[arg(short, long, value_name = "PARTITION,...", value_delimiter = ',')]
    partition: Vec<i32>,
}

/// `DeleteRecordsRequest.HIGH_WATERMARK`
const HIGH_WATERMARK: i64 = -1;

fn parse_before(text: &str) -> Result<i64, String> {
    match text {
        "end" => Ok(HIGH_WATERMARK),
        _ => text
            .parse()
            .ok()
            .filter(|&offset| 0 <= offset)
            .ok_or_else(|| format!("'{text}' is no offset; expected a number of at least 0, or 'end'")),
    }
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Names of the topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// A topic that is not there is no error.
    #[arg(long)]
    if_exists: bool,
}

/// Carries the command out.
pub(super) fn run(command: TopicCommand) -> Result<(), CliError> {
    let text = on_executor(async move || match command {
        TopicCommand::Create(args) => create(args).await,
        TopicCommand::List(args) => list(args).await,
        TopicCommand::Describe(args) => describe(args).await,
        TopicCommand::Alter(args) => {
            change(&args.client, &ConfigOwner::Topic(args.topic), args.changes).await
        }
        TopicCommand::AddPartitions(args) => add_partitions(args).await,
        TopicCommand::Trim(args) => trim(args).await,
        TopicCommand::Delete(args) => delete(args).await,
    })?;
    print_text(&text)
}

async fn create(args: CreateArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let mut text = String::new();
    for name in &args.topics {
        let topic = NewTopic {
            name: name.clone(),
            partitions: args.partitions,
            replication_factor: args.replication_factor,
            configs: args.configs.clone(),
        };
        let done = create_topics(&cluster, &[topic], args.validate_only).await;
        let outcome = match done {
            Ok(()) if args.validate_only => "could be created",
            Ok(()) => "created",
            Err(error) if args.if_not_exists && is_refusal(&error, ErrorCode::TopicAlreadyExists) => {
                "is there already"
            }
            Err(error) => return Err(error.into()),
        };
        text.push_str(&format!("topic {name} {outcome}\n"));
    }
    Ok(text)
}

async fn add_partitions(args: AddPartitionsArgs) -> Result<String, CliError> {
    let AddPartitionsArgs { client, topic, partitions, validate_only } = args;
    create_partitions(&client.connect().await?, &topic, partitions, validate_only).await?;
    let outcome = if validate_only { "could have" } else { "has" };
    Ok(format!("topic {topic} {outcome} {partitions} partitions\n"))
}

async fn trim(args: TrimArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let topics = cluster.describe(Some(&[&args.topic])).await?;
    let topic = topics.first().ok_or_else(|| CliError::failed(format!("no topic {}", args.topic)))?;
    let mut text = String::new();
    for partition in topic.partitions_or_all(&args.partition) {
        let start = delete_records(&cluster, topic, partition, args.before).await?;
        text.push_str(&format!("{}-{partition} begins at {start}\n", topic.name));
    }
    Ok(text)
}

async fn delete(args: DeleteArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let mut text = String::new();
    for name in &args.topics {
        let outcome = match delete_topics(&cluster, &[name]).await {
            Ok(()) => "deleted",
            Err(error) if args.if_exists && is_refusal(&error, ErrorCode::UnknownTopicOrPartition) => {
                "is not there"
            }
            Err(error) => return Err(error.into()),
        };
        text.push_str(&format!("topic {name} {outcome}\n"));
    }
    Ok(text)
}

fn is_refusal(error: &ClientError, code: ErrorCode) -> bool {
    matches!(error, ClientError::Refused { refusal, .. } if refusal.error_code() == Some(code))
}

async fn list(args: ListArgs) -> Result<String, CliError> {
    let topics = described(&args.client.connect().await?, &[]).await?;
    let shown = topics.iter().filter(|topic| args.internal || !topic.is_internal);
    let names: Vec<&str> = shown.map(|topic| topic.name.as_str()).collect();
    Ok(match args.json {
        true => format!("{:#}\n", json!(names)),
        false => names.iter().flat_map(|name| [name, "\n"]).collect(),
    })
}

async fn describe(args: DescribeArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let topics = described(&cluster, &args.topics).await?;
    let dirs = log_dirs(&cluster, &topics).await;
    Ok(match args.json {
        true => format!("{:#}\n", Value::from_iter(topics.iter().map(|topic| as_json(topic, &dirs)))),
        false => topics.iter().map(|topic| as_text(topic, &dirs)).collect(),
    })
}

/// Log directories by topic, partition and broker.
type LogDirs = BTreeMap<(String, i32, i32), String>;

/// Where the replicas of the topics are. A broker that does not say so is no reason to show nothing.
async fn log_dirs(cluster: &Cluster, topics: &[TopicInfo]) -> LogDirs {
    let infos = topics.iter().flat_map(|topic| &topic.partitions);
    let brokers: BTreeSet<i32> = infos.flat_map(|info| info.replicas.iter().copied()).collect();
    let mut dirs = LogDirs::new();
    for broker in brokers {
        match describe_log_dirs(cluster, broker, topics).await {
            Ok(placed) => {
                dirs.extend(placed.into_iter().map(|of| ((of.topic, of.partition, broker), of.log_dir)));
            }
            Err(error) => eprintln!("no log directories of broker {broker}: {error}"),
        }
    }
    dirs
}

/// Of each replica, in their order.
fn dirs_of<'a>(topic: &TopicInfo, info: &PartitionInfo, dirs: &'a LogDirs) -> Vec<Option<&'a str>> {
    let dir = |broker: &i32| dirs.get(&(topic.name.clone(), info.partition, *broker)).map(String::as_str);
    info.replicas.iter().map(dir).collect()
}

/// The topics by name, or all; ordered by name.
async fn described(cluster: &Cluster, names: &[String]) -> Result<Vec<TopicInfo>, CliError> {
    let named: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut topics = cluster.describe((!named.is_empty()).then_some(&named[..])).await?;
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(topics)
}

/// The lines of Kafka's `kafka-topics --describe`, as far as people search them.
fn as_text(topic: &TopicInfo, dirs: &LogDirs) -> String {
    let replication_factor = topic.partitions.first().map_or(0, |info| info.replicas.len());
    let mut text = format!(
        "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {replication_factor}\n",
        topic.name,
        topic.id,
        topic.partitions.len()
    );
    for info in &topic.partitions {
        let log_dirs: Vec<_> = dirs_of(topic, info, dirs).iter().map(|dir| dir.unwrap_or("-")).collect();
        let leader = if info.leader < 0 { "none".to_owned() } else { info.leader.to_string() };
        writeln!(
            text,
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tLogDir: {}",
            topic.name,
            info.partition,
            joined(&info.replicas),
            joined(&info.isr),
            log_dirs.join(",")
        )
        .expect("a String takes all");
    }
    text
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn as_json(topic: &TopicInfo, dirs: &LogDirs) -> Value {
    let partition = |info: &PartitionInfo| {
        json!({
            "partition": info.partition,
            "leader": info.leader,
            "leader_epoch": info.leader_epoch,
            "replicas": info.replicas,
            "isr": info.isr,
            "log_dirs": dirs_of(topic, info, dirs),
        })
    };
    json!({
        "name": topic.name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}
