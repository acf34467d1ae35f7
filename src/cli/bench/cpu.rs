//! CPU time and memory of processes, from `/proc`.

use std::fs;

use crate::cli::CliError;

/// CPU seconds that a process has used so far, all its threads together, the ended ones too.
/// The kernel counts in ticks of 10 ms.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64, CliError> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path)
        .map_err(|error| CliError::failed(format!("--broker-pid {pid}: cannot read {path}: {error}")))?;
    let ticks = parse_ticks(&text)
        .ok_or_else(|| CliError::failed(format!("{path}: utime and stime are not where expected: {text}")))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident bytes of a process; `None` when it is gone.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// `utime + stime`, the 14th and 15th field. The second field is the program's name in parentheses and may
/// itself hold blanks and parentheses.
fn parse_ticks(stat: &str) -> Option<u64> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 5";
        assert_eq!(parse_ticks(stat), Some(175));
        assert_eq!(parse_ticks("12 (a) S 1"), None);
        assert!(cpu_seconds(std::process::id()).is_ok());
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| 0 < bytes));
    }
}
