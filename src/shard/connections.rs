//! The broker's limits on connections, across cores.
//!
//! The first shard counts the connections of all and decides; the others ask it, one connection of each
//! listener at a time. While nothing is limited they do not wait for the answer, so that a busy first shard
//! holds up nobody; the counts are kept all the same.

use std::rc::Rc;

use super::Shard;
use super::message::{Message, ShardReply, ShardRequest};
use crate::config::NetworkConfig;
use crate::quota::{Output, Peer, Verdict};
use crate::rt::net::DetachedStream;
use crate::rt::{task, time};
use crate::types::ShardId;

/// The shard that counts.
const COUNTING: ShardId = ShardId(0);

/// Sends the verdict to whoever asked.
pub(super) type Applicant = Box<dyn FnOnce(ShardReply)>;

/// A connection's place within the limits; dropping it gives it back.
pub struct ConnectionSlot {
    shard: Rc<Shard>,
    /// Taken out when the connection goes to another shard.
    peer: Option<Peer>,
}

impl ConnectionSlot {
    fn new(shard: &Rc<Shard>, peer: Peer) -> Self {
        Self { shard: Rc::clone(shard), peer: Some(peer) }
    }

    /// Whether the connection came in by the protected listener.
    pub fn is_protected(&self) -> bool {
        self.peer.is_some_and(|peer| peer.is_protected)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(peer) = self.peer.take() {
            self.shard.tell(usize::from(COUNTING.0), Message::ConnectionClosed(peer));
        }
    }
}

/// A connection without unanswered requests, on its way to another shard.
#[derive(Debug)]
pub struct MovingConnection {
    /// The connection.
    pub stream: DetachedStream,
    /// What was received of its next requests.
    pub unread: Vec<u8>,
    /// The name of the listener it came in by.
    pub listener: String,
    /// How often it has moved, this time included.
    pub moves: u32,
}

/// The address has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address has the configured maximum of {max} connections already")]
pub struct TooManyConnections {
    /// The limit.
    pub max: usize,
}

impl Shard {
    /// Waits until the broker has room for a connection of this shard's, or refuses it.
    pub async fn admit_connection(self: &Rc<Self>, peer: Peer) -> Result<ConnectionSlot, TooManyConnections> {
        assert_eq!(peer.shard, self.id, "a shard asks for its own connections");
        if self.connection_limits.borrow().is_unlimited() {
            self.tell(usize::from(COUNTING.0), Message::ConnectionOpened(peer));
            return Ok(ConnectionSlot::new(self, peer));
        }
        match self.ask(COUNTING, ShardRequest::AdmitConnection(peer)).await {
            // Without an answer the first shard is stopping, and so is this one.
            Some(ShardReply::AdmitConnection(Verdict::Admitted)) | None => {
                Ok(ConnectionSlot::new(self, peer))
            }
            Some(ShardReply::AdmitConnection(Verdict::Refused { max })) => Err(TooManyConnections { max }),
            Some(other) => panic!("a connection's admission was answered with {other:?}"),
        }
    }

    /// Has another shard serve a connection.
    pub async fn hand_over(
        self: &Rc<Self>,
        to: ShardId,
        connection: MovingConnection,
        mut slot: ConnectionSlot,
    ) {
        let peer = slot.peer.take().expect("a slot that is there has its peer");
        // Counted before the other shard has it: it may end there at once, and what that shard says may
        // come before what this one says.
        self.ask(COUNTING, ShardRequest::MoveConnection(peer, to)).await;
        let message = Message::Connection(Box::new(connection), Peer { shard: to, ..peer });
        self.mesh.post(usize::from(to.0), message);
    }

    pub(super) fn connection_handed_over(&self, connection: MovingConnection, peer: Peer) {
        self.arriving.borrow_mut().push_back((connection, peer));
        self.arrived.notify_one();
    }

    /// The next connection that another shard has handed over, and its place.
    pub async fn arriving_connection(self: &Rc<Self>) -> (MovingConnection, ConnectionSlot) {
        loop {
            let arrived = self.arriving.borrow_mut().pop_front();
            match arrived {
                Some((connection, peer)) => return (connection, ConnectionSlot::new(self, peer)),
                None => self.arrived.wait().await,
            }
        }
    }

    /// Resolves when a connection of an unprotected listener is to be closed for one of a protected one.
    pub async fn connection_to_shed(&self) {
        while self.shed_due.get() == 0 {
            self.shed_changed.wait().await;
        }
        self.shed_due.set(self.shed_due.get() - 1);
    }

    /// Takes up other limits than before.
    pub(super) fn limit_connections(self: &Rc<Self>, config: &NetworkConfig) {
        let (total, per_ip) = (config.connections_max, config.connections_per_ip_max);
        let creations_per_second = config.connection_creation_rate_max;
        let has_other_rate = {
            let mut limits = self.connection_limits.borrow_mut();
            limits.total = total;
            limits.per_ip = per_ip;
            std::mem::replace(&mut limits.creations_per_second, creations_per_second) != creations_per_second
        };
        if has_other_rate {
            self.creation_rate.borrow_mut().set(creations_per_second);
        }
        self.connections.borrow_mut().handle_limits(total, per_ip);
        self.settle_connections();
    }

    /// A connection asks to be served. It waits here while too many were made lately: one at most for each
    /// listener of each shard, since those behind it are not accepted meanwhile.
    pub(super) fn connection_opened(self: &Rc<Self>, applicant: Applicant, peer: Peer) {
        let now = time::monotonic_now();
        let due = if peer.is_protected { now } else { self.creation_rate.borrow_mut().reserve(now) };
        if due <= now {
            return self.connection_arrived(applicant, peer);
        }
        let shard = Rc::clone(self);
        task::spawn(async move {
            time::sleep(due - now).await;
            shard.connection_arrived(applicant, peer);
        })
        .detach();
    }

    fn connection_arrived(self: &Rc<Self>, applicant: Applicant, peer: Peer) {
        self.connections.borrow_mut().handle_arrival(applicant, peer);
        self.settle_connections();
    }

    pub(super) fn connection_closed(self: &Rc<Self>, peer: Peer) {
        self.connections.borrow_mut().handle_departure(peer);
        self.settle_connections();
    }

    pub(super) fn shed_connection(&self) {
        self.shed_due.set(self.shed_due.get() + 1);
        self.shed_changed.notify_one();
    }

    fn settle_connections(self: &Rc<Self>) {
        loop {
            let output = self.connections.borrow_mut().poll_output();
            match output {
                Some(Output::Reply(reply, verdict)) => reply(ShardReply::AdmitConnection(verdict)),
                Some(Output::Shed(shard)) => self.tell(usize::from(shard.0), Message::ShedConnection),
                None => return,
            }
        }
    }
}
