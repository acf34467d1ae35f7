//! One Kafka log directory: identity, checkpoints, the clean-shutdown marker and the partitions in it.
//!
//! ```text
//! <dir>/meta.properties                     whose directory this is
//! <dir>/recovery-point-offset-checkpoint    records below were durable
//! <dir>/log-start-offset-checkpoint         records below were deleted
//! <dir>/replication-offset-checkpoint       high watermarks
//! <dir>/cleaner-offset-checkpoint           records below were compacted
//! <dir>/.kafka_cleanshutdown                there after a clean shutdown only
//! <dir>/corelog-journal-<number>            appends that are not in their logs' segments yet
//! <dir>/<topic>-<partition>/                one log
//! <dir>/<topic>-<partition>.<id>-delete/    a log that is being deleted
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{Disk, DiskError};
use crate::types::{Offset, Timestamp, TopicId, TopicPartition, Uuid};

use super::checkpoint::{format_offsets, parse_offsets};
use super::config::LogConfig;
use super::env::LogEnv;
use super::error::LogError;
use super::journal::{BrokenFrames, Journal, JournalConfig, JournalContents, LogKey, PendingEntry};
use super::log::Log;
use super::partition_metadata;
use super::recovery::{OpenWith, RecoveryReport};
use super::retention::RETRY_REMOVAL_MS;

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
const CLEANED_ENDS: &str = "cleaner-offset-checkpoint";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// What the name of a deleted partition's directory ends with (`LogFileUtils.DELETE_DIR_SUFFIX`).
const DELETE_DIR_SUFFIX: &str = "-delete";

/// The longest name of a directory.
const NAME_BYTES_MAX: usize = 255;

/// The largest checkpoint file that is read.
const CHECKPOINT_BYTES_MAX: usize = 256 << 20;

/// A log directory, owned by one shard.
pub struct LogDir<D: Disk> {
    env: LogEnv<D>,
    path: Rc<Path>,
    clean_shutdown: Option<i64>,
    checkpoints: RefCell<Checkpoints>,
    stored: RefCell<StoredContents>,
    deleted: RefCell<Vec<(Timestamp, PathBuf)>>,
    /// Partitions that were not recovered since a crash: the marker would call them clean.
    unrecovered: RefCell<HashSet<TopicPartition>>,
    /// What the journal held at the start, until it is started anew.
    found_journal: RefCell<Option<JournalContents>>,
    journal: RefCell<Option<Journal<D>>>,
}

/// What became of the journal that a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStart {
    /// Logs with entries that were not opened: their topics were deleted, or they were moved.
    pub logs_gone: usize,
}

/// The contents of the checkpoint files.
#[derive(Debug, Default)]
struct Checkpoints {
    recovery_points: HashMap<TopicPartition, Offset>,
    log_starts: HashMap<TopicPartition, Offset>,
    high_watermarks: HashMap<TopicPartition, Offset>,
    cleaned_ends: HashMap<TopicPartition, Offset>,
}

/// What the checkpoint files hold as far as this start wrote them, by their names.
type StoredContents = HashMap<&'static str, Vec<u8>>;

/// A log and its high watermark, to be checkpointed.
pub struct CheckpointedLog<'a, D: Disk> {
    /// The log.
    pub log: &'a Log<D>,
    /// The high watermark to write down.
    pub high_watermark: Offset,
}

impl<D: Disk> LogDir<D> {
    /// Opens a log directory, creating it where it is missing, and takes the clean-shutdown marker away,
    /// durably: from here on a start counts as one after a crash.
    ///
    /// # Errors
    /// A checkpoint that cannot be read as one is `Corrupt`.
    pub async fn open(env: LogEnv<D>, path: PathBuf) -> Result<Self, LogError> {
        let disk = env.disk().clone();
        disk.create_dir_all(&path).await?;
        let clean_shutdown = take_clean_shutdown(&disk, &path).await?;
        let checkpoints = Checkpoints {
            recovery_points: read_offsets(&disk, &path, RECOVERY_POINTS).await?,
            log_starts: read_offsets(&disk, &path, LOG_STARTS).await?,
            high_watermarks: read_offsets(&disk, &path, HIGH_WATERMARKS).await?,
            cleaned_ends: HashMap::new(),
        };
        let dir = Self {
            env,
            path: path.into(),
            clean_shutdown,
            checkpoints: RefCell::new(checkpoints),
            stored: RefCell::default(),
            deleted: RefCell::default(),
            unrecovered: RefCell::default(),
            found_journal: RefCell::new(None),
            journal: RefCell::new(None),
        };
        let found = JournalContents::read(&disk, &dir.path).await?;
        dir.found_journal.replace(Some(found));
        if clean_shutdown.is_none() {
            let partitions = dir.partitions().await?;
            dir.unrecovered.borrow_mut().extend(partitions);
        }
        Ok(dir)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the logs of this directory share.
    pub fn env(&self) -> &LogEnv<D> {
        &self.env
    }

    /// Whether the directory at `path` carries the marker of a clean shutdown, which [`LogDir::open`] takes
    /// away.
    pub async fn is_clean(disk: &D, path: &Path) -> Result<bool, LogError> {
        Ok(disk.list(path).await?.iter().any(|entry| entry.name == CLEAN_SHUTDOWN))
    }

    /// The broker epoch of the clean shutdown before this start; `None` after a crash.
    pub fn clean_shutdown(&self) -> Option<i64> {
        self.clean_shutdown
    }

    /// The partitions in the directory. Removes directories whose deletion was not finished.
    pub async fn partitions(&self) -> Result<Vec<TopicPartition>, LogError> {
        let mut partitions = Vec::new();
        for entry in self.env.disk().list(&self.path).await? {
            if !entry.is_dir {
                continue;
            }
            if is_deleted_dir(&entry.name) {
                self.env.disk().remove_dir_all(&self.path.join(&entry.name)).await?;
            } else if let Some(partition) = TopicPartition::from_dir_name(&entry.name) {
                partitions.push(partition);
            }
        }
        Ok(partitions)
    }

    /// Creates the log of a new partition; see [`Log::create`].
    pub async fn create_log(
        &self,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<Log<D>, LogError> {
        self.forget(&topic_partition).await?;
        let journal = self.journal();
        if let Some(journal) = journal {
            journal.void(topic_id, topic_partition.partition).await?;
        }
        Log::create(self.env.clone(), &self.path, topic_partition, topic_id, config, now).await
    }

    /// Opens the log of a partition that is there, and adds what the journal has of it; see [`Log::open`].
    pub async fn load_log(
        &self,
        topic_partition: TopicPartition,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<(Log<D>, RecoveryReport), LogError> {
        let key = match self.has_journaled() {
            true => Some(self.journal_key(&topic_partition).await?),
            false => None,
        };
        let journaled = key.map(|key| self.journaled(&key)).unwrap_or_default();
        let mut with = {
            let checkpoints = self.checkpoints.borrow();
            let offset = |offsets: &HashMap<_, _>| offsets.get(&topic_partition).copied();
            OpenWith {
                clean: self.clean_shutdown.is_some(),
                recovery_point: offset(&checkpoints.recovery_points).unwrap_or(Offset::ZERO),
                log_start_offset: offset(&checkpoints.log_starts).unwrap_or(Offset::ZERO),
                is_journaled: !journaled.is_empty(),
            }
        };
        let log_start_offset = with.log_start_offset;
        if let Some(first) = journaled.first() {
            // Records that are in the journal only may have been deleted up to here.
            with.log_start_offset = log_start_offset.min(first.base_offset);
        }
        let partition = topic_partition.clone();
        let (log, mut report) =
            Log::open(self.env.clone(), &self.path, topic_partition, config, with, now).await?;
        report.restored = log.restore(&journaled, now).await?;
        if report.truncated.is_some() {
            log.cut_stray().await?;
        }
        log.raise_log_start(log_start_offset);
        if let (Some(key), Some(found)) = (key, self.found_journal.borrow_mut().as_mut()) {
            found.pending.forget(&key);
        }
        self.unrecovered.borrow_mut().remove(&partition);
        Ok((log, report))
    }

    /// What the journal calls a partition.
    async fn journal_key(&self, partition: &TopicPartition) -> Result<LogKey, LogError> {
        let dir = self.path.join(partition.dir_name());
        let topic_id = partition_metadata::read(self.env.disk(), &dir).await?.unwrap_or(Uuid::ZERO);
        Ok(LogKey { topic_id, partition: partition.partition })
    }

    /// What the journal that was found has of a log.
    fn journaled(&self, key: &LogKey) -> Vec<PendingEntry> {
        let found = self.found_journal.borrow();
        found.as_ref().map(|found| found.pending.of(key)).unwrap_or_default()
    }

    /// Whether the journal that was found has entries of logs that were not loaded.
    pub fn has_journaled(&self) -> bool {
        self.found_journal.borrow().as_ref().is_some_and(|found| 0 < found.pending.log_count())
    }

    /// What is broken of the journal that was found, until it is started anew: records that were acknowledged
    /// may be lost.
    pub fn broken_frames(&self) -> Vec<BrokenFrames> {
        self.found_journal.borrow().as_ref().map(|found| found.broken.clone()).unwrap_or_default()
    }

    /// Ends the use of the journal that was found, durably, and begins a new one if there is to be one. To be
    /// called when all logs of the directory are opened, and before anything is appended to any of them:
    /// what the old journal has of a log that goes on differently must not come back.
    pub async fn start_journal(&self, config: Option<JournalConfig>) -> Result<JournalStart, LogError> {
        let Some(found) = self.found_journal.take() else { return Ok(JournalStart::default()) };
        let journal = Journal::open(self.env.disk(), &self.path, &found, config).await?;
        self.journal.replace(journal);
        Ok(JournalStart { logs_gone: found.pending.log_count() })
    }

    /// The journal of the directory, if it has one.
    pub fn journal(&self) -> Option<Journal<D>> {
        self.journal.borrow().clone()
    }

    /// The high watermark last checkpointed for a partition.
    pub fn checkpointed_high_watermark(&self, topic_partition: &TopicPartition) -> Option<Offset> {
        self.checkpoints.borrow().high_watermarks.get(topic_partition).copied()
    }

    /// Reads how far the partitions were compacted. To be called after [`LogDir::open`] where they are.
    pub async fn load_cleaned_ends(&self) -> Result<(), LogError> {
        let cleaned_ends = read_offsets(self.env.disk(), &self.path, CLEANED_ENDS).await?;
        self.checkpoints.borrow_mut().cleaned_ends = cleaned_ends;
        Ok(())
    }

    /// Where the last compaction of a partition ended; `None` when there was none.
    pub fn cleaned_end(&self, topic_partition: &TopicPartition) -> Option<Offset> {
        self.checkpoints.borrow().cleaned_ends.get(topic_partition).copied()
    }

    /// Notes that everything of a partition below `offset` is compacted, durably.
    pub async fn set_cleaned_end(
        &self,
        topic_partition: &TopicPartition,
        offset: Offset,
    ) -> Result<(), LogError> {
        self.checkpoints.borrow_mut().cleaned_ends.insert(topic_partition.clone(), offset);
        self.store(CLEANED_ENDS, |checkpoints| &checkpoints.cleaned_ends).await
    }

    /// Renames the directory of a partition for deletion; its log takes no more reads and writes. No flush
    /// may be under way.
    pub async fn delete_log(&self, log: &Log<D>, now: Timestamp) -> Result<(), LogError> {
        let name = deleted_dir_name(log.topic_partition(), self.env.random_u128());
        let to = self.path.join(name);
        log.close_for_deletion();
        self.env.disk().rename(&log.dir(), &to).await?;
        self.env.disk().sync_dir(&self.path).await?;
        let due = now.saturating_add_ms(log.config().file_delete_delay_ms);
        self.deleted.borrow_mut().push((due, to));
        self.unrecovered.borrow_mut().remove(log.topic_partition());
        self.forget(log.topic_partition()).await
    }

    /// Renames the directory of a partition to `name`, durably: nobody opens it any more. Its log must not be
    /// open.
    pub async fn set_aside(&self, topic_partition: &TopicPartition, name: &str) -> Result<(), LogError> {
        let from = self.path.join(topic_partition.dir_name());
        self.env.disk().rename(&from, &self.path.join(name)).await?;
        self.env.disk().sync_dir(&self.path).await?;
        self.unrecovered.borrow_mut().remove(topic_partition);
        Ok(())
    }

    /// Removes directories that were deleted `file.delete.delay.ms` ago. Returns how many.
    ///
    /// # Errors
    /// The first one; what could not be removed is due again later.
    pub async fn remove_deleted(&self, now: Timestamp) -> Result<usize, LogError> {
        let due: Vec<_> = self.deleted.borrow_mut().extract_if(.., |(due, _)| *due <= now).collect();
        let (mut removed, mut outcome) = (0, Ok(()));
        for (_, dir) in due {
            match self.env.disk().remove_dir_all(&dir).await {
                Err(error) if !error.is_not_found() => {
                    self.deleted.borrow_mut().push((now.saturating_add_ms(RETRY_REMOVAL_MS), dir));
                    outcome = outcome.and(Err(error.into()));
                }
                _ => removed += 1,
            }
        }
        outcome.map(|()| removed)
    }

    /// Writes the recovery points, log starts and high watermarks of `logs`, durably; what is known of other
    /// partitions stays. To bound a recovery, call [`Log::checkpoint`] on those that need it first.
    pub async fn write_checkpoints(&self, logs: &[CheckpointedLog<'_, D>]) -> Result<(), LogError> {
        {
            let mut checkpoints = self.checkpoints.borrow_mut();
            for CheckpointedLog { log, high_watermark } in logs {
                let partition = log.topic_partition();
                let log_start = log.log_start_offset();
                checkpoints.recovery_points.insert(partition.clone(), log.stored_end_offset());
                checkpoints.high_watermarks.insert(partition.clone(), *high_watermark);
                // Kafka leaves out what the oldest segment tells as well.
                if log.first_segment_base() < log_start {
                    checkpoints.log_starts.insert(partition.clone(), log_start);
                }
            }
        }
        self.store(RECOVERY_POINTS, |checkpoints| &checkpoints.recovery_points).await?;
        self.store(LOG_STARTS, |checkpoints| &checkpoints.log_starts).await?;
        self.store(HIGH_WATERMARKS, |checkpoints| &checkpoints.high_watermarks).await
    }

    /// Makes the log starts of `logs` durable: deleted records stay deleted whatever happens next.
    pub async fn write_log_starts(&self, logs: &[&Log<D>]) -> Result<(), LogError> {
        {
            let mut checkpoints = self.checkpoints.borrow_mut();
            for log in logs {
                checkpoints.log_starts.insert(log.topic_partition().clone(), log.log_start_offset());
            }
        }
        self.store(LOG_STARTS, |checkpoints| &checkpoints.log_starts).await
    }

    /// Writes the checkpoints and, if every partition in the directory was recovered since the last crash,
    /// the clean-shutdown marker. All `logs` were closed cleanly before.
    pub async fn close_clean(
        &self,
        logs: &[CheckpointedLog<'_, D>],
        broker_epoch: i64,
    ) -> Result<(), LogError> {
        self.write_checkpoints(logs).await?;
        if let Some(journal) = self.journal() {
            let is_empty = journal.close().await?;
            assert!(is_empty, "logs that were closed have stored everything");
        }
        if !self.unrecovered.borrow().is_empty() {
            return Ok(());
        }
        let marker = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        let path = self.path.join(CLEAN_SHUTDOWN);
        Ok(self.env.disk().replace_file(&path, marker.as_bytes()).await?)
    }

    /// Drops what the checkpoints say of a partition: the next of that name begins at zero.
    async fn forget(&self, topic_partition: &TopicPartition) -> Result<(), LogError> {
        let (had_recovery_point, had_log_start, had_cleaned_end) = {
            let mut checkpoints = self.checkpoints.borrow_mut();
            checkpoints.high_watermarks.remove(topic_partition);
            let recovery_point = checkpoints.recovery_points.remove(topic_partition);
            let log_start = checkpoints.log_starts.remove(topic_partition);
            let cleaned_end = checkpoints.cleaned_ends.remove(topic_partition);
            (Some(Offset::ZERO) < recovery_point, log_start.is_some(), cleaned_end.is_some())
        };
        if had_recovery_point {
            self.store(RECOVERY_POINTS, |checkpoints| &checkpoints.recovery_points).await?;
        }
        if had_log_start {
            self.store(LOG_STARTS, |checkpoints| &checkpoints.log_starts).await?;
        }
        if had_cleaned_end {
            self.store(CLEANED_ENDS, |checkpoints| &checkpoints.cleaned_ends).await?;
        }
        Ok(())
    }

    async fn store(
        &self,
        name: &'static str,
        offsets_of: impl Fn(&Checkpoints) -> &HashMap<TopicPartition, Offset>,
    ) -> Result<(), LogError> {
        let contents = {
            let checkpoints = self.checkpoints.borrow();
            let sorted: BTreeMap<_, _> = offsets_of(&checkpoints).iter().collect();
            format_offsets(sorted.into_iter().map(|(partition, offset)| (partition, *offset)))
        };
        if self.stored.borrow().get(name) == Some(&contents) {
            return Ok(());
        }
        // Should this fail, nobody knows what the file holds.
        self.stored.borrow_mut().remove(name);
        self.env.disk().replace_file(&self.path.join(name), &contents).await?;
        self.stored.borrow_mut().insert(name, contents);
        Ok(())
    }
}

async fn read_offsets<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
) -> Result<HashMap<TopicPartition, Offset>, LogError> {
    let file = dir.join(name);
    let contents = match disk.read_file(&file, CHECKPOINT_BYTES_MAX).await {
        Err(error) if error.is_not_found() => return Ok(HashMap::new()),
        other => other?,
    };
    parse_offsets(&contents).map_err(|error| LogError::Corrupt {
        file,
        position: 0,
        reason: error.to_string(),
    })
}

/// Reads the marker and removes it.
async fn take_clean_shutdown<D: Disk>(disk: &D, dir: &Path) -> Result<Option<i64>, DiskError> {
    const MARKER_BYTES_MAX: usize = 4096;
    let path = dir.join(CLEAN_SHUTDOWN);
    let contents = match disk.read_file(&path, MARKER_BYTES_MAX).await {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    disk.remove_file(&path).await?;
    disk.sync_dir(dir).await?;
    Ok(Some(parse_broker_epoch(&contents)))
}

/// The broker epoch of a marker, -1 for the empty one of older Kafkas (`CleanShutdownFileHandler`).
fn parse_broker_epoch(contents: &[u8]) -> i64 {
    let json: Option<serde_json::Value> = serde_json::from_slice(contents).ok();
    json.and_then(|json| json.get("brokerEpoch")?.as_i64()).unwrap_or(-1)
}

/// `<topic>-<partition>.<32 hex digits>-delete`, the topic shortened where the name would be too long
/// (`LocalLog.logDeleteDirName`).
fn deleted_dir_name(topic_partition: &TopicPartition, id: u128) -> String {
    let suffix = format!("-{}.{id:032x}{DELETE_DIR_SUFFIX}", topic_partition.partition);
    let topic = topic_partition.topic.as_str();
    let kept = topic.len().min(NAME_BYTES_MAX - suffix.len());
    format!("{}{suffix}", &topic[..kept])
}

/// Whether a directory's name was given by [`deleted_dir_name`]; a topic's name may end in "-delete" too,
/// but not a partition's directory.
fn is_deleted_dir(name: &str) -> bool {
    name.strip_suffix(DELETE_DIR_SUFFIX)
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, id)| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::WriteSync;
    use crate::disk::memory::{FaultPlan, MemoryDisk, block_on};
    use crate::log::EnvConfig;
    use crate::log::tests::batch;
    use crate::record::builder::BatchFields;
    use crate::types::{TopicName, Uuid};

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new(topic).unwrap(), partition }
    }

    async fn open(disk: &MemoryDisk) -> LogDir<MemoryDisk> {
        let env = LogEnv::new(
            disk.clone(),
            EnvConfig { cache_bytes: 1 << 20, open_files: 4, sends_files: true, seed: 1 },
        );
        LogDir::open(env, PathBuf::from("/data/shard-00")).await.unwrap()
    }

    #[test]
    fn names_of_deleted_directories_are_kafkas() {
        let name = deleted_dir_name(&partition("orders", 7), 0xab);
        assert_eq!(name, "orders-7.000000000000000000000000000000ab-delete");
        assert!(is_deleted_dir(&name) && TopicPartition::from_dir_name(&name).is_none());
        let long = deleted_dir_name(&partition(&"x".repeat(249), 10), u128::MAX);
        assert!(long.len() == NAME_BYTES_MAX && is_deleted_dir(&long));
        assert!(!is_deleted_dir("to-delete-3") && !is_deleted_dir("x-delete"));
    }

    #[test]
    fn a_log_that_retention_emptied_goes_on_where_it_ended() {
        for (is_checkpointed, is_clean) in [(true, true), (true, false), (false, false)] {
            let disk = MemoryDisk::new(1, FaultPlan::default());
            let config = || LogConfig { retention_ms: Some(1_000), ..LogConfig::default() };
            let (t, now) = (partition("t", 0), crate::log::tests::NOW);
            block_on(async {
                let dir = open(&disk).await;
                let log = dir.create_log(t.clone(), Uuid(9), config(), now).await.unwrap();
                crate::log::tests::append(&log, &batch(3, 10, BatchFields::default())).unwrap();
                log.flush(WriteSync::Data).await.unwrap();
                let later = now.saturating_add_ms(60_000);
                assert_eq!(log.enforce_retention(later, Offset(3)).await, Ok(0), "the active one is rolled");
                log.flush(WriteSync::Data).await.unwrap();
                assert_eq!(log.enforce_retention(later, Offset(3)).await, Ok(1));
                let logs = [CheckpointedLog { log: &log, high_watermark: Offset(3) }];
                if is_checkpointed {
                    dir.write_checkpoints(&logs).await.unwrap();
                }
                if is_clean {
                    log.close_clean().await.unwrap();
                    dir.close_clean(&logs, 1).await.unwrap();
                }

                let dir = open(&disk).await;
                assert_eq!(dir.clean_shutdown().is_some(), is_clean);
                let (log, report) = dir.load_log(t.clone(), config(), now).await.unwrap();
                assert!(report.is_intact(), "checkpointed {is_checkpointed}, clean {is_clean}: {report:?}");
                assert_eq!((log.log_start_offset(), log.staged_end_offset()), (Offset(3), Offset(3)));
                let appended = crate::log::tests::append(&log, &batch(2, 10, BatchFields::default()));
                assert_eq!(appended.unwrap().base_offset, Offset(3));
                log.flush(WriteSync::Data).await.unwrap();

                let (log, report) = open(&disk).await.load_log(t, config(), now).await.unwrap();
                assert!(report.is_intact(), "{report:?}");
                assert_eq!((log.log_start_offset(), log.staged_end_offset()), (Offset(3), Offset(5)));
                assert_eq!(crate::log::tests::read_all(&log, Offset(3), 1 << 20), [(3, 2)]);
            });
        }
    }

    #[test]
    fn directories_that_could_not_be_removed_are_removed_later() {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let now = Timestamp(1);
        block_on(async {
            let dir = open(&disk).await;
            for index in 0..3 {
                let config = LogConfig { file_delete_delay_ms: 0, ..LogConfig::default() };
                let log = dir.create_log(partition("t", index), Uuid(9), config, now).await.unwrap();
                dir.delete_log(&log, now).await.unwrap();
            }
            disk.set_plan(FaultPlan { eio_on_op: Some(disk.ops() + 1), ..FaultPlan::default() });
            assert!(dir.remove_deleted(now).await.is_err());
            assert_eq!(disk.list(dir.path()).await.unwrap().len(), 1, "the others are gone");
            assert_eq!(dir.remove_deleted(now).await, Ok(0));
            assert_eq!(dir.remove_deleted(now.saturating_add_ms(RETRY_REMOVAL_MS)).await, Ok(1));
            assert_eq!(disk.list(dir.path()).await.unwrap().len(), 0);
        });
    }

    #[test]
    fn markers_are_kafkas() {
        assert_eq!(parse_broker_epoch(b"{\"version\":0,\"brokerEpoch\":12}"), 12);
        assert_eq!(parse_broker_epoch(b""), -1);
        assert_eq!(parse_broker_epoch(b"{\"version\":0,\"brokerEpoch\":null}"), -1);
    }

    #[test]
    fn a_directory_lives_through_clean_and_unclean_starts() {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let now = Timestamp(1);
        block_on(async {
            let dir = open(&disk).await;
            assert_eq!(dir.clean_shutdown(), None);
            for index in 0..3 {
                dir.create_log(partition("t", index), Uuid(9), LogConfig::default(), now).await.unwrap();
            }
            let (log, _) = dir.load_log(partition("t", 1), LogConfig::default(), now).await.unwrap();
            dir.delete_log(&log, now).await.unwrap();
            assert!(log.read(Offset::ZERO, Offset::ZERO, 1, true).await.is_err());
            assert_eq!(dir.partitions().await.unwrap(), [partition("t", 0), partition("t", 2)]);
            let (log, _) = dir.load_log(partition("t", 0), LogConfig::default(), now).await.unwrap();
            log.close_clean().await.unwrap();
            let logs = [CheckpointedLog { log: &log, high_watermark: Offset(5) }];
            dir.close_clean(&logs, 77).await.unwrap();

            let dir = open(&disk).await;
            assert_eq!(dir.clean_shutdown(), Some(77));
            assert_eq!(dir.checkpointed_high_watermark(&partition("t", 0)), Some(Offset(5)));
            let dir = open(&disk).await;
            assert_eq!(dir.clean_shutdown(), None);

            // A partition that was not recovered must not be called clean.
            dir.load_log(partition("t", 0), LogConfig::default(), now).await.unwrap();
            dir.close_clean(&[], 78).await.unwrap();
            let dir = open(&disk).await;
            assert_eq!(dir.clean_shutdown(), None);
            for index in [0, 2] {
                dir.load_log(partition("t", index), LogConfig::default(), now).await.unwrap();
            }
            dir.close_clean(&[], 79).await.unwrap();
            assert_eq!(open(&disk).await.clean_shutdown(), Some(79));

            // One that is set aside is no partition any more.
            let dir = open(&disk).await;
            dir.load_log(partition("t", 0), LogConfig::default(), now).await.unwrap();
            dir.set_aside(&partition("t", 2), "t-2.00000000000000000000000000000001-stray").await.unwrap();
            assert_eq!(dir.partitions().await.unwrap(), [partition("t", 0)]);
            dir.close_clean(&[], 80).await.unwrap();
            assert_eq!(open(&disk).await.clean_shutdown(), Some(80));
        });
    }
}
