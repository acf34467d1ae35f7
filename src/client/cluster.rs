//! The cluster as a client sees it: brokers, topics, leaders, and a connection to each broker in use.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::connection::{ConnectOptions, Connection};
use super::error::{ClientError, accepted};
use crate::types::Uuid;
use crate::wire::messages::metadata_request::MetadataRequestTopic;
use crate::wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use crate::wire::messages::{MetadataRequest, MetadataResponse, StrBytes, TopicName};

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its node id.
    pub id: i32,
    /// Its advertised `host:port`.
    pub address: String,
    /// Its rack.
    pub rack: Option<String>,
}

/// A partition and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The partition's index.
    pub partition: i32,
    /// The leader's node id, or -1 for none.
    pub leader: i32,
    /// The leader's epoch, or -1 if the broker does not say.
    pub leader_epoch: i32,
    /// The node ids of its replicas; the first is the preferred leader.
    pub replicas: Vec<i32>,
    /// The node ids of the replicas in sync.
    pub isr: Vec<i32>,
}

/// A topic and its partitions in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: String,
    /// The topic's id; zero if the broker does not say.
    pub id: Uuid,
    /// Whether it belongs to the cluster itself.
    pub is_internal: bool,
    /// Its partitions, ascending.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// The partitions that were named; all of the topic's if none was.
    pub fn partitions_or_all(&self, named: &[i32]) -> Vec<i32> {
        match named {
            [] => self.partitions.iter().map(|info| info.partition).collect(),
            named => named.to_vec(),
        }
    }
}

/// A cluster, found through one of its brokers.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Connection,
    options: ConnectOptions,
    connections: RefCell<BTreeMap<i32, Connection>>,
    brokers: RefCell<BTreeMap<i32, BrokerInfo>>,
}

impl Cluster {
    /// Connects to the first of `bootstrap`'s brokers (`host:port,...`) that answers.
    pub async fn connect(bootstrap: &str, options: ConnectOptions) -> Result<Self, ClientError> {
        let mut refused = None;
        for address in bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            match Connection::open(address, options.clone()).await {
                Ok(bootstrap) => {
                    let (connections, brokers) = Default::default();
                    return Ok(Self { bootstrap, options, connections, brokers });
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| ClientError::Unresolvable {
            address: bootstrap.to_owned(),
            detail: "no address is given".to_owned(),
        }))
    }

    /// The connection that the cluster was found through: for requests that any broker answers.
    pub fn any(&self) -> &Connection {
        &self.bootstrap
    }

    /// The brokers, and all topics or those named. A missing topic is an error; nothing is created.
    pub async fn describe(&self, topics: Option<&[&str]>) -> Result<Vec<TopicInfo>, ClientError> {
        self.metadata(topics, false).await?.into_iter().map(topic_info).collect()
    }

    /// Whether the topic is there; asks the broker to create it when `create` says so.
    pub async fn find_topic(&self, topic: &str, create: bool) -> Result<Option<TopicInfo>, ClientError> {
        const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
        const LEADER_NOT_AVAILABLE: i16 = 5;
        let found = self.metadata(Some(&[topic]), create).await?;
        match found.into_iter().next() {
            None => Ok(None),
            Some(found) if [UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE].contains(&found.error_code) => {
                Ok(None)
            }
            Some(found) => topic_info(found).map(Some),
        }
    }

    /// The brokers of the last answer, by id.
    pub fn brokers(&self) -> Vec<BrokerInfo> {
        self.brokers.borrow().values().cloned().collect()
    }

    /// The address of the broker with this id, as the last answer has it.
    pub fn address_of(&self, id: i32) -> Result<String, ClientError> {
        let address = self.brokers.borrow().get(&id).map(|broker| broker.address.clone());
        address.ok_or_else(|| ClientError::Unavailable {
            what: format!("broker {id}"),
            detail: "it is not in the cluster's metadata".to_owned(),
        })
    }

    /// A connection to the broker with this id.
    pub async fn broker(&self, id: i32) -> Result<Connection, ClientError> {
        if let Some(connection) = self.connections.borrow().get(&id) {
            return Ok(connection.clone());
        }
        let address = self.address_of(id)?;
        let connection = if address == self.bootstrap.address() {
            self.bootstrap.clone()
        } else {
            Connection::open(&address, self.options.clone()).await?
        };
        self.connections.borrow_mut().insert(id, connection.clone());
        Ok(connection)
    }

    /// A connection to the partition's leader.
    pub async fn leader(&self, topic: &TopicInfo, partition: i32) -> Result<Connection, ClientError> {
        let unavailable = |detail: String| ClientError::Unavailable {
            what: format!("partition {}-{partition}", topic.name),
            detail,
        };
        let count = topic.partitions.len();
        let info = topic.partitions.iter().find(|info| info.partition == partition);
        let info = info.ok_or_else(|| unavailable(format!("the topic has {count} partitions")))?;
        if info.leader < 0 {
            return Err(unavailable("it has no leader now".to_owned()));
        }
        self.broker(info.leader).await
    }

    async fn metadata(
        &self,
        topics: Option<&[&str]>,
        create: bool,
    ) -> Result<Vec<MetadataResponseTopic>, ClientError> {
        let named = topics.map(|topics| topics.iter().map(|&name| request_topic(name)).collect());
        let request = MetadataRequest::default().with_topics(named).with_allow_auto_topic_creation(create);
        let response: MetadataResponse = self.bootstrap.call(&request).await?;
        let brokers = response.brokers.iter().map(|broker| {
            let address = host_and_port(broker.host.as_str(), broker.port);
            let rack = broker.rack.as_ref().map(|rack| rack.as_str().to_owned());
            (broker.node_id.0, BrokerInfo { id: broker.node_id.0, address, rack })
        });
        self.brokers.replace(brokers.collect());
        Ok(response.topics)
    }
}

fn host_and_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn request_topic(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

/// A topic's name as the messages want it.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn topic_info(topic: MetadataResponseTopic) -> Result<TopicInfo, ClientError> {
    let name = topic.name.as_ref().map_or("", |name| name.0.as_str()).to_owned();
    accepted(topic.error_code, None, || format!("topic {name}"))?;
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition_info).collect();
    partitions.sort_by_key(|info| info.partition);
    let id = Uuid::from_bytes(*topic.topic_id.as_bytes());
    Ok(TopicInfo { name, id, is_internal: topic.is_internal, partitions })
}

fn partition_info(partition: &MetadataResponsePartition) -> PartitionInfo {
    PartitionInfo {
        partition: partition.partition_index,
        leader: partition.leader_id.0,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
        isr: partition.isr_nodes.iter().map(|id| id.0).collect(),
    }
}
