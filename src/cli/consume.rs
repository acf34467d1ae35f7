//! `corelog consume`: prints the records of partitions.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::Range;

use clap::Args;

use super::CliError;
use super::client_args::{ClientArgs, on_executor};
use super::consume_group;
use super::format::{Format, Place, as_json};
use super::output::written;
use crate::client::consumer::{FetchOptions, OffsetSpec, fetch, list_offset};
use crate::client::{Cluster, Refusal, TopicInfo, retrying};
use crate::record::RecordError;
use crate::record::batch::{Batches, crc_matches};
use crate::record::records::{Record, RecordIter};
use crate::types::{Offset, Timestamp};
use crate::wire::reply::FetchedPartition;

#[derive(Debug, Args)]
pub(super) struct ConsumeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The topic.
    topic: String,
    /// Partitions to read, such as 0,3; all without it.
    #[arg(short, long, alias = "partitions", value_name = "PARTITION,...", value_delimiter = ',')]
    partition: Vec<i32>,
    /// Where to begin: `earliest`, `latest`, an offset, -N for the last N of each partition, or @MS for the
    /// first record that is not older (milliseconds since 1970).
    #[arg(short, long, default_value = "earliest", allow_hyphen_values = true, value_parser = parse_start)]
    offset: Start,
    /// End after this many records.
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Wait for new records at the end instead of ending.
    #[arg(short = 'F', long)]
    follow: bool,
    /// Read as a member of this group, from its committed offsets on and from --offset where there is none:
    /// waits for new records, commits as it goes, and leaves with the first Ctrl-C.
    #[arg(short, long, value_name = "GROUP", conflicts_with_all = ["partition", "follow"])]
    group: Option<String>,
    /// How to print a record: %t topic, %p partition, %o offset, %k key, %v value, %K and %S their lengths,
    /// %h headers, %T timestamp; \n, \t and \xHH as in C.
    #[arg(short, long, value_name = "PATTERN", default_value = "%v\\n", value_parser = Format::parse)]
    format: Format,
    /// Print each record as a line of JSON.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Place(OffsetSpec),
    Offset(i64),
    FromEnd(i64),
}

fn parse_start(text: &str) -> Result<Start, String> {
    let expected = || format!("'{text}' is no place to begin; expected earliest, latest, N, -N or @MS");
    match text {
        "earliest" | "beginning" => return Ok(Start::Place(OffsetSpec::Earliest)),
        "latest" | "end" => return Ok(Start::Place(OffsetSpec::Latest)),
        _ => {}
    }
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|&number| 0 <= number).ok_or_else(expected);
    if let Some(time) = text.strip_prefix('@') {
        return Ok(Start::Place(OffsetSpec::AtTime(Timestamp(number(time)?))));
    }
    match text.strip_prefix('-') {
        Some(count) => Ok(Start::FromEnd(number(count)?)),
        None => Ok(Start::Offset(number(text)?)),
    }
}

/// Reads to the end, to the count, or for ever.
pub(super) fn run(args: ConsumeArgs) -> Result<(), CliError> {
    on_executor(async move || {
        let cluster = args.client.connect().await?;
        let Some(topic) = cluster.find_topic(&args.topic, false).await? else {
            let name = &args.topic;
            return Err(CliError::failed(format!(
                "topic {name} is not there; `corelog topic list` lists them"
            )));
        };
        let group = args.group.clone();
        let consuming = Consuming {
            cluster,
            topic,
            cursors: BTreeMap::new(),
            left: args.count,
            follows: args.follow,
            args,
        };
        match group {
            None => consuming.run().await,
            Some(group) => consume_group::run(consuming, &group).await,
        }
    })
}

/// Where reading stands, by partition.
pub(super) struct Cursor {
    pub(super) next: Offset,
    /// Where to stop, unless following.
    end: Offset,
}

/// What is read, and how far.
pub(super) struct Consuming {
    pub(super) cluster: Cluster,
    pub(super) topic: TopicInfo,
    pub(super) cursors: BTreeMap<i32, Cursor>,
    /// Records that are still to be printed, if they are counted.
    pub(super) left: Option<u64>,
    /// Whether to wait for new records.
    pub(super) follows: bool,
    pub(super) args: ConsumeArgs,
}

/// What one round of fetches has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// There may be more.
    Read,
    /// Nothing is left to read.
    Done,
    /// Nobody reads what is printed.
    Unread,
}

impl Consuming {
    const FETCH: FetchOptions =
        FetchOptions { max_wait_ms: 500, min_bytes: 1, max_bytes: 8 << 20, partition_max_bytes: 1 << 20 };

    async fn run(mut self) -> Result<(), CliError> {
        for partition in self.topic.partitions_or_all(&self.args.partition) {
            let cursor = self.cursor(partition, None).await?;
            self.cursors.insert(partition, cursor);
        }
        let mut out = BufWriter::new(io::stdout().lock());
        while self.read(&mut out).await? == Round::Read {}
        Ok(())
    }

    /// Where to begin with a partition: at the offset that is committed, or else as the arguments say.
    pub(super) async fn cursor(&self, partition: i32, committed: Option<Offset>) -> Result<Cursor, CliError> {
        let topic = &self.topic;
        let leader = self.cluster.leader(topic, partition).await?;
        let offset =
            async |spec| retrying(async || list_offset(&leader, &topic.name, partition, spec).await).await;
        let earliest = offset(OffsetSpec::Earliest).await?.unwrap_or(Offset::ZERO);
        let end = offset(OffsetSpec::Latest).await?.unwrap_or(Offset::ZERO);
        let next = match (committed, self.args.offset) {
            (Some(committed), _) => self.nearest(partition, committed, earliest..end),
            (None, Start::Place(spec)) => offset(spec).await?.unwrap_or(end),
            (None, Start::Offset(offset)) => self.nearest(partition, Offset(offset), earliest..end),
            (None, Start::FromEnd(count)) => Offset(end.0.saturating_sub(count)).max(earliest),
        };
        Ok(Cursor { next, end })
    }

    /// Where to begin for an offset that was named: there, or at the end of the log that is nearest to it.
    fn nearest(&self, partition: i32, named: Offset, log: Range<Offset>) -> Offset {
        let Range { start, end } = log;
        let next = named.max(start).min(end);
        if next != named {
            eprintln!(
                "{}-{partition}: offset {named} is not there, the log begins at {start} and ends at {end}; \
                 reading begins at {next}",
                self.topic.name
            );
        }
        next
    }

    /// Fetches once from every leader and prints what comes.
    pub(super) async fn read(&mut self, out: &mut impl Write) -> Result<Round, CliError> {
        let by_leader = self.open_by_leader();
        if by_leader.is_empty() || self.left == Some(0) {
            return written(out.flush()).map(|_| Round::Done);
        }
        for (leader, partitions) in by_leader {
            let leader = self.cluster.broker(leader).await?;
            let asked: Vec<_> = partitions
                .iter()
                .map(|partition| (self.topic.name.as_str(), *partition, self.cursors[partition].next))
                .collect();
            for part in fetch(&leader, &asked, Self::FETCH).await? {
                if !self.print(out, &part)? {
                    return Ok(Round::Unread);
                }
            }
        }
        Ok(if written(out.flush())? { Round::Read } else { Round::Unread })
    }

    /// The partitions that have something left to read, by leader.
    fn open_by_leader(&self) -> BTreeMap<i32, Vec<i32>> {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for info in &self.topic.partitions {
            let cursor = self.cursors.get(&info.partition);
            if cursor.is_some_and(|cursor| self.follows || cursor.next < cursor.end) {
                by_leader.entry(info.leader).or_default().push(info.partition);
            }
        }
        by_leader
    }

    /// Prints a partition's records; false when nobody reads them any more.
    fn print(&mut self, out: &mut impl Write, part: &FetchedPartition) -> Result<bool, CliError> {
        let name = format!("{}-{}", self.topic.name, part.partition);
        if let Some(refusal) = Refusal::from_response(part.error_code, None) {
            let next = self.cursors.get(&part.partition).map_or(Offset::UNKNOWN, |cursor| cursor.next);
            return Err(CliError::failed(format!("fetch {name} at offset {next}: {refusal}")));
        }
        let Some(cursor) = self.cursors.get_mut(&part.partition) else { return Ok(true) };
        let place = Place { topic: &self.topic.name, partition: part.partition };
        for batch in Batches::new(&part.records) {
            let (position, header, bytes) = match batch {
                Ok(batch) => batch,
                // The last batch of an answer may be cut; it comes whole with the next.
                Err(RecordError::Truncated { .. }) => break,
                Err(error) => return Err(CliError::failed(format!("{name} at {}: {error}", cursor.next))),
            };
            let broken = |error: String| {
                CliError::failed(format!(
                    "{name}: the batch at offset {} is broken: {error}",
                    header.base_offset
                ))
            };
            if !crc_matches(bytes) {
                return Err(broken("its CRC does not match".to_owned()));
            }
            if !header.attributes.is_control() {
                let batch = part.records.slice(position..position + bytes.len());
                for record in RecordIter::new(&batch).map_err(|error| broken(error.to_string()))? {
                    let record = record.map_err(|error| broken(error.to_string()))?;
                    let is_due = cursor.next <= record.offset && (self.follows || record.offset < cursor.end);
                    if !is_due {
                        continue;
                    }
                    if self.left == Some(0) {
                        // What is not printed is not read: a group goes on from here.
                        return Ok(true);
                    }
                    self.left = self.left.map(|left| left - 1);
                    if !written(write_record(out, &self.args, place, &record))? {
                        return Ok(false);
                    }
                    cursor.next = record.offset + 1;
                }
            }
            cursor.next = cursor.next.max(header.next_offset());
        }
        Ok(true)
    }
}

fn write_record(
    out: &mut impl Write,
    args: &ConsumeArgs,
    place: Place<'_>,
    record: &Record,
) -> io::Result<()> {
    match args.json {
        true => writeln!(out, "{}", as_json(place, record)),
        false => args.format.write(out, place, record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_are_read() {
        let cases = [
            ("earliest", Start::Place(OffsetSpec::Earliest)),
            ("end", Start::Place(OffsetSpec::Latest)),
            ("0", Start::Offset(0)),
            ("-10", Start::FromEnd(10)),
            ("@1700000000000", Start::Place(OffsetSpec::AtTime(Timestamp(1_700_000_000_000)))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_start(text), Ok(expected), "{text}");
        }
        for bad in ["", "first", "--1", "@x", "@-1", "1.5"] {
            assert!(parse_start(bad).is_err(), "{bad}");
        }
    }
}
