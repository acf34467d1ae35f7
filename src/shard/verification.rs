//! After a crash: reading what recovery trusted.
//!
//! Recovery checks the records behind the last checkpoint; what is before it was durable, and is not read so
//! that a start is quick. It is read here, in the background, at `corelog.verify.bytes.per.second` at most.
//! What is found broken is reported, and answered with an error from then on.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::lifecycle::report_broken;
use crate::rt::{task, time};

impl Shard {
    /// Verifies the logs of the directories that were not closed cleanly; ends when that is done.
    pub async fn run_verification(self: Rc<Self>) {
        self.started().await;
        let bytes_per_second = self.config().storage.verify_bytes_per_second;
        let mut partitions = self.snapshot_partitions();
        partitions.retain(|partition| partition.dir.dir.clean_shutdown().is_none());
        if bytes_per_second == 0 || partitions.is_empty() {
            return;
        }
        let began = time::monotonic_now();
        let (mut bytes, mut broken) = (0, 0);
        for partition in partitions {
            if self.closing.is_cancelled() {
                return;
            }
            let pace = async |bytes: u64| {
                time::sleep(Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64)).await;
            };
            match partition.log.verify(pace).await {
                Ok(report) => {
                    bytes += report.scanned_bytes;
                    broken += report.broken.len();
                    report_broken(&partition.name, &report.broken);
                }
                Err(error) => {
                    tracing::warn!(target: "log", tp = %partition.name, %error, "verification ended early");
                }
            }
            task::yield_if_needed().await;
        }
        let elapsed_ms = began.elapsed().as_millis() as u64;
        tracing::info!(target: "shard", shard = %self.id, bytes, broken, elapsed_ms, "logs verified");
    }
}
