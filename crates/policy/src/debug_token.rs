//! Whether a debug token counts: signature, machine, day. In the order of `docs/spec/debug-token.md` §3.
//!
//! An accepted token opens nothing: `bennu-init` extends a PCR that every sealed policy names before it acts on it.

use bennu_formats::debug_token::{DebugToken, MAX_FILE_BYTES, PAYLOAD_TYPE, UtcDay};
use bennu_formats::decode::{DecodeError, Document as _};
use bennu_formats::digest::Sha256Digest;
use bennu_formats::dsse::{Envelope, key_id};
use bennu_formats::names::ImageId;
use bennu_formats::trust::ReleaseKey;
use ed25519_dalek::{Signature, VerifyingKey};

/// What this machine and this start are.
#[derive(Debug, Clone, Copy)]
pub struct DebugFacts<'a> {
    /// Debug keys of the signed image.
    pub keys: &'a [ReleaseKey],
    /// Its id.
    pub image_id: &'a ImageId,
    /// The machine's identity.
    pub machine: Sha256Digest,
    /// Today by the machine's clock.
    pub today: UtcDay,
}

/// A token that counts. It cannot be made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedToken {
    token: DebugToken,
    signed_by: Sha256Digest,
    digest: Sha256Digest,
}

impl AcceptedToken {
    /// What it says.
    pub fn token(&self) -> &DebugToken {
        &self.token
    }

    /// Id of the debug key that signed it.
    pub fn signed_by(&self) -> Sha256Digest {
        self.signed_by
    }

    /// SHA-256 of the signed bytes: what is measured.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DebugRefusal {
    /// The image names no debug key.
    #[error("debug token: this image names no debug key, so that none counts")]
    NoKeys,
    /// Longer than any of ours.
    #[error("debug token: expected at most {MAX_FILE_BYTES} bytes, found {0} or more")]
    TooLong(usize),
    /// Envelope or payload.
    #[error("{0}")]
    Format(#[from] DecodeError),
    /// The envelope is for something else.
    #[error("debug token: expected payload type {PAYLOAD_TYPE}, found {0}")]
    PayloadType(String),
    /// A debug key of our own configuration is none.
    #[error("debug token: debug key {0} in the trust configuration is not an ed25519 public key")]
    TrustedKey(usize),
    /// Nobody signed it whom this image names.
    #[error(
        "debug token: expected a signature by one of {0} debug keys of this image, found none that is good"
    )]
    Signature(usize),
    /// Another image.
    #[error("debug token: expected image id {expected}, found {found}")]
    ImageId {
        /// This one.
        expected: ImageId,
        /// The token's.
        found: ImageId,
    },
    /// Another machine.
    #[error("debug token: expected machine {expected}, found {found}")]
    Machine {
        /// This one.
        expected: Sha256Digest,
        /// The token's.
        found: Sha256Digest,
    },
    /// Another day.
    #[error("debug token: it is for {found}, and today is {expected} by this machine's clock (UTC)")]
    Day {
        /// Today.
        expected: UtcDay,
        /// The token's.
        found: UtcDay,
    },
}

/// Verifies the bytes of the file.
///
/// # Errors
/// One [`DebugRefusal`] per step, in the order of the specification.
pub fn verify(file: &[u8], facts: &DebugFacts<'_>) -> Result<AcceptedToken, DebugRefusal> {
    // §3.1 an image without debug keys decodes nothing.
    if facts.keys.is_empty() {
        return Err(DebugRefusal::NoKeys);
    }
    // §3.2 length and shape of the envelope, payload type.
    if file.len() > MAX_FILE_BYTES {
        return Err(DebugRefusal::TooLong(file.len()));
    }
    let envelope = Envelope::decode(file)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(DebugRefusal::PayloadType(
            envelope.payload_type.chars().take(80).collect(),
        ));
    }
    // §3.3 a signature over the bytes as they are.
    let signed_by = signer(&envelope, facts.keys)?;
    // §3.4 only now the payload is decoded.
    let token = DebugToken::decode(&envelope.payload)?;
    // §3.5 image, machine, day.
    if token.image_id != *facts.image_id {
        return Err(DebugRefusal::ImageId {
            expected: facts.image_id.clone(),
            found: token.image_id,
        });
    }
    if token.machine != facts.machine {
        return Err(DebugRefusal::Machine {
            expected: facts.machine,
            found: token.machine,
        });
    }
    if token.day != facts.today {
        return Err(DebugRefusal::Day {
            expected: facts.today,
            found: token.day,
        });
    }
    Ok(AcceptedToken {
        token,
        signed_by,
        digest: Sha256Digest::of(&envelope.payload),
    })
}

/// The first debug key with a good signature. Key ids are hints that anyone can write: each key is tried with each
/// signature.
fn signer(envelope: &Envelope, keys: &[ReleaseKey]) -> Result<Sha256Digest, DebugRefusal> {
    let message = envelope.pre_authentication_encoding();
    for (index, key) in keys.iter().enumerate() {
        let no_key = || DebugRefusal::TrustedKey(index);
        let raw: [u8; 32] = key.0.as_slice().try_into().map_err(|_| no_key())?;
        let verifying = VerifyingKey::from_bytes(&raw).map_err(|_| no_key())?;
        let good = |sig: &[u8]| {
            Signature::from_slice(sig).is_ok_and(|sig| verifying.verify_strict(&message, &sig).is_ok())
        };
        if envelope.signatures.iter().any(|s| good(&s.sig)) {
            return Ok(key_id(&raw));
        }
    }
    Err(DebugRefusal::Signature(keys.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::dsse::{self, SLOT_PAYLOAD_TYPE};
    use ed25519_dalek::{Signer as _, SigningKey};

    const DAY: &str = "2026-11-21";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn token() -> DebugToken {
        DebugToken {
            schema: 1,
            image_id: "demo".parse().unwrap(),
            machine: Sha256Digest([7; 32]),
            day: DAY.parse().unwrap(),
            note: "ticket 7".into(),
        }
    }

    fn sealed(payload_type: &str, payload: &[u8], key: &SigningKey) -> Vec<u8> {
        let message = dsse::pre_authentication_encoding(payload_type, payload);
        let envelope = Envelope {
            payload_type: payload_type.to_owned(),
            payload: payload.to_vec(),
            signatures: vec![dsse::Signature {
                keyid: key_id(key.verifying_key().as_bytes()),
                sig: key.sign(&message).to_bytes().to_vec(),
            }],
        };
        serde_json::to_vec(&envelope).unwrap()
    }

    fn signed(token: &DebugToken, by: u8) -> Vec<u8> {
        sealed(PAYLOAD_TYPE, &serde_json::to_vec(token).unwrap(), &key(by))
    }

    fn check(file: &[u8], keys: &[u8]) -> Result<AcceptedToken, DebugRefusal> {
        let keys: Vec<ReleaseKey> = keys
            .iter()
            .map(|seed| ReleaseKey(key(*seed).verifying_key().to_bytes().to_vec()))
            .collect();
        let id = "demo".parse().unwrap();
        let facts = DebugFacts {
            keys: &keys,
            image_id: &id,
            machine: Sha256Digest([7; 32]),
            today: DAY.parse().unwrap(),
        };
        verify(file, &facts)
    }

    #[test]
    fn a_token_of_this_machine_and_day_by_a_debug_key_counts() {
        let accepted = check(&signed(&token(), 2), &[1, 2]).unwrap();
        assert_eq!(*accepted.token(), token());
        assert_eq!(accepted.signed_by(), key_id(key(2).verifying_key().as_bytes()));
        let payload = serde_json::to_vec(&token()).unwrap();
        assert_eq!(accepted.digest(), Sha256Digest::of(&payload));
    }

    #[test]
    fn each_wrong_token_is_refused_for_its_reason() {
        let good = signed(&token(), 1);
        assert_eq!(check(&good, &[]), Err(DebugRefusal::NoKeys));
        assert_eq!(check(&good, &[2]), Err(DebugRefusal::Signature(1)));
        let machine = DebugToken {
            machine: Sha256Digest([8; 32]),
            ..token()
        };
        assert!(matches!(
            check(&signed(&machine, 1), &[1]),
            Err(DebugRefusal::Machine { .. })
        ));
        for day in ["2026-11-20", "2026-11-22"] {
            let other = DebugToken {
                day: day.parse().unwrap(),
                ..token()
            };
            assert!(matches!(
                check(&signed(&other, 1), &[1]),
                Err(DebugRefusal::Day { .. })
            ));
        }
        let image = DebugToken {
            image_id: "other".parse().unwrap(),
            ..token()
        };
        assert!(matches!(
            check(&signed(&image, 1), &[1]),
            Err(DebugRefusal::ImageId { .. })
        ));
        let payload = serde_json::to_vec(&token()).unwrap();
        let manifest = sealed(SLOT_PAYLOAD_TYPE, &payload, &key(1));
        assert!(matches!(
            check(&manifest, &[1]),
            Err(DebugRefusal::PayloadType(_))
        ));
        let text = sealed(PAYLOAD_TYPE, b"{}", &key(1));
        assert!(matches!(check(&text, &[1]), Err(DebugRefusal::Format(_))));
        assert!(matches!(check(b"{", &[1]), Err(DebugRefusal::Format(_))));
        let long = vec![b' '; MAX_FILE_BYTES + 1];
        assert_eq!(check(&long, &[1]), Err(DebugRefusal::TooLong(MAX_FILE_BYTES + 1)));
    }

    #[test]
    fn no_changed_byte_of_the_payload_or_the_signature_counts() {
        let mut envelope = Envelope::decode(&signed(&token(), 1)).unwrap();
        for at in 0..envelope.payload.len() {
            envelope.payload[at] ^= 1;
            let file = serde_json::to_vec(&envelope).unwrap();
            assert_eq!(
                check(&file, &[1]),
                Err(DebugRefusal::Signature(1)),
                "payload {at}"
            );
            envelope.payload[at] ^= 1;
        }
        for at in 0..64 {
            envelope.signatures[0].sig[at] ^= 1;
            let file = serde_json::to_vec(&envelope).unwrap();
            assert_eq!(
                check(&file, &[1]),
                Err(DebugRefusal::Signature(1)),
                "signature {at}"
            );
            envelope.signatures[0].sig[at] ^= 1;
        }
    }
}
