//! The mesh between executors and the way in from outside.

use std::time::Duration;

use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::mesh::{MeshBuilder, outside};
use corelog::rt::task::{spawn, yield_now};
use corelog::rt::time::sleep;

use super::support::run;

/// Runs one executor per place of a mesh.
fn on_mesh<M, Fut, T>(
    executors: usize,
    main: impl Fn(corelog::rt::mesh::Mesh<M>) -> Fut + Copy + Send + 'static,
) -> Vec<T>
where
    M: Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let builder = MeshBuilder::<M>::new(executors);
    let handles: Vec<_> = (0..executors)
        .map(|index| {
            let builder = builder.clone();
            executor::spawn(ExecutorConfig::unpinned(format!("mesh-{index}")), move || async move {
                main(builder.join(index).await).await
            })
            .unwrap()
        })
        .collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[test]
fn every_pair_is_in_order_however_fast_the_poster() {
    const MESSAGES: usize = 20_000;
    let received = on_mesh::<usize, _, _>(3, |mesh| async move {
        for message in 0..MESSAGES {
            for peer in (0..mesh.executors()).filter(|peer| *peer != mesh.index()) {
                mesh.post(peer, message);
            }
            if message % 1_000 == 0 {
                yield_now().await;
            }
        }
        let mut next = vec![0; mesh.executors()];
        let mut hops = 0;
        while next.iter().sum::<usize>() < 2 * MESSAGES {
            let (from, messages) = mesh.incoming().await;
            hops += 1;
            for message in messages {
                assert_eq!(message, next[from]);
                next[from] += 1;
            }
        }
        // Ours are delivered even though we end: the peers wait for them.
        while (0..mesh.executors()).any(|peer| mesh.queued(peer) != 0) {
            yield_now().await;
        }
        hops
    });
    assert!(received.iter().all(|hops| *hops < MESSAGES), "many messages per hop: {received:?}");
}

#[test]
fn a_slow_reader_never_blocks_the_poster() {
    on_mesh::<Vec<u8>, _, _>(2, |mesh| async move {
        if mesh.index() == 0 {
            for _ in 0..1_000 {
                mesh.post(1, vec![0; 10]);
                yield_now().await;
            }
            let (_, answer) = mesh.incoming().await;
            assert_eq!(answer, [b"done"]);
        } else {
            sleep(Duration::from_millis(50)).await;
            let mut count = 0;
            while count < 1_000 {
                count += mesh.incoming().await.1.len();
            }
            mesh.post(0, b"done".to_vec());
            sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn posting_to_an_executor_that_has_ended_is_no_panic() {
    on_mesh::<u8, _, _>(2, |mesh| async move {
        if mesh.index() == 0 {
            for _ in 0..300 {
                mesh.post(1, 1);
                sleep(Duration::from_micros(100)).await;
            }
        }
    });
}

#[test]
fn an_idle_peer_costs_no_wakers() {
    // With glommio's channels polled from one task, this panics at 32,768 rounds.
    const ROUNDS: u32 = 40_000;
    on_mesh::<u32, _, _>(3, |mesh| async move {
        match mesh.index() {
            0 => {
                for round in 0..ROUNDS {
                    mesh.post(1, round);
                    yield_now().await;
                }
                mesh.post(2, 0);
                mesh.incoming().await;
            }
            1 => {
                let mut next = 0;
                while next < ROUNDS {
                    next += mesh.incoming().await.1.len() as u32;
                }
                mesh.post(0, 0);
                sleep(Duration::from_millis(20)).await;
            }
            _ => drop(mesh.incoming().await),
        }
    });
}

#[test]
fn plain_threads_reach_an_executor_that_sleeps() {
    let (outside, inbox) = outside::<u32>();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let outside = outside.clone();
            std::thread::spawn(move || {
                for message in 0..100 {
                    outside.post(thread * 100 + message);
                    if message % 10 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    let mut received = run(move || async move {
        let mut received = Vec::new();
        while received.len() < 400 {
            received.push(inbox.recv().await);
        }
        received
    });
    received.sort_unstable();
    assert_eq!(received, (0..400).collect::<Vec<_>>());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    outside.post(0);
}

#[test]
fn a_task_per_wait_carries_any_number_of_waiters() {
    run(|| async {
        let notify = std::rc::Rc::new(corelog::rt::sync::Notify::new());
        let tasks: Vec<_> = (0..40_000)
            .map(|_| {
                let notify = std::rc::Rc::clone(&notify);
                spawn(async move { notify.wait().await })
            })
            .collect();
        while notify.waiting() < 40_000 {
            yield_now().await;
        }
        notify.notify_all();
        for task in tasks {
            task.await;
        }
    });
}
