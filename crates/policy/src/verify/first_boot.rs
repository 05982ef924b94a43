//! Verification of a first-boot configuration, in the order of `docs/spec/first-boot.md` §3.
//!
//! The bytes come from the ESP: anybody with the disk can write them, take them away or bring another machine's.

use super::{Verified, claimed_keys, good_signers};
use bennu_formats::Code;
use bennu_formats::decode::{DecodeError, Document};
use bennu_formats::digest::Sha256Digest;
use bennu_formats::dsse::Envelope;
use bennu_formats::first_boot::{FirstBoot, MachineUuid, PAYLOAD_TYPE};
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::names::ImageId;
use bennu_formats::trust::{ReleaseKey, TrustConfig};

/// Whom to believe, and what the machine is.
#[derive(Debug, Clone)]
pub struct FirstBootTrust<'a> {
    /// Configuration keys; one of them must have signed.
    pub keys: &'a [ReleaseKey],
    /// The image.
    pub image_id: &'a ImageId,
    /// What the image keeps.
    pub identity: &'a IdentityRule,
    /// The machine, as its firmware names it; `None` where the firmware does not.
    pub machine: Option<&'a MachineUuid>,
}

impl<'a> FirstBootTrust<'a> {
    /// What the signed initrd says, on this machine.
    pub fn new(trust: &'a TrustConfig, machine: Option<&'a MachineUuid>) -> Self {
        Self {
            keys: &trust.configuration_keys,
            image_id: &trust.image_id,
            identity: &trust.identity,
            machine,
        }
    }
}

/// Why a first-boot configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirstBootRefusal {
    /// The envelope or the payload is not in the expected form.
    #[error("first-boot configuration: {0}")]
    Format(#[from] DecodeError),
    /// The envelope is for something else.
    #[error("first-boot configuration: expected payload type {PAYLOAD_TYPE}, found {0}")]
    PayloadType(String),
    /// The image names no configuration key.
    #[error(
        "first-boot configuration: expected none, because this image names no configuration key, found one"
    )]
    NoKeys,
    /// A trusted key of our own configuration is no ed25519 key.
    #[error("first-boot configuration: configuration key {0} of the image is not an ed25519 public key")]
    TrustedKey(usize),
    /// No good signature by a trusted key.
    #[error(
        "first-boot configuration: expected a signature by one of {trusted} configuration keys, found none; signatures \
         claim the keys {claimed}"
    )]
    Signature {
        /// Keys of the image.
        trusted: usize,
        /// Key ids in the envelope, first 16 hex digits each.
        claimed: String,
    },
    /// Another image.
    #[error("first-boot configuration: expected image id {expected}, found {found}")]
    ImageId {
        /// Of this machine.
        expected: ImageId,
        /// Of the file.
        found: ImageId,
    },
    /// Another machine.
    #[error("first-boot configuration: expected one for machine {expected}, found one for {found}")]
    Machine {
        /// This machine, or that it has no name.
        expected: String,
        /// Of the file.
        found: MachineUuid,
    },
    /// It would be lost at the next start.
    #[error(
        "first-boot configuration: expected only what the image keeps, found {0:?}, which [identity] in image.toml leaves out"
    )]
    NotKept(IdentityClass),
}

impl FirstBootRefusal {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Format(_) | Self::PayloadType(_) | Self::NotKept(_) => Code::FirstBootFormat,
            Self::NoKeys | Self::TrustedKey(_) | Self::Signature { .. } => Code::FirstBootSignature,
            Self::ImageId { .. } | Self::Machine { .. } => Code::FirstBootOther,
        }
    }
}

/// Proves the bytes of `/bennu/first-boot.json`.
///
/// # Errors
/// The first step of `docs/spec/first-boot.md` §3 that does not hold.
pub fn verify(bytes: &[u8], trust: &FirstBootTrust<'_>) -> Result<Verified<FirstBoot>, FirstBootRefusal> {
    // §3.1 length, envelope, payload type.
    let envelope = Envelope::decode(bytes)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        let found = envelope.payload_type.chars().take(80).collect();
        return Err(FirstBootRefusal::PayloadType(found));
    }
    // §3.2 signature, over the bytes as they are.
    if trust.keys.is_empty() {
        return Err(FirstBootRefusal::NoKeys);
    }
    let good = good_signers(&envelope, trust.keys).map_err(FirstBootRefusal::TrustedKey)?;
    if good.is_empty() {
        return Err(FirstBootRefusal::Signature {
            trusted: trust.keys.len(),
            claimed: claimed_keys(&envelope),
        });
    }
    // §3.3 payload: nothing in it was looked at before.
    let config = FirstBoot::decode(&envelope.payload)?;
    // §3.4 image.
    if config.image_id != *trust.image_id {
        return Err(FirstBootRefusal::ImageId {
            expected: trust.image_id.clone(),
            found: config.image_id,
        });
    }
    // §3.5 machine.
    if let Some(found) = config
        .machine
        .as_ref()
        .filter(|found| Some(*found) != trust.machine)
    {
        return Err(FirstBootRefusal::Machine {
            expected: trust.machine.map_or_else(
                || "without a uuid in its firmware".to_owned(),
                ToString::to_string,
            ),
            found: found.clone(),
        });
    }
    // §3.6 nothing that would be lost.
    if let Some(class) = config.not_kept_by(trust.identity) {
        return Err(FirstBootRefusal::NotKept(class));
    }
    Ok(Verified {
        value: config,
        signed_by: good.into_iter().collect(),
        signed_bytes_sha256: Sha256Digest::of(&envelope.payload),
    })
}
