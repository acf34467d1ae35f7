//! `corelog group seek`: moving the committed offsets of a group without members.
//!
//! By default nothing is changed: the plan is printed, one line a partition. `--execute` carries it out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;
use super::client_args::ClientArgs;
use crate::client::consumer::{OffsetSpec, list_offset};
use crate::client::groups::{
    CommittedOffset, Committer, commit_offsets, committed_offsets, coordinator, find_group,
};
use crate::client::{Cluster, Connection, TopicInfo};
use crate::types::{Offset, Timestamp};

/// Lines that a file may have: far more than a group has partitions.
const LINES_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct SeekArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The group.
    group: String,
    /// The group need not be there: it is created with the offsets.
    #[arg(long)]
    create: bool,
    /// The topic.
    #[arg(short, long, required_unless_present = "from_file")]
    topic: Option<String>,
    /// Partitions, such as 0,3; all without it.
    #[arg(short, long, value_name = "PARTITION,...", value_delimiter = ',', requires = "topic")]
    partition: Vec<i32>,
    /// Where to: `start`, `end`, an offset, +N or -N from where the group is, or @MS for the first record
    /// that is not older (milliseconds since 1970; the end where there is none).
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true, value_parser = parse_target,
        required_unless_present = "from_file")]
    to: Option<Target>,
    /// A file of lines TOPIC,PARTITION,OFFSET, as `kafka-consumer-groups.sh --export` writes them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "partition", "to"])]
    from_file: Option<PathBuf>,
    /// Commit the offsets; without it, the plan is printed and nothing is changed.
    #[arg(long)]
    execute: bool,
}

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Start,
    End,
    At(i64),
    Shift(i64),
    Time(Timestamp),
}

fn parse_target(text: &str) -> Result<Target, String> {
    let expected = || format!("'{text}' is none of start, end, N, +N, -N and @MS");
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|&number| 0 <= number).ok_or_else(expected);
    match (text, text.split_at_checked(1)) {
        ("start" | "earliest", _) => Ok(Target::Start),
        ("end" | "latest", _) => Ok(Target::End),
        (_, Some(("+", count))) => number(count).map(Target::Shift),
        (_, Some(("-", count))) => number(count).map(|count| Target::Shift(-count)),
        (_, Some(("@", time))) => number(time).map(|time| Target::Time(Timestamp(time))),
        _ => number(text).map(Target::At),
    }
}

/// A partition with its offset before and after.
struct Move {
    from: Option<Offset>,
    to: CommittedOffset,
}

/// Plans, and carries out what was asked to be carried out; the text for the person who asked.
pub(super) async fn seek(args: SeekArgs) -> Result<String, CliError> {
    let cluster = args.client.connect().await?;
    let connection = coordinator(&cluster, &args.group).await?;
    if !args.create && find_group(&connection, &args.group).await?.is_none() {
        let group = &args.group;
        return Err(CliError::failed(format!(
            "group {group} is not there; `corelog group list` lists them, --create makes it"
        )));
    }
    let committed = committed_offsets(&connection, &args.group).await?;
    let current: BTreeMap<_, _> =
        committed.into_iter().map(|of| ((of.topic, of.partition), of.offset)).collect();
    let wanted = match (&args.from_file, &args.topic, args.to) {
        (Some(file), _, _) => from_file(file)?,
        (None, Some(topic), Some(target)) => {
            let topic = find_topic(&cluster, topic).await?;
            let partitions = topic.partitions_or_all(&args.partition);
            partitions.into_iter().map(|partition| (topic.name.clone(), partition, target)).collect()
        }
        _ => return Err(CliError::usage("--topic and --to, or --from-file, say where to")),
    };
    let mut moves = Vec::with_capacity(wanted.len());
    let mut topics: BTreeMap<String, TopicInfo> = BTreeMap::new();
    for (name, partition, target) in wanted {
        if !topics.contains_key(&name) {
            topics.insert(name.clone(), find_topic(&cluster, &name).await?);
        }
        let topic = &topics[&name];
        let leader = cluster.leader(topic, partition).await?;
        let from = current.get(&(name.clone(), partition)).copied();
        let offset = target_offset(&leader, &name, partition, target, from).await?;
        moves.push(Move { from, to: CommittedOffset { topic: name, partition, offset } });
    }
    if args.execute {
        let offsets: Vec<_> = moves.iter().map(|of| of.to.clone()).collect();
        commit_offsets(&connection, &args.group, &Committer::outside(), &offsets).await?;
    }
    Ok(shown(&moves, args.execute))
}

async fn find_topic(cluster: &Cluster, name: &str) -> Result<TopicInfo, CliError> {
    let found = cluster.find_topic(name, false).await?;
    found.ok_or_else(|| CliError::failed(format!("topic {name} is not there")))
}

fn from_file(file: &Path) -> Result<Vec<(String, i32, Target)>, CliError> {
    let text = fs::read_to_string(file)
        .map_err(|error| CliError::failed(format!("--from-file {}: {error}", file.display())))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut wanted = Vec::new();
    for (number, line) in lines.take(LINES_MAX) {
        let parsed = parse_line(line).ok_or_else(|| {
            let place = format!("{}:{}", file.display(), number + 1);
            CliError::failed(format!("{place}: '{line}' is not TOPIC,PARTITION,OFFSET"))
        })?;
        wanted.push(parsed);
    }
    Ok(wanted)
}

fn parse_line(line: &str) -> Option<(String, i32, Target)> {
    // Kafka's export has the topic in quotes where its name wants them.
    let fields: Vec<_> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let [topic, partition, offset] = fields[..] else { return None };
    let offset = offset.parse().ok().filter(|offset| 0_i64 <= *offset)?;
    Some((topic.to_owned(), partition.parse().ok().filter(|id| 0_i32 <= *id)?, Target::At(offset)))
}

/// The offset that a target means. One that was named and is not in the log is refused; a shift goes as far
/// as the log does.
async fn target_offset(
    leader: &Connection,
    topic: &str,
    partition: i32,
    target: Target,
    from: Option<Offset>,
) -> Result<Offset, CliError> {
    let offset = async |spec| list_offset(leader, topic, partition, spec).await;
    let start = offset(OffsetSpec::Earliest).await?.unwrap_or(Offset::ZERO);
    let end = offset(OffsetSpec::Latest).await?.unwrap_or(start);
    match target {
        Target::Start => Ok(start),
        Target::End => Ok(end),
        Target::Time(time) => Ok(offset(OffsetSpec::AtTime(time)).await?.unwrap_or(end)),
        Target::At(offset) if (start.0..=end.0).contains(&offset) => Ok(Offset(offset)),
        Target::At(offset) => Err(CliError::failed(format!(
            "offset {offset} is not in {topic}-{partition}, which has {start} to {end}"
        ))),
        Target::Shift(count) => {
            let from = from.ok_or_else(|| {
                CliError::failed(format!("the group has no offset of {topic}-{partition} to count from"))
            })?;
            Ok(Offset(from.0.saturating_add(count).clamp(start.0, end.0)))
        }
    }
}

fn shown(moves: &[Move], is_done: bool) -> String {
    let line = |of: &Move| {
        let from = of.from.map_or_else(|| "-".to_owned(), |from| from.to_string());
        let CommittedOffset { topic, partition, offset } = &of.to;
        format!("Topic: {topic}\tPartition: {partition}\tFrom: {from}\tTo: {offset}\n")
    };
    let mut text: String = moves.iter().map(line).collect();
    if !is_done {
        text.push_str("nothing is changed yet; --execute commits these offsets\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let cases = [
            ("start", Target::Start),
            ("latest", Target::End),
            ("0", Target::At(0)),
            ("+5", Target::Shift(5)),
            ("-5", Target::Shift(-5)),
            ("@1700000000000", Target::Time(Timestamp(1_700_000_000_000))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_target(text), Ok(expected), "{text}");
        }
        for bad in ["", "first", "--5", "+-5", "@", "@-1", "1.5", "5+", "ü"] {
            assert!(parse_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_read_as_kafka_exports_them() {
        let expected = Some(("orders".to_owned(), 3, Target::At(42)));
        assert_eq!(parse_line("orders,3,42"), expected);
        assert_eq!(parse_line("\"orders\", 3 ,42"), expected);
        for bad in ["orders,3", "orders,x,42", "orders,-1,42", "orders,3,-1", "orders,3,42,5", ""] {
            assert_eq!(parse_line(bad), None, "{bad}");
        }
    }
}
