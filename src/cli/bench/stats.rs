//! What is counted while load runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies above this count as this.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// One connection's counts of the measured part.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) records: u64,
    /// Bytes of record values, or of batches for a fetch.
    pub(super) bytes: u64,
    pub(super) requests: u64,
    /// By name of the error.
    pub(super) errors: BTreeMap<String, u64>,
    /// In microseconds, one entry a request, or a batch from end to end.
    pub(super) latency: Histogram<u64>,
    /// When the last answer came.
    pub(super) last_answer: Option<Instant>,
}

impl Default for Stats {
    fn default() -> Self {
        let most = LATENCY_MAX.as_micros() as u64;
        let latency = Histogram::new_with_bounds(1, most, LATENCY_DIGITS).expect("the bounds are sound");
        Self { records: 0, bytes: 0, requests: 0, errors: BTreeMap::new(), latency, last_answer: None }
    }
}

impl Stats {
    /// Counts an answered request that was due at `due`.
    pub(super) fn answered(&mut self, due: Instant, now: Instant, records: u64, bytes: u64) {
        self.counted(now, records, bytes);
        self.took(now.saturating_duration_since(due).as_micros() as u64);
    }

    /// Counts an answer without a latency of its own.
    pub(super) fn counted(&mut self, now: Instant, records: u64, bytes: u64) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes;
        self.last_answer = Some(now);
    }

    /// Counts a latency.
    pub(super) fn took(&mut self, micros: u64) {
        self.latency.saturating_record(micros);
    }

    /// Counts an error.
    pub(super) fn failed(&mut self, error: impl Into<String>) {
        *self.errors.entry(error.into()).or_default() += 1;
    }

    /// Adds another connection's counts.
    pub(super) fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.requests += other.requests;
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}

/// Counts of one thread that the progress line reads while it runs: from its start on, warm-up included.
#[derive(Debug, Default)]
pub(super) struct Progress {
    records: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    slowest_micros: AtomicU64,
}

/// Sums of [`Progress`] of all threads.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Progressed {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
    /// Of the last interval.
    pub(super) slowest_micros: u64,
}

impl Progress {
    pub(super) fn answered(&self, records: u64, bytes: u64, latency: Duration) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.slowest_micros.fetch_max(latency.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds this thread's counts to `sum` and begins a new interval.
    pub(super) fn add_to(&self, sum: &mut Progressed) {
        sum.records += self.records.load(Ordering::Relaxed);
        sum.bytes += self.bytes.load(Ordering::Relaxed);
        sum.errors += self.errors.load(Ordering::Relaxed);
        sum.slowest_micros = sum.slowest_micros.max(self.slowest_micros.swap(0, Ordering::Relaxed));
    }
}
