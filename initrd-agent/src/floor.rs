//! The anti-rollback floor: begun on the first start, checked at each one, raised one start after a release with a
//! higher `security_version` was marked good. And the TPM's owner: its authorisations become random on the first
//! start, so that nobody at runtime can remove the floor.
//!
//! What enforces the floor is the TPM (PolicyNV in every release's policy); the check here says so in words.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::pin;
use crate::recovery;
use crate::secrets::{self, Besides};
use crate::slot::Slot;
use crate::tpm::Measured;
use bennu_esp::FoundSecret;
use bennu_formats::manifest::POLICY_REF;
use bennu_formats::trust::{PinRule, TrustConfig};
use bennu_formats::{floor as format, paths};
use bennu_tpm::{
    Floor, FloorState, Hierarchy, IndexPlace, NvAttributes, ReleasePolicy, RsaPublic, SealedBlob,
    SessionKind, SrkTrust,
};
use zeroize::Zeroizing;

/// Bytes of each of the two authorisations.
pub const AUTH_BYTES: usize = 32;

/// The floor of a policy key.
pub fn of(key: &RsaPublic) -> Floor {
    let place = IndexPlace {
        size: format::NV_BYTES,
        index: format::NV_INDEX,
        attributes: NvAttributes(format::NV_ATTRIBUTES),
    };
    Floor::new(place, &key.name(), POLICY_REF.as_bytes())
}

/// Makes the floor on the first start; at every start compares it with this slot's `security_version`. Gives the height.
pub fn check(
    tpm: &mut Measured,
    esp: &Mounted,
    boot: &Boot<'_>,
    journal: &mut Journal,
) -> Result<u64, InitError> {
    let floor = of(&boot.release.key);
    let srk = srk_of_owner_secret(esp)?;
    let height = match tpm.client().floor(&floor, srk).map_err(InitError::Floor)? {
        FloorState::At(height) => height,
        state => {
            refuse_on_a_machine_with_state(esp, boot.slot, boot.trust, state)?;
            begin(tpm, &floor, journal)?
        }
    };
    let security_version = boot.manifest.get().security_version;
    let numbers = bennu_policy::boot::Floor {
        security_version,
        floor: height,
    };
    if numbers.is_above() {
        return Err(InitError::BelowFloor {
            security_version,
            floor: height,
        });
    }
    Ok(height)
}

/// Owns the TPM, behind the state volume whose key may guard the authorisations; gives the floor a new height once this
/// slot has been marked good. Gives the height.
pub fn settle(
    tpm: &mut Measured,
    esp: &Mounted,
    boot: &Boot<'_>,
    height: u64,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<u64, InitError> {
    own(tpm, esp, boot.release, besides, journal)?;
    if boot.trust.local.guards() {
        let (blob, both) = as_sealed(tpm, esp, boot.release, besides)?;
        let sealed = (paths::OWNER_SECRET, blob, both.as_slice());
        secrets::outgrow(tpm, esp, sealed, &boot.release.key, besides, journal)?;
        if boot.trust.local.pin == PinRule::Required {
            pin::settle(tpm, &both[AUTH_BYTES..], journal);
        }
    }
    let security_version = boot.manifest.get().security_version;
    if boot.start.was_healthy && height < security_version {
        tpm.client()
            .raise_floor(&of(&boot.release.key), boot.release, security_version)
            .map_err(InitError::Floor)?;
        journal.say(&format!("raised the floor from {height} to {security_version}"));
        return Ok(security_version);
    }
    Ok(height)
}

/// The storage key that the owner's secret was sealed under; any, on a machine that has sealed nothing yet.
fn srk_of_owner_secret(esp: &Mounted) -> Result<SrkTrust, InitError> {
    let name = paths::OWNER_SECRET;
    Ok(match esp.files().sealed_secret(name)? {
        FoundSecret::Sealed(bytes) => SrkTrust::Pinned(decode(name, &bytes)?.srk_name),
        FoundSecret::Undone | FoundSecret::None => SrkTrust::FirstUse,
    })
}

fn decode(name: &str, bytes: &[u8]) -> Result<SealedBlob, InitError> {
    SealedBlob::decode(bytes).map_err(|source| InitError::SecretBlob {
        name: name.to_owned(),
        source,
    })
}

/// A machine that has sealed something, or keeps a volume, has had a floor: without it, its TPM was cleared or is
/// another one. An empty file holds nothing that was sealed: a first start was cut off.
fn refuse_on_a_machine_with_state(
    esp: &Mounted,
    slot: &Slot,
    trust: &TrustConfig,
    state: FloorState,
) -> Result<(), InitError> {
    let missing = || InitError::FloorMissing {
        index: format::NV_INDEX,
        found: match state {
            FloorState::Unwritten => "one that was never written",
            FloorState::Absent | FloorState::At(_) => "none",
        },
    };
    let names = trust.secrets.iter().map(|spec| spec.name.as_str());
    for name in names.chain([paths::OWNER_SECRET, paths::STATE_SECRET]) {
        if let FoundSecret::Sealed(_) = esp.files().sealed_secret(name)? {
            return Err(missing());
        }
    }
    // The files may have been removed with the floor.
    if recovery::holds_a_volume(slot, trust)? {
        return Err(missing());
    }
    Ok(())
}

fn begin(tpm: &mut Measured, floor: &Floor, journal: &mut Journal) -> Result<u64, InitError> {
    tpm.client().begin_floor(floor).map_err(InitError::Floor)?;
    journal.say("no floor in this TPM: begun at 0");
    Ok(0)
}

/// Sets the owner's and the lockout authorisation where they are empty. They are sealed and on the ESP before
/// either is set, so that a power cut in between is made good by the next start.
fn own(
    tpm: &mut Measured,
    esp: &Mounted,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<(), InitError> {
    let properties = tpm.client().properties().map_err(InitError::Owner)?;
    if properties.owner_auth_set && properties.lockout_auth_set {
        return Ok(());
    }
    // Before the owner has an authorisation: afterwards a storage key can no longer be made without it.
    let key = tpm.client().persist_storage_key(&[]).map_err(InitError::Owner)?;
    let auths = authorisations(tpm, esp, policy, besides, journal)?;
    let (owner, lockout) = auths.split_at(AUTH_BYTES);
    let client = tpm.client();
    let mut session = client
        .start_session(&key, SessionKind::Hmac)
        .map_err(InitError::Owner)?;
    let mut set = |hierarchy, is_set, value: &[u8]| match is_set {
        true => Ok(()),
        false => client.change_hierarchy_auth(hierarchy, &mut session, &[], value),
    };
    set(Hierarchy::Lockout, properties.lockout_auth_set, lockout).map_err(InitError::Owner)?;
    set(Hierarchy::Owner, properties.owner_auth_set, owner).map_err(InitError::Owner)?;
    client.flush(session.handle()).map_err(InitError::Owner)?;
    journal.say("set the TPM's owner and lockout authorisations");
    Ok(())
}

/// The owner's authorisation: none yet on a first start, afterwards as it was sealed. Without the file nobody knows it.
pub fn owner_authorisation(
    tpm: &mut Measured,
    esp: &Mounted,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
) -> Result<Zeroizing<Vec<u8>>, InitError> {
    let properties = tpm.client().properties().map_err(InitError::Owner)?;
    if !properties.owner_auth_set {
        return Ok(Zeroizing::new(Vec::new()));
    }
    let both = authorisations_as_sealed(tpm, esp, policy, besides)?;
    Ok(Zeroizing::new(both[..AUTH_BYTES].to_vec()))
}

/// Both authorisations, owner's first, as they were sealed.
pub fn authorisations_as_sealed(
    tpm: &mut Measured,
    esp: &Mounted,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
) -> Result<Zeroizing<Vec<u8>>, InitError> {
    Ok(as_sealed(tpm, esp, policy, besides)?.1)
}

fn as_sealed(
    tpm: &mut Measured,
    esp: &Mounted,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
) -> Result<(SealedBlob, Zeroizing<Vec<u8>>), InitError> {
    match esp.files().sealed_secret(paths::OWNER_SECRET)? {
        FoundSecret::Sealed(bytes) => open_authorisations(tpm, policy, &bytes, besides),
        FoundSecret::Undone | FoundSecret::None => Err(InitError::OwnerUnknown),
    }
}

/// Both authorisations, owner's first: those that were sealed before, or new ones.
fn authorisations(
    tpm: &mut Measured,
    esp: &Mounted,
    policy: &ReleasePolicy,
    besides: Besides<'_>,
    journal: &mut Journal,
) -> Result<Zeroizing<Vec<u8>>, InitError> {
    let name = paths::OWNER_SECRET;
    let found = esp.files().sealed_secret(name)?;
    if found == FoundSecret::Undone {
        secrets::say_undone(name, journal);
    }
    let FoundSecret::Sealed(bytes) = found else {
        let fresh = secrets::random(tpm, 2 * AUTH_BYTES)?;
        secrets::seal_to_esp(tpm, esp, name, &fresh, &policy.key, besides)?;
        return Ok(fresh);
    };
    Ok(open_authorisations(tpm, policy, &bytes, besides)?.1)
}

fn open_authorisations(
    tpm: &mut Measured,
    policy: &ReleasePolicy,
    bytes: &[u8],
    besides: Besides<'_>,
) -> Result<(SealedBlob, Zeroizing<Vec<u8>>), InitError> {
    let name = paths::OWNER_SECRET;
    let blob = decode(name, bytes)?;
    let auths = secrets::unseal(tpm, name, &blob, policy, besides)?;
    if auths.len() == 2 * AUTH_BYTES {
        Ok((blob, auths))
    } else {
        Err(InitError::OwnerSecret {
            expected: 2 * AUTH_BYTES,
            found: auths.len(),
        })
    }
}
