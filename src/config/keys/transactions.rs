//! Keys of transactions and producer state.

use super::keys;

keys! {
    /// How long the state of an unused transactional id is kept.
    "transactional.id.expiration.ms" => int.default("604800000").at_least(1);

    /// Longest transaction timeout that a producer may ask for.
    "transaction.max.timeout.ms" => int.default("900000").at_least(1);

    /// Replicas of `__transaction_state`.
    "transaction.state.log.replication.factor" => short.default("3").at_least(1);

    /// `min.insync.replicas` of `__transaction_state`.
    "transaction.state.log.min.isr" => int.default("2").at_least(1);

    /// Partitions of `__transaction_state`; fixed once the topic exists.
    "transaction.state.log.num.partitions" => int.default("50").at_least(1);

    /// Size at which segments of `__transaction_state` roll.
    "transaction.state.log.segment.bytes" => int.default("104857600").at_least(1);

    /// Bytes read at a time while transaction state is loaded.
    "transaction.state.log.load.buffer.size" => int.default("5242880").at_least(1);

    /// How often transactions past their timeout are looked for.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" => int.default("10000").at_least(1);

    /// How often expired transactional ids are looked for.
    "transaction.remove.expired.transaction.cleanup.interval.ms" => int.default("3600000").at_least(1);

    /// Whether a transactional write is checked against its coordinator.
    "transaction.partition.verification.enable" => boolean.default("true").cluster_wide();

    /// Whether producers may prepare a transaction for an outside coordinator.
    "transaction.two.phase.commit.enable" => boolean.default("false");

    /// How long the sequence state of a silent producer is kept.
    "producer.id.expiration.ms" => int.default("86400000").at_least(1).cluster_wide();

    /// Pause before a partition is added to a transaction again.
    "add.partitions.to.txn.retry.backoff.ms" => int.default("20").at_least(1);

    /// Bound of the growing pause.
    "add.partitions.to.txn.retry.backoff.max.ms" => int.default("100").at_least(0);
}
