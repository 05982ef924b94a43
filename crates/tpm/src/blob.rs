//! A sealed secret as it lies on disk.
//!
//! Written by provisioning, read by the initrd. The bytes are untrusted: whoever can write the disk can
//! change them. The TPM notices a changed private part; the decoder accepts one public template only.
//!
//! | offset | size | content (integers big-endian) |
//! |---|---|---|
//! | 0 | 8 | magic `BennuTPM` |
//! | 8 | 2 | version, 1 |
//! | 10 | 34 | Name of the storage key it is sealed under |
//! | 44 | 78 | TPMT_PUBLIC, see [`SealedPublic`] |
//! | 122 | 2 | size n of the private part, 1 to 1024 |
//! | 124 | n | contents of TPM2B_PRIVATE |
//!
//! What is sealed is not the bare secret but: version 1 (1 byte), storage key's Name (34), secret. The inner
//! Name is compared after unsealing.

use crate::command::PRIVATE_MAX;
use crate::public::{Name, SealedPublic};
use crate::wire::{Reader, WireError};

const MAGIC: [u8; 8] = *b"BennuTPM";
const VERSION: u16 = 1;
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
    #[error("read sealed blob: expected version 1, found {found}; use the program that wrote it")]
    Version {
        /// The version.
        found: u16,
    },
    /// A field is cut off, too long, or has a value that makes the object unsafe to use.
    #[error("read sealed blob: {0}; seal again")]
    Field(#[from] WireError),
}

/// A secret sealed by [`crate::Tpm::seal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlob {
    /// Storage key it is sealed under.
    pub srk_name: Name,
    /// Public area: its policy, and that it cannot leave its TPM.
    pub public: SealedPublic,
    /// Private area, encrypted by the TPM. At most 1024 bytes.
    pub private: Vec<u8>,
}

impl SealedBlob {
    /// Longest encoding in bytes.
    pub const SIZE_MAX: usize = HEAD_SIZE + PRIVATE_MAX;

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
        bytes.extend_from_slice(&VERSION.to_be_bytes());
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
        if found != VERSION {
            return Err(BlobError::Version { found });
        }
        let srk_name = Name::decode(reader.take(Name::SIZE, "storage key name")?)?;
        let public = SealedPublic::decode(reader.take(PUBLIC_SIZE, "public area")?)?;
        let private = reader.sized("private area")?;
        check_private(private)?;
        reader.end("sealed blob")?;
        Ok(Self {
            srk_name,
            public,
            private: private.to_vec(),
        })
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
