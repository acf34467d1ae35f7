//! Sending bytes from where they are.

#![expect(unsafe_code, reason = "the kernel is told the bytes by address")]

use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use bytes::Bytes;
use io_uring::opcode;
use io_uring::types::Fd;

use super::{Completion, with_current};

/// What the kernel reads until its last completion.
struct Message {
    header: libc::msghdr,
    _iovecs: Vec<libc::iovec>,
    _pieces: Vec<Bytes>,
}

/// Begins to send `pieces` on a socket without a copy by the kernel, where the device below can; with `more`
/// when others follow at once. The result is how many bytes are on their way; the pieces are let go when the
/// other side has them.
pub(in crate::rt) fn send_in_place(socket: &impl AsFd, pieces: Vec<Bytes>, more: bool) -> Completion {
    let iovec =
        |piece: &Bytes| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
    let mut iovecs: Vec<_> = pieces.iter().map(iovec).collect();
    // SAFETY: all-zero bytes are a valid msghdr without address, control data and pieces.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = iovecs.as_mut_ptr();
    header.msg_iovlen = iovecs.len() as _;
    let message = Rc::new(Message { header, _iovecs: iovecs, _pieces: pieces });
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    let entry = opcode::SendMsgZc::new(Fd(socket.as_fd().as_raw_fd()), &raw const message.header);
    let entry = entry.flags(flags as u32).build();
    // SAFETY: header, iovecs and pieces are on the heap, in `message`, and change no more.
    with_current(|reactor| unsafe { reactor.ring.begin(entry, Some(message)) })
}
