//! One event, out of whichever log.

use crate::meaning::Meaning;
use bennu_tpm::{Digest, HashAlg};

/// Which log an event is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The firmware's, to which systemd-boot, systemd-stub and the kernel's EFI stub add theirs.
    Firmware,
    /// That of user space: `bennu-init`'s, then systemd's.
    UserSpace,
}

impl Origin {
    /// The word for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::UserSpace => "user-space",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Log.
    pub origin: Origin,
    /// PCR, as the log says; only 0 to 23 are PCRs.
    pub pcr: u32,
    /// What was extended, one digest a bank; banks whose algorithm is not computed here are left out.
    pub digests: Vec<Digest>,
    /// What it was.
    pub meaning: Meaning,
}

impl Event {
    /// The PCR that the event extends; `None` for one that informs only.
    pub fn extends(&self) -> Option<u8> {
        match self.meaning {
            Meaning::NoAction | Meaning::StartupLocality(_) => None,
            _ => u8::try_from(self.pcr).ok().filter(|pcr| *pcr < crate::PCR_COUNT),
        }
    }

    /// What was extended in the bank of `alg`.
    pub fn digest(&self, alg: HashAlg) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.alg() == alg)
    }
}
