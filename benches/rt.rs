//! What the runtime face costs: receiving, echoing, the mesh, synced appends, cold reads, and idling.
//!
//! `cargo bench --bench rt -- receive|echo|mesh|append|read|idle` runs one question, no argument all of
//! them; under `cargo test` each runs for a moment. Executors are pinned when there are two CPUs.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]
#![expect(unsafe_code, reason = "the standard library has no clock of a thread")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync};
use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::file::DirectDisk;
use corelog::rt::host::cpus;
use corelog::rt::mesh::MeshBuilder;
use corelog::rt::net::{BoundListener, Listener, ReadBuffer, Stream, WriteQueue, bind};
use corelog::rt::task::spawn;
use corelog::telemetry::Latency;

/// A name and what to run for it.
type Question = (&'static str, fn(Size));

fn main() {
    let smoke = !std::env::args().any(|arg| arg == "--bench");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let size = if smoke { Size::Smoke } else { Size::Full };
    let questions: [Question; 6] = [
        ("receive", receive),
        ("echo", echo),
        ("mesh", mesh),
        ("append", append),
        ("read", read),
        ("idle", idle),
    ];
    for (name, question) in questions {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            question(size);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Size {
    Smoke,
    Full,
}

impl Size {
    fn of(self, full: usize) -> usize {
        if self == Self::Full { full } else { (full / 1_000).max(2) }
    }
}

fn config(name: &str, place: usize) -> ExecutorConfig {
    let cpus = cpus().unwrap();
    if cpus.len() < 2 { ExecutorConfig::unpinned(name) } else { ExecutorConfig::pinned(name, cpus[place]) }
}

/// CPU time of the clock: a thread, or the process.
fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the timespec it is given.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of the process without this thread. The two clocks are read one after the other, so that a
/// difference of two such figures may come out a little below zero: it is taken as none.
fn others_cpu_time() -> Duration {
    let own = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID);
    cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(own)
}

/// Keeps this thread off the executor's core.
fn pin_client() {
    if let Some(core) = core_affinity::get_core_ids().unwrap().last() {
        core_affinity::set_for_current(*core);
    }
}

/// Serves every connection of `bound` until the process ends.
fn serve<Fut: Future<Output = ()> + 'static>(bound: BoundListener, each: fn(Stream) -> Fut) {
    let handle = executor::spawn(config("server", 0), move || async move {
        let mut listener = Listener::from_bound(bound);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(each(stream)).detach();
        }
    });
    drop(handle.unwrap());
}

fn server<Fut: Future<Output = ()> + 'static>(each: fn(Stream) -> Fut) -> SocketAddr {
    let bound = bind("127.0.0.1:0".parse().unwrap(), 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    serve(bound, each);
    addr
}

/// The next frame, whose length is in its first four bytes.
fn next_frame(buffer: &mut ReadBuffer) -> Option<Bytes> {
    let len = u32::from_be_bytes(buffer.unread().first_chunk().copied()?) as usize + 4;
    if buffer.unread().len() < len {
        buffer.want(len);
        return None;
    }
    Some(buffer.take(len))
}

fn frame(body: usize) -> Vec<u8> {
    let mut frame = (body as u32).to_be_bytes().to_vec();
    frame.resize(4 + body, 1);
    frame
}

/// How much CPU does a gigabyte of frames cost that are received, cut and dropped? Threads that only
/// receive, one per connection, are the mark.
fn receive(size: Size) {
    async fn sink(stream: Stream) {
        let (mut reader, mut writer) = stream.split();
        let mut buffer = ReadBuffer::new();
        while reader.read(&mut buffer).await.unwrap() != 0 {
            while let Some(frame) = next_frame(&mut buffer) {
                std::hint::black_box(frame.len());
            }
        }
        let mut queue = WriteQueue::new();
        queue.push(Bytes::from_static(b"."));
        writer.write_all(&mut queue).await.unwrap();
    }
    let frames = server(sink);
    let mark = receiving_threads();
    pin_client();
    for body in [200, 16_000, 65_600, 1_000_100] {
        let (rate, cost) = send_frames(frames, body, size);
        let (mark_rate, mark_cost) = send_frames(mark, body, size);
        print!("{body} byte frames: {rate:.2} GB/s, {cost:.3} CPU-s/GB; ");
        println!("threads: {mark_rate:.2} GB/s, {mark_cost:.3} CPU-s/GB");
    }
}

/// Sends frames over four connections: GB/s, and CPU-s/GB of who receives.
fn send_frames(addr: SocketAddr, body: usize, size: Size) -> (f64, f64) {
    let mut streams: Vec<_> = (0..4).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let batch = frame(body).repeat((262_144 / body).max(1));
    let rounds = size.of(4 << 30) / batch.len() / streams.len();
    let (start, cpu) = (Instant::now(), others_cpu_time());
    for _ in 0..rounds {
        streams.iter_mut().for_each(|stream| stream.write_all(&batch).unwrap());
    }
    for stream in &mut streams {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let gigabytes = (rounds * batch.len() * streams.len()) as f64 / 1e9;
    let cpu = others_cpu_time().saturating_sub(cpu).as_secs_f64();
    (gigabytes / start.elapsed().as_secs_f64(), cpu / gigabytes)
}

/// A thread per connection that receives into 128 KiB and looks at nothing.
fn receiving_threads() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        core_affinity::set_for_current(core_affinity::get_core_ids().unwrap()[0]);
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let (mut stream, mut buffer) = (stream.unwrap(), vec![0; 128 << 10]);
                while stream.read(&mut buffer).unwrap() != 0 {}
                stream.write_all(b".").unwrap();
            });
        }
    });
    addr
}

/// How long does an echo take, and what does it cost?
fn echo(size: Size) {
    async fn echo(stream: Stream) {
        let (mut reader, mut writer) = stream.split();
        let (mut buffer, mut queue) = (ReadBuffer::new(), WriteQueue::new());
        while reader.read(&mut buffer).await.unwrap_or(0) != 0 {
            while let Some(frame) = next_frame(&mut buffer) {
                queue.push(frame.slice(..50));
            }
            writer.write_all(&mut queue).await.unwrap();
        }
    }
    let addr = server(echo);
    pin_client();
    let request = frame(196);
    for connections in [1, 8] {
        let mut streams: Vec<_> = (0..connections).map(|_| TcpStream::connect(addr).unwrap()).collect();
        streams.iter().for_each(|stream| stream.set_nodelay(true).unwrap());
        let mut latency = Latency::new();
        let rounds = size.of(100_000) / connections;
        let cpu = others_cpu_time();
        for _ in 0..rounds {
            let start = Instant::now();
            streams.iter_mut().for_each(|stream| stream.write_all(&request).unwrap());
            streams.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 50]).unwrap());
            latency.record(start.elapsed());
        }
        let cpu = others_cpu_time().saturating_sub(cpu).as_secs_f64() * 1e6 / (rounds * connections) as f64;
        println!("{connections} at once: {}, {cpu:.1} CPU-us each", percentiles(&latency));
    }
}

fn percentiles(latency: &Latency) -> String {
    let at = |percentile| latency.percentile_us(percentile);
    format!("p50 {} p99 {} p99.9 {} max {} us", at(50.0), at(99.0), at(99.9), latency.max_us())
}

/// How long does a message to another core and back take?
fn mesh(size: Size) {
    let rounds = size.of(100_000);
    let builder = MeshBuilder::<u64>::new(2);
    let other = builder.clone();
    let answering = executor::spawn(config("mesh-1", 1), move || async move {
        let mesh = other.join(1).await;
        loop {
            for message in mesh.incoming().await.1 {
                if message == u64::MAX {
                    return;
                }
                mesh.post(0, message);
            }
        }
    });
    let asking = executor::spawn(config("mesh-0", 0), move || async move {
        let mesh = builder.join(0).await;
        for in_flight in [1, 64] {
            let (mut latency, start) = (Latency::new(), Instant::now());
            let cpu = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID);
            for _ in 0..rounds / in_flight {
                let start = Instant::now();
                (0..in_flight as u64).for_each(|message| mesh.post(1, message));
                let mut answered = 0;
                while answered < in_flight {
                    answered += mesh.incoming().await.1.len();
                }
                latency.record(start.elapsed());
            }
            let cpu = (cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu).as_secs_f64() * 1e6 / rounds as f64;
            let rate = rounds as f64 / start.elapsed().as_secs_f64();
            println!("{in_flight} at once: {}, {rate:.0}/s, {cpu:.2} CPU-us each", percentiles(&latency));
        }
        mesh.post(1, u64::MAX);
        while mesh.queued(1) != 0 {
            corelog::rt::task::yield_now().await;
        }
    });
    asking.unwrap().join().unwrap();
    answering.unwrap().join().unwrap();
}

/// How long does a durable append take, and what does it cost?
fn append(size: Size) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().to_owned();
    let work = move || async move {
        let disk = DirectDisk::new();
        for bytes in [BLOCK, 16 * BLOCK, 128 * BLOCK] {
            for sync in [WriteSync::None, WriteSync::Data] {
                let path = path.join(format!("{bytes}-{sync:?}"));
                let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
                let mut latency = Latency::new();
                let rounds = size.of(3_000);
                let cpu = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID);
                for round in 0..rounds {
                    let mut buf = disk.alloc(bytes);
                    buf.as_mut_slice()[..8].copy_from_slice(&round.to_le_bytes());
                    let start = Instant::now();
                    let position = (round * bytes) as u64;
                    assert_eq!(file.write_at(buf.freeze(), position, sync).await.unwrap(), bytes);
                    latency.record(start.elapsed());
                }
                let cpu =
                    (cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu).as_secs_f64() * 1e6 / rounds as f64;
                println!("{bytes} bytes, {sync:?}: {}, {cpu:.1} CPU-us each", percentiles(&latency));
                file.close().await.unwrap();
            }
        }
    };
    executor::spawn(config("append", 0), work).unwrap().join().unwrap();
}

/// How fast are cold reads of 256 KiB, eight at once, while 64 MiB of them stay in a cache?
fn read(size: Size) {
    const READ_BYTES: usize = 256 << 10;
    const CACHED: usize = 256;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("log");
    let reads = size.of(4_096);
    let work = move || async move {
        let disk = DirectDisk::new();
        write_file(&disk, &path, reads * READ_BYTES).await;
        for pass in 0..2 {
            let file = Rc::new(disk.open(&path, OpenMode::Read).await.unwrap());
            let (start, cpu) = (Instant::now(), cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID));
            let mut reading = std::collections::VecDeque::new();
            let mut cached = std::collections::VecDeque::new();
            for index in 0..reads {
                let file = Rc::clone(&file);
                let position = (index * READ_BYTES) as u64;
                reading.push_back(spawn(async move { file.read_at(position, READ_BYTES).await.unwrap() }));
                if reading.len() == 8 {
                    cached.push_back(reading.pop_front().unwrap().await);
                    if cached.len() == CACHED {
                        cached.pop_front();
                    }
                }
            }
            for last in reading {
                last.await;
            }
            let gigabytes = (reads * READ_BYTES) as f64 / 1e9;
            let cpu = (cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu).as_secs_f64();
            let seconds = start.elapsed().as_secs_f64();
            println!("pass {pass}: {:.2} GB/s, {:.3} CPU-s/GB", gigabytes / seconds, cpu / gigabytes);
        }
    };
    executor::spawn(config("read", 0), work).unwrap().join().unwrap();
}

async fn write_file(disk: &DirectDisk, path: &Path, bytes: usize) {
    let file = disk.open(path, OpenMode::CreateNew).await.unwrap();
    let mut buf = disk.alloc(1 << 20);
    buf.as_mut_slice().fill(1);
    let shared = buf.freeze();
    for position in (0..bytes).step_by(1 << 20) {
        file.write_at(shared.clone(), position as u64, WriteSync::None).await.unwrap();
    }
    file.sync_data().await.unwrap();
}

/// What do two shards, control and idle connections cost when nothing happens?
fn idle(size: Size) {
    let before = resident_bytes();
    let bound = bind("127.0.0.1:0".parse().unwrap(), 2, 4_096).unwrap();
    let addr = bound[0].local_addr();
    for (place, bound) in bound.into_iter().enumerate() {
        drop(executor::spawn(config("shard", place), move || hold(bound)).unwrap());
    }
    drop(executor::spawn(ExecutorConfig::unpinned("control"), std::future::pending::<()>).unwrap());
    let measure = |what: &str| {
        std::thread::sleep(Duration::from_millis(200));
        let (start, cpu) = (Instant::now(), others_cpu_time());
        std::thread::sleep(Duration::from_millis(size.of(5_000).max(20) as u64));
        let share =
            others_cpu_time().saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
        let resident = (resident_bytes() - before) as f64 / (1 << 20) as f64;
        println!("{what}: {share:.3} % of a core, {resident:.1} MiB more than without");
    };
    measure("3 executors");
    let connections: Vec<_> = (0..size.of(5_000)).map(|_| TcpStream::connect(addr).unwrap()).collect();
    connections.iter().for_each(|mut stream| stream.write_all(&frame(100)).unwrap());
    measure(&format!("{} connections that spoke once", connections.len()));
}

/// Accepts connections and reads what they say.
async fn hold(bound: BoundListener) {
    let mut listener = Listener::from_bound(bound);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn(async move {
            let (mut reader, _writer) = stream.split();
            let mut buffer = ReadBuffer::new();
            while reader.read(&mut buffer).await.unwrap_or(0) != 0 {
                while next_frame(&mut buffer).is_some() {}
            }
        })
        .detach();
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
