//! Sets of PCRs, banks, and values of PCRs.

use std::fmt;

use crate::error::TpmError;
use crate::hash::{Digest, HashAlg, sha256};

/// PCRs a PC's TPM has (PC Client Platform TPM Profile): 0 to 23.
const PCR_COUNT: u8 = 24;

/// A set of PCRs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PcrMask(u32);

impl PcrMask {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of these PCRs.
    ///
    /// # Errors
    ///
    /// [`TpmError::NoSuchPcr`] for a number above 23.
    pub fn of(pcrs: &[u8]) -> Result<Self, TpmError> {
        pcrs.iter().try_fold(Self::NONE, |mask, &pcr| {
            if pcr < PCR_COUNT {
                Ok(Self(mask.0 | 1 << pcr))
            } else {
                Err(TpmError::NoSuchPcr { pcr })
            }
        })
    }

    /// Whether `pcr` is in the set.
    #[must_use]
    pub const fn contains(self, pcr: u8) -> bool {
        pcr < PCR_COUNT && self.0 & 1 << pcr != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The PCRs, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..PCR_COUNT).filter(move |&pcr| self.contains(pcr))
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// From the bytes of a TPMS_PCR_SELECT; PCRs above 23 are not ours and are left out.
    pub(crate) fn from_select(select: &[u8]) -> Self {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(select.iter().take(3)) {
            *to = *from;
        }
        Self(u32::from_le_bytes(bytes))
    }

    /// TPML_PCR_SELECTION of one bank (Part 2, 10.9.7): count, algorithm, three bytes of bits.
    pub(crate) fn selection(self, alg: HashAlg) -> [u8; 10] {
        let [count0, count1, count2, count3] = 1u32.to_be_bytes();
        let [alg0, alg1] = alg.id().to_be_bytes();
        let [low, middle, high, _] = self.0.to_le_bytes();
        [count0, count1, count2, count3, alg0, alg1, 3, low, middle, high]
    }
}

impl fmt::Debug for PcrMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// One bank of the PCR allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrBank {
    /// TPM_ALG_ID; may be one that [`HashAlg`] does not know.
    pub alg_id: u16,
    /// PCRs the bank holds. Empty: the bank is off.
    pub pcrs: PcrMask,
}

/// Values of PCRs of one bank, ascending by PCR, none twice.
#[derive(Clone, PartialEq, Eq)]
pub struct PcrValues {
    alg: HashAlg,
    values: Vec<(u8, Digest)>,
}

impl PcrValues {
    /// No values.
    #[must_use]
    pub const fn empty(alg: HashAlg) -> Self {
        Self {
            alg,
            values: Vec::new(),
        }
    }

    /// Adds or replaces a value.
    ///
    /// # Errors
    ///
    /// [`TpmError::NoSuchPcr`] for a PCR above 23.
    pub fn with(mut self, pcr: u8, value: &[u8; 32]) -> Result<Self, TpmError> {
        PcrMask::of(&[pcr])?;
        if let Some(digest) = Digest::new(self.alg, value) {
            self.insert(pcr, digest);
            Ok(self)
        } else {
            Err(TpmError::PcrNotAllocated { pcr, alg: self.alg })
        }
    }

    pub(crate) fn insert(&mut self, pcr: u8, value: Digest) {
        match self.values.binary_search_by_key(&pcr, |(pcr, _)| *pcr) {
            Ok(at) => self.values[at].1 = value,
            Err(at) => self.values.insert(at, (pcr, value)),
        }
    }

    /// Their bank.
    #[must_use]
    pub const fn alg(&self) -> HashAlg {
        self.alg
    }

    /// Which PCRs there are values for.
    #[must_use]
    pub fn mask(&self) -> PcrMask {
        PcrMask(self.values.iter().fold(0, |mask, (pcr, _)| mask | 1 << pcr))
    }

    /// The value of one PCR.
    #[must_use]
    pub fn get(&self, pcr: u8) -> Option<&Digest> {
        self.values
            .iter()
            .find(|(number, _)| *number == pcr)
            .map(|(_, value)| value)
    }

    /// PCRs and values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Digest)> {
        self.values.iter().map(|(pcr, value)| (*pcr, value))
    }

    /// pcrDigest of TPM2_PolicyPCR: SHA-256 over the values, ascending (Part 1, 17.5.1).
    #[must_use]
    pub fn combined(&self) -> [u8; 32] {
        let parts: Vec<&[u8]> = self.values.iter().map(|(_, value)| value.as_bytes()).collect();
        sha256(&parts)
    }
}

impl fmt::Debug for PcrValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_the_bytes_of_part_2() {
        let mask = PcrMask::of(&[11, 12, 13, 15]).unwrap();
        assert_eq!(
            hex::encode(mask.selection(HashAlg::Sha256)),
            "00000001000b0300b800"
        );
        assert_eq!(PcrMask::from_select(&[0, 0xB8, 0]), mask);
        assert!(matches!(PcrMask::of(&[24]), Err(TpmError::NoSuchPcr { pcr: 24 })));
    }

    #[test]
    fn values_are_kept_in_ascending_order_without_repetition() {
        let values = PcrValues::empty(HashAlg::Sha256).with(15, &[3; 32]).unwrap();
        let values = values.with(11, &[1; 32]).unwrap().with(15, &[2; 32]).unwrap();
        let pcrs: Vec<u8> = values.iter().map(|(pcr, _)| pcr).collect();
        assert_eq!(pcrs, [11, 15]);
        assert_eq!(values.combined(), sha256(&[&[1; 32], &[2; 32]]));
    }
}
