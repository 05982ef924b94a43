//! API file systems, trust configuration, Secure Boot state, command line.

use crate::error::InitError;
use crate::journal::Journal;
use bennu_formats::decode::Document;
use bennu_formats::handover::SecureBootState;
use bennu_formats::paths;
use bennu_formats::trust::{SecureBootRule, TrustConfig};
use bennu_linux::bounded;
use bennu_linux::efivars::{EfiVars, SecureBoot, SetupMode};
use bennu_linux::mount::ApiFileSystem;
use std::path::Path;

/// Mounts `/proc`, `/sys`, `/dev` and `/run`; the rest waits for its modules.
pub fn mount_api_file_systems(journal: &mut Journal) -> Result<(), InitError> {
    for api in [
        ApiFileSystem::Proc,
        ApiFileSystem::Sys,
        ApiFileSystem::Dev,
        ApiFileSystem::Run,
    ] {
        api.mount().map_err(InitError::ApiMount)?;
    }
    journal.open_kmsg();
    Ok(())
}

/// Reads whom to trust, out of the initrd that the firmware verified with the UKI.
pub fn read_trust() -> Result<TrustConfig, InitError> {
    let bytes = bounded::read(Path::new(paths::INITRD_TRUST), TrustConfig::MAX_BYTES)
        .map_err(InitError::TrustRead)?;
    TrustConfig::decode(&bytes).map_err(InitError::TrustFormat)
}

/// Whether the firmware enforced Secure Boot; refused where the image demands it and it did not.
pub fn secure_boot(trust: &TrustConfig) -> Result<SecureBootState, InitError> {
    for api in [
        ApiFileSystem::Security,
        ApiFileSystem::EfiVariables,
        ApiFileSystem::Pstore,
    ] {
        api.mount().map_err(InitError::ApiMount)?;
    }
    let variables = EfiVars::default();
    let enforced = variables.secure_boot().map_err(InitError::EfiVariable)? == SecureBoot::Enforcing;
    let setup = variables.setup_mode().map_err(InitError::EfiVariable)? == SetupMode::Setup;
    match (enforced && !setup, trust.secure_boot) {
        (true, _) => Ok(SecureBootState::Enforced),
        (false, SecureBootRule::UnprotectedWithoutSecureBoot) => Ok(SecureBootState::Off),
        (false, SecureBootRule::Required) => Err(InitError::SecureBootOff {
            found: if setup { "in setup mode" } else { "off" },
        }),
    }
}
