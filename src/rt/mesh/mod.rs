//! Messages between executors: one FIFO per ordered pair.
//!
//! [`Mesh::post`] never waits: messages gather in an outbox per peer, and a task per peer carries all
//! that has gathered as one `Vec` per hop, so that a busy moment makes the hops larger and not more.
//! An outbox holds what is in flight. It is bounded by whoever posts: a request or its reply is one message
//! per peer, a connection has few requests under way, and a shard bounds their bytes; what control posts
//! follows from requests. [`OUTBOX_MESSAGES_MAX`] is far beyond that, and reaching it is a bug.
//!
//! Hidden traps of glommio:
//! - a shared channel keeps a waker more for each poll that finds nothing, and a task that polled
//!   32,768 times beside a busy neighbour would panic: each channel end has a task that only waits for it;
//! - connecting to an executor that has ended panics: [`MeshBuilder::join`] returns on no executor
//!   before all have connected;
//! - a send to an executor that has ended fails: the process is stopping, the messages are dropped.

mod outside;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use glommio::channels::shared_channel::{self, ConnectedReceiver, SharedReceiver, SharedSender};

use super::sync::Notify;
use super::task;

pub use outside::{Outside, OutsideInbox, outside};

/// Hops of one pair that may wait in the channel; the outbox holds the rest.
const CHANNEL_HOPS_MAX: usize = 64;

/// Messages of one pair that may wait for the next hop: a hundred thousand connections with a hundred
/// requests each. More can only come from somebody who does not wait for answers.
const OUTBOX_MESSAGES_MAX: usize = 10_000_000;

/// Hops that may wait for [`Mesh::incoming`] before the channels are left full.
const INBOX_HOPS_MAX: usize = 256;

/// Makes the meshes of a fixed number of executors. Cloning shares it.
pub struct MeshBuilder<M: Send + 'static> {
    rows: Arc<Mutex<Vec<Option<Row<M>>>>>,
}

impl<M: Send + 'static> Clone for MeshBuilder<M> {
    fn clone(&self) -> Self {
        Self { rows: Arc::clone(&self.rows) }
    }
}

/// The channel ends of one executor, by peer; none to itself.
struct Row<M: Send + 'static> {
    senders: Vec<Option<SharedSender<Vec<M>>>>,
    receivers: Vec<Option<SharedReceiver<Vec<M>>>>,
}

impl<M: Send + 'static> Row<M> {
    fn empty(executors: usize) -> Self {
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        senders.resize_with(executors, || None);
        receivers.resize_with(executors, || None);
        Self { senders, receivers }
    }
}

impl<M: Send + 'static> MeshBuilder<M> {
    /// A mesh between `executors` executors, numbered from 0.
    pub fn new(executors: usize) -> Self {
        let mut rows: Vec<Row<M>> = (0..executors).map(|_| Row::empty(executors)).collect();
        for from in 0..executors {
            for to in (0..executors).filter(|to| *to != from) {
                let (sender, receiver) = shared_channel::new_bounded(CHANNEL_HOPS_MAX);
                rows[from].senders[to] = Some(sender);
                rows[to].receivers[from] = Some(receiver);
            }
        }
        Self { rows: Arc::new(Mutex::new(rows.into_iter().map(Some).collect())) }
    }

    /// Takes place `index` on the current executor. Returns once every executor has taken its place.
    ///
    /// # Panics
    /// When the place does not exist or was taken before.
    pub async fn join(&self, index: usize) -> Mesh<M> {
        let row = {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows[index].take().expect("each place of the mesh is taken once")
        };
        let executors = row.senders.len();
        let mesh = Mesh { inner: Rc::new(Inner::new(index, executors)) };
        let arrivals = Rc::new(Arrivals::default());
        let connecting: Vec<_> = (row.senders.into_iter().zip(row.receivers).enumerate())
            .filter_map(|(peer, (sender, receiver))| Some((peer, sender?, receiver?)))
            .map(|(peer, sender, receiver)| mesh.connect(peer, sender, receiver, &arrivals))
            .collect();
        for sending in connecting {
            sending.await;
        }
        // Every channel end of ours is connected; an empty first hop says so to the peers.
        mesh.inner.connected.set(true);
        mesh.inner.outboxes.iter().for_each(|outbox| outbox.wake.notify_one());
        while arrivals.count.get() + 1 < executors {
            arrivals.changed.wait().await;
        }
        mesh
    }
}

impl<M: Send + 'static> fmt::Debug for MeshBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder").finish_non_exhaustive()
    }
}

/// Peers whose first hop has come.
#[derive(Default)]
struct Arrivals {
    count: Cell<usize>,
    changed: Notify,
}

/// One executor's place in the mesh. Cloning shares it.
pub struct Mesh<M: Send + 'static> {
    inner: Rc<Inner<M>>,
}

struct Inner<M> {
    index: usize,
    connected: Cell<bool>,
    outboxes: Vec<Outbox<M>>,
    inbox: RefCell<VecDeque<(usize, Vec<M>)>>,
    arrived: Notify,
    taken: Notify,
}

impl<M> Inner<M> {
    fn new(index: usize, executors: usize) -> Self {
        Self {
            index,
            connected: Cell::new(false),
            outboxes: (0..executors).map(|_| Outbox::default()).collect(),
            inbox: RefCell::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
        }
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
        assert!(count < OUTBOX_MESSAGES_MAX, "{count} messages wait for executor {to}: nobody bounds them");
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

    /// The next hop's messages, at least one, and who sent them.
    pub async fn incoming(&self) -> (usize, Vec<M>) {
        loop {
            let next = self.inner.inbox.borrow_mut().pop_front();
            if let Some(hop) = next {
                self.inner.taken.notify_all();
                return hop;
            }
            self.inner.arrived.wait().await;
        }
    }

    /// Starts the two tasks of one peer. The future is done when the sending end is connected.
    fn connect(
        &self,
        peer: usize,
        sender: SharedSender<Vec<M>>,
        receiver: SharedReceiver<Vec<M>>,
        arrivals: &Rc<Arrivals>,
    ) -> task::Task<()> {
        let receiving = {
            let (inner, arrivals) = (Rc::clone(&self.inner), Rc::clone(arrivals));
            task::spawn(async move {
                let receiver = receiver.connect().await;
                task::spawn(receive(inner, peer, receiver, arrivals)).detach();
            })
        };
        let inner = Rc::clone(&self.inner);
        task::spawn(async move {
            let sender = sender.connect().await;
            task::spawn(send(inner, peer, sender)).detach();
            receiving.await;
        })
    }
}

/// Carries the outbox of one peer until the peer is gone.
async fn send<M: Send + 'static>(
    inner: Rc<Inner<M>>,
    peer: usize,
    sender: shared_channel::ConnectedSender<Vec<M>>,
) {
    let outbox = &inner.outboxes[peer];
    while !inner.connected.get() {
        outbox.wake.wait().await;
    }
    let mut hop = Vec::new();
    loop {
        if sender.send(hop).await.is_err() {
            outbox.gone.set(true);
            outbox.messages.borrow_mut().clear();
            return;
        }
        while outbox.messages.borrow().is_empty() {
            outbox.wake.wait().await;
        }
        hop = std::mem::take(&mut *outbox.messages.borrow_mut());
    }
}

/// Moves one peer's hops into the inbox until the peer is gone.
async fn receive<M: Send + 'static>(
    inner: Rc<Inner<M>>,
    peer: usize,
    receiver: ConnectedReceiver<Vec<M>>,
    arrivals: Rc<Arrivals>,
) {
    // The first hop is empty and only says that the peer has connected all its ends.
    if receiver.recv().await.is_some() {
        arrivals.count.set(arrivals.count.get() + 1);
        arrivals.changed.notify_all();
    }
    while let Some(hop) = receiver.recv().await {
        while INBOX_HOPS_MAX <= inner.inbox.borrow().len() {
            inner.taken.wait().await;
        }
        inner.inbox.borrow_mut().push_back((peer, hop));
        inner.arrived.notify_one();
        // A peer that never pauses must not keep this core from its sockets.
        task::yield_if_needed().await;
    }
}
