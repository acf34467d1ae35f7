//! Executors, tasks and timers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::sync::{Shutdown, oneshot};
use corelog::rt::task::{spawn, spawn_background, yield_if_needed, yield_now};
use corelog::rt::time::{self, monotonic_now, sleep, timeout};

use super::support::{core_time, run};

#[test]
fn a_new_task_waits_for_its_turn() {
    run(|| async {
        let state = Rc::new(RefCell::new(0));
        let borrowed = state.borrow_mut();
        let task = spawn({
            let state = Rc::clone(&state);
            async move { *state.borrow_mut() += 1 }
        });
        drop(borrowed);
        task.await;
        assert_eq!(*state.borrow(), 1);
    });
}

#[test]
fn a_dropped_task_runs_on_and_a_cancelled_one_does_not() {
    run(|| async {
        let (sender, receiver) = oneshot();
        drop(spawn(async move {
            yield_now().await;
            sender.send(5).unwrap();
        }));
        assert_eq!(receiver.await, Ok(5));

        let (sender, receiver) = oneshot::<u8>();
        let task = spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        yield_now().await;
        assert_eq!(task.cancel().await, None);
        assert!(receiver.await.is_err(), "the future was dropped");
    });
}

#[test]
fn a_timeout_ends_a_wait_and_drops_it() {
    run(|| async {
        assert_eq!(timeout(Duration::from_secs(60), async { 7 }).await, Ok(7));
        let waited = timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        assert_eq!(waited, Err(time::Elapsed));
    });
}

#[test]
fn a_busy_task_delays_a_timer_by_milliseconds_not_by_a_tenth_of_a_second() {
    let late = run(|| async {
        let stop = Rc::new(Cell::new(false));
        let busy = spawn({
            let stop = Rc::clone(&stop);
            async move {
                while !stop.get() {
                    let start = monotonic_now();
                    while start.elapsed() < Duration::from_micros(20) {}
                    yield_if_needed().await;
                }
            }
        });
        // In time of this core, so that a busy machine does not count.
        let mut busy_for: Vec<_> = Vec::new();
        for _ in 0..20 {
            let start = core_time();
            sleep(Duration::from_millis(2)).await;
            busy_for.push(core_time() - start);
        }
        stop.set(true);
        busy.await;
        busy_for.sort();
        busy_for[10]
    });
    assert!(late < Duration::from_millis(6), "the median timer of 2 ms took {late:?} of the core");
}

/// Rounds of the foreground and of the background.
type Counts = (Cell<u64>, Cell<u64>);

#[test]
fn background_work_leaves_the_core_to_the_foreground() {
    let (foreground, background) = run(|| async {
        let stop = Rc::new(Cell::new(false));
        let counts = Rc::new((Cell::new(0_u64), Cell::new(0_u64)));
        let work = |count: fn(&Counts) -> &Cell<u64>| {
            let (stop, counts) = (Rc::clone(&stop), Rc::clone(&counts));
            async move {
                while !stop.get() {
                    let start = monotonic_now();
                    while start.elapsed() < Duration::from_micros(50) {}
                    let count = count(&counts);
                    count.set(count.get() + 1);
                    yield_if_needed().await;
                }
            }
        };
        let tasks = [spawn(work(|counts| &counts.0)), spawn_background(work(|counts| &counts.1))];
        sleep(Duration::from_millis(300)).await;
        stop.set(true);
        for task in tasks {
            task.await;
        }
        (counts.0.get(), counts.1.get())
    });
    assert!(0 < background && background * 3 < foreground, "{background} against {foreground}");
}

/// Background work once got a twentieth of the core as soon as the foreground had anything to do, and
/// compaction fell behind producers on cores that were idle for the most part.
#[test]
fn background_work_takes_a_good_part_of_what_the_foreground_leaves() {
    let share = run(|| async {
        let stop = Rc::new(Cell::new(false));
        let worked = Rc::new(Cell::new(Duration::ZERO));
        let foreground = spawn({
            let stop = Rc::clone(&stop);
            async move {
                while !stop.get() {
                    let begin = core_time();
                    while core_time() - begin < Duration::from_micros(200) {}
                    sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let background = spawn_background({
            let (stop, worked) = (Rc::clone(&stop), Rc::clone(&worked));
            async move {
                while !stop.get() {
                    let begin = core_time();
                    while core_time() - begin < Duration::from_micros(50) {}
                    worked.set(worked.get() + (core_time() - begin));
                    yield_if_needed().await;
                }
            }
        });
        let begin = core_time();
        sleep(Duration::from_millis(500)).await;
        let passed = core_time() - begin;
        stop.set(true);
        foreground.await;
        background.await;
        worked.get().as_secs_f64() / passed.as_secs_f64()
    });
    assert!(0.4 < share, "{share} of what the executor worked");
}

#[test]
fn guarded_tasks_end_before_their_executor() {
    let ended = run(|| async {
        let (shutdown, ended) = (Shutdown::new(), Rc::new(Cell::new(0)));
        for _ in 0..100 {
            let (shutdown, guard, ended) = (shutdown.clone(), shutdown.guard(), Rc::clone(&ended));
            spawn(async move {
                shutdown.cancelled().await;
                yield_now().await;
                ended.set(ended.get() + 1);
                drop(guard);
            })
            .detach();
        }
        yield_now().await;
        shutdown.cancel();
        shutdown.drained().await;
        ended.get()
    });
    assert_eq!(ended, 100);
}

#[test]
fn an_executor_pins_to_the_cpu_it_was_given() {
    let cpus = core_affinity::get_core_ids().unwrap();
    let cpu = cpus.last().unwrap().id;
    let handle = executor::spawn(ExecutorConfig::pinned("pinned", cpu), || async {
        assert_eq!(executor::current_name().as_deref(), Some("pinned"));
        core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect::<Vec<_>>()
    });
    assert_eq!(handle.unwrap().join().unwrap(), [cpu]);
}

#[test]
fn an_executor_that_cannot_start_says_so_at_once() {
    let error = executor::spawn(ExecutorConfig::pinned("nowhere", 100_000), || async {}).unwrap_err();
    assert!(error.to_string().starts_with("cannot start the executor nowhere: "), "{error}");
}

#[test]
fn a_panic_is_reported_by_join() {
    let handle = executor::spawn(ExecutorConfig::unpinned("broken"), || async { panic!("on purpose") });
    let error = handle.unwrap().join().unwrap_err();
    assert_eq!(error.to_string(), "the executor broken panicked: on purpose");
}

/// Tasks that come back together after their yields once ran one behind the other, each for as long as it
/// liked, before the executor looked at its timers again.
#[test]
fn many_tasks_that_yield_together_share_one_slice() {
    const WORK: Duration = Duration::from_millis(4);
    const TASKS: usize = 30;
    let longest = run(|| async {
        let left = Rc::new(Cell::new(TASKS));
        for _ in 0..TASKS {
            let left = Rc::clone(&left);
            spawn(async move {
                sleep(Duration::from_millis(1)).await;
                yield_if_needed().await;
                let begin = core_time();
                while core_time() - begin < WORK {}
                left.set(left.get() - 1);
            })
            .detach();
        }
        let mut longest = Duration::ZERO;
        while 0 < left.get() {
            // What other processes take of the core does not count.
            let begin = core_time();
            sleep(Duration::from_micros(100)).await;
            longest = longest.max(core_time() - begin);
        }
        longest
    });
    assert!(longest < WORK * TASKS as u32 / 3, "a timer was {longest:?} late");
}

/// A task that uses up every slice must not keep another from its turn for ever.
#[test]
fn turns_come_in_order_beside_a_task_that_always_works() {
    run(|| async {
        let stop = Rc::new(Cell::new(false));
        for _ in 0..2 {
            let stop = Rc::clone(&stop);
            spawn(async move {
                while !stop.get() {
                    yield_if_needed().await;
                    let begin = core_time();
                    while core_time() - begin < Duration::from_micros(700) {}
                    yield_now().await;
                }
            })
            .detach();
        }
        for _ in 0..100 {
            yield_if_needed().await;
            let begin = core_time();
            while core_time() - begin < Duration::from_micros(600) {}
        }
        stop.set(true);
    });
}
