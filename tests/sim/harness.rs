//! One seed: incarnations of a broker over one disk, each ended by a crash.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use corelog::disk::memory::{Crash, FaultPlan, MemoryDisk, Simulation, block_on, yield_turns};
use corelog::disk::{BLOCK, Disk, DiskFile, OpenMode, align_up};
use corelog::log::{CheckpointedLog, EnvConfig, Journal, JournalConfig, Log, LogConfig, LogDir, LogEnv};
use corelog::record::batch::Batches;
use corelog::types::{Offset, Prng, Timestamp, TopicName, TopicPartition, Uuid};

use super::cleaning::Cleaner;
use super::model::{Acks, Compaction, Model};
use super::producer::Producer;
use super::sabotage::{Sabotage, SabotagedDisk};
use super::tasks::{Flusher, Journaler, read_somewhere};

const LOGS: usize = 2;
const PRODUCERS_PER_LOG: usize = 3;
const START: Timestamp = Timestamp(1_700_000_000_000);

/// How an incarnation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Crash(Crash),
    /// An orderly stop, after which the power goes.
    CleanStop,
}

/// What a seed went through: a simulation that is never in trouble proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Coverage {
    pub(crate) acknowledged: usize,
    pub(crate) duplicates: usize,
    pub(crate) segments: usize,
    pub(crate) process_crashes: usize,
    pub(crate) machine_crashes: usize,
    pub(crate) clean_stops: usize,
    pub(crate) crashes_during_recovery: usize,
    pub(crate) truncations: usize,
    pub(crate) logs_offline: usize,
    pub(crate) journaled: usize,
    pub(crate) restored: usize,
    pub(crate) created_anew: usize,
    pub(crate) damaged_snapshots: usize,
    pub(crate) damaged_indexes: usize,
    /// Starts that read part of what a log's segments hold.
    pub(crate) partial_walks: usize,
    /// Compactions that went to their end, and what they took away.
    pub(crate) cleanings: usize,
    pub(crate) cleaned_bytes: u64,
    /// Starts that found a compacted segment half written, and half swapped in.
    pub(crate) cleanings_cut_short: usize,
    pub(crate) swaps_cut_short: usize,
}

impl std::ops::AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.segments += other.segments;
        self.process_crashes += other.process_crashes;
        self.machine_crashes += other.machine_crashes;
        self.clean_stops += other.clean_stops;
        self.crashes_during_recovery += other.crashes_during_recovery;
        self.truncations += other.truncations;
        self.logs_offline += other.logs_offline;
        self.journaled += other.journaled;
        self.restored += other.restored;
        self.created_anew += other.created_anew;
        self.damaged_snapshots += other.damaged_snapshots;
        self.damaged_indexes += other.damaged_indexes;
        self.partial_walks += other.partial_walks;
        self.cleanings += other.cleanings;
        self.cleaned_bytes += other.cleaned_bytes;
        self.cleanings_cut_short += other.cleanings_cut_short;
        self.swaps_cut_short += other.swaps_cut_short;
    }
}

/// One log with those who know it from outside.
#[derive(Clone)]
pub(super) struct Partition {
    pub(super) topic_partition: TopicPartition,
    pub(super) compaction: Compaction,
    pub(super) model: Rc<RefCell<Model>>,
    pub(super) producers: Rc<RefCell<Vec<Producer>>>,
}

/// The state that outlives the broker.
struct World {
    seed: u64,
    prng: Prng,
    disk: SabotagedDisk,
    config: LogConfig,
    journal: Option<JournalConfig>,
    /// Logs that were created so far.
    logs_created: usize,
    partitions: Vec<Partition>,
    now: Timestamp,
    sabotage: Sabotage,
    /// The first promise that a task saw broken.
    violation: Rc<RefCell<Option<String>>>,
    coverage: Coverage,
    /// Batches that went into the journal.
    journaled: Rc<Cell<usize>>,
    /// Compactions and the bytes they took away.
    cleaned: Rc<Cell<(usize, u64)>>,
}

/// Runs all incarnations of a seed.
pub(crate) fn run_seed(seed: u64, sabotage: Sabotage) -> Result<Coverage, String> {
    let mut world = World::new(seed, sabotage);
    let incarnations = 2 + world.prng.below(4);
    let mut logs = world.create()?;
    for _ in 0..incarnations {
        let end = world.live(logs)?;
        logs = world.recover(end)?;
    }
    world.coverage.journaled = world.journaled.get();
    (world.coverage.cleanings, world.coverage.cleaned_bytes) = world.cleaned.get();
    Ok(world.coverage)
}

type OpenLogs = (Rc<LogDir<SabotagedDisk>>, Vec<Log<SabotagedDisk>>);

impl World {
    fn new(seed: u64, sabotage: Sabotage) -> Self {
        let mut prng = Prng::new(seed ^ salt());
        let disk = SabotagedDisk::new(MemoryDisk::new(prng.next_u64(), FaultPlan::default()));
        let config = LogConfig {
            segment_bytes: [12, 16, 64][prng.below(3) as usize] * 1024,
            index_interval_bytes: [64, 512, 4096][prng.below(3) as usize],
            segment_ms: [200, i64::MAX][prng.below(2) as usize],
            flush_messages: [10, i64::MAX, i64::MAX][prng.below(3) as usize],
            retention_ms: None,
            ..LogConfig::default()
        };
        let compaction = draw_compaction(&mut prng);
        let partitions = (0..LOGS).map(|index| Partition::new(index, compaction, &mut prng)).collect();
        let journal = draw_journal(&mut prng);
        let (violation, coverage) = (Rc::default(), Coverage::default());
        let (now, logs_created) = (START, LOGS);
        Self {
            seed,
            prng,
            disk,
            config,
            journal,
            logs_created,
            partitions,
            now,
            sabotage,
            violation,
            coverage,
            journaled: Rc::default(),
            cleaned: Rc::default(),
        }
        .with_compaction(compaction)
    }

    fn with_compaction(mut self, compaction: Compaction) -> Self {
        self.config.cleanup_policy.compact = compaction != Compaction::Never;
        self.config.cleanup_policy.delete = compaction == Compaction::Never;
        if compaction == Compaction::DropsTombstones {
            self.config.delete_retention_ms = 0;
        }
        self
    }

    fn env(&mut self) -> LogEnv<SabotagedDisk> {
        let cache_bytes = [0, 64 * 1024, 1 << 20][self.prng.below(3) as usize];
        let seed = self.prng.next_u64();
        LogEnv::new(self.disk.clone(), EnvConfig { cache_bytes, open_files: 2, sends_files: false, seed })
    }

    /// A new directory with empty logs.
    fn create(&mut self) -> Result<OpenLogs, String> {
        let env = self.env();
        let created = block_on(async {
            let dir = LogDir::open(env, dir_path()).await?;
            dir.load_cleaned_ends().await?;
            let mut logs = Vec::new();
            for partition in &self.partitions {
                let tp = partition.topic_partition.clone();
                logs.push(dir.create_log(tp, Uuid(7), self.config.clone(), self.now).await?);
            }
            dir.start_journal(self.journal).await?;
            self.disk.inner.sync_all_names();
            Ok((Rc::new(dir), logs))
        });
        created.map_err(|error: corelog::log::LogError| error.to_string())
    }

    /// Lets the broker run until it ends.
    fn live(&mut self, logs: OpenLogs) -> Result<End, String> {
        let plan = self.draw_faults();
        self.disk.inner.set_plan(plan);
        let (dir, mut logs) = logs;
        let (mut simulation, mut stop) = self.run(&dir, &logs);
        let end = self.draw_end(plan);
        if !is_faulty(plan) && self.prng.chance(1, 4) {
            stop.set(true);
            if !simulation.run(1_000_000) {
                return Err("the tasks do not stop".to_owned());
            }
            self.now = simulation.clock().now();
            self.create_anew(&dir, &mut logs)?;
            (simulation, stop) = self.run(&dir, &logs);
        }
        if end == End::CleanStop {
            stop.set(true);
            if !simulation.run(1_000_000) {
                return Err("the tasks do not stop".to_owned());
            }
            self.stop_cleanly(&dir, &logs)?;
        }
        self.now = simulation.clock().now();
        self.note(end, &logs);
        if self.sabotage == Sabotage::SnapshotBeforeSync {
            logs.iter().for_each(|log| self.snapshot_ahead(log));
        }
        drop(simulation);
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(end),
        }
    }

    /// Runs the broker's tasks for a while.
    fn run(
        &mut self,
        dir: &Rc<LogDir<SabotagedDisk>>,
        logs: &[Log<SabotagedDisk>],
    ) -> (Simulation, Rc<Cell<bool>>) {
        let mut simulation = Simulation::new(self.prng.next_u64(), self.now);
        let stop = Rc::new(Cell::new(false));
        let journal = dir.journal();
        for (log, partition) in logs.iter().zip(self.partitions.clone()) {
            self.spawn_tasks(&mut simulation, log, &partition, &stop, journal.as_ref());
            if partition.compaction != Compaction::Never {
                self.spawn_cleaner(&mut simulation, dir, log, &stop);
            }
        }
        self.spawn_checkpointer(&mut simulation, dir, logs, &stop);
        if let Some(journal) = journal {
            self.spawn_journal(&mut simulation, &journal, logs, &stop);
        }
        let mut steps = [100, 1_000, 5_000][self.prng.below(3) as usize];
        steps += self.prng.below(100);
        simulation.run(steps);
        (simulation, stop)
    }

    /// Deletes a log and creates it again with the same topic id, as a partition that was moved away and
    /// back. Nothing of the old one may be found in it.
    fn create_anew(
        &mut self,
        dir: &LogDir<SabotagedDisk>,
        logs: &mut [Log<SabotagedDisk>],
    ) -> Result<(), String> {
        self.coverage.created_anew += 1;
        let index = self.prng.below(logs.len() as u64) as usize;
        let tp = self.partitions[index].topic_partition.clone();
        let created = block_on(async {
            dir.delete_log(&logs[index], self.now).await?;
            dir.create_log(tp, Uuid(7), self.config.clone(), self.now).await
        });
        logs[index] = created.map_err(|error: corelog::log::LogError| error.to_string())?;
        self.partitions[index].renew(self.logs_created, &mut self.prng);
        self.logs_created += 1;
        Ok(())
    }

    fn note(&mut self, end: End, logs: &[Log<SabotagedDisk>]) {
        match end {
            End::Crash(Crash::Process) => self.coverage.process_crashes += 1,
            End::Crash(Crash::Machine) => self.coverage.machine_crashes += 1,
            End::CleanStop => self.coverage.clean_stops += 1,
        }
        for (log, partition) in logs.iter().zip(&self.partitions) {
            let is_offline = log.offline_cause().is_some() && end != End::CleanStop;
            self.coverage.logs_offline += usize::from(is_offline);
            self.coverage.segments += log.segment_count();
            let mut model = partition.model.borrow_mut();
            self.coverage.acknowledged += std::mem::take(&mut model.acknowledgements);
            self.coverage.duplicates += std::mem::take(&mut model.duplicates);
        }
    }

    fn draw_faults(&mut self) -> FaultPlan {
        let ops = self.disk.inner.ops();
        let mut plan = FaultPlan { turns_max: 4, ..FaultPlan::default() };
        if self.prng.chance(1, 2) {
            plan.short_write_in = 3;
        }
        match self.prng.below(8) {
            0 => plan.eio_on_op = Some(ops + 1 + self.prng.below(200)),
            1 => plan.sync_failure_on = Some(self.disk.inner.syncs() + 1 + self.prng.below(20)),
            2 => plan.space_bytes = Some(self.disk.inner.used_bytes() + self.prng.below(100_000)),
            _ => {}
        }
        plan
    }

    fn draw_end(&mut self, plan: FaultPlan) -> End {
        match self.prng.below(5) {
            0 if !is_faulty(plan) => End::CleanStop,
            1 | 2 => End::Crash(Crash::Process),
            _ => End::Crash(Crash::Machine),
        }
    }

    fn spawn_tasks(
        &mut self,
        simulation: &mut Simulation,
        log: &Log<SabotagedDisk>,
        partition: &Partition,
        stop: &Rc<Cell<bool>>,
        journal: Option<&Journal<SabotagedDisk>>,
    ) {
        let flusher = Flusher {
            log: log.clone(),
            journal: journal.cloned(),
            partition: partition.clone(),
            prng: Prng::new(self.prng.next_u64()),
            stop: stop.clone(),
            clock: simulation.clock(),
        };
        simulation.spawn(flusher.run());
        let (log, partition, stop) = (log.clone(), partition.clone(), stop.clone());
        let (clock, sabotage, violation) = (simulation.clock(), self.sabotage, self.violation.clone());
        let mut prng = Prng::new(self.prng.next_u64());
        let producing = {
            let (log, partition, stop, violation) =
                (log.clone(), partition.clone(), stop.clone(), violation.clone());
            async move {
                while !stop.get() {
                    yield_turns(1 + prng.below(4)).await;
                    let mut producers = partition.producers.borrow_mut();
                    let producer = prng.below(producers.len() as u64) as usize;
                    let mut model = partition.model.borrow_mut();
                    let done = producers[producer].act(&log, &mut model, clock.now(), sabotage);
                    if let Err(text) = done {
                        violation.borrow_mut().get_or_insert(text);
                    }
                }
            }
        };
        simulation.spawn(producing);
        let mut prng = Prng::new(self.prng.next_u64());
        simulation.spawn(async move {
            while !stop.get() {
                yield_turns(1 + prng.below(20)).await;
                if let Err(text) = read_somewhere(&log, &partition, &mut prng).await {
                    violation.borrow_mut().get_or_insert(text);
                }
            }
        });
    }

    /// What a shard does for a journal: commits what is staged, and keeps files free.
    fn spawn_journal(
        &mut self,
        simulation: &mut Simulation,
        journal: &Journal<SabotagedDisk>,
        logs: &[Log<SabotagedDisk>],
        stop: &Rc<Cell<bool>>,
    ) {
        let journaler = Journaler {
            journal: journal.clone(),
            logs: logs.to_vec(),
            partitions: self.partitions.clone(),
            prng: Prng::new(self.prng.next_u64()),
            stop: stop.clone(),
            journaled: self.journaled.clone(),
        };
        simulation.spawn(journaler.run());
        let (journal, logs, stop) = (journal.clone(), logs.to_vec(), stop.clone());
        let mut prng = Prng::new(self.prng.next_u64());
        simulation.spawn(async move {
            while !stop.get() {
                yield_turns(1 + prng.below(10)).await;
                if journal.wants_maintenance()
                    && let Err(error) = journal.maintain().await
                {
                    logs.iter().for_each(|log| log.take_offline(&error.to_string()));
                    return;
                }
            }
        });
    }

    fn spawn_cleaner(
        &mut self,
        simulation: &mut Simulation,
        dir: &Rc<LogDir<SabotagedDisk>>,
        log: &Log<SabotagedDisk>,
        stop: &Rc<Cell<bool>>,
    ) {
        let cleaner = Cleaner {
            dir: dir.clone(),
            log: log.clone(),
            prng: Prng::new(self.prng.next_u64()),
            stop: stop.clone(),
            clock: simulation.clock(),
            cleaned: self.cleaned.clone(),
        };
        simulation.spawn(cleaner.run());
    }

    /// Notes what a cut short compaction has left, and may lose it.
    fn note_leftovers(&mut self) {
        for partition in &self.partitions {
            let dir = dir_path().join(partition.topic_partition.dir_name());
            let Ok(entries) = block_on(self.disk.inner.list(&dir)) else { continue };
            let has = |suffix: &str| entries.iter().any(|entry| entry.name.ends_with(suffix));
            self.coverage.cleanings_cut_short += usize::from(has(".cleaned"));
            self.coverage.swaps_cut_short += usize::from(has(".swap") && !has(".cleaned"));
            if self.sabotage == Sabotage::LoseSwaps {
                for entry in entries.iter().filter(|entry| entry.name.ends_with(".swap")) {
                    block_on(self.disk.inner.remove_file(&dir.join(&entry.name)))
                        .expect("it was just listed");
                }
            }
        }
    }

    /// Writes the checkpoint files now and then.
    fn spawn_checkpointer(
        &mut self,
        simulation: &mut Simulation,
        dir: &Rc<LogDir<SabotagedDisk>>,
        logs: &[Log<SabotagedDisk>],
        stop: &Rc<Cell<bool>>,
    ) {
        let (dir, logs, stop) = (dir.clone(), logs.to_vec(), stop.clone());
        let mut prng = Prng::new(self.prng.next_u64());
        simulation.spawn(async move {
            while !stop.get() {
                yield_turns(prng.below(100)).await;
                let logs: Vec<_> =
                    logs.iter().map(|log| CheckpointedLog { log, high_watermark: Offset::ZERO }).collect();
                let _ = dir.write_checkpoints(&logs).await;
            }
        });
    }

    fn stop_cleanly(
        &mut self,
        dir: &LogDir<SabotagedDisk>,
        logs: &[Log<SabotagedDisk>],
    ) -> Result<(), String> {
        let stopped = block_on(async {
            for log in logs {
                log.close_clean().await?;
            }
            let logs: Vec<_> =
                logs.iter().map(|log| CheckpointedLog { log, high_watermark: Offset::ZERO }).collect();
            dir.close_clean(&logs, 1).await
        });
        for (log, partition) in logs.iter().zip(&self.partitions) {
            partition.note_ends(log);
        }
        stopped.map_err(|error| format!("clean stop: {error}"))
    }

    /// Leaves a producer snapshot, durable and whole, at the written end.
    fn snapshot_ahead(&self, log: &Log<SabotagedDisk>) {
        let count = [0; 4];
        let snapshot = [&[0, 1], &crc32c::crc32c(&count).to_be_bytes()[..], &count].concat();
        let path = log.dir().join(format!("{:020}.snapshot", log.written_end_offset().0));
        let _ = block_on(self.disk.inner.replace_file(&path, &snapshot));
    }

    /// Damages files that recovery has to check before it believes them: offset indexes, which are written
    /// without a sync, and snapshots, which carry a checksum.
    fn damage_hints(&mut self) {
        for partition in &self.partitions {
            let dir = dir_path().join(partition.topic_partition.dir_name());
            let Ok(entries) = block_on(self.disk.inner.list(&dir)) else { continue };
            for entry in entries {
                let is_index = entry.name.ends_with(".index");
                if !(is_index || entry.name.ends_with(".snapshot")) || !self.prng.chance(1, 3) {
                    continue;
                }
                let count = if is_index {
                    &mut self.coverage.damaged_indexes
                } else {
                    &mut self.coverage.damaged_snapshots
                };
                *count += 1;
                let path = dir.join(entry.name);
                let position = self.prng.below(entry.len.max(1));
                block_on(async {
                    match self.prng.below(3) {
                        0 => drop(self.disk.inner.remove_file(&path).await),
                        1 => {
                            let file = self.disk.inner.open(&path, OpenMode::Write).await;
                            let file = file.expect("the file was just listed");
                            file.truncate(position).await.expect("no faults are planned");
                        }
                        _ if entry.len == 0 => {}
                        _ => {
                            let bit = self.prng.below(8) as u32;
                            self.disk.inner.flip_bit(&path, position as usize, bit).expect("it is that long");
                        }
                    }
                });
            }
        }
    }

    /// Loses what the end of the incarnation loses, opens the logs again and checks them.
    fn recover(&mut self, end: End) -> Result<OpenLogs, String> {
        let crash = match end {
            End::Crash(crash) => crash,
            End::CleanStop => Crash::Machine,
        };
        self.disk.inner.set_plan(FaultPlan { turns_max: 1, ..FaultPlan::default() });
        self.lose(crash);
        self.note_leftovers();
        if self.prng.chance(1, 4) && end != End::CleanStop {
            self.damage_hints();
        }
        if self.prng.chance(1, 4) && end != End::CleanStop {
            self.crash_during_recovery();
        }
        let (dir, logs) = self.open(end)?;
        for (log, partition) in logs.iter().zip(&self.partitions) {
            if self.sabotage == Sabotage::ForgetProducers {
                log.expire_producers(Timestamp(i64::MAX));
            }
            let mut model = partition.model.borrow_mut();
            block_on(model.check(log, &mut self.prng))
                .map_err(|text| format!("{} after {end:?}: {text}", partition.topic_partition))?;
        }
        Ok((dir, logs))
    }

    fn lose(&mut self, crash: Crash) {
        self.disk.inner.crash(crash);
        for partition in &self.partitions {
            if crash == Crash::Machine {
                partition.model.borrow_mut().forgive_unsynced();
            }
            for producer in partition.producers.borrow_mut().iter_mut() {
                producer.reconnect(crash == Crash::Machine);
            }
        }
    }

    /// Recovers for a while, then crashes again: recovery must not depend on being left to finish.
    fn crash_during_recovery(&mut self) {
        self.coverage.crashes_during_recovery += 1;
        let mut simulation = Simulation::new(self.prng.next_u64(), self.now);
        let (env, config, now) = (self.env(), self.config.clone(), self.now);
        let journal = self.journal;
        let partitions: Vec<_> =
            self.partitions.iter().map(|partition| partition.topic_partition.clone()).collect();
        self.disk.skip_truncation(self.sabotage == Sabotage::SkipTruncation);
        simulation.spawn(async move {
            let Ok(dir) = LogDir::open(env, dir_path()).await else { return };
            for partition in partitions {
                if dir.load_log(partition, config.clone(), now).await.is_err() {
                    return;
                }
            }
            let _ = dir.start_journal(journal).await;
        });
        simulation.run(self.prng.below(150));
        drop(simulation);
        self.disk.skip_truncation(false);
        let crash = if self.prng.chance(1, 2) { Crash::Machine } else { Crash::Process };
        self.lose(crash);
    }

    fn open(&mut self, end: End) -> Result<OpenLogs, String> {
        let env = self.env();
        self.disk.skip_truncation(self.sabotage == Sabotage::SkipTruncation);
        if self.prng.chance(1, 8) {
            // The operator changed the configuration.
            self.journal = draw_journal(&mut self.prng);
        }
        let opened = block_on(async {
            let dir = LogDir::open(env, dir_path()).await?;
            dir.load_cleaned_ends().await?;
            let broken = dir.broken_frames();
            let mut logs = Vec::new();
            for partition in &self.partitions {
                let tp = partition.topic_partition.clone();
                logs.push(dir.load_log(tp, self.config.clone(), self.now).await?);
            }
            dir.start_journal(self.journal).await?;
            Ok((dir, logs, broken))
        });
        self.disk.skip_truncation(false);
        let (dir, logs, broken) = opened.map_err(|error: corelog::log::LogError| format!("open: {error}"))?;
        if !broken.is_empty() {
            return Err(format!("a crash is taken for a broken journal: {broken:?}"));
        }
        if (end == End::CleanStop) != dir.clean_shutdown().is_some() {
            return Err(format!("after {end:?}, the marker says {:?}", dir.clean_shutdown()));
        }
        for (log, report) in &logs {
            self.coverage.partial_walks += usize::from(report.walked_bytes < log.size_bytes());
            self.coverage.truncations += usize::from(report.truncated.is_some());
            self.coverage.restored += report.restored.batches as usize;
            if end == End::CleanStop && report.restored.batches != 0 {
                return Err(format!("after a clean stop, the journal has {:?}", report.restored));
            }
            if !report.is_intact() || (end == End::CleanStop && report.truncated.is_some()) {
                return Err(format!("seed {}: a disk that is sound is called broken: {report:?}", self.seed));
            }
        }
        for (log, _) in &logs {
            self.check_last_segment(log)?;
        }
        Ok((Rc::new(dir), logs.into_iter().map(|(log, _)| log).collect()))
    }

    /// The last segment of a log that was just opened holds batches up to the log's end and then nothing:
    /// bytes of a torn batch that stay there would be taken for records once the log has grown over them.
    /// Behind a block of zeros there may be some, which are cut off before the segment is written again.
    fn check_last_segment(&self, log: &Log<SabotagedDisk>) -> Result<(), String> {
        const SEGMENT_BYTES_MAX: usize = 16 << 20;
        let read = async {
            let mut names = self.disk.inner.list(&log.dir()).await?;
            names.retain(|entry| entry.name.ends_with(".log"));
            // The file of a segment comes with its first batch.
            let Some(last) = names.pop() else { return Ok((String::new(), Vec::new())) };
            let contents = self.disk.inner.read_file(&log.dir().join(&last.name), SEGMENT_BYTES_MAX).await?;
            Ok((last.name, contents))
        };
        let read: Result<_, corelog::disk::DiskError> = block_on(read);
        let (name, contents) = read.map_err(|error| error.to_string())?;
        let end = log.staged_end_offset();
        let batches = Batches::new(&contents).map_while(Result::ok);
        let whole = batches.take_while(|(_, header, _)| header.next_offset() <= end);
        let len = whole.last().map_or(0, |(position, _, batch)| position + batch.len());
        let looked_at = (align_up(len as u64) as usize + BLOCK).min(contents.len());
        match contents[len..looked_at].iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(format!("{name}: a torn batch was left at {}, behind the end {end}", len + at)),
        }
    }
}

fn is_faulty(plan: FaultPlan) -> bool {
    plan.eio_on_op.is_some() || plan.sync_failure_on.is_some() || plan.space_bytes.is_some()
}

/// Two of three directories have a journal.
fn draw_journal(prng: &mut Prng) -> Option<JournalConfig> {
    let journal = JournalConfig {
        file_bytes: [32, 48, 128][prng.below(3) as usize] * 1024,
        files_max: 2 + prng.below(4) as usize,
        bypass_bytes: [500, 4_000, 1 << 20][prng.below(3) as usize],
        copy_bytes: [0, 300, 1 << 20][prng.below(3) as usize],
    };
    prng.chance(2, 3).then_some(journal)
}

/// Two of five worlds are compacted.
fn draw_compaction(prng: &mut Prng) -> Compaction {
    match prng.below(5) {
        0 => Compaction::KeepsTombstones,
        1 => Compaction::DropsTombstones,
        _ => Compaction::Never,
    }
}

impl Partition {
    fn new(index: usize, compaction: Compaction, prng: &mut Prng) -> Self {
        let topic = TopicName::new("sim").expect("a legal name");
        let partition = Self {
            compaction,
            topic_partition: TopicPartition { topic, partition: index as i32 },
            model: Rc::default(),
            producers: Rc::default(),
        };
        partition.renew(index, prng);
        partition
    }

    /// Tells the model the ends that the log tells now.
    pub(super) fn note_ends(&self, log: &Log<SabotagedDisk>) {
        let mut model = self.model.borrow_mut();
        (model.written_end, model.synced_end) = (log.written_end_offset(), log.synced_end_offset());
    }

    /// Begins again with other producers, who know nothing of what was sent before.
    fn renew(&self, log: usize, prng: &mut Prng) {
        let mut model = Model { compaction: self.compaction, ..Model::default() };
        let kinds = [(Acks::All, true), (Acks::All, true), (Acks::One, true), (Acks::One, false)];
        let producers = (0..PRODUCERS_PER_LOG).map(|producer| {
            let (acks, is_idempotent) = kinds[prng.below(kinds.len() as u64) as usize];
            Producer::new(10 * log + producer, acks, is_idempotent, prng.next_u64())
        });
        let producers: Vec<_> = producers.collect();
        for producer in producers.iter().filter(|producer| producer.is_strict()) {
            model.add_strict_producer(producer.index());
        }
        self.model.replace(model);
        self.producers.replace(producers);
    }
}

/// Shifts what every seed does, for other runs than the usual ones.
fn salt() -> u64 {
    let salt = std::env::var("CORELOG_SIM_SALT").ok();
    salt.map_or(0, |salt| salt.parse::<u64>().expect("CORELOG_SIM_SALT is a number") << 32)
}

fn dir_path() -> PathBuf {
    PathBuf::from("/data/shard-00")
}
