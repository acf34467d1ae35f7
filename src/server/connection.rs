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
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_lite::future::{or, poll_once};

use super::Server;
use super::affinity::Affinity;
use super::foreign::looks_like;
use super::listener::ListenerContext;
use super::response::{Answer, CloseReason};
use crate::rt::net::{DetachedStream, ReadBuffer, Stream, StreamReader, StreamWriter, WriteQueue};
use crate::rt::sync::{Notify, Permit, Semaphore, Shutdown};
use crate::rt::{task, time};
use crate::shard::{ConnectionSlot, MovingConnection};
use crate::types::ShardId;
use crate::wire::WireError;
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};

/// Bytes of responses that may wait behind one that the client does not read; beyond, it is cut off.
const UNREAD_BYTES_MAX: usize = 64 << 20;

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

/// Requests at the front of a queue that need no more than to be sent, and the bytes of their responses.
#[derive(Default)]
struct Ahead {
    requests: usize,
    bytes: usize,
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

    fn pop(&self) -> Option<InFlight> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Finishes the first request, if there is one; its response stays. Dropped, it leaves the request where
    /// it was.
    async fn finish_first(&self) {
        poll_fn(|cx| self.poll_finish(0, cx).map(|_| ())).await;
    }

    /// Finishes requests in order as they come, up to one that may wait for long, behind which nothing comes
    /// before it is answered; their responses stay. Ready when those are more than the client may leave
    /// unread. Dropped, it leaves every request where it was.
    async fn finish_ahead(&self) -> CloseReason {
        let mut ahead = Ahead::default();
        loop {
            poll_fn(|cx| self.poll_finish_ahead(&mut ahead, cx)).await;
            if UNREAD_BYTES_MAX < ahead.bytes {
                return CloseReason::Unread(ahead.bytes);
            }
            self.changed.wait().await;
        }
    }

    /// Ready when all requests that are there are finished, or their responses are too many bytes.
    fn poll_finish_ahead(&self, ahead: &mut Ahead, cx: &mut Context<'_>) -> Poll<()> {
        let waits_long = |in_flight: &InFlight| matches!(in_flight.answer, Answer::Waiting(_));
        while ahead.bytes <= UNREAD_BYTES_MAX {
            if self.waiting.borrow().get(ahead.requests).is_some_and(waits_long) {
                return Poll::Pending;
            }
            if !ready!(self.poll_finish(ahead.requests, cx)) {
                break;
            }
            ahead.bytes += self.waiting.borrow()[ahead.requests].answer.response_bytes();
            ahead.requests += 1;
        }
        Poll::Ready(())
    }

    /// Finishes the request at `index`; ready with `false` when there is none.
    fn poll_finish(&self, index: usize, cx: &mut Context<'_>) -> Poll<bool> {
        // Taken out, so that nothing is borrowed while it is polled; only this side takes requests away.
        let take =
            |in_flight: &mut InFlight| std::mem::replace(&mut in_flight.answer, Answer::Now(Vec::new()));
        let Some(mut answer) = self.waiting.borrow_mut().get_mut(index).map(take) else {
            return Poll::Ready(false);
        };
        let polled = answer.poll_finish(cx);
        let mut waiting = self.waiting.borrow_mut();
        let in_flight = waiting.get_mut(index).expect("requests are added behind");
        in_flight.answer = answer;
        ready!(polled);
        let memory = in_flight.memory.take();
        drop(waiting);
        drop(memory);
        Poll::Ready(true)
    }

    /// Waits for a request; `false` once there will be no more.
    async fn has_next(&self) -> bool {
        while self.waiting.borrow().is_empty() {
            if self.is_closed.get() {
                return false;
            }
            self.is_idle.set(true);
            self.became_idle.notify_all();
            self.changed.wait().await;
        }
        true
    }

    /// Finishes, for nobody, what holds memory: the shards have the records until then. What may wait for
    /// long has none, and is dropped.
    async fn finish_unsent(&self) {
        let mut left = self.waiting.take();
        left.retain(|in_flight| in_flight.memory.is_some());
        for mut in_flight in left {
            poll_fn(|cx| in_flight.answer.poll_finish(cx)).await;
        }
    }
}

/// Serves a connection until the client leaves, misbehaves, or the server drains it.
pub(super) async fn run(server: Rc<Server>, listener: Rc<ListenerContext>, accepted: Accepted) {
    let queue = Rc::new(AnswerQueue::default());
    serve(server, listener, accepted, &queue).await;
    // The connection is gone for everybody else: a broker that stops does not wait for this.
    queue.finish_unsent().await;
}

async fn serve(
    server: Rc<Server>,
    listener: Rc<ListenerContext>,
    accepted: Accepted,
    queue: &Rc<AnswerQueue>,
) {
    let Accepted { stream, slot, unread, moves } = accepted;
    let peer = stream.peer_addr();
    let handle = Rc::new(ConnectionHandle::new(listener.is_protected));
    let number = server.register(&handle);
    let (reader, mut writer) = stream.split();
    if server.config().network.sends_in_place {
        writer.send_in_place();
    }
    let writing = {
        let (queue, handle) = (Rc::clone(queue), Rc::clone(&handle));
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
        queue: Rc::clone(queue),
    };
    let read_outcome = or(reading.read_requests(&handle), drained(&handle)).await;
    // Requests that were read are answered, whatever came after them; a client that left has no use for it.
    reading.queue.close();
    let write_outcome = writing.await;
    match write_outcome.and(read_outcome) {
        // Whoever has cut it off meanwhile wants it gone from the broker.
        Ok(Some(Leaving { to, stream })) if !handle.abort.is_cancelled() => {
            let connection = MovingConnection {
                stream,
                unread: reading.buffer.unread().to_vec(),
                listener: reading.context.listener.name.clone(),
                moves: reading.context.affinity.moves() + 1,
            };
            tracing::debug!(target: "server", %peer, shard = to.0, "a connection moves");
            server.shard().hand_over(to, connection, slot).await;
        }
        Ok(_) => {}
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
            match peek_frame(self.buffer.unread(), max).map_err(|error| self.no_frame(&error))? {
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

    /// Why what was received cannot be a frame.
    fn no_frame(&self, error: &WireError) -> CloseReason {
        let likeness = looks_like(self.buffer.unread());
        let likeness = likeness.map_or_else(String::new, |likeness| format!("; {likeness}"));
        CloseReason::Malformed(format!("{error}{likeness}"))
    }
}

/// The writing side: finishes requests in order. Responses that are ready go out together.
async fn write_answers(
    queue: &AnswerQueue,
    mut writer: StreamWriter,
    handle: &ConnectionHandle,
) -> Result<(), CloseReason> {
    let mut output = WriteQueue::new();
    while queue.has_next().await {
        let mut slots = Vec::new();
        loop {
            task::yield_if_needed().await;
            if !output.is_empty() && poll_once(queue.finish_first()).await.is_none() {
                flush(queue, &mut writer, &mut output, handle).await?;
                slots.clear();
            }
            // It is in the queue until it is finished, whatever ends the writing meanwhile.
            queue.finish_first().await;
            let Some(InFlight { answer, slot, .. }) = queue.pop() else { break };
            match answer.into_response() {
                Ok(frame) => output.extend(frame),
                Err(reason) => {
                    flush(queue, &mut writer, &mut output, handle).await?;
                    return Err(reason);
                }
            }
            slots.push(slot);
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
    or(writing, async { Err(queue.finish_ahead().await) }).await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use futures_lite::future::block_on;

    use super::super::response::Frame;
    use super::*;
    use crate::rt::sync::{OneshotSender, oneshot};

    const MEMORY: usize = 10;

    /// A queue, the memory and the slots that its requests take.
    struct Scene {
        queue: AnswerQueue,
        memory: Rc<Semaphore>,
        slots: Rc<Semaphore>,
    }

    impl Scene {
        fn new() -> Self {
            let [memory, slots] = [(); 2].map(|()| Rc::new(Semaphore::new(MEMORY)));
            Self { queue: AnswerQueue::default(), memory, slots }
        }

        fn push(&self, answer: Answer, uses_memory: bool) {
            let memory = uses_memory.then(|| block_on(self.memory.acquire(1)));
            let slot = block_on(self.slots.acquire(1));
            self.queue.push(InFlight { answer, memory, slot });
        }

        /// A request that is done once the sender says so.
        fn push_later(&self) -> OneshotSender<()> {
            let (done, receiver) = oneshot();
            let later = async move {
                _ = receiver.await;
                Ok(Frame::new())
            };
            self.push(Answer::Later(Box::pin(later)), true);
            done
        }
    }

    #[test]
    fn a_connection_that_is_cut_keeps_its_memory_until_its_requests_are_done() {
        let scene = Scene::new();
        let first = scene.push_later();
        let second = scene.push_later();
        scene.push(Answer::Waiting(Box::pin(pending())), false);
        {
            // The writing is cut off while it waits for the first request.
            let mut writing = pin!(scene.queue.finish_first());
            assert!(block_on(poll_once(writing.as_mut())).is_none());
        }
        let mut rest = pin!(scene.queue.finish_unsent());
        assert!(block_on(poll_once(rest.as_mut())).is_none());
        assert_eq!(scene.memory.available(), MEMORY - 2);
        assert_eq!(scene.slots.available(), MEMORY - 2, "what waits for others is dropped");
        _ = first.send(());
        assert!(block_on(poll_once(rest.as_mut())).is_none());
        assert_eq!(scene.memory.available(), MEMORY - 1);
        _ = second.send(());
        assert!(block_on(poll_once(rest.as_mut())).is_some());
        assert_eq!(scene.memory.available(), MEMORY);
    }

    #[test]
    fn a_client_that_goes_on_asking_and_reads_nothing_is_cut_off() {
        let scene = Scene::new();
        let response = Bytes::from(vec![0; UNREAD_BYTES_MAX / 2]);
        for _ in 0..2 {
            scene.push(Answer::Now(vec![response.clone().into()]), true);
        }
        let mut ahead = pin!(scene.queue.finish_ahead());
        assert!(block_on(poll_once(ahead.as_mut())).is_none());
        scene.push(Answer::Now(vec![response.slice(..1).into()]), true);
        scene.queue.changed.notify_one();
        let reason = block_on(poll_once(ahead.as_mut()));
        assert_eq!(reason, Some(CloseReason::Unread(UNREAD_BYTES_MAX + 1)));
    }

    #[test]
    fn requests_are_finished_ahead_up_to_one_that_may_wait_for_long() {
        let scene = Scene::new();
        let first = scene.push_later();
        scene.push(Answer::Silent(Box::pin(ready(Ok(())))), true);
        scene.push(Answer::Waiting(Box::pin(ready(Ok(Frame::new())))), false);
        let mut ahead = pin!(scene.queue.finish_ahead());
        assert!(block_on(poll_once(ahead.as_mut())).is_none());
        assert_eq!(scene.memory.available(), MEMORY - 2, "in order");
        _ = first.send(());
        assert!(block_on(poll_once(ahead.as_mut())).is_none());
        assert_eq!(scene.memory.available(), MEMORY);
        let kinds = [
            |answer: &Answer| matches!(answer, Answer::Now(_)),
            |answer: &Answer| matches!(answer, Answer::Now(_)),
            |answer: &Answer| matches!(answer, Answer::Waiting(_)),
        ];
        for is_kind in kinds {
            assert!(is_kind(&scene.queue.pop().unwrap().answer));
        }
    }
}
