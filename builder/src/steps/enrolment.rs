//! The ESP's files besides the UKIs: boot programs, signed; `loader.conf`; key enrolment files; and the
//! enrolled variable store for virtual machines.

use crate::plan::Plan;
use crate::steps::agents::{AgentError, Agents};
use crate::steps::keys::{KeySet, Signer};
use crate::steps::uki::BootParts;
use bennu_uki::authenticode::{self, AuthenticodeError};
use bennu_uki::efivars::{self, EfiGuid, EfiTime, KeyVariable};
use bennu_uki::keys::Certificate;
use bennu_uki::ovmf::{Enrolment, VariableStore};
use std::path::{Path, PathBuf};

/// Name of our fallback program among the agents.
const FALLBACK: &str = "bootfallback.efi";

/// Why the ESP's files cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// Our fallback program.
    #[error("esp: {path}: {source}; run `make build`")]
    Fallback {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An agent.
    #[error("esp: {0}")]
    Agent(#[from] AgentError),
    /// Signing a boot program.
    #[error("esp: {0}")]
    Sign(#[from] AuthenticodeError),
    /// Signing an enrolment file.
    #[error("esp: {0}")]
    Auth(#[from] efivars::AuthError),
    /// The time stamp does not fit an EFI_TIME.
    #[error("esp: SOURCE_DATE_EPOCH {0} is not a time that EFI can write")]
    Time(u64),
    /// Writing.
    #[error("esp: {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable store.
    #[error("ovmf: {0}")]
    Ovmf(#[from] bennu_uki::ovmf::OvmfError),
}

/// Writes the tree of the ESP's other files into `dir`.
///
/// # Errors
/// See [`EnrolmentError`].
pub fn write_esp(
    plan: &Plan,
    dir: &Path,
    parts: &BootParts,
    keys: &KeySet,
    agents: &Agents,
) -> Result<(), EnrolmentError> {
    let path = agents.path(FALLBACK);
    let fallback = std::fs::read(&path).map_err(|source| EnrolmentError::Fallback { path, source })?;
    let sign = |image: &[u8]| authenticode::sign(image, &keys.db.key, &keys.db.certificate);
    put(dir, "EFI/BOOT/BOOTX64.EFI", &sign(&fallback)?)?;
    put(dir, "EFI/systemd/systemd-bootx64.efi", &sign(&parts.loader)?)?;
    put(dir, "loader/loader.conf", LOADER_CONF.as_bytes())?;
    let time = EfiTime::from_unix_s(plan.epoch).ok_or(EnrolmentError::Time(plan.epoch))?;
    let owner = EfiGuid::from_u128(keys.owner.as_u128());
    let list = |signer: &Signer| efivars::x509_list(owner, std::slice::from_ref(&signer.certificate));
    for (variable, subject, signer) in [
        (KeyVariable::Pk, &keys.pk, &keys.pk),
        (KeyVariable::Kek, &keys.kek, &keys.pk),
        (KeyVariable::Db, &keys.db, &keys.kek),
    ] {
        let auth = efivars::sign_update(variable, &list(subject), time, &signer.key, &signer.certificate)?;
        put(dir, &format!("loader/keys/auto/{}.auth", variable.name()), &auth)?;
    }
    Ok(())
}

/// No menu and no editor: what boots is decided by counters and signatures. `if-safe` enrols our keys in virtual
/// machines only; on hardware a person chooses the menu's entry.
const LOADER_CONF: &str = "timeout 0\neditor no\nsecure-boot-enroll if-safe\n";

fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), EnrolmentError> {
    let path = dir.join(name);
    let failed = |source| EnrolmentError::Write {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(failed)?;
    std::fs::write(&path, bytes).map_err(failed)
}

/// An OVMF variable store with our keys enrolled, Secure Boot on.
///
/// # Errors
/// The stock store is damaged or too small.
pub fn enrolled_variables(stock: &[u8], keys: &KeySet, epoch: u64) -> Result<Vec<u8>, EnrolmentError> {
    let certificates = |signer: &Signer| -> Vec<Certificate> { vec![signer.certificate.clone()] };
    let mut store = VariableStore::parse(stock)?;
    store.enrol(&Enrolment {
        owner: EfiGuid::from_u128(keys.owner.as_u128()),
        time: EfiTime::from_unix_s(epoch).ok_or(EnrolmentError::Time(epoch))?,
        pk: &keys.pk.certificate,
        kek: &certificates(&keys.kek),
        db: &certificates(&keys.db),
    })?;
    Ok(store.as_bytes().to_vec())
}
