//! The golden-file index: path, type, digest, size, mode, owner, extended attributes and capabilities of every
//! file of a root file system. Normative text: `docs/spec/golden-index.md`.
//!
//! Who writes: `bennu build`, from the root that it writes ([`IndexBuilder`]). Who reads: `bennud` (is this digest
//! that IMA measured one of ours?), `bennu index`, `bennu verify` ([`Index`]). The index lies on the verified root
//! and does not list itself; the slot manifest has its digest. On failure: a typed error that names the field; no
//! bytes make a call panic, and none of them makes it read more than it was asked for.
//!
//! One set of entries has exactly one encoding: records are ordered by path, paths stand in the order of their
//! records, sets of extended attributes in the order of their first use. [`Index::check`] holds an index to that.

mod build;
mod entry;
mod layout;
mod read;
mod source;
mod xattrs;

pub use build::{BuildError, IndexBuilder};
pub use entry::{Capabilities, Entry, FileKind, XattrSet, check_path};
pub use layout::{MAX_PATH_BYTES, MAX_RECORDS, MAX_STRING_BYTES, MAX_XATTR_SETS};
pub use read::{Counts, Index, IndexError};
pub use source::ReadAt;
pub use xattrs::{CapabilityError, XATTR_CAPABILITY, xattr_set};
