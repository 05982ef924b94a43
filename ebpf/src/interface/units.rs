//! Profiles of units as the programs read them: the layouts of `src/bpf/intf.h` that belong to `units`, `stages`,
//! `executables`, `addresses`, `peers` and `data`.

use bennu_formats::profile::{AllowedNetwork, AllowedSocket, MAX_NETWORKS, MAX_SOCKET_BYTES, MAX_UNIT_BYTES};
use std::collections::BTreeMap;

/// Length of `struct unit_key`.
pub const UNIT_BYTES: usize = MAX_UNIT_BYTES + 1;
/// Length of the name in `struct peer_key`.
pub const PEER_BYTES: usize = 128;
/// Length of `struct address_rule`.
const ADDRESS_RULE_BYTES: usize = 40;
/// Length of `struct address_rules`.
pub const ADDRESSES_BYTES: usize = 8 + MAX_NETWORKS * ADDRESS_RULE_BYTES;
/// Length of `struct data_key`.
pub const DATA_BYTES: usize = 24;

/// `IS_…`: what a program is besides a program.
pub mod program {
    /// `IS_SHELL`
    pub const SHELL: u32 = 1;
    /// `IS_CONFINED`
    pub const CONFINED: u32 = 2;
    /// `IS_EXECUTOR`
    pub const EXECUTOR: u32 = 4;
}

/// What a program is allowed in a unit: bits of the value in `executables`.
pub mod allowed {
    /// `ALLOWED_START`
    pub const START: u32 = 1;
    /// `ALLOWED_ANONYMOUS_EXEC`
    pub const ANONYMOUS_EXEC: u32 = 2;
}

/// What holds for a profile now: `struct unit_stages`.
pub type Stages = [u32; 4];

/// One unit, its programs found on the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Name of its cgroup's directory.
    pub name: String,
    /// Stages to begin with.
    pub stages: Stages,
    /// Inodes of the programs that it may start.
    pub executables: Vec<u64>,
    /// Inodes of the programs that may make memory executable there.
    pub anonymous_exec: Vec<u64>,
    /// Networks that it may connect to; what is beyond the sixteenth is left out.
    pub networks: Vec<AllowedNetwork>,
    /// Unix sockets that it may connect to.
    pub sockets: Vec<AllowedSocket>,
}

impl Unit {
    /// Programs by inode, each once, with bits of [`allowed`].
    pub fn allowed(&self) -> BTreeMap<u64, u32> {
        let start = self.executables.iter().map(|inode| (inode, allowed::START));
        let anonymous = self.anonymous_exec.iter();
        let anonymous = anonymous.map(|inode| (inode, allowed::ANONYMOUS_EXEC));
        let mut all = BTreeMap::new();
        for (inode, bit) in start.chain(anonymous) {
            *all.entry(*inode).or_default() |= bit;
        }
        all
    }
}

/// A directory whose files an interpreter may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Data {
    /// The interpreter.
    pub program_inode: u64,
    /// The directory's file system, `major << 20 | minor`.
    pub device: u32,
    /// The directory.
    pub inode: u64,
}

impl Data {
    /// `struct data_key`
    pub fn key(&self) -> [u8; DATA_BYTES] {
        let mut bytes = [0; DATA_BYTES];
        bytes[..8].copy_from_slice(&self.program_inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.inode.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.device.to_le_bytes());
        bytes
    }
}

/// `struct unit_key`; what does not fit is cut off.
pub fn unit_key(name: &str) -> [u8; UNIT_BYTES] {
    filled(name.as_bytes(), MAX_UNIT_BYTES)
}

/// `struct executable_key`
pub fn executable_key(profile: u32, inode: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&profile.to_le_bytes());
    bytes[8..].copy_from_slice(&inode.to_le_bytes());
    bytes
}

/// `struct peer_key`
pub fn peer_key(profile: u32, socket: &AllowedSocket) -> [u8; 8 + PEER_BYTES] {
    let (is_abstract, name) = match socket {
        AllowedSocket::Path(name) => (0_u32, name),
        AllowedSocket::Abstract(name) => (1, name),
    };
    let mut bytes = [0; 8 + PEER_BYTES];
    bytes[..4].copy_from_slice(&profile.to_le_bytes());
    bytes[4..8].copy_from_slice(&is_abstract.to_le_bytes());
    bytes[8..].copy_from_slice(&filled::<PEER_BYTES>(name.as_bytes(), MAX_SOCKET_BYTES));
    bytes
}

/// `struct address_rules`
pub fn addresses(networks: &[AllowedNetwork]) -> [u8; ADDRESSES_BYTES] {
    let mut bytes = [0; ADDRESSES_BYTES];
    let (head, rest) = bytes.split_at_mut(8);
    let count = u32::try_from(networks.len().min(MAX_NETWORKS)).unwrap_or_default();
    head[..4].copy_from_slice(&count.to_le_bytes());
    for (place, network) in rest.chunks_exact_mut(ADDRESS_RULE_BYTES).zip(networks) {
        let (address, mask) = network.to.mapped();
        let (first, last) = network.ports.unwrap_or((0, u16::MAX));
        let protocol = network
            .protocol
            .map_or(0, bennu_formats::profile::Protocol::number);
        place[..16].copy_from_slice(&address);
        place[16..32].copy_from_slice(&mask);
        place[32..34].copy_from_slice(&first.to_le_bytes());
        place[34..36].copy_from_slice(&last.to_le_bytes());
        place[36..40].copy_from_slice(&protocol.to_le_bytes());
    }
    bytes
}

fn filled<const BYTES: usize>(name: &[u8], most: usize) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (place, byte) in bytes.iter_mut().zip(name.iter().take(most)) {
        *place = *byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::profile::Protocol;

    #[test]
    fn names_are_filled_up_with_zeros_and_end_with_one() {
        let key = unit_key("web.service");
        assert_eq!(
            (&key[..11], key[11..].iter().sum::<u8>()),
            (&b"web.service"[..], 0)
        );
        assert_eq!(unit_key(&"x".repeat(100))[63], 0);
        let key = peer_key(7, &AllowedSocket::Abstract("ab".into()));
        assert_eq!(key[..11], [7, 0, 0, 0, 1, 0, 0, 0, b'a', b'b', 0]);
        assert_eq!(peer_key(7, &AllowedSocket::Path("/a".into()))[4], 0);
    }

    #[test]
    fn networks_become_addresses_with_masks() {
        let allowed = AllowedNetwork {
            to: "10.0.0.0/8".parse().unwrap(),
            ports: Some((80, 443)),
            protocol: Some(Protocol::Tcp),
        };
        let bytes = addresses(&[allowed]);
        assert_eq!(bytes[0], 1);
        assert_eq!(bytes[18..24], [0xff, 0xff, 10, 0, 0, 0]);
        assert_eq!(bytes[34..40], [0xff, 0xff, 0xff, 0, 0, 0]);
        assert_eq!(bytes[40..48], [80, 0, 187, 1, 6, 0, 0, 0]);
        assert!(bytes[48..].iter().all(|byte| *byte == 0));
        assert_eq!(addresses(&[allowed; MAX_NETWORKS + 1])[0], 16);
    }

    #[test]
    fn a_directory_is_known_by_program_device_and_inode() {
        let data = Data {
            program_inode: 1,
            device: 2,
            inode: 3,
        };
        let key = data.key();
        assert_eq!((key[0], key[8], key[16], key.iter().sum::<u8>()), (1, 3, 2, 6));
        assert_eq!(executable_key(4, 5).iter().sum::<u8>(), 9);
    }
}
