//! Variable stores of OVMF, the firmware of virtual machines: reading them, and enrolling keys in a stock
//! `OVMF_VARS_4M.fd` without running the firmware.
//!
//! The builder's VM runner and the tests write them; OVMF reads them at power-on. Layout after edk2's
//! `EfiFirmwareVolumeHeader` (PI 1.7, volume 3 §3.2.1) and `MdeModulePkg/Include/Guid/VariableFormat.h`:
//! a firmware volume header (72 bytes in OVMF), a VARIABLE_STORE_HEADER (28 bytes), then variables, each an
//! AUTHENTICATED_VARIABLE_HEADER (60 bytes), name in UCS-2 with terminator, data; each starts at a multiple of 4.

use crate::bytes;
use crate::efivars::{EfiGuid, EfiTime, KEY_VARIABLE_ATTRIBUTES, KeyVariable, ucs2, x509_list};
use crate::keys::Certificate;

/// Longest variable store that is looked at, in bytes: 16 MiB. OVMF's are 528 KiB.
pub const MAX_STORE_BYTES: usize = 16 << 20;

/// EFI_SYSTEM_NV_DATA_FV_GUID, the file system GUID of the volume.
const NV_DATA_FV: EfiGuid = EfiGuid::from_u128(0xfff12b8d_7696_4c8b_a985_2747075b4f50);

/// gEfiAuthenticatedVariableGuid, the signature of the store.
const AUTHENTICATED_STORE: EfiGuid = EfiGuid::from_u128(0xaaf32c78_947b_439a_a180_2e144ec37792);

/// gEfiSecureBootEnableDisableGuid, vendor of SecureBootEnable.
const SECURE_BOOT_ENABLE: EfiGuid = EfiGuid::from_u128(0xf0a30bc7_af08_4556_99c4_001009c93a44);

/// gEfiCustomModeEnableGuid, vendor of CustomMode.
const CUSTOM_MODE_ENABLE: EfiGuid = EfiGuid::from_u128(0xc076ec0c_7028_4399_a072_71ee5c448b9f);

/// NON_VOLATILE | BOOTSERVICE_ACCESS.
const NV_BS: u32 = 0x03;

/// VARIABLE_STORE_HEADER: size in bytes, and its Format and State when healthy.
const STORE_HEADER_BYTES: usize = 28;
const STORE_FORMATTED: u8 = 0x5a;
const STORE_HEALTHY: u8 = 0xfe;

/// AUTHENTICATED_VARIABLE_HEADER: size in bytes, and its StartId.
const VARIABLE_HEADER_BYTES: usize = 60;
const VARIABLE_START: u16 = 0x55aa;

/// VAR_ADDED: a valid variable. Flash bits are only ever cleared, so other states have fewer of them set.
const VAR_ADDED: u8 = 0x3f;

/// VAR_ADDED & VAR_IN_DELETED_TRANSITION: being replaced, but still valid.
const VAR_IN_DELETED_TRANSITION: u8 = 0x3e;

/// The mask that marks a variable deleted.
const VAR_DELETED_MASK: u8 = 0xfd;

/// Why a variable store is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OvmfError {
    /// Too long.
    #[error("read the variable store: expected at most {limit} bytes, found {found}; give an OVMF_VARS file")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// The file does not start with a firmware volume for variables.
    #[error("read the variable store: expected a firmware volume for variables; give an OVMF_VARS file")]
    NotAVariableVolume,
    /// The volume header's checksum is wrong.
    #[error("read the variable store: expected the volume header's words to sum to 0, found {sum:#06x}")]
    BadVolumeChecksum {
        /// The sum found.
        sum: u16,
    },
    /// The volume does not hold an authenticated, formatted, healthy store inside its bounds.
    #[error(
        "read the variable store: expected a healthy store for authenticated variables; give OVMF_VARS_4M.fd"
    )]
    NotAnAuthenticatedStore,
    /// A variable runs beyond the store, or what follows the last one is not erased flash.
    #[error(
        "read the variable at offset {at:#x} of the store: it is damaged; start from a fresh OVMF_VARS_4M.fd"
    )]
    DamagedVariable {
        /// Offset of the variable in the file, in bytes.
        at: usize,
    },
    /// No room for another variable.
    #[error(
        "enrol {name}: expected {needed} free bytes in the variable store, found {free}; enrol fewer keys"
    )]
    Full {
        /// Name of the variable.
        name: String,
        /// Bytes needed.
        needed: usize,
        /// Bytes free.
        free: usize,
    },
}

/// A variable in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Vendor GUID.
    pub vendor: EfiGuid,
    /// EFI_VARIABLE_* attributes.
    pub attributes: u32,
    /// Time stamp; zero for variables without time-based authentication.
    pub time: [u8; 16],
    /// Data.
    pub data: Vec<u8>,
}

/// The certificates to enrol, and when the update is said to have been signed.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// Owner GUID in the signature lists.
    pub owner: EfiGuid,
    /// Time stamp of the variables.
    pub time: EfiTime,
    /// Platform key: exactly one.
    pub pk: &'a Certificate,
    /// Key exchange keys.
    pub kek: &'a [Certificate],
    /// Keys of images that may start.
    pub db: &'a [Certificate],
}

/// An OVMF variable store over its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableStore {
    bytes: Vec<u8>,
    /// File offset of the first variable.
    start: usize,
    /// File offset at which the store ends.
    end: usize,
}

/// Where a variable lies and whether it counts.
struct Slot {
    at: usize,
    state: u8,
    next: usize,
    variable: Variable,
}

impl VariableStore {
    /// Parses a store and every variable in it.
    ///
    /// # Errors
    /// [`OvmfError`] for anything but a healthy store for authenticated variables.
    pub fn parse(bytes: &[u8]) -> Result<Self, OvmfError> {
        if bytes.len() > MAX_STORE_BYTES {
            return Err(OvmfError::TooLong {
                limit: MAX_STORE_BYTES,
                found: bytes.len(),
            });
        }
        let header = volume_header_bytes(bytes)?;
        let guid: Option<[u8; 16]> = bytes::array(bytes, header);
        let size = bytes::u32_le(bytes, header + 16).unwrap_or(0) as usize;
        let format = bytes::array(bytes, header + 20);
        let healthy = guid == Some(AUTHENTICATED_STORE.0)
            && format == Some([STORE_FORMATTED, STORE_HEALTHY])
            && size >= STORE_HEADER_BYTES
            && bytes::slice(bytes, header, size).is_some();
        if !healthy {
            return Err(OvmfError::NotAnAuthenticatedStore);
        }
        let store = Self {
            bytes: bytes.to_vec(),
            start: header + STORE_HEADER_BYTES,
            end: header + size,
        };
        store.slots()?;
        Ok(store)
    }

    /// The file's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The variables that count, in the order of the store.
    ///
    /// # Errors
    /// [`OvmfError::DamagedVariable`].
    pub fn variables(&self) -> Result<Vec<Variable>, OvmfError> {
        let live = |slot: &Slot| matches!(slot.state, VAR_ADDED | VAR_IN_DELETED_TRANSITION);
        Ok(self
            .slots()?
            .into_iter()
            .filter(live)
            .map(|slot| slot.variable)
            .collect())
    }

    /// Enrols the keys and turns Secure Boot on: the state that OVMF calls user mode, standard.
    ///
    /// # Errors
    /// [`OvmfError::Full`] if they do not fit; the store is then left as it was.
    pub fn enrol(&mut self, enrolment: &Enrolment<'_>) -> Result<(), OvmfError> {
        let mut next = self.clone();
        let keys = [
            (KeyVariable::Pk, std::slice::from_ref(enrolment.pk)),
            (KeyVariable::Kek, enrolment.kek),
            (KeyVariable::Db, enrolment.db),
        ];
        for (variable, certificates) in keys {
            next.set(&Variable {
                name: variable.name().to_owned(),
                vendor: variable.vendor(),
                attributes: KEY_VARIABLE_ATTRIBUTES,
                time: *enrolment.time.as_bytes(),
                data: x509_list(enrolment.owner, certificates),
            })?;
        }
        // SECURE_BOOT_ENABLE = 1, STANDARD_SECURE_BOOT_MODE = 0 (edk2 Guid/AuthenticatedVariableFormat.h).
        let switches = [
            ("SecureBootEnable", SECURE_BOOT_ENABLE, 1),
            ("CustomMode", CUSTOM_MODE_ENABLE, 0),
        ];
        for (name, vendor, value) in switches {
            let data = vec![value];
            next.set(&Variable {
                name: name.to_owned(),
                vendor,
                attributes: NV_BS,
                time: [0; 16],
                data,
            })?;
        }
        *self = next;
        Ok(())
    }

    /// Writes a variable; an older one of the same name and vendor is marked deleted, as firmware does.
    ///
    /// # Errors
    /// [`OvmfError::Full`] if it does not fit.
    pub fn set(&mut self, variable: &Variable) -> Result<(), OvmfError> {
        let slots = self.slots()?;
        let at = slots.last().map_or(self.start, |slot| slot.next);
        let encoded = encode(variable);
        let full = OvmfError::Full {
            name: variable.name.clone(),
            needed: encoded.len(),
            free: self.end.saturating_sub(at),
        };
        if encoded.len() > self.end.saturating_sub(at) {
            return Err(full);
        }
        bytes::put(&mut self.bytes, at, &encoded).ok_or(full)?;
        let same =
            |slot: &&Slot| slot.variable.name == variable.name && slot.variable.vendor == variable.vendor;
        for slot in slots.iter().filter(same) {
            self.bytes[slot.at + 2] &= VAR_DELETED_MASK;
        }
        Ok(())
    }

    fn slots(&self) -> Result<Vec<Slot>, OvmfError> {
        let mut out = Vec::new();
        let mut at = self.start;
        while at < self.end && bytes::u16_le(&self.bytes, at) == Some(VARIABLE_START) {
            let slot = self.slot(at).ok_or(OvmfError::DamagedVariable { at })?;
            at = slot.next;
            out.push(slot);
        }
        if self
            .bytes
            .get(at..self.end)
            .is_none_or(|free| free.iter().any(|&b| b != 0xff))
        {
            return Err(OvmfError::DamagedVariable { at });
        }
        Ok(out)
    }

    fn slot(&self, at: usize) -> Option<Slot> {
        let header = bytes::slice(&self.bytes[..self.end], at, VARIABLE_HEADER_BYTES)?;
        let name_len = bytes::u32_le(header, 36)? as usize;
        let data_len = bytes::u32_le(header, 40)? as usize;
        let body = at + VARIABLE_HEADER_BYTES;
        let name = bytes::slice(&self.bytes[..self.end], body, name_len)?;
        let data = bytes::slice(&self.bytes[..self.end], body + name_len, data_len)?;
        let units: Vec<u16> = name
            .chunks_exact(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .collect();
        let (0, name) = units.split_last()? else {
            return None;
        };
        let variable = Variable {
            name: String::from_utf16(name).ok()?,
            vendor: EfiGuid(bytes::array(header, 44)?),
            attributes: bytes::u32_le(header, 4)?,
            time: bytes::array(header, 16)?,
            data: data.to_vec(),
        };
        let next = (body + name_len + data_len).next_multiple_of(4).min(self.end);
        Some(Slot {
            at,
            state: header[2],
            next,
            variable,
        })
    }
}

/// Header, name and data of a valid variable, padded with erased flash.
fn encode(variable: &Variable) -> Vec<u8> {
    let mut name = ucs2(&variable.name);
    name.extend_from_slice(&[0, 0]);
    let mut out = Vec::with_capacity(VARIABLE_HEADER_BYTES + name.len() + variable.data.len() + 3);
    out.extend_from_slice(&VARIABLE_START.to_le_bytes());
    out.extend_from_slice(&[VAR_ADDED, 0]);
    out.extend_from_slice(&variable.attributes.to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes()); // MonotonicCount
    out.extend_from_slice(&variable.time);
    out.extend_from_slice(&0u32.to_le_bytes()); // PubKeyIndex
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(
        &u32::try_from(variable.data.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend_from_slice(&variable.vendor.0);
    out.extend_from_slice(&name);
    out.extend_from_slice(&variable.data);
    out.resize(out.len().next_multiple_of(4), 0xff);
    out
}

/// Checks the firmware volume's header and returns its length in bytes.
fn volume_header_bytes(bytes: &[u8]) -> Result<usize, OvmfError> {
    let fits = bytes::u64_le(bytes, 32).is_some_and(|length| length <= bytes.len() as u64);
    let volume = bytes::array(bytes, 16) == Some(NV_DATA_FV.0) && bytes::array(bytes, 40) == Some(*b"_FVH");
    let length = bytes::u16_le(bytes, 48).map_or(0, usize::from);
    let header =
        bytes::slice(bytes, 0, length).filter(|_| fits && volume && length >= 56 && length.is_multiple_of(2));
    let header = header.ok_or(OvmfError::NotAVariableVolume)?;
    let words = header.chunks_exact(2).map(|w| u16::from_le_bytes([w[0], w[1]]));
    match words.fold(0u16, u16::wrapping_add) {
        0 => Ok(length),
        sum => Err(OvmfError::BadVolumeChecksum { sum }),
    }
}
