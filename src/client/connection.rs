//! One connection to one broker: requests go out as they come, answers come back in the same order.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Request;

use super::error::ClientError;
use crate::rt::net::{self, ReadBuffer, StreamReader, StreamWriter, WriteQueue};
use crate::rt::sync::{Notify, OneshotSender, oneshot};
use crate::rt::{task, time};
use crate::wire::api::{self, ApiRow};
use crate::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use crate::wire::header::{RequestHeader, decode_response_header, encode_request_header};
use crate::wire::messages::{self, ApiKey, ApiVersionsRequest, ApiVersionsResponse, StrBytes};
use crate::wire::reply;

/// Largest response that is read. A broker that claims more is not followed.
const RESPONSE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The version of ApiVersions that every broker since 0.10 answers.
const API_VERSIONS_FIRST: i16 = 0;

/// How to open a connection.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// What to call oneself.
    pub client_id: String,
    /// How long to wait for the connection, and for each answer.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { client_id: "corelog".to_owned(), timeout: Duration::from_secs(30) }
    }
}

/// A connection. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Connection(Rc<Handle>);

/// What a caller needs to build a request of its own: see [`Connection::version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiVersion {
    /// The row of the API.
    pub api: &'static ApiRow,
    /// The version to speak.
    pub version: i16,
}

/// Lives as long as a caller does; the tasks hold the [`Shared`] part only.
#[derive(Debug)]
struct Handle {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: String,
    options: ConnectOptions,
    versions: RefCell<BTreeMap<i16, (i16, i16)>>,
    next_correlation_id: Cell<i32>,
    outgoing: RefCell<WriteQueue>,
    wake_writer: Notify,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Why the connection is over.
    ended: RefCell<Option<String>>,
}

#[derive(Debug)]
struct Waiting {
    correlation_id: i32,
    answer: OneshotSender<Bytes>,
}

impl Connection {
    /// Connects to the first of the addresses behind `address` (`host:port`) that accepts, and asks which
    /// versions the broker serves.
    ///
    /// A host name is looked up on this thread: an executor that serves others connects to addresses.
    pub async fn open(address: &str, options: ConnectOptions) -> Result<Self, ClientError> {
        let unreachable = |detail: String| ClientError::Unreachable { address: address.to_owned(), detail };
        let mut refused = unreachable("the name has no address".to_owned());
        for candidate in resolve(address)? {
            match time::timeout(options.timeout, net::connect(candidate)).await {
                Ok(Ok(stream)) => return Self::start(stream, address, options).await,
                Ok(Err(error)) => refused = unreachable(error.to_string()),
                Err(_) => refused = unreachable(format!("no answer in {} ms", options.timeout.as_millis())),
            }
        }
        Err(refused)
    }

    async fn start(stream: net::Stream, address: &str, options: ConnectOptions) -> Result<Self, ClientError> {
        let (reader, writer) = stream.split();
        let shared = Rc::new(Shared {
            address: address.to_owned(),
            options,
            versions: RefCell::default(),
            next_correlation_id: Cell::new(0),
            outgoing: RefCell::default(),
            wake_writer: Notify::new(),
            waiting: RefCell::default(),
            ended: RefCell::default(),
        });
        task::spawn(write_loop(Rc::clone(&shared), writer)).detach();
        task::spawn(read_loop(Rc::clone(&shared), reader)).detach();
        let connection = Self(Rc::new(Handle { shared }));
        connection.ask_versions().await?;
        Ok(connection)
    }

    async fn ask_versions(&self) -> Result<(), ClientError> {
        let api = row(ApiKey::ApiVersions as i16);
        let spoken = ApiVersion { api, version: API_VERSIONS_FIRST };
        let body = self.exchange(spoken, &ApiVersionsRequest::default()).await?;
        let response: ApiVersionsResponse = self.decode(body, API_VERSIONS_FIRST)?;
        let versions = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        self.0.shared.versions.replace(versions.collect());
        Ok(())
    }

    /// The broker's address as it was given.
    pub fn address(&self) -> &str {
        &self.0.shared.address
    }

    /// What the broker serves, as `(api key, lowest, highest)`.
    pub fn served(&self) -> Vec<(i16, i16, i16)> {
        self.0.shared.versions.borrow().iter().map(|(&key, &(min, max))| (key, min, max)).collect()
    }

    /// The highest version of an API that both sides speak.
    pub fn version(&self, key: ApiKey) -> Result<ApiVersion, ClientError> {
        let api = row(key as i16);
        let ours_max = reply::version_max(key).unwrap_or(api.max);
        let served = self.0.shared.versions.borrow().get(&(key as i16)).copied();
        let common = served.filter(|&(min, max)| min <= ours_max && api.min <= max);
        match common {
            Some((_, max)) => Ok(ApiVersion { api, version: max.min(ours_max) }),
            None => Err(ClientError::Unsupported {
                address: self.address().to_owned(),
                api: format!("{key:?}"),
                min: api.min,
                max: ours_max,
            }),
        }
    }

    /// Sends a request in the highest common version and waits for its answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let key = ApiKey::try_from(R::KEY).unwrap_or_else(|()| unreachable!("{} is Kafka's", R::KEY));
        let spoken = self.version(key)?;
        let body = self.exchange(spoken, request).await?;
        self.decode(body, spoken.version)
    }

    /// Sends a request and returns the body of its answer, undecoded.
    pub async fn exchange<R: Request>(&self, spoken: ApiVersion, request: &R) -> Result<Bytes, ClientError> {
        let correlation_id = self.0.shared.next_correlation_id.get();
        self.0.shared.next_correlation_id.set(correlation_id.wrapping_add(1));
        let frame = encode_frame(spoken, correlation_id, &self.0.shared.options.client_id, request)?;
        let (answer, answered) = oneshot();
        self.send(frame, Some(Waiting { correlation_id, answer }))?;
        let timeout = self.0.shared.options.timeout;
        let address = || self.address().to_owned();
        let mut frame = match time::timeout(timeout, answered).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) => return Err(self.ended()),
            Err(_) => {
                return Err(ClientError::TimedOut { address: address(), after_ms: timeout.as_millis() });
            }
        };
        match decode_response_header(&mut frame, spoken.api, spoken.version) {
            Ok(_) => Ok(frame),
            Err(error) => Err(ClientError::Malformed { address: address(), error }),
        }
    }

    /// Sends a request that has no answer, such as a Produce with acks=0.
    pub fn send_unanswered<R: Request>(&self, spoken: ApiVersion, request: &R) -> Result<(), ClientError> {
        let frame = encode_frame(spoken, 0, &self.0.shared.options.client_id, request)?;
        self.send(frame, None)
    }

    /// Waits until everything sent so far is with the kernel.
    pub async fn flush(&self) -> Result<(), ClientError> {
        while !self.0.shared.outgoing.borrow().is_empty() {
            if self.0.shared.ended.borrow().is_some() {
                return Err(self.ended());
            }
            task::yield_now().await;
        }
        Ok(())
    }

    /// Decodes a response's body; the error names this broker.
    pub fn decode<T: kafka_protocol::protocol::Decodable>(
        &self,
        body: Bytes,
        version: i16,
    ) -> Result<T, ClientError> {
        messages::decode(body, version)
            .map_err(|error| ClientError::Malformed { address: self.address().to_owned(), error })
    }

    fn send(&self, frame: Bytes, waiting: Option<Waiting>) -> Result<(), ClientError> {
        if self.0.shared.ended.borrow().is_some() {
            return Err(self.ended());
        }
        self.0.shared.waiting.borrow_mut().extend(waiting);
        self.0.shared.outgoing.borrow_mut().push(frame);
        self.0.shared.wake_writer.notify_one();
        Ok(())
    }

    fn ended(&self) -> ClientError {
        let detail = self.0.shared.ended.borrow().clone().unwrap_or_else(|| "no reason given".to_owned());
        ClientError::Disconnected { address: self.address().to_owned(), detail }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.end("closed here");
    }
}

impl Shared {
    /// The first reason counts. Whoever waits for an answer learns that there will be none.
    fn end(&self, reason: impl Into<String>) {
        self.ended.borrow_mut().get_or_insert(reason.into());
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        drop(waiting);
        self.wake_writer.notify_all();
        self.wake_writer.notify_one();
    }
}

/// The addresses of `host:port`.
pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, ClientError> {
    match address.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            Err(ClientError::Unresolvable { address: address.to_owned(), detail: error.to_string() })
        }
    }
}

/// A whole request frame: length, header, body.
pub fn encode_frame<R: Request>(
    spoken: ApiVersion,
    correlation_id: i32,
    client_id: &str,
    request: &R,
) -> Result<Bytes, ClientError> {
    let header = RequestHeader {
        api: spoken.api,
        api_version: spoken.version,
        correlation_id,
        client_id: Some(StrBytes::from_string(client_id.to_owned())),
    };
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    encode_request_header(&mut frame, &header);
    messages::encode(request, spoken.version, &mut frame).map_err(ClientError::Unencodable)?;
    let length = i32::try_from(frame.len() - LENGTH_LEN).expect("no request of ours reaches 2 GiB");
    frame[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

fn row(api_key: i16) -> &'static ApiRow {
    api::lookup(api_key).unwrap_or_else(|| unreachable!("this client uses served APIs only, not {api_key}"))
}

async fn write_loop(shared: Rc<Shared>, mut writer: StreamWriter) {
    loop {
        let mut queue = std::mem::take(&mut *shared.outgoing.borrow_mut());
        if !queue.is_empty() {
            if let Err(error) = writer.write_all(&mut queue).await {
                shared.end(error.to_string());
            }
        } else if shared.ended.borrow().is_some() {
            // Wakes the reader.
            writer.abort();
            return;
        } else {
            shared.wake_writer.wait().await;
        }
    }
}

async fn read_loop(shared: Rc<Shared>, mut reader: StreamReader) {
    let mut buffer = ReadBuffer::new();
    let reason = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break "end of stream".to_owned(),
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
        if let Err(reason) = hand_out(&shared, &mut buffer) {
            break reason;
        }
    };
    shared.end(reason);
}

/// Gives every whole frame of the buffer to who waits for it.
fn hand_out(shared: &Shared, buffer: &mut ReadBuffer) -> Result<(), String> {
    loop {
        match peek_frame(buffer.unread(), RESPONSE_BYTES_MAX).map_err(|error| error.to_string())? {
            FrameStatus::Partial { needed } => {
                buffer.want(needed);
                return Ok(());
            }
            FrameStatus::Complete { end } => {
                buffer.skip(LENGTH_LEN);
                let frame = buffer.take(end - LENGTH_LEN);
                answer(shared, frame)?;
            }
        }
    }
}

fn answer(shared: &Shared, frame: Bytes) -> Result<(), String> {
    let Some(waiting) = shared.waiting.borrow_mut().pop_front() else {
        return Err("an answer that nobody asked for".to_owned());
    };
    let found = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id));
    if found != Some(waiting.correlation_id) {
        return Err(format!("correlation id {found:?} where {} was due", waiting.correlation_id));
    }
    // A caller that stopped waiting has timed out.
    waiting.answer.send(frame).ok();
    Ok(())
}
