//! A TPM that takes no PIN is made to forget the wrong ones: by the lockout authorisation, which follows from the volume's
//! key. Before the latch, since that authorisation is sealed. Where it does not open the lockout passes with time.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::floor;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::secrets::Besides;
use crate::tpm::Measured;
use bennu_luks::VolumeKey;

/// Makes the TPM forget; says so, or why not.
pub fn lift(key: &VolumeKey, boot: &Boot<'_>, tpm: &mut Measured, esp: &Mounted, journal: &mut Journal) {
    match try_to_lift(key, boot, tpm, esp) {
        Ok(()) => journal.say("the TPM has forgotten the wrong PINs"),
        Err(error) => journal.warn(&format!(
            "the TPM stays locked until it forgets by itself: {error}"
        )),
    }
}

fn try_to_lift(key: &VolumeKey, boot: &Boot<'_>, tpm: &mut Measured, esp: &Mounted) -> Result<(), InitError> {
    let besides = Besides {
        volume: Some(key),
        rule: boot.trust.local,
    };
    let both = floor::authorisations_as_sealed(tpm, esp, boot.release, besides)?;
    tpm.client()
        .reset_lockout(&both[floor::AUTH_BYTES..])
        .map_err(InitError::Owner)
}
