//! Clocks and timers. Nothing above reads a clock in any other way.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::future;

use super::reactor::Sleep;
use crate::types::Timestamp;

/// The time of [`timeout`] was up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is up")]
pub struct Elapsed;

/// Returns after `duration`, not earlier.
pub async fn sleep(duration: Duration) {
    match monotonic_now().checked_add(duration) {
        Some(due) => Sleep::until(due).await,
        None => std::future::pending().await,
    }
}

/// The output of `future`, unless it takes longer than `duration`; then it is dropped.
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    future::or(async { Ok(future.await) }, async {
        sleep(duration).await;
        Err(Elapsed)
    })
    .await
}

/// The monotonic clock: for intervals and deadlines.
pub fn monotonic_now() -> Instant {
    Instant::now()
}

/// The wall clock: for what is stored or sent. May jump.
pub fn wall_clock() -> Timestamp {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Timestamp(millis)
}
