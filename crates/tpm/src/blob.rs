//! A sealed secret as it lies on disk.
//!
//! Written by provisioning, read by the initrd. The bytes are untrusted: whoever can write the disk can
//! change them. The TPM notices a changed private part; the decoder accepts one public template only.
//!
//! | offset | size | content (integers big-endian) |
//! |---|---|---|
//! | 0 | 8 | magic `BennuTPM` |
//! | 8 | 2 | version, 1 or 2 |
//! | 10 | 34 | Name of the storage key it is sealed under |
//! | 44 | 78 | TPMT_PUBLIC, see [`SealedPublic`] |
//! | 122 | 2 | size n of the private part, 1 to 1024 |
//! | 124 | n | contents of TPM2B_PRIVATE |
//!
//! With local conditions it is version 2, and between version and Name stand:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 10 | 1 | 1: PIN, or 4: authValue that follows from the state volume's key; 2: PCR 7; sums: both |
//! | 11 | 32 | value of PCR 7, SHA-256 bank; zero without that condition |
//!
//! They only say what to try: what is demanded stands in authPolicy, and a PIN in the attributes besides.
//!
//! What is sealed is not the bare secret but: version 1 (1 byte), storage key's Name (34), secret. The inner
//! Name is compared after unsealing.

use crate::command::PRIVATE_MAX;
use crate::local::{AuthRule, LocalConditions};
use crate::public::{Name, SealedPublic};
use crate::wire::{Reader, WireError};

const MAGIC: [u8; 8] = *b"BennuTPM";
const VERSION: u16 = 1;
const VERSION_WITH_CONDITIONS: u16 = 2;
const PIN: u8 = 1;
const SECURE_BOOT: u8 = 2;
const DERIVED: u8 = 4;
/// Flags and the value of PCR 7.
const CONDITIONS_SIZE: usize = 33;
const PUBLIC_SIZE: usize = 78;
const HEAD_SIZE: usize = 124;

/// A blob's bytes are not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// More bytes than a blob ever has; nothing was decoded.
    #[error("read sealed blob: expected at most {limit} bytes, found {found}; seal again")]
    TooLong {
        /// [`SealedBlob::SIZE_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not a sealed blob.
    #[error("read sealed blob: expected magic BennuTPM, found {found:02x?}; not a sealed blob")]
    Magic {
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// Of a version this program does not know.
    #[error("read sealed blob: expected version 1 or 2, found {found}; use the program that wrote it")]
    Version {
        /// The version.
        found: u16,
    },
    /// Conditions that contradict each other, the version or the attributes.
    #[error("read sealed blob: its local conditions contradict each other; seal again")]
    Conditions,
    /// A field is cut off, too long, or has a value that makes the object unsafe to use.
    #[error("read sealed blob: {0}; seal again")]
    Field(#[from] WireError),
}

/// A secret sealed by [`crate::Tpm::seal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlob {
    /// Storage key it is sealed under.
    pub srk_name: Name,
    /// What this machine demands besides the release's policy.
    pub local: LocalConditions,
    /// Public area: its policy, and that it cannot leave its TPM.
    pub public: SealedPublic,
    /// Private area, encrypted by the TPM. At most 1024 bytes.
    pub private: Vec<u8>,
}

impl SealedBlob {
    /// Longest encoding in bytes.
    pub const SIZE_MAX: usize = HEAD_SIZE + CONDITIONS_SIZE + PRIVATE_MAX;

    /// The bytes described above.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`] when the private part is beyond 1024 bytes, [`WireError::Truncated`] when empty.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        check_private(&self.private)?;
        let size = u16::try_from(self.private.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(HEAD_SIZE + self.private.len());
        bytes.extend_from_slice(&MAGIC);
        if self.local == LocalConditions::NONE {
            bytes.extend_from_slice(&VERSION.to_be_bytes());
        } else {
            bytes.extend_from_slice(&VERSION_WITH_CONDITIONS.to_be_bytes());
            bytes.push(flags(&self.local));
            bytes.extend_from_slice(&self.local.secure_boot.unwrap_or_default());
        }
        bytes.extend_from_slice(self.srk_name.as_bytes());
        bytes.extend_from_slice(&self.public.encode());
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&self.private);
        Ok(bytes)
    }

    /// Decodes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        if bytes.len() > Self::SIZE_MAX {
            return Err(BlobError::TooLong {
                limit: Self::SIZE_MAX,
                found: bytes.len(),
            });
        }
        let mut reader = Reader::new(bytes);
        let found: [u8; 8] = reader.array("magic")?;
        if found != MAGIC {
            return Err(BlobError::Magic { found });
        }
        let found = reader.u16("version")?;
        let local = match found {
            VERSION => LocalConditions::NONE,
            VERSION_WITH_CONDITIONS => conditions(&mut reader)?,
            found => return Err(BlobError::Version { found }),
        };
        let srk_name = Name::decode(reader.take(Name::SIZE, "storage key name")?)?;
        let public = SealedPublic::decode(reader.take(PUBLIC_SIZE, "public area")?)?;
        // A PIN that nobody counts, and a lockout without a PIN: neither was made here.
        if public.lockout != local.auth.lockout() {
            return Err(BlobError::Conditions);
        }
        let private = reader.sized("private area")?;
        check_private(private)?;
        reader.end("sealed blob")?;
        Ok(Self {
            srk_name,
            local,
            public,
            private: private.to_vec(),
        })
    }
}

fn flags(local: &LocalConditions) -> u8 {
    let auth = match local.auth {
        AuthRule::None => 0,
        AuthRule::Pin => PIN,
        AuthRule::Derived => DERIVED,
    };
    auth | if local.secure_boot.is_some() {
        SECURE_BOOT
    } else {
        0
    }
}

/// The conditions of version 2: one at least.
fn conditions(reader: &mut Reader<'_>) -> Result<LocalConditions, BlobError> {
    let found = reader.u8("local conditions")?;
    let value: [u8; 32] = reader.array("value of pcr 7")?;
    let local = LocalConditions {
        auth: match found & (PIN | DERIVED) {
            0 => AuthRule::None,
            PIN => AuthRule::Pin,
            // Both is neither: the flags made of it are not the ones found.
            _ => AuthRule::Derived,
        },
        secure_boot: (found & SECURE_BOOT != 0).then_some(value),
    };
    let whole = found != 0 && found == flags(&local);
    if whole && (local.secure_boot.is_some() || value == [0; 32]) {
        Ok(local)
    } else {
        Err(BlobError::Conditions)
    }
}

fn check_private(private: &[u8]) -> Result<(), WireError> {
    let (field, found) = ("private area", private.len());
    match found {
        0 => Err(WireError::Truncated {
            field,
            expected: 1,
            found,
        }),
        1..=PRIVATE_MAX => Ok(()),
        _ => Err(WireError::TooLong {
            field,
            limit: PRIVATE_MAX,
            found,
        }),
    }
}
