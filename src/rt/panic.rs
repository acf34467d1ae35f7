//! A panic anywhere ends the process.
//!
//! Hidden trap: a panic in a task unwinds its executor's thread and leaves the other shards running, a
//! broker that answers for half of its partitions. The hook runs before anything unwinds.

#![expect(unsafe_code, reason = "leaving the process without running exit handlers beside live threads")]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::executor;

/// The exit code of a process that panicked.
pub const EXIT_CODE: i32 = 101;

/// Makes every panic of this process print who, what and where, and end the process with [`EXIT_CODE`].
pub fn install() {
    panic::set_hook(Box::new(|info| {
        report(info);
        // SAFETY: the call does not return and touches no memory.
        unsafe { libc::_exit(EXIT_CODE) }
    }));
}

fn report(info: &PanicHookInfo<'_>) {
    let who = executor::current_name()
        .or_else(|| thread::current().name().map(str::to_owned))
        .unwrap_or_else(|| "an unnamed thread".to_owned());
    let payload = info.payload();
    let what = match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(what), _) => what,
        (None, Some(what)) => *what,
        (None, None) => "no message",
    };
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let mut stderr = std::io::stderr().lock();
    // Nothing can be done about a stderr that is gone.
    writeln!(stderr, "corelog: panic in {who} at {location}: {what}").ok();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        writeln!(stderr, "{backtrace}").ok();
    }
}
