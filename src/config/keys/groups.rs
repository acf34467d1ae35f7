//! Keys of the coordinators of consumer, share and streams groups.

use super::keys;

keys! {
    /// Group protocols that are served.
    "group.coordinator.rebalance.protocols" => list
        .default("classic,consumer,streams").one_of(&["classic", "consumer", "streams"]).nonempty();

    /// Kafka's coordinator threads.
    "group.coordinator.threads" => int.default("4").at_least(1)
        .inert("each shard coordinates the groups whose offsets partition it owns");

    /// Kafka's coordinator background threads.
    "group.coordinator.background.threads" => int.default("2").at_least(1)
        .inert("each shard coordinates the groups whose offsets partition it owns");

    /// How long a coordinator gathers records before it writes them; -1 adapts.
    "group.coordinator.append.linger.ms" => int.default("-1").at_least(-1)
        .inert("what gathers while a write is in flight goes out together");

    /// Largest append buffer that a coordinator keeps.
    "group.coordinator.cached.buffer.max.bytes" => int.default("1048588").at_least(524_288).cluster_wide()
        .inert("each batch of a coordinator has a buffer of its own size");

    /// How long a commit of offsets may wait for replicas.
    "offsets.commit.timeout.ms" => int.default("5000").at_least(1);

    /// Bytes read at a time while offsets are loaded.
    "offsets.load.buffer.size" => int.default("5242880").at_least(1)
        .inert("offsets are loaded in reads of 4 MiB");

    /// Replicas of `__consumer_offsets`. Unset: as many as there are brokers, up to the default.
    "offsets.topic.replication.factor" => short.default("3").at_least(1);

    /// Partitions of `__consumer_offsets`; fixed once the topic exists.
    "offsets.topic.num.partitions" => int.default("50").at_least(1);

    /// Size at which segments of `__consumer_offsets` roll.
    "offsets.topic.segment.bytes" => int.default("104857600").at_least(1);

    /// Codec of `__consumer_offsets`, by Kafka's number.
    "offsets.topic.compression.codec" => int.default("0").between(0, 4);

    /// Most bytes of text beside a committed offset.
    "offset.metadata.max.bytes" => int.default("4096");

    /// How long the offsets of an empty group are kept.
    "offsets.retention.minutes" => int.default("10080").at_least(1);

    /// How often old offsets are looked for.
    "offsets.retention.check.interval.ms" => long.default("600000").at_least(1);

    /// Shortest session timeout that a classic member may ask for.
    "group.min.session.timeout.ms" => int.default("6000");

    /// Longest session timeout that a classic member may ask for.
    "group.max.session.timeout.ms" => int.default("1800000");

    /// How long a new classic group waits for more members.
    "group.initial.rebalance.delay.ms" => int.default("3000");

    /// Most members of a classic group.
    "group.max.size" => int.default("2147483647").at_least(1);

    /// Silence after which a consumer-group member is removed.
    "group.consumer.session.timeout.ms" => int.default("45000").at_least(1);

    /// Least `consumer.session.timeout.ms` of a group.
    "group.consumer.min.session.timeout.ms" => int.default("45000").at_least(1);

    /// Greatest `consumer.session.timeout.ms` of a group.
    "group.consumer.max.session.timeout.ms" => int.default("60000").at_least(1);

    /// How often a consumer-group member reports.
    "group.consumer.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Least `consumer.heartbeat.interval.ms` of a group.
    "group.consumer.min.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Greatest `consumer.heartbeat.interval.ms` of a group.
    "group.consumer.max.heartbeat.interval.ms" => int.default("15000").at_least(1);

    /// Most members of a consumer group.
    "group.consumer.max.size" => int.default("2147483647").at_least(1);

    /// Assignors of consumer groups, by Kafka's names or the names of its classes; the first is the default.
    "group.consumer.assignors" => list.default("uniform,range").one_of(&[
        "uniform",
        "range",
        "org.apache.kafka.coordinator.group.assignor.UniformAssignor",
        "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
    ]).nonempty();

    /// Which ways a group may change between classic and consumer protocol.
    "group.consumer.migration.policy" => text
        .default("bidirectional").one_of(&["bidirectional", "upgrade", "downgrade", "disabled"]);

    /// Least time between two assignments of a consumer group.
    "group.consumer.assignment.interval.ms" => int.default("1000").at_least(0).cluster_wide();

    /// Least `consumer.assignment.interval.ms` of a group.
    "group.consumer.min.assignment.interval.ms" => int.default("0").at_least(0);

    /// Greatest `consumer.assignment.interval.ms` of a group.
    "group.consumer.max.assignment.interval.ms" => int.default("15000").at_least(0);

    /// Silence after which a share-group member is removed.
    "group.share.session.timeout.ms" => int.default("45000").at_least(1);

    /// Least `share.session.timeout.ms` of a group.
    "group.share.min.session.timeout.ms" => int.default("45000").at_least(1);

    /// Greatest `share.session.timeout.ms` of a group.
    "group.share.max.session.timeout.ms" => int.default("60000").at_least(1);

    /// How often a share-group member reports.
    "group.share.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Least `share.heartbeat.interval.ms` of a group.
    "group.share.min.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Greatest `share.heartbeat.interval.ms` of a group.
    "group.share.max.heartbeat.interval.ms" => int.default("15000").at_least(1);

    /// Most members of a share group.
    "group.share.max.size" => int.default("200").between(1, 1_000);

    /// Assignors of share groups.
    "group.share.assignors" => list.default("simple").nonempty();

    /// Least time between two assignments of a share group.
    "group.share.assignment.interval.ms" => int.default("1000").at_least(0).cluster_wide();

    /// Least `share.assignment.interval.ms` of a group.
    "group.share.min.assignment.interval.ms" => int.default("0").at_least(0);

    /// Greatest `share.assignment.interval.ms` of a group.
    "group.share.max.assignment.interval.ms" => int.default("15000").at_least(0);

    /// Deliveries after which a share group archives a record.
    "group.share.delivery.count.limit" => int.default("5").between(2, 10);

    /// Greatest `share.delivery.count.limit` of a group.
    "group.share.max.delivery.count.limit" => int.default("10").between(5, 25);

    /// Least `share.delivery.count.limit` of a group.
    "group.share.min.delivery.count.limit" => int.default("2").between(2, 5);

    /// How long a record belongs to the share consumer that got it.
    "group.share.record.lock.duration.ms" => int.default("30000").between(1_000, 3_600_000);

    /// Least `share.record.lock.duration.ms` of a group.
    "group.share.min.record.lock.duration.ms" => int.default("15000").between(1_000, 30_000);

    /// Greatest `share.record.lock.duration.ms` of a group.
    "group.share.max.record.lock.duration.ms" => int.default("60000").between(30_000, 3_600_000);

    /// Most records of a partition that share consumers hold at once.
    "group.share.partition.max.record.locks" => int.default("2000").between(100, 10_000);

    /// Greatest `share.partition.max.record.locks` of a group.
    "group.share.max.partition.max.record.locks" => int.default("4000").between(2_000, 10_000);

    /// Least `share.partition.max.record.locks` of a group.
    "group.share.min.partition.max.record.locks" => int.default("100").between(100, 2_000);

    /// Share sessions that are kept.
    "group.share.max.share.sessions" => int.default("2000").at_least(1);

    /// Finished share fetches that Kafka lets pile up before a purge.
    "share.fetch.purgatory.purge.interval.requests" => int.default("1000")
        .inert("finished requests leave at once");

    /// Kafka's share coordinator threads.
    "share.coordinator.threads" => int.default("1").at_least(1)
        .inert("each shard coordinates the groups whose state partition it owns");

    /// Partitions of `__share_group_state`; fixed once the topic exists.
    "share.coordinator.state.topic.num.partitions" => int.default("50").at_least(1);

    /// Replicas of `__share_group_state`.
    "share.coordinator.state.topic.replication.factor" => short.default("3").at_least(1);

    /// `min.insync.replicas` of `__share_group_state`.
    "share.coordinator.state.topic.min.isr" => short.default("2").at_least(1);

    /// Size at which segments of `__share_group_state` roll.
    "share.coordinator.state.topic.segment.bytes" => int.default("104857600").at_least(1);

    /// Codec of `__share_group_state`, by Kafka's number.
    "share.coordinator.state.topic.compression.codec" => int.default("0");

    /// Updates between two snapshots of a share partition.
    "share.coordinator.snapshot.update.records.per.snapshot" => int.default("500").between(0, 500);

    /// Bytes read at a time while share state is loaded.
    "share.coordinator.load.buffer.size" => int.default("5242880").at_least(1);

    /// How long the share coordinator gathers records; -1 adapts.
    "share.coordinator.append.linger.ms" => int.default("-1").at_least(-1);

    /// How long a write of share state may wait for replicas.
    "share.coordinator.write.timeout.ms" => int.default("5000").at_least(1);

    /// Largest append buffer that the share coordinator keeps.
    "share.coordinator.cached.buffer.max.bytes" => int.default("1048588").at_least(524_288).cluster_wide()
        .inert("there are no share groups yet");

    /// Silence after which a streams-group member is removed.
    "group.streams.session.timeout.ms" => int.default("45000").at_least(1);

    /// Least `streams.session.timeout.ms` of a group.
    "group.streams.min.session.timeout.ms" => int.default("45000").at_least(1);

    /// Greatest `streams.session.timeout.ms` of a group.
    "group.streams.max.session.timeout.ms" => int.default("60000").at_least(1);

    /// How often a streams-group member reports.
    "group.streams.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Least `streams.heartbeat.interval.ms` of a group.
    "group.streams.min.heartbeat.interval.ms" => int.default("5000").at_least(1);

    /// Greatest `streams.heartbeat.interval.ms` of a group.
    "group.streams.max.heartbeat.interval.ms" => int.default("15000").at_least(1);

    /// Most members of a streams group.
    "group.streams.max.size" => int.default("2147483647").at_least(1);

    /// Standby copies of each stateful task.
    "group.streams.num.standby.replicas" => int.default("0").at_least(0);

    /// Greatest `streams.num.standby.replicas` of a group.
    "group.streams.max.standby.replicas" => int.default("2").at_least(0);

    /// How long a new streams group waits for more members.
    "group.streams.initial.rebalance.delay.ms" => int.default("3000").at_least(0);

    /// Least time between two assignments of a streams group.
    "group.streams.assignment.interval.ms" => int.default("1000").at_least(0).cluster_wide();

    /// Least `streams.assignment.interval.ms` of a group.
    "group.streams.min.assignment.interval.ms" => int.default("0").at_least(0);

    /// Greatest `streams.assignment.interval.ms` of a group.
    "group.streams.max.assignment.interval.ms" => int.default("15000").at_least(0);
}
