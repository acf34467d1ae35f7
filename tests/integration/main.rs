//! The broker as a process, driven by unmodified clients and by hostile ones.
//!
//! Each test starts brokers of its own, so tests share nothing and run beside each other.

mod harness;

mod produce_fetch;
