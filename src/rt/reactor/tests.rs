//! The driver beside glommio: whichever of the two sleeps, everything wakes the tasks.

#![expect(unsafe_code, reason = "a write is told its bytes by address")]

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Completion, Direction, Source, bell, current, slept, sync_data, through_glommio, write};
use crate::disk::WriteSync;
use crate::rt::executor::{self, ExecutorConfig};
use crate::rt::mesh::outside;
use crate::rt::net::{Listener, ReadBuffer, bind};
use crate::rt::task::{SLICE, spawn, yield_if_needed, yield_now};
use crate::rt::time::{self, sleep};

const LONG: Duration = Duration::from_secs(600);

fn run<Fut: Future<Output = T> + 'static, T: Send + 'static>(
    main: impl FnOnce() -> Fut + Send + 'static,
) -> T {
    executor::spawn(ExecutorConfig::unpinned("test"), main).unwrap().join().unwrap()
}

/// Runs `main` while the driver sleeps, and beside a call of glommio's that takes as long, so that
/// glommio does.
fn run_whoever_sleeps<Fut: Future<Output = ()> + 'static>(main: fn() -> Fut) {
    run(main);
    run(move || async move {
        spawn(through_glommio(glommio::timer::sleep(LONG))).detach();
        main().await;
    });
}

#[test]
fn timers_fire_whoever_sleeps() {
    run_whoever_sleeps(|| async {
        let long = spawn(sleep(LONG));
        let begin = Instant::now();
        for _ in 0..20 {
            // Each is the first of all timers anew.
            sleep(Duration::from_millis(1)).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        assert!(long.cancel().await.is_none());
    });
}

#[test]
fn threads_and_sockets_wake_the_executor_whoever_sleeps() {
    run_whoever_sleeps(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = crate::rt::net::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let (mut reader, _writer) = stream.split();
        let (from_thread, inbox) = outside();
        let writer = thread::spawn(move || {
            for number in 0..100_u32 {
                peer.write_all(&[1]).unwrap();
                from_thread.post(number);
                // Now and then the executor has time to fall asleep.
                if number % 10 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        let mut buffer = ReadBuffer::new();
        for number in 0..100 {
            assert_eq!(inbox.recv().await, number);
            while buffer.unread().is_empty() {
                assert_ne!(reader.read(&mut buffer).await.unwrap(), 0);
            }
            buffer.skip(1);
        }
        writer.join().unwrap();
    });
}

#[test]
fn an_idle_executor_sleeps_in_the_driver() {
    let (slept, passed) = run(|| async {
        let (slept_before, begin) = (slept(), Instant::now());
        sleep(Duration::from_millis(200)).await;
        (slept() - slept_before, begin.elapsed())
    });
    // Whatever else the machine does, the executor has nothing to do.
    assert!(Duration::from_millis(100) < slept && slept <= passed, "{slept:?} of {passed:?}");
}

#[test]
fn a_stream_that_has_ended_says_so_after_its_last_bytes() {
    let listener = bind("127.0.0.1:0".parse().unwrap(), 1, 16).unwrap().pop().unwrap();
    let address = listener.local_addr();
    let writer = thread::spawn(move || {
        for _ in 0..50 {
            TcpStream::connect(address).unwrap().write_all(b"end").unwrap();
        }
    });
    run(move || async move {
        let mut listener = Listener::from_bound(listener);
        for round in 0..50 {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut reader, _writer) = stream.split();
            let mut buffer = ReadBuffer::new();
            if round % 2 == 0 {
                // The end has come before the first read.
                sleep(Duration::from_millis(1)).await;
            }
            while reader.read(&mut buffer).await.unwrap() != 0 {}
            assert_eq!(buffer.unread(), b"end");
        }
    });
    writer.join().unwrap();
}

/// Memory that says when it is dropped.
struct Memory(Vec<u8>, Rc<Cell<bool>>);

impl Drop for Memory {
    fn drop(&mut self) {
        self.1.set(true);
    }
}

fn begin_write(file: &File, byte: u8, pieces_of: usize, dropped: &Rc<Cell<bool>>) -> Completion {
    let mut memory = Memory(vec![byte; 1 << 20], Rc::clone(dropped));
    let vector = |bytes: &mut [u8]| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let vectors = memory.0.chunks_mut(pieces_of).map(vector).collect();
    // SAFETY: nobody touches the bytes, which lie on the heap, until they are dropped.
    unsafe { write(file.as_fd(), vectors, memory, 0, WriteSync::Data) }
}

#[test]
fn a_write_keeps_its_memory_also_when_nobody_waits_and_the_executor_outlives_it() {
    let file = tempfile::tempfile().unwrap();
    let copy = file.try_clone().unwrap();
    run(move || async move {
        let dropped = Rc::new(Cell::new(false));
        assert_eq!(begin_write(&copy, 1, 1 << 20, &dropped).await.unwrap(), 1 << 20);
        assert!(dropped.get());
        sync_data(copy.as_fd()).await.unwrap();

        let dropped = Rc::new(Cell::new(false));
        drop(begin_write(&copy, 2, 1 << 14, &dropped));
        // The descriptor goes before the write is done.
        drop(copy);
        while !dropped.get() {
            yield_now().await;
        }
    });
    let copy = file.try_clone().unwrap();
    run(move || async move {
        drop(begin_write(&copy, 3, 1 << 18, &Rc::default()));
    });
    let mut contents = Vec::new();
    std::io::Seek::rewind(&mut &file).unwrap();
    std::io::Read::read_to_end(&mut &file, &mut contents).unwrap();
    assert!(contents == vec![3; 1 << 20], "the executor ended before its last write");
}

#[test]
fn a_failed_write_says_why() {
    let file = File::open("/proc/self/exe").unwrap();
    let error = run(move || async move { begin_write(&file, 1, 1 << 20, &Rc::default()).await.unwrap_err() });
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}

/// A bell that rings in every round once kept the driver in the run queue, and glommio from its rings.
#[test]
fn calls_of_glommio_end_beside_a_bell_that_always_rings() {
    run(|| async {
        let stop = Rc::new(Cell::new(false));
        let ringing = {
            let (bell, stop) = (bell(), Rc::clone(&stop));
            spawn(async move {
                while !stop.get() {
                    bell.ring();
                    yield_now().await;
                }
            })
        };
        for _ in 0..20 {
            through_glommio(glommio::timer::sleep(Duration::from_micros(100))).await;
        }
        stop.set(true);
        ringing.await;
    });
}

/// A task that waited for glommio's look when the last call of glommio's ended was forgotten.
#[test]
fn tasks_that_yield_go_on_when_the_last_call_of_glommio_ends() {
    run(|| async {
        let left = Rc::new(Cell::new(8));
        for task in 0..8_u64 {
            let left = Rc::clone(&left);
            spawn(async move {
                for round in 0..50 {
                    if task == 0 {
                        through_glommio(glommio::timer::sleep(Duration::from_micros(10 * round))).await;
                    }
                    let begin = Instant::now();
                    while begin.elapsed() < SLICE {}
                    yield_if_needed().await;
                }
                left.set(left.get() - 1);
            })
            .detach();
        }
        while 0 < left.get() {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

/// More events than the ring has room for, of which none may get lost.
#[test]
fn events_beyond_the_ring_are_asked_for() {
    const SOCKETS: usize = 400;
    const ROUNDS: usize = 4;
    run(|| async {
        let mut peers = Vec::new();
        let woken = Rc::new(Cell::new(0));
        for _ in 0..SOCKETS {
            let (ours, peer) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let source = Source::new(ours.into());
            source.would_block(Direction::Read);
            let woken = Rc::clone(&woken);
            spawn(async move {
                for _ in 0..ROUNDS {
                    source.ready(Direction::Read).await;
                    source.would_block(Direction::Read);
                    woken.set(woken.get() + 1);
                }
            })
            .detach();
            peers.push(peer);
        }
        yield_now().await;
        for round in 1..=ROUNDS {
            // Each write is an event, and there is no look in between.
            for _ in 0..15 {
                for peer in &mut peers {
                    peer.write_all(&[1]).unwrap();
                }
            }
            // Busy: sleep would have the kernel bring them.
            while woken.get() < round * SOCKETS {
                yield_now().await;
            }
        }
    });
}

/// Cancelling the watch of a socket must not fail for an event that is on its way.
#[test]
fn sockets_are_closed_whatever_comes_meanwhile() {
    const ROUNDS: usize = 300;
    let bound = bind("127.0.0.1:0".parse().unwrap(), 1, 16).unwrap().pop().unwrap();
    let address = bound.local_addr();
    let peers = thread::spawn(move || {
        for _ in 0..ROUNDS {
            let mut peer = TcpStream::connect(address).unwrap();
            // Ends only when the other side closes, whose watch this wakes at that moment.
            while peer.write(&[1; 1000]).is_ok() {}
        }
    });
    run(move || async move {
        let mut listener = Listener::from_bound(bound);
        for _ in 0..ROUNDS {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut reader, _writer) = stream.split();
            let mut buffer = ReadBuffer::new();
            while buffer.unread().len() < 20_000 {
                assert_ne!(reader.read(&mut buffer).await.unwrap(), 0);
            }
        }
        // Those of the listener and of the bell stay.
        while 2 < current().ring.watched() {
            yield_now().await;
        }
    });
    peers.join().unwrap();
}

#[test]
fn a_busy_executor_looks_at_its_timers_and_threads() {
    run(|| async {
        let (from_thread, inbox) = outside();
        let stop = Rc::new(Cell::new(false));
        for _ in 0..4 {
            let stop = Rc::clone(&stop);
            spawn(async move {
                while !stop.get() {
                    yield_now().await;
                }
            })
            .detach();
        }
        let posting = thread::spawn(move || from_thread.post(()));
        inbox.recv().await;
        posting.join().unwrap();
        time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.unwrap_err();
        stop.set(true);
    });
}
