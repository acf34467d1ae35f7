//! Keys that a topic can override, and the broker keys they fall back on (`ServerTopicConfigSynonyms`).

use super::{COMPRESSION_TYPES, DURABILITIES, keys};
use crate::config::key::Synonym;

const fn same_unit(broker_key: &'static str) -> Synonym {
    Synonym { broker_key, factor: 1 }
}

const fn minutes(broker_key: &'static str) -> Synonym {
    Synonym { broker_key, factor: 60_000 }
}

const fn hours(broker_key: &'static str) -> Synonym {
    Synonym { broker_key, factor: 3_600_000 }
}

keys! {
    /// What happens to old segments: `delete`, `compact`, both or neither.
    "cleanup.policy" => list.default("delete").one_of(&["compact", "delete"])
        .synonyms(&[same_unit("log.cleanup.policy")]);

    /// Codec that batches are stored with; `producer` keeps the one they came with.
    "compression.type" => text.default("producer").one_of(COMPRESSION_TYPES)
        .synonyms(&[same_unit("compression.type")]);

    /// Level of gzip, 1 (fast) to 9 (small); -1 is gzip's own default.
    "compression.gzip.level" => int.default("-1").gzip_level()
        .synonyms(&[same_unit("compression.gzip.level")]);

    /// Level of lz4, 1 (fast) to 17 (small).
    "compression.lz4.level" => int.default("9").between(1, 17)
        .synonyms(&[same_unit("compression.lz4.level")]);

    /// Level of zstd, up to 22 (small); negative levels are faster.
    "compression.zstd.level" => int.default("3").between(-131_072, 22)
        .synonyms(&[same_unit("compression.zstd.level")]);

    /// How long tombstones and transaction markers outlive compaction.
    "delete.retention.ms" => long.default("86400000").at_least(0)
        .synonyms(&[same_unit("log.cleaner.delete.retention.ms")]);

    /// How long a deleted segment's files stay.
    "file.delete.delay.ms" => long.default("60000").at_least(0)
        .synonyms(&[same_unit("log.segment.delete.delay.ms")]);

    /// Records after which the partition is synced to disk.
    "flush.messages" => long.default("9223372036854775807").at_least(1)
        .synonyms(&[same_unit("log.flush.interval.messages")]);

    /// Longest time that a record stays unsynced.
    "flush.ms" => long.default("9223372036854775807").at_least(0)
        .synonyms(&[same_unit("log.flush.interval.ms"), same_unit("log.flush.scheduler.interval.ms")]);

    /// Replicas whose following is throttled, as `partition:broker`; `*` for all.
    "follower.replication.throttled.replicas" => list.default("");

    /// Bytes of log between two index entries.
    "index.interval.bytes" => int.default("4096").at_least(0)
        .synonyms(&[same_unit("log.index.interval.bytes")]);

    /// Replicas whose leading is throttled, as `partition:broker`; `*` for all.
    "leader.replication.throttled.replicas" => list.default("");

    /// Size of the local part of a tiered log; -2 for the whole retention.
    "local.retention.bytes" => long.default("-2").at_least(-2)
        .synonyms(&[same_unit("log.local.retention.bytes")]);

    /// Age of the local part of a tiered log; -2 for the whole retention.
    "local.retention.ms" => long.default("-2").at_least(-2).synonyms(&[same_unit("log.local.retention.ms")]);

    /// Age at which a record must be compacted.
    "max.compaction.lag.ms" => long.default("9223372036854775807").at_least(1)
        .synonyms(&[same_unit("log.cleaner.max.compaction.lag.ms")]);

    /// Largest record batch in bytes, after compression.
    "max.message.bytes" => int.default("1048588").at_least(0).synonyms(&[same_unit("message.max.bytes")]);

    /// How far a record's timestamp may lie in the future.
    "message.timestamp.after.max.ms" => long.default("3600000").at_least(0)
        .synonyms(&[same_unit("log.message.timestamp.after.max.ms")]);

    /// How far a record's timestamp may lie in the past.
    "message.timestamp.before.max.ms" => long.default("9223372036854775807").at_least(0)
        .synonyms(&[same_unit("log.message.timestamp.before.max.ms")]);

    /// Whose clock stamps records: the producer's (CreateTime) or the broker's (LogAppendTime).
    "message.timestamp.type" => text.default("CreateTime").one_of(&["CreateTime", "LogAppendTime"])
        .synonyms(&[same_unit("log.message.timestamp.type")]);

    /// Share of a log that must be dirty before it is compacted.
    "min.cleanable.dirty.ratio" => double.default("0.5").fraction()
        .synonyms(&[same_unit("log.cleaner.min.cleanable.ratio")]);

    /// Age that a record must reach before it may be compacted.
    "min.compaction.lag.ms" => long.default("0").at_least(0)
        .synonyms(&[same_unit("log.cleaner.min.compaction.lag.ms")]);

    /// Replicas that must be in sync for a produce with acks=all.
    "min.insync.replicas" => int.default("1").at_least(1).synonyms(&[same_unit("min.insync.replicas")]);

    /// Whether a new segment's file is allocated at full size. No effect: segments grow as they are written.
    "preallocate" => boolean.default("false").synonyms(&[same_unit("log.preallocate")]);

    /// Whether a tiered topic stops copying to the remote store.
    "remote.log.copy.disable" => boolean.default("false");

    /// Whether turning tiering off deletes the remote data.
    "remote.log.delete.on.disable" => boolean.default("false");

    /// Whether the topic is tiered.
    "remote.storage.enable" => boolean.default("false");

    /// Size of a partition above which its oldest segments are deleted; -1 for no limit.
    "retention.bytes" => long.default("-1").synonyms(&[same_unit("log.retention.bytes")]);

    /// Age above which segments are deleted; -1 for no limit.
    "retention.ms" => long.default("604800000").at_least(-1)
        .synonyms(&[
            same_unit("log.retention.ms"),
            minutes("log.retention.minutes"),
            hours("log.retention.hours"),
        ]);

    /// Size at which a segment rolls.
    "segment.bytes" => int.default("1073741824").at_least(1_048_576)
        .synonyms(&[same_unit("log.segment.bytes")]);

    /// Largest offset or time index in bytes; a full index rolls its segment.
    "segment.index.bytes" => int.default("10485760").at_least(4)
        .synonyms(&[same_unit("log.index.size.max.bytes")]);

    /// Most that a segment's roll is moved forward at random.
    "segment.jitter.ms" => long.default("0").at_least(0)
        .synonyms(&[same_unit("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]);

    /// Age at which a segment rolls.
    "segment.ms" => long.default("604800000").at_least(1)
        .synonyms(&[same_unit("log.roll.ms"), hours("log.roll.hours")]);

    /// Whether a replica that was not in sync may become leader and lose records.
    "unclean.leader.election.enable" => boolean.default("false")
        .synonyms(&[same_unit("unclean.leader.election.enable")]);

    /// Size at which a segment rolls, without the bound of `segment.bytes`. For tests.
    "internal.segment.bytes" => int;

    /// What `acks=all` waits for: `synced` on the device, or `written` to the kernel as Kafka does.
    "corelog.acks.durability" => text.default("synced").one_of(DURABILITIES)
        .synonyms(&[same_unit("corelog.acks.durability")]);
}
