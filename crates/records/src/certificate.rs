//! Action certificates: what was seen, which rule, what was done, how long it took, signed. They survive the purge
//! and the restart and are shown by the slot that runs afterwards. Normative text: `docs/spec/action-certificate.md`.
//!
//! Written by `bennud` before anything is destroyed and once more when it is done; each names the digest of the one
//! before it, across boots, so that one that is taken away leaves a hole.

use crate::head::{HeadVerifier, Signer, SignerError};
use bennu_formats::decode::{DecodeError, Document, Unverified};
use bennu_formats::digest::{RootHash, base64_bytes};
use bennu_formats::dsse::{Envelope, Signature, pre_authentication_encoding};
use bennu_formats::{ImageId, ImageVersion, Sha256Digest};
use serde::{Deserialize, Serialize};

/// `payloadType` of an action certificate.
pub const PAYLOAD_TYPE: &str = "application/vnd.bennu.action-certificate+json";
/// Most signals, steps and withheld actions, each.
pub const MAX_ENTRIES: usize = 64;
/// Most bytes of a name, a reason, or an evidence digest's label.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Most bytes of the TPM's quote with its signature.
pub const MAX_QUOTE_BYTES: usize = 8 * 1024;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenSignal {
    /// Stable name (`docs/explanation/drift-ladder.md`).
    pub signal: String,
    /// Source.
    pub source: String,
    /// `weak` or `strong`.
    pub weight: String,
    /// Milliseconds since the machine started.
    pub up_ms: u64,
    /// What exactly, for people; not trusted.
    pub detail: String,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was to be done when the certificate was signed.
    Planned,
    /// It is done.
    Done,
    /// It failed; the next step was taken all the same.
    Failed,
    /// It was not taken; the reason stands beside it.
    Withheld,
}

/// Something that was done, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Stable name of the action.
    pub action: String,
    /// Stable name of the rule that called for it.
    pub rule: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why not, or what failed; empty when it is done.
    pub words: String,
    /// When it ended, milliseconds since the machine started; `null` for what was not begun.
    pub done_up_ms: Option<u64>,
}

/// Evidence of the TPM over the state when the certificate was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// `TPMS_ATTEST` as the TPM gave it.
    #[serde(with = "base64_bytes")]
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE` over it.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

/// What the name of an act that undoes another begins with; the other's name follows.
pub const UNDO: &str = "undo.";

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Schema number; 1.
    pub schema: u32,
    /// Number of the certificate on this machine, from 0.
    pub number: u64,
    /// SHA-256 of the payload of the one before it; zeros for number 0.
    pub previous: Sha256Digest,
    /// SHA-256 that tells machines apart.
    pub machine: Sha256Digest,
    /// Boot id of the kernel.
    pub boot: String,
    /// Image of the slot that ran.
    pub image_id: ImageId,
    /// Its version.
    pub version: ImageVersion,
    /// Its root hash.
    pub root_hash: RootHash,
    /// Severity by its rule's stable name.
    pub rule: String,
    /// One sentence for people.
    pub reason: String,
    /// What was seen, oldest first; may be empty where each act undoes one.
    pub seen: Vec<SeenSignal>,
    /// What was done, in order.
    pub acts: Vec<Act>,
    /// First signal, milliseconds since the machine started.
    pub first_up_ms: u64,
    /// When the certificate was signed, by the same clock.
    pub signed_up_ms: u64,
    /// When it was signed, milliseconds since 1970 by the wall clock; not trusted.
    pub signed_at_ms: u64,
    /// Line of the record log that tells the same, and the chain after it.
    pub log_seq: u64,
    /// See `log_seq`.
    pub log_chain: Sha256Digest,
    /// Evidence of the TPM; `null` where none could be had.
    pub quote: Option<Quote>,
}

impl Document for Certificate {
    const NAME: &'static str = "action certificate";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        for (member, found) in [("seen", self.seen.len()), ("acts", self.acts.len())] {
            if found > MAX_ENTRIES {
                return Err(Self::bad_value(member, "at most 64 entries", found));
            }
        }
        let seen = self
            .seen
            .iter()
            .flat_map(|s| [&s.signal, &s.source, &s.weight, &s.detail]);
        let acts = self.acts.iter().flat_map(|a| [&a.action, &a.rule, &a.words]);
        let own = [&self.boot, &self.rule, &self.reason];
        if let Some(long) = seen
            .chain(acts)
            .chain(own)
            .find(|text| text.len() > MAX_TEXT_BYTES)
        {
            return Err(Self::bad_value("a text", "at most 1024 bytes", long.len()));
        }
        // Only what ends has nothing left that calls for it.
        let ends = !self.acts.is_empty() && self.acts.iter().all(|act| act.action.starts_with(UNDO));
        if self.seen.is_empty() && !ends {
            return Err(Self::bad_value("seen", "at least one signal", "none"));
        }
        if (self.number == 0) != (self.previous == Sha256Digest::ZERO) {
            return Err(Self::bad_value(
                "previous",
                "zeros for number 0 and no other",
                self.previous,
            ));
        }
        if self.signed_up_ms < self.first_up_ms {
            return Err(Self::bad_value(
                "signed_up_ms",
                "not before first_up_ms",
                self.signed_up_ms,
            ));
        }
        let quoted = self
            .quote
            .as_ref()
            .map_or(0, |q| q.attest.len() + q.signature.len());
        if quoted > MAX_QUOTE_BYTES {
            return Err(Self::bad_value("quote", "at most 8192 bytes", quoted));
        }
        Ok(())
    }
}

/// Why there is no certificate, or it is not believed.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not the form.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// It cannot be encoded.
    #[error("action certificate: cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
    /// The signer.
    #[error("action certificate: {0}")]
    Signer(#[from] SignerError),
    /// An envelope of something else.
    #[error("action certificate: expected payload type {PAYLOAD_TYPE}, found another")]
    PayloadType,
    /// The trusted key has not signed.
    #[error("action certificate: expected a good signature by {expected}, found none")]
    Signature {
        /// Key.
        expected: Sha256Digest,
    },
    /// It does not follow the one before it.
    #[error(
        "action certificate {number}: expected to follow {expected}, found {found}: one was taken away or put in"
    )]
    Chain {
        /// Number of the certificate.
        number: u64,
        /// Digest of the payload before it.
        expected: Sha256Digest,
        /// Digest that it names.
        found: Sha256Digest,
    },
    /// Numbers that are not consecutive.
    #[error("action certificate: expected number {expected}, found {found}: one was taken away or put in")]
    Number {
        /// Number due.
        expected: u64,
        /// Number found.
        found: u64,
    },
}

impl Certificate {
    /// Signs the certificate; gives the bytes of the envelope, and the digest that the next one names.
    ///
    /// # Errors
    /// [`CertificateError`]; a certificate that would not be decoded again is not signed.
    pub fn sign(&self, signer: &mut dyn Signer) -> Result<(Vec<u8>, Sha256Digest), CertificateError> {
        let payload = serde_json::to_vec_pretty(self)?;
        Self::decode(&payload)?;
        let sig = signer.sign(&pre_authentication_encoding(PAYLOAD_TYPE, &payload))?;
        let previous = Sha256Digest::of(&payload);
        let envelope = Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload,
            signatures: vec![Signature {
                keyid: signer.keyid(),
                sig,
            }],
        };
        let bytes = serde_json::to_vec(&envelope)?;
        Envelope::decode(&bytes)?;
        Ok((bytes, previous))
    }

    /// Decodes an envelope without believing it; with the digest that the next one has to name.
    ///
    /// # Errors
    /// [`CertificateError::Decode`], [`CertificateError::PayloadType`].
    pub fn open_unverified(bytes: &[u8]) -> Result<(Unverified<Self>, Sha256Digest), CertificateError> {
        let envelope = Envelope::decode(bytes)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(CertificateError::PayloadType);
        }
        let certificate = Self::decode(&envelope.payload)?;
        Ok((Unverified::new(certificate), Sha256Digest::of(&envelope.payload)))
    }

    /// Checks the signature first, then decodes; with the digest that the next one has to name.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn open(bytes: &[u8], trusted: &dyn HeadVerifier) -> Result<(Self, Sha256Digest), CertificateError> {
        let envelope = Envelope::decode(bytes)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(CertificateError::PayloadType);
        }
        let message = envelope.pre_authentication_encoding();
        let expected = trusted.keyid();
        let good = |s: &&Signature| s.keyid == expected && trusted.is_good("dsse", &message, &s.sig);
        if !envelope.signatures.iter().any(|s| good(&s)) {
            return Err(CertificateError::Signature { expected });
        }
        Ok((
            Self::decode(&envelope.payload)?,
            Sha256Digest::of(&envelope.payload),
        ))
    }
}

/// Whether certificates, each with the digest of its payload, follow each other without a hole. The first may have
/// any number: older ones may have been removed.
///
/// # Errors
/// [`CertificateError::Number`], [`CertificateError::Chain`].
pub fn check_chain(certificates: &[(Certificate, Sha256Digest)]) -> Result<(), CertificateError> {
    for pair in certificates.windows(2) {
        let ((before, digest), (this, _)) = (&pair[0], &pair[1]);
        let expected = before.number.saturating_add(1);
        if this.number != expected {
            return Err(CertificateError::Number {
                expected,
                found: this.number,
            });
        }
        if this.previous != *digest {
            return Err(CertificateError::Chain {
                number: this.number,
                expected: *digest,
                found: this.previous,
            });
        }
    }
    Ok(())
}
