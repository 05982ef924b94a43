//! Secure Boot variables as files: signature lists and the signed updates that enrol them.
//!
//! The builder writes `PK.auth`, `KEK.auth` and `db.auth` to the ESP's `loader/keys/<name>/`; systemd-boot
//! hands them to the firmware in setup mode, which checks them (UEFI 2.10 §8.2.2, §32.4.1). [`crate::ovmf`]
//! puts the same lists into a virtual machine's variable store.

mod auth;
mod siglist;

pub use auth::{AuthError, AuthenticatedUpdate, ParseAuthError, sign_update};
pub use siglist::{SignatureListError, parse_x509_lists, x509_list};

use der::DateTime;
use std::fmt;
use std::time::Duration;

/// A GUID in the mixed-endian byte order of EFI: the first three fields are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EfiGuid(pub [u8; 16]);

impl EfiGuid {
    /// From the GUID's value as a number: `0x8be4df61_93ca_11d2_aa0d_00e098032b8c`.
    pub const fn from_u128(value: u128) -> Self {
        let b = value.to_be_bytes();
        Self([
            b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
            b[15],
        ])
    }
}

impl fmt::Display for EfiGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        let swapped = [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]]
            .map(|byte| format!("{byte:02x}"))
            .concat();
        let (time, rest) = (&swapped, hex::encode(&b[8..]));
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &time[..8],
            &time[8..12],
            &time[12..],
            &rest[..4],
            &rest[4..]
        )
    }
}

impl fmt::Debug for EfiGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Vendor of PK and KEK: EFI_GLOBAL_VARIABLE (UEFI 2.10 §3.3).
pub const GLOBAL_VARIABLE: EfiGuid = EfiGuid::from_u128(0x8be4df61_93ca_11d2_aa0d_00e098032b8c);

/// Vendor of db and dbx: EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10 §32.6.1).
pub const IMAGE_SECURITY_DATABASE: EfiGuid = EfiGuid::from_u128(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f);

/// The variables of Secure Boot that hold keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVariable {
    /// Platform key: signs changes of itself and of KEK.
    Pk,
    /// Key exchange keys: sign changes of db and dbx.
    Kek,
    /// Keys and digests of images that may start.
    Db,
    /// Keys and digests of images that may not.
    Dbx,
}

impl KeyVariable {
    /// Name of the variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
            Self::Dbx => "dbx",
        }
    }

    /// Vendor GUID of the variable.
    pub fn vendor(self) -> EfiGuid {
        match self {
            Self::Pk | Self::Kek => GLOBAL_VARIABLE,
            Self::Db | Self::Dbx => IMAGE_SECURITY_DATABASE,
        }
    }
}

/// Attributes of the key variables: NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS |
/// TIME_BASED_AUTHENTICATED_WRITE_ACCESS (UEFI 2.10 §8.2).
pub const KEY_VARIABLE_ATTRIBUTES: u32 = 0x27;

/// Name in UCS-2 little-endian, without terminator. Our names are ASCII.
pub(crate) fn ucs2(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// An EFI_TIME in UTC with the fields that a time-based update may set: no nanoseconds, zone or daylight
/// saving (UEFI 2.10 §8.2.2). Sixteen bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfiTime(pub(crate) [u8; 16]);

impl EfiTime {
    /// From seconds since 1970-01-01T00:00:00Z; `None` after the year 9999.
    pub fn from_unix_s(unix_s: u64) -> Option<Self> {
        let t = DateTime::from_unix_duration(Duration::from_secs(unix_s)).ok()?;
        let mut out = [0; 16];
        out[..2].copy_from_slice(&t.year().to_le_bytes());
        out[2..7].copy_from_slice(&[t.month(), t.day(), t.hour(), t.minutes(), t.seconds()]);
        Some(Self(out))
    }

    /// The sixteen bytes of the structure.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
