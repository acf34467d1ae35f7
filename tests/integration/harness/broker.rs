//! A broker process of the test's own, on a temporary directory and a free port.
//!
//! `CORELOG_TEST_PROGRAM` names another program to start instead of ours, with the same arguments: a wrapper
//! around Apache Kafka shows whether a test asks for more than Kafka's behaviour. A broker that accepts
//! connections prints a line with `listener=NAME address=HOST:PORT`.

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::wire::Wire;
use super::{PATIENCE, eventually};

/// Names the program to start instead of ours.
const STAND_IN: &str = "CORELOG_TEST_PROGRAM";

/// Lines of the broker's output that a failed test prints.
const LOG_LINES_SHOWN: usize = 60;

/// How to start a broker; [`Broker`] is one that runs.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Command words before the program, such as `prlimit --nofile=64`.
    wrapper: Vec<String>,
    /// Further words after `start`.
    arguments: Vec<String>,
    overrides: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    log: PathBuf,
}

impl Launch {
    /// A broker that keeps its data in `data` and its output in `log`, on a free port.
    pub(crate) fn new(data: &Path, log: &Path) -> Self {
        let launch = Self {
            wrapper: vec![],
            arguments: vec![],
            overrides: vec![],
            environment: vec![],
            log: log.to_owned(),
        };
        launch
            .with("log.dirs", data.to_str().expect("a temporary directory is UTF-8"))
            .with("listeners", "PLAINTEXT://127.0.0.1:0")
            // Every librdkafka consumer asks for its coordinator, which creates the topic.
            .with("offsets.topic.num.partitions", "4")
    }

    /// Sets a configuration key; a later value wins.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.overrides.retain(|(known, _)| known != key);
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds words after `start`.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&word| word.to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts through another program, which must `exec` the rest of its arguments.
    pub(crate) fn through(mut self, wrapper: &[String]) -> Self {
        self.wrapper = wrapper.to_owned();
        self
    }

    /// Starts the process and does not wait for anything.
    pub(crate) fn spawn(&self) -> Child {
        let program = env::var(STAND_IN).unwrap_or_else(|_| env!("CARGO_BIN_EXE_corelog").to_owned());
        let mut words = self.wrapper.clone();
        words.extend([program, "start".to_owned()]);
        words.extend(self.arguments.iter().cloned());
        for (key, value) in &self.overrides {
            words.extend(["--override".to_owned(), format!("{key}={value}")]);
        }
        let output = File::create(&self.log).expect("the log file is created");
        Command::new(&words[0])
            .args(&words[1..])
            .envs(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle of the log file"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", words[0]))
    }

    /// Starts the process, which must fail by itself, and returns its exit code and its output.
    pub(crate) fn fails(&self) -> (Option<i32>, String) {
        let mut process = self.spawn();
        let status = wait(&mut process, PATIENCE);
        let output = fs::read_to_string(&self.log).unwrap_or_default();
        let status = status.unwrap_or_else(|| {
            _ = process.kill();
            _ = process.wait();
            panic!("the broker started, but should have refused to:\n{output}")
        });
        assert!(!status.success(), "the broker refused with exit code 0:\n{output}");
        (status.code(), output)
    }
}

/// Waits for the end of a process.
fn wait(process: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("the process is a child of ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A running broker. Dropping it kills it; a test that fails prints the end of its output.
pub(crate) struct Broker {
    launch: Launch,
    directory: TempDir,
    process: Option<Child>,
    address: SocketAddr,
    starts: usize,
}

impl Broker {
    /// Starts a broker with this many shards on a fresh directory and waits until it answers.
    pub(crate) fn start(shards: usize, overrides: &[(&str, &str)]) -> Self {
        Self::start_with(shards, |launch| {
            overrides.iter().fold(launch, |launch, (key, value)| launch.with(key, value))
        })
    }

    /// The same, with every freedom in how it is started.
    pub(crate) fn start_with(shards: usize, prepare: impl FnOnce(Launch) -> Launch) -> Self {
        let directory = temporary_directory();
        let launch = Launch::new(&directory.path().join("data"), &directory.path().join("start-0.log"))
            .with("corelog.shards", &shards.to_string());
        let launch = prepare(launch);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker = Self { launch, directory, process: None, address, starts: 0 };
        broker.restart();
        broker
    }

    /// `host:port` of the listener.
    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory given as `log.dirs`.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The directory of the test, which outlives restarts; the data is within.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Everything the last process printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.launch.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().expect("the broker runs"))
    }

    /// The processor time that the process has taken, in steps of a clock tick.
    pub(crate) fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = fs::read_to_string(path).expect("the broker runs");
        // The second field is the name in parentheses; utime and stime are the 14th and 15th, see proc(5).
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 1_000 / rustix::param::clock_ticks_per_second())
    }

    /// Memory of the process that is resident now.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.status_bytes("VmRSS:")
    }

    /// The most that was resident at a time since the process began.
    pub(crate) fn resident_bytes_max(&self) -> usize {
        self.status_bytes("VmHWM:")
    }

    /// A size from `/proc/PID/status`, see proc(5).
    fn status_bytes(&self, field: &str) -> usize {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(path).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of Linux");
        let kib = line.split_whitespace().next().expect("a number in kB");
        kib.parse::<usize>().expect("a number in kB") << 10
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        let descriptors = fs::read_dir(path).expect("the broker runs").filter_map(Result::ok);
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.try_signal(signal).expect("the broker runs");
    }

    /// Fails when the process is gone.
    pub(crate) fn try_signal(&self, signal: Signal) -> rustix::io::Result<()> {
        kill_process(self.pid(), signal)
    }

    /// Stops all threads of the process where they are, and returns when they stand still.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // The report stays: the end of the process is for those who wait for it.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()), options).expect("the process is a child of ours");
        assert!(status.is_some_and(|status| status.stopped()), "the broker ended:\n{}", self.output());
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the process as `kill -9` does and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            _ = process.kill();
            process.wait().expect("the process is a child of ours");
        }
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("the broker runs");
        wait(&mut process, limit).unwrap_or_else(|| {
            self.process = Some(process);
            panic!("the broker did not stop within {limit:?}")
        })
    }

    /// Stops the broker in an orderly way, which must end with exit code 0.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(PATIENCE);
        // A stand-in for our broker ends as it likes.
        assert!(
            status.success() || env::var_os(STAND_IN).is_some(),
            "{status} after SIGTERM:\n{}",
            self.output()
        );
    }

    /// Starts the process again on the same directory and port and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.restart_with(|launch| launch);
    }

    /// The same, after a change of how it is started.
    pub(crate) fn restart_with(&mut self, change: impl FnOnce(Launch) -> Launch) {
        assert!(self.process.is_none(), "the broker runs already");
        self.launch.log = self.directory.path().join(format!("start-{}.log", self.starts));
        self.launch = change(self.launch.clone());
        self.starts += 1;
        self.process = Some(self.launch.spawn());
        self.address = eventually("the broker listens", PATIENCE, || self.listening());
        self.launch = self.launch.clone().with("listeners", &format!("PLAINTEXT://{}", self.address));
        eventually("the broker answers", PATIENCE, || Wire::connect(self.address).api_versions().ok());
    }

    /// The address in the broker's output, once it is there.
    fn listening(&mut self) -> Option<SocketAddr> {
        let process = self.process.as_mut().expect("the broker was started");
        if let Some(status) = process.try_wait().expect("the process is a child of ours") {
            panic!("the broker ended at start with {status}:\n{}", self.output());
        }
        let address = self.address_of("PLAINTEXT")?;
        TcpStream::connect(address).ok().map(|_| address)
    }

    /// The address that the broker printed for a listener.
    pub(crate) fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        let output = self.output();
        let rest = output.split(&format!("listener={listener} address=")).nth(1)?;
        let (line, _) = rest.split_once('\n')?;
        Some(line.split_whitespace().next()?.trim_matches('"').parse().expect("an address"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("--- last lines of the broker (start {})\n{}\n---", self.starts, shown.join("\n"));
        }
    }
}

/// A directory on the file system of the build, which is a real one where `/tmp` may not be.
pub(crate) fn temporary_directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}
