//! A small Kafka client on our own wire code, for the command line, the load generator and, later, traffic
//! between brokers.
//!
//! [`Connection`] is one TCP connection with requests in flight. [`Cluster`] knows the leaders and keeps a
//! connection to each broker it needs. The calls of [`admin`], [`producer`], [`consumer`] and [`groups`] are
//! what the command line does; none of them retries for ever or hides an error.

pub mod admin;
mod cluster;
pub mod configs;
mod connection;
pub mod consumer;
mod error;
pub mod groups;
mod member;
pub mod producer;
mod retry;
#[cfg(test)]
mod tests;

pub use cluster::{BrokerInfo, Cluster, PartitionInfo, TopicInfo};
pub use connection::{ApiVersion, ConnectOptions, Connection, encode_frame, resolve};
pub use error::{ClientError, Refusal};
pub use member::{GroupMember, Heard};
pub use retry::retrying;
