//! A connection and its two halves.

#![expect(unsafe_code, reason = "sendmsg takes pieces by address")]

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::net::{RecvFlags, Shutdown};
use socket2::{Domain, Protocol, Type};

use super::read_buffer::ReadBuffer;
use super::write_queue::WriteQueue;
use crate::rt::reactor::{Direction, Source, send_in_place};
use crate::rt::task;
use crate::types::FileSlice;

/// Bytes that a half moves before it lets other tasks have a turn.
const BURST_BYTES: usize = 256 << 10;

/// Pieces in one `sendmsg`.
const SEND_PIECES_MAX: usize = 64;

/// Bytes of a file that one `sendfile` passes on.
const SEND_FILE_BYTES_MAX: usize = 256 << 10;

/// Fewer bytes are copied in less time than it takes to pin them.
const IN_PLACE_BYTES_MIN: usize = 32 << 10;

/// A connection. It is closed when both halves are gone.
#[derive(Debug)]
pub struct Stream {
    socket: Rc<Socket>,
}

/// The reading half.
#[derive(Debug)]
pub struct StreamReader {
    socket: Rc<Socket>,
    burst_bytes: usize,
}

/// The writing half.
#[derive(Debug)]
pub struct StreamWriter {
    socket: Rc<Socket>,
    burst_bytes: usize,
    /// Whether much in memory is sent without a copy.
    sends_in_place: bool,
}

/// A connection on its way to another executor.
#[derive(Debug)]
pub struct DetachedStream {
    fd: OwnedFd,
    peer: SocketAddr,
    local: SocketAddr,
}

#[derive(Debug)]
struct Socket {
    source: Source,
    peer: SocketAddr,
    local: SocketAddr,
    /// Another executor has it: nothing here ends it any more.
    is_detached: Cell<bool>,
}

impl Socket {
    fn shutdown(&self, how: Shutdown) {
        if self.is_detached.get() {
            return;
        }
        // A connection that the other side has reset answers ENOTCONN, which is as good.
        rustix::net::shutdown(&self.source, how).ok();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The watch in the ring keeps the connection open a moment longer than its descriptor.
        self.shutdown(Shutdown::Both);
    }
}

/// Opens a connection, with TCP_NODELAY set.
pub async fn connect(addr: SocketAddr) -> io::Result<Stream> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        connected => connected?,
    }
    let source = Source::new(socket.into());
    source.would_block(Direction::Write);
    source.ready(Direction::Write).await;
    rustix::net::sockopt::socket_error(&source)??;
    Stream::from_source(source)
}

impl Stream {
    /// A connection over an accepted socket.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::from_source(Source::new(fd))
    }

    fn from_source(source: Source) -> io::Result<Self> {
        let socket = socket2::SockRef::from(&source);
        socket.set_tcp_nodelay(true)?;
        let address = |found: socket2::SockAddr| found.as_socket().ok_or(io::ErrorKind::Unsupported);
        let peer = address(socket.peer_addr()?)?;
        let local = address(socket.local_addr()?)?;
        Ok(Self::new(source, peer, local))
    }

    fn new(source: Source, peer: SocketAddr, local: SocketAddr) -> Self {
        Self { socket: Rc::new(Socket { source, peer, local, is_detached: Cell::new(false) }) }
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer
    }

    /// The address of this side.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local
    }

    /// SO_SNDBUF and SO_RCVBUF.
    #[cfg(test)]
    pub(super) fn buffer_sizes(&self) -> (usize, usize) {
        let socket = socket2::SockRef::from(&self.socket.source);
        (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap())
    }

    /// Two halves for two tasks of this executor.
    pub fn split(self) -> (StreamReader, StreamWriter) {
        let Self { socket } = self;
        let reader = StreamReader { socket: Rc::clone(&socket), burst_bytes: 0 };
        (reader, StreamWriter { socket, burst_bytes: 0, sends_in_place: false })
    }
}

impl StreamReader {
    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer
    }

    /// Appends what the other side sent to `buffer`, at least one byte, and says how many; zero at the
    /// end of the stream. While it waits, an empty buffer holds no memory.
    pub async fn read(&mut self, buffer: &mut ReadBuffer) -> io::Result<usize> {
        if BURST_BYTES <= self.burst_bytes {
            self.burst_bytes = 0;
            task::yield_now().await;
        }
        loop {
            let source = &self.socket.source;
            source.ready(Direction::Read).await;
            let room = buffer.unfilled();
            let offered = room.len();
            match rustix::net::recv(source, room, RecvFlags::DONTWAIT) {
                Ok((_, read)) => {
                    if read < offered {
                        source.drained();
                    }
                    buffer.filled(read);
                    self.burst_bytes += read;
                    return Ok(read);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    source.would_block(Direction::Read);
                    buffer.park();
                    self.burst_bytes = 0;
                }
                Err(error) => {
                    buffer.park();
                    return Err(error.into());
                }
            }
        }
    }

    /// Ends both directions at once; a task that waits in the other half wakes up.
    pub fn abort(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// The connection for another executor. From then on neither half here is of use, and neither ends it.
    /// Fails, and changes nothing, when the process may not have one more descriptor for a moment.
    pub fn detach(&self) -> io::Result<DetachedStream> {
        let Socket { source, peer, local, is_detached } = &*self.socket;
        let fd = source.as_fd().try_clone_to_owned()?;
        is_detached.set(true);
        Ok(DetachedStream { fd, peer: *peer, local: *local })
    }
}

impl DetachedStream {
    /// The connection on the current executor.
    pub fn attach(self) -> Stream {
        Stream::new(Source::new(self.fd), self.peer, self.local)
    }
}

impl StreamWriter {
    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer
    }

    /// From now on much in memory is sent from where it is, if the kernel can.
    pub fn send_in_place(&mut self) {
        self.sends_in_place = true;
    }

    /// Hands everything in `queue` to the kernel. After an error, and after a call that was dropped while
    /// it sent in place, the rest of the queue is undefined and the connection useless.
    pub async fn write_all(&mut self, queue: &mut WriteQueue) -> io::Result<()> {
        while !queue.is_empty() {
            if BURST_BYTES <= self.burst_bytes {
                self.burst_bytes = 0;
                task::yield_now().await;
            }
            let sent = match queue.front_file() {
                Some(slice) => self.send_file_now(slice)?,
                None if self.sends_in_place && IN_PLACE_BYTES_MIN <= queue.bytes() => {
                    self.send_pieces_in_place(queue).await?
                }
                None => self.send_now(queue)?,
            };
            match sent {
                Some(sent) => {
                    self.burst_bytes += sent;
                    queue.advance(sent);
                }
                None => {
                    self.burst_bytes = 0;
                    self.socket.source.would_block(Direction::Write);
                    self.socket.source.ready(Direction::Write).await;
                }
            }
        }
        Ok(())
    }

    /// Ends the writing direction: the other side reads the end of the stream after the last byte.
    pub fn shutdown(&self) {
        self.socket.shutdown(Shutdown::Write);
    }

    /// Ends both directions at once; a task that waits in the other half wakes up.
    pub fn abort(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// One `sendmsg` over the first pieces, which are in memory; `None` when the socket has no room.
    fn send_now(&self, queue: &WriteQueue) -> io::Result<Option<usize>> {
        let mut iovecs = [const { MaybeUninit::<libc::iovec>::uninit() }; SEND_PIECES_MAX];
        let mut count = 0;
        for (piece, iovec) in queue.memory_pieces().zip(&mut iovecs) {
            iovec.write(libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
            count += 1;
        }
        // SAFETY: all-zero bytes are a valid msghdr without address, control data and pieces.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = iovecs.as_mut_ptr().cast();
        message.msg_iovlen = count as _;
        // What a file holds follows at once: it may share a packet with what stands before it.
        let more = if count < queue.count() { libc::MSG_MORE } else { 0 };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
        // SAFETY: the first `count` iovecs are initialised and point into the queue's pieces, which live
        // through this call; the kernel only reads them.
        let sent = unsafe { libc::sendmsg(self.socket.source.as_fd().as_raw_fd(), &message, flags) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(Some(sent));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => Ok(None),
            io::ErrorKind::Interrupted => Ok(Some(0)),
            _ => Err(error),
        }
    }

    /// Sends the first pieces, which are in memory, without a copy; `None` when the socket has no room.
    async fn send_pieces_in_place(&mut self, queue: &WriteQueue) -> io::Result<Option<usize>> {
        let pieces: Vec<_> = queue.memory_pieces().take(SEND_PIECES_MAX).cloned().collect();
        let more = pieces.len() < queue.count();
        let sent = send_in_place(&self.socket.source, pieces, more).await;
        match sent.map_err(|error| (error.raw_os_error(), error)) {
            Ok(sent) => Ok(Some(sent)),
            Err((Some(libc::EAGAIN), _)) => Ok(None),
            Err((Some(libc::EINTR), _)) => Ok(Some(0)),
            // The kernel or the protocol below cannot.
            Err((Some(libc::EINVAL | libc::EOPNOTSUPP), _)) => {
                self.sends_in_place = false;
                Ok(Some(0))
            }
            Err((_, error)) => Err(error),
        }
    }

    /// One `sendfile`; `None` when the socket has no room.
    fn send_file_now(&self, slice: &FileSlice) -> io::Result<Option<usize>> {
        let mut position = slice.position();
        let len = slice.len().min(SEND_FILE_BYTES_MAX);
        match rustix::fs::sendfile(&self.socket.source, slice.file(), Some(&mut position), len) {
            // The file was cut: its bytes were promised and cannot be sent any more.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => Ok(Some(sent)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(rustix::io::Errno::INTR) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }
}
