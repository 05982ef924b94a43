//! The machine's secrets: made and sealed on the first start, unsealed at each later one.
//!
//! A sealed secret lies on the ESP and may have been replaced or removed by anyone: the TPM opens only what it
//! sealed itself, under a policy that the policy key signed. A missing one is made anew; whoever removed it has
//! destroyed a secret and learnt none. So is an empty one, which is what a power cut leaves of a first start: a blob
//! is durable on the ESP before its secret is given to anybody.
//!
//! On a machine whose volume key is guarded by a PIN or by Secure Boot's state, what follows from that key guards every
//! other sealed file: none opens before the volume's key.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::floor;
use crate::journal::Journal;
use crate::tpm::Measured;
use bennu_esp::FoundSecret;
use bennu_formats::Sha256Digest;
use bennu_formats::manifest::{POLICY_REF, SlotManifest};
use bennu_formats::trust::{LocalRule, SecretSpec, TrustConfig};
use bennu_luks::VolumeKey;
use bennu_policy::verify::Verified;
use bennu_tpm::{
    AuthRule, HashAlg, LocalAuth, PcrValues, ReleasePolicy, RsaPublic, SealLocal, SealPolicy, SealedBlob,
    SrkTrust, Tpm, TpmError, UnsealError,
};
use zeroize::Zeroizing;

/// An open secret.
pub struct Secret {
    /// Name.
    pub name: String,
    /// Value; wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
    blob: SealedBlob,
    auth: Option<LocalAuth>,
}

/// What opens sealed files besides the release's policy, and guards new ones.
#[derive(Clone, Copy)]
pub struct Besides<'a> {
    /// Key of the state volume, where there is one.
    pub volume: Option<&'a VolumeKey>,
    /// What the image demands.
    pub rule: LocalRule,
}

impl Besides<'_> {
    /// For a file that says it takes one.
    fn to_open(self, name: &str, blob: &SealedBlob) -> Option<LocalAuth> {
        match blob.local.auth {
            AuthRule::Derived => self.volume.map(|key| LocalAuth::derived(key.as_bytes(), name)),
            AuthRule::None | AuthRule::Pin => None,
        }
    }

    /// For a new file: where the volume's key is guarded, everything else follows from it.
    fn to_seal(self, name: &str) -> Result<Option<LocalAuth>, InitError> {
        match (self.rule.guards(), self.volume) {
            (false, _) => Ok(None),
            (true, Some(key)) => Ok(Some(LocalAuth::derived(key.as_bytes(), name))),
            (true, None) => Err(InitError::Unguarded {
                name: name.to_owned(),
            }),
        }
    }

    /// Whether a file was sealed before the image demanded a guard.
    fn is_outgrown(self, blob: &SealedBlob) -> bool {
        self.rule.guards() && blob.local.auth == AuthRule::None
    }
}

/// Opens a sealed file.
pub fn unseal(
    tpm: &mut Measured,
    name: &str,
    blob: &SealedBlob,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
) -> Result<Zeroizing<Vec<u8>>, InitError> {
    unseal_by(tpm, blob, policy, besides.to_open(name, blob).as_ref()).map_err(|source| {
        InitError::SecretUnseal {
            name: name.to_owned(),
            source,
        }
    })
}

fn unseal_by(
    tpm: &mut Measured,
    blob: &SealedBlob,
    policy: &ReleasePolicy,
    auth: Option<&LocalAuth>,
) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
    match auth {
        Some(auth) => tpm.client().unseal_with(blob, policy, auth),
        None => tpm.client().unseal(blob, policy),
    }
}

/// Seals a file anew that was sealed before the image demanded a guard; gives the blob that counts.
pub fn outgrow(
    tpm: &mut Measured,
    esp: &Mounted,
    (name, blob, value): (&str, SealedBlob, &[u8]),
    key: &RsaPublic,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<SealedBlob, InitError> {
    if !besides.is_outgrown(&blob) {
        return Ok(blob);
    }
    let auth = besides.to_seal(name)?;
    let local = SealLocal {
        auth: auth.as_ref(),
        secure_boot: None,
    };
    let (blob, bytes) = seal(tpm, name, value, key, local)?;
    esp.files().replace_sealed_secret(name, &bytes)?;
    journal.say(&format!("sealed {name} anew, guarded by the state volume's key"));
    Ok(blob)
}

/// Opens every secret of the image, making those that are not there yet.
pub fn unseal_or_seal(
    tpm: &mut Measured,
    esp: &Mounted,
    trust: &TrustConfig,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<Vec<Secret>, InitError> {
    let mut secrets = Vec::new();
    for spec in &trust.secrets {
        let blob = match esp.files().sealed_secret(&spec.name)? {
            FoundSecret::Sealed(bytes) => {
                SealedBlob::decode(&bytes).map_err(|source| InitError::SecretBlob {
                    name: spec.name.clone(),
                    source,
                })?
            }
            FoundSecret::Undone => {
                say_undone(&spec.name, journal);
                make(tpm, esp, spec, &policy.key, besides, journal)?
            }
            FoundSecret::None => make(tpm, esp, spec, &policy.key, besides, journal)?,
        };
        // A fresh one is unsealed as well: a secret that does not open again is noticed now.
        let value = unseal(tpm, &spec.name, &blob, policy, besides)?;
        let sealed = (spec.name.as_str(), blob, value.as_slice());
        let blob = outgrow(tpm, esp, sealed, &policy.key, besides, journal)?;
        journal.say(&format!("unsealed secret {} ({} bytes)", spec.name, value.len()));
        secrets.push(Secret {
            name: spec.name.clone(),
            value,
            auth: besides.to_open(&spec.name, &blob),
            blob,
        });
    }
    Ok(secrets)
}

/// What the release says of the machine it runs on: PCRs and floor, signed by the policy key.
pub fn release_policy(
    trust: &TrustConfig,
    manifest: &Verified<SlotManifest>,
) -> Result<ReleasePolicy, InitError> {
    let m = manifest.get();
    let pcrs = [
        (11, m.pcrs.pcr11_enter_initrd),
        (12, m.pcrs.pcr12),
        (13, m.pcrs.pcr13),
        (15, Sha256Digest::ZERO),
    ]
    .into_iter()
    .try_fold(PcrValues::empty(HashAlg::Sha256), |all, (pcr, value)| {
        all.with(pcr, value.as_bytes())
    })
    .map_err(InitError::TpmRead)?;
    let format = |expected, found: usize| InitError::PolicyKey {
        expected,
        found: format!("{found} bytes"),
    };
    let key = RsaPublic::new(&trust.tpm_policy_modulus)
        .map_err(|e| format(e.to_string(), trust.tpm_policy_modulus.len()))?;
    Ok(ReleasePolicy {
        pcrs,
        nv: Some(floor::of(&key).at_most(m.security_version)),
        approved_policy: *m.tpm_policy.approved_policy.as_bytes(),
        signature: m
            .tpm_policy
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| format("a signature of 256 bytes".into(), m.tpm_policy.signature.len()))?,
        key,
        policy_ref: POLICY_REF.as_bytes().to_vec(),
    })
}

/// An empty file is taken as none, and that is said.
pub fn say_undone(name: &str, journal: &mut Journal) {
    journal.warn(&format!(
        "the file of secret {name} holds nothing: its first write was cut off, or it was reset; making another"
    ));
}

/// A fresh secret, sealed and written; no copy stays.
fn make(
    tpm: &mut Measured,
    esp: &Mounted,
    spec: &SecretSpec,
    key: &RsaPublic,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<SealedBlob, InitError> {
    let secret = random(tpm, spec.bytes as usize)?;
    let blob = seal_to_esp(tpm, esp, &spec.name, &secret, key, besides)?;
    journal.say(&format!("made secret {} and sealed it to this TPM", spec.name));
    Ok(blob)
}

/// Random bytes of kernel and TPM together.
pub fn random(tpm: &mut Measured, length: usize) -> Result<Zeroizing<Vec<u8>>, InitError> {
    let mut bytes = Zeroizing::new(vec![0u8; length]);
    getrandom::fill(&mut bytes).map_err(|e| InitError::Random(e.to_string()))?;
    let more = tpm
        .client()
        .random(length)
        .map_err(|e: TpmError| InitError::Random(e.to_string()))?;
    bytes
        .iter_mut()
        .zip(more.iter())
        .for_each(|(ours, theirs)| *ours ^= theirs);
    Ok(bytes)
}

/// Seals `secret`, guarded as the image demands, and writes the blob to the ESP; when this returns it is durable there.
pub fn seal_to_esp(
    tpm: &mut Measured,
    esp: &Mounted,
    name: &str,
    secret: &[u8],
    key: &RsaPublic,
    besides: Besides<'_>,
) -> Result<SealedBlob, InitError> {
    let auth = besides.to_seal(name)?;
    let local = SealLocal {
        auth: auth.as_ref(),
        secure_boot: None,
    };
    let (blob, bytes) = seal(tpm, name, secret, key, local)?;
    esp.files().write_sealed_secret(name, &bytes)?;
    Ok(blob)
}

/// Seals `secret`; the blob and its bytes, not written yet.
pub fn seal(
    tpm: &mut Measured,
    name: &str,
    secret: &[u8],
    key: &RsaPublic,
    local: SealLocal<'_>,
) -> Result<(SealedBlob, Vec<u8>), InitError> {
    let policy = SealPolicy {
        authorize_key: key,
        policy_ref: POLICY_REF.as_bytes(),
        srk: SrkTrust::FirstUse,
        local,
    };
    let blob = tpm
        .client()
        .seal(secret, &policy)
        .map_err(|source| InitError::SecretSeal {
            name: name.to_owned(),
            source,
        })?;
    let bytes = blob.encode().map_err(|e| InitError::Random(e.to_string()))?;
    Ok((blob, bytes))
}

/// Demands that the TPM has refused `what` because of its PCRs, as it does behind the latch.
pub fn refused<T>(found: Result<T, UnsealError>, what: &str) -> Result<(), InitError> {
    match found {
        Err(UnsealError::PcrMismatch { .. }) => Ok(()),
        Err(other) => Err(InitError::LatchUnclear(other)),
        Ok(_) => Err(InitError::LatchOpen(what.to_owned())),
    }
}

/// Demands that the TPM refuses what everything sealed names, and each of `secrets`, because of its PCRs. Says what it
/// refused.
pub fn prove_closed(
    tpm: &mut Measured,
    secrets: &[Secret],
    policy: &ReleasePolicy,
) -> Result<String, InitError> {
    refused(tpm.client().would_authorize(policy), "the release's policy")?;
    for Secret { name, blob, auth, .. } in secrets {
        let again = unseal_by(tpm, blob, policy, auth.as_ref());
        refused(again, &format!("a second unseal of {name}"))?;
    }
    Ok(match secrets.len() {
        0 => "the TPM refused the policy that all that is sealed names".to_owned(),
        count => format!("the TPM refused a second unseal of {count} secrets"),
    })
}
