//! The recovery key of a new volume, and who gets it.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::journal::Journal;
use bennu_age::RandomFailed;
use bennu_formats::paths;
use bennu_formats::trust::RecoveryRule;
use bennu_luks::RecoveryKey;
use zeroize::Zeroizing;

/// Writes the key to the ESP where it goes to an escrow key: before the header is written, so that no volume is without
/// it.
pub fn escrow(
    key: &RecoveryKey,
    uuid: uuid::Uuid,
    rule: &RecoveryRule,
    esp: &Mounted,
) -> Result<(), InitError> {
    let RecoveryRule::Escrow(recipient) = rule else {
        return Ok(());
    };
    let text = Zeroizing::new(format!("{}\nstate volume {uuid}\n", key.as_str()));
    let mut random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(|_| RandomFailed);
    let blob =
        bennu_age::encrypt(recipient.as_bytes(), text.as_bytes(), &mut random).map_err(InitError::Escrow)?;
    Ok(esp.files().write_recovery_blob(blob.as_bytes())?)
}

/// Shows the key once, or says where it is. For a volume that is whole.
pub fn announce(key: &RecoveryKey, rule: &RecoveryRule, journal: &mut Journal) {
    match rule {
        // Once, and nowhere but on the console: whoever sets the machine up writes it down.
        RecoveryRule::Console => {
            journal.show_once(&format!("recovery key of the state volume: {}", key.as_str()));
        }
        RecoveryRule::Escrow(recipient) => journal.say(&format!(
            "the state volume's recovery key is encrypted to {recipient} in /{} on the ESP: copy it",
            paths::ESP_RECOVERY_BLOB
        )),
    }
}
