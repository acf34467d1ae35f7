//! Drivers: what ties the sans-io cores of coordinators to the logs, timers and requests of a shard.

mod group_lag;
mod group_log;
pub(in crate::shard) mod groups;
