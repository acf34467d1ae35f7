//! What every integration test needs: a broker process of its own, librdkafka, and a client that may lie.

pub(crate) mod batch;
pub(crate) mod broker;
pub(crate) mod clients;
pub(crate) mod requests;
pub(crate) mod wire;

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Asks until `ready` answers, for at most `limit`; panics with `what` after that.
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The time that a test which checks no bound of its own lets pass before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The wall clock, as records have it.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the year 292278994")
}
