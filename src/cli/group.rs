//! `corelog group`: list, describe, seek and delete consumer groups.

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CliError;
use super::client_args::{ClientArgs, on_executor};
use super::group_seek;
use super::output::print_text;
use crate::client::consumer::{OffsetSpec, list_offset};
use crate::client::groups::{
    CommittedOffset, GroupInfo, GroupOffset, ListedGroup, coordinator, delete_group, describe_group,
    group_offsets, list_groups,
};
use crate::client::{Cluster, TopicInfo};
use crate::types::Offset;
use crate::wire::offsets::WireLag;

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// List the groups.
    List(ListArgs),
    /// Show state, members, offsets and lag.
    Describe(DescribeArgs),
    /// Plan or set the offsets of a group without members.
    Seek(group_seek::SeekArgs),
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
pub(super) struct DeleteArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

/// A committed offset beside the end of its partition.
struct Progress {
    committed: CommittedOffset,
    /// `None` when the partition is not there any more.
    end: Option<Offset>,
    /// As the broker last measured it.
    measured: Option<WireLag>,
}

impl Progress {
    fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end.0 - self.committed.offset.0).max(0))
    }

    /// The age of the oldest unread record in milliseconds, if the broker knows it.
    fn oldest_unread_ms(&self) -> Option<i64> {
        self.measured?.oldest_unread_ms
    }
}

/// Carries the command out.
pub(super) fn run(command: GroupCommand) -> Result<(), CliError> {
    let text = on_executor(async move || match command {
        GroupCommand::List(args) => list(args).await,
        GroupCommand::Describe(args) => describe(args).await,
        GroupCommand::Seek(args) => group_seek::seek(args).await,
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
    let line = |group: &ListedGroup| format!("Group: {}\tState: {}\n", group.group_id, group.state);
    Ok(groups.iter().map(line).collect())
}

async fn describe(args: DescribeArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let connection = coordinator(&cluster, &args.group).await?;
    let group = describe_group(&connection, &args.group).await?;
    let progress = progress(&cluster, group_offsets(&connection, &args.group).await?).await?;
    Ok(match args.json {
        true => format!("{:#}\n", as_json(&args.group, &group, &progress)),
        false => as_text(&args.group, &group, &progress),
    })
}

async fn progress(cluster: &Cluster, offsets: Vec<GroupOffset>) -> Result<Vec<Progress>, CliError> {
    let mut progress = Vec::with_capacity(offsets.len());
    let mut topic: Option<TopicInfo> = None;
    for GroupOffset { committed, lag } in offsets {
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
        progress.push(Progress { committed, end, measured: lag });
    }
    Ok(progress)
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
            "\tTopic: {}\tPartition: {}\tOffset: {}\tEnd: {}\tLag: {}\tOldest unread ms: {}",
            of.committed.topic,
            of.committed.partition,
            of.committed.offset,
            shown(of.end.map(|end| end.0)),
            shown(of.lag()),
            shown(of.oldest_unread_ms())
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
            "oldest_unread_ms": of.oldest_unread_ms(),
            "measured_lag": of.measured.map(|measured| measured.offsets),
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
