//! Corelog: a Kafka-wire-compatible broker in which every CPU core owns a shard of the partitions.
//!
//! The modules below are listed bottom up, in the order in which a new reader should open them.
//! `docs/architecture.md` holds the table of who may import whom; `tests/tidy.rs` enforces it.

pub mod types;

pub mod config;
pub mod disk;
pub mod record;
pub mod telemetry;

pub mod log;
pub mod metadata;
pub mod wire;

pub mod controller;
pub mod group;
pub mod quota;
pub mod rt;

pub mod client;
pub mod shard;

pub mod server;

pub mod broker;

pub mod cli;
