//! A TPM in software for unit tests of callers. Same acts, same errors, real digests; no cryptography: a
//! "sealed" secret lies in the blob in the clear, and a valid signature is what [`FakeTpm::sign`] gives.

use std::collections::VecDeque;
use std::io;

use zeroize::Zeroizing;

use crate::api::{Event, Tpm};
use crate::blob::SealedBlob;
use crate::error::{TpmError, TransportError};
use crate::eventlog::EventRecord;
use crate::hash::{Digest, HashAlg, sha256};
use crate::pcr::{PcrMask, PcrValues};
use crate::policy::signed_digest;
use crate::public::{Lockout, Name, RsaPublic, SealedPublic};
use crate::seal::{SealError, SealPolicy, check_srk, payload};
use crate::unseal::{ReleasePolicy, UnsealError, open_payload};

/// A fake TPM.
#[derive(Debug)]
pub struct FakeTpm {
    srk: Name,
    banks: Vec<(HashAlg, [Digest; 24])>,
    unseal_errors: VecDeque<UnsealError>,
    reachable: bool,
    randoms: u64,
}

impl FakeTpm {
    /// A TPM with the SHA-256 bank on. Fakes with different `identity` have different storage keys.
    #[must_use]
    pub fn new(identity: u8) -> Self {
        Self::with_banks(identity, &[HashAlg::Sha256])
    }

    /// A TPM with these banks on, all PCRs zero.
    #[must_use]
    pub fn with_banks(identity: u8, banks: &[HashAlg]) -> Self {
        let banks = banks.iter().map(|&alg| (alg, [Digest::zero(alg); 24])).collect();
        let srk = Name::of_public_area(&[identity]);
        Self {
            srk,
            banks,
            unseal_errors: VecDeque::new(),
            reachable: true,
            randoms: 0,
        }
    }

    /// The signature that this fake takes for valid.
    #[must_use]
    pub fn sign(key: &RsaPublic, approved_policy: &[u8; 32], policy_ref: &[u8]) -> [u8; RsaPublic::SIZE] {
        let digest = signed_digest(approved_policy, policy_ref);
        let seed = sha256(&[b"fake signature", key.modulus(), &digest]);
        std::array::from_fn(|at| seed[at % seed.len()])
    }

    /// Makes the next unseal fail with `error`. Several calls queue up.
    pub fn fail_next_unseal(&mut self, error: UnsealError) {
        self.unseal_errors.push_back(error);
    }

    /// From now on every act fails with a transport error.
    pub fn unplug(&mut self) {
        self.reachable = false;
    }

    fn reach(&self) -> Result<(), TransportError> {
        if self.reachable {
            Ok(())
        } else {
            Err(TransportError::Read {
                source: io::Error::from(io::ErrorKind::NotConnected),
            })
        }
    }
}

impl Tpm for FakeTpm {
    fn pcr_extend(&mut self, event: &Event<'_>) -> Result<EventRecord, TpmError> {
        self.reach()?;
        let pcr = event.pcr;
        PcrMask::of(&[pcr])?;
        if self.banks.is_empty() {
            return Err(TpmError::NoActiveBank { pcr });
        }
        let mut digests = Vec::new();
        for (alg, pcrs) in &mut self.banks {
            let digest = event.measured.digest(*alg);
            let slot = &mut pcrs[usize::from(pcr)];
            *slot = slot.extended_with(&digest);
            digests.push(digest);
        }
        Ok(event.record(digests))
    }

    fn pcr_read(&mut self, bank: HashAlg, pcrs: PcrMask) -> Result<PcrValues, TpmError> {
        self.reach()?;
        let mut values = PcrValues::empty(bank);
        for pcr in pcrs.iter() {
            let Some((_, held)) = self.banks.iter().find(|(alg, _)| *alg == bank) else {
                return Err(TpmError::PcrNotAllocated { pcr, alg: bank });
            };
            values.insert(pcr, held[usize::from(pcr)]);
        }
        Ok(values)
    }

    fn seal(&mut self, secret: &[u8], policy: &SealPolicy<'_>) -> Result<SealedBlob, SealError> {
        self.reach().map_err(SealError::Transport)?;
        check_srk(policy.srk, self.srk)?;
        let private = payload(&self.srk, secret)?.to_vec();
        let public = SealedPublic {
            auth_policy: policy.auth_policy().map_err(SealError::Tpm)?,
            unique: sha256(&[&private]),
            lockout: Lockout::Exempt,
        };
        Ok(SealedBlob {
            srk_name: self.srk,
            local: policy.local.conditions(),
            public,
            private,
        })
    }

    fn unseal(
        &mut self,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        self.reach().map_err(UnsealError::Transport)?;
        if let Some(error) = self.unseal_errors.pop_front() {
            return Err(error);
        }
        policy.check(blob)?;
        if blob.srk_name != self.srk {
            return Err(UnsealError::SrkDiffers {
                recorded: blob.srk_name,
                found: self.srk,
            });
        }
        if policy.signature != Self::sign(&policy.key, &policy.approved_policy, &policy.policy_ref) {
            return Err(UnsealError::SignatureRefused);
        }
        let actual = self.pcr_read(policy.pcrs.alg(), policy.pcrs.mask())?;
        let differing = policy.differences(&actual);
        if !differing.is_empty() {
            return Err(UnsealError::PcrMismatch { differing });
        }
        open_payload(&self.srk, &blob.private)
    }

    fn random(&mut self, size: usize) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.reach()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        while bytes.len() < size {
            self.randoms += 1;
            let chunk = sha256(&[b"fake random", &self.randoms.to_be_bytes()]);
            let left = size - bytes.len();
            bytes.extend(chunk.into_iter().take(left));
        }
        Ok(bytes)
    }
}
