//! Three acts around BPF that no crate offers: freezing a map, attaching a program to a control group without a link,
//! and trying what the execution gate must deny.
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

/// Tries to get a page of executable memory that is no file, and gives it back.
///
/// # Errors
/// The kernel's: `EPERM` behind a gate that enforces.
pub fn try_executable_memory() -> io::Result<()> {
    try_memory(ProtFlags::READ | ProtFlags::EXEC)
}

/// The same with memory that may not be read, which the gate refuses to `bennud` without recording it.
///
/// # Errors
/// See [`try_executable_memory`].
pub fn try_executable_memory_unseen() -> io::Result<()> {
    try_memory(ProtFlags::EXEC)
}

#[allow(unsafe_code)]
fn try_memory(protection: ProtFlags) -> io::Result<()> {
    // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing; nothing is read from it,
    // written to it or executed in it; it is unmapped with the length it was made with.
    unsafe {
        let page = rustix::mm::mmap_anonymous(std::ptr::null_mut(), PAGE, protection, MapFlags::PRIVATE)?;
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
    fn without_a_gate_executable_memory_is_to_be_had() {
        try_executable_memory().unwrap();
        try_executable_memory_unseen().unwrap();
    }
}
