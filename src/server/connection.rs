//! One client connection: a task that reads requests and starts them, a task that finishes them in order
//! and writes the responses.
//!
//! At most `corelog.connection.inflight.requests.max` requests are between the two, and at most
//! `corelog.staged.bytes.max` bytes of requests on the whole shard; beyond that the socket is not read, and
//! TCP tells the client. A connection that misbehaves, or does not read its responses, harms itself only:
//! while the kernel takes none of its responses, the requests behind them are finished all the same.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_lite::future::{or, poll_once};

use super::Server;
use super::affinity::Affinity;
use super::listener::ListenerContext;
use super::response::{Answer, CloseReason};
use crate::rt::net::{DetachedStream, ReadBuffer, Stream, StreamReader, StreamWriter, WriteQueue};
use crate::rt::sync::{Notify, Permit, Semaphore, Shutdown};
use crate::rt::{task, time};
use crate::shard::{ConnectionSlot, MovingConnection};
use crate::types::ShardId;
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};

/// What the requests of a connection have in common.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    /// The listener it came in by.
    pub(super) listener: Rc<ListenerContext>,
    /// The client's address.
    pub(super) peer: SocketAddr,
    /// Which shards it asks.
    pub(super) affinity: Rc<Affinity>,
}

/// What the server keeps of a connection, to end it.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    /// Stop reading, answer what was read.
    pub(super) drain: Shutdown,
    /// Drop everything.
    pub(super) abort: Shutdown,
    /// Whether it came in by a listener whose connections are not closed to make room.
    pub(super) is_protected: bool,
    last_active: Cell<Instant>,
}

impl ConnectionHandle {
    fn new(is_protected: bool) -> Self {
        Self {
            drain: Shutdown::new(),
            abort: Shutdown::new(),
            is_protected,
            last_active: Cell::new(time::monotonic_now()),
        }
    }

    /// When the connection last sent or took something.
    pub(super) fn last_active(&self) -> Instant {
        self.last_active.get()
    }

    fn touch(&self) {
        self.last_active.set(time::monotonic_now());
    }
}

/// A connection that may be served.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    /// Its place within the broker's limits.
    pub(super) slot: ConnectionSlot,
    /// What another shard has received of the next request.
    pub(super) unread: Vec<u8>,
    /// How often it has moved between shards.
    pub(super) moves: u32,
}

/// A connection that another shard is to serve.
struct Leaving {
    to: ShardId,
    stream: DetachedStream,
}

/// A request between its two stages.
struct InFlight {
    answer: Answer,
    /// Held while the request's bytes are in use; a client that does not read its responses holds no memory
    /// that others need.
    memory: Option<Permit>,
    /// Goes back once the response is with the kernel.
    slot: Permit,
}

/// Requests that were started and not yet answered, in order.
#[derive(Default)]
struct AnswerQueue {
    waiting: RefCell<VecDeque<InFlight>>,
    changed: Notify,
    is_closed: Cell<bool>,
    /// Nothing waits and the responses are with the kernel.
    is_idle: Cell<bool>,
    became_idle: Notify,
}

impl AnswerQueue {
    fn push(&self, in_flight: InFlight) {
        self.is_idle.set(false);
        self.waiting.borrow_mut().push_back(in_flight);
        self.changed.notify_one();
    }

    /// Resolves when every request so far is answered.
    async fn answered(&self) {
        while !self.is_idle.get() {
            self.became_idle.wait().await;
        }
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.changed.notify_one();
    }

    fn try_pop(&self) -> Option<InFlight> {
        self.waiting.borrow_mut().pop_front()
    }

    /// The request is the next one again.
    fn put_back(&self, in_flight: InFlight) {
        self.waiting.borrow_mut().push_front(in_flight);
    }

    /// Finishes requests in order as they come, up to one that may wait for long; their responses stay. Never
    /// ready. Dropped, it leaves every request where it was.
    async fn finish_ahead<T>(&self) -> T {
        // Those at the front that need no more than to be sent.
        let mut finished = 0;
        loop {
            poll_fn(|cx| self.poll_finish_ahead(&mut finished, cx)).await;
            self.changed.wait().await;
        }
    }

    /// Ready when all requests that are there are finished.
    fn poll_finish_ahead(&self, finished: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Taken out, so that nothing is borrowed while it is polled; only this side takes requests away.
            let place =
                |in_flight: &mut InFlight| std::mem::replace(&mut in_flight.answer, Answer::Now(Vec::new()));
            let Some(mut answer) = self.waiting.borrow_mut().get_mut(*finished).map(place) else {
                return Poll::Ready(());
            };
            let polled = answer.poll_finish(cx);
            let mut waiting = self.waiting.borrow_mut();
            let in_flight = waiting.get_mut(*finished).expect("requests are added behind");
            in_flight.answer = answer;
            if polled.is_pending() {
                return Poll::Pending;
            }
            let memory = in_flight.memory.take();
            drop(waiting);
            drop(memory);
            *finished += 1;
        }
    }

    /// The next request; `None` once there will be no more.
    async fn pop(&self) -> Option<InFlight> {
        loop {
            if let Some(next) = self.try_pop() {
                return Some(next);
            }
            if self.is_closed.get() {
                return None;
            }
            self.is_idle.set(true);
            self.became_idle.notify_all();
            self.changed.wait().await;
        }
    }
}

/// Serves a connection until the client leaves, misbehaves, or the server drains it.
pub(super) async fn run(server: Rc<Server>, listener: Rc<ListenerContext>, accepted: Accepted) {
    let Accepted { stream, peer, slot, unread, moves } = accepted;
    let handle = Rc::new(ConnectionHandle::new(listener.is_protected));
    let number = server.register(&handle);
    let (reader, mut writer) = stream.split();
    if server.config().network.sends_in_place {
        writer.send_in_place();
    }
    let queue = Rc::new(AnswerQueue::default());
    let writing = {
        let (queue, handle) = (Rc::clone(&queue), Rc::clone(&handle));
        task::spawn(async move {
            let outcome = or(write_answers(&queue, writer, &handle), aborted(&handle)).await;
            // Whatever ended the writing ends the reading.
            handle.drain.cancel();
            outcome
        })
    };
    let affinity = Affinity::new(server.shard().id(), server.config().network.moves_after_requests, moves);
    let affinity = Rc::new(affinity);
    let mut reading = Reading {
        server: Rc::clone(&server),
        context: ConnectionContext { listener, peer, affinity },
        slots: Semaphore::new(server.config().network.inflight_requests_max),
        buffer: ReadBuffer::with_unread(unread),
        reader,
        queue,
    };
    let read_outcome = or(reading.read_requests(&handle), drained(&handle)).await;
    // Requests that were read are answered, whatever came after them; a client that left has no use for it.
    reading.queue.close();
    let write_outcome = writing.await;
    match write_outcome.and(read_outcome) {
        Ok(None) => {}
        Ok(Some(Leaving { to, stream })) => {
            let connection = MovingConnection {
                stream,
                unread: reading.buffer.unread().to_vec(),
                listener: reading.context.listener.name.clone(),
                moves: reading.context.affinity.moves() + 1,
            };
            tracing::debug!(target: "server", %peer, shard = to.0, "a connection moves");
            server.shard().hand_over(to, connection, slot).await;
        }
        Err(reason) => tracing::info!(target: "server", %peer, %reason, "closed a connection"),
    }
    server.unregister(number);
}

async fn drained(handle: &ConnectionHandle) -> Result<Option<Leaving>, CloseReason> {
    handle.drain.cancelled().await;
    Ok(None)
}

async fn aborted(handle: &ConnectionHandle) -> Result<(), CloseReason> {
    handle.abort.cancelled().await;
    Ok(())
}

/// The reading side.
struct Reading {
    server: Rc<Server>,
    context: ConnectionContext,
    slots: Semaphore,
    buffer: ReadBuffer,
    reader: StreamReader,
    queue: Rc<AnswerQueue>,
}

impl Reading {
    async fn read_requests(&mut self, handle: &ConnectionHandle) -> Result<Option<Leaving>, CloseReason> {
        while let Some(frame) = self.next_frame(handle).await? {
            let slot = self.slots.acquire(1).await;
            // A request larger than the whole budget takes all of it.
            let permits = frame.len().min(self.server.config().storage.staged_bytes_max);
            let memory = self.server.request_memory.acquire(permits).await;
            // The next frame is often there already, and so are those of other connections.
            task::yield_if_needed().await;
            let answer = self.server.dispatch(&self.context, frame)?;
            let uses_memory = matches!(answer, Answer::Later(_) | Answer::Silent(_));
            let is_waiting = matches!(answer, Answer::Waiting(_));
            self.queue.push(InFlight { answer, memory: uses_memory.then_some(memory), slot });
            if is_waiting && !self.stays_until_answered(handle).await {
                handle.abort.cancel();
                return Err(CloseReason::PeerGone);
            }
            if let Some(to) = self.context.affinity.target() {
                // What it asked here is answered here.
                self.queue.answered().await;
                match self.reader.detach() {
                    Ok(stream) => return Ok(Some(Leaving { to, stream })),
                    Err(_) => self.context.affinity.stay(),
                }
            }
        }
        Ok(None)
    }

    /// Waits until every request so far is answered; `false` when the client leaves first. What it sends
    /// meanwhile is left for later.
    async fn stays_until_answered(&mut self, handle: &ConnectionHandle) -> bool {
        let queue = Rc::clone(&self.queue);
        let reading = async {
            match self.reader.read(&mut self.buffer).await {
                Ok(0) | Err(_) => false,
                Ok(_) => {
                    handle.touch();
                    queue.answered().await;
                    true
                }
            }
        };
        let answered = async {
            queue.answered().await;
            true
        };
        or(answered, reading).await
    }

    /// The next whole frame without its length; `None` when the client has left or breaks off.
    async fn next_frame(&mut self, handle: &ConnectionHandle) -> Result<Option<Bytes>, CloseReason> {
        loop {
            let max = self.server.config().network.request_bytes_max;
            match peek_frame(self.buffer.unread(), max)? {
                FrameStatus::Complete { end } => {
                    self.buffer.skip(LENGTH_LEN);
                    return Ok(Some(self.buffer.take(end - LENGTH_LEN)));
                }
                FrameStatus::Partial { needed } => self.buffer.want(needed),
            }
            match self.reader.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => handle.touch(),
            }
        }
    }
}

/// The writing side: finishes requests in order. Responses that are ready go out together.
async fn write_answers(
    queue: &AnswerQueue,
    mut writer: StreamWriter,
    handle: &ConnectionHandle,
) -> Result<(), CloseReason> {
    let mut output = WriteQueue::new();
    while let Some(first) = queue.pop().await {
        let mut next = Some(first);
        let mut slots = Vec::new();
        while let Some(mut in_flight) = next {
            task::yield_if_needed().await;
            if let Answer::Later(later) | Answer::Waiting(later) = &mut in_flight.answer
                && !output.is_empty()
            {
                match poll_once(later).await {
                    Some(frame) => in_flight.answer = Answer::Now(frame?),
                    None => {
                        queue.put_back(in_flight);
                        flush(queue, &mut writer, &mut output, handle).await?;
                        slots.clear();
                        next = queue.try_pop();
                        continue;
                    }
                }
            }
            match in_flight.answer {
                Answer::Now(frame) => output.extend(frame),
                Answer::Later(later) | Answer::Waiting(later) => output.extend(later.await?),
                Answer::Silent(silent) => silent.await?,
            }
            drop(in_flight.memory);
            slots.push(in_flight.slot);
            next = queue.try_pop();
        }
        flush(queue, &mut writer, &mut output, handle).await?;
    }
    writer.shutdown();
    Ok(())
}

/// Hands responses to the kernel. A client that does not read them must not have the requests behind them
/// keep memory that others need.
async fn flush(
    queue: &AnswerQueue,
    writer: &mut StreamWriter,
    output: &mut WriteQueue,
    handle: &ConnectionHandle,
) -> Result<(), CloseReason> {
    if output.is_empty() {
        return Ok(());
    }
    handle.touch();
    let writing = async { writer.write_all(output).await.map_err(|_| CloseReason::PeerGone) };
    or(writing, queue.finish_ahead()).await
}
