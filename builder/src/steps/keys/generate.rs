//! A directory of fresh keys.

use super::{KeySetError, THROW_AWAY_MARKER, THROW_AWAY_NAME};
use bennu_uki::keys::{SigningKey, ValidityPeriod};
use ed25519_dalek::SigningKey as ReleaseSigningKey;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};
use pkcs8::LineEnding;
use std::path::Path;
use zeroize::Zeroizing;

/// What kind of keys are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// For machines that matter.
    Production,
    /// For a demo or a test: marked, and refused by production images.
    ThrowAway,
}

/// Makes a directory of fresh keys; private files get mode 0600. Nothing is left under the final name unless all
/// of it was made.
///
/// # Errors
/// The directory exists, or making or writing a key failed.
pub fn generate(directory: &Path, purpose: KeyPurpose, not_before: u64) -> Result<(), KeySetError> {
    if directory.exists() {
        return Err(KeySetError::Exists(directory.to_owned()));
    }
    let parent = directory
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let file = |source| KeySetError::File {
        path: directory.to_owned(),
        source,
    };
    std::fs::create_dir_all(parent).map_err(file)?;
    let scratch = tempfile::Builder::new()
        .prefix(".bennu-keys")
        .tempdir_in(parent)
        .map_err(file)?;
    let out = Writer {
        directory: scratch.path(),
    };
    let mark = if purpose == KeyPurpose::ThrowAway {
        format!(" {THROW_AWAY_NAME}")
    } else {
        String::new()
    };
    for name in ["PK", "KEK", "db"] {
        out.certified(name, &format!("Bennu {name}{mark}"), not_before)?;
    }
    let policy = SigningKey::generate().map_err(make)?;
    out.secret("tpm-policy.key", policy.to_pkcs8_pem().map_err(make)?.as_bytes())?;
    let public = policy.public_key().to_spki_pem().map_err(make)?;
    out.public("tpm-policy.pub", public.as_bytes())?;
    out.ed25519("release")?;
    out.ed25519("configuration")?;
    let mut owner = [0u8; 16];
    getrandom::fill(&mut owner).map_err(make)?;
    out.public(
        "owner.guid",
        format!("{}\n", uuid::Builder::from_random_bytes(owner).into_uuid()).as_bytes(),
    )?;
    if purpose == KeyPurpose::ThrowAway {
        out.public(
            THROW_AWAY_MARKER,
            b"These keys were made for a demo or a test and protect nothing.\n",
        )?;
    }
    std::fs::rename(scratch.keep(), directory).map_err(file)
}

fn make(error: impl std::fmt::Display) -> KeySetError {
    KeySetError::Make(error.to_string())
}

struct Writer<'a> {
    directory: &'a Path,
}

impl Writer<'_> {
    fn secret(&self, name: &str, content: &[u8]) -> Result<(), KeySetError> {
        self.write(name, content, 0o600)
    }

    fn public(&self, name: &str, content: &[u8]) -> Result<(), KeySetError> {
        self.write(name, content, 0o644)
    }

    /// A fresh RSA key with a certificate for `subject`, `<name>.key` and `<name>.crt`.
    fn certified(&self, name: &str, subject: &str, not_before: u64) -> Result<(), KeySetError> {
        let key = SigningKey::generate().map_err(make)?;
        let certificate = key
            .self_signed(subject, ValidityPeriod::ten_years_from(not_before))
            .map_err(make)?;
        let private = key.to_pkcs8_pem().map_err(make)?;
        self.secret(&format!("{name}.key"), private.as_bytes())?;
        let public = certificate.to_pem().map_err(make)?;
        self.public(&format!("{name}.crt"), public.as_bytes())
    }

    /// A fresh ed25519 key, `<name>.key` and `<name>.pub`.
    fn ed25519(&self, name: &str) -> Result<(), KeySetError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *seed).map_err(make)?;
        let key = ReleaseSigningKey::from_bytes(&seed);
        let private = key.to_pkcs8_pem(LineEnding::LF).map_err(make)?;
        self.secret(&format!("{name}.key"), private.as_bytes())?;
        let public = key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(make)?;
        self.public(&format!("{name}.pub"), public.as_bytes())
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), KeySetError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.directory.join(name);
        let mut options = std::fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut f| f.write_all(content).and_then(|()| f.sync_all()))
            .map_err(|source| KeySetError::File { path, source })
    }
}
