//! The Kafka server of one shard: listeners, connections, dispatch and handlers.
//!
//! Handlers hold no state: what they need is in the shard. A request runs in two stages. The first decodes
//! it, splits it by owning shard and hands each shard its part, in the order in which requests came; the
//! second waits for the shards. Responses leave in request order.

mod affinity;
mod connection;
mod dispatch;
mod errors;
mod foreign;
mod handlers;
mod listener;
mod response;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::config::BrokerConfig;
use crate::rt::sync::{Notify, Semaphore, Shutdown};
use crate::rt::{task, time};
use crate::shard::Shard;
use crate::shard::fetch_session::FetchSessionCache;
use crate::types::{Prng, ProducerId};

pub use listener::{ListenerContext, serve};

use connection::{Accepted, ConnectionHandle};

/// Idle connections are looked for at most this often.
const IDLE_SWEEP_MIN: Duration = Duration::from_millis(100);

/// What the connections of one shard share.
pub struct Server {
    shard: Rc<Shard>,
    sessions: RefCell<FetchSessionCache>,
    /// Bytes of requests that were read and not yet answered.
    request_memory: Rc<Semaphore>,
    /// Producer ids of this shard's block that are still unused: the next and the exclusive end.
    producer_ids: Cell<(ProducerId, ProducerId)>,
    /// Open connections, by number.
    connections: RefCell<HashMap<u64, Rc<ConnectionHandle>>>,
    next_connection: Cell<u64>,
    connection_closed: Notify,
    /// Cancelled when the broker stops.
    drain: Shutdown,
}

impl Server {
    /// The server of `shard`.
    pub fn new(shard: Rc<Shard>, prng: Prng) -> Rc<Self> {
        let config = shard.config();
        let sessions = FetchSessionCache::new(config.fetch_session_slots, prng);
        let request_memory = Rc::new(Semaphore::new(config.storage.staged_bytes_max));
        Rc::new(Self {
            shard,
            sessions: RefCell::new(sessions),
            request_memory,
            producer_ids: Cell::new((ProducerId(0), ProducerId(0))),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            connection_closed: Notify::new(),
            drain: Shutdown::new(),
        })
    }

    fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    fn config(&self) -> Rc<BrokerConfig> {
        self.shard.config()
    }

    /// Open connections of this shard.
    pub fn connection_count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Accepts nothing more, answers what was read, and closes every connection. Those that are not done
    /// within `patience` are cut off.
    pub async fn drain(&self, patience: Duration) {
        self.drain.cancel();
        self.handles().iter().for_each(|handle| handle.drain.cancel());
        if time::timeout(patience, self.all_closed()).await.is_err() {
            tracing::warn!(
                target: "server", shard = self.shard.index(), connections = self.connection_count(),
                "cutting off connections that do not end"
            );
            self.handles().iter().for_each(|handle| handle.abort.cancel());
            self.all_closed().await;
        }
    }

    /// Closes connections that were silent for `connections.max.idle.ms`, for as long as the server lives.
    pub async fn run_idle_sweep(self: Rc<Self>) {
        let Some(idle_max) = self.config().network.idle_max else { return };
        loop {
            time::sleep((idle_max / 4).max(IDLE_SWEEP_MIN)).await;
            let now = time::monotonic_now();
            for handle in self.handles() {
                if idle_max < now.saturating_duration_since(handle.last_active()) {
                    handle.abort.cancel();
                }
            }
        }
    }

    /// Makes room for connections of a protected listener, for as long as the server lives.
    pub async fn run_shedding(self: Rc<Self>) {
        loop {
            self.shard.connection_to_shed().await;
            let mut handles = self.handles();
            handles.retain(|handle| !handle.is_protected && !handle.abort.is_cancelled());
            if let Some(oldest) = handles.iter().min_by_key(|handle| handle.last_active()) {
                oldest.abort.cancel();
            }
        }
    }

    /// Serves connections that other shards hand over, for as long as the server lives.
    pub async fn run_arrivals(self: Rc<Self>) {
        loop {
            let (arrived, slot) = self.shard.arriving_connection().await;
            let listener = ListenerContext { name: arrived.listener, is_protected: slot.is_protected() };
            let stream = arrived.stream.attach();
            let accepted = Accepted { stream, slot, unread: arrived.unread, moves: arrived.moves };
            task::spawn(connection::run(Rc::clone(&self), Rc::new(listener), accepted)).detach();
        }
    }

    fn register(&self, handle: &Rc<ConnectionHandle>) -> u64 {
        let number = self.next_connection.get();
        self.next_connection.set(number + 1);
        self.connections.borrow_mut().insert(number, Rc::clone(handle));
        if self.drain.is_cancelled() {
            handle.drain.cancel();
        }
        number
    }

    fn unregister(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
        self.connection_closed.notify_all();
    }

    fn handles(&self) -> Vec<Rc<ConnectionHandle>> {
        self.connections.borrow().values().cloned().collect()
    }

    async fn all_closed(&self) {
        while 0 < self.connection_count() {
            self.connection_closed.wait().await;
        }
    }
}
