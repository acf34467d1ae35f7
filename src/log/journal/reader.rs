//! Reading the journal files of a directory at a start.

use std::path::Path;

use bytes::Bytes;

use super::file_header::{FILE_HEADER_LEN, FRAMES_AT, FileHeader, FileHeaderError};
use super::frame::{FRAME_HEADER_LEN, FrameId, decode_frame};
use super::pending::PendingEntries;
use crate::disk::{BLOCK, Disk, DiskFile, OpenMode, align_up};
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

/// What the journal files of a directory hold.
#[derive(Debug, Default)]
pub(in crate::log) struct JournalContents {
    pub(super) files: Vec<FoundFile>,
    pub(in crate::log) pending: PendingEntries,
    /// Whole frames in all files.
    pub(super) frames: u64,
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
        for file in contents.files.clone() {
            if let Some(header) = file.header {
                contents.read_frames(disk, &dir.join(file_name(file.number)), &header).await?;
            }
        }
        Ok(contents)
    }

    /// Reads frames up to the first that is torn, of an earlier use of the file, or not there.
    async fn read_frames<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        header: &FileHeader,
    ) -> Result<(), LogError> {
        let file = disk.open(path, OpenMode::Read).await?;
        let mut id = FrameId { generation: header.generation, sequence: 0 };
        let first = file.read_at(FRAMES_AT, FRAME_HEADER_LEN).await?;
        if !is_of_generation(&first, id.generation) {
            return Ok(());
        }
        let mut rest = file.read_at(FRAMES_AT, (header.file_bytes - FRAMES_AT) as usize).await?;
        while let Ok(frame) = decode_frame(&rest, id) {
            frame.entries.into_iter().for_each(|entry| self.pending.add(entry));
            rest = rest.slice((align_up(frame.len as u64) as usize).min(rest.len())..);
            id.sequence += 1;
            self.frames += 1;
        }
        Ok(())
    }

    /// A generation that no file has had.
    pub(super) fn next_generation(&self) -> u64 {
        let last = self.files.iter().filter_map(|file| file.header).map(|header| header.generation).max();
        last.map_or(1, |last| last + 1)
    }
}

/// A cheap look that spares reading a file without live frames.
fn is_of_generation(first: &Bytes, generation: u64) -> bool {
    first.get(8..16).is_some_and(|found| *found == generation.to_be_bytes())
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
