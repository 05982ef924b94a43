//! Key derivation: Argon2id for passphrases, PBKDF2 for the digest of the volume key.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::key::VolumeKey;
use crate::template::{DIGEST_ITERATIONS, SALT_BYTES, VOLUME_KEY_BYTES};

/// Least memory in KiB, cryptsetup's; below it is nothing to gain but tests that are quick.
pub const MIN_MEMORY_KIB: u32 = 32;
/// Most memory in KiB that a header may make PID 1 take: 128 MiB, an eighth of the smallest machine we aim at.
pub const MAX_MEMORY_KIB: u32 = 128 * 1024;
/// Fewest passes, cryptsetup's least.
pub const MIN_TIME: u32 = 4;
/// Most passes: with the most memory, seconds and not minutes.
pub const MAX_TIME: u32 = 16;
/// Most lanes: cryptsetup's limit.
pub const MAX_CPUS: u32 = 4;

/// Cost of Argon2id (RFC 9106, version 1.3), within the bounds that opening allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    memory_kib: u32,
    time: u32,
    cpus: u32,
}

/// A cost outside the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdfCostError {
    /// More than PID 1 may be made to spend.
    #[error("Argon2id: expected {member} of at most {most}, found {found}; this was not written by bennu")]
    TooCostly {
        /// `memory` (KiB), `time` (passes) or `cpus` (lanes).
        member: &'static str,
        /// Most that is allowed.
        most: u32,
        /// Found.
        found: u64,
    },
    /// Less than cryptsetup would take.
    #[error("Argon2id: expected {member} of at least {least}, found {found}; this was not written by bennu")]
    TooCheap {
        /// `memory` (KiB), `time` (passes) or `cpus` (lanes).
        member: &'static str,
        /// Least that is allowed.
        least: u32,
        /// Found.
        found: u64,
    },
}

impl KdfCost {
    /// What production uses: 64 MiB, four passes, one lane. A recovery key has at least 128 random bits, so this
    /// only makes a badly chosen one dearer to guess.
    pub const STANDARD: Self = Self {
        memory_kib: 64 * 1024,
        time: 4,
        cpus: 1,
    };

    /// A cost of `memory_kib` KiB (32 to 131,072), `time` passes (4 to 16), `cpus` lanes (1 to 4).
    ///
    /// # Errors
    /// The first that is out of bounds.
    pub fn new(memory_kib: u64, time: u64, cpus: u64) -> Result<Self, KdfCostError> {
        Ok(Self {
            memory_kib: within("memory", memory_kib, MIN_MEMORY_KIB, MAX_MEMORY_KIB)?,
            time: within("time", time, MIN_TIME, MAX_TIME)?,
            cpus: within("cpus", cpus, 1, MAX_CPUS)?,
        })
    }

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes.
    pub fn time(&self) -> u32 {
        self.time
    }

    /// Lanes; all are computed on one CPU, one after the other.
    pub fn cpus(&self) -> u32 {
        self.cpus
    }
}

fn within(member: &'static str, found: u64, least: u32, most: u32) -> Result<u32, KdfCostError> {
    match u32::try_from(found) {
        Ok(value) if value < least => Err(KdfCostError::TooCheap { member, least, found }),
        Ok(value) if value <= most => Ok(value),
        _ => Err(KdfCostError::TooCostly { member, most, found }),
    }
}

/// Argon2id could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// Not enough memory.
    #[error("Argon2id needs {kib} KiB of memory, which are not free")]
    OutOfMemory {
        /// KiB needed.
        kib: u32,
    },
    /// The implementation refuses parameters that are within the bounds.
    #[error("Argon2id refuses its parameters; report this as a defect")]
    Refused,
}

/// Argon2id of a passphrase. The memory is zeroised.
pub(crate) fn derive(
    passphrase: &[u8],
    salt: &[u8; SALT_BYTES],
    cost: KdfCost,
) -> Result<Zeroizing<[u8; VOLUME_KEY_BYTES]>, KdfError> {
    let params = Params::new(cost.memory_kib, cost.time, cost.cpus, Some(VOLUME_KEY_BYTES))
        .map_err(|_| KdfError::Refused)?;
    let blocks = params.block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory
        .try_reserve_exact(blocks)
        .map_err(|_| KdfError::OutOfMemory { kib: cost.memory_kib })?;
    memory.resize(blocks, Block::default());
    let mut key = Zeroizing::new([0; VOLUME_KEY_BYTES]);
    let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        passphrase,
        salt,
        &mut key[..],
        &mut memory,
    );
    memory.zeroize();
    outcome.map_err(|_| KdfError::Refused)?;
    Ok(key)
}

/// The digest of a volume key: PBKDF2 with HMAC-SHA-256.
pub(crate) fn digest(key: &VolumeKey, salt: &[u8; SALT_BYTES]) -> [u8; 32] {
    let mut digest = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(key.as_bytes(), salt, DIGEST_ITERATIONS, &mut digest);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_out_of_bounds_are_refused_each_for_its_own_reason() {
        assert!(KdfCost::new(131_072, 16, 4).is_ok(), "positive control");
        assert!(KdfCost::new(32, 4, 1).is_ok(), "positive control");
        let standard = KdfCost::STANDARD;
        assert_eq!(KdfCost::new(65_536, 4, 1), Ok(standard));
        for (memory, time, cpus, member, most, found) in [
            (131_073, 4, 1, "memory", 131_072, 131_073),
            (u64::MAX, 4, 1, "memory", 131_072, u64::MAX),
            (32, 17, 1, "time", 16, 17),
            (32, 4, 5, "cpus", 4, 5),
        ] {
            assert_eq!(
                KdfCost::new(memory, time, cpus),
                Err(KdfCostError::TooCostly { member, most, found })
            );
        }
        for (memory, time, cpus, member, least, found) in [
            (31, 4, 1, "memory", 32, 31),
            (32, 3, 1, "time", 4, 3),
            (32, 4, 0, "cpus", 1, 0),
        ] {
            assert_eq!(
                KdfCost::new(memory, time, cpus),
                Err(KdfCostError::TooCheap { member, least, found })
            );
        }
    }
}
