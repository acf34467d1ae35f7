//! Keys of the windows that quotas are measured over.

use super::keys;

keys! {
    /// Windows that a quota's rate is measured over.
    "quota.window.num" => int.default("11").at_least(1);

    /// Length of one window.
    "quota.window.size.seconds" => int.default("1").at_least(1);

    /// Windows for the replication quotas.
    "replication.quota.window.num" => int.default("11").at_least(1);

    /// Length of one window of the replication quotas.
    "replication.quota.window.size.seconds" => int.default("1").at_least(1);

    /// Windows for moves between log directories.
    "alter.log.dirs.replication.quota.window.num" => int.default("11").at_least(1);

    /// Length of one window for moves between log directories.
    "alter.log.dirs.replication.quota.window.size.seconds" => int.default("1").at_least(1);

    /// Windows for the quota of controller mutations.
    "controller.quota.window.num" => int.default("11").at_least(1);

    /// Length of one window for the quota of controller mutations.
    "controller.quota.window.size.seconds" => int.default("1").at_least(1);

    /// A Java class that decides on quotas.
    "client.quota.callback.class" => class.refused("a Java class cannot run here; remove the key");
}
