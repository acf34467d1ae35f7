//! Messages between executors: one FIFO per ordered pair.
//!
//! [`Mesh::post`] never waits: messages gather in an outbox per peer, and a task per peer carries all
//! that has gathered as one `Vec` per hop, so that a busy moment makes the hops larger and not more. A hop
//! is handed over by a channel of the standard library and the peer's bell, which costs a system call only
//! if the peer sleeps. glommio's own channels are not used: they reach an executor only when glommio itself
//! looks at them.
//!
//! What is on its way is bounded by whoever posts: a request or its reply is one message per peer, a
//! connection has few requests under way, and a shard bounds their bytes; what control posts follows from
//! requests. [`MESSAGES_MAX`] is far beyond that, and reaching it is a bug.

mod outside;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::reactor::{self, Bell};
use super::sync::Notify;
use super::task;

pub use outside::{Outside, OutsideInbox, outside};

/// Messages of one pair that may wait for a hop, and that hops may carry: a hundred thousand connections
/// with a hundred requests each. More can only come from somebody who does not wait for answers.
const MESSAGES_MAX: usize = 10_000_000;

/// Makes the meshes of a fixed number of executors. Cloning shares it.
pub struct MeshBuilder<M: Send + 'static> {
    shared: Arc<Shared<M>>,
}

impl<M: Send + 'static> Clone for MeshBuilder<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<M> {
    rows: Mutex<Vec<Option<Row<M>>>>,
    /// The bells of those who have taken their place.
    bells: Vec<OnceLock<Arc<Bell>>>,
}

impl<M> Shared<M> {
    fn is_complete(&self) -> bool {
        self.bells.iter().all(|bell| bell.get().is_some())
    }

    fn has_ended(&self, place: usize) -> bool {
        self.bells[place].get().is_some_and(|bell| bell.has_ended())
    }

    fn ring(&self, place: usize) {
        if let Some(bell) = self.bells[place].get() {
            bell.ring();
        }
    }
}

/// The channel ends of one executor, by peer; none to itself.
struct Row<M> {
    outgoing: Vec<Option<Outgoing<M>>>,
    incoming: Vec<Option<Incoming<M>>>,
}

struct Outgoing<M> {
    hops: Sender<Vec<M>>,
    on_their_way: Arc<AtomicUsize>,
}

struct Incoming<M> {
    hops: Receiver<Vec<M>>,
    on_their_way: Arc<AtomicUsize>,
}

impl<M: Send + 'static> MeshBuilder<M> {
    /// A mesh between `executors` executors, numbered from 0.
    pub fn new(executors: usize) -> Self {
        let empty = || Row {
            outgoing: (0..executors).map(|_| None).collect(),
            incoming: (0..executors).map(|_| None).collect(),
        };
        let mut rows: Vec<Row<M>> = (0..executors).map(|_| empty()).collect();
        for from in 0..executors {
            for to in (0..executors).filter(|to| *to != from) {
                let (sender, receiver) = channel();
                let on_their_way = Arc::new(AtomicUsize::new(0));
                rows[from].outgoing[to] = Some(Outgoing { hops: sender, on_their_way: on_their_way.clone() });
                rows[to].incoming[from] = Some(Incoming { hops: receiver, on_their_way });
            }
        }
        let rows = Mutex::new(rows.into_iter().map(Some).collect());
        Self { shared: Arc::new(Shared { rows, bells: (0..executors).map(|_| OnceLock::new()).collect() }) }
    }

    /// Takes place `index` on the current executor. Returns once every executor has taken its place.
    ///
    /// # Panics
    /// When the place does not exist or was taken before.
    pub async fn join(&self, index: usize) -> Mesh<M> {
        let row = {
            let mut rows = self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows[index].take().expect("each place of the mesh is taken once")
        };
        let is_first = self.shared.bells[index].set(reactor::bell()).is_ok();
        assert!(is_first, "each place of the mesh is taken once");
        let executors = row.outgoing.len();
        // Who comes last completes it, and of two who come together at least one sees the other.
        fence(Ordering::SeqCst);
        (0..executors).for_each(|place| self.shared.ring(place));
        while !self.shared.is_complete() {
            reactor::rung().await;
        }
        let mesh = Mesh { inner: Rc::new(Inner::new(index, Arc::clone(&self.shared), row.incoming)) };
        for (peer, outgoing) in row.outgoing.into_iter().enumerate() {
            if let Some(outgoing) = outgoing {
                task::spawn(carry(Rc::clone(&mesh.inner), peer, outgoing)).detach();
            }
        }
        mesh
    }
}

impl<M: Send + 'static> fmt::Debug for MeshBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder").finish_non_exhaustive()
    }
}

/// One executor's place in the mesh. Cloning shares it.
pub struct Mesh<M: Send + 'static> {
    inner: Rc<Inner<M>>,
}

struct Inner<M> {
    index: usize,
    shared: Arc<Shared<M>>,
    outboxes: Vec<Outbox<M>>,
    incoming: Vec<Option<Incoming<M>>>,
    /// The peer whose hops are looked for first.
    next_peer: Cell<usize>,
}

impl<M> Inner<M> {
    fn new(index: usize, shared: Arc<Shared<M>>, incoming: Vec<Option<Incoming<M>>>) -> Self {
        let outboxes = incoming.iter().map(|_| Outbox::default()).collect();
        Self { index, shared, outboxes, incoming, next_peer: Cell::new(0) }
    }

    /// The next hop that is there, each peer in its turn.
    fn try_incoming(&self) -> Option<(usize, Vec<M>)> {
        let peers = self.incoming.len();
        for peer in (0..peers).map(|step| (self.next_peer.get() + step) % peers) {
            let Some(incoming) = &self.incoming[peer] else { continue };
            // A peer that has ended has sent what it sent.
            if let Ok(hop) = incoming.hops.try_recv() {
                incoming.on_their_way.fetch_sub(hop.len(), Ordering::Relaxed);
                self.next_peer.set((peer + 1) % peers);
                return Some((peer, hop));
            }
        }
        None
    }
}

/// Messages for one peer that no hop has taken yet.
struct Outbox<M> {
    messages: RefCell<Vec<M>>,
    wake: Notify,
    gone: Cell<bool>,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self { messages: RefCell::default(), wake: Notify::new(), gone: Cell::new(false) }
    }
}

impl<M: Send + 'static> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<M: Send + 'static> fmt::Debug for Mesh<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("index", &self.inner.index).finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Mesh<M> {
    /// This executor's number.
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// How many executors there are.
    pub fn executors(&self) -> usize {
        self.inner.outboxes.len()
    }

    /// Sends a message. Messages to one peer arrive in the order of posting; messages to an executor
    /// that has ended are dropped.
    ///
    /// # Panics
    /// When `to` is this executor or none: what is local needs no message.
    pub fn post(&self, to: usize, message: M) {
        assert!(to != self.inner.index, "executor {to} posts to itself");
        let outbox = &self.inner.outboxes[to];
        if outbox.gone.get() {
            return;
        }
        let mut messages = outbox.messages.borrow_mut();
        let (was_empty, count) = (messages.is_empty(), messages.len());
        assert!(count < MESSAGES_MAX, "{count} messages wait for executor {to}: nobody bounds them");
        messages.push(message);
        drop(messages);
        if was_empty {
            outbox.wake.notify_one();
        }
    }

    /// Messages for `to` that wait for the next hop.
    pub fn queued(&self, to: usize) -> usize {
        self.inner.outboxes[to].messages.borrow().len()
    }

    /// The next hop's messages, at least one, and who sent them. For one task.
    pub async fn incoming(&self) -> (usize, Vec<M>) {
        // A peer that never pauses must not keep this core from its sockets.
        task::yield_if_needed().await;
        loop {
            match self.inner.try_incoming() {
                Some(hop) => return hop,
                None => reactor::rung().await,
            }
        }
    }
}

/// Carries the outbox of one peer until the peer is gone.
async fn carry<M: Send + 'static>(inner: Rc<Inner<M>>, peer: usize, outgoing: Outgoing<M>) {
    let outbox = &inner.outboxes[peer];
    loop {
        while outbox.messages.borrow().is_empty() {
            outbox.wake.wait().await;
        }
        let hop = std::mem::take(&mut *outbox.messages.borrow_mut());
        let count = hop.len() + outgoing.on_their_way.fetch_add(hop.len(), Ordering::Relaxed);
        assert!(
            count < MESSAGES_MAX,
            "{count} messages are on their way to executor {peer}: nobody bounds them"
        );
        if inner.shared.has_ended(peer) || outgoing.hops.send(hop).is_err() {
            // The process is stopping, what is for it is dropped.
            outbox.gone.set(true);
            outbox.messages.borrow_mut().clear();
            return;
        }
        inner.shared.ring(peer);
    }
}
