//! Factory reset: asked for by the running system or at the recovery screen, done before the state volume is opened.
//!
//! Reads: the wish on the ESP (anybody's), the firmware's variable with the floor, the TPM. Writes: that variable, the
//! TPM (cleared), the header of the state partition, the sealed files, each in the order that
//! `bennu_policy::reset` gives, so that a power cut leaves a machine that was not touched or goes on here. What comes
//! after is a first start. On failure before the TPM is cleared nothing has happened, and the machine starts as it
//! is; afterwards it is `FACTORY-RESET`, and the next start goes on.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::floor;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::secrets::Besides;
use crate::slot::Slot;
use crate::tpm::Measured;
use bennu_esp::FoundSecret;
use bennu_formats::factory_reset::{FLOOR_VARIABLE, KEY_BYTES, KEY_WORDS, ResetRequest};
use bennu_formats::handover::{FactoryReset, RefusedSecret};
use bennu_formats::paths;
use bennu_formats::trust::{StateRule, TrustConfig};
use bennu_linux::block::OpenMode;
use bennu_linux::efivars::{BENNU, EfiVars, PERSISTENT, Variable};
use bennu_luks::template::HEADER_AREA_BYTES;
use bennu_policy::reset::{self as policy, Act, ResetDecision, ResetFacts, Wish};
use bennu_tpm::{FloorState, HashAlg, ReleasePolicy, SealedBlob, SrkTrust};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of the variable.
const FLOOR_BYTES: usize = 8;

/// Carries out a reset that was asked for, or goes on with one; gives what to tell the running system.
pub fn carry_out(
    tpm: &mut Measured,
    esp: &Mounted,
    boot: &Boot<'_>,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<Option<FactoryReset>, InitError> {
    let wish = esp.files().reset_request()?;
    let wish = match wish.as_deref().map(ResetRequest::decode) {
        None | Some(Ok(None)) => None,
        Some(found) => Some(found),
    };
    let kept_floor = kept_floor(journal)?;
    if wish.is_none() && kept_floor.is_none() {
        return Ok(None);
    }
    let mut reset = Reset {
        tpm,
        esp,
        slot: boot.slot,
        trust: boot.trust,
        release: boot.release,
        besides,
        journal,
        authorisations: None,
        refused: Vec::new(),
        alive: None,
    };
    let wish = match wish {
        None => Wish::None,
        Some(Ok(Some(request))) => reset.check(&request),
        Some(Ok(None)) => Wish::None,
        Some(Err(error)) => {
            reset.journal.warn(&error.to_string());
            Wish::Planted
        }
    };
    let facts = ResetFacts {
        wish,
        kept_floor,
        owned: reset.is_owned()?,
        floor: reset.floor()?,
    };
    reset.run(policy::decide(&facts), wish)
}

/// As [`hand_over_key`], on a machine that has its authorisations: a start that fails behind this can be asked for a reset
/// at the recovery screen.
pub fn hand_over_key_if_owned(
    tpm: &mut Measured,
    esp: &Mounted,
    release: &ReleasePolicy,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<(), InitError> {
    if let FoundSecret::Sealed(_) = esp.files().sealed_secret(paths::OWNER_SECRET)? {
        hand_over_key(tpm, esp, release, besides, journal);
    }
    Ok(())
}

/// The key that makes a wish count, for the running system's root and the recovery screen. A machine without it starts
/// all the same.
pub fn hand_over_key(
    tpm: &mut Measured,
    esp: &Mounted,
    release: &ReleasePolicy,
    besides: Besides<'_>,
    journal: &mut Journal,
) {
    if Path::new(paths::RUN_RESET_KEY).exists() {
        return;
    }
    let handed = floor::authorisations_as_sealed(tpm, esp, release, besides).and_then(|authorisations| {
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(paths::RUN_RESET_KEY)
            .and_then(|mut file| file.write_all(key(&authorisations).as_ref()))
            .map_err(|source| InitError::Write {
                path: paths::RUN_RESET_KEY.to_owned(),
                source,
            })
    });
    if let Err(error) = handed {
        journal.warn(&format!("no factory reset can be asked for: {error}"));
    }
}

/// HMAC-SHA-256 of fixed words under both authorisations, which nobody at runtime holds.
fn key(authorisations: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let digest = HashAlg::Sha256.keyed_digest(authorisations, KEY_WORDS);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.iter_mut()
        .zip(digest.as_bytes())
        .for_each(|(to, from)| *to = *from);
    key
}

/// The floor that a reset has put into the firmware's variable.
fn kept_floor(journal: &mut Journal) -> Result<Option<u64>, InitError> {
    let found = EfiVars::default()
        .read(BENNU, FLOOR_VARIABLE, FLOOR_BYTES)
        .map_err(InitError::EfiVariable)?;
    Ok(
        match found.map(|variable| <[u8; FLOOR_BYTES]>::try_from(variable.value)) {
            None => None,
            Some(Ok(bytes)) => Some(u64::from_be_bytes(bytes)),
            Some(Err(value)) => {
                journal.warn(&format!(
                "EFI variable {FLOOR_VARIABLE}: expected {FLOOR_BYTES} bytes, found {}; it is passed over",
                value.len()
            ));
                None
            }
        },
    )
}

/// What a reset works with.
struct Reset<'a> {
    tpm: &'a mut Measured,
    esp: &'a Mounted,
    slot: &'a Slot,
    trust: &'a TrustConfig,
    release: &'a ReleasePolicy,
    besides: Besides<'a>,
    journal: &'a mut Journal,
    /// The owner's and the lockout one.
    authorisations: Option<Zeroizing<Vec<u8>>>,
    refused: Vec<RefusedSecret>,
    /// An old secret that was not shown to be dead: told when the header is erased.
    alive: Option<InitError>,
}

impl Reset<'_> {
    /// Whether the wish was made with this TPM's key.
    fn check(&mut self, request: &ResetRequest) -> Wish {
        let code = request.code();
        match floor::authorisations_as_sealed(self.tpm, self.esp, self.release, self.besides) {
            Ok(authorisations) => {
                let authentic = policy::is_authentic(&key(&authorisations), request);
                self.authorisations = Some(authorisations);
                if authentic {
                    self.journal.say(&format!("factory reset {code} was asked for"));
                    Wish::Authentic
                } else {
                    self.journal.warn(&format!(
                        "factory reset {code}: not asked for on this machine; nothing is reset"
                    ));
                    Wish::Planted
                }
            }
            // It stays: what hinders this may be gone at the next start.
            Err(error) => {
                self.journal
                    .warn(&format!("factory reset {code}: cannot be checked: {error}"));
                Wish::None
            }
        }
    }

    fn is_owned(&mut self) -> Result<bool, InitError> {
        let properties = self.tpm.client().properties().map_err(InitError::Owner)?;
        Ok(properties.lockout_auth_set)
    }

    fn floor(&mut self) -> Result<Option<u64>, InitError> {
        let floor = floor::of(&self.release.key);
        let state = self.tpm.client().floor(&floor, SrkTrust::FirstUse);
        Ok(match state.map_err(InitError::Floor)? {
            FloorState::At(height) => Some(height),
            FloorState::Absent | FloorState::Unwritten => None,
        })
    }

    fn run(mut self, decision: ResetDecision, wish: Wish) -> Result<Option<FactoryReset>, InitError> {
        let height = match decision {
            ResetDecision::None { .. } => 0,
            ResetDecision::Begin { floor } => floor,
            ResetDecision::Finish { floor } => {
                self.journal.say("going on with a factory reset that was cut off");
                floor
            }
        };
        for act in decision.acts() {
            // The files stay, so that no later start takes it for done.
            if *act == Act::BlankSecrets
                && let Some(alive) = self.alive.take()
            {
                return Err(alive);
            }
            match self.perform(*act, height) {
                Ok(()) => {}
                Err(error) if matches!(act, Act::KeepFloor | Act::ClearTpm) => {
                    return self.call_off(&error).map(Some);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(match decision {
            ResetDecision::None { .. } => (wish == Wish::Planted).then(|| FactoryReset::NotDone {
                reason: "it was not asked for on this machine".to_owned(),
            }),
            ResetDecision::Begin { .. } | ResetDecision::Finish { .. } => {
                self.journal.say(&format!(
                    "factory reset done: floor kept at {height}; a first start follows"
                ));
                Some(FactoryReset::Done {
                    floor: height,
                    refused: self.refused,
                })
            }
        })
    }

    /// Nothing has happened yet: the machine starts as it is.
    fn call_off(mut self, error: &InitError) -> Result<FactoryReset, InitError> {
        self.journal
            .error(&format!("factory reset not done, nothing was touched: {error}"));
        self.perform(Act::ForgetWish, 0)?;
        self.perform(Act::ForgetFloor, 0)?;
        Ok(FactoryReset::NotDone {
            reason: error.to_string(),
        })
    }

    fn perform(&mut self, act: Act, height: u64) -> Result<(), InitError> {
        match act {
            Act::KeepFloor => {
                let variable = Variable {
                    attributes: PERSISTENT,
                    value: height.to_be_bytes().to_vec(),
                };
                EfiVars::default()
                    .write(BENNU, FLOOR_VARIABLE, &variable, FLOOR_BYTES)
                    .map_err(InitError::ResetVariable)
            }
            Act::ClearTpm => self.clear_tpm(),
            Act::SetUpFloor => self.set_up_floor(height),
            Act::ShowDead => self.show_dead(),
            Act::EraseHeader => self.erase_header(),
            Act::BlankSecrets => {
                let blanked = self.esp.files().blank_sealed_secrets()?;
                self.journal.say(&format!("overwrote {blanked} sealed files"));
                Ok(())
            }
            Act::ForgetWish => Ok(self.esp.files().blank_reset_request()?),
            Act::ForgetFloor => EfiVars::default()
                .delete(BENNU, FLOOR_VARIABLE)
                .map(drop)
                .map_err(InitError::ResetVariable),
        }
    }

    fn clear_tpm(&mut self) -> Result<(), InitError> {
        let authorisations = self.authorisations.take().ok_or(InitError::OwnerUnknown)?;
        let (_, lockout) = authorisations.split_at(floor::AUTH_BYTES);
        self.tpm
            .client()
            .clear_owner(lockout)
            .map_err(InitError::ResetClear)?;
        self.journal.say("cleared the TPM");
        Ok(())
    }

    fn set_up_floor(&mut self, height: u64) -> Result<(), InitError> {
        if self.floor()?.is_none() {
            let floor = floor::of(&self.release.key);
            self.tpm
                .client()
                .begin_floor_at(&floor, height)
                .map_err(InitError::Floor)?;
        }
        Ok(())
    }

    /// The TPM must refuse every old file as not its own.
    fn show_dead(&mut self) -> Result<(), InitError> {
        for name in self.esp.files().sealed_secrets()? {
            let FoundSecret::Sealed(bytes) = self.esp.files().sealed_secret(&name)? else {
                continue;
            };
            // What does not decode was never ours to open.
            let Ok(blob) = SealedBlob::decode(&bytes) else {
                self.journal.warn(&format!("{name}: no sealed file of ours"));
                continue;
            };
            match self.tpm.client().show_dead(&blob) {
                Ok(dead) => {
                    self.journal
                        .say(&format!("the TPM refuses the old secret {name}: {}", dead.code));
                    self.refused.push(RefusedSecret {
                        name,
                        code: dead.code.to_string(),
                    });
                }
                Err(source) => {
                    let error = InitError::ResetAlive { name, source };
                    self.journal.error(&error.to_string());
                    self.alive = Some(error);
                }
            }
        }
        Ok(())
    }

    fn erase_header(&mut self) -> Result<(), InitError> {
        let (StateRule::Encrypted, Some(partition)) = (self.trust.state, self.slot.state.as_ref()) else {
            return Ok(());
        };
        let mut file = partition.open(OpenMode::ReadWrite)?;
        file.write_all(&vec![0; HEADER_AREA_BYTES])
            .and_then(|()| file.sync_all())
            .map_err(InitError::ResetErase)?;
        self.journal
            .say("overwrote the state volume's header and keyslots");
        Ok(())
    }
}
