//! The keys of an image: a directory made by `bennu keys generate`.
//!
//! | file | what | used by |
//! |---|---|---|
//! | `PK.key`, `PK.crt` | platform key, RSA-2048 | enrolment |
//! | `KEK.key`, `KEK.crt` | key exchange key | enrolment |
//! | `db.key`, `db.crt` | Secure Boot signature key | loader, UKI, PKCS#7 over the root hash |
//! | `release.key`, `release.pub` | ed25519 release key | slot manifest |
//! | `release-*.pub` | further trusted release keys (optional) | trust configuration |
//! | `release-*.key` | their private halves, where this machine holds them (optional) | slot manifest |
//! | `tpm-policy.key`, `tpm-policy.pub` | RSA-2048 TPM policy key | TPM policy, `.pcrsig` |
//! | `configuration.key`, `configuration.pub` | ed25519 configuration key | first-boot configuration |
//! | `owner.guid` | owner GUID in EFI signature lists | enrolment |
//! | `THROW-AWAY` | says that the keys protect nothing | refused by production images |

mod generate;

pub use generate::{KeyPurpose, generate};

use crate::definition::AcceptedKeys;
use bennu_formats::trust::ReleaseKey;
use bennu_uki::keys::{Certificate, KeyError, PublicKey, SigningKey};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{SigningKey as ReleaseSigningKey, VerifyingKey};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Marks a directory of keys that protect nothing.
pub const THROW_AWAY_MARKER: &str = "THROW-AWAY";
/// In the common name of throw-away certificates: the mark that a copied key keeps.
const THROW_AWAY_NAME: &str = "THROW-AWAY";
/// Largest key file in bytes.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// A file.
    #[error("keys: {path}: {source}; make a directory of keys with `bennu keys generate`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a key of the expected kind.
    #[error("keys: {path}: {detail}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Key and certificate do not belong together.
    #[error("keys: {0}: the certificate is for another key; replace one of them")]
    Mismatch(PathBuf),
    /// Throw-away keys for an image that did not ask for them.
    #[error(
        "keys: {0} is marked as throw-away; generate keys of your own with `bennu keys generate`, or write \
         accept = \"throw-away\" under [keys] for a demo"
    )]
    ThrowAway(PathBuf),
    /// The target exists.
    #[error("keys: {0} exists already; keys are never overwritten: name another directory")]
    Exists(PathBuf),
    /// Generation or encoding.
    #[error("keys: {0}")]
    Make(String),
}

/// A private key with its certificate.
pub struct Signer {
    /// Key.
    pub key: SigningKey,
    /// Certificate.
    pub certificate: Certificate,
}

/// All keys of an image.
pub struct KeySet {
    /// Platform key.
    pub pk: Signer,
    /// Key exchange key.
    pub kek: Signer,
    /// Signature database key.
    pub db: Signer,
    /// Release keys that sign: `release.key` first, then `release-*.key` by name.
    pub release: Vec<ReleaseSigningKey>,
    /// Other trusted release keys.
    pub more_release: Vec<VerifyingKey>,
    /// TPM policy key.
    pub policy: SigningKey,
    /// Its modulus, big-endian.
    pub policy_modulus: [u8; 256],
    /// Its public half.
    pub policy_public: PublicKey,
    /// Owner GUID.
    pub owner: uuid::Uuid,
}

impl KeySet {
    /// Reads a directory of keys.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn read(directory: &Path, accept: AcceptedKeys) -> Result<Self, KeySetError> {
        let marked = directory.join(THROW_AWAY_MARKER).exists();
        let db = signer(directory, "db")?;
        if accept == AcceptedKeys::Production
            && (marked || db.certificate.subject().contains(THROW_AWAY_NAME))
        {
            return Err(KeySetError::ThrowAway(directory.to_owned()));
        }
        let more_release = more_release_keys(directory)?;
        let policy = rsa_key(&directory.join("tpm-policy.key"))?;
        let policy_public = policy.public_key();
        let policy_modulus = policy_public.modulus().map_err(|e| bad(directory, &e))?;
        let owner_path = directory.join("owner.guid");
        let owner = text(&owner_path)?
            .trim()
            .parse()
            .map_err(|e| bad(&owner_path, &e))?;
        Ok(Self {
            pk: signer(directory, "PK")?,
            kek: signer(directory, "KEK")?,
            db,
            release: release_signers(directory, &more_release)?,
            more_release,
            policy,
            policy_modulus,
            policy_public,
            owner,
        })
    }

    /// The release keys that the initrd trusts.
    pub fn trusted_release_keys(&self) -> Vec<ReleaseKey> {
        let own = self.release.first().map(ReleaseSigningKey::verifying_key);
        let mut keys: Vec<_> = own.into_iter().collect();
        keys.extend(self.more_release.iter().filter(|k| Some(**k) != own));
        keys.iter().map(|k| ReleaseKey(k.to_bytes().to_vec())).collect()
    }
}

/// The public halves that a disk image is verified with. Private keys are not looked for.
pub struct PublicKeys {
    /// `db.crt`: signs boot programs, UKIs and root hashes.
    pub db: Certificate,
    /// `release.pub` and `release-*.pub`: sign slot manifests.
    pub release: Vec<ReleaseKey>,
    /// `tpm-policy.pub`: signs TPM policies.
    pub policy: PublicKey,
    /// Its modulus, big-endian.
    pub policy_modulus: [u8; 256],
}

impl PublicKeys {
    /// Reads the public files of a directory of keys.
    ///
    /// # Errors
    /// One is missing or not a key of its kind.
    pub fn read(directory: &Path) -> Result<Self, KeySetError> {
        let db_path = directory.join("db.crt");
        let db = Certificate::read(&bytes(&db_path)?).map_err(|e| bad(&db_path, &e))?;
        let own = read_release_public(&directory.join("release.pub"))?;
        let mut release = vec![own];
        release.extend(more_release_keys(directory)?.into_iter().filter(|k| *k != own));
        let policy_path = directory.join("tpm-policy.pub");
        let policy = PublicKey::from_spki(&bytes(&policy_path)?).map_err(|e| bad(&policy_path, &e))?;
        let policy_modulus = policy.modulus().map_err(|e| bad(&policy_path, &e))?;
        let release = release
            .iter()
            .map(|k| ReleaseKey(k.to_bytes().to_vec()))
            .collect();
        Ok(Self {
            db,
            release,
            policy,
            policy_modulus,
        })
    }
}

fn bad(path: &Path, detail: &dyn std::fmt::Display) -> KeySetError {
    KeySetError::Key {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, KeySetError> {
    let file = |source| KeySetError::File {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(file)?.len();
    if length > MAX_KEY_BYTES {
        return Err(bad(
            path,
            &format!("expected at most {MAX_KEY_BYTES} bytes, found {length}"),
        ));
    }
    std::fs::read(path).map_err(file)
}

fn text(path: &Path) -> Result<String, KeySetError> {
    String::from_utf8(bytes(path)?).map_err(|_| bad(path, &"expected text, found other bytes"))
}

fn rsa_key(path: &Path) -> Result<SigningKey, KeySetError> {
    SigningKey::from_pkcs8(&Zeroizing::new(bytes(path)?)).map_err(|e| bad(path, &e))
}

fn signer(directory: &Path, name: &str) -> Result<Signer, KeySetError> {
    let key = rsa_key(&directory.join(format!("{name}.key")))?;
    let path = directory.join(format!("{name}.crt"));
    let certificate = Certificate::read(&bytes(&path)?).map_err(|e| bad(&path, &e))?;
    let modulus = |k: Result<PublicKey, KeyError>| k.and_then(|k| k.modulus()).map_err(|e| bad(&path, &e));
    if modulus(certificate.public_key())? != modulus(Ok(key.public_key()))? {
        return Err(KeySetError::Mismatch(path));
    }
    Ok(Signer { key, certificate })
}

/// One ed25519 public key, PEM.
pub fn read_release_public(path: &Path) -> Result<VerifyingKey, KeySetError> {
    VerifyingKey::from_public_key_pem(&text(path)?).map_err(|e| bad(path, &e))
}

/// The public keys that an image names one by one, beside its directory of keys: of first-boot configurations, of debug
/// tokens.
///
/// # Errors
/// One cannot be read, or lies beside throw-away keys where only production keys are accepted.
pub fn trusted_keys(paths: &[PathBuf], accept: AcceptedKeys) -> Result<Vec<ReleaseKey>, KeySetError> {
    let read = |path: &PathBuf| {
        let directory = path.parent().unwrap_or(Path::new("."));
        if accept == AcceptedKeys::Production && directory.join(THROW_AWAY_MARKER).exists() {
            return Err(KeySetError::ThrowAway(directory.to_owned()));
        }
        let key = read_release_public(path)?;
        Ok(ReleaseKey(key.to_bytes().to_vec()))
    };
    paths.iter().map(read).collect()
}

fn more_release_keys(directory: &Path) -> Result<Vec<VerifyingKey>, KeySetError> {
    let paths = release_files(directory, ".pub")?;
    paths.iter().map(|p| read_release_public(p)).collect()
}

/// One ed25519 private key, PKCS#8 PEM.
pub fn read_release_key(path: &Path) -> Result<ReleaseSigningKey, KeySetError> {
    let pem = Zeroizing::new(text(path)?);
    ReleaseSigningKey::from_pkcs8_pem(&pem).map_err(|e| bad(path, &e))
}

/// `release-*` files with this ending, by name.
fn release_files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>, KeySetError> {
    let file = |source| KeySetError::File {
        path: directory.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(file)? {
        let path = entry.map_err(file)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("release-") && name.ends_with(ending) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The release keys whose private halves lie here. One that is not trusted by its `.pub` would sign for nobody.
fn release_signers(
    directory: &Path,
    trusted: &[VerifyingKey],
) -> Result<Vec<ReleaseSigningKey>, KeySetError> {
    let mut signers = vec![read_release_key(&directory.join("release.key"))?];
    for path in release_files(directory, ".key")? {
        let signer = read_release_key(&path)?;
        if !trusted.contains(&signer.verifying_key()) {
            let detail = "expected its public half in a file release-*.pub beside it, found none";
            return Err(bad(&path, &detail));
        }
        if !signers
            .iter()
            .any(|s| s.verifying_key() == signer.verifying_key())
        {
            signers.push(signer);
        }
    }
    Ok(signers)
}
