//! The bytes of one segment: from the cache, or from the disk in aligned pieces, several at a time.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

use crate::disk::{BLOCK, Disk, DiskFile, OpenMode, align_down, align_up};
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_LEN};
use crate::types::Piece;

use super::block_cache::FileId;
use super::error::ReadError;
use super::index::{IndexEntry, floor_in_bytes};
use super::log::Core;
use super::read::FoundBatch;
use super::segment::{FileKind, SegmentView, file_path};

/// The most that is read at once, and what a sequential reader is given ahead.
pub(super) const READ_PIECE_BYTES: usize = 256 * 1024;

/// How many pieces are read at a time.
const PIECES_IN_FLIGHT: usize = 8;

/// The least that is read at once: a header rarely comes alone.
const READ_MIN_BYTES: usize = 4 * BLOCK;

/// What lies this close to the end of a segment that is still written is left to the tail and the block
/// cache: the kernel would drop its pages with the next direct write, and consumers at the end find it there.
const UNSETTLED_BYTES: u64 = 8 << 20;

/// Less than this is not worth the calls that passing on pages takes.
const SEND_FILE_BYTES_MIN: u64 = 32 << 10;

/// Reads a segment as it was when the view was taken; what is appended later does not matter to it.
pub(super) struct SegmentReader<'a, D: Disk> {
    core: &'a Core<D>,
    view: SegmentView,
}

impl<'a, D: Disk> SegmentReader<'a, D> {
    pub(super) fn new(core: &'a Core<D>, view: SegmentView) -> Self {
        Self { core, view }
    }

    pub(super) fn core(&self) -> &'a Core<D> {
        self.core
    }

    pub(super) fn view(&self) -> &SegmentView {
        &self.view
    }

    /// The error for bytes that are not what they should be.
    pub(super) fn corrupt(&self, position: u64, reason: String) -> ReadError {
        let file = file_path(&self.core.dir(), FileKind::Log, self.view.base_offset);
        ReadError::Corrupt { file, position, reason }
    }

    /// The batch at `position`, which must be the start of one, or the next one where bytes known to be
    /// broken start; `None` at the segment's end. The whole of it is within the segment. `want` is about
    /// how many bytes will be read from there.
    pub(super) async fn batch_at(&self, position: u64, want: usize) -> Result<Option<FoundBatch>, ReadError> {
        let position = self.behind_broken(position);
        if position == self.view.len {
            return Ok(None);
        }
        let header = match BatchHeader::decode(&self.header_bytes(position, want).await?) {
            Ok(header) => header,
            Err(error) => return Err(self.corrupt(position, error.to_string())),
        };
        let rest = self.view.len - position;
        if rest < header.total_len() as u64 {
            let found = rest as usize;
            let error = RecordError::Truncated { position: 0, expected: header.total_len(), found };
            return Err(self.corrupt(position, error.to_string()));
        }
        Ok(Some(FoundBatch { position, header }))
    }

    /// Where the bytes known to be broken at `position` end.
    fn behind_broken(&self, position: u64) -> u64 {
        let state = self.core.state.borrow();
        let mut broken = state.broken.iter().filter(|(base, _)| *base == self.view.base_offset);
        let here = broken.find(|(_, range)| range.position == position);
        position + here.map_or(0, |(_, range)| range.bytes)
    }

    /// Where the first bytes known to be broken behind `position` start.
    pub(super) fn broken_after(&self, position: u64) -> u64 {
        let state = self.core.state.borrow();
        let broken = state.broken.iter().filter(|(base, _)| *base == self.view.base_offset);
        let starts = broken.map(|(_, range)| range.position).filter(|start| position < *start);
        starts.min().unwrap_or(u64::MAX)
    }

    /// The bytes of a header, or what the segment has of them.
    async fn header_bytes(&self, position: u64, want: usize) -> Result<Bytes, ReadError> {
        let end = self.view.len.min(position.saturating_add(HEADER_LEN as u64));
        if end < position {
            return Err(self.corrupt(position, format!("the segment ends at {}", self.view.len)));
        }
        let is_settled = end <= self.settled_end();
        if is_settled
            && let Some(bytes) = self.page_cached_header(position, (end - position) as usize).await?
        {
            return Ok(bytes);
        }
        // What follows a settled header may be sent without having been read.
        let want = if is_settled { HEADER_LEN } else { want.max(HEADER_LEN) };
        let first = self.piece_at(position, want).await?;
        if (end - position) as usize <= first.len() {
            return Ok(first);
        }
        Ok(concat(&self.read(position, end).await?))
    }

    /// One whole batch, contiguous.
    pub(super) async fn batch_bytes(&self, batch: &FoundBatch) -> Result<Bytes, ReadError> {
        let end = batch.position + batch.header.total_len() as u64;
        Ok(concat(&self.read(batch.position, end).await?))
    }

    /// The bytes from `start` to `end`, which is within the segment.
    pub(super) async fn read(&self, start: u64, end: u64) -> Result<Vec<Bytes>, ReadError> {
        assert!(start <= end && end <= self.view.len, "{start} to {end} of {}", self.view.len);
        let mut chunks = Vec::new();
        let mut position = start;
        while position < end {
            let rest = (end - position) as usize;
            let pieces = match self.cached(position) {
                Some(bytes) => vec![bytes],
                None => self.read_disk(position, rest).await?,
            };
            for mut piece in pieces {
                piece.truncate((end - position) as usize);
                position += piece.len() as u64;
                if !piece.is_empty() {
                    chunks.push(piece);
                }
            }
        }
        Ok(chunks)
    }

    /// As [`Self::read`], for a socket: settled bytes go through the page cache, where the kernel reads what
    /// comes behind them meanwhile.
    pub(super) async fn pieces_to_send(&self, start: u64, end: u64) -> Result<Vec<Piece>, ReadError> {
        let settled_end = self.settled_end();
        let is_worth_it = SEND_FILE_BYTES_MIN <= end - start && end <= settled_end;
        // What a direct read has left in memory is copied to the socket, and what is around it would be read
        // directly again: then the page cache has it cheaper. At the end of the log, memory has all of it.
        let is_in_memory = self.cached(start).is_some() && self.cached(end - 1).is_some();
        if is_worth_it && !is_in_memory {
            let file = self.core.reading_file(&self.view).await?;
            let ahead =
                self.core.state.borrow_mut().read_ahead.plan(self.view.ids.log, start..end, settled_end);
            if let Some((position, len)) = ahead {
                file.read_ahead(position, len);
            }
            if let Some(slice) = file.page_cached(start, (end - start) as usize).await {
                return Ok(vec![Piece::File(slice)]);
            }
        }
        Ok(self.read(start, end).await?.into_iter().map(Piece::Memory).collect())
    }

    /// Bytes below do not change any more, and are sent from the page cache.
    fn settled_end(&self) -> u64 {
        if !self.core.env.sends_files() {
            return 0;
        }
        let state = self.core.state.borrow();
        let is_open = state.open.iter().any(|segment| segment.base_offset == self.view.base_offset);
        if is_open { align_down(self.file_len().saturating_sub(UNSETTLED_BYTES)) } else { self.view.len }
    }

    /// A settled header that only the page cache has.
    async fn page_cached_header(&self, position: u64, len: usize) -> Result<Option<Bytes>, ReadError> {
        if self.cached(position).is_some() {
            return Ok(None);
        }
        let file = self.core.reading_file(&self.view).await?;
        Ok(file.read_page_cached(position, len).filter(|bytes| bytes.len() == len))
    }

    /// At least one byte from `position` on.
    async fn piece_at(&self, position: u64, want: usize) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.cached(position) {
            return Ok(bytes);
        }
        let mut pieces = self.read_disk(position, want.min(READ_PIECE_BYTES)).await?;
        Ok(pieces.swap_remove(0))
    }

    fn cached(&self, position: u64) -> Option<Bytes> {
        let cached = self.core.env.blocks().borrow_mut().lookup(self.view.ids.log, position);
        let mut bytes = cached.or_else(|| self.in_memory(position))?;
        // The cache may know more of the segment by now than the view.
        bytes.truncate((self.view.len - position) as usize);
        Some(bytes)
    }

    /// Bytes that are in the journal, and not in the segment's file yet.
    fn in_memory(&self, position: u64) -> Option<Bytes> {
        let state = self.core.state.borrow();
        let front = state.open.front().filter(|front| front.ids.log == self.view.ids.log)?;
        (front.written_len <= position).then(|| front.bytes_in_memory(position)).flatten()
    }

    /// Bytes of the view that are in the segment's file.
    fn file_len(&self) -> u64 {
        let state = self.core.state.borrow();
        let front = state.open.front().filter(|front| front.ids.log == self.view.ids.log);
        front.map_or(self.view.len, |front| self.view.len.min(front.written_len))
    }

    /// Reads aligned pieces that begin with the block of `position` and cache them; returns what they hold
    /// from `position` on.
    async fn read_disk(&self, position: u64, want: usize) -> Result<Vec<Bytes>, ReadError> {
        let file_len = self.file_len();
        if file_len <= position {
            return Err(self.corrupt(position, format!("{file_len} bytes are in the file")));
        }
        let file = self.core.reading_file(&self.view).await?;
        let start = align_down(position);
        let is_sequential = {
            let mut state = self.core.state.borrow_mut();
            std::mem::replace(&mut state.last_disk_read_end, 0) == start && 0 < start
        };
        let min = if is_sequential { READ_PIECE_BYTES } else { READ_MIN_BYTES };
        let want_end = align_up(position + want.max(min) as u64).min(align_up(file_len));
        let max_end = start + (PIECES_IN_FLIGHT * READ_PIECE_BYTES) as u64;
        let end = want_end.min(max_end);
        let reads = (start..end).step_by(READ_PIECE_BYTES).map(|piece| {
            let len = (end - piece).min(READ_PIECE_BYTES as u64) as usize;
            let file = file.clone();
            async move { file.read_at(piece, len).await }
        });
        let mut pieces = Vec::new();
        let mut at = start;
        for bytes in join_all(reads.collect()).await {
            let bytes = self.keep(at, bytes?, file_len)?;
            at += bytes.len() as u64;
            pieces.push(bytes);
        }
        self.core.state.borrow_mut().last_disk_read_end = end;
        let skip = (position - start) as usize;
        pieces[0] = pieces[0].slice(skip.min(pieces[0].len())..);
        if pieces[0].is_empty() {
            return Err(self.corrupt(position, "the file is shorter than its log".to_owned()));
        }
        Ok(pieces)
    }

    /// Caches a piece without what lies behind the end of what the file has of the segment.
    fn keep(&self, position: u64, mut bytes: Bytes, file_len: u64) -> Result<Bytes, ReadError> {
        let charge = bytes.len();
        let expected = (file_len - position).min(READ_PIECE_BYTES as u64) as usize;
        if charge < expected && !charge.is_multiple_of(BLOCK) {
            return Err(self.corrupt(position + charge as u64, "the file ends inside of its log".to_owned()));
        }
        bytes.truncate(expected);
        let mut cache = self.core.env.blocks().borrow_mut();
        cache.insert(self.view.ids.log, position, bytes.clone(), charge);
        Ok(bytes)
    }

    /// The last entry on disk for which `is_at_most` holds.
    pub(super) async fn floor_on_disk<E: IndexEntry>(
        &self,
        kind: FileKind,
        is_at_most: impl Fn(E) -> bool,
    ) -> Result<Option<E>, ReadError> {
        Ok(floor_in_bytes(&self.index_bytes(kind).await?, is_at_most))
    }

    /// The entries of an index that are on disk.
    pub(super) async fn index_bytes(&self, kind: FileKind) -> Result<Bytes, ReadError> {
        let (id, len) = match kind {
            FileKind::OffsetIndex => (self.view.ids.offset_index, self.view.offset_index_len),
            FileKind::TimeIndex => (self.view.ids.time_index, self.view.time_index_len),
            FileKind::Log | FileKind::TxnIndex | FileKind::Snapshot => unreachable!("not a sparse index"),
        };
        let len = usize::try_from(len).expect("an index fits memory");
        if len == 0 {
            return Ok(Bytes::new());
        }
        let cached = self.core.env.blocks().borrow_mut().lookup(id, 0);
        if let Some(bytes) = cached.filter(|bytes| len <= bytes.len()) {
            return Ok(bytes.slice(..len));
        }
        if self.core.pinned_file(self.view.ids.log).is_some() {
            // Its index has no name yet. Without an index, reading begins at the front.
            return Ok(Bytes::new());
        }
        let path = file_path(&self.core.dir(), kind, self.view.base_offset);
        let file = self.core.open_current(&self.view, &path).await?;
        let bytes = file.read_at(0, len).await?;
        self.core.env.blocks().borrow_mut().insert(id, 0, bytes.clone(), bytes.len());
        Ok(bytes)
    }
}

impl<D: Disk> Core<D> {
    /// The segment's file, open for reading.
    pub(super) async fn reading_file(&self, view: &SegmentView) -> Result<Rc<D::File>, ReadError> {
        if let Some(file) = self.open_file(view.ids.log) {
            return Ok(file);
        }
        let path = file_path(&self.dir(), FileKind::Log, view.base_offset);
        let file = Rc::new(self.open_current(view, &path).await?);
        self.env.files().borrow_mut().insert(view.ids.log, file.clone());
        Ok(file)
    }

    /// Opens a file of a segment by its name, which may belong to another segment by now.
    async fn open_current(&self, view: &SegmentView, path: &Path) -> Result<D::File, ReadError> {
        let opened = match self.is_current(view) {
            true => self.env.disk().open(path, OpenMode::Read).await,
            false => return Err(ReadError::Replaced),
        };
        if self.is_current(view) { Ok(opened?) } else { Err(ReadError::Replaced) }
    }

    fn open_file(&self, id: FileId) -> Option<Rc<D::File>> {
        if let Some(file) = self.pinned_file(id) {
            return Some(file);
        }
        let state = self.state.borrow();
        let front = state.open.front().filter(|segment| segment.ids.log == id);
        let written = front.and_then(|segment| segment.file.clone());
        written.or_else(|| self.env.files().borrow_mut().lookup(id))
    }
}

/// The pieces as one; without a copy when there is only one.
fn concat(pieces: &[Bytes]) -> Bytes {
    if let [piece] = pieces {
        return piece.clone();
    }
    let mut bytes = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    bytes.freeze()
}

/// Runs futures side by side; their results in order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut slots: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_pending = false;
        for (future, output) in &mut slots {
            let Some(pending) = future else { continue };
            match Pin::as_mut(pending).poll(context) {
                Poll::Ready(value) => (*future, *output) = (None, Some(value)),
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    slots.into_iter().map(|(_, output)| output.expect("every future has ended")).collect()
}
