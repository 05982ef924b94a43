//! Security programs that somebody else attached: those that are there before the gate is set up.
//!
//! The kernel is asked by id (`BPF_PROG_GET_NEXT_ID`, `BPF_PROG_GET_FD_BY_ID`: CAP_SYS_ADMIN). A program that refuses to be
//! opened is guarded by another gate of its kind.

use aya::programs::{ProgramError, loaded_programs};
use aya::sys::SyscallError;
use std::collections::BTreeSet;
use std::io;

/// `BPF_PROG_TYPE_LSM` of linux/bpf.h.
const LSM: u32 = 29;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// Names of BPF LSM programs, as the kernel keeps them: 15 bytes at most.
    pub names: BTreeSet<String>,
    /// Programs that nobody but their owner may open.
    pub guarded: usize,
}

/// Asks the kernel. Programs that end meanwhile are left out.
///
/// # Errors
/// The kernel does not tell which programs there are.
pub fn others() -> io::Result<Others> {
    let mut others = Others::default();
    for program in loaded_programs() {
        match program {
            Ok(program) if program.program_type() as u32 == LSM => {
                let name = String::from_utf8_lossy(program.name()).into_owned();
                others.names.insert(name);
            }
            Ok(_) => {}
            Err(error) => {
                if of_one(error)? == io::ErrorKind::PermissionDenied {
                    others.guarded += 1;
                }
            }
        }
    }
    Ok(others)
}

/// Why one program could not be opened. What concerns all of them is an error.
fn of_one(error: ProgramError) -> io::Result<io::ErrorKind> {
    match error {
        ProgramError::SyscallError(SyscallError { call, io_error }) => match (call, io_error.kind()) {
            ("bpf_prog_get_fd_by_id", kind @ (io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)) => {
                Ok(kind)
            }
            _ => Err(io_error),
        },
        error => Err(io::Error::other(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(call: &'static str, errno: i32) -> ProgramError {
        ProgramError::SyscallError(SyscallError {
            call,
            io_error: io::Error::from_raw_os_error(errno),
        })
    }

    #[test]
    fn a_program_that_is_guarded_or_gone_is_no_error_and_a_list_that_is_refused_is_one() {
        let [eperm, enoent, emfile] = [1, 2, 24];
        let of = |call, errno| of_one(failed(call, errno)).ok();
        let by_id = "bpf_prog_get_fd_by_id";
        assert_eq!(of(by_id, eperm), Some(io::ErrorKind::PermissionDenied));
        assert_eq!(of(by_id, enoent), Some(io::ErrorKind::NotFound));
        assert_eq!(of(by_id, emfile), None);
        assert_eq!(of("bpf_prog_get_next_id", eperm), None);
    }
}
