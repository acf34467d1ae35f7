//! Binding a port for several executors, before they start.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A listening socket that no executor has taken yet.
#[derive(Debug)]
pub struct BoundListener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl BoundListener {
    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets SO_SNDBUF and SO_RCVBUF of the connections that come; `None` leaves one to the kernel.
    pub fn set_buffers(&self, send: Option<usize>, receive: Option<usize>) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        if let Some(bytes) = send {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(())
    }

    pub(super) fn into_socket(self) -> TcpListener {
        self.socket
    }
}

/// Why a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the port, perhaps with SO_REUSEPORT.
    #[error("cannot listen on {addr}: the port is in use; stop the other process or change `listeners`")]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The process may not use the port.
    #[error(
        "cannot listen on {addr}: permission denied; use a port of 1024 or above, \
         or grant CAP_NET_BIND_SERVICE"
    )]
    Denied {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// No interface has the address.
    #[error("cannot listen on {addr}: this host has no such address; change `listeners`")]
    NoSuchAddress {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {addr}: {source}")]
    Os {
        /// The address asked for.
        addr: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl BindError {
    fn new(addr: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse { addr },
            Some(libc::EACCES) => Self::Denied { addr },
            Some(libc::EADDRNOTAVAIL) => Self::NoSuchAddress { addr },
            _ => Self::Os { addr, source },
        }
    }
}

/// The kernel closes the sockets of a process that was killed only once its io_uring is gone, a moment after
/// the process. A start that follows at once waits for that.
const TEARDOWN_MAX: Duration = Duration::from_millis(500);
const TEARDOWN_RETRY: Duration = Duration::from_millis(10);

/// Listens on `addr` with `sockets` sockets, one per executor; the kernel spreads connections over them.
///
/// Port 0 picks a free port for all of them. `backlog` bounds the connections that wait to be accepted
/// on each; the kernel caps it at `net.core.somaxconn`.
pub fn bind(addr: SocketAddr, sockets: usize, backlog: i32) -> Result<Vec<BoundListener>, BindError> {
    assert!(0 < sockets, "a listener needs at least one socket");
    let deadline = Instant::now() + TEARDOWN_MAX;
    loop {
        match listen_all(addr, sockets, backlog) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(TEARDOWN_RETRY);
            }
            other => return other.map_err(|error| BindError::new(addr, error)),
        }
    }
}

fn listen_all(addr: SocketAddr, sockets: usize, backlog: i32) -> io::Result<Vec<BoundListener>> {
    // The first socket binds and listens without SO_REUSEPORT: this fails when anybody has the port, also
    // somebody who would share it. Only then is the port opened to sockets of the same user.
    let first = new_socket(addr)?;
    first.bind(&addr.into())?;
    first.listen(backlog)?;
    first.set_reuse_port(true)?;
    let first = bound(first)?;
    let addr = first.addr;
    let mut listeners = vec![first];
    for _ in 1..sockets {
        let socket = new_socket(addr)?;
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into())?;
        socket.listen(backlog)?;
        listeners.push(bound(socket)?);
    }
    Ok(listeners)
}

/// A socket that is closed on exec and does not block, in the family of `addr`.
fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // The default depends on a sysctl; a listener of its own for 0.0.0.0 must stay possible.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bound(socket: Socket) -> io::Result<BoundListener> {
    let socket = TcpListener::from(socket);
    let addr = socket.local_addr()?;
    Ok(BoundListener { socket, addr })
}
