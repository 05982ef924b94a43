//! TPM2_PCR_Read (Part 3, 22.4) and TPM2_PCR_Extend (22.2).

use super::capability::plain;
use crate::client::{Call, Client};
use crate::code::cc;
use crate::error::TpmError;
use crate::hash::{Digest, HashAlg};
use crate::pcr::{PcrMask, PcrValues};
use crate::session::{Auth, Encrypted};
use crate::transport::Transport;
use crate::wire::{Reader, WireError, Writer};

/// Times a read is begun anew because a PCR was extended in between.
const READ_ATTEMPTS: u32 = 16;
/// Digests in one answer at most: TPML_DIGEST (Part 2, 10.9.3).
const DIGESTS_PER_READ: u32 = 8;

/// One TPM2_PCR_Read's answer.
struct PcrAnswer {
    update_counter: u32,
    mask: PcrMask,
    digests: Vec<Vec<u8>>,
}

impl<T: Transport> Client<T> {
    /// Algorithms of all active banks that hold `pcr`.
    ///
    /// # Errors
    ///
    /// [`TpmError::UnsupportedBank`] when one of them cannot be computed here, [`TpmError::NoActiveBank`].
    pub fn banks_of(&mut self, pcr: u8) -> Result<Vec<HashAlg>, TpmError> {
        PcrMask::of(&[pcr])?;
        let banks = self.pcr_banks()?;
        let algs: Vec<HashAlg> = banks
            .iter()
            .filter(|bank| bank.pcrs.contains(pcr))
            .map(|bank| {
                HashAlg::from_id(bank.alg_id).ok_or(TpmError::UnsupportedBank {
                    pcr,
                    alg: bank.alg_id,
                })
            })
            .collect::<Result<_, _>>()?;
        if algs.is_empty() {
            Err(TpmError::NoActiveBank { pcr })
        } else {
            Ok(algs)
        }
    }

    /// Extends `pcr` in all the banks for which `digests` has a value, by one command.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn pcr_extend_digests(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), TpmError> {
        PcrMask::of(&[pcr])?;
        let list = Writer::new().u32(u32::try_from(digests.len()).unwrap_or(u32::MAX));
        let list = digests.iter().fold(list, |list, digest| {
            list.u16(digest.alg().id()).raw(digest.as_bytes())
        });
        let handles = plain(pcr.into());
        let call = Call::new("TPM2_PCR_Extend", cc::PCR_EXTEND, &handles, list)
            .auth(Auth::Password(&[]), Encrypted::NONE);
        self.run(call)?.nothing()
    }

    /// Values of PCRs of one bank, all as of the same moment.
    ///
    /// # Errors
    ///
    /// [`TpmError::PcrNotAllocated`] when the bank does not hold one of them.
    pub fn pcr_values(&mut self, alg: HashAlg, pcrs: PcrMask) -> Result<PcrValues, TpmError> {
        for _ in 0..READ_ATTEMPTS {
            if let Some(values) = self.read_consistently(alg, pcrs)? {
                return Ok(values);
            }
        }
        Err(TpmError::PcrsKeepChanging {
            attempts: READ_ATTEMPTS,
        })
    }

    /// `None` when a PCR was extended between two of the answers.
    fn read_consistently(&mut self, alg: HashAlg, pcrs: PcrMask) -> Result<Option<PcrValues>, TpmError> {
        let mut values = PcrValues::empty(alg);
        let mut counter = None;
        let mut left = pcrs;
        while let Some(first) = left.iter().next() {
            let answer = self.read_some(alg, left)?;
            if *counter.get_or_insert(answer.update_counter) != answer.update_counter {
                return Ok(None);
            }
            let asked: Vec<u8> = answer.mask.iter().filter(|&pcr| left.contains(pcr)).collect();
            // Fewer values than PCRs, or none at all: the bank does not hold what was asked for.
            if asked.is_empty() || asked.len() != answer.digests.len() {
                return Err(TpmError::PcrNotAllocated { pcr: first, alg });
            }
            for (pcr, bytes) in asked.into_iter().zip(&answer.digests) {
                let digest = Digest::new(alg, bytes).ok_or(TpmError::PcrNotAllocated { pcr, alg })?;
                values.insert(pcr, digest);
            }
            left = left.without(answer.mask);
        }
        Ok(Some(values))
    }

    fn read_some(&mut self, alg: HashAlg, pcrs: PcrMask) -> Result<PcrAnswer, TpmError> {
        let parameters = Writer::new().raw(&pcrs.selection(alg));
        self.run(Call::new("TPM2_PCR_Read", cc::PCR_READ, &[], parameters))?
            .decode(|reader| {
                let update_counter = reader.u32("pcr update counter")?;
                let mask = decode_selection(reader, alg)?;
                let count = reader.u32("digest count")?;
                if count > DIGESTS_PER_READ {
                    return Err(WireError::Unexpected {
                        field: "digest count",
                        expected: DIGESTS_PER_READ.into(),
                        found: count.into(),
                    });
                }
                let digests = (0..count)
                    .map(|_| Ok(reader.sized_max(64, "pcr value")?.to_vec()))
                    .collect::<Result<_, WireError>>()?;
                Ok(PcrAnswer {
                    update_counter,
                    mask,
                    digests,
                })
            })
    }
}

/// TPML_PCR_SELECTION with at most one bank.
pub(crate) fn decode_selection(reader: &mut Reader<'_>, alg: HashAlg) -> Result<PcrMask, WireError> {
    match reader.u32("bank count")? {
        0 => Ok(PcrMask::NONE),
        1 => {
            reader.expect_u16(alg.id(), "bank algorithm")?;
            let size = reader.u8("pcr select size")?;
            Ok(PcrMask::from_select(reader.take(size.into(), "pcr select")?))
        }
        found => Err(WireError::Unexpected {
            field: "bank count",
            expected: 1,
            found: found.into(),
        }),
    }
}
