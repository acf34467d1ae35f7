//! Reading the journal files of a directory at a start.
//!
//! A frame is written when the one before it is durable, and a file is used when those of lower generations
//! are full. So a frame that is not whole is a write that a crash tore only if none comes after it, neither
//! in its file nor in one of a higher generation. Another one was durable and is broken.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::file_header::{FILE_HEADER_LEN, FRAMES_AT, FileHeader, FileHeaderError};
use super::frame::{FRAME_HEADER_LEN, FrameId, claimed_id, decode_frame};
use super::pending::PendingEntries;
use crate::disk::{BLOCK, Disk, DiskError, DiskFile, OpenMode, align_up};
use crate::log::error::LogError;

/// What a journal file's name begins with. A plain file: Kafka takes every directory for a partition's.
const NAME_PREFIX: &str = "corelog-journal-";

/// The largest journal file that is read.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

/// The name of the journal file `number`.
pub(super) fn file_name(number: u32) -> String {
    format!("{NAME_PREFIX}{number:03}")
}

fn parse_file_name(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(NAME_PREFIX)?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// A journal file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) number: u32,
    /// `None`: what is there is not, or not yet, a journal file.
    pub(super) header: Option<FileHeader>,
}

/// Frames that were durable and are not what was written: what comes after them was written later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFrames {
    /// The journal file.
    pub file: PathBuf,
    /// Where the first of them begins.
    pub position: u64,
    /// How many there are.
    pub frames: u32,
    /// What was expected and what was found.
    pub cause: String,
}

/// What the journal files of a directory hold.
#[derive(Debug, Default)]
pub(in crate::log) struct JournalContents {
    pub(super) files: Vec<FoundFile>,
    pub(in crate::log) pending: PendingEntries,
    /// Whole frames in all files.
    pub(super) frames: u64,
    /// In the order in which they were written.
    pub(in crate::log) broken: Vec<BrokenFrames>,
}

impl JournalContents {
    /// Reads all journal files of `dir`.
    ///
    /// # Errors
    /// A file of another version is `Corrupt`: what it holds may have been acknowledged.
    pub(in crate::log) async fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Self, LogError> {
        let mut contents = Self::default();
        for entry in disk.list(dir).await? {
            let Some(number) = parse_file_name(&entry.name).filter(|_| !entry.is_dir) else { continue };
            let header = read_header(disk, &dir.join(&entry.name), entry.len).await?;
            contents.files.push(FoundFile { number, header });
        }
        // Generations grow in the order in which files are used.
        contents.files.sort_unstable_by_key(|file| file.header.map(|header| header.generation));
        let files = contents.files.iter().filter_map(|file| Some((file.number, file.header?)));
        let files: Vec<_> = files.map(|(number, header)| (dir.join(file_name(number)), header)).collect();
        let mut used = 0;
        for (index, (path, header)) in files.iter().enumerate() {
            if is_used(disk, path, header.generation).await? {
                used = index + 1;
            }
        }
        // One more than is used: its first frame may be broken just where it tells.
        for (index, (path, header)) in files.iter().take(used + 1).enumerate() {
            let torn = contents.read_frames(disk, path, header).await?;
            if index + 1 < used {
                contents.broken.extend(torn);
            }
        }
        Ok(contents)
    }

    /// Reads the frames of a file, up to one that none of this use of the file follows. Returns that one if
    /// there is something of it: it may be torn.
    async fn read_frames<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        header: &FileHeader,
    ) -> Result<Option<BrokenFrames>, LogError> {
        let file = disk.open(path, OpenMode::Read).await?;
        let mut id = FrameId { generation: header.generation, sequence: 0 };
        let mut rest = file.read_at(FRAMES_AT, (header.file_bytes - FRAMES_AT) as usize).await?;
        loop {
            let cause = match decode_frame(&rest, id) {
                Ok(frame) => {
                    frame.entries.into_iter().for_each(|entry| self.pending.add(entry));
                    rest = rest.slice((align_up(frame.len as u64) as usize).min(rest.len())..);
                    id.sequence += 1;
                    self.frames += 1;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let position = header.file_bytes - rest.len() as u64;
            let broken = |frames| BrokenFrames { file: path.to_owned(), position, frames, cause };
            let Some((distance, next)) = find_frame_behind(&rest, id) else {
                let is_begun = claimed_id(&rest) == Some(id) || id.sequence == 0;
                return Ok(is_begun.then(|| broken(1)));
            };
            self.broken.push(broken(next.sequence - id.sequence));
            rest = rest.slice(distance..);
            id = next;
        }
    }

    /// A generation that no file has had.
    pub(super) fn next_generation(&self) -> u64 {
        let last = self.files.iter().filter_map(|file| file.header).map(|header| header.generation).max();
        last.map_or(1, |last| last + 1)
    }
}

/// The next whole frame of the same use of the file behind the start of `rest`, where `broken` should be,
/// and how many bytes lie between.
fn find_frame_behind(rest: &Bytes, broken: FrameId) -> Option<(usize, FrameId)> {
    (1..rest.len() / BLOCK).find_map(|blocks| {
        let candidate = rest.slice(blocks * BLOCK..);
        let found = claimed_id(&candidate).filter(|found| found.generation == broken.generation)?;
        // A frame has a block at least.
        let is_later = broken.sequence < found.sequence && found.sequence - broken.sequence <= blocks as u32;
        (is_later && decode_frame(&candidate, found).is_ok()).then_some((blocks * BLOCK, found))
    })
}

/// A cheap look that spares reading files without live frames.
async fn is_used<D: Disk>(disk: &D, path: &Path, generation: u64) -> Result<bool, DiskError> {
    let file = disk.open(path, OpenMode::Read).await?;
    let first = file.read_at(FRAMES_AT, FRAME_HEADER_LEN).await?;
    Ok(claimed_id(&first).is_some_and(|found| found.generation == generation))
}

async fn read_header<D: Disk>(disk: &D, path: &Path, len: u64) -> Result<Option<FileHeader>, LogError> {
    let file = disk.open(path, OpenMode::Read).await?;
    let bytes = file.read_at(0, FILE_HEADER_LEN).await?;
    let corrupt = |reason| LogError::Corrupt { file: path.to_owned(), position: 0, reason };
    match FileHeader::decode(&bytes) {
        Ok(header) => {
            let is_sound = header.file_bytes.is_multiple_of(BLOCK as u64)
                && header.file_bytes == len
                && (FRAMES_AT..=FILE_BYTES_MAX).contains(&len);
            if is_sound {
                return Ok(Some(header));
            }
            Err(corrupt(format!("a journal file of {} bytes is {len} bytes long", header.file_bytes)))
        }
        // A file whose creation was not finished has no header: that is written last.
        Err(FileHeaderError::Short { .. }) => Ok(None),
        Err(FileHeaderError::NoJournal { found }) if found == [0; 8] => Ok(None),
        // After a clean stop nothing of another version is left but its files.
        Err(FileHeaderError::UnknownVersion { generation, .. })
            if !is_used(disk, path, generation).await? =>
        {
            Ok(None)
        }
        Err(error) => Err(corrupt(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        assert_eq!(file_name(7), "corelog-journal-007");
        assert_eq!(parse_file_name("corelog-journal-007"), Some(7));
        assert_eq!(parse_file_name("corelog-journal-1234"), Some(1234));
        for other in ["corelog-journal-7", "corelog-journal-", "corelog-journal-00a", "corelog-journal-0007"]
        {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
