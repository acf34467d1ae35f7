//! `corelog group`: list, describe, seek and delete consumer groups.

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CliError;
use super::client_args::{ClientArgs, on_executor};
use super::output::print_text;
use crate::client::consumer::{OffsetSpec, list_offset};
use crate::client::groups::{
    CommittedOffset, GroupInfo, commit_offsets, committed_offsets, coordinator, delete_group, describe_group,
    list_groups,
};
use crate::client::{Cluster, Connection, TopicInfo};
use crate::types::Offset;

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// List the groups.
    List(ListArgs),
    /// Show state, members, offsets and lag.
    Describe(DescribeArgs),
    /// Set the offsets of a group without members.
    Seek(SeekArgs),
    /// Delete groups without members, with their offsets.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The group.
    group: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SeekArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The group; it need not be there yet.
    group: String,
    /// The topic.
    #[arg(short, long)]
    topic: String,
    /// The partition; all without it.
    #[arg(short, long)]
    partition: Option<i32>,
    /// `start`, `end`, or an offset.
    #[arg(long, value_name = "OFFSET", value_parser = parse_target)]
    to: Target,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Start,
    End,
    At(i64),
}

fn parse_target(text: &str) -> Result<Target, String> {
    match text {
        "start" => Ok(Target::Start),
        "end" => Ok(Target::End),
        number => match number.parse() {
            Ok(offset) if 0 <= offset => Ok(Target::At(offset)),
            _ => Err(format!("'{text}' is none of start, end and an offset from 0 on")),
        },
    }
}

/// A committed offset beside the end of its partition.
struct Progress {
    committed: CommittedOffset,
    /// `None` when the partition is not there any more.
    end: Option<Offset>,
}

impl Progress {
    fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end.0 - self.committed.offset.0).max(0))
    }
}

/// Carries the command out.
pub(super) fn run(command: GroupCommand) -> Result<(), CliError> {
    let text = on_executor(async move || match command {
        GroupCommand::List(args) => list(args).await,
        GroupCommand::Describe(args) => describe(args).await,
        GroupCommand::Seek(args) => seek(args).await,
        GroupCommand::Delete(args) => delete(args).await,
    })?;
    print_text(&text)
}

async fn list(args: ListArgs) -> Result<String, CliError> {
    let groups = list_groups(&args.client.connect().await?).await?;
    if args.json {
        let groups = groups.iter().map(|group| {
            json!({ "group": group.group_id, "protocol_type": group.protocol_type, "state": group.state })
        });
        return Ok(format!("{:#}\n", Value::from_iter(groups)));
    }
    let line = |group: &crate::client::groups::ListedGroup| format!("{}\t{}\n", group.group_id, group.state);
    Ok(groups.iter().map(line).collect())
}

async fn describe(args: DescribeArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let connection = coordinator(&cluster, &args.group).await?;
    let group = describe_group(&connection, &args.group).await?;
    let progress = progress(&cluster, committed_offsets(&connection, &args.group).await?).await?;
    Ok(match args.json {
        true => format!("{:#}\n", as_json(&args.group, &group, &progress)),
        false => as_text(&args.group, &group, &progress),
    })
}

async fn progress(cluster: &Cluster, offsets: Vec<CommittedOffset>) -> Result<Vec<Progress>, CliError> {
    let mut progress = Vec::with_capacity(offsets.len());
    let mut topic: Option<TopicInfo> = None;
    for committed in offsets {
        if topic.as_ref().is_none_or(|topic| topic.name != committed.topic) {
            topic = cluster.find_topic(&committed.topic, false).await?;
        }
        let end = match &topic {
            Some(topic) if topic.name == committed.topic => {
                let leader = cluster.leader(topic, committed.partition).await?;
                list_offset(&leader, &topic.name, committed.partition, OffsetSpec::Latest).await?
            }
            Some(_) | None => None,
        };
        progress.push(Progress { committed, end });
    }
    Ok(progress)
}

async fn seek(args: SeekArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let topic = cluster.find_topic(&args.topic, false).await?;
    let topic = topic.ok_or_else(|| CliError::failed(format!("topic {} is not there", args.topic)))?;
    let partitions: Vec<i32> = match args.partition {
        Some(partition) => vec![partition],
        None => topic.partitions.iter().map(|info| info.partition).collect(),
    };
    let mut offsets = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let leader = cluster.leader(&topic, partition).await?;
        let offset = target_offset(&leader, &topic.name, partition, args.to).await?;
        offsets.push(CommittedOffset { topic: topic.name.clone(), partition, offset });
    }
    let connection = coordinator(&cluster, &args.group).await?;
    commit_offsets(&connection, &args.group, &offsets).await?;
    let line = |of: &CommittedOffset| format!("{}-{}\t{}\n", of.topic, of.partition, of.offset);
    Ok(offsets.iter().map(line).collect())
}

/// The offset that a target means; one that is not in the log is refused.
async fn target_offset(
    leader: &Connection,
    topic: &str,
    partition: i32,
    target: Target,
) -> Result<Offset, CliError> {
    let start = list_offset(leader, topic, partition, OffsetSpec::Earliest).await?.unwrap_or(Offset::ZERO);
    let end = list_offset(leader, topic, partition, OffsetSpec::Latest).await?.unwrap_or(start);
    match target {
        Target::Start => Ok(start),
        Target::End => Ok(end),
        Target::At(offset) if (start.0..=end.0).contains(&offset) => Ok(Offset(offset)),
        Target::At(offset) => Err(CliError::failed(format!(
            "offset {offset} is not in {topic}-{partition}, which has {start} to {end}"
        ))),
    }
}

async fn delete(args: DeleteArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let mut text = String::new();
    for group in &args.groups {
        let connection = coordinator(&cluster, group).await?;
        delete_group(&connection, group).await?;
        text.push_str(&format!("group {group} deleted\n"));
    }
    Ok(text)
}

fn as_text(name: &str, group: &GroupInfo, progress: &[Progress]) -> String {
    let protocol = if group.protocol.is_empty() { "-" } else { &group.protocol };
    let mut text = format!(
        "Group: {name}\tState: {}\tProtocol: {protocol}\tMembers: {}\n",
        group.state,
        group.members.len()
    );
    for member in &group.members {
        writeln!(text, "\tMember: {}\tClient: {}\tHost: {}", member.member_id, member.client_id, member.host)
            .expect("a String takes all");
    }
    for of in progress {
        let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        writeln!(
            text,
            "\tTopic: {}\tPartition: {}\tOffset: {}\tEnd: {}\tLag: {}",
            of.committed.topic,
            of.committed.partition,
            of.committed.offset,
            shown(of.end.map(|end| end.0)),
            shown(of.lag())
        )
        .expect("a String takes all");
    }
    text
}

fn as_json(name: &str, group: &GroupInfo, progress: &[Progress]) -> Value {
    let members = group.members.iter();
    let members = members
        .map(|member| json!({ "id": member.member_id, "client": member.client_id, "host": member.host }));
    let offsets = progress.iter().map(|of| {
        json!({
            "topic": of.committed.topic,
            "partition": of.committed.partition,
            "offset": of.committed.offset.0,
            "end": of.end.map(|end| end.0),
            "lag": of.lag(),
        })
    });
    json!({
        "group": name,
        "state": group.state,
        "protocol": group.protocol,
        "members": members.collect::<Vec<_>>(),
        "offsets": offsets.collect::<Vec<_>>(),
    })
}
