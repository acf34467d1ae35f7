//! Keys of the node, its roles and its metadata log.

use super::keys;

keys! {
    /// Roles of this process. Only the combined form `broker,controller` exists so far.
    "process.roles" => list.one_of(&["broker", "controller"]).nonempty();

    /// This node's id in the cluster; `broker.id` is an older name for it.
    "node.id" => int.at_least(0);

    /// Older name of `node.id`; if both are set they must agree.
    "broker.id" => int.default("-1");

    /// The rack of this broker, told to clients for rack-aware assignment and fetching.
    "broker.rack" => text;

    /// Directory of the metadata log. Unset: the first of `log.dirs`.
    "metadata.log.dir" => text;

    /// Names in `listeners` that serve controllers. They are not opened: the controller is in this process.
    "controller.listener.names" => list.nonempty()
        .inert("the controller runs inside this process and needs no listener");

    /// Controllers as `id@host:port`. Accepted so that a combined node's file loads.
    "controller.quorum.voters" => list.default("").inert("the controller runs inside this process");

    /// Where to find controllers. Accepted so that a combined node's file loads.
    "controller.quorum.bootstrap.servers" => list.default("")
        .inert("the controller runs inside this process");

    /// How long a voter waits without a leader before it stands for election.
    "controller.quorum.election.timeout.ms" => int.default("1000").at_least(0)
        .inert("one node elects nobody");

    /// How long a voter goes on without a successful fetch from its leader.
    "controller.quorum.fetch.timeout.ms" => int.default("2000").at_least(0).inert("one node elects nobody");

    /// Longest pause between two elections.
    "controller.quorum.election.backoff.max.ms" => int.default("1000").at_least(0)
        .inert("one node elects nobody");

    /// How long the controller gathers records before it writes them.
    "controller.quorum.append.linger.ms" => int.default("25").at_least(0)
        .inert("metadata is committed in groups without a timer");

    /// How long a quorum request waits for its answer.
    "controller.quorum.request.timeout.ms" => int.default("2000").at_least(0).inert("one node elects nobody");

    /// Pause before a quorum request is repeated.
    "controller.quorum.retry.backoff.ms" => int.default("20").at_least(0).inert("one node elects nobody");

    /// Whether a controller adds itself to the voters.
    "controller.quorum.auto.join.enable" => boolean.default("false").inert("one node elects nobody");

    /// Most bytes of metadata log in one quorum fetch.
    "controller.quorum.fetch.max.bytes" => int.default("1048576").at_least(1).inert("one node elects nobody");

    /// Most bytes of a snapshot in one quorum fetch.
    "controller.quorum.fetch.snapshot.max.bytes" => int.default("1048576").at_least(1)
        .inert("one node elects nobody");

    /// How often a broker tells its controller that it lives.
    "broker.heartbeat.interval.ms" => int.default("2000").inert("the controller runs inside this process");

    /// Silence after which a controller fences a broker.
    "broker.session.timeout.ms" => int.default("9000").inert("the controller runs inside this process");

    /// How long a starting broker tries to register.
    "initial.broker.registration.timeout.ms" => int.default("60000")
        .inert("the controller runs inside this process");

    /// Size at which the metadata log rolls.
    "metadata.log.segment.bytes" => int.default("1073741824").at_least(8_388_608);

    /// Age at which the metadata log rolls.
    "metadata.log.segment.ms" => long.default("604800000");

    /// Bytes of metadata records after which a snapshot is written.
    "metadata.log.max.record.bytes.between.snapshots" => long.default("20971520").at_least(1);

    /// Longest time between two snapshots while there are changes; 0 turns the limit off.
    "metadata.log.max.snapshot.interval.ms" => long.default("3600000").at_least(0);

    /// Size of metadata log and snapshots above which old ones are deleted; -1 for no limit.
    "metadata.max.retention.bytes" => long.default("104857600");

    /// Age above which old metadata segments and snapshots are deleted; -1 for no limit.
    "metadata.max.retention.ms" => long.default("604800000");

    /// How often an idle controller writes a no-op record; 0 for never.
    "metadata.max.idle.interval.ms" => int.default("500").at_least(0)
        .inert("one node has no follower that waits for a record");
}
