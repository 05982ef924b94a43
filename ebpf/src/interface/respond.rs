//! What `bennud` has the programs do about drift: the layouts of `src/bpf/intf.h` that belong to `responses` and
//! `groups`.

use super::units::{UNIT_BYTES, unit_key};
use std::net::{IpAddr, Ipv6Addr};

/// Alert sinks that are reached over a cut network, at most: `MOST_SINKS`.
pub const MAX_SINKS: usize = 8;
/// Length of `struct sink`.
const SINK_BYTES: usize = 24;
/// Length of `struct response_state`.
pub const RESPONSE_BYTES: usize = 16 + MAX_SINKS * SINK_BYTES;
/// Length of `struct group_key`.
pub const GROUP_BYTES: usize = 8 + UNIT_BYTES;
/// `FEATURE_NETWORK`
pub const FEATURE_NETWORK: u32 = 8;

/// Which units start no more programs: `DENY_…`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// None.
    #[default]
    Nobody,
    /// Those that are marked so.
    Marked,
    /// All but those that are marked as spared.
    Everything,
}

impl Denied {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Nobody, Self::Marked, Self::Everything];

    /// `DENY_…`
    pub fn number(self) -> u32 {
        match self {
            Self::Nobody => 0,
            Self::Marked => 1,
            Self::Everything => 2,
        }
    }
}

/// What holds for a control group and all below it: `GROUP_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It starts no more programs.
    Denied,
    /// It does, whoever else does not.
    Spared,
}

impl Mark {
    /// `GROUP_…`
    pub fn number(self) -> u32 {
        match self {
            Self::Denied => 1,
            Self::Spared => 2,
        }
    }
}

/// A place that packets go to and come from although the network is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sink {
    /// Address.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

/// The one value of `responses`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Responses {
    /// Who starts no more programs.
    pub denied: Denied,
    /// Whether the network is cut, and to whom packets go all the same; what is beyond the eighth is left out.
    pub cut: Option<Vec<Sink>>,
}

impl Responses {
    /// `struct response_state`
    pub fn encode(&self) -> [u8; RESPONSE_BYTES] {
        let mut bytes = [0; RESPONSE_BYTES];
        let sinks = self.cut.as_deref().unwrap_or_default();
        let count = u32::try_from(sinks.len().min(MAX_SINKS)).unwrap_or_default();
        let words = [self.denied.number(), u32::from(self.cut.is_some()), count];
        let (head, rest) = bytes.split_at_mut(16);
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        for (place, sink) in rest.chunks_exact_mut(SINK_BYTES).zip(sinks) {
            place[..16].copy_from_slice(&mapped(sink.address).octets());
            place[16..20].copy_from_slice(&u32::from(sink.port).to_le_bytes());
        }
        bytes
    }

    /// Reads a `struct response_state`; none for one that no `bennud` wrote.
    pub fn decode(bytes: &[u8; RESPONSE_BYTES]) -> Option<Self> {
        let (head, rest) = bytes.split_at(16);
        let [denied, cut, count, _] = words(head)?;
        let sinks = rest.chunks_exact(SINK_BYTES).take(count.try_into().ok()?);
        let sinks = sinks.map(sink).collect::<Option<Vec<Sink>>>()?;
        Some(Self {
            denied: Denied::ALL.into_iter().find(|one| one.number() == denied)?,
            cut: match cut {
                0 => None,
                _ => Some(sinks),
            },
        })
    }
}

fn words(head: &[u8]) -> Option<[u32; 4]> {
    let mut found = [0; 4];
    for (place, bytes) in found.iter_mut().zip(head.chunks_exact(4)) {
        *place = u32::from_le_bytes(bytes.try_into().ok()?);
    }
    Some(found)
}

fn sink(bytes: &[u8]) -> Option<Sink> {
    let address: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    let port = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
    Some(Sink {
        address: Ipv6Addr::from(address).to_canonical(),
        port: port.try_into().ok()?,
    })
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// `struct group_key`: the group `name` in the group whose directory has the inode `parent`.
pub fn group_key(parent: u64, name: &str) -> [u8; GROUP_BYTES] {
    let mut bytes = [0; GROUP_BYTES];
    bytes[..8].copy_from_slice(&parent.to_le_bytes());
    bytes[8..].copy_from_slice(&unit_key(name));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_and_lies_as_the_programs_read_it() {
        let v4 = Sink {
            address: "10.0.2.100".parse().unwrap(),
            port: 6514,
        };
        let v6 = Sink {
            address: "fd00::7".parse().unwrap(),
            port: 1,
        };
        for state in [
            Responses::default(),
            Responses {
                denied: Denied::Everything,
                cut: Some(vec![]),
            },
            Responses {
                denied: Denied::Marked,
                cut: Some(vec![v4, v6]),
            },
        ] {
            assert_eq!(Responses::decode(&state.encode()), Some(state));
        }
        let bytes = Responses {
            denied: Denied::Everything,
            cut: Some(vec![v4]),
        }
        .encode();
        assert_eq!(bytes[..13], [2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[26..34], [0xff, 0xff, 10, 0, 2, 100, 0x72, 0x19]);
        assert!(bytes[34..].iter().all(|byte| *byte == 0));
        assert_eq!(
            Responses {
                cut: Some(vec![v4; MAX_SINKS + 1]),
                ..Responses::default()
            }
            .encode()[8],
            8
        );
        let mut wrong = bytes;
        wrong[0] = 3;
        assert_eq!(Responses::decode(&wrong), None);
    }

    #[test]
    fn a_group_is_known_by_the_one_above_it_and_its_name() {
        let key = group_key(7, "web.service");
        assert_eq!((key[0], &key[8..19], key[19]), (7, &b"web.service"[..], 0));
        assert_eq!(group_key(1, &"x".repeat(100))[GROUP_BYTES - 1], 0);
    }
}
