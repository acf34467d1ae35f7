//! The table of Kafka's metadata records (`common/metadata/*.json`): fields in wire order, with the
//! versions and defaults of the schema.

use crate::metadata::codec::{BodyProblem, ByteField, Field, Reader};
use crate::metadata::schema::{record_kinds, wire_structs};
use crate::types::{LeaderEpoch, NodeId, ProducerId, TopicId, Uuid};

/// "The partition has no leader" where a leader is named.
pub const NO_LEADER: NodeId = NodeId(-1);

/// "The leader stays, and so does its epoch" in [`PartitionChangeRecord::leader`].
pub const LEADER_UNCHANGED: NodeId = NodeId(-2);

/// `ConfigResource.Type.TOPIC`.
pub const CONFIG_RESOURCE_TOPIC: i8 = 2;

/// `ConfigResource.Type.BROKER`; the resource with an empty name holds for every broker.
pub const CONFIG_RESOURCE_BROKER: i8 = 4;

/// `ConfigResource.Type.GROUP`.
pub const CONFIG_RESOURCE_GROUP: i8 = 32;

record_kinds! {
    /// A broker (re)joins with all it has to say about itself.
    0 RegisterBroker(RegisterBrokerRecord) 0..=4,
    /// A broker leaves for good.
    1 UnregisterBroker(UnregisterBrokerRecord) 0..=0,
    /// A topic comes to be; its partitions follow.
    2 Topic(TopicRecord) 0..=0,
    /// The whole state of one partition.
    3 Partition(PartitionRecord) 0..=2,
    /// A config of one resource is set or removed.
    4 Config(ConfigRecord) 0..=0,
    /// What changed in one partition; every such record raises its partition epoch.
    5 PartitionChange(PartitionChangeRecord) 0..=2,
    /// A broker stops being eligible. Kafka 3.3 and later write `BrokerRegistrationChange` instead.
    7 FenceBroker(FenceBrokerRecord) 0..=0,
    /// A broker becomes eligible. Kafka 3.3 and later write `BrokerRegistrationChange` instead.
    8 UnfenceBroker(UnfenceBrokerRecord) 0..=0,
    /// A topic goes, with its partitions and configs.
    9 RemoveTopic(RemoveTopicRecord) 0..=0,
    /// A delegation token is created or renewed.
    10 DelegationToken(DelegationTokenRecord) 0..=0,
    /// A user's SCRAM credential is set.
    11 UserScramCredential(UserScramCredentialRecord) 0..=0,
    /// A feature is finalized at a level.
    12 FeatureLevel(FeatureLevelRecord) 0..=0,
    /// A quota of a client entity is set or removed.
    14 ClientQuota(ClientQuotaRecord) 0..=0,
    /// A block of producer ids is handed out.
    15 ProducerIds(ProducerIdsRecord) 0..=0,
    /// What changed in a broker's registration.
    17 BrokerRegistrationChange(BrokerRegistrationChangeRecord) 0..=3,
    /// An ACL is added.
    18 AccessControlEntry(AccessControlEntryRecord) 0..=0,
    /// An ACL is removed.
    19 RemoveAccessControlEntry(RemoveAccessControlEntryRecord) 0..=0,
    /// Nothing; keeps observers' fetches moving.
    20 NoOp(NoOpRecord) 0..=0,
    /// A leftover of clusters that once used ZooKeeper; without effect.
    21 ZkMigrationState(ZkMigrationStateRecord) 0..=0,
    /// A user's SCRAM credential is removed.
    22 RemoveUserScramCredential(RemoveUserScramCredentialRecord) 0..=0,
    /// The records up to the end of the transaction (KIP-868) take effect together.
    23 BeginTransaction(BeginTransactionRecord) 0..=0,
    /// The records since the beginning of the transaction take effect.
    24 EndTransaction(EndTransactionRecord) 0..=0,
    /// The records since the beginning of the transaction never happened.
    25 AbortTransaction(AbortTransactionRecord) 0..=0,
    /// A delegation token is removed.
    26 RemoveDelegationToken(RemoveDelegationTokenRecord) 0..=0,
    /// A controller says what it supports.
    27 RegisterController(RegisterControllerRecord) 0..=0,
    /// The eligible leader replicas of one topic, or of all, are forgotten (KIP-966).
    28 ClearElr(ClearElrRecord) 0..=0,
    /// A controller leaves for good.
    29 UnregisterController(UnregisterControllerRecord) 0..=0,
}

wire_structs! {
    /// Key 0.
    RegisterBrokerRecord {
        /// The broker.
        broker_id: NodeId,
        /// From the times of ZooKeeper; false.
        is_migrating_zk_broker: bool [since 2],
        /// Differs with every start of the broker's process.
        incarnation_id: Uuid,
        /// The offset of the record that first registered this incarnation.
        broker_epoch: i64,
        /// Where the broker can be reached, by listener.
        end_points: Vec<ListenerEndpoint>,
        /// The feature levels the broker can work with.
        features: Vec<SupportedFeature>,
        /// `broker.rack`.
        rack: Option<String>,
        /// Whether the broker may not lead.
        fenced: bool = true,
        /// Whether the broker is leaving its partitions to others before it stops.
        in_controlled_shutdown: bool [since 1],
    } + tagged {
        /// The directories that are online.
        0 log_dirs: Vec<Uuid> [since 3],
        /// The directories that take no new partition; `None` until the broker said.
        1 cordoned_log_dirs: Option<Vec<Uuid>> [since 4],
    }

    /// One listener of a broker or controller.
    ListenerEndpoint {
        /// The listener's name.
        name: String,
        /// The advertised host.
        host: String,
        /// The advertised port.
        port: u16,
        /// `SecurityProtocol.id`: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16,
    }

    /// The levels of one feature that a broker or controller can work with.
    SupportedFeature {
        /// The feature.
        name: String,
        /// The lowest level.
        min_supported_version: i16,
        /// The highest level.
        max_supported_version: i16,
    }

    /// Key 1.
    UnregisterBrokerRecord {
        /// The broker.
        broker_id: NodeId,
        /// Its epoch, which must be the registered one.
        broker_epoch: i64,
    }

    /// Key 2.
    TopicRecord {
        /// The topic's name.
        name: String,
        /// The topic's id.
        topic_id: TopicId,
    }

    /// Key 3.
    PartitionRecord {
        /// The partition's index within the topic.
        partition_id: i32 = -1,
        /// The topic.
        topic_id: TopicId,
        /// The replicas, the preferred leader first.
        replicas: Vec<NodeId>,
        /// The in-sync replicas.
        isr: Vec<NodeId>,
        /// Replicas on their way out.
        removing_replicas: Vec<NodeId>,
        /// Replicas on their way in.
        adding_replicas: Vec<NodeId>,
        /// The leader, or [`NO_LEADER`].
        leader: NodeId = NO_LEADER,
        /// The reign of the leader.
        leader_epoch: LeaderEpoch = LeaderEpoch::UNKNOWN,
        /// Grows with every change of the partition.
        partition_epoch: i32 = -1,
        /// The log directory of each replica, in the order of `replicas`.
        directories: Vec<Uuid> [since 1],
    } + tagged {
        /// 1 while a leader that was elected uncleanly recovers, else 0.
        0 leader_recovery_state: i8,
        /// The eligible leader replicas (KIP-966); `None` for none.
        1 eligible_leader_replicas: Option<Vec<NodeId>> [since 2],
        /// The last known members of the above; `None` for none.
        2 last_known_elr: Option<Vec<NodeId>> [since 2],
    }

    /// Key 4.
    ConfigRecord {
        /// `ConfigResource.Type.id`, such as [`CONFIG_RESOURCE_TOPIC`].
        resource_type: i8,
        /// The topic's name, the broker's id, ...
        resource_name: String,
        /// The config key.
        name: String,
        /// The value; `None` removes the key.
        value: Option<String>,
    }

    /// Key 5. An absent field means "unchanged".
    PartitionChangeRecord {
        /// The partition's index within the topic.
        partition_id: i32 = -1,
        /// The topic.
        topic_id: TopicId,
    } + tagged {
        /// The new in-sync replicas.
        0 isr: Option<Vec<NodeId>>,
        /// The new leader, [`NO_LEADER`] or [`LEADER_UNCHANGED`]; anything but the last raises the leader
        /// epoch.
        1 leader: NodeId = LEADER_UNCHANGED,
        /// The new replicas.
        2 replicas: Option<Vec<NodeId>>,
        /// The new replicas on their way out.
        3 removing_replicas: Option<Vec<NodeId>>,
        /// The new replicas on their way in.
        4 adding_replicas: Option<Vec<NodeId>>,
        /// The new recovery state; -1 for unchanged.
        5 leader_recovery_state: i8 = -1,
        /// The new eligible leader replicas.
        6 eligible_leader_replicas: Option<Vec<NodeId>> [since 2],
        /// The new last known members of the above.
        7 last_known_elr: Option<Vec<NodeId>> [since 2],
        /// The new log directory of each replica, in the order of the replicas.
        8 directories: Option<Vec<Uuid>> [since 1],
    }

    /// Key 7.
    FenceBrokerRecord {
        /// The broker.
        id: NodeId,
        /// Its epoch, which must be the registered one.
        epoch: i64,
    }

    /// Key 8.
    UnfenceBrokerRecord {
        /// The broker.
        id: NodeId,
        /// Its epoch, which must be the registered one.
        epoch: i64,
    }

    /// Key 9.
    RemoveTopicRecord {
        /// The topic.
        topic_id: TopicId,
    }

    /// Key 10. Times are in milliseconds since 1970.
    DelegationTokenRecord {
        /// The principal whose rights the token carries.
        owner: String,
        /// The principal who asked for it.
        requester: String,
        /// The principals who may renew it.
        renewers: Vec<String>,
        /// When it was issued.
        issue_timestamp: i64,
        /// When it can be renewed no more.
        max_timestamp: i64,
        /// When it expires unless renewed.
        expiration_timestamp: i64,
        /// The token's id.
        token_id: String,
    }

    /// Key 11.
    UserScramCredentialRecord {
        /// The user.
        name: String,
        /// `ScramMechanism.type`: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
        /// The salt.
        salt: ByteField,
        /// What the server checks the client's proof with.
        stored_key: ByteField,
        /// What the server proves itself with.
        server_key: ByteField,
        /// Iterations of the hash.
        iterations: i32,
    }

    /// Key 12.
    FeatureLevelRecord {
        /// The feature.
        name: String,
        /// Its finalized level; 0 switches it off.
        feature_level: i16,
    }

    /// Key 14.
    ClientQuotaRecord {
        /// The entity the quota is for, such as a user together with a client id.
        entity: Vec<QuotaEntity>,
        /// The quota's key, such as `producer_byte_rate`.
        key: String,
        /// The quota; meaningless when `remove` is set.
        value: f64,
        /// Whether the quota goes.
        remove: bool,
    }

    /// One component of a quota's entity.
    QuotaEntity {
        /// `user`, `client-id` or `ip`.
        entity_type: String,
        /// Who; `None` is the default entity of this type.
        entity_name: Option<String>,
    }

    /// Key 15.
    ProducerIdsRecord {
        /// The broker that asked.
        broker_id: NodeId,
        /// Its epoch.
        broker_epoch: i64 = -1,
        /// The first id of the next block.
        next_producer_id: ProducerId,
    }

    /// Key 17.
    BrokerRegistrationChangeRecord {
        /// The broker.
        broker_id: NodeId,
        /// Its epoch, which must be the registered one.
        broker_epoch: i64,
    } + tagged {
        /// -1 unfences, 0 leaves as is, 1 fences.
        0 fenced: i8,
        /// 1 when controlled shutdown began, 0 leaves as is.
        1 in_controlled_shutdown: i8 [since 1],
        /// The directories that are online now; empty leaves as is.
        2 log_dirs: Vec<Uuid> [since 2],
        /// The directories that take no new partition; `None` leaves as is.
        3 cordoned_log_dirs: Option<Vec<Uuid>> [since 3],
    }

    /// Key 18. The numbers are Kafka's codes (`ResourceType`, `PatternType`, `AclOperation`, ...).
    AccessControlEntryRecord {
        /// The ACL's id.
        id: Uuid,
        /// What kind of resource it guards.
        resource_type: i8,
        /// The resource's name or prefix.
        resource_name: String,
        /// How the name is to be matched.
        pattern_type: i8,
        /// Whom it is about.
        principal: String,
        /// From where.
        host: String,
        /// Doing what.
        operation: i8,
        /// Allowed or denied.
        permission_type: i8,
    }

    /// Key 19.
    RemoveAccessControlEntryRecord {
        /// The ACL's id.
        id: Uuid,
    }

    /// Key 20.
    NoOpRecord {}

    /// Key 21.
    ZkMigrationStateRecord {
        /// How far the migration had come.
        zk_migration_state: i8,
    }

    /// Key 22.
    RemoveUserScramCredentialRecord {
        /// The user.
        name: String,
        /// `ScramMechanism.type`.
        mechanism: i8,
    }

    /// Key 23.
    BeginTransactionRecord {} + tagged {
        /// What the transaction is for, for the reader of a dump.
        0 name: Option<String>,
    }

    /// Key 24.
    EndTransactionRecord {}

    /// Key 25.
    AbortTransactionRecord {} + tagged {
        /// Why, for the reader of a dump.
        0 reason: Option<String>,
    }

    /// Key 26.
    RemoveDelegationTokenRecord {
        /// The token's id.
        token_id: String,
    }

    /// Key 27.
    RegisterControllerRecord {
        /// The controller.
        controller_id: NodeId,
        /// Differs with every start of the controller's process.
        incarnation_id: Uuid,
        /// From the times of ZooKeeper; false.
        zk_migration_ready: bool,
        /// Where the controller can be reached, by listener.
        end_points: Vec<ListenerEndpoint>,
        /// The feature levels the controller can work with.
        features: Vec<SupportedFeature>,
    }

    /// Key 28.
    ClearElrRecord {
        /// The topic, or empty for all.
        topic_name: String,
    }

    /// Key 29 (Kafka 4.4).
    UnregisterControllerRecord {
        /// The controller.
        controller_id: NodeId,
    }
}
