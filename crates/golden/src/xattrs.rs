//! What an index keeps of a file's extended attributes: a digest of all, and the capabilities in clear.

use crate::entry::{Capabilities, XattrSet};
use bennu_formats::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// Name of the attribute that holds file capabilities.
pub const XATTR_CAPABILITY: &[u8] = b"security.capability";

/// `VFS_CAP_REVISION_MASK`, `…_2`, `…_3`, `VFS_CAP_FLAGS_EFFECTIVE` (Linux `include/uapi/linux/capability.h`).
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const FLAG_EFFECTIVE: u32 = 1;

/// A `security.capability` that the kernel would not take, or that is of the first revision, which nobody writes
/// any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "security.capability: expected 20 bytes of revision 2 or 24 of revision 3, found {bytes} bytes with {magic:#010x}"
)]
pub struct CapabilityError {
    /// Length found, in bytes.
    pub bytes: usize,
    /// First four bytes, or zero.
    pub magic: u32,
}

/// What the index keeps of `xattrs`, which must come in ascending order of their names, each once; `None` for none.
///
/// # Errors
/// [`CapabilityError`].
pub fn xattr_set<'x>(
    xattrs: impl IntoIterator<Item = (&'x [u8], &'x [u8])>,
) -> Result<Option<XattrSet>, CapabilityError> {
    let mut hasher = Sha256::new();
    let mut capabilities = None;
    let mut any = false;
    for (name, value) in xattrs {
        any = true;
        for part in [name, value] {
            // Both are far below 4 GiB: the kernel allows 255 and 65,536 bytes.
            hasher.update((part.len() as u32).to_le_bytes());
            hasher.update(part);
        }
        if name == XATTR_CAPABILITY {
            capabilities = Some(decode_capabilities(value)?);
        }
    }
    Ok(any.then(|| XattrSet {
        digest: Sha256Digest(hasher.finalize().into()),
        capabilities,
    }))
}

fn decode_capabilities(value: &[u8]) -> Result<Capabilities, CapabilityError> {
    let word = |n: usize| {
        value
            .get(n * 4..n * 4 + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let magic = word(0);
    let root_uid = match (magic & REVISION_MASK, value.len()) {
        (REVISION_2, 20) => 0,
        (REVISION_3, 24) => word(5),
        _ => {
            return Err(CapabilityError {
                bytes: value.len(),
                magic,
            });
        }
    };
    let wide = |low: usize, high: usize| u64::from(word(low)) | u64::from(word(high)) << 32;
    Ok(Capabilities {
        permitted: wide(1, 3),
        inheritable: wide(2, 4),
        effective: magic & FLAG_EFFECTIVE != 0,
        root_uid,
    })
}
