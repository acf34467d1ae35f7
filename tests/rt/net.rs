//! Listeners and connections.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::net::{BindError, BoundListener, Listener, ReadBuffer, WriteQueue, bind, connect};
use corelog::rt::task::{spawn, yield_now};
use corelog::rt::time::{sleep, timeout};
use corelog::types::{FileSlice, Piece, Prng};
use socket2::{Domain, Socket, Type};

use super::support::{child, core_time, is_child, run, text};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[test]
fn a_port_is_taken_also_when_its_owner_would_share_it() {
    for share in [false, true] {
        let owner = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        owner.set_reuse_port(share).unwrap();
        owner.set_reuse_address(share).unwrap();
        owner.bind(&ANY.into()).unwrap();
        owner.listen(1).unwrap();
        let addr = owner.local_addr().unwrap().as_socket().unwrap();
        assert!(matches!(bind(addr, 2, 50), Err(BindError::InUse { .. })), "shared: {share}");
    }
    let ours = bind(ANY, 2, 50).unwrap();
    let error = bind(ours[0].local_addr(), 2, 50).unwrap_err();
    assert!(error.to_string().contains("is in use"), "{error}");
    let error = bind("203.0.113.1:0".parse().unwrap(), 1, 50).unwrap_err();
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
}

#[test]
fn connections_spread_over_the_sockets_of_a_port() {
    for addr in [ANY, "[::1]:0".parse().unwrap()] {
        let bound = bind(addr, 3, 50).unwrap();
        let addr = bound[0].local_addr();
        assert!(bound.iter().all(|bound| bound.local_addr() == addr));
        let clients: Vec<_> = (0..60).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let counts: Vec<usize> = bound
            .into_iter()
            .map(|bound| {
                run(move || async move {
                    let mut listener = Listener::from_bound(bound);
                    let mut count = 0;
                    while timeout(Duration::from_millis(20), listener.accept()).await.is_ok() {
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        assert!(counts.iter().all(|count| 0 < *count), "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), 60);
        drop(clients);
    }
}

#[test]
fn a_listener_wakes_for_late_connections_and_closes_with_its_drop() {
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    let client = std::thread::spawn(move || {
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(5));
            let mut stream = TcpStream::connect(addr).unwrap();
            // The other end was dropped: the end of the stream comes at once, not when a poll is cancelled.
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    });
    run(move || async move {
        let mut listener = Listener::from_bound(bound);
        for _ in 0..5 {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.peer_addr(), peer);
            assert_eq!(stream.local_addr(), addr);
        }
        assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        drop(listener);
        assert!(connect(addr).await.is_err());
    });
    client.join().unwrap();
    drop(TcpListener::bind(addr).unwrap());
}

/// Sends `total` bytes of a pattern through a connection of two executors and checks what arrives.
fn transfer(total: usize, frame_bytes: usize) {
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    let sender = executor::spawn(ExecutorConfig::unpinned("sender"), move || async move {
        let (mut reader, mut writer) = connect(addr).await.unwrap().split();
        // Reading goes on while writing waits.
        let reading = spawn(async move {
            let mut buffer = ReadBuffer::new();
            while reader.read(&mut buffer).await.unwrap() != 0 {}
            buffer.unread().to_vec()
        });
        let frame: Bytes = (0..frame_bytes).map(|index| (index % 251) as u8).collect::<Vec<_>>().into();
        let mut queue = WriteQueue::new();
        for _ in 0..total / frame_bytes {
            queue.extend([frame.slice(..frame_bytes / 3), frame.slice(frame_bytes / 3..)]);
            writer.write_all(&mut queue).await.unwrap();
        }
        writer.shutdown();
        assert_eq!(reading.await, b"done");
    })
    .unwrap();
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let (mut buffer, mut frames) = (ReadBuffer::new(), 0);
        let expected: Vec<u8> = (0..frame_bytes).map(|index| (index % 251) as u8).collect();
        while reader.read(&mut buffer).await.unwrap() != 0 {
            buffer.want(frame_bytes);
            while frame_bytes <= buffer.unread().len() {
                assert!(buffer.take(frame_bytes) == expected);
                frames += 1;
            }
        }
        assert_eq!(frames, total / frame_bytes);
        let mut queue = WriteQueue::new();
        queue.push(Bytes::from_static(b"done"));
        writer.write_all(&mut queue).await.unwrap();
    });
    sender.join().unwrap();
}

#[test]
fn bytes_arrive_whole_and_in_order() {
    transfer(64 << 20, 65_700);
    transfer(4 << 20, 300);
    transfer(40 << 20, 5 << 20);
}

#[test]
fn a_connection_goes_on_on_another_executor() {
    let (bound, mut client) = bind_and_connect();
    client.write_all(b"first second").unwrap();
    let (detached, unread) = run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (mut reader, writer) = stream.split();
        let mut buffer = ReadBuffer::new();
        while buffer.unread().len() < 12 {
            reader.read(&mut buffer).await.unwrap();
        }
        assert_eq!(buffer.take(5), "first");
        // The socket is watched.
        let more = timeout(Duration::from_millis(1), reader.read(&mut ReadBuffer::new())).await;
        assert!(more.is_err());
        let detached = reader.detach().unwrap();
        // Neither half ends the connection any more.
        writer.shutdown();
        reader.abort();
        (detached, buffer.unread().to_vec())
    });
    client.write_all(b" third").unwrap();
    run(move || async move {
        let (mut reader, mut writer) = detached.attach().split();
        let mut buffer = ReadBuffer::with_unread(unread);
        while buffer.unread().len() < 13 {
            reader.read(&mut buffer).await.unwrap();
        }
        let mut queue = WriteQueue::new();
        queue.push(buffer.take(13));
        writer.write_all(&mut queue).await.unwrap();
    });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b" second third");
}

/// A file of `len` random bytes, as a descriptor to send from.
fn random_file(len: usize) -> (Arc<OwnedFd>, Vec<u8>) {
    let mut bytes = vec![0; len];
    Prng::new(len as u64).fill(&mut bytes);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (Arc::new(file.into()), bytes)
}

/// A listener that nobody has taken yet, and a connection that waits for it.
fn bind_and_connect() -> (BoundListener, TcpStream) {
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let client = TcpStream::connect(bound.local_addr()).unwrap();
    (bound, client)
}

/// All that comes on a connection.
fn received(mut client: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    received
}

#[test]
fn bytes_of_files_go_out_between_those_in_memory() {
    const LEN: usize = 9 << 20;
    let (file, bytes) = random_file(LEN);
    let slice = |position, len| FileSlice::new(Arc::clone(&file), position as u64, len);
    let memory = Bytes::from(bytes.clone());
    let pieces: Vec<Piece> = vec![
        memory.slice(..700).into(),
        Piece::File(slice(700, 5_000_000)),
        Piece::File(slice(5_000_700, 1)),
        memory.slice(5_000_701..5_000_703).into(),
        Piece::File(slice(5_000_703, LEN - 5_000_703)),
    ];
    let (bound, client) = bind_and_connect();
    // It reads late, so that the socket runs full within a file.
    let (begin, may_begin) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        may_begin.recv().unwrap();
        received(client)
    });
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (_reader, mut writer) = stream.split();
        let mut queue = WriteQueue::new();
        queue.extend(pieces);
        assert_eq!(queue.bytes(), LEN);
        let sent = timeout(Duration::from_millis(50), writer.write_all(&mut queue)).await;
        assert!(sent.is_err() && 0 < queue.bytes() && queue.bytes() < LEN);
        begin.send(()).unwrap();
        writer.write_all(&mut queue).await.unwrap();
        writer.shutdown();
    });
    assert!(reading.join().unwrap() == bytes);
}

#[test]
fn bytes_are_sent_in_place_and_let_go_when_the_other_side_has_them() {
    const LEN: usize = 9 << 20;
    let (file, bytes) = random_file(LEN);
    // Memory that says when it is let go.
    struct Owner(Vec<u8>, std::sync::mpsc::Sender<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.send(()).ok();
        }
    }
    let (let_go, was_let_go) = std::sync::mpsc::channel();
    let memory = Bytes::from_owner(Owner(bytes.clone(), let_go));
    let pieces: Vec<Piece> = vec![
        memory.slice(..100).into(),
        memory.slice(100..5_000_000).into(),
        Piece::File(FileSlice::new(file, 5_000_000, 1_000)),
        memory.slice(5_001_000..).into(),
    ];
    drop(memory);
    let (bound, client) = bind_and_connect();
    let reading = std::thread::spawn(move || received(client));
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (_reader, mut writer) = stream.split();
        writer.send_in_place();
        let mut queue = WriteQueue::new();
        queue.extend(pieces);
        writer.write_all(&mut queue).await.unwrap();
        writer.shutdown();
        while was_let_go.try_recv().is_err() {
            yield_now().await;
        }
    });
    assert!(reading.join().unwrap() == bytes);
}

#[test]
fn a_file_that_was_cut_ends_its_connection() {
    let (file, _) = random_file(1_000);
    let (bound, client) = bind_and_connect();
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (_reader, mut writer) = stream.split();
        let mut queue = WriteQueue::new();
        queue.push(Piece::File(FileSlice::new(file, 0, 1_001)));
        let error = writer.write_all(&mut queue).await.unwrap_err();
        assert_eq!((error.kind(), queue.bytes()), (std::io::ErrorKind::UnexpectedEof, 1));
    });
    drop(client);
}

#[test]
fn a_waiting_writer_does_not_keep_others_from_their_turn() {
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    let client = TcpStream::connect(addr).unwrap();
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        let (_reader, mut writer) = stream.split();
        let mut queue = WriteQueue::new();
        queue.push(Bytes::from(vec![1; 64 << 20]));
        let sent = timeout(Duration::from_millis(50), writer.write_all(&mut queue)).await;
        assert!(sent.is_err() && 0 < queue.bytes() && queue.bytes() < 64 << 20);
        writer.abort();
    });
    drop(client);
}

#[test]
fn a_peer_that_resets_is_an_error_of_its_own_connection() {
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    let client = TcpStream::connect(addr).unwrap();
    run(move || async move {
        let (stream, _) = Listener::from_bound(bound).accept().await.unwrap();
        (&client).write_all(b"x").unwrap();
        let client = Socket::from(client);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        sleep(Duration::from_millis(5)).await;
        let (mut reader, mut writer) = stream.split();
        let mut queue = WriteQueue::new();
        queue.push(Bytes::from_static(b"late"));
        assert!(writer.write_all(&mut queue).await.is_err());
        let mut buffer = ReadBuffer::new();
        while let Ok(1..) = reader.read(&mut buffer).await {}
        assert_eq!(buffer.unread(), b"x");
    });
}

#[test]
fn accepting_waits_while_descriptors_are_exhausted() {
    if is_child() {
        exhaust_descriptors();
        return;
    }
    let mut process =
        child("rt::net::accepting_waits_while_descriptors_are_exhausted", &["prlimit", "--nofile=64"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let addr = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
    let mut stream = TcpStream::connect(&addr).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is accepted in the end");
    assert_eq!(lines.find(|line| line.starts_with("spun")), Some("spun: false".to_owned()));
    assert!(process.wait().unwrap().success());
}

/// Accepts one connection, which comes while every descriptor is taken.
fn exhaust_descriptors() {
    run(|| async {
        let mut listener = Listener::from_bound(bind(ANY, 1, 50).unwrap().remove(0));
        let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        println!("\nlistening on {}", listener.local_addr());
        let freed = spawn(async move {
            sleep(Duration::from_millis(500)).await;
            let busy = core_time();
            drop(taken);
            busy
        });
        listener.accept().await.unwrap();
        println!("\nspun: {}", Duration::from_millis(100) < freed.await);
    });
}

#[test]
fn descriptors_do_not_leak() {
    if !is_child() {
        // The count is of the whole process: it has to be alone.
        let output = child("rt::net::descriptors_do_not_leak", &[]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        return;
    }
    let bound = bind(ANY, 1, 50).unwrap().remove(0);
    let addr = bound.local_addr();
    run(move || async move {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut listener = Listener::from_bound(bound);
        let before = open();
        for _ in 0..50 {
            let client = TcpStream::connect(addr).unwrap();
            let (reader, writer) = listener.accept().await.unwrap().0.split();
            drop((client, reader, writer));
            assert!(timeout(Duration::from_micros(100), listener.accept()).await.is_err());
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(open(), before);
    });
}
