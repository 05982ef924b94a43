//! The volume's key: unsealed before the latch, with the PIN where there is one; and what a new one is sealed under.
//!
//! Reads: the sealed file on the ESP, untrusted, and what is typed. Before anybody is asked for a PIN, everything else
//! that the TPM demands is looked at: a machine that will refuse anyway asks for nothing. Nothing on the disk lowers the
//! demand: it stands in the signed trust configuration, and a file that demands less is refused.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::pin;
use crate::secrets;
use crate::tpm::Measured;
use bennu_esp::FoundSecret;
use bennu_formats::Sha256Digest;
use bennu_formats::paths;
use bennu_formats::trust::{LocalRule, PinRule, SecureBootBinding, StateRule};
use bennu_luks::VolumeKey;
use bennu_tpm::{
    AuthRule, LocalAuth, LocalConditions, ReleasePolicy, RsaPublic, SECURE_BOOT_PCR, SealLocal, SealedBlob,
    Tpm as _, UnsealError,
};
use zeroize::Zeroizing;

/// The volume key, if there is a sealed one. While a person is asked, the start does not count.
pub fn find(
    tpm: &mut Measured,
    esp: &mut Mounted,
    boot: &Boot<'_>,
    hardware: &mut Hardware<'_>,
    journal: &mut Journal,
) -> Result<Option<VolumeKey>, InitError> {
    let name = paths::STATE_SECRET;
    if boot.trust.state == StateRule::Volatile {
        return Ok(None);
    }
    // An empty file is one that a power cut undid before anything relied on it.
    let FoundSecret::Sealed(bytes) = esp.files().sealed_secret(name)? else {
        return Ok(None);
    };
    let blob = SealedBlob::decode(&bytes).map_err(|source| InitError::SecretBlob {
        name: name.to_owned(),
        source,
    })?;
    if blob.local != LocalConditions::NONE || boot.trust.local.guards() {
        tpm.client()
            .would_open(&blob, boot.release)
            .map_err(unseal_error)?;
        demanded(&blob.local, boot.trust.local)?;
    }
    let key = if blob.local.auth == AuthRule::Pin {
        esp.waiting_begins()?;
        let key = pin::open(tpm, &blob, boot.release, hardware, journal)?;
        esp.waiting_ends()?;
        key
    } else {
        tpm.client().unseal(&blob, boot.release).map_err(unseal_error)?
    };
    let key = VolumeKey::new(&key).map_err(|e| InitError::StateHeader(e.to_string()))?;
    Ok(Some(key))
}

fn unseal_error(source: UnsealError) -> InitError {
    InitError::SecretUnseal {
        name: paths::STATE_SECRET.to_owned(),
        source,
    }
}

/// What the file demands is at least what the image does; more is well, too.
fn demanded(found: &LocalConditions, rule: LocalRule) -> Result<(), InitError> {
    if rule.pin == PinRule::Required && found.auth != AuthRule::Pin {
        return Err(InitError::StateConditions { missing: "a pin" });
    }
    if rule.secure_boot == SecureBootBinding::Bound && found.secure_boot.is_none() {
        return Err(InitError::StateConditions {
            missing: "a state of secure boot",
        });
    }
    Ok(())
}

/// What a volume key is sealed under besides the release's policy.
pub struct Guard {
    auth: Option<LocalAuth>,
    secure_boot: Option<[u8; 32]>,
}

impl Guard {
    /// What the image demands: a new PIN is asked for, PCR 7 is read.
    pub fn choose(
        tpm: &mut Measured,
        rule: LocalRule,
        hardware: &mut Hardware<'_>,
        journal: &mut Journal,
    ) -> Result<Self, InitError> {
        let auth = match rule.pin {
            PinRule::None => None,
            PinRule::Required => Some(pin::choose(hardware, journal)?),
        };
        let secure_boot = match rule.secure_boot {
            SecureBootBinding::Free => None,
            SecureBootBinding::Bound => {
                let Sha256Digest(value) = tpm.secure_boot_pcr()?;
                journal.say(&format!(
                    "the volume key is sealed to PCR {SECURE_BOOT_PCR} besides, {}: a change of Secure Boot's keys, db or \
                     dbx costs the recovery key",
                    Sha256Digest(value)
                ));
                Some(value)
            }
        };
        Ok(Self { auth, secure_boot })
    }

    /// Seals the key; the blob and its bytes, not written yet.
    pub fn seal(
        &self,
        tpm: &mut Measured,
        volume: &VolumeKey,
        key: &RsaPublic,
    ) -> Result<(SealedBlob, Vec<u8>), InitError> {
        let local = SealLocal {
            auth: self.auth.as_ref(),
            secure_boot: self.secure_boot,
        };
        secrets::seal(tpm, paths::STATE_SECRET, volume.as_bytes(), key, local)
    }

    /// Unseals what [`Self::seal`] has made.
    pub fn unseal(
        &self,
        tpm: &mut Measured,
        blob: &SealedBlob,
        release: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        match &self.auth {
            Some(auth) => tpm.client().unseal_with(blob, release, auth),
            None => tpm.client().unseal(blob, release),
        }
    }

    /// Whether the image demands anything.
    pub fn is_any(&self) -> bool {
        self.auth.is_some() || self.secure_boot.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::Code;
    use bennu_formats::trust::ScreenResetRule;

    const RULE: LocalRule = LocalRule {
        pin: PinRule::Required,
        secure_boot: SecureBootBinding::Bound,
        screen_reset: ScreenResetRule::Never,
    };

    #[test]
    fn a_sealed_key_that_demands_less_than_the_image_is_refused_and_one_that_demands_more_is_not() {
        let both = LocalConditions {
            auth: AuthRule::Pin,
            secure_boot: Some([7; 32]),
        };
        demanded(&both, RULE).unwrap();
        let free = LocalRule {
            pin: PinRule::None,
            secure_boot: SecureBootBinding::Free,
            ..RULE
        };
        for found in [both, LocalConditions::NONE] {
            demanded(&found, free).unwrap();
        }
        for (found, what) in [
            (LocalConditions::NONE, "a pin"),
            (
                LocalConditions {
                    auth: AuthRule::Derived,
                    ..both
                },
                "a pin",
            ),
            (
                LocalConditions {
                    secure_boot: None,
                    ..both
                },
                "a state of secure boot",
            ),
        ] {
            let error = demanded(&found, RULE).unwrap_err();
            assert_eq!(error.code(), Code::StateConditions);
            assert!(matches!(error, InitError::StateConditions { missing } if missing == what));
        }
    }
}
