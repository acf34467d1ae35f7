//! What does this machine charge for the bytes alone?
//!
//! `cargo bench --bench limits -- receive|send`, no argument for both; under `cargo test` each runs for a
//! moment. `receive` is the least that a broker could do with produced bytes: one thread receives frames,
//! checksums them, copies them once into aligned memory and writes that directly, first to nowhere, then
//! with one synced write for all that came meanwhile (a journal), then with a write for each frame into one
//! of 16 files (segments). `send` only sends: from memory, and from the page cache with `sendfile`. The
//! figures are the CPU time of that one thread; what a broker spends beyond them is its own.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]
#![expect(unsafe_code, reason = "the standard library has no clock of a thread")]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::sendfile;
use rustix::io::{ReadWriteFlags, pwritev2};

const CONNECTIONS: usize = 4;
const FRAMES_IN_FLIGHT: usize = 5;

/// A request of 64 records of 1,000 bytes, and what it takes in blocks.
const FRAME_BYTES: usize = 64_700;
const FRAME_BLOCKS_BYTES: usize = 64 << 10;

const BLOCK: usize = 4_096;
const SEGMENTS: usize = 16;
const SEND_BYTES: usize = 1 << 20;

/// A name and what to run for it, with the bytes to move.
type Question = (&'static str, fn(usize));

fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let bytes = if is_full { 4 << 30 } else { 8 << 20 };
    let questions: [Question; 2] = [("receive", receive), ("send", send)];
    for (name, question) in questions {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            question(bytes);
        }
    }
}

/// What is done with a frame, each with what goes before it.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Work {
    Receive,
    Checksum,
    Copy,
    Journal,
    Segments,
}

fn receive(bytes: usize) {
    for work in [Work::Receive, Work::Checksum, Work::Copy, Work::Journal, Work::Segments] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        for _ in 0..CONNECTIONS {
            thread::spawn(move || produce(TcpStream::connect(addr).unwrap()));
        }
        let mut sink = Sink::new(work, bytes);
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::accept(&listener)).collect();
        let cost = Cost::begin();
        while sink.received < bytes {
            wait_for(connections.iter().map(|connection| &connection.stream), PollFlags::IN);
            for connection in &mut connections {
                connection.receive(&mut sink);
            }
            sink.end_round();
            connections.iter_mut().for_each(Connection::answer);
        }
        cost.report(&format!("{work:?}"), sink.received);
    }
}

/// Keeps frames in flight: one more for each byte of an answer.
fn produce(mut stream: TcpStream) {
    let frame = vec![7; FRAME_BYTES];
    let mut answers = [0; FRAMES_IN_FLIGHT];
    let mut wanted = FRAMES_IN_FLIGHT;
    // The other side ends in the middle.
    while (0..wanted).all(|_| stream.write_all(&frame).is_ok()) {
        wanted = match stream.read(&mut answers) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
    }
}

struct Connection {
    stream: TcpStream,
    frame: Vec<u8>,
    filled: usize,
    unanswered: usize,
}

impl Connection {
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, frame: vec![0; FRAME_BYTES], filled: 0, unanswered: 0 }
    }

    fn receive(&mut self, sink: &mut Sink) {
        while !sink.is_full() {
            match self.stream.read(&mut self.frame[self.filled..]) {
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
            if self.filled == FRAME_BYTES {
                self.filled = 0;
                self.unanswered += 1;
                sink.take(&self.frame);
            }
        }
    }

    fn answer(&mut self) {
        self.stream.write_all(&[0; FRAMES_IN_FLIGHT][..self.unanswered]).unwrap();
        self.unanswered = 0;
    }
}

struct Sink {
    work: Work,
    received: usize,
    /// Aligned from `aligned` on.
    memory: Vec<u8>,
    aligned: usize,
    frames: usize,
    files: Vec<Written>,
    _dir: tempfile::TempDir,
}

/// A file that was written whole before, so that a write changes no metadata.
struct Written {
    file: File,
    len: usize,
    position: usize,
}

impl Sink {
    const FRAMES_MAX: usize = CONNECTIONS * FRAMES_IN_FLIGHT;

    fn new(work: Work, bytes: usize) -> Self {
        let memory = vec![1; Self::FRAMES_MAX * FRAME_BLOCKS_BYTES + BLOCK];
        let aligned = memory.as_ptr().align_offset(BLOCK);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let count = match work {
            Work::Journal => 1,
            Work::Segments => SEGMENTS,
            Work::Receive | Work::Checksum | Work::Copy => 0,
        };
        let len = (bytes / 16).next_multiple_of(1 << 20).max(Self::FRAMES_MAX * FRAME_BLOCKS_BYTES);
        let filler = &memory[aligned..aligned + (1 << 20)];
        let files = (0..count).map(|index| {
            Written::new(&dir.path().join(index.to_string()), len.next_multiple_of(1 << 20), filler)
        });
        let files = files.collect();
        Self { work, received: 0, memory, aligned, frames: 0, files, _dir: dir }
    }

    fn is_full(&self) -> bool {
        self.frames == Self::FRAMES_MAX
    }

    fn take(&mut self, frame: &[u8]) {
        self.received += frame.len();
        if Work::Checksum <= self.work {
            std::hint::black_box(crc32c::crc32c(frame));
        }
        let at = self.aligned + self.frames * FRAME_BLOCKS_BYTES;
        if Work::Copy <= self.work {
            self.memory[at..at + frame.len()].copy_from_slice(frame);
        }
        if self.work == Work::Segments {
            let segment = (self.received / FRAME_BYTES) % SEGMENTS;
            self.files[segment].write(&self.memory[at..at + FRAME_BLOCKS_BYTES], ReadWriteFlags::empty());
        }
        self.frames += 1;
    }

    fn end_round(&mut self) {
        if self.work == Work::Journal && 0 < self.frames {
            let bytes = &self.memory[self.aligned..][..self.frames * FRAME_BLOCKS_BYTES];
            self.files[0].write(bytes, ReadWriteFlags::DSYNC);
        }
        self.frames = 0;
    }
}

impl Written {
    fn new(path: &Path, len: usize, filler: &[u8]) -> Self {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).custom_flags(libc::O_DIRECT);
        let file = options.open(path).unwrap();
        let mut written = Self { file, len, position: 0 };
        for _ in 0..len / filler.len() {
            written.write(filler, ReadWriteFlags::empty());
        }
        written.file.sync_all().unwrap();
        written
    }

    fn write(&mut self, bytes: &[u8], flags: ReadWriteFlags) {
        if self.len < self.position + bytes.len() {
            self.position = 0;
        }
        let count = pwritev2(&self.file, &[IoSlice::new(bytes)], self.position as u64, flags).unwrap();
        assert_eq!(count, bytes.len());
        self.position += count;
    }
}

fn send(bytes: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("sent");
    let memory = vec![7; SEND_BYTES];
    let mut file = File::create_new(&path).unwrap();
    let chunks = (bytes / 16 / SEND_BYTES).max(1);
    (0..chunks).for_each(|_| file.write_all(&memory).unwrap());
    let file = File::open(&path).unwrap();
    for from_file in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        for _ in 0..CONNECTIONS {
            thread::spawn(move || consume(TcpStream::connect(addr).unwrap()));
        }
        let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| Connection::accept(&listener).stream).collect();
        let cost = Cost::begin();
        let (mut sent, mut sent_on) = (0, [0_usize; CONNECTIONS]);
        while sent < bytes {
            wait_for(streams.iter(), PollFlags::OUT);
            for (stream, position) in streams.iter_mut().zip(&mut sent_on) {
                let count = if from_file {
                    let mut offset = (*position % (chunks * SEND_BYTES)) as u64;
                    sendfile(&*stream, &file, Some(&mut offset), SEND_BYTES).map_err(std::io::Error::from)
                } else {
                    stream.write(&memory[*position % SEND_BYTES..])
                };
                let count = match count {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    count => count.unwrap(),
                };
                *position += count;
                sent += count;
            }
        }
        cost.report(if from_file { "sendfile" } else { "from memory" }, sent);
    }
}

fn consume(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer).is_ok_and(|count| count != 0) {}
}

fn wait_for<'a>(streams: impl Iterator<Item = &'a TcpStream>, flags: PollFlags) {
    let mut polled: Vec<_> = streams.map(|stream| PollFd::new(stream, flags)).collect();
    poll(&mut polled, None).unwrap();
}

/// The CPU time of this thread, and the time.
struct Cost {
    begin: Instant,
    cpu: Duration,
}

impl Cost {
    fn begin() -> Self {
        Self { begin: Instant::now(), cpu: thread_time() }
    }

    fn report(&self, what: &str, bytes: usize) {
        let (seconds, cpu) = (self.begin.elapsed().as_secs_f64(), (thread_time() - self.cpu).as_secs_f64());
        let gigabytes = bytes as f64 / 1e9;
        println!("{what}: {:.2} GB/s, {:.3} CPU-s/GB", gigabytes / seconds, cpu / gigabytes);
    }
}

fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
