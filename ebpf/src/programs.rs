//! The compiled programs, where each attaches, and what for.

use crate::interface::Settings;

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

/// What a program is for. One that has nothing to do in this image is not attached: each costs some hundred instructions
/// on its way, whatever it decides. Nothing of what [`Settings`] ask for can be added once the gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The gate.
    Gate,
    /// Profiles of units.
    Profiles,
    /// The trace.
    Trace,
    /// Either.
    ProfilesAndTrace,
    /// Profiles, and a network that is cut.
    ProfilesAndNetwork,
    /// Profiles, and units that start no more programs.
    ProfilesAndDeny,
}

impl Purpose {
    /// Whether the settings have it.
    pub fn is_served(self, settings: &Settings) -> bool {
        let profiles = !settings.units.is_empty();
        match self {
            Self::Gate => true,
            Self::Profiles => profiles,
            Self::Trace => settings.trace,
            Self::ProfilesAndTrace => profiles || settings.trace,
            Self::ProfilesAndNetwork => profiles || settings.network,
            Self::ProfilesAndDeny => profiles || settings.denies,
        }
    }
}

/// The programs that these settings need, in the order of attaching.
pub fn wanted(settings: &Settings) -> impl Iterator<Item = (&'static str, Place)> {
    let wanted = PROGRAMS
        .iter()
        .filter(|(_, _, purpose)| purpose.is_served(settings));
    wanted.map(|(name, place, _)| (*name, *place))
}

use Place::{Function, Hook};
use Purpose::{Gate, Profiles, ProfilesAndDeny, ProfilesAndNetwork, ProfilesAndTrace, Trace};

/// Every program with its place. The order is the one of attaching; none decides before the configuration is set.
const PROGRAMS: [(&str, Place, Purpose); 34] = [
    ("execute", Hook("bprm_check_security"), Gate),
    ("map_file", Hook("mmap_file"), Gate),
    ("protect_memory", Hook("file_mprotect"), Gate),
    ("personality_64", Function("__x64_sys_personality"), Gate),
    ("personality_32", Function("__ia32_sys_personality"), Gate),
    ("read_into_kernel", Hook("kernel_read_file"), Gate),
    ("load_into_kernel", Hook("kernel_load_data"), Gate),
    ("device_verified", Hook("bdev_setintegrity"), Gate),
    ("device_gone", Hook("bdev_free_security"), Gate),
    ("open_map", Hook("bpf_map"), Gate),
    ("open_program", Hook("bpf_prog"), Gate),
    ("bpf_call", Hook("bpf"), Gate),
    ("load_program", Hook("bpf_prog_load"), Gate),
    ("unlink_pin", Hook("inode_unlink"), Gate),
    ("remove_pin_directory", Hook("inode_rmdir"), Gate),
    ("rename_pin", Hook("inode_rename"), Gate),
    ("trace", Hook("ptrace_access_check"), Gate),
    ("trace_me", Hook("ptrace_traceme"), Gate),
    ("name_program", Hook("task_prctl"), Gate),
    ("open_file", Hook("file_open"), Gate),
    ("control_device", Hook("file_ioctl"), Gate),
    ("control_device_32", Hook("file_ioctl_compat"), Gate),
    ("ring_command", Hook("uring_cmd"), Gate),
    ("mount_file_system", Hook("sb_mount"), Gate),
    ("attach_mount", Hook("move_mount"), Gate),
    ("pivot_root", Hook("sb_pivotroot"), Gate),
    ("unmount", Hook("sb_umount"), Gate),
    ("connect_socket", Hook("socket_connect"), ProfilesAndTrace),
    ("send_message", Hook("socket_sendmsg"), ProfilesAndNetwork),
    ("create_socket", Hook("socket_create"), Profiles),
    ("connect_unix", Hook("unix_stream_connect"), ProfilesAndTrace),
    ("send_unix", Hook("unix_may_send"), Profiles),
    ("fork_into_cgroup", Function("cgroup_can_fork"), ProfilesAndDeny),
    ("executed", Hook("bprm_committing_creds"), Trace),
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
#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::units::Unit;
    use bennu_formats::gate::GateMode;

    fn settings(units: Vec<Unit>, trace: bool) -> Settings {
        Settings {
            mode: GateMode::Enforce,
            root_dev: 1,
            pin_dev: 2,
            agent_inode: 3,
            top_inodes: vec![],
            programs: vec![],
            devices: vec![],
            repairable: vec![],
            interpreters: vec![],
            data: vec![],
            units,
            trace,
            network: false,
            denies: false,
        }
    }

    fn hooks(settings: &Settings) -> Vec<&'static str> {
        let place = |(_, place)| match place {
            Hook(name) | Function(name) => name,
        };
        wanted(settings).map(place).collect()
    }

    #[test]
    fn without_profiles_and_trace_nothing_stands_in_the_way_of_a_connection() {
        let bare = hooks(&settings(vec![], false));
        for hook in [
            "socket_connect",
            "unix_stream_connect",
            "socket_create",
            "cgroup_can_fork",
        ] {
            assert!(!bare.contains(&hook), "{hook}");
        }
        for hook in ["bprm_check_security", "mmap_file", "file_open", "bpf_prog_load"] {
            assert!(bare.contains(&hook), "{hook}");
        }
    }

    #[test]
    fn what_answers_drift_is_attached_where_the_image_enforces_it() {
        let cuts = Settings {
            network: true,
            ..settings(vec![], false)
        };
        assert!(hooks(&cuts).contains(&"socket_sendmsg"));
        assert!(!hooks(&cuts).contains(&"cgroup_can_fork"));
        let denies = Settings {
            denies: true,
            ..settings(vec![], false)
        };
        assert!(hooks(&denies).contains(&"cgroup_can_fork"));
    }

    #[test]
    fn the_trace_sees_connections_and_programs_and_profiles_need_all_but_the_trace() {
        let traced = hooks(&settings(vec![], true));
        let of_trace = ["bprm_committing_creds", "socket_connect", "unix_stream_connect"];
        assert!(of_trace.iter().all(|hook| traced.contains(hook)), "{traced:?}");
        assert!(!traced.contains(&"socket_sendmsg"), "{traced:?}");
        let unit = Unit {
            name: "web.service".to_owned(),
            stages: [0; 4],
            executables: vec![],
            anonymous_exec: vec![],
            networks: vec![],
            sockets: vec![],
        };
        let profiled = hooks(&settings(vec![unit.clone()], false));
        assert!(!profiled.contains(&"bprm_committing_creds"), "{profiled:?}");
        assert_eq!(profiled.len(), PROGRAMS.len() - 1);
        assert_eq!(hooks(&settings(vec![unit], true)).len(), PROGRAMS.len());
    }
}
