//! The runtime face: the only directory that names glommio or core_affinity.
//!
//! Everything above it sees executors, tasks, clocks, single-core synchronisation, a mesh of message
//! queues between cores, sockets and files, and none of the traps of the libraries below. Each module
//! names the traps that it hides, and `tests/rt.rs` takes each of them once.
//!
//! Reading order: [`executor`], `reactor`, [`task`], [`time`], [`sync`], [`mesh`], [`offload`], [`net`],
//! [`file`], then what the process needs as a whole: [`host`], [`signals`], [`panic`].

pub mod executor;
pub mod offload;
mod reactor;
pub mod task;
pub mod time;

pub mod sync;

pub mod file;
pub mod mesh;
pub mod net;

pub mod host;
pub mod panic;
pub mod signals;
