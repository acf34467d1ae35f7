//! What must be true of a log that is compacted: of each key the newest record is there, every record is
//! where it was put, and nothing is there twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelog::log::Log;
use corelog::record::batch::{BatchHeader, Batches, crc_matches};
use corelog::record::records::RecordIter;
use corelog::types::{Offset, Prng};

use super::model::{BatchId, Compaction, Model, name_of};
use super::sabotage::SabotagedDisk;

/// A batch with what is left of its records: each with its offset and its index among those that were sent.
struct Found {
    header: BatchHeader,
    id: Option<BatchId>,
    records: Vec<(Offset, i32)>,
}

impl Model {
    /// The counterpart of a check of every batch, for a log that may have lost most of them.
    pub(super) async fn check_compacted(
        &self,
        log: &Log<SabotagedDisk>,
        prng: &mut Prng,
    ) -> Result<(), String> {
        let found = self.read_compacted(log).await?;
        let mut by_offset = BTreeMap::new();
        let mut last_of_key: BTreeMap<Vec<u8>, Offset> = BTreeMap::new();
        for batch in &found {
            let Some(id) = batch.id else { continue };
            for (offset, index) in &batch.records {
                by_offset.insert(*offset, (id, *index));
                last_of_key.insert(self.sent[&id].key(*index), *offset);
            }
        }
        for (id, (acks, info)) in &self.acknowledged {
            let content = &self.sent[id];
            for index in 0..content.records {
                let offset = info.base_offset + i64::from(index);
                match by_offset.get(&offset) {
                    Some(other) if *other == (*id, index) => {}
                    Some(other) => return Err(format!("{id:?} was put at {offset}, where {other:?} is")),
                    None if last_of_key.get(&content.key(index)).is_some_and(|last| offset < *last) => {}
                    None if self.may_be_deleted(&content.key(index), offset) => {}
                    None => {
                        return Err(format!("{id:?}/{index}, acknowledged ({acks:?}) at {offset}, is lost"));
                    }
                }
            }
        }
        self.check_strict_order(&found)?;
        self.check_reads(log, &found, prng).await
    }

    /// Whether a tombstone that may be gone by now may have replaced the record at `offset`, or was there.
    fn may_be_deleted(&self, key: &[u8], offset: Offset) -> bool {
        self.compaction == Compaction::DropsTombstones
            && self.sent.iter().any(|(id, content)| {
                // One that was not acknowledged may be anywhere.
                let base = self.acknowledged.get(id).map(|(_, info)| info.base_offset);
                (0..content.records).any(|index| {
                    content.is_tombstone(index)
                        && content.key(index) == key
                        && base.is_none_or(|base| offset <= base + i64::from(index))
                })
            })
    }

    /// All that is left of the log, in order and without overlaps.
    async fn read_compacted(&self, log: &Log<SabotagedDisk>) -> Result<Vec<Found>, String> {
        const PIECE_BYTES: usize = 20_000;
        let (mut next, end) = (log.log_start_offset(), log.written_end_offset());
        let mut found: Vec<Found> = Vec::new();
        while next < end {
            let read = log.read(next, end, PIECE_BYTES, true).await;
            let read = read.map_err(|error| format!("read of {next}: {error}"))?;
            let before = next;
            for batch in self.parse_compacted(&read.chunks.concat().into())? {
                let is_first = found.is_empty() && next <= batch.header.last_offset();
                if batch.header.base_offset < next && !is_first {
                    return Err(format!("offset {} again, before {next}", batch.header.base_offset));
                }
                next = batch.header.next_offset();
                found.push(batch);
            }
            if next == before {
                return Err(format!("nothing from {next} on, end {end}"));
            }
        }
        Ok(found)
    }

    /// The whole batches in `bytes`: what is left in each is what was sent, at its place.
    fn parse_compacted(&self, bytes: &Bytes) -> Result<Vec<Found>, String> {
        let mut found = Vec::new();
        for (position, header, batch) in Batches::new(bytes).map_while(Result::ok) {
            let base = header.base_offset;
            if !crc_matches(batch) {
                return Err(format!("batch at offset {base} has a wrong CRC"));
            }
            let batch = bytes.slice(position..position + batch.len());
            let records = RecordIter::new(&batch).map_err(|error| format!("batch at {base}: {error}"))?;
            let mut of_batch = Found { header, id: None, records: Vec::new() };
            for record in records {
                let record = record.map_err(|error| format!("batch at {base}: {error}"))?;
                let (id, index) = name_of(&record).ok_or_else(|| format!("unknown record at {base}"))?;
                let content = self.sent.get(&id).ok_or_else(|| format!("{id:?} was never sent"))?;
                if of_batch.id.is_some_and(|other| other != id) || !content.is_record(index, &record) {
                    return Err(format!("{id:?}/{index} at {base} has other contents"));
                }
                if record.offset != base + i64::from(index) {
                    return Err(format!("{id:?}/{index} is at {}, its batch at {base}", record.offset));
                }
                if header.last_offset_delta != content.records - 1 {
                    return Err(format!("{id:?} at {base} ends at {}", header.last_offset()));
                }
                of_batch.id = Some(id);
                of_batch.records.push((record.offset, index));
            }
            found.push(of_batch);
        }
        Ok(found)
    }

    /// What a consumer is given from an offset on: it goes on no earlier, and is what was sent.
    pub(crate) fn check_read(&self, from: Offset, bytes: &Bytes) -> Result<(), String> {
        match self.parse_compacted(bytes)?.first() {
            Some(batch) if from < batch.header.next_offset() => Ok(()),
            Some(batch) => Err(format!("read of {from} begins with {}", batch.header.base_offset)),
            None => Err(format!("read of {from} gives no batch")),
        }
    }

    /// A strict producer's batches are there at most once, in order.
    fn check_strict_order(&self, found: &[Found]) -> Result<(), String> {
        for producer in &self.strict {
            let ids = found.iter().filter_map(|batch| batch.id).filter(|id| id.producer == *producer);
            let numbers: Vec<u64> = ids.map(|id| id.number).collect();
            if let Some(pair) = numbers.windows(2).find(|pair| pair[1] <= pair[0]) {
                return Err(format!("producer {producer}: batch {} after {}", pair[1], pair[0]));
            }
        }
        Ok(())
    }

    /// From any offset on, a read goes on with the first batch that reaches behind it.
    async fn check_reads(
        &self,
        log: &Log<SabotagedDisk>,
        found: &[Found],
        prng: &mut Prng,
    ) -> Result<(), String> {
        const READS: usize = 5;
        let (start, end) = (log.log_start_offset(), log.written_end_offset());
        for _ in 0..READS.min(found.len()) {
            let from = start + prng.below((end - start) as u64) as i64;
            let read = log.read(from, end, 1, true).await.map_err(|error| error.to_string())?;
            let first = self.parse_compacted(&read.chunks.concat().into())?;
            let first = first.first().map(|batch| batch.header.base_offset);
            let due = found.iter().find(|batch| from < batch.header.next_offset());
            let due = due.map(|batch| batch.header.base_offset);
            if first != due {
                return Err(format!("read of offset {from} begins with {first:?}, expected {due:?}"));
            }
        }
        Ok(())
    }
}
