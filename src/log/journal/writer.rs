//! The journal of a directory that is being written.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::LogKey;
use super::file_header::{FRAMES_AT, FileHeader};
use super::frame::{ENTRY_HEADER_LEN, FRAME_BYTES_MAX, FRAME_HEADER_LEN, FrameBuilder, FrameSize, InBlocks};
use super::offer::{BlocksOf, Offer, Offered};
use super::reader::{FILE_BYTES_MAX, FoundFile, JournalContents, file_name};
use super::space::{FramePlace, Pin, Purpose, Space, SpaceFile};
use super::turnstile::Turnstile;
use crate::disk::{
    BLOCK, Blocks, Disk, DiskBuf, DiskError, DiskErrorKind, DiskFile, OpenMode, WriteSync, align_up,
};
use crate::log::error::LogError;
use crate::log::flush::{remove_if_there, write_shared};
use crate::log::log::Log;
use crate::log::segment::padded_buf;
use crate::types::{Offset, TopicId};

/// The fewest bytes of a journal file: a header, the reserve and some frames.
pub(super) const FILE_BYTES_MIN: u64 = 8 * BLOCK as u64;

/// Zeros of a new file are written in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// Files that are not sealed when logs are to be stored for the oldest one's sake: one that is written and
/// one that is next.
const FILES_SPARE: usize = 3;

/// The size of a journal, and what goes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalConfig {
    /// Bytes of each file; rounded up to whole blocks.
    pub file_bytes: u64,
    /// Files at most, at least two. They are created when they are first needed.
    pub files_max: usize,
    /// What a log has staged goes into its segment if it is longer.
    pub bypass_bytes: usize,
    /// What a log has staged is written from where it was gathered if it is longer: with the rest of its
    /// first and last block, and without a copy.
    pub copy_bytes: usize,
}

/// What became of what a log had staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// There was nothing.
    Nothing,
    /// It is durable in the journal; the log's ends say so.
    Journaled,
    /// It has to be flushed into the segment.
    Direct,
    /// The frame was full: it is for the next one.
    Later,
}

/// A handle on the journal of one log directory; clones share it. See the module.
pub struct Journal<D: Disk> {
    core: Rc<Core<D>>,
}

impl<D: Disk> Clone for Journal<D> {
    fn clone(&self) -> Self {
        Self { core: Rc::clone(&self.core) }
    }
}

struct Core<D: Disk> {
    disk: D,
    dir: PathBuf,
    config: JournalConfig,
    /// Not borrowed across an await.
    space: RefCell<Space<D::File, StoredUpTo<D>>>,
    turnstile: Turnstile,
    is_maintaining: Cell<bool>,
    next_generation: Cell<u64>,
    next_number: Cell<u32>,
    /// The disk had no room for another file.
    is_refused: Cell<bool>,
    /// The first failure: nothing is written any more.
    offline: RefCell<Option<String>>,
}

/// A file is not used again before its log has stored what is in it.
struct StoredUpTo<D: Disk> {
    /// `None`: the entry only voids others.
    needs: Option<(Log<D>, Offset)>,
}

impl<D: Disk> Pin for StoredUpTo<D> {
    fn is_released(&self) -> bool {
        let Some((log, end)) = &self.needs else { return true };
        *end <= log.stored_end_offset() || log.is_deleted()
    }
}

/// Takes the journal offline if it is dropped before its time: the outcome of a write is unknown then.
struct OfflineGuard<'a, D: Disk> {
    core: &'a Core<D>,
    has_ended: bool,
}

impl<D: Disk> Drop for OfflineGuard<'_, D> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.core.take_offline("a write of the journal was dropped midway".to_owned());
        }
    }
}

/// A frame that is about to be written.
struct FrameWork<D: Disk> {
    place: FramePlace<D::File>,
    blocks: Vec<BlocksOf<D>>,
    /// The logs in it, by their index.
    offers: Vec<(usize, Offered)>,
}

impl JournalConfig {
    fn checked(mut self) -> Self {
        self.file_bytes = align_up(self.file_bytes).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
        self.files_max = self.files_max.max(2);
        let copied_max = self.frame_bytes_max() - FRAME_HEADER_LEN - ENTRY_HEADER_LEN;
        // A block for the entries, and up to two that the batches share with others.
        let in_blocks_max = self.frame_bytes_max().saturating_sub(3 * BLOCK);
        self.bypass_bytes = self.bypass_bytes.min(copied_max).min(in_blocks_max.max(self.copy_bytes));
        self
    }

    /// How what a log has staged stands in blocks of its own, if it is long enough.
    fn in_blocks(&self, offered: &Offered) -> Option<InBlocks> {
        let skipped = (offered.position % BLOCK as u64) as usize;
        (self.copy_bytes < offered.len).then_some(InBlocks { skipped, bytes: offered.len })
    }

    /// A frame of this size, with one more entry for what a log offers.
    fn size_with(&self, size: FrameSize, offer: &Offer) -> FrameSize {
        match offer {
            Offer::Nothing | Offer::Direct => size,
            Offer::Staged(offered) => match self.in_blocks(offered) {
                Some(batches) => size.with_in_blocks(&batches),
                None => size.with_batches(offered.len),
            },
        }
    }

    /// The longest frame of a file that is not shorter than [`FILE_BYTES_MIN`].
    fn frame_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX.min((self.file_bytes - FRAMES_AT) as usize / 2)
    }
}

impl<D: Disk> Journal<D> {
    /// Takes over the files that were found, and retires them all: what they held is stored or void. Without
    /// a configuration they are removed, and there is no journal.
    pub(in crate::log) async fn open(
        disk: &D,
        dir: &Path,
        found: &JournalContents,
        config: Option<JournalConfig>,
    ) -> Result<Option<Self>, LogError> {
        let config = config.map(JournalConfig::checked);
        let file_bytes = config.map_or(FILE_BYTES_MIN, |config| config.file_bytes);
        let last_number = found.files.iter().map(|file| file.number).max();
        let core = Core {
            disk: disk.clone(),
            dir: dir.to_owned(),
            config: config.unwrap_or(JournalConfig {
                file_bytes,
                files_max: 0,
                bypass_bytes: 0,
                copy_bytes: 0,
            }),
            space: RefCell::new(Space::new(file_bytes)),
            turnstile: Turnstile::default(),
            is_maintaining: Cell::new(false),
            next_generation: Cell::new(found.next_generation()),
            next_number: Cell::new(last_number.map_or(0, |last| last + 1)),
            is_refused: Cell::new(false),
            offline: RefCell::new(None),
        };
        core.take_over(&found.files).await?;
        Ok(config.is_some().then(|| Self { core: Rc::new(core) }))
    }

    /// Writes one frame with what `logs` have staged, as far as it goes, and makes it durable. One call at a
    /// time writes; others wait.
    ///
    /// # Errors
    /// Any failure takes the journal offline, and the logs of its directory should follow: like a failed
    /// sync, it is never tried again.
    pub async fn commit(&self, logs: &[Log<D>]) -> Result<Vec<Fate>, LogError> {
        let _turn = self.core.turnstile.enter().await;
        self.core.check_online()?;
        let mut fates = Vec::with_capacity(logs.len());
        let Some(work) = self.core.gather(logs, &mut fates) else { return Ok(fates) };
        let FrameWork { place, blocks, offers } = work;
        self.core.write(&place, blocks).await?;
        for (index, offered) in &offers {
            logs[*index].finish_journaled(offered);
            fates[*index] = Fate::Journaled;
        }
        Ok(fates)
    }

    /// Whether what `log` has staged may go into the journal now.
    pub fn takes(&self, log: &Log<D>) -> bool {
        matches!(log.offer(self.core.config.bypass_bytes), Offer::Staged(_))
    }

    /// Whether [`Journal::maintain`] has something to do.
    pub fn wants_maintenance(&self) -> bool {
        let space = self.core.space.borrow();
        let is_idle = !self.core.is_maintaining.get() && self.core.offline.borrow().is_none();
        is_idle && (space.has_retirable() || self.core.wants_file(&space))
    }

    /// Retires files whose entries are stored, and creates files while there are too few. Appends go on
    /// meanwhile. One call at a time: another one returns at once. Returns the error of a disk that has no
    /// room for another file; the journal goes on with those it has.
    ///
    /// # Errors
    /// As of [`Journal::commit`].
    pub async fn maintain(&self) -> Result<Option<DiskError>, LogError> {
        if self.core.is_maintaining.replace(true) {
            return Ok(None);
        }
        let mut guard = OfflineGuard { core: &self.core, has_ended: false };
        let result = self.core.maintain().await;
        if let Err(error) = &result {
            self.core.take_offline(error.to_string());
        }
        guard.has_ended = true;
        self.core.is_maintaining.set(false);
        result
    }

    /// Logs that should be stored, so that the oldest file can be used again: none while there are files to
    /// spare.
    pub fn pressing(&self) -> Vec<Log<D>> {
        let space = self.core.space.borrow();
        let sealed_max = self.core.config.files_max.saturating_sub(FILES_SPARE).max(1);
        if space.sealed_count() < sealed_max && !self.core.is_refused.get() {
            return Vec::new();
        }
        let logs = space.pins_of_oldest().filter_map(|pin| pin.needs.as_ref()).map(|(log, _)| log);
        // A log that is offline keeps its entries in the journal until a start restores them.
        logs.filter(|log| log.has_unstored()).cloned().collect()
    }

    /// The first failure, which ended all writing.
    pub fn offline_cause(&self) -> Option<String> {
        self.core.offline.borrow().clone()
    }

    /// What was journaled of this log is void: it begins anew. Durable on return.
    pub(in crate::log) async fn void(&self, topic_id: TopicId, partition: i32) -> Result<(), LogError> {
        let key = LogKey { topic_id, partition };
        let _turn = self.core.turnstile.enter().await;
        if !self.core.space.borrow().holds(&key) {
            return Ok(());
        }
        self.core.check_online()?;
        let FrameWork { place, blocks, .. } = self.core.gather_void(key)?;
        self.core.write(&place, blocks).await
    }

    /// Retires all files after everything was stored; whether it was. No maintenance is under way.
    pub(in crate::log) async fn close(&self) -> Result<bool, LogError> {
        let _turn = self.core.turnstile.enter().await;
        self.core.check_online()?;
        assert!(!self.core.is_maintaining.replace(true), "a journal is closed when nobody works on it");
        self.core.space.borrow_mut().seal_active();
        self.core.retire_all().await?;
        Ok(self.core.space.borrow().sealed_count() == 0)
    }
}

impl<D: Disk> Core<D> {
    fn check_online(&self) -> Result<(), LogError> {
        match &*self.offline.borrow() {
            None => Ok(()),
            Some(cause) => Err(LogError::Offline { cause: cause.clone() }),
        }
    }

    fn take_offline(&self, cause: String) {
        self.offline.borrow_mut().get_or_insert(cause);
    }

    fn wants_file(&self, space: &Space<D::File, StoredUpTo<D>>) -> bool {
        let may_grow = space.file_count() < self.config.files_max && !self.is_refused.get();
        may_grow && space.is_short()
    }

    /// Plans a frame and fills it. Nothing is awaited between the offers and the copies.
    fn gather(&self, logs: &[Log<D>], fates: &mut Vec<Fate>) -> Option<FrameWork<D>> {
        let offers: Vec<_> = logs.iter().map(|log| log.offer(self.config.bypass_bytes)).collect();
        let config = &self.config;
        let wanted = offers.iter().fold(FrameSize::EMPTY, |size, offer| config.size_with(size, offer));
        let frame_max = config.frame_bytes_max();
        let mut space = self.space.borrow_mut();
        let room = space.make_room(align_up(wanted.frame_len().min(frame_max) as u64), Purpose::Batches);
        let bytes_max = frame_max.min(room as usize);
        let (mut size, mut taken) = (FrameSize::EMPTY, Vec::new());
        for (index, offer) in offers.iter().enumerate() {
            let longer = config.size_with(size, offer);
            fates.push(match offer {
                Offer::Nothing => Fate::Nothing,
                Offer::Direct => Fate::Direct,
                Offer::Staged(offered) if longer.frame_len() <= bytes_max => {
                    size = longer;
                    taken.push((index, *offered));
                    Fate::Later
                }
                Offer::Staged(_) if bytes_max == frame_max => Fate::Later,
                // The journal is full. The segment takes it, and with it what the journal holds of the log.
                Offer::Staged(_) => Fate::Direct,
            });
        }
        if taken.is_empty() {
            return None;
        }
        let place = space.place(size.frame_len());
        let mut buf = self.disk.alloc(align_up(size.entries as u64) as usize);
        let mut builder = FrameBuilder::new(buf.as_mut_slice(), place.id);
        let mut lent = Vec::new();
        for (index, offered) in &taken {
            let log = &logs[*index];
            if let Some(batches) = config.in_blocks(offered) {
                let (blocks, crc) = log.lend_offered(offered);
                builder.add_in_blocks(&offered.header, batches, crc);
                lent.extend(blocks);
            } else {
                log.copy_offered(offered, builder.add_batches(&offered.header, offered.len));
            }
            let needs = Some((log.clone(), offered.header.next_offset));
            space.pin(offered.header.key, StoredUpTo { needs });
        }
        assert_eq!(builder.finish(), size.frame_len(), "the frame is as long as planned");
        let lent_bytes: usize = lent.iter().map(Blocks::byte_count).sum();
        assert_eq!(lent_bytes, size.blocks, "the blocks are as many as planned");
        lent.insert(0, whole(&buf));
        Some(FrameWork { place, blocks: lent, offers: taken })
    }

    fn gather_void(&self, key: LogKey) -> Result<FrameWork<D>, LogError> {
        let mut space = self.space.borrow_mut();
        let bytes = FRAME_HEADER_LEN + ENTRY_HEADER_LEN;
        if space.make_room(BLOCK as u64, Purpose::Void) < BLOCK as u64 {
            let cause = "the journal is full of records that are not in their segments".to_owned();
            return Err(LogError::Offline { cause });
        }
        let place = space.place(bytes);
        let mut buf = self.disk.alloc(BLOCK);
        let mut builder = FrameBuilder::new(buf.as_mut_slice(), place.id);
        builder.add_void(&key);
        builder.finish();
        space.pin(key, StoredUpTo { needs: None });
        Ok(FrameWork { place, blocks: vec![whole(&buf)], offers: Vec::new() })
    }

    async fn write(&self, place: &FramePlace<D::File>, blocks: Vec<BlocksOf<D>>) -> Result<(), LogError> {
        let mut guard = OfflineGuard { core: self, has_ended: false };
        let result = write_frame(&*place.file, blocks, place.position).await;
        guard.has_ended = true;
        result.map_err(|error| {
            self.take_offline(error.to_string());
            error.into()
        })
    }

    async fn maintain(&self) -> Result<Option<DiskError>, LogError> {
        self.retire_all().await?;
        while self.wants_another_file() {
            match self.create_file().await {
                Err(error) if error.kind == DiskErrorKind::NoSpace => {
                    self.is_refused.set(true);
                    return Ok(Some(error));
                }
                other => other?,
            }
        }
        Ok(None)
    }

    fn wants_another_file(&self) -> bool {
        self.wants_file(&self.space.borrow())
    }

    /// Retires the sealed files, oldest first, up to one that is pinned.
    async fn retire_all(&self) -> Result<(), LogError> {
        loop {
            let Some(file) = self.space.borrow_mut().take_retirable() else { return Ok(()) };
            let generation = self.write_header(&file.file, self.config.file_bytes).await?;
            self.space.borrow_mut().add_free(SpaceFile::new(file.number, file.file, generation));
        }
    }

    /// Gives a file a generation that no frame has, durably.
    async fn write_header(&self, file: &D::File, file_bytes: u64) -> Result<u64, DiskError> {
        let generation = self.next_generation.get();
        self.next_generation.set(generation + 1);
        let header = FileHeader { generation, file_bytes }.encode();
        let block = padded_buf(&self.disk, &header).freeze();
        write_shared(&self.disk, file, block, 0, WriteSync::Data).await?;
        Ok(generation)
    }

    /// Retires what a start found, in the order of its generations, and keeps what fits the configuration.
    async fn take_over(&self, found: &[FoundFile]) -> Result<(), LogError> {
        let mut surplus = Vec::new();
        for file in found {
            let path = self.dir.join(file_name(file.number));
            let Some(header) = file.header else {
                surplus.push(path);
                continue;
            };
            let open = Rc::new(self.disk.open(&path, OpenMode::Write).await?);
            let generation = self.write_header(&open, header.file_bytes).await?;
            let mut space = self.space.borrow_mut();
            if header.file_bytes == self.config.file_bytes && space.file_count() < self.config.files_max {
                space.add_free(SpaceFile::new(file.number, open, generation));
            } else {
                surplus.push(path);
            }
        }
        for path in &surplus {
            remove_if_there(&self.disk, path).await?;
        }
        if !surplus.is_empty() {
            self.disk.sync_dir(&self.dir).await?;
        }
        Ok(())
    }

    /// Creates a file of zeros, so that no later write of it changes what the file system knows of it.
    async fn create_file(&self) -> Result<(), DiskError> {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let path = self.dir.join(file_name(number));
        match self.fill_file(&path).await {
            Ok((file, generation)) => {
                let file = SpaceFile::new(number, Rc::new(file), generation);
                self.space.borrow_mut().add_free(file);
                Ok(())
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = remove_if_there(&self.disk, &path).await;
                Err(error)
            }
        }
    }

    async fn fill_file(&self, path: &Path) -> Result<(D::File, u64), DiskError> {
        let file = self.disk.open(path, OpenMode::CreateNew).await?;
        let file_bytes = self.config.file_bytes;
        let mut position = 0;
        while position < file_bytes {
            let len = PIECE_BYTES.min(file_bytes - position) as usize;
            let mut zeros = self.disk.alloc(len);
            zeros.as_mut_slice().fill(0);
            write_shared(&self.disk, &file, zeros.freeze(), position, WriteSync::None).await?;
            position += len as u64;
        }
        file.sync_data().await?;
        self.disk.sync_dir(&self.dir).await?;
        // Last: a file with a header is whole.
        let generation = self.write_header(&file, file_bytes).await?;
        Ok((file, generation))
    }
}

/// All of a buffer, to be written.
fn whole<B: DiskBuf>(buf: &B) -> B::Blocks {
    buf.blocks(0..buf.as_slice().len())
}

/// Writes a frame durably.
async fn write_frame<F: DiskFile>(
    file: &F,
    mut blocks: Vec<<F::Buf as DiskBuf>::Blocks>,
    mut position: u64,
) -> Result<(), DiskError> {
    while !blocks.is_empty() {
        let written = file.write_blocks_at(&blocks, position, WriteSync::Data).await?;
        assert!(0 < written && written.is_multiple_of(BLOCK), "a write of {written} bytes");
        position += written as u64;
        drop_front(&mut blocks, written);
    }
    Ok(())
}

/// Drops the first `bytes` of them.
fn drop_front(blocks: &mut Vec<impl Blocks>, mut bytes: usize) {
    while 0 < bytes {
        let first = blocks[0].byte_count();
        if bytes < first {
            return blocks[0].advance(bytes);
        }
        blocks.remove(0);
        bytes -= first;
    }
}
