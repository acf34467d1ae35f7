//! A connection and its two halves.

#![expect(unsafe_code, reason = "sendmsg, shutdown and the hand-over of descriptors")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{self, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::GlommioError;
use glommio::net::TcpStream;

use super::read_buffer::ReadBuffer;
use super::write_queue::WriteQueue;
use crate::rt::task;
use crate::types::FileSlice;

/// Bytes that a half moves before it lets other tasks have a turn.
const BURST_BYTES: usize = 256 << 10;

/// Pieces in one `sendmsg`.
const SEND_PIECES_MAX: usize = 64;

/// Bytes of a file that one `sendfile` passes on.
const SEND_FILE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a file that are copied to wait for room in the socket with them.
const POLL_FILE_BYTES: usize = 8 << 10;

/// Bytes offered to the poll that waits for room in the socket.
const POLL_WRITE_BYTES: usize = 64 << 10;

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
}

#[derive(Debug)]
struct Socket {
    /// Borrowed within one poll only; the two halves wait for different events.
    stream: RefCell<TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A poll that still waits in the ring keeps the connection open after its descriptor is closed.
        shutdown(&self.stream.borrow(), net::Shutdown::Both);
    }
}

/// Opens a connection, with TCP_NODELAY set.
pub async fn connect(addr: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect(addr).await.map_err(io_error)?;
    stream.set_nodelay(true).map_err(io_error)?;
    Stream::from_glommio(stream)
}

impl Stream {
    /// A connection over an accepted socket.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = net::TcpStream::from(fd);
        socket.set_nodelay(true)?;
        // `sendfile` has no flag for it.
        socket.set_nonblocking(true)?;
        // SAFETY: the descriptor comes out of its owner, which gives it up.
        Self::from_glommio(unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) })
    }

    fn from_glommio(stream: TcpStream) -> io::Result<Self> {
        let peer = stream.peer_addr().map_err(io_error)?;
        let local = stream.local_addr().map_err(io_error)?;
        Ok(Self { socket: Rc::new(Socket { stream: RefCell::new(stream), peer, local }) })
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer
    }

    /// The address of this side.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local
    }

    /// Two halves for two tasks of this executor.
    pub fn split(self) -> (StreamReader, StreamWriter) {
        let Self { socket } = self;
        let reader = StreamReader { socket: Rc::clone(&socket), burst_bytes: 0 };
        (reader, StreamWriter { socket, burst_bytes: 0 })
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
        let read = poll_fn(|cx| {
            let mut stream = self.socket.stream.borrow_mut();
            let read = Pin::new(&mut *stream).poll_read(cx, buffer.unfilled());
            match &read {
                Poll::Ready(Ok(count)) => buffer.filled(*count),
                Poll::Ready(Err(_)) | Poll::Pending => {
                    buffer.park();
                    self.burst_bytes = 0;
                }
            }
            read
        })
        .await?;
        self.burst_bytes += read;
        Ok(read)
    }

    /// Ends both directions at once; a task that waits in the other half wakes up.
    pub fn abort(&self) {
        shutdown(&self.socket.stream.borrow(), net::Shutdown::Both);
    }
}

impl StreamWriter {
    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer
    }

    /// Hands everything in `queue` to the kernel. After an error the rest of the queue is undefined and
    /// the connection useless.
    pub async fn write_all(&mut self, queue: &mut WriteQueue) -> io::Result<()> {
        while !queue.is_empty() {
            if BURST_BYTES <= self.burst_bytes {
                self.burst_bytes = 0;
                task::yield_now().await;
            }
            let sent = match queue.front_file() {
                Some(slice) => self.send_file_now(slice)?,
                None => self.send_now(queue)?,
            };
            let sent = match sent {
                Some(sent) => sent,
                None => self.send_when_writable(queue).await?,
            };
            self.burst_bytes += sent;
            queue.advance(sent);
        }
        Ok(())
    }

    /// Ends the writing direction: the other side reads the end of the stream after the last byte.
    pub fn shutdown(&self) {
        shutdown(&self.socket.stream.borrow(), net::Shutdown::Write);
    }

    /// Ends both directions at once; a task that waits in the other half wakes up.
    pub fn abort(&self) {
        shutdown(&self.socket.stream.borrow(), net::Shutdown::Both);
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
        let sent = unsafe { libc::sendmsg(self.socket.stream.borrow().as_raw_fd(), &message, flags) };
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

    /// One `sendfile`; `None` when the socket has no room.
    fn send_file_now(&self, slice: &FileSlice) -> io::Result<Option<usize>> {
        let mut position = slice.position();
        let len = slice.len().min(SEND_FILE_BYTES_MAX);
        let stream = self.socket.stream.borrow();
        // SAFETY: the descriptor belongs to the stream, which is borrowed for longer.
        let socket = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        match rustix::fs::sendfile(socket, slice.file(), Some(&mut position), len) {
            // The file was cut: its bytes were promised and cannot be sent any more.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => Ok(Some(sent)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(rustix::io::Errno::INTR) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for room and sends some of the first piece.
    async fn send_when_writable(&mut self, queue: &WriteQueue) -> io::Result<usize> {
        let copied;
        let first = match queue.front_file() {
            Some(slice) => {
                copied = read_front(slice)?;
                &copied[..]
            }
            None => queue.memory_pieces().next().expect("the caller has something to send"),
        };
        let first = &first[..first.len().min(POLL_WRITE_BYTES)];
        poll_fn(|cx| Pin::new(&mut *self.socket.stream.borrow_mut()).poll_write(cx, first)).await
    }
}

/// The first bytes of a slice.
fn read_front(slice: &FileSlice) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; slice.len().min(POLL_FILE_BYTES)];
    let count = rustix::io::pread(slice.file(), &mut bytes[..], slice.position())?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(count);
    Ok(bytes)
}

fn shutdown(stream: &TcpStream, how: net::Shutdown) {
    let how = match how {
        net::Shutdown::Read => libc::SHUT_RD,
        net::Shutdown::Write => libc::SHUT_WR,
        net::Shutdown::Both => libc::SHUT_RDWR,
    };
    // A connection that the other side has reset answers ENOTCONN, which is as good.
    // SAFETY: the descriptor is open, it belongs to `stream`.
    unsafe { libc::shutdown(stream.as_raw_fd(), how) };
}

/// glommio's error as the error it wraps: its own conversion loses the number.
fn io_error(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
