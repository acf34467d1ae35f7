//! SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once.

use std::fmt;
use std::io::{self, Write};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A signal that asks the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM, from a supervisor.
    Terminate,
    /// SIGINT, from a keyboard.
    Interrupt,
}

impl StopSignal {
    fn from_number(number: i32) -> Self {
        if number == SIGINT { Self::Interrupt } else { Self::Terminate }
    }

    /// The exit code of a process that the signal ended: 128 and its number.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Terminate => 128 + SIGTERM,
            Self::Interrupt => 128 + SIGINT,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Calls `on_first` on a thread of its own when the first signal comes; the second exits with
/// [`StopSignal::exit_code`] and without any clean-up.
pub fn watch(on_first: impl FnOnce(StopSignal) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let mut on_first = Some(on_first);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for number in signals.forever() {
            let signal = StopSignal::from_number(number);
            match on_first.take() {
                Some(on_first) => on_first(signal),
                None => {
                    writeln!(io::stderr(), "corelog: second {signal}, leaving without a clean shutdown").ok();
                    std::process::exit(signal.exit_code());
                }
            }
        }
    })?;
    Ok(())
}
