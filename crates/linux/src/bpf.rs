//! Acts around BPF that no crate offers: freezing a map, attaching a program to a control group without a link, asking
//! the execution gate whether it is asked, and trying what it must deny.
//!
//! Used by `bennud` when it sets up the gate.

use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `BPF_MAP_FREEZE` of enum bpf_cmd (linux/bpf.h).
const BPF_MAP_FREEZE: libc::c_long = 22;
/// `BPF_PROG_ATTACH` of enum bpf_cmd.
const BPF_PROG_ATTACH: libc::c_long = 8;
/// `BPF_F_ALLOW_MULTI`: beside other programs, and those of groups below run as well.
const BPF_F_ALLOW_MULTI: u32 = 2;
/// What `prctl(PR_SET_MM)` is asked for, the fifth argument not zero: the gate's programs answer `EALREADY` (`ebpf/src/bpf/own.h`),
/// the kernel `EINVAL` (`prctl_set_mm()` in kernel/sys.c; no `PR_SET_MM_` has this number).
const QUESTION: libc::c_ulong = 0x4265_6e6e;
/// Of the width that `prctl` reads.
const NOTHING: libc::c_ulong = 0;
/// One page; the smallest mapping.
const PAGE: usize = 4096;

/// Takes from user space the right to write a map, for ever and through every descriptor. Programs may go on.
///
/// # Errors
/// The kernel's.
#[allow(unsafe_code)]
pub fn freeze_map(map: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = map.as_raw_fd().cast_unsigned();
    // SAFETY: the kernel reads `size` bytes at the pointer, which are the four of `attributes`; they live until the
    // call returns, and the kernel keeps nothing of them. The descriptor is open, because it is borrowed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_FREEZE,
            std::ptr::from_ref(&attributes),
            size_of_val(&attributes),
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Attaches a program to a control group, beside others, until the machine restarts: there is no link that somebody
/// could detach, and taking it off takes a descriptor of the program. `kind` is one of enum bpf_attach_type.
///
/// # Errors
/// The kernel's.
#[allow(unsafe_code)]
pub fn attach_to_group(program: BorrowedFd<'_>, group: BorrowedFd<'_>, kind: u32) -> io::Result<()> {
    let target = group.as_raw_fd().cast_unsigned();
    // target_fd, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd (linux/bpf.h, union bpf_attr).
    let attributes = [
        target,
        program.as_raw_fd().cast_unsigned(),
        kind,
        BPF_F_ALLOW_MULTI,
        0,
    ];
    // SAFETY: the kernel reads `size` bytes at the pointer, which are the twenty of `attributes`; they live until the
    // call returns, and the kernel keeps nothing of them. Both descriptors are open, because they are borrowed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            std::ptr::from_ref(&attributes),
            size_of_val(&attributes),
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the execution gate is asked: it answers this question of `bennud`'s and of nobody else's program, in every
/// mode, whatever other security modules say of other things. Nothing is recorded.
#[allow(unsafe_code)]
pub fn gate_is_asked() -> bool {
    // SAFETY: without a gate the kernel refuses the call for its last argument before it looks at any other; no argument
    // is an address.
    let status = unsafe { libc::prctl(libc::PR_SET_MM, QUESTION, NOTHING, NOTHING, NOTHING + 1) };
    status == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EALREADY)
}

/// Tries to get a page of memory that is no file and may be executed and not read, and gives it back. The gate refuses it to
/// `bennud` without recording it.
///
/// # Errors
/// The kernel's: `EPERM` behind a gate that enforces; another security module may refuse it as well.
#[allow(unsafe_code)]
pub fn try_executable_memory() -> io::Result<()> {
    // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing; nothing is read from it,
    // written to it or executed in it; it is unmapped with the length it was made with.
    unsafe {
        let page =
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), PAGE, ProtFlags::EXEC, MapFlags::PRIVATE)?;
        rustix::mm::munmap(page, PAGE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn what_is_no_map_cannot_be_frozen() {
        let file = tempfile::tempfile().unwrap();
        let error = freeze_map(file.as_fd()).unwrap_err();
        // EPERM where bpf(2) is not for us; EINVAL: no map.
        assert!(matches!(error.raw_os_error(), Some(1 | 22)), "{error}");
    }

    #[test]
    fn what_is_no_program_cannot_be_attached() {
        let file = tempfile::tempfile().unwrap();
        let error = attach_to_group(file.as_fd(), file.as_fd(), 0).unwrap_err();
        // EPERM where bpf(2) is not for us; EINVAL: no program.
        assert!(matches!(error.raw_os_error(), Some(1 | 22)), "{error}");
    }

    #[test]
    fn without_a_gate_executable_memory_is_to_be_had_and_nobody_answers() {
        try_executable_memory().unwrap();
        assert!(!gate_is_asked());
    }
}
