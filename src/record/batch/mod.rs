//! A batch seen from outside: its header, the fields a broker patches, its CRC, and walking from one to the
//! next.
//!
//! ```text
//! position  bytes  field
//!        0      8  base offset             assigned by the leader
//!        8      4  batch length            bytes after this field
//!       12      4  partition leader epoch  assigned by the leader
//!       16      1  magic                   2
//!       17      4  crc                     CRC-32C of everything from `attributes` on
//!       21      2  attributes
//!       23      4  last offset delta
//!       27      8  base timestamp
//!       35      8  max timestamp
//!       43      8  producer id
//!       51      2  producer epoch
//!       53      4  base sequence
//!       57      4  record count
//!       61         records, compressed as a whole
//! ```
//!
//! All integers are big-endian. Offset and epoch lie outside of the CRC, so a leader assigns them without
//! touching the rest.

mod attributes;
mod batches;
mod chained_crc;
mod crc;
mod header;
mod patch;

pub use attributes::{Attributes, TimestampType};
pub use batches::Batches;
pub use chained_crc::{append_batches, chain_crcs};
pub use crc::{compute_crc, copy_with_crc, crc_matches};
pub use header::{BatchHeader, HEADER_LEN, LOG_OVERHEAD};
pub use patch::{set_append_time, set_base_offset, set_max_timestamp, set_partition_leader_epoch};

/// The only format this broker stores (`RecordBatch.MAGIC_VALUE_V2`).
pub const MAGIC: i8 = 2;

const BATCH_LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// Where the CRC's coverage begins.
pub const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const _: () = assert!(RECORD_COUNT_AT + 4 == HEADER_LEN);
const _: () = assert!(BATCH_LENGTH_AT + 4 == LOG_OVERHEAD);
