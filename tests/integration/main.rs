//! The broker as a process, driven by unmodified clients and by hostile ones.
//!
//! Each test starts brokers of its own, so tests share nothing and run beside each other.

mod admin;
mod cli_admin;
mod cli_bench;
mod compaction;
mod connections;
mod control;
mod crowd;
mod dir_failure;
mod full_disk;
mod group_members;
mod groups;
mod harness;
mod hostile;
mod idempotence;
mod kill9;
mod kill9_compaction;
mod kill9_groups;
mod killed_members;
mod lifecycle;
mod long_polls;
mod moving_connections;
mod operations;
mod overload;
mod produce_fetch;
mod restart;
mod topics;
mod turns;
mod versions;
mod versions_admin;
mod versions_groups;
