//! Asking for io_uring before glommio does, which panics when there is none.

#![expect(unsafe_code, reason = "io_uring_setup has no safe wrapper")]

use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};

use super::HostError;

/// The oldest kernel that is tested.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// The size of `struct io_uring_params`.
const PARAMS_BYTES: usize = 120;

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// Sets up a small ring and closes it again.
pub(super) fn check() -> Result<(), HostError> {
    match set_up_ring() {
        Ok(()) => Ok(()),
        Err(errno) => Err(explain(errno, fs::read_to_string(SYSCTL).ok().as_deref())),
    }
}

fn set_up_ring() -> Result<(), i32> {
    let mut params = [0_u64; PARAMS_BYTES / size_of::<u64>()];
    // SAFETY: the kernel reads and writes `PARAMS_BYTES` bytes behind the pointer, which are there, and
    // all zeros ask for a plain ring.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

/// The likely cause of a refusal.
fn explain(errno: i32, sysctl: Option<&str>) -> HostError {
    let sysctl = sysctl.map(str::trim).filter(|value| *value != "0");
    match (errno, sysctl) {
        (libc::EPERM, Some(value)) => HostError::IoUring {
            cause: format!("kernel.io_uring_disabled is {value}"),
            remedy: "run `sysctl -w kernel.io_uring_disabled=0` as root",
        },
        (libc::EPERM | libc::EACCES, None) => HostError::IoUring {
            cause: "a security policy forbids the system call".to_owned(),
            remedy: "in a container use a seccomp profile that allows io_uring_setup, io_uring_enter and \
                     io_uring_register, such as `--security-opt seccomp=unconfined`",
        },
        (libc::ENOSYS, _) => HostError::IoUring {
            cause: "the kernel does not know the system call".to_owned(),
            remedy: "use Linux 6.1 or later with CONFIG_IO_URING; in a container allow io_uring_setup, \
                     io_uring_enter and io_uring_register in its seccomp profile",
        },
        (libc::ENOMEM, _) => HostError::IoUring {
            cause: "the kernel has no memory for a ring".to_owned(),
            remedy: "raise the limit on locked memory (`ulimit -l unlimited`)",
        },
        (libc::EMFILE | libc::ENFILE, _) => HostError::IoUring {
            cause: "there are too many open files".to_owned(),
            remedy: "raise the open-file limit (`ulimit -n`)",
        },
        _ => HostError::IoUring {
            cause: std::io::Error::from_raw_os_error(errno).to_string(),
            remedy: "use Linux 6.1 or later and allow io_uring",
        },
    }
}

/// A line about a kernel that is older than what is tested.
pub(super) fn kernel_warning() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    old_kernel(release.trim())
}

fn old_kernel(release: &str) -> Option<String> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    let version: (u32, u32) = (numbers.next()?, numbers.next()?);
    (version < KERNEL_MIN).then(|| {
        let (major, minor) = KERNEL_MIN;
        format!("kernel {release} is older than {major}.{minor}, which is not tested: upgrade the kernel")
    })
}

#[cfg(test)]
mod tests {
    use super::{check, explain, old_kernel};

    #[test]
    fn a_refusal_names_its_cause_and_remedy() {
        for (errno, sysctl, expected) in [
            (libc::EPERM, Some("2\n"), "kernel.io_uring_disabled is 2; run `sysctl"),
            (libc::EPERM, Some("0\n"), "a security policy forbids"),
            (libc::EPERM, None, "a security policy forbids"),
            (libc::ENOSYS, Some("0\n"), "the kernel does not know"),
            (libc::EINVAL, None, "Invalid argument"),
        ] {
            let line = explain(errno, sysctl).to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn this_host_has_it() {
        check().unwrap();
    }

    #[test]
    fn old_kernels_are_told_from_new_ones() {
        for release in ["5.15.0-101-generic", "6.0.19", "4.18.0-553.el8.x86_64"] {
            assert!(old_kernel(release).is_some_and(|line| line.contains(release)));
        }
        for release in ["6.1.0-18-amd64", "6.18.44-fc", "10.0", "unknown"] {
            assert_eq!(old_kernel(release), None);
        }
    }
}
