//! TCP: listeners per executor, streams with independent halves, a read buffer that hands out frames.
//!
//! glommio's sockets are not used: a read or a write of theirs that has to wait is a request to the ring,
//! where one that watches the socket for good does for all of them (`reactor`). Traps of theirs and of the
//! kernel:
//! - its `bind` sets SO_REUSEPORT, so that a second process takes the port silently: [`bind`] owns the
//!   port alone before it shares it among our own executors;
//! - its `accept` clears and sets the blocking mode of the listener around each call, hands out a
//!   descriptor that nobody closes, and returns at once when descriptors run out: [`Listener::accept`]
//!   calls `accept4` itself, returns a [`Stream`] that closes itself, and backs off;
//! - a watch in the ring keeps a closed socket alive: dropping a [`Stream`] or a [`Listener`]
//!   shuts it down first;
//! - a read buffer per connection of the size that a busy connection needs would cost 10,000 idle ones
//!   1.3 GB, and each fresh page 2 us: see [`ReadBuffer`];
//! - there is no vectored write: [`StreamWriter::write_all`] calls `sendmsg`.

mod bind;
mod listener;
mod read_buffer;
mod stream;
mod write_queue;

pub use bind::{BindError, BoundListener, bind};
pub use listener::Listener;
pub use read_buffer::ReadBuffer;
pub use stream::{DetachedStream, Stream, StreamReader, StreamWriter, connect};
pub use write_queue::WriteQueue;
