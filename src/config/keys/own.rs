//! Corelog's own keys.

use super::{DURABILITIES, keys};

keys! {
    /// CPUs that run a shard each, such as `0-3,6`; `all` for those of the process's affinity mask.
    "corelog.cpus" => text.default("all");

    /// Number of shards, when it is not one per CPU of `corelog.cpus`. More shards than CPUs run unpinned,
    /// which is for tests.
    "corelog.shards" => int.between(1, 1_024);

    /// Id of the cluster that a first start formats its directories for. Unset: a random one. An existing
    /// directory must agree with it.
    "corelog.cluster.id" => text;

    /// What `acks=all` waits for: `synced` on the device, or `written` to the kernel as Kafka does. `acks=1`
    /// always waits for the write.
    "corelog.acks.durability" => text.default("synced").one_of(DURABILITIES).cluster_wide();

    /// Requests of one connection that may be unanswered before it is no longer read.
    "corelog.connection.inflight.requests.max" => int.default("128").between(1, 65_536);

    /// Requests in a row for partitions of one other shard after which a connection moves to that shard. With
    /// each move the next one takes twice as many. 0 for never.
    "corelog.connection.moves.after.requests" => int.default("32").between(0, 1_000_000);

    /// Bytes of recently written and read log that each shard keeps in memory.
    "corelog.cache.bytes" => long.default("134217728").at_least(1_048_576);

    /// Whether consumers that lag are served from the kernel's page cache by `sendfile`; otherwise their
    /// records are read directly, into the memory of `corelog.cache.bytes`.
    "corelog.fetch.sendfile" => boolean.default("true");

    /// Whether large responses from memory are sent in place (`SENDMSG_ZC`): a network card then fetches them
    /// itself, where loopback has the kernel copy them all the same.
    "corelog.fetch.zerocopy" => boolean.default("false");

    /// Bytes that each shard may hold before they are written; producers wait while it is exceeded.
    "corelog.staged.bytes.max" => long.default("67108864").at_least(1_048_576);

    /// Whether small appends of all partitions of a log directory are written together, into a journal, and
    /// into their segments later. One synced write then makes many partitions durable.
    "corelog.journal.enable" => boolean.default("true");

    /// Bytes of the journal of each log directory, on disk. It bounds what a start after a crash applies, and
    /// the memory of appends that are not in their segments yet. Its files are created when they are needed.
    "corelog.journal.bytes" => long.default("134217728").between(4_194_304, 8_589_934_592);

    /// What a partition has to write is written directly into its segment if it is longer.
    "corelog.journal.bypass.bytes" => int.default("262144").between(0, 262_144);

    /// Appends in the journal are written into their segments after this time at the latest, about.
    "corelog.journal.segment.delay.ms" => long.default("10000").between(1_000, 3_600_000);

    /// Open files that each shard keeps for reading closed segments.
    "corelog.open.files.max" => int.default("1000").at_least(16);

    /// Bytes a second that each shard reads and checks in the background after a crash, of what the start
    /// itself trusted because it was durable before. 0 for none.
    "corelog.verify.bytes.per.second" => long.default("67108864").at_least(0);

    /// How often each shard measures how far the groups it coordinates are behind the partitions they read; 0
    /// for never.
    "corelog.group.lag.interval.ms" => long.default("10000").between(0, 86_400_000);

    /// How long a stopping broker may take to finish what is in flight and to flush.
    "corelog.shutdown.timeout.ms" => long.default("30000").at_least(0);
}
