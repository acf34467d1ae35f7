//! What becomes of a request: a response now, a response later, none, or the end of the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::types::Piece;

/// An encoded response frame in pieces, length prefix included.
pub(super) type Frame = Vec<Piece>;

/// The second stage of a request: awaited in the order in which the requests came.
pub(super) type LaterFrame = Pin<Box<dyn Future<Output = Result<Frame, CloseReason>>>>;

/// The outcome of a request's first stage.
pub(super) enum Answer {
    /// The response is ready.
    Now(Frame),
    /// The response waits for something: a durable append, another core.
    Later(LaterFrame),
    /// The response may wait for long, on behalf of a client that is free to leave: a fetch, or a member of
    /// a group that waits for the others. The connection
    /// is not read meanwhile, as Kafka does, so that nothing piles up behind it.
    Waiting(LaterFrame),
    /// The request has no response (acks=0), but is to be finished in its turn.
    Silent(Pin<Box<dyn Future<Output = Result<(), CloseReason>>>>),
    /// The connection is to end in place of a response.
    Failed(CloseReason),
}

impl Answer {
    /// Does what is left to do, up to sending; ready when there is nothing but that.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match self {
            Self::Now(_) | Self::Failed(_) => return Poll::Ready(()),
            Self::Later(later) | Self::Waiting(later) => later.as_mut().poll(cx),
            Self::Silent(silent) => silent.as_mut().poll(cx).map_ok(|()| Frame::new()),
        };
        polled.map(|outcome| *self = outcome.map_or_else(Self::Failed, Self::Now))
    }

    /// Bytes of the response of a finished answer.
    pub(super) fn response_bytes(&self) -> usize {
        match self {
            Self::Now(frame) => frame.iter().map(Piece::len).sum(),
            _ => 0,
        }
    }

    /// The response of a finished answer.
    pub(super) fn into_response(self) -> Result<Frame, CloseReason> {
        match self {
            Self::Now(frame) => Ok(frame),
            Self::Failed(reason) => Err(reason),
            Self::Later(_) | Self::Waiting(_) | Self::Silent(_) => panic!("an answer that is not finished"),
        }
    }
}

/// Why a connection is closed by us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CloseReason {
    /// The bytes are not a request Kafka's protocol knows; Kafka closes the connection as well.
    #[error("{0}")]
    Malformed(String),
    /// A produce with acks=0 failed: closing is the only way to say so (`KafkaApis.handleProduceRequest`).
    #[error("a produce request with acks=0 failed: {0}")]
    SilentFailure(String),
    /// A response of ours cannot be encoded in the client's version: a bug, kept to this connection.
    #[error("cannot encode a response: {0}")]
    Unencodable(String),
    /// The client goes on asking and reads nothing.
    #[error("the client leaves {0} bytes of responses unread")]
    Unread(usize),
    /// The client does not take its responses any more.
    #[error("the client is gone")]
    PeerGone,
}
