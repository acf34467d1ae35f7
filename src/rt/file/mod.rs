//! Files: [`DirectDisk`] implements the disk seam with direct I/O: opened and read by glommio, written and
//! synced through the executor's own ring.
//!
//! Hidden traps of glommio and of direct I/O:
//! - the first direct file that an executor opens on a device decides whether all of them busy-poll,
//!   and an empty file that may be read gives the wrong answer (reads fail with EOPNOTSUPP, the core
//!   spins): `device` opens a write-only file without a name first;
//! - opening asks for the file system by path and panics when the name is gone by then: `names` lets
//!   no rename or removal of ours come between;
//! - `stat` is by path and wrong after a rename: lengths come from the descriptor;
//! - an unaligned read at the end of the file returns bytes beyond it: reads are aligned and cut here;
//! - a write may be short, also by less than a block: it is reported in whole blocks, as the seam asks;
//! - buffers are not `Send`: `buffer` recycles them, `lent` lends them to other cores and takes them back on
//!   their own;
//! - a panic in a blocking call hangs its waiter for ever: `blocking` carries it over;
//! - `fdatasync` costs a thread hop: a write that has to be durable says so itself (RWF_DSYNC);
//! - reads above 1 MiB may hang on some kernels: they are split.
//!
//! Where O_DIRECT is refused, the same files work through the page cache.

mod blocking;
mod buffer;
mod device;
mod direct_file;
mod disk;
mod lent;
mod names;
mod page_cache;
mod space;

pub use buffer::{DirectBlocks, DirectBuf, SharedBuf};
pub use device::{DirectIo, probe};
pub use direct_file::DirectFile;
pub use disk::DirectDisk;
pub use space::{DiskSpace, disk_space};
