//! `__cluster_metadata-0`: the log of the cluster's metadata, its snapshots, and how both are read back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::MetadataSnapshots;
use crate::disk::{Disk, DiskError, WriteSync};
use crate::log::{
    AppendContext, AppendOrigin, BatchToAppend, CheckpointedLog, Log, LogConfig, LogDir, LogEnv, LogError,
    ReadError,
};
use crate::metadata::batch::{self, BatchPlace, MetadataBatchError};
use crate::metadata::snapshot::{self, SnapshotError, SnapshotId, SnapshotTimes};
use crate::metadata::{ImageError, MetadataDelta, MetadataImage};
use crate::record::batch::BatchHeader;
use crate::types::{LeaderEpoch, NodeId, Offset, Timestamp, TopicName, TopicPartition, Uuid};

/// The metadata topic; it has one partition.
pub(super) const METADATA_TOPIC: &str = "__cluster_metadata";

/// Snapshots kept: the newest, and the one before in case the newest turns out unreadable.
const SNAPSHOTS_KEPT: usize = 2;
/// A snapshot of a million partitions is below this.
const SNAPSHOT_BYTES_MAX: usize = 1 << 30;
/// The broker's epoch is in the markers of its shards; this directory's says only that it was closed.
const NO_BROKER_EPOCH: i64 = -1;
/// Bytes of the log that are read back at a time.
const READ_BYTES: usize = 8 << 20;

/// Why the metadata cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetaLogError {
    /// The log.
    #[error("{METADATA_TOPIC}-0: {0}")]
    Log(#[from] LogError),
    /// Reading the log back.
    #[error("{METADATA_TOPIC}-0: {0}")]
    Read(#[from] ReadError),
    /// The file system.
    #[error("{METADATA_TOPIC}-0: {0}")]
    Disk(#[from] DiskError),
    /// An append that the log refused.
    #[error("{METADATA_TOPIC}-0: {0}")]
    Append(#[from] crate::log::AppendError),
    /// Bytes in the log that are not metadata.
    #[error("{METADATA_TOPIC}-0, offset {offset}: {error}")]
    Batch {
        /// Where.
        offset: Offset,
        /// What is wrong.
        error: MetadataBatchError,
    },
    /// A record that does not fit those before it.
    #[error("{METADATA_TOPIC}-0, offset {offset}: {error}")]
    Image {
        /// The first offset of the batch.
        offset: Offset,
        /// What does not fit.
        error: ImageError,
    },
    /// A snapshot that cannot be used.
    #[error("{}: {error}", file.display())]
    Snapshot {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: SnapshotError,
    },
    /// The metadata of partitions that are there is not.
    #[error(
        "{}: the cluster's metadata is not there, but {} holds partitions; \
         set metadata.log.dir to where it is, or restore it from a copy", dir.display(), partitions.display()
    )]
    Missing {
        /// Where the metadata log was expected.
        dir: PathBuf,
        /// A log directory with partitions.
        partitions: PathBuf,
    },
    /// Durable metadata is broken.
    #[error("{METADATA_TOPIC}-0: {0}; restore the directory from a copy")]
    Broken(String),
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Instant,
}

/// The metadata log, open for appends.
pub(super) struct MetaLog<D: Disk> {
    env: LogEnv<D>,
    log_dir: LogDir<D>,
    log: Log<D>,
    dir: PathBuf,
    epoch: LeaderEpoch,
    snapshots_wanted: MetadataSnapshots,
    bytes_since_snapshot: u64,
    /// When the last snapshot was written, or the log opened.
    last_snapshot: Instant,
    last_append: Timestamp,
}

impl<D: Disk> MetaLog<D> {
    /// Opens or creates the log below `parent`, which is formatted, and reads the metadata back. It is not
    /// created where `with_partitions` names partitions that it should know: they would all become strays.
    pub(super) async fn open(
        env: LogEnv<D>,
        parent: PathBuf,
        cluster_id: &str,
        with_partitions: Option<&Path>,
        snapshots_wanted: MetadataSnapshots,
        now: Now,
    ) -> Result<(Self, MetadataImage), MetaLogError> {
        let topic = TopicName::new(METADATA_TOPIC).expect("Kafka's name is legal");
        let name = TopicPartition { topic, partition: 0 };
        let dir = parent.join(name.dir_name());
        let log_dir = LogDir::open(env.clone(), parent).await?;
        let exists = log_dir.partitions().await?.contains(&name);
        if let Some(partitions) = with_partitions.filter(|_| !exists) {
            return Err(MetaLogError::Missing { dir, partitions: partitions.to_owned() });
        }
        let config = LogConfig { segment_ms: i64::MAX, ..LogConfig::default() };
        let log = if exists {
            let (log, report) = log_dir.load_log(name, config, now.wall).await?;
            if let Some(broken) = report.broken.first() {
                let (file, cause) = (broken.file.display(), &broken.cause);
                return Err(MetaLogError::Broken(format!("{file}, byte {}: {cause}", broken.position)));
            }
            log
        } else {
            log_dir.create_log(name, Uuid::METADATA_TOPIC, config, now.wall).await?
        };
        let mut meta_log = Self {
            env,
            log_dir,
            log,
            dir,
            epoch: LeaderEpoch::ZERO,
            snapshots_wanted,
            bytes_since_snapshot: 0,
            last_snapshot: now.monotonic,
            last_append: now.wall,
        };
        let image = meta_log.read_back(cluster_id).await?;
        Ok((meta_log, image))
    }

    /// The newest snapshot that is whole, and everything in the log behind it.
    async fn read_back(&mut self, cluster_id: &str) -> Result<MetadataImage, MetaLogError> {
        let mut image =
            self.newest_snapshot(cluster_id).await?.unwrap_or_else(|| MetadataImage::new(cluster_id));
        let end = self.log.written_end_offset();
        while image.end_offset() < end {
            let from = image.end_offset();
            let read = self.log.read(from, end, READ_BYTES, true).await?;
            let bytes = joined(&read.chunks);
            for delta in batch::decode_batches(&bytes) {
                let delta = match delta {
                    Ok(delta) => delta,
                    // The last batch of a read may be cut short.
                    Err(_) if from < image.end_offset() => break,
                    Err(error) => return Err(MetaLogError::Batch { offset: image.end_offset(), error }),
                };
                if delta.last_offset < image.end_offset() {
                    continue;
                }
                let offset = delta.first_offset;
                image.apply_delta(&delta).map_err(|error| MetaLogError::Image { offset, error })?;
            }
            self.bytes_since_snapshot += read.bytes as u64;
        }
        Ok(image)
    }

    async fn newest_snapshot(&self, cluster_id: &str) -> Result<Option<MetadataImage>, MetaLogError> {
        let mut failure = None;
        for (id, name) in self.snapshots().await? {
            let file = self.dir.join(name);
            let bytes = Bytes::from(self.env.disk().read_file(&file, SNAPSHOT_BYTES_MAX).await?);
            match snapshot::decode(cluster_id, id, &bytes) {
                Ok(snapshot) => return Ok(Some(snapshot.image)),
                Err(error) => {
                    tracing::error!(target: "control", file = %file.display(), %error, "unreadable snapshot");
                    failure.get_or_insert(MetaLogError::Snapshot { file, error });
                }
            }
        }
        match failure {
            // The log still begins at zero: nothing depends on the snapshot.
            Some(_) if self.log.log_start_offset() == Offset::ZERO => Ok(None),
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// The snapshots, newest first.
    async fn snapshots(&self) -> Result<Vec<(SnapshotId, String)>, MetaLogError> {
        let entries = self.env.disk().list(&self.dir).await?;
        let mut found: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| Some((SnapshotId::from_file_name(&entry.name)?, entry.name)))
            .collect();
        found.sort_by(|left, right| right.1.cmp(&left.1));
        Ok(found)
    }

    /// Takes over the log: a new epoch begins with a leader change (`LeaderChangeMessage`), durable on
    /// return. Moves `image` past it.
    pub(super) async fn begin_epoch(
        &mut self,
        leader: NodeId,
        image: &mut MetadataImage,
        now: Timestamp,
    ) -> Result<(), MetaLogError> {
        self.epoch =
            self.log.latest_epoch().map_or(LeaderEpoch(1), |latest| LeaderEpoch(latest.0.saturating_add(1)));
        let offset = self.log.staged_end_offset();
        self.log.start_epoch(self.epoch, offset);
        self.stage_batch(&batch::encode_leader_change(self.place(offset, now), leader), now)?;
        self.commit().await?;
        let end = self.log.written_end_offset();
        image.advance(end, self.epoch).map_err(|error| MetaLogError::Image { offset, error })
    }

    /// Stages one batch of records; [`MetaLog::commit`] makes it durable.
    pub(super) fn stage(&mut self, delta: &MetadataDelta, now: Timestamp) -> Result<(), MetaLogError> {
        assert_eq!(
            delta.first_offset,
            self.log.staged_end_offset(),
            "the controller knows where the log ends"
        );
        let place = self.place(delta.first_offset, now);
        self.stage_batch(&batch::encode_records(place, &delta.records), now)
    }

    fn place(&self, base_offset: Offset, timestamp: Timestamp) -> BatchPlace {
        BatchPlace { base_offset, epoch: self.epoch, timestamp }
    }

    fn stage_batch(&mut self, bytes: &Bytes, now: Timestamp) -> Result<(), MetaLogError> {
        let header = BatchHeader::decode(bytes).expect("a batch that was just built has a header");
        let batch = BatchToAppend { header, bytes, append_time: None, is_crc_checked: true };
        let context = AppendContext { leader_epoch: self.epoch, origin: AppendOrigin::Coordinator, now };
        self.log.append(&[batch], context)?;
        self.bytes_since_snapshot += bytes.len() as u64;
        self.last_append = now;
        Ok(())
    }

    /// Makes everything staged durable: on one node that is what "committed" means.
    pub(super) async fn commit(&self) -> Result<(), MetaLogError> {
        self.log.flush(WriteSync::Data).await?;
        Ok(())
    }

    /// How long until a snapshot is due because of the time since the last one; `None` while nothing was
    /// appended.
    pub(super) fn snapshot_due_in(&self, image: &MetadataImage, now: Instant) -> Option<Duration> {
        let interval = self.snapshots_wanted.interval_max?;
        let has_news = 0 < self.bytes_since_snapshot && !image.in_transaction();
        has_news.then(|| interval.saturating_sub(now.saturating_duration_since(self.last_snapshot)))
    }

    /// Writes a snapshot when enough was appended since the last one, or enough time has passed, and drops
    /// old ones (`SnapshotGenerator`).
    pub(super) async fn maybe_snapshot(
        &mut self,
        image: &MetadataImage,
        now: Now,
    ) -> Result<(), MetaLogError> {
        let is_large = self.snapshots_wanted.record_bytes_max <= self.bytes_since_snapshot;
        let is_old = self.snapshot_due_in(image, now.monotonic).is_some_and(|left| left.is_zero());
        if !(is_large || is_old) || image.in_transaction() {
            return Ok(());
        }
        let id = SnapshotId::of(image);
        let times = SnapshotTimes { last_contained: self.last_append, now: now.wall };
        let contents: Vec<u8> = snapshot::encode(image, times).flatten().collect();
        self.env.disk().replace_file(&self.dir.join(id.to_string()), &contents).await?;
        self.bytes_since_snapshot = 0;
        self.last_snapshot = now.monotonic;
        self.log.checkpoint().await?;
        self.log_dir.write_checkpoints(&[self.to_checkpoint()]).await?;
        let (end_offset, bytes) = (id.end_offset, contents.len());
        tracing::info!(target: "control", %end_offset, bytes, "metadata snapshot");
        for (_, name) in self.snapshots().await?.into_iter().skip(SNAPSHOTS_KEPT) {
            self.env.disk().remove_file(&self.dir.join(name)).await?;
        }
        Ok(())
    }

    /// Closes the log, whole.
    pub(super) async fn close(&self) -> Result<(), MetaLogError> {
        self.log.close_clean().await?;
        self.log_dir.close_clean(&[self.to_checkpoint()], NO_BROKER_EPOCH).await?;
        Ok(())
    }

    fn to_checkpoint(&self) -> CheckpointedLog<'_, D> {
        CheckpointedLog { log: &self.log, high_watermark: self.log.written_end_offset() }
    }
}

fn joined(chunks: &[Bytes]) -> Bytes {
    match chunks {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
