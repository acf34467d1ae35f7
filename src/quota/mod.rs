//! Limits on what clients may use. Sans-io: nothing here knows a clock, a socket or a task.

mod connections;
mod creation_rate;

pub use connections::{ConnectionLimits, ConnectionQuotas, Output, Peer, Verdict};
pub use creation_rate::CreationRate;
