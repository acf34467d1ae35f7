//! What must be true of a log after a crash, whatever happened before.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use corelog::log::{AppendInfo, Log};
use corelog::record::batch::{BatchHeader, Batches, crc_matches};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::records::{HeaderRef, Record, RecordIter};
use corelog::types::{Offset, Prng, Timestamp};

use super::sabotage::SabotagedDisk;

/// A batch, told from all others by its producer and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BatchId {
    pub(crate) producer: usize,
    pub(crate) number: u64,
}

/// What the cleaner may take from a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Compaction {
    /// The log is not compacted.
    #[default]
    Never,
    /// Records that a later one replaces; tombstones stay.
    KeepsTombstones,
    /// Tombstones go with the next cleaning.
    DropsTombstones,
}

/// When an acknowledgement may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// After the completed write.
    One,
    /// After the sync.
    All,
}

/// Keys of a log that is compacted: few, so that most records are replaced by later ones.
const KEYS: u64 = 12;

/// The contents of a batch follow from its id and seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) id: BatchId,
    pub(crate) records: i32,
    pub(crate) value_len: usize,
    pub(crate) timestamp: Timestamp,
    /// Draws keys that other batches have as well, and tombstones; without it every key is there once.
    shared_keys: Option<u64>,
}

impl Content {
    pub(crate) fn draw(id: BatchId, prng: &mut Prng, timestamp: Timestamp, shares_keys: bool) -> Self {
        let records = 1 + prng.below(3) as i32;
        // Equal sizes make it likely that a stale batch fits where another one was.
        let value_len = [20, 20, 20, 300, 3_000][prng.below(5) as usize];
        let shared_keys = shares_keys.then(|| prng.next_u64());
        Self { id, records, value_len, timestamp, shared_keys }
    }

    /// The batch as its producer sends it.
    pub(crate) fn build(&self, fields: BatchFields) -> Bytes {
        let mut builder = BatchBuilder::new(fields);
        for index in 0..self.records {
            let name = self.name(index);
            let headers = [HeaderRef { key: b"name", value: Some(&name) }];
            builder.append(
                self.timestamp_of(index),
                Some(&self.key(index)),
                self.value(index).as_deref(),
                &headers,
            );
        }
        builder.build()
    }

    /// Tells a record from all others, whatever its key.
    fn name(&self, index: i32) -> Vec<u8> {
        format!("{}/{}/{index}", self.id.producer, self.id.number).into_bytes()
    }

    pub(crate) fn key(&self, index: i32) -> Vec<u8> {
        match self.shared_keys {
            None => self.name(index),
            Some(seed) => format!("key-{}", Prng::new(seed + index as u64).below(KEYS)).into_bytes(),
        }
    }

    pub(crate) fn is_tombstone(&self, index: i32) -> bool {
        self.shared_keys.is_some_and(|seed| Prng::new(!(seed + index as u64)).chance(1, 8))
    }

    fn value(&self, index: i32) -> Option<Vec<u8>> {
        if self.is_tombstone(index) {
            return None;
        }
        let mut value = vec![0; self.value_len];
        Prng::new(self.id.number).fill(&mut value);
        Some(value)
    }

    fn timestamp_of(&self, index: i32) -> Timestamp {
        Timestamp(self.timestamp.0 + i64::from(index))
    }

    /// Whether `record` is the one that was sent at `index`.
    pub(crate) fn is_record(&self, index: i32, record: &Record) -> bool {
        record.key.as_deref() == Some(&self.key(index)[..])
            && record.value.as_deref() == self.value(index).as_deref()
            && record.timestamp == self.timestamp_of(index)
    }

    /// Whether `batch` holds these records.
    fn is_in(&self, batch: &Bytes) -> bool {
        let Ok(records) = RecordIter::new(batch) else { return false };
        let records: Result<Vec<_>, _> = records.collect();
        let Ok(records) = records else { return false };
        records.len() == self.records as usize
            && records.iter().zip(0..).all(|(record, index)| self.is_record(index, record))
    }
}

/// What is known of one log from outside.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Everything that was ever sent.
    pub(super) sent: HashMap<BatchId, Content>,
    /// Producers whose batches must be there once and in order.
    pub(super) strict: HashSet<usize>,
    pub(super) acknowledged: BTreeMap<BatchId, (Acks, AppendInfo)>,
    /// Records below may be gone.
    pub(super) deleted_below: Offset,
    /// Records may be gone that a later one with the same key replaces.
    pub(crate) compaction: Compaction,
    /// For the coverage: answers given, and those to repetitions.
    pub(crate) acknowledgements: usize,
    pub(crate) duplicates: usize,
    /// The ends that the log last told.
    pub(crate) written_end: Offset,
    pub(crate) synced_end: Offset,
}

impl Model {
    pub(crate) fn add_strict_producer(&mut self, producer: usize) {
        self.strict.insert(producer);
    }

    pub(crate) fn send(&mut self, content: Content) {
        self.sent.insert(content.id, content);
    }

    pub(crate) fn acknowledge(&mut self, id: BatchId, acks: Acks, info: AppendInfo) {
        self.acknowledgements += 1;
        self.duplicates += usize::from(info.duplicate);
        if self.deleted_below <= info.base_offset {
            self.acknowledged.insert(id, (acks, info));
        }
    }

    /// Records below `offset` are deleted, now or after the next crash.
    pub(crate) fn delete_below(&mut self, offset: Offset) {
        self.deleted_below = self.deleted_below.max(offset);
        self.acknowledged.retain(|_, (_, info)| offset <= info.base_offset);
    }

    /// The machine stopped: what was acknowledged after a mere write may be lost.
    pub(crate) fn forgive_unsynced(&mut self) {
        let synced_end = self.synced_end;
        self.acknowledged.retain(|_, (acks, info)| *acks == Acks::All || info.last_offset < synced_end);
    }

    /// Compares a log that was just opened with what was promised.
    pub(crate) async fn check(&mut self, log: &Log<SabotagedDisk>, prng: &mut Prng) -> Result<(), String> {
        let end = log.staged_end_offset();
        let (synced_end, written_end) = (log.synced_end_offset(), log.written_end_offset());
        if written_end != end || end < synced_end {
            return Err(format!("recovered to {end}, but written to {written_end}, synced to {synced_end}"));
        }
        if self.compaction != Compaction::Never {
            self.check_compacted(log, prng).await?;
            (self.written_end, self.synced_end) = (end, synced_end);
            return Ok(());
        }
        let found = self.read_all(log).await?;
        for (id, (acks, info)) in &self.acknowledged {
            match found.iter().find(|(other, _)| other == id) {
                None => return Err(format!("{id:?} acknowledged ({acks:?}) at {info:?} is lost, end {end}")),
                Some((_, header))
                    if header.base_offset != info.base_offset && self.strict.contains(&id.producer) =>
                {
                    return Err(format!("{id:?} moved from {} to {}", info.base_offset, header.base_offset));
                }
                Some(_) => {}
            }
            let is_there = found.iter().any(|(other, header)| {
                other == id
                    && header.base_offset == info.base_offset
                    && header.last_offset() == info.last_offset
            });
            if !is_there {
                return Err(format!("{id:?} is not at its offset {}", info.base_offset));
            }
        }
        self.check_order(&found)?;
        self.check_lookups(log, &found, prng).await?;
        (self.written_end, self.synced_end) = (end, synced_end);
        Ok(())
    }

    /// The batches of the log in order: whole, with the contents that were sent, without a gap.
    pub(crate) async fn read_all(
        &self,
        log: &Log<SabotagedDisk>,
    ) -> Result<Vec<(BatchId, BatchHeader)>, String> {
        const PIECE_BYTES: usize = 20_000;
        let (mut next, end) = (log.log_start_offset(), log.written_end_offset());
        let mut found = Vec::new();
        while next < end {
            let read = log.read(next, end, PIECE_BYTES, true).await;
            let read = read.map_err(|error| format!("read of {next}: {error}"))?;
            let before = next;
            for (id, header) in self.parse(&read.chunks.concat().into())? {
                // The log may start inside of its first batch.
                let is_first = found.is_empty() && header.base_offset <= next && next <= header.last_offset();
                if header.base_offset != next && !is_first {
                    return Err(format!("expected offset {next}, found {}", header.base_offset));
                }
                next = header.next_offset();
                found.push((id, header));
            }
            if next == before {
                return Err(format!("no batch at {next}, end {end}"));
            }
        }
        Ok(found)
    }

    /// The whole batches in `bytes`; a cut one at the end is left out.
    pub(crate) fn parse(&self, bytes: &Bytes) -> Result<Vec<(BatchId, BatchHeader)>, String> {
        let mut found = Vec::new();
        for (position, header, batch) in Batches::new(bytes).map_while(Result::ok) {
            if !crc_matches(batch) {
                return Err(format!("batch at offset {} has a wrong CRC", header.base_offset));
            }
            let batch = bytes.slice(position..position + batch.len());
            let id = id_of(&batch).ok_or_else(|| format!("unknown batch at {}", header.base_offset))?;
            let content = self.sent.get(&id).ok_or_else(|| format!("{id:?} was never sent"))?;
            if !content.is_in(&batch) {
                return Err(format!("{id:?} has other contents"));
            }
            found.push((id, header));
        }
        Ok(found)
    }

    /// A strict producer's batches are there once, in order, without a gap.
    fn check_order(&self, found: &[(BatchId, BatchHeader)]) -> Result<(), String> {
        for producer in &self.strict {
            let numbers = found.iter().filter(|(id, _)| id.producer == *producer).map(|(id, _)| id.number);
            let mut due = None;
            for number in numbers {
                // Without deletions, the first batch is there.
                let first = if self.deleted_below == Offset::ZERO { 0 } else { number };
                let expected = due.unwrap_or(first);
                if number != expected {
                    return Err(format!("producer {producer}: batch {number} where {expected} is due"));
                }
                due = Some(number + 1);
            }
        }
        Ok(())
    }

    /// Any offset and any timestamp is found.
    async fn check_lookups(
        &self,
        log: &Log<SabotagedDisk>,
        found: &[(BatchId, BatchHeader)],
        prng: &mut Prng,
    ) -> Result<(), String> {
        const LOOKUPS: usize = 5;
        let end = log.written_end_offset();
        for _ in 0..LOOKUPS.min(found.len()) {
            let (id, header) = found[prng.below(found.len() as u64) as usize];
            let offset = header.base_offset + prng.below(header.record_count as u64) as i64;
            let offset = offset.max(log.log_start_offset());
            let read = log.read(offset, end, 1, true).await.map_err(|error| error.to_string())?;
            let first = self.parse(&read.chunks.concat().into())?;
            if first.first().map(|(id, _)| *id) != Some(id) {
                return Err(format!("read of offset {offset} begins with {first:?}, expected {id:?}"));
            }
            if found[0].1.base_offset < log.log_start_offset() {
                continue;
            }
            let timestamp = header.max_timestamp;
            let hit = log
                .offset_for_timestamp(timestamp, end, &async |_: u64| ())
                .await
                .map_err(|error| error.to_string())?;
            let due = found.iter().find(|(_, header)| timestamp <= header.max_timestamp);
            let due = due.expect("at least the one drawn").1;
            if !hit.is_some_and(|hit| due.base_offset <= hit.offset && hit.offset <= due.last_offset()) {
                return Err(format!("timestamp {timestamp} is at {hit:?}, expected {}", due.base_offset));
            }
        }
        Ok(())
    }
}

fn id_of(batch: &Bytes) -> Option<BatchId> {
    Some(name_of(&RecordIter::new(batch).ok()?.next()?.ok()?)?.0)
}

/// The batch that a record was sent in, and its index there.
pub(super) fn name_of(record: &Record) -> Option<(BatchId, i32)> {
    let [header] = &record.headers[..] else { return None };
    let name = String::from_utf8(header.value.as_ref()?.to_vec()).ok()?;
    let mut parts = name.split('/');
    let producer = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    Some((BatchId { producer, number }, parts.next()?.parse().ok()?))
}
