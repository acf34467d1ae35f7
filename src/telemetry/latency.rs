//! How long something takes.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer durations are counted as this one.
const MICROS_MAX: u64 = 3_600_000_000;

/// Values are kept to two decimal digits, so that a histogram takes some 25 KiB.
const DIGITS: u8 = 2;

/// A histogram of durations in microseconds, from 1 us to an hour.
#[derive(Debug, Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Nothing recorded.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are valid");
        Self { histogram }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(MICROS_MAX);
        self.histogram.saturating_record(micros.max(1));
    }

    /// Adds what another shard recorded.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The duration in microseconds that `percentile` percent of all do not exceed; 0 if there are none.
    pub fn percentile_us(&self, percentile: f64) -> u64 {
        self.histogram.value_at_percentile(percentile)
    }

    /// The longest duration in microseconds.
    pub fn max_us(&self) -> u64 {
        self.histogram.max()
    }

    /// The mean duration in microseconds.
    pub fn mean_us(&self) -> f64 {
        self.histogram.mean()
    }

    /// Forgets everything recorded.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latency;

    #[test]
    fn percentiles_are_of_all_shards() {
        let (mut left, mut right) = (Latency::new(), Latency::new());
        (1..=50).for_each(|ms| left.record(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| right.record(Duration::from_millis(ms)));
        left.merge(&right);
        assert_eq!(left.count(), 100);
        let median = left.percentile_us(50.0);
        assert!((49_000..=51_000).contains(&median), "{median}");
        right.record(Duration::from_secs(100_000));
        right.record(Duration::ZERO);
        assert!(3_550_000_000 <= right.max_us());
    }
}
