//! The first block of a journal file: which of the frames behind it are alive.

/// Where frames begin: the header has a block of its own.
pub(super) const FRAMES_AT: u64 = crate::disk::BLOCK as u64;

const MAGIC: [u8; 8] = *b"CORELOGJ";
const VERSION: u32 = 2;

const VERSION_AT: usize = 8;
const GENERATION_AT: usize = 12;
const FILE_BYTES_AT: usize = 20;
const CRC_AT: usize = 28;
/// Bytes of a header. Less than a sector, so that it is the old one or the new one after a crash.
pub(super) const FILE_HEADER_LEN: usize = 32;

const _: () = assert!(FILE_HEADER_LEN <= 512, "a header fits the smallest sector");

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Frames of another generation are left from an earlier use of the file.
    pub(super) generation: u64,
    /// Bytes of the file, this block included.
    pub(super) file_bytes: u64,
}

/// Why a file is not a journal file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileHeaderError {
    #[error("expected {FILE_HEADER_LEN} bytes of a header, found {found}")]
    Short { found: usize },
    #[error("no journal file: it begins with {found:02x?}")]
    NoJournal { found: [u8; 8] },
    #[error("journal version {found}, expected {VERSION}: start what wrote it and stop it cleanly first")]
    UnknownVersion { found: u32, generation: u64 },
    #[error("header checksum {found:08x}, expected {expected:08x}")]
    WrongCrc { expected: u32, found: u32 },
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut bytes = [0; FILE_HEADER_LEN];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..GENERATION_AT].copy_from_slice(&VERSION.to_be_bytes());
        bytes[GENERATION_AT..FILE_BYTES_AT].copy_from_slice(&self.generation.to_be_bytes());
        bytes[FILE_BYTES_AT..CRC_AT].copy_from_slice(&self.file_bytes.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FileHeaderError> {
        let short = FileHeaderError::Short { found: bytes.len() };
        let Some(bytes) = bytes.first_chunk::<FILE_HEADER_LEN>() else { return Err(short) };
        let magic: [u8; 8] = bytes[..VERSION_AT].try_into().expect("eight bytes");
        if magic != MAGIC {
            return Err(FileHeaderError::NoJournal { found: magic });
        }
        let found = u32_at(bytes, CRC_AT);
        let expected = crc32c::crc32c(&bytes[..CRC_AT]);
        if found != expected {
            return Err(FileHeaderError::WrongCrc { expected, found });
        }
        // It stands here in every version.
        let generation = u64_at(bytes, GENERATION_AT);
        let version = u32_at(bytes, VERSION_AT);
        if version != VERSION {
            return Err(FileHeaderError::UnknownVersion { found: version, generation });
        }
        Ok(Self { generation, file_bytes: u64_at(bytes, FILE_BYTES_AT) })
    }
}

/// The integer at `at`, which lies within `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The integer at `at`, which lies within `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_and_damage_is_seen() {
        let header = FileHeader { generation: 0x0102_0304_0506_0708, file_bytes: 1 << 24 };
        let bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes), Ok(header));
        for bit in 0..8 * FILE_HEADER_LEN {
            let mut broken = bytes;
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&broken).is_err(), "bit {bit}");
        }
        assert_eq!(FileHeader::decode(&bytes[..31]), Err(FileHeaderError::Short { found: 31 }));
        assert!(matches!(FileHeader::decode(&[0; 4096]), Err(FileHeaderError::NoJournal { .. })));
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = FileHeader { generation: 1, file_bytes: 8192 }.encode();
        bytes[VERSION_AT..GENERATION_AT].copy_from_slice(&3_u32.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(
            FileHeader::decode(&bytes),
            Err(FileHeaderError::UnknownVersion { found: 3, generation: 1 })
        );
    }

    #[test]
    fn the_bytes_are_those_of_the_documented_table() {
        let bytes = FileHeader { generation: 7, file_bytes: 0x10_0000 }.encode();
        assert_eq!(bytes[..28], *b"CORELOGJ\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\0\0\x10\0\0");
    }
}
