//! The CPUs that run a shard each.

use std::collections::BTreeSet;

/// Highest CPU number that is accepted, so that a slip like `0-30000000` is an error and not a wait.
const CPU_MAX: usize = 4_095;

/// The value of `corelog.cpus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuList {
    /// Every CPU of the process's affinity mask.
    All,
    /// These CPUs, ascending, at least one.
    Listed(Vec<usize>),
}

impl CpuList {
    /// Reads `all`, or numbers and ranges such as `0-3,6`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = parse_range(part.trim())?;
            cpus.extend(first..=last);
        }
        Ok(Self::Listed(cpus.into_iter().collect()))
    }
}

fn parse_range(part: &str) -> Result<(usize, usize), String> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&cpu| cpu <= CPU_MAX);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("'{part}' is no CPU or range of CPUs; expected 'all' or a list such as 0-3,6")),
    }
}

#[cfg(test)]
mod tests {
    use super::CpuList;

    #[test]
    fn lists_and_ranges_are_read() {
        let cases: [(&str, &[usize]); 4] =
            [("0", &[0]), ("0-3,6", &[0, 1, 2, 3, 6]), (" 5, 1 - 2 ,1", &[1, 2, 5]), ("7-7", &[7])];
        for (text, expected) in cases {
            assert_eq!(CpuList::parse(text), Ok(CpuList::Listed(expected.to_vec())), "{text}");
        }
        assert_eq!(CpuList::parse("ALL"), Ok(CpuList::All));
        for bad in ["", "a", "3-1", "-1", "0-", "1,,2", "0-30000000"] {
            assert!(CpuList::parse(bad).is_err(), "{bad}");
        }
    }
}
