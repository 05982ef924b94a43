//! TPM2_Startup (tests), TPM2_GetCapability (Part 3, 30.2), TPM2_GetRandom (16.1), TPM2_FlushContext (28.4).

use zeroize::Zeroizing;

use crate::client::{Call, Client, Handle};
use crate::code::cc;
use crate::error::TpmError;
use crate::pcr::{PcrBank, PcrMask};
use crate::session::{Auth, Encrypted, Session};
use crate::transport::Transport;
use crate::wire::{Reader, WireError, Writer};

/// TPM_CAP (Part 2, 6.12).
const CAP_HANDLES: u32 = 1;
const CAP_PCRS: u32 = 5;
const CAP_TPM_PROPERTIES: u32 = 6;
/// TPM_PT (Part 2, 6.13).
const PT_MANUFACTURER: u32 = 0x105;
const PT_FIRMWARE_VERSION_1: u32 = 0x10B;
const PT_FIRMWARE_VERSION_2: u32 = 0x10C;
const PT_PERMANENT: u32 = 0x200;
const PT_LOCKOUT_COUNTER: u32 = 0x20E;
const PT_MAX_AUTH_FAIL: u32 = 0x20F;
const PT_LOCKOUT_INTERVAL: u32 = 0x210;
/// TPMA_PERMANENT bits (Part 2, 8.6).
const OWNER_AUTH_SET: u32 = 1 << 0;
const LOCKOUT_AUTH_SET: u32 = 1 << 2;
const IN_LOCKOUT: u32 = 1 << 9;
/// Entries asked for and accepted per answer. 4096 bytes hold fewer than 512 properties.
const ENTRIES: u32 = 500;

/// What a TPM says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// Four characters, for example `INTC`; shorter names end in zero or blank.
    pub manufacturer: [u8; 4],
    /// Vendor's firmware version, both halves.
    pub firmware_version: u64,
    /// Authorisations are refused for now.
    pub in_lockout: bool,
    /// The owner hierarchy has a non-empty authValue.
    pub owner_auth_set: bool,
    /// The lockout hierarchy has a non-empty authValue.
    pub lockout_auth_set: bool,
    /// Wrong authValues that the lockout has counted.
    pub lockout_counter: u32,
    /// How many of them lock the TPM.
    pub lockout_tries: u32,
    /// Seconds after which one of them is forgotten.
    pub lockout_interval_s: u32,
}

impl<T: Transport> Client<T> {
    /// TPM2_Startup(CLEAR). The firmware has done it on a real machine.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::INITIALIZE`] when already started.
    pub fn startup_clear(&mut self) -> Result<(), TpmError> {
        self.run(Call::new("TPM2_Startup", cc::STARTUP, &[], Writer::new().u16(0)))?
            .nothing()
    }

    fn capability<R>(
        &mut self,
        capability: u32,
        first: u32,
        decoder: impl FnOnce(&mut Reader<'_>) -> Result<R, WireError>,
    ) -> Result<R, TpmError> {
        let parameters = Writer::new().u32(capability).u32(first).u32(ENTRIES);
        let call = Call::new("TPM2_GetCapability", cc::GET_CAPABILITY, &[], parameters);
        self.run(call)?.decode(|reader| {
            reader.u8("more data")?;
            let found = reader.u32("capability")?;
            if found != capability {
                let (expected, found) = (capability.into(), found.into());
                return Err(WireError::Unexpected {
                    field: "capability",
                    expected,
                    found,
                });
            }
            decoder(reader)
        })
    }

    /// The PCR allocation, banks that are off included.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn pcr_banks(&mut self) -> Result<Vec<PcrBank>, TpmError> {
        self.capability(CAP_PCRS, 0, |reader| {
            (0..count(reader, 16)?)
                .map(|_| {
                    let alg_id = reader.u16("bank algorithm")?;
                    let size = reader.u8("pcr select size")?;
                    let select = reader.take(size.into(), "pcr select")?;
                    Ok(PcrBank {
                        alg_id,
                        pcrs: PcrMask::from_select(select),
                    })
                })
                .collect()
        })
    }

    /// Manufacturer, firmware version, lockout and authorisation state.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn properties(&mut self) -> Result<Properties, TpmError> {
        let fixed = self.property_group(PT_MANUFACTURER)?;
        let variable = self.property_group(PT_PERMANENT)?;
        let value = |group: &[(u32, u32)], tag| {
            group
                .iter()
                .find(|(found, _)| *found == tag)
                .map_or(0, |(_, value)| *value)
        };
        let permanent = value(&variable, PT_PERMANENT);
        let version = |tag| u64::from(value(&fixed, tag));
        Ok(Properties {
            manufacturer: value(&fixed, PT_MANUFACTURER).to_be_bytes(),
            firmware_version: version(PT_FIRMWARE_VERSION_1) << 32 | version(PT_FIRMWARE_VERSION_2),
            in_lockout: permanent & IN_LOCKOUT != 0,
            owner_auth_set: permanent & OWNER_AUTH_SET != 0,
            lockout_auth_set: permanent & LOCKOUT_AUTH_SET != 0,
            lockout_counter: value(&variable, PT_LOCKOUT_COUNTER),
            lockout_tries: value(&variable, PT_MAX_AUTH_FAIL),
            lockout_interval_s: value(&variable, PT_LOCKOUT_INTERVAL),
        })
    }

    fn property_group(&mut self, first: u32) -> Result<Vec<(u32, u32)>, TpmError> {
        self.capability(CAP_TPM_PROPERTIES, first, |reader| {
            (0..count(reader, ENTRIES)?)
                .map(|_| Ok((reader.u32("property")?, reader.u32("property value")?)))
                .collect()
        })
    }

    /// Handles in use, from `first` on within its range (`0x81000000` persistent, `0x80000000` transient,
    /// `0x02000000` loaded HMAC sessions, `0x03000000` loaded policy sessions, `0x01000000` NV).
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn handles(&mut self, first: u32) -> Result<Vec<u32>, TpmError> {
        self.capability(CAP_HANDLES, first, |reader| {
            (0..count(reader, ENTRIES)?)
                .map(|_| reader.u32("handle"))
                .collect()
        })
    }

    /// `size` random bytes, at most 32, encrypted on their way here.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn get_random(&mut self, session: &mut Session, size: u16) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let call = Call::new("TPM2_GetRandom", cc::GET_RANDOM, &[], Writer::new().u16(size))
            .auth(Auth::session(session), Encrypted::RESPONSE);
        self.run(call)?.decode(|reader| {
            Ok(Zeroizing::new(
                reader.sized_max(size.into(), "random bytes")?.to_vec(),
            ))
        })
    }

    /// Ends a session or drops a transient object.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        // The handle to flush is a parameter, not in the handle area (Part 3, 28.4.1).
        self.run(Call::new(
            "TPM2_FlushContext",
            cc::FLUSH_CONTEXT,
            &[],
            Writer::new().u32(handle),
        ))?
        .nothing()
    }

    /// Flushes `handle` after an act on it. The act's own error comes first; if it went well but the flush
    /// did not, that is the error, since what is left behind could be used by others.
    pub(crate) fn flush_after<R, E: From<TpmError>>(
        &mut self,
        handle: u32,
        act: Result<R, E>,
    ) -> Result<R, E> {
        match (act, self.flush(handle)) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }
}

/// A list's count, at most `limit`. No entry is shorter than two bytes, so nothing is reserved by count.
fn count(reader: &mut Reader<'_>, limit: u32) -> Result<u32, WireError> {
    let count = reader.u32("list count")?;
    if count > limit {
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        return Err(WireError::TooLong {
            field: "list",
            limit: size(limit),
            found: size(count),
        });
    }
    Ok(count)
}

/// Used by handles that carry no Name.
pub(crate) fn plain(value: u32) -> [Handle; 1] {
    [Handle::plain(value)]
}
