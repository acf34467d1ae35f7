//! Keys of log directories, segments, retention, durability and compaction.

use super::{COMPRESSION_TYPES, keys};

keys! {
    /// Log directories, one per device. Unset: `log.dir`.
    "log.dirs" => list.nonempty();

    /// Log directories, when `log.dirs` is unset.
    "log.dir" => list.default("/tmp/kafka-logs").nonempty();

    /// Log directories that get no new partition; `*` for all.
    "cordoned.log.dirs" => list.default("").inert("every log directory takes new partitions");

    /// Partitions of a topic that is created without a count.
    "num.partitions" => int.default("1").at_least(1);

    /// Replicas of a topic that is created without a count.
    "default.replication.factor" => int.default("1");

    /// Whether asking for the metadata of a missing topic creates it.
    "auto.create.topics.enable" => boolean.default("true");

    /// Whether topics can be deleted.
    "delete.topic.enable" => boolean.default("true");

    /// A Java class that judges new topics.
    "create.topic.policy.class.name" => class.refused("a Java class cannot run here; remove the key");

    /// A Java class that judges changed configs.
    "alter.config.policy.class.name" => class.refused("a Java class cannot run here; remove the key");

    /// Replicas that must be in sync for a produce with acks=all.
    "min.insync.replicas" => int.default("1").at_least(1).cluster_wide();

    /// Whether a replica that was not in sync may become leader and lose records.
    "unclean.leader.election.enable" => boolean.default("false").cluster_wide();

    /// Largest record batch in bytes, after compression.
    "message.max.bytes" => int.default("1048588").at_least(0).cluster_wide();

    /// Codec that batches are stored with; `producer` keeps the one they came with.
    "compression.type" => text.default("producer").one_of(COMPRESSION_TYPES).cluster_wide();

    /// Level of gzip, 1 (fast) to 9 (small); -1 is gzip's own default.
    "compression.gzip.level" => int.default("-1").gzip_level().cluster_wide();

    /// Level of lz4, 1 (fast) to 17 (small).
    "compression.lz4.level" => int.default("9").between(1, 17).cluster_wide();

    /// Level of zstd, up to 22 (small); negative levels are faster.
    "compression.zstd.level" => int.default("3").between(-131_072, 22).cluster_wide();

    /// Size at which a segment rolls.
    "log.segment.bytes" => int.default("1073741824").at_least(1_048_576).cluster_wide();

    /// Age at which a segment rolls. Unset: `log.roll.hours`.
    "log.roll.ms" => long.cluster_wide();

    /// Age in hours at which a segment rolls, when `log.roll.ms` is unset.
    "log.roll.hours" => int.default("168").at_least(1);

    /// Most that a segment's roll is moved forward at random. Unset: `log.roll.jitter.hours`.
    "log.roll.jitter.ms" => long.cluster_wide();

    /// The same in hours, when `log.roll.jitter.ms` is unset.
    "log.roll.jitter.hours" => int
        .default("0").at_least(0);

    /// Age above which segments are deleted; -1 for no limit. Unset: `log.retention.minutes`.
    "log.retention.ms" => long.cluster_wide();

    /// The same in minutes, when `log.retention.ms` is unset. Unset: `log.retention.hours`.
    "log.retention.minutes" => int;

    /// The same in hours, when the other two are unset.
    "log.retention.hours" => int.default("168");

    /// Size of a partition above which its oldest segments are deleted; -1 for no limit.
    "log.retention.bytes" => long.default("-1").cluster_wide();

    /// How long after a start retention is first enforced.
    "log.initial.task.delay.ms" => long.default("30000").at_least(0);

    /// How often retention is enforced.
    "log.retention.check.interval.ms" => long.default("300000").at_least(1);

    /// Age of the local part of a tiered log; -2 for the whole retention.
    "log.local.retention.ms" => long.default("-2").at_least(-2).cluster_wide()
        .inert("there is no tiered storage");

    /// Size of the local part of a tiered log; -2 for the whole retention.
    "log.local.retention.bytes" => long.default("-2").at_least(-2).cluster_wide()
        .inert("there is no tiered storage");

    /// What happens to old segments: `delete`, `compact`, both or neither.
    "log.cleanup.policy" => list.default("delete").one_of(&["compact", "delete"]).cluster_wide();

    /// Largest offset or time index in bytes; a full index rolls its segment.
    "log.index.size.max.bytes" => int.default("10485760").at_least(4).cluster_wide();

    /// Bytes of log between two index entries.
    "log.index.interval.bytes" => int.default("4096").at_least(0).cluster_wide();

    /// How long a deleted segment's files stay.
    "log.segment.delete.delay.ms" => long.default("60000").at_least(0).cluster_wide();

    /// Records after which a partition is synced to disk.
    "log.flush.interval.messages" => long.default("9223372036854775807").at_least(1).cluster_wide();

    /// Longest time that a record stays unsynced. Unset: `log.flush.scheduler.interval.ms`.
    "log.flush.interval.ms" => long.cluster_wide();

    /// How often `log.flush.interval.ms` is looked at.
    "log.flush.scheduler.interval.ms" => long.default("9223372036854775807");

    /// How often recovery points are written.
    "log.flush.offset.checkpoint.interval.ms" => int.default("60000").at_least(0);

    /// How often log start offsets are written.
    "log.flush.start.offset.checkpoint.interval.ms" => int.default("60000").at_least(0);

    /// Whether a new segment's file is allocated at full size. No effect: segments grow as they are written.
    "log.preallocate" => boolean.default("false").cluster_wide();

    /// Whose clock stamps records: the producer's (CreateTime) or the broker's (LogAppendTime).
    "log.message.timestamp.type" => text
        .default("CreateTime").one_of(&["CreateTime", "LogAppendTime"]).cluster_wide();

    /// How far a record's timestamp may lie in the past.
    "log.message.timestamp.before.max.ms" => long.default("9223372036854775807").at_least(0).cluster_wide();

    /// How far a record's timestamp may lie in the future.
    "log.message.timestamp.after.max.ms" => long.default("3600000").at_least(0).cluster_wide();

    /// How long a broker may fail to tell its controller of a failed log directory.
    "log.dir.failure.timeout.ms" => long.default("30000").at_least(1)
        .inert("the controller runs inside this process");

    /// Kafka's recovery threads.
    "num.recovery.threads.per.data.dir" => int.default("2").at_least(1).cluster_wide()
        .inert("shards recover their own directories in parallel");

    /// Kafka's threads for moves between log directories.
    "num.replica.alter.log.dirs.threads" => int.inert("the shards do it");

    /// Whether compaction runs. Deprecated: Kafka 5 will ignore it.
    "log.cleaner.enable" => boolean.default("true");

    /// Kafka's compaction threads.
    "log.cleaner.threads" => int.default("1").at_least(0).cluster_wide()
        .inert("each shard compacts its own partitions");

    /// Bound of the cleaner's reads and writes.
    "log.cleaner.io.max.bytes.per.second" => double.default("1.7976931348623157E308").cluster_wide();

    /// Memory for the offsets of keys while compacting, all shards together.
    "log.cleaner.dedupe.buffer.size" => long.default("134217728").cluster_wide();

    /// Kafka's memory for reads and writes while compacting.
    "log.cleaner.io.buffer.size" => int.default("524288").at_least(0).cluster_wide()
        .inert("each shard reads up to 1 MiB and writes 512 KiB at a time");

    /// How full the table of keys may get.
    "log.cleaner.io.buffer.load.factor" => double.default("0.9").cluster_wide();

    /// Pause when there is nothing to compact.
    "log.cleaner.backoff.ms" => long.default("15000").at_least(0).cluster_wide();

    /// Share of a log that must be dirty before it is compacted.
    "log.cleaner.min.cleanable.ratio" => double.default("0.5").fraction().cluster_wide();

    /// How long tombstones and transaction markers outlive compaction.
    "log.cleaner.delete.retention.ms" => long.default("86400000").at_least(0).cluster_wide();

    /// Age that a record must reach before it may be compacted.
    "log.cleaner.min.compaction.lag.ms" => long.default("0").at_least(0).cluster_wide();

    /// Age at which a record must be compacted.
    "log.cleaner.max.compaction.lag.ms" => long.default("9223372036854775807").at_least(1).cluster_wide();
}
