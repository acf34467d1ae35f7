//! What the process needs of its host, and how it ends. Each case is a process of its own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::host::{HostError, check, cpus, lock_dir};
use corelog::rt::mesh::outside;
use corelog::rt::{panic, signals, task};

use super::support::{child, is_child, text};

#[test]
fn too_little_locked_memory_is_one_clear_line() {
    if is_child() {
        println!("{}", check().unwrap_err());
        return;
    }
    let output =
        child("rt::host::too_little_locked_memory_is_one_clear_line", &["prlimit", "--memlock=65536:65536"])
            .output()
            .unwrap();
    let text = text(&output);
    assert!(
        text.contains("the limit on locked memory is 65536 bytes, at least 524288 are needed: set"),
        "{text}"
    );
}

#[test]
fn limits_are_raised_as_far_as_they_go() {
    if is_child() {
        let report = check().unwrap();
        println!("open files {} warnings {:?}", report.open_files, report.warnings);
        return;
    }
    let limits = ["prlimit", "--nofile=256:1500", "--memlock=65536:8388608"];
    let output = child("rt::host::limits_are_raised_as_far_as_they_go", &limits).output().unwrap();
    let text = text(&output);
    assert!(
        text.contains("open files 1500 warnings [\"the limit on open files is 1500, 100000 or more"),
        "{text}"
    );
}

#[test]
fn a_forbidden_io_uring_is_one_clear_line() {
    if is_child() {
        forbid_io_uring(std::env::var("ERRNO").unwrap().parse().unwrap());
        println!("{}", check().unwrap_err());
        return;
    }
    for (errno, expected) in
        [(libc::EPERM, "a security policy forbids"), (libc::ENOSYS, "the kernel does not know")]
    {
        let mut command = child("rt::host::a_forbidden_io_uring_is_one_clear_line", &[]);
        let text = text(&command.env("ERRNO", errno.to_string()).output().unwrap());
        assert!(text.contains("io_uring is not available: ") && text.contains(expected), "{text}");
    }
}

/// What a container's seccomp profile does.
#[expect(unsafe_code, reason = "a seccomp filter has no safe wrapper")]
fn forbid_io_uring(errno: u32) {
    let filter = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut program = [
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_io_uring_setup as u32),
        filter(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        filter(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives through both calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

#[test]
fn the_cpus_are_those_of_the_affinity_mask() {
    if is_child() {
        println!("cpus {:?}", cpus().unwrap());
        return;
    }
    let all = cpus().unwrap();
    assert!(all.is_sorted() && !all.is_empty());
    let last = all.last().unwrap().to_string();
    let output =
        child("rt::host::the_cpus_are_those_of_the_affinity_mask", &["taskset", "-c", &last]).output();
    let text = text(&output.unwrap());
    assert!(text.contains(&format!("cpus [{last}]")), "{text}");
}

#[test]
fn a_log_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock_dir(dir.path()).unwrap();
    let error = lock_dir(dir.path()).unwrap_err();
    assert!(matches!(error, HostError::DirLocked { .. }), "{error}");
    drop(held);
    lock_dir(dir.path()).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = lock_dir(&dir.path().join("file")).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the log directory "), "{error}");
}

#[test]
fn a_panic_on_any_executor_ends_the_process() {
    if is_child() {
        panic::install();
        let sleeper = executor::spawn(ExecutorConfig::unpinned("healthy"), std::future::pending::<()>);
        executor::spawn(ExecutorConfig::unpinned("shard-1"), || async {
            task::spawn(async { panic!("on purpose: {}", 7) }).await;
        })
        .unwrap()
        .join()
        .ok();
        sleeper.unwrap().join().ok();
        return;
    }
    let output = child("rt::host::a_panic_on_any_executor_ends_the_process", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(panic::EXIT_CODE));
    let text = text(&output);
    assert!(text.contains("corelog: panic in shard-1 at tests/rt/host.rs:"), "{text}");
    assert!(text.contains("on purpose: 7"), "{text}");
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    const NAME: &str = "rt::host::the_first_signal_asks_and_the_second_ends";
    if is_child() {
        let (stop, inbox) = outside();
        signals::watch(move |signal| stop.post(signal)).unwrap();
        println!("ready");
        executor::spawn(ExecutorConfig::unpinned("test"), move || async move {
            println!("asked by {}", inbox.recv().await);
            if std::env::var_os("STUCK").is_some() {
                std::future::pending::<()>().await;
            }
        })
        .unwrap()
        .join()
        .unwrap();
        return;
    }
    for (signal, stuck, code) in [("TERM", false, 0), ("TERM", true, 143), ("INT", true, 130)] {
        let mut command = child(NAME, &[]);
        if stuck {
            command.env("STUCK", "1");
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut send = |after: &str| {
            lines.find(|line| line.ends_with(after)).unwrap();
            let pid = process.id().to_string();
            std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        };
        send("ready");
        if stuck {
            send(&format!("asked by SIG{signal}"));
        }
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(process.wait().unwrap().code(), Some(code));
    }
}
