//! The report at the end, as text and as JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::stats::Stats;
use crate::cli::CliError;

/// Quantiles that are reported, with their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) stats: Stats,
    /// From the end of the warm-up to the last answer.
    pub(super) seconds: f64,
    /// CPU time of the broker in that time, if it was asked for and the broker is still there.
    pub(super) broker_cpu_seconds: Option<f64>,
    /// Resident memory of the broker afterwards, likewise.
    pub(super) broker_resident_bytes: Option<u64>,
    /// CPU time of this process in that time.
    pub(super) own_cpu_seconds: f64,
}

impl Measured {
    /// Prints the report, writes it where `json` says, and fails if there were errors.
    pub(super) fn finish(&self, verb: &str, arguments: Value, json: Option<&Path>) -> Result<(), CliError> {
        let report = format!("{:#}\n", self.as_json(verb, arguments));
        match json {
            Some(path) if path == Path::new("-") => print!("{report}"),
            Some(path) => {
                std::fs::write(path, report).map_err(|error| {
                    CliError::failed(format!("--json {}: cannot be written: {error}", path.display()))
                })?;
                print!("{}", self.as_text(verb));
            }
            None => print!("{}", self.as_text(verb)),
        }
        let errors: u64 = self.stats.errors.values().sum();
        match errors {
            0 => Ok(()),
            _ => Err(CliError::failed(format!("{errors} errors: {}", self.errors_text()))),
        }
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.seconds == 0.0 { 0.0 } else { count as f64 / self.seconds }
    }

    fn gigabytes(&self) -> f64 {
        self.stats.bytes as f64 / 1e9
    }

    fn errors_text(&self) -> String {
        let errors: Vec<_> =
            self.stats.errors.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        self.stats.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    fn as_text(&self, verb: &str) -> String {
        let stats = &self.stats;
        let mut text = String::new();
        let mut line = |arguments: std::fmt::Arguments<'_>| {
            text.write_fmt(arguments).and_then(|()| text.write_char('\n')).expect("a String takes all");
        };
        line(format_args!(
            "{verb} {} records, {:.3} GB in {:.2} s: {:.0} records/s, {:.2} MB/s, {:.0} requests/s",
            stats.records,
            self.gigabytes(),
            self.seconds,
            self.per_second(stats.records),
            self.per_second(stats.bytes) / 1e6,
            self.per_second(stats.requests)
        ));
        let quantiles: Vec<_> =
            QUANTILES.iter().map(|(name, at)| format!("{name} {:.3}", self.quantile_ms(*at))).collect();
        line(format_args!(
            "latency ms: {}, max {:.3}, mean {:.3}",
            quantiles.join(", "),
            stats.latency.max() as f64 / 1e3,
            stats.latency.mean() / 1e3
        ));
        line(format_args!("errors: {}", self.errors_text()));
        if let Some(cpu) = self.broker_cpu_seconds {
            line(format_args!("broker: {}", self.cpu_text(cpu)));
        }
        if let Some(bytes) = self.broker_resident_bytes {
            line(format_args!("broker memory: {:.1} MiB resident", bytes as f64 / 1_048_576.0));
        }
        line(format_args!("load generator: {}", self.cpu_text(self.own_cpu_seconds)));
        text
    }

    fn cpu_text(&self, cpu: f64) -> String {
        format!(
            "{cpu:.2} CPU-s, {:.1} % of a core, {:.3} CPU-s/GB, {:.3} CPU-s per million records",
            100.0 * ratio(cpu, self.seconds),
            ratio(cpu, self.gigabytes()),
            ratio(cpu, self.stats.records as f64 / 1e6)
        )
    }

    fn as_json(&self, verb: &str, arguments: Value) -> Value {
        let stats = &self.stats;
        let latency: serde_json::Map<_, _> =
            QUANTILES.iter().map(|(name, at)| ((*name).to_owned(), json!(self.quantile_ms(*at)))).collect();
        let cpu = |seconds: f64| {
            json!({
                "seconds": seconds,
                "cores": ratio(seconds, self.seconds),
                "seconds_per_gb": ratio(seconds, self.gigabytes()),
                "seconds_per_million_records": ratio(seconds, stats.records as f64 / 1e6),
            })
        };
        let mut latency = latency;
        latency.insert("max".to_owned(), json!(stats.latency.max() as f64 / 1e3));
        latency.insert("mean".to_owned(), json!(stats.latency.mean() / 1e3));
        json!({
            "what": verb,
            "arguments": arguments,
            "seconds": self.seconds,
            "records": stats.records,
            "bytes": stats.bytes,
            "requests": stats.requests,
            "records_per_second": self.per_second(stats.records),
            "megabytes_per_second": self.per_second(stats.bytes) / 1e6,
            "requests_per_second": self.per_second(stats.requests),
            "latency_ms": latency,
            "errors": stats.errors,
            "broker_cpu": self.broker_cpu_seconds.map(cpu),
            "broker_resident_bytes": self.broker_resident_bytes,
            "own_cpu": cpu(self.own_cpu_seconds),
        })
    }
}

/// `value` per `unit`; zero of nothing.
fn ratio(value: f64, unit: f64) -> f64 {
    if unit == 0.0 { 0.0 } else { value / unit }
}
