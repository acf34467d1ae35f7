//! Synchronisation between tasks of one executor: no locks, no atomics, nothing here is `Send`.
//!
//! Every wait is cancel-safe: a dropped future gives back what it was granted.

mod notify;
mod oneshot;
mod semaphore;
mod shutdown;

pub use notify::{Notify, Wait};
pub use oneshot::{Closed, OneshotReceiver, OneshotSender, oneshot};
pub use semaphore::{Permit, Semaphore};
pub use shutdown::{Guard, Shutdown};
