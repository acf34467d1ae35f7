//! Accepting connections on one executor.

#![expect(unsafe_code, reason = "accept4, shutdown and the hand-over of descriptors")]

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use futures_lite::AsyncRead;
use glommio::net::TcpStream;
use tracing::warn;

use super::bind::BoundListener;
use super::stream::Stream;
use crate::rt::{task, time};

/// How long [`Listener::accept`] waits when the process or the host is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Pauses between two warnings that descriptors are exhausted: one line in ten seconds.
const EXHAUSTED_WARN_EVERY: u64 = 100;

/// One executor's share of a listening port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    exhausted: u64,
}

impl Listener {
    /// Takes a bound socket to the current executor.
    pub fn from_bound(bound: BoundListener) -> Self {
        let addr = bound.local_addr();
        Self { socket: bound.into_socket(), addr, exhausted: 0 }
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection, with TCP_NODELAY set. Waits while descriptors are exhausted; an error means
    /// that the listener itself is unusable.
    pub async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        // Connections that come without a pause must not keep the core from those that are there.
        task::yield_if_needed().await;
        loop {
            match accept_now(&self.socket) {
                Ok(fd) => {
                    self.exhausted = 0;
                    // A peer that has gone already shows as an error here; the next one is tried.
                    if let Ok(stream) = Stream::from_fd(fd) {
                        let peer = stream.peer_addr();
                        return Ok((stream, peer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_exhaustion(&error) => self.pause(&error).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until a connection may be there.
    async fn readable(&mut self) {
        let waited = match self.socket.try_clone() {
            Ok(copy) => {
                // SAFETY: the descriptor is a fresh duplicate that nothing else owns.
                let mut poller = unsafe { TcpStream::from_raw_fd(copy.into_raw_fd()) };
                // A stream starts with a poll for readability. Reading from a listening socket fails, but
                // only once that poll has completed, which is all that is wanted.
                let read = poll_fn(|cx| Pin::new(&mut poller).poll_read(cx, &mut [0]));
                read.await.ok();
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = waited {
            self.pause(&error).await;
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        if self.exhausted.is_multiple_of(EXHAUSTED_WARN_EVERY) {
            warn!(listener = %self.addr, %error, "cannot accept, waiting; raise the open-file limit");
        }
        self.exhausted += 1;
        time::sleep(EXHAUSTED_PAUSE).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A poll that still waits in the ring keeps the socket alive after its descriptor is closed;
        // without this the port would go on taking connections that nobody accepts.
        // SAFETY: the descriptor is open, it belongs to `self.socket`.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RD) };
    }
}

fn accept_now(socket: &TcpListener) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: null address pointers mean that the peer's address is not asked for.
    let fd = unsafe { libc::accept4(socket.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Errors of the connection that was about to be accepted, see accept(2).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENONET
                | libc::ETIMEDOUT
        )
    )
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
