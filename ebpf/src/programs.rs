//! The compiled programs, and where each attaches.

/// Bytes at the alignment that an ELF reader wants.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/gate.bpf.o")));

/// The object file.
pub fn object() -> &'static [u8] {
    &OBJECT.0
}

/// What a program attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A hook of the LSM framework.
    Hook(&'static str),
    /// The beginning of a kernel function.
    Function(&'static str),
}

use Place::{Function, Hook};

/// Every program with its place. The order is the one of attaching; none decides before the configuration is set.
pub const PROGRAMS: [(&str, Place); 32] = [
    ("execute", Hook("bprm_check_security")),
    ("map_file", Hook("mmap_file")),
    ("protect_memory", Hook("file_mprotect")),
    ("personality_64", Function("__x64_sys_personality")),
    ("personality_32", Function("__ia32_sys_personality")),
    ("read_into_kernel", Hook("kernel_read_file")),
    ("load_into_kernel", Hook("kernel_load_data")),
    ("device_verified", Hook("bdev_setintegrity")),
    ("device_gone", Hook("bdev_free_security")),
    ("open_map", Hook("bpf_map")),
    ("open_program", Hook("bpf_prog")),
    ("bpf_call", Hook("bpf")),
    ("load_program", Hook("bpf_prog_load")),
    ("unlink_pin", Hook("inode_unlink")),
    ("remove_pin_directory", Hook("inode_rmdir")),
    ("rename_pin", Hook("inode_rename")),
    ("trace", Hook("ptrace_access_check")),
    ("trace_me", Hook("ptrace_traceme")),
    ("open_file", Hook("file_open")),
    ("control_device", Hook("file_ioctl")),
    ("control_device_32", Hook("file_ioctl_compat")),
    ("ring_command", Hook("uring_cmd")),
    ("mount_file_system", Hook("sb_mount")),
    ("attach_mount", Hook("move_mount")),
    ("unmount", Hook("sb_umount")),
    ("connect_socket", Hook("socket_connect")),
    ("send_message", Hook("socket_sendmsg")),
    ("create_socket", Hook("socket_create")),
    ("connect_unix", Hook("unix_stream_connect")),
    ("send_unix", Hook("unix_may_send")),
    ("fork_into_cgroup", Function("cgroup_can_fork")),
    ("executed", Hook("bprm_committing_creds")),
];

/// Which packets a program of [`NETWORK`] sees; the number is `enum bpf_attach_type` (linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// Those that come: `BPF_CGROUP_INET_INGRESS`.
    Coming = 0,
    /// Those that leave: `BPF_CGROUP_INET_EGRESS`.
    Leaving = 1,
}

/// Programs at the root of the control groups, in gates that can cut the network.
pub const NETWORK: [(&str, Packets); 2] = [
    ("packet_leaves", Packets::Leaving),
    ("packet_comes", Packets::Coming),
];
