//! How many connections may be made in a second (`max.connection.creation.rate`).
//!
//! Differs from Kafka: as many connections as the rate allows in a second may come at once, the others follow
//! evenly. Kafka averages over eleven seconds, so that after a quiet time a burst ten times as long passes.

use std::time::{Duration, Instant};

/// A connection may come this much earlier than an even stream of them would have it.
const BURST: Duration = Duration::from_secs(1);

/// When connections may be served, in the order in which they came.
#[derive(Debug)]
pub struct CreationRate {
    /// Between two connections of an even stream; `None` without a limit.
    interval: Option<Duration>,
    /// When the next connection would come in an even stream.
    next: Option<Instant>,
}

impl CreationRate {
    /// Kafka's default, which stands for no limit.
    pub const UNLIMITED: usize = i32::MAX as usize;

    /// So many connections a second. 0 is as good as 1: Kafka, too, delays none for more than a second.
    pub fn new(per_second: usize) -> Self {
        let mut rate = Self { interval: None, next: None };
        rate.set(per_second);
        rate
    }

    /// Another rate from now on.
    pub fn set(&mut self, per_second: usize) {
        let is_limited = per_second < Self::UNLIMITED;
        self.interval =
            is_limited.then(|| BURST / u32::try_from(per_second.max(1)).expect("below the default"));
        self.next = self.next.filter(|_| is_limited);
    }

    /// From when on a connection that arrives at `now` may be served.
    pub fn reserve(&mut self, now: Instant) -> Instant {
        let Some(interval) = self.interval else { return now };
        let next = self.next.map_or(now, |next| next.max(now));
        self.next = Some(next + interval);
        // The burst is the time of all connections but this one.
        let ahead = (next - now).saturating_sub(BURST - interval);
        now + ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When connections that come at these milliseconds are served.
    fn check(rate: &mut CreationRate, start: Instant, arrivals: &[u64], expected: &[u64]) {
        let at = |millis| start + Duration::from_millis(millis);
        let served = arrivals.iter().map(|&arrival| (rate.reserve(at(arrival)) - start).as_millis() as u64);
        assert_eq!(served.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_the_rest_evenly() {
        let start = Instant::now();
        let mut rate = CreationRate::new(4);
        check(&mut rate, start, &[0, 0, 0, 0, 0, 0, 10], &[0, 0, 0, 0, 250, 500, 750]);
        // After a quiet time there may be a burst again, as long as before.
        check(&mut rate, start, &[60_000; 5], &[60_000, 60_000, 60_000, 60_000, 60_250]);
    }

    #[test]
    fn limits_change_while_connections_come() {
        let start = Instant::now();
        let mut rate = CreationRate::new(CreationRate::UNLIMITED);
        check(&mut rate, start, &[0; 3], &[0; 3]);
        rate.set(1);
        check(&mut rate, start, &[0, 0, 0], &[0, 1_000, 2_000]);
        rate.set(0);
        check(&mut rate, start, &[10_000, 10_000], &[10_000, 11_000]);
        rate.set(CreationRate::UNLIMITED);
        check(&mut rate, start, &[10_000; 2], &[10_000; 2]);
    }
}
