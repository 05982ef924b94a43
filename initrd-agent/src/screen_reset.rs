//! Factory reset at the recovery screen: two confirmations by whoever is in front of the machine, then a restart. Nothing is
//! destroyed here: what is written is what `bennuctl factory-reset` writes, and the next start does the rest.
//!
//! Offered where the image allows it, the failure is one that a reset cures, and it can be asked for: with the key that
//! this start took out of the TPM, or on a TPM that has no owner any more. Reads: what is typed. Writes, with both
//! confirmations only: the wish on the ESP, or the firmware's variable with the floor. Anything else that is typed changes
//! nothing. Normative text: `docs/spec/factory-reset.md` §1a.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::talk::Talk;
use crate::tpm::Measured;
use bennu_formats::factory_reset::{FLOOR_VARIABLE, KEY_BYTES, NONCE_BYTES, code};
use bennu_formats::paths;
use bennu_formats::trust::{ScreenResetRule, TrustConfig};
use bennu_linux::block::BlockDevice;
use bennu_linux::bounded;
use bennu_linux::console_input::{Patience, Typed};
use bennu_linux::efivars::{BENNU, EfiVars, PERSISTENT, Variable};
use bennu_linux::reboot::{End, end as end_machine, sync};
use bennu_policy::reset::{self as policy, ScreenReset, ScreenResetFacts};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The first confirmation.
const WORDS: &str = "factory reset";
/// How long the code of the second one stands.
const CONFIRM_WITHIN: Patience = Patience {
    silence: Duration::from_secs(300),
    line: Duration::from_secs(300),
};
/// How long the last words stay on the screen before the restart.
const READING_TIME: Duration = Duration::from_secs(3);

/// All that a reset is asked for with.
pub struct Offer {
    esp: BlockDevice,
    trust: TrustConfig,
    how: How,
}

/// How the next start will know.
enum How {
    /// A wish, under the key that this start took out of the TPM.
    Wish(Zeroizing<[u8; KEY_BYTES]>),
    /// The floor in the firmware's variable: the TPM has no owner, and nothing else says that a reset is under way.
    Floor(u64),
}

/// Whether a reset can be asked for behind `error`. Called before the ESP is let go of; loads what keyboards need.
pub fn prepare(
    boot: &Boot<'_>,
    hardware: &mut Hardware<'_>,
    tpm: &mut Measured,
    error: &InitError,
    journal: &mut Journal,
) -> Option<Offer> {
    if boot.trust.local.screen_reset == ScreenResetRule::Never {
        return None;
    }
    let how = match how(boot, tpm, error) {
        Ok(Ok(how)) => how,
        Ok(Err(None)) => return None,
        Ok(Err(Some(why))) => {
            journal.say(&format!("no factory reset is offered: {why}"));
            return None;
        }
        Err(why) => {
            journal.warn(&format!("no factory reset is offered: {why}"));
            return None;
        }
    };
    if let Err(error) = hardware.for_prompt(journal) {
        journal.warn(&error.to_string());
    }
    Some(Offer {
        esp: boot.slot.esp.clone(),
        trust: boot.trust.clone(),
        how,
    })
}

fn how(
    boot: &Boot<'_>,
    tpm: &mut Measured,
    error: &InitError,
) -> Result<Result<How, Option<&'static str>>, InitError> {
    let key = key();
    let facts = ScreenResetFacts {
        code: error.code(),
        owned: tpm
            .client()
            .properties()
            .map_err(InitError::Owner)?
            .lockout_auth_set,
        has_key: key.is_some(),
    };
    Ok(match (policy::at_the_screen(&facts), key) {
        (ScreenReset::ByWish, Some(key)) => Ok(How::Wish(key)),
        (ScreenReset::ByFloor, _) => Ok(How::Floor(boot.manifest.get().security_version)),
        (ScreenReset::NotCurable, _) => Err(None),
        (ScreenReset::Refused(why), _) => Err(Some(why)),
        (ScreenReset::ByWish, None) => Err(None),
    })
}

/// The key that this start has handed over, if it came so far.
fn key() -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = bounded::read(Path::new(paths::RUN_RESET_KEY), KEY_BYTES).ok()?;
    let bytes = Zeroizing::new(bytes);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    (bytes.len() == KEY_BYTES).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}

impl Offer {
    /// Listens for `patience`; restarts the machine once both confirmations were given, and returns when nobody typed.
    pub fn listen(&self, patience: Duration, journal: &mut Journal) {
        let mut talk = Talk::on_consoles(journal);
        let patience = Patience {
            silence: patience,
            line: patience,
        };
        loop {
            talk.prompt(&format!(
                "\r\nbennu-init: to destroy all that this machine keeps and begin anew, type the words `{WORDS}`\r\nwords: "
            ));
            match talk.line(patience) {
                Ok(Typed::Line(line)) if line.as_slice() == WORDS.as_bytes() => {}
                Ok(Typed::Line(_) | Typed::TooLong | Typed::Declined) => {
                    talk.tell("these are not the words of a factory reset: nothing was changed");
                    continue;
                }
                Ok(Typed::Nothing) if talk.is_deaf() => break,
                Ok(Typed::Nothing) => return,
                Err(error) => {
                    talk.tell(&error.to_string());
                    break;
                }
            }
            match self.confirm(&mut talk) {
                Ok(true) => return self.restart(journal),
                Ok(false) => talk.tell("that is not the code: nothing was changed"),
                Err(error) => talk.tell(&format!("no factory reset was asked for: {error}")),
            }
        }
        drop(talk);
        std::thread::sleep(patience.silence);
    }

    /// The second confirmation. Whether the reset is asked for now.
    fn confirm(&self, talk: &mut Talk<'_>) -> Result<bool, InitError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|e| InitError::Random(e.to_string()))?;
        let code = code(&nonce);
        talk.tell(
            "a factory reset destroys the state volume, every secret and the recovery key of this machine for ever",
        );
        talk.prompt(&format!(
            "if that is meant, type {code} within five minutes\r\ncode: "
        ));
        match talk.line(CONFIRM_WITHIN)? {
            Typed::Line(line) if line.as_slice() == code.as_bytes() => {}
            Typed::Line(_) | Typed::TooLong | Typed::Declined | Typed::Nothing => return Ok(false),
        }
        let mut esp = Mounted::mount_again(&self.esp, &self.trust)?;
        let asked = self.ask(&esp, nonce).and_then(|()| esp.taken_over(&self.trust));
        let let_go = esp.let_go();
        asked.and(let_go)?;
        talk.tell(&format!("factory reset {code} is asked for: restarting"));
        Ok(true)
    }

    fn ask(&self, esp: &Mounted, nonce: [u8; NONCE_BYTES]) -> Result<(), InitError> {
        match &self.how {
            How::Wish(key) => {
                let wish = policy::seal_wish(key, nonce);
                Ok(esp.files().write_reset_request(&wish.encode())?)
            }
            How::Floor(height) => {
                let variable = Variable {
                    attributes: PERSISTENT,
                    value: height.to_be_bytes().to_vec(),
                };
                EfiVars::default()
                    .write(BENNU, FLOOR_VARIABLE, &variable, variable.value.len())
                    .map_err(InitError::ResetVariable)
            }
        }
    }

    fn restart(&self, journal: &mut Journal) {
        sync();
        std::thread::sleep(READING_TIME);
        let Err(error) = end_machine(End::Reboot);
        journal.error(&error.to_string());
    }
}
