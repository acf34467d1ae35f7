//! Accepting connections on one executor.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{Shutdown, SocketFlags};
use tracing::warn;

use super::bind::BoundListener;
use super::stream::Stream;
use crate::rt::reactor::{Direction, Source};
use crate::rt::{task, time};

/// How long [`Listener::accept`] waits when the process or the host is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Pauses between two warnings that descriptors are exhausted: one line in ten seconds.
const EXHAUSTED_WARN_EVERY: u64 = 100;

/// One executor's share of a listening port.
#[derive(Debug)]
pub struct Listener {
    socket: Source,
    addr: SocketAddr,
    exhausted: u64,
}

impl Listener {
    /// Takes a bound socket to the current executor.
    pub fn from_bound(bound: BoundListener) -> Self {
        let addr = bound.local_addr();
        Self { socket: Source::new(bound.into_socket().into()), addr, exhausted: 0 }
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
            self.socket.ready(Direction::Read).await;
            match accept_now(&self.socket) {
                Ok(fd) => {
                    self.exhausted = 0;
                    // A peer that has gone already shows as an error here; the next one is tried.
                    if let Ok(stream) = Stream::from_fd(fd) {
                        let peer = stream.peer_addr();
                        return Ok((stream, peer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.would_block(Direction::Read)
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_exhaustion(&error) => self.pause(&error).await,
                Err(error) => return Err(error),
            }
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
        // The watch in the ring keeps the socket alive a moment longer than its descriptor; without this
        // the port would go on taking connections that nobody accepts.
        rustix::net::shutdown(&self.socket, Shutdown::Read).ok();
    }
}

fn accept_now(socket: &Source) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::accept_with(socket, flags)?)
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::Listener;
    use crate::rt::executor::{self, ExecutorConfig};
    use crate::rt::net::bind;

    #[test]
    fn connections_have_the_buffers_of_their_listener() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 1, 16).unwrap().pop().unwrap();
        bound.set_buffers(Some(20_000), Some(30_000)).unwrap();
        let _client = TcpStream::connect(bound.local_addr()).unwrap();
        let main = || async {
            let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
            stream.buffer_sizes()
        };
        let found = executor::spawn(ExecutorConfig::unpinned("test"), main).unwrap().join().unwrap();
        // The kernel adds as much again for its own purposes.
        assert_eq!(found, (40_000, 60_000));
    }
}
