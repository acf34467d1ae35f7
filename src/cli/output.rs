//! Standard output, whose reader may go away.

use std::io::{self, Write};

use super::CliError;

/// Writes to standard output; a reader that had enough, such as `head`, is no failure.
pub(super) fn print_text(text: &str) -> Result<(), CliError> {
    written(io::stdout().write_all(text.as_bytes())).map(drop)
}

/// Whether there is still a reader after a write.
pub(super) fn written(result: io::Result<()>) -> Result<bool, CliError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::failed(format!("standard output: {error}"))),
    }
}
