//! The firmware's event log in its crypto-agile form (TCG PC Client Platform Firmware Profile 1.06, section 10).
//!
//! Written by the firmware, systemd-boot, systemd-stub and the kernel's EFI stub; handed out by the kernel at
//! [`PATH`], to root only. All integers are little-endian:
//!
//! ```text
//! first event   u32 pcr = 0 · u32 type = 3 · 20 bytes of zeros · u32 size · TCG_EfiSpecIdEvent
//! TCG_EfiSpecIdEvent  "Spec ID Event03\0" · u32 class · u8 minor, major, errata, uintn
//!                     · u32 count · count × (u16 algorithm · u16 bytes) · u8 size · vendor's bytes
//! other events  u32 pcr · u32 type · u32 count · count × (u16 algorithm · digest) · u32 size · event's bytes
//! ```

use crate::event::{Event, Origin};
use crate::meaning::Meaning;
use crate::{Log, LogError, MAX_EVENTS, MAX_LOG_BYTES};
use bennu_tpm::{Digest, HashAlg};

/// Where the kernel hands the log out (Documentation/security/tpm/tpm_event_log.rst).
pub const PATH: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";

/// Algorithms that a log may have digests of; a PC's TPM has at most five banks.
const MAX_ALGORITHMS: u32 = 16;
/// Longest digest in bytes (SHA-512).
const MAX_DIGEST_BYTES: u16 = 64;
/// Type of the event that describes the log (EV_NO_ACTION).
const NO_ACTION: u32 = 3;
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";

/// Reads the log as far as it goes.
#[must_use]
pub fn read(bytes: &[u8]) -> Log {
    if bytes.len() > MAX_LOG_BYTES {
        return Log::unreadable(LogError::TooLong {
            limit: MAX_LOG_BYTES,
            found: bytes.len(),
        });
    }
    let mut reader = Reader { bytes, at: 0 };
    let sizes = match header(&mut reader) {
        Ok(sizes) => sizes,
        Err(error) => return Log::unreadable(error),
    };
    let mut log = Log::default();
    while reader.at < bytes.len() {
        if log.events.len() == MAX_EVENTS {
            log.broken = Some(LogError::TooMany { limit: MAX_EVENTS });
            break;
        }
        match event(&mut reader, &sizes) {
            Ok(event) => log.events.push(event),
            Err(error) => {
                log.broken = Some(error);
                break;
            }
        }
    }
    log
}

/// The algorithms that the log declares, in its order (TPM_ALG_ID).
pub(crate) fn algorithms(bytes: &[u8]) -> Result<Vec<u16>, LogError> {
    let sizes = header(&mut Reader { bytes, at: 0 })?;
    Ok(sizes.into_iter().map(|(id, _)| id).collect())
}

/// Digest sizes by algorithm, as the log itself declares them.
type Sizes = Vec<(u16, usize)>;

fn header(reader: &mut Reader<'_>) -> Result<Sizes, LogError> {
    let pcr = reader.u32("first event's pcr")?;
    let kind = reader.u32("first event's type")?;
    reader.take(20, "first event's digest")?;
    let size = reader.u32("first event's size")?;
    let body = reader.take(size as usize, "first event")?;
    let found = body.get(..SIGNATURE.len()).unwrap_or(body);
    if pcr != 0 || kind != NO_ACTION || found != SIGNATURE {
        return Err(LogError::NotCryptoAgile {
            found: format!("type {kind:#x}, {}", found.escape_ascii()),
        });
    }
    let mut body = Reader {
        bytes: body,
        at: SIGNATURE.len() + 8,
    };
    let at = reader.at;
    let count = body.u32("count of algorithms")?;
    if !(1..=MAX_ALGORITHMS).contains(&count) {
        return Err(value("count of algorithms", at, "1 to 16", count.into()));
    }
    let mut sizes = Sizes::new();
    for _ in 0..count {
        let id = body.u16("algorithm")?;
        let bytes = body.u16("digest size")?;
        let known = HashAlg::from_id(id).map(HashAlg::size);
        if !(1..=MAX_DIGEST_BYTES).contains(&bytes) || known.is_some_and(|size| size != usize::from(bytes)) {
            return Err(value("digest size", at, "that of the algorithm", bytes.into()));
        }
        if sizes.iter().any(|(other, _)| *other == id) {
            return Err(value("algorithm", at, "each algorithm once", id.into()));
        }
        sizes.push((id, bytes.into()));
    }
    Ok(sizes)
}

fn event(reader: &mut Reader<'_>, sizes: &Sizes) -> Result<Event, LogError> {
    let pcr = reader.u32("pcr")?;
    let kind = reader.u32("event type")?;
    let at = reader.at;
    let count = reader.u32("count of digests")?;
    if count > MAX_ALGORITHMS {
        return Err(value("count of digests", at, "at most 16", count.into()));
    }
    let mut digests = Vec::new();
    for _ in 0..count {
        let at = reader.at;
        let id = reader.u16("digest's algorithm")?;
        let size = sizes.iter().find(|(other, _)| *other == id);
        let Some((_, size)) = size else {
            return Err(value(
                "digest's algorithm",
                at,
                "one that the log declares",
                id.into(),
            ));
        };
        let bytes = reader.take(*size, "digest")?;
        digests.extend(HashAlg::from_id(id).and_then(|alg| Digest::new(alg, bytes)));
    }
    let size = reader.u32("event size")?;
    let body = reader.take(size as usize, "event")?;
    Ok(Event {
        origin: Origin::Firmware,
        pcr,
        digests,
        meaning: Meaning::of_firmware_event(pcr, kind, body),
    })
}

fn value(field: &'static str, at: usize, expected: &'static str, found: u64) -> LogError {
    LogError::Value {
        field,
        at,
        expected,
        found,
    }
}

/// Little-endian integers out of a slice. `at` never passes its end.
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], LogError> {
        let truncated = LogError::Truncated { field, at: self.at };
        let end = self.at.checked_add(count).ok_or(truncated.clone())?;
        let bytes = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LogError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, LogError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, LogError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, LogError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, LogError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
