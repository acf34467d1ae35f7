//! DescribeLogDirs: the directory of every shard, with what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::offsets::unreachable_reply;
use crate::server::Server;
use crate::shard::{DescribedLog, DescribedLogDir, ShardReply, ShardRequest};
use crate::types::{ErrorCode, ShardId};

/// The partitions that are asked about, by topic; `None` asks about all.
type Asked = Option<BTreeMap<String, BTreeSet<i32>>>;

impl Server {
    pub(in crate::server) async fn describe_log_dirs(
        &self,
        request: DescribeLogDirsRequest,
    ) -> DescribeLogDirsResponse {
        let asked: Asked = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.topic.to_string(), topic.partitions.into_iter().collect()))
                .collect()
        });
        let dirs = self.all_log_dirs().await;
        let results = dirs.into_iter().map(|dir| described_dir(dir, &asked)).collect();
        DescribeLogDirsResponse::default().with_results(results)
    }

    /// The directories of every shard, by path; each shard knows its own only.
    pub(super) async fn all_log_dirs(&self) -> Vec<DescribedLogDir> {
        let shards = (0..self.shard().shard_count()).map(|shard| ShardId(shard as u16));
        let asking: Vec<_> = shards.map(|shard| self.shard().ask(shard, ShardRequest::LogDirs)).collect();
        let mut dirs = Vec::new();
        for reply in asking {
            match reply.await {
                Some(ShardReply::LogDirs(described)) => dirs.extend(described),
                Some(_) => unreachable_reply("LogDirs"),
                // It is stopping, and its directories with it.
                None => {}
            }
        }
        dirs.sort_by(|left, right| left.path.cmp(&right.path));
        dirs
    }
}

fn described_dir(dir: DescribedLogDir, asked: &Asked) -> DescribeLogDirsResult {
    // Kafka's tools name directories by their absolute paths.
    let path = path::absolute(&dir.path).unwrap_or(dir.path);
    let result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(path.to_string_lossy().into_owned()));
    let space = match dir.space {
        Ok(space) => space,
        Err(error) => {
            tracing::debug!(target: "server", dir = %path.display(), %error, "cannot be described");
            return result.with_error_code(ErrorCode::KafkaStorageError.code());
        }
    };
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for log in dir.logs.iter().filter(|log| is_asked_for(log, asked)) {
        let name = WireTopicName(StrBytes::from_string(log.name.topic.to_string()));
        let partition = DescribeLogDirsPartition::default()
            .with_partition_index(log.name.partition)
            .with_partition_size(signed(log.size_bytes));
        // Logs come in the order of their topics.
        match topics.last_mut().filter(|last| last.name == name) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                topics.push(DescribeLogDirsTopic::default().with_name(name).with_partitions(vec![partition]))
            }
        }
    }
    result
        .with_topics(topics)
        .with_total_bytes(signed(space.total_bytes))
        .with_usable_bytes(signed(space.usable_bytes))
}

fn is_asked_for(log: &DescribedLog, asked: &Asked) -> bool {
    let Some(asked) = asked else { return true };
    asked.get(log.name.topic.as_str()).is_some_and(|partitions| partitions.contains(&log.name.partition))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
