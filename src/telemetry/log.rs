//! Log lines on stderr: time, level, target, message, then `key=value` fields.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// What every filter starts with: glommio logs the outcome of a probe that we make fail on purpose as
/// an error, and the rest of it is for its developers.
const LIBRARIES: &str = "glommio=error,glommio::reactor=off";

/// A filter that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log filter {filter:?}: {reason}; an example is `info` or `info,corelog::log=debug`")]
pub struct FilterError {
    /// The filter as given.
    pub filter: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Starts logging with the filter of RUST_LOG, or else `default`. Later calls change nothing.
pub fn init(default: &str) -> Result<(), FilterError> {
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = parse(filter.as_deref().unwrap_or(default))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .finish();
    use tracing_subscriber::util::SubscriberInitExt;
    subscriber.try_init().ok();
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(format!("{LIBRARIES},{filter}"))
        .map_err(|error| FilterError { filter: filter.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_filter_is_a_level_or_a_list() {
        for filter in ["info", "warn,corelog::log=debug", ""] {
            parse(filter).unwrap();
        }
        let error = parse("corelog=loud").unwrap_err();
        assert!(error.to_string().contains("corelog=loud"), "{error}");
    }
}
