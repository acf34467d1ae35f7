//! The wire protocol with nothing between the test and the socket: bodies are written field by field, so that
//! they can be wrong in exactly one place.
//!
//! Deliberately without the crate's own encoder: a mistake made there must not be made here as well.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for bytes of a broker before it calls the broker hung.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A request's kind: key, version, and whether that version has a flexible header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) flexible: bool,
}

/// A version with the old header.
pub(crate) const fn api(key: i16, version: i16) -> Api {
    Api { key, version, flexible: false }
}

/// A version with tagged fields.
pub(crate) const fn flexible(key: i16, version: i16) -> Api {
    Api { key, version, flexible: true }
}

pub(crate) const PRODUCE_V7: Api = api(0, 7);
pub(crate) const PRODUCE_V13: Api = flexible(0, 13);
pub(crate) const FETCH_V11: Api = api(1, 11);
pub(crate) const FETCH_V13: Api = flexible(1, 13);
pub(crate) const LIST_OFFSETS_V5: Api = api(2, 5);
pub(crate) const METADATA_V8: Api = api(3, 8);
pub(crate) const METADATA_V12: Api = flexible(3, 12);
pub(crate) const API_VERSIONS_V2: Api = api(18, 2);
pub(crate) const CREATE_TOPICS_V4: Api = api(19, 4);
pub(crate) const INIT_PRODUCER_ID_V1: Api = api(22, 1);

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    correlation_id: i32,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address)?))
    }

    /// Speaks on a stream that the test connected.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a timeout can be set");
        stream.set_write_timeout(Some(READ_TIMEOUT)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self { stream, correlation_id: 0 }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The frame of a request: length, header, body.
    pub(crate) fn frame(&mut self, api: Api, body: &Body) -> Vec<u8> {
        self.correlation_id += 1;
        let mut header = Body::new().i16(api.key).i16(api.version).i32(self.correlation_id).string("raw");
        if api.flexible {
            header = header.tags();
        }
        let length = header.0.len() + body.0.len();
        let mut frame = i32::try_from(length).expect("a test sends less than 2 GiB").to_be_bytes().to_vec();
        frame.extend(&header.0);
        frame.extend(&body.0);
        frame
    }

    pub(crate) fn send(&mut self, api: Api, body: &Body) {
        let frame = self.frame(api, body);
        self.stream.write_all(&frame).expect("the broker takes the request");
    }

    /// Sends and returns the reply's body.
    pub(crate) fn request(&mut self, api: Api, body: &Body) -> Reply {
        self.try_request(api, body).unwrap_or_else(|error| panic!("no reply to {api:?}: {error}"))
    }

    /// Sends and returns the reply's body, or the way the connection ended.
    pub(crate) fn try_request(&mut self, api: Api, body: &Body) -> io::Result<Reply> {
        let frame = self.frame(api, body);
        self.stream.write_all(&frame)?;
        self.reply(api)
    }

    /// Reads the reply to the request sent last.
    pub(crate) fn reply(&mut self, api: Api) -> io::Result<Reply> {
        let mut reply = self.any_reply()?;
        let correlation_id = reply.i32();
        assert_eq!(correlation_id, self.correlation_id, "the reply to another request");
        if api.flexible && api.key != 18 {
            reply.skip_tags();
        }
        Ok(reply)
    }

    /// Reads one frame, its header included.
    pub(crate) fn any_reply(&mut self) -> io::Result<Reply> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a positive length");
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(Reply { bytes, position: 0 })
    }

    /// The APIs that the broker offers, as `(key, min, max)`.
    pub(crate) fn api_versions(&mut self) -> io::Result<Vec<(i16, i16, i16)>> {
        let mut reply = self.try_request(API_VERSIONS_V2, &Body::new())?;
        assert_eq!(reply.i16(), 0, "error code of ApiVersions");
        Ok((0..reply.i32()).map(|_| (reply.i16(), reply.i16(), reply.i16())).collect())
    }

    /// Whether the broker closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request's body, built field by field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Body {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn i8(self, value: i8) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i16(self, value: i16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn uuid(self, value: u128) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn string(self, value: &str) -> Self {
        self.i16(i16::try_from(value.len()).expect("a short string")).raw(value.as_bytes())
    }

    pub(crate) fn null_string(self) -> Self {
        self.i16(-1)
    }

    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        self.i32(i32::try_from(value.len()).expect("less than 2 GiB")).raw(value)
    }

    pub(crate) fn uvarint(mut self, mut value: u32) -> Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// The length of a compact array, string or byte field; `None` is null.
    pub(crate) fn compact_len(self, length: Option<usize>) -> Self {
        self.uvarint(length.map_or(0, |length| u32::try_from(length).expect("less than 4 GiB") + 1))
    }

    pub(crate) fn compact_string(self, value: Option<&str>) -> Self {
        self.compact_len(value.map(str::len)).raw(value.unwrap_or_default().as_bytes())
    }

    pub(crate) fn compact_bytes(self, value: &[u8]) -> Self {
        self.compact_len(Some(value.len())).raw(value)
    }

    /// No tagged fields.
    pub(crate) fn tags(self) -> Self {
        self.uvarint(0)
    }
}

/// A reply, read field by field. Reading past its end panics: that is a broken broker.
#[derive(Debug)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    position: usize,
}

impl Reply {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes[self.position..self.position + N].try_into().expect("N bytes");
        self.position += N;
        taken
    }

    pub(crate) fn i8(&mut self) -> i8 {
        i8::from_be_bytes(self.take())
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    pub(crate) fn uuid(&mut self) -> u128 {
        u128::from_be_bytes(self.take())
    }

    pub(crate) fn uvarint(&mut self) -> u32 {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take();
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn vec(&mut self, length: usize) -> Vec<u8> {
        let taken = self.bytes[self.position..self.position + length].to_vec();
        self.position += length;
        taken
    }

    pub(crate) fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()).ok()?;
        Some(String::from_utf8(self.vec(length)).expect("UTF-8"))
    }

    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.i32()).ok()?;
        Some(self.vec(length))
    }

    /// The length of a compact array; 0 when it is null.
    pub(crate) fn compact_len(&mut self) -> usize {
        (self.uvarint() as usize).saturating_sub(1)
    }

    pub(crate) fn compact_string(&mut self) -> String {
        let length = self.compact_len();
        String::from_utf8(self.vec(length)).expect("UTF-8")
    }

    pub(crate) fn skip_tags(&mut self) {
        for _ in 0..self.uvarint() {
            self.uvarint();
            let length = self.uvarint() as usize;
            self.vec(length);
        }
    }

    /// How many bytes were not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }
}
