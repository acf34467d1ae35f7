//! Threads, the measured part, and the progress line: the same for every kind of load.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::LoadArgs;
use super::cpu;
use super::plan::{ConnectionPlan, plan};
use super::report::Measured;
use super::stats::{Progress, Progressed, Stats};
use crate::cli::CliError;
use crate::cli::client_args::on_executor;
use crate::rt::executor::{self, ExecutorConfig, ExecutorHandle};
use crate::rt::task;

/// How often the main thread looks whether a thread is done.
const POLL: Duration = Duration::from_millis(10);

/// What one connection needs to know of the run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// When load begins.
    pub(super) start: Instant,
    /// When the measured part begins; answers before it are not counted.
    pub(super) measure_from: Instant,
    /// This connection's number among all, from 0.
    pub(super) index: usize,
    /// How many connections there are.
    pub(super) connections: usize,
    pub(super) progress: Arc<Progress>,
}

/// A kind of load.
pub(super) trait Load: Clone + Send + 'static {
    /// What is prepared for each connection before the clock starts.
    type Prepared: 'static;

    /// Connects and encodes what will be sent.
    async fn prepare(&self, plan: ConnectionPlan, index: usize) -> Result<Self::Prepared, CliError>;

    /// Runs one connection's load to its end.
    async fn drive(self: Rc<Self>, prepared: Self::Prepared, run: Run) -> Stats;
}

/// Runs `load` with the arguments' connections and threads.
pub(super) fn run<L: Load>(args: &LoadArgs, load: &L, create: bool) -> Result<Measured, CliError> {
    let plans = {
        let args = args.clone();
        on_executor(async move || plan(&args, create).await)?
    };
    if let Some(pid) = args.broker_pid {
        // A wrong id is told before there is any load.
        cpu::cpu_seconds(pid)?;
    }
    let threads = (args.threads as usize).min(plans.len());
    let connections = plans.len();
    let mut parts: Vec<Vec<(usize, ConnectionPlan)>> = vec![Vec::new(); threads];
    for (index, plan) in plans.into_iter().enumerate() {
        parts[index % threads].push((index, plan));
    }
    let starting = StartLine::new(threads);
    let progress: Vec<Arc<Progress>> = (0..threads).map(|_| Arc::default()).collect();
    let mut handles = Vec::with_capacity(threads);
    for (thread, part) in parts.into_iter().enumerate() {
        let (load, starting) = (load.clone(), Arc::clone(&starting));
        let (warmup, progress) = (args.warmup(), Arc::clone(&progress[thread]));
        let main = move || run_thread(load, part, starting, warmup, progress, connections);
        let config = ExecutorConfig::unpinned(format!("bench-{thread}"));
        handles.push(executor::spawn(config, main).map_err(|error| CliError::failed(error.to_string()))?);
    }
    watch(args, handles, &starting, &progress)
}

/// Where threads wait until all are connected, so that they start together.
#[derive(Debug)]
struct StartLine {
    state: std::sync::Mutex<(usize, Option<Instant>)>,
    changed: std::sync::Condvar,
}

impl StartLine {
    fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { state: std::sync::Mutex::new((threads, None)), changed: std::sync::Condvar::new() })
    }

    /// Called by each thread once it is ready, or has failed; blocks until all are.
    fn wait(&self) -> Instant {
        let mut state = self.state.lock().expect("nobody panics while holding it");
        state.0 -= 1;
        if state.0 == 0 {
            state.1 = Some(Instant::now());
            self.changed.notify_all();
        }
        self.reached(state)
    }

    /// When all were ready; blocks until they are.
    fn started(&self) -> Instant {
        self.reached(self.state.lock().expect("nobody panics while holding it"))
    }

    fn reached(&self, mut state: std::sync::MutexGuard<'_, (usize, Option<Instant>)>) -> Instant {
        loop {
            match state.1 {
                Some(start) => return start,
                None => state = self.changed.wait(state).expect("nobody panics while holding it"),
            }
        }
    }
}

async fn run_thread<L: Load>(
    load: L,
    part: Vec<(usize, ConnectionPlan)>,
    starting: Arc<StartLine>,
    warmup: Duration,
    progress: Arc<Progress>,
    connections: usize,
) -> Result<Stats, CliError> {
    let load = Rc::new(load);
    let mut prepared = Vec::with_capacity(part.len());
    let mut failed = None;
    for (index, plan) in part {
        match load.prepare(plan, index).await {
            Ok(ready) => prepared.push((index, ready)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    // Blocks this thread's executor, which has nothing to do until all threads start.
    let start = starting.wait();
    if let Some(error) = failed {
        return Err(error);
    }
    let tasks: Vec<_> = prepared
        .into_iter()
        .map(|(index, prepared)| {
            let measure_from = start + warmup;
            let run = Run { start, measure_from, index, connections, progress: Arc::clone(&progress) };
            task::spawn(Rc::clone(&load).drive(prepared, run))
        })
        .collect();
    let mut sum = Stats::default();
    for task in tasks {
        sum.merge(&task.await);
    }
    Ok(sum)
}

/// Prints progress until every thread is done, and samples the broker's CPU time around the measured part.
fn watch(
    args: &LoadArgs,
    handles: Vec<ExecutorHandle<Result<Stats, CliError>>>,
    starting: &StartLine,
    progress: &[Arc<Progress>],
) -> Result<Measured, CliError> {
    let start = starting.started();
    let measure_from = start + args.warmup();
    let own_pid = std::process::id();
    // A broker that ends under the load has no CPU time any more; the rest of the report counts all the same.
    let broker_cpu = || args.broker_pid.and_then(|pid| cpu::cpu_seconds(pid).ok());
    let waiter = thread::spawn(move || -> Vec<_> { handles.into_iter().map(ExecutorHandle::join).collect() });
    let mut ticker = Ticker::new(start, args.quiet);
    let mut before = None;
    while !waiter.is_finished() {
        thread::sleep(POLL);
        if before.is_none() && measure_from <= Instant::now() {
            before = Some((broker_cpu(), cpu::cpu_seconds(own_pid)?));
        }
        ticker.maybe_print(progress);
    }
    let after = (broker_cpu(), cpu::cpu_seconds(own_pid)?);
    let before = before.unwrap_or(after);
    let mut stats = Stats::default();
    for joined in waiter.join().expect("joining executors does not panic") {
        stats.merge(&joined.map_err(|error| CliError::failed(error.to_string()))??);
    }
    let until = stats.last_answer.unwrap_or(measure_from);
    Ok(Measured {
        seconds: until.saturating_duration_since(measure_from).as_secs_f64(),
        broker_cpu_seconds: after.0.zip(before.0).map(|(after, before)| after - before),
        broker_resident_bytes: args.broker_pid.and_then(cpu::resident_bytes),
        own_cpu_seconds: after.1 - before.1,
        stats,
    })
}

/// A line each second.
struct Ticker {
    start: Instant,
    next: Instant,
    last: Progressed,
    quiet: bool,
}

impl Ticker {
    const INTERVAL: Duration = Duration::from_secs(1);

    fn new(start: Instant, quiet: bool) -> Self {
        Self { start, next: start + Self::INTERVAL, last: Progressed::default(), quiet }
    }

    fn maybe_print(&mut self, progress: &[Arc<Progress>]) {
        let now = Instant::now();
        if self.quiet || now < self.next {
            return;
        }
        let mut sum = Progressed::default();
        progress.iter().for_each(|thread| thread.add_to(&mut sum));
        let seconds = (now - (self.next - Self::INTERVAL)).as_secs_f64();
        let records = (sum.records - self.last.records) as f64 / seconds;
        let megabytes = (sum.bytes - self.last.bytes) as f64 / seconds / 1e6;
        let slowest = sum.slowest_micros as f64 / 1e3;
        eprintln!(
            "{:6.1} s  {records:12.0} records/s  {megabytes:9.2} MB/s  slowest {slowest:9.2} ms  {} errors",
            (now - self.start).as_secs_f64(),
            sum.errors
        );
        self.last = sum;
        self.next = now + Self::INTERVAL;
    }
}
