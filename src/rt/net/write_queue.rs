//! What waits to be sent on a connection.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::types::{FileSlice, Piece};

/// Pieces to send in order. The pieces are shared by reference count, never joined.
#[derive(Debug, Default)]
pub struct WriteQueue {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl WriteQueue {
    /// Nothing to send.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: impl Into<Piece>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
    }

    /// The pieces at the front that are in memory, in order.
    pub(super) fn memory_pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().map_while(|piece| match piece {
            Piece::Memory(bytes) => Some(bytes),
            Piece::File(_) => None,
        })
    }

    /// The piece at the front, if it is in a file.
    pub(super) fn front_file(&self) -> Option<&FileSlice> {
        match self.pieces.front()? {
            Piece::Memory(_) => None,
            Piece::File(slice) => Some(slice),
        }
    }

    /// How many pieces wait.
    pub(super) fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Removes the first `sent` bytes.
    pub(super) fn advance(&mut self, mut sent: usize) {
        assert!(sent <= self.bytes, "sent {sent} of {} bytes", self.bytes);
        self.bytes -= sent;
        while 0 < sent {
            let piece = self.pieces.front_mut().expect("the sum of the pieces is self.bytes");
            if sent < piece.len() {
                match piece {
                    Piece::Memory(bytes) => bytes.advance(sent),
                    Piece::File(slice) => slice.advance(sent),
                }
                return;
            }
            sent -= piece.len();
            self.pieces.pop_front();
        }
    }
}

impl<P: Into<Piece>> Extend<P> for WriteQueue {
    fn extend<I: IntoIterator<Item = P>>(&mut self, pieces: I) {
        pieces.into_iter().for_each(|piece| self.push(piece));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::WriteQueue;

    #[test]
    fn advance_crosses_pieces_and_empty_ones_are_left_out() {
        let mut queue = WriteQueue::new();
        queue.extend([Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")]);
        assert_eq!(queue.bytes(), 7);
        queue.advance(4);
        assert_eq!(queue.memory_pieces().collect::<Vec<_>>(), [&Bytes::from_static(b"efg")]);
        queue.advance(3);
        assert!(queue.is_empty() && queue.bytes() == 0);
    }
}
