//! Keys of replication and fetching.

use super::keys;

keys! {
    /// Kafka's fetcher threads per source broker.
    "num.replica.fetchers" => int.default("1").at_least(1).cluster_wide()
        .inert("one fetcher per source broker and shard");

    /// How long a follower may lag before it leaves the in-sync set.
    "replica.lag.time.max.ms" => long.default("30000");

    /// How long a replica's request waits for its answer.
    "replica.socket.timeout.ms" => int.default("30000");

    /// SO_RCVBUF of replication connections.
    "replica.socket.receive.buffer.bytes" => int.default("65536");

    /// Bytes a replica asks for per partition.
    "replica.fetch.max.bytes" => int.default("1048576").at_least(0);

    /// How long a replica's fetch may wait for records.
    "replica.fetch.wait.max.ms" => int.default("500");

    /// Pause after a replica's fetch failed.
    "replica.fetch.backoff.ms" => int.default("1000").at_least(0);

    /// Bytes a replica's fetch waits for.
    "replica.fetch.min.bytes" => int.default("1");

    /// Bytes a replica asks for in all.
    "replica.fetch.response.max.bytes" => int.default("10485760").at_least(0);

    /// How often high watermarks are written to disk.
    "replica.high.watermark.checkpoint.interval.ms" => long.default("5000");

    /// How a consumer's nearest replica is chosen.
    "replica.selector.class" => text.inert("one node has one replica");

    /// Whether leadership goes back to preferred replicas by itself.
    "auto.leader.rebalance.enable" => boolean.default("true").inert("one node has one replica");

    /// How often leadership is looked at for imbalance.
    "leader.imbalance.check.interval.seconds" => long.default("300").at_least(1)
        .inert("one node has one replica");

    /// Whether leadership moves away before a broker stops.
    "controlled.shutdown.enable" => boolean.default("true").inert("one node has one replica");

    /// How long a request to the controller waits for its answer.
    "controller.socket.timeout.ms" => int.default("30000").inert("the controller runs inside this process");

    /// Finished fetches that Kafka lets pile up before a purge.
    "fetch.purgatory.purge.interval.requests" => int.default("1000").inert("finished requests leave at once");

    /// Finished produces that Kafka lets pile up before a purge.
    "producer.purgatory.purge.interval.requests" => int.default("1000")
        .inert("finished requests leave at once");

    /// Finished DeleteRecords that Kafka lets pile up before a purge.
    "delete.records.purgatory.purge.interval.requests" => int.default("1")
        .inert("finished requests leave at once");

    /// Most bytes in the answer to one fetch.
    "fetch.max.bytes" => int.default("57671680").at_least(1_024);

    /// Fetch sessions that are kept; each shard takes its part.
    "max.incremental.fetch.session.cache.slots" => int.default("1000").at_least(0);

    /// Most partitions in one answer to DescribeTopicPartitions.
    "max.request.partition.size.limit" => int.default("2000").at_least(1);
}
