//! LUKS2 headers by one template: the header of the state volume.
//!
//! `bennu-init` writes one on the first start and opens it on every other. It is PID 1 of a small static initrd, so
//! there is no libcryptsetup: see `docs/adr/0014-luks2-by-template.md`. cryptsetup opens what is written here with
//! the recovery key.
//!
//! The header on the disk is hostile input. LUKS2 lets it choose the cipher (also none at all, CVE-2025-59054), a
//! re-encryption in progress, segments and offsets; here it chooses nothing of that. [`UnverifiedHeader::parse`]
//! compares it with the template (`docs/spec/state-header.md`) and refuses each difference by name;
//! [`UnverifiedHeader::verify`] proves with the volume key that UUID and generation were written by whoever held
//! that key; [`VerifiedHeader::dm_crypt_table`] makes the device-mapper table of the template's constants.
//!
//! Nothing here reads or writes a device, has a clock or a source of random bytes: callers hand over bytes, put
//! down the bytes they get, in the order they get them, and supply [`Random`].
//!
//! Format: LUKS2 On-Disk Format Specification 1.1.4. What decides here is cryptsetup 2.6.1, in `tests/judge.rs`.

mod af;
mod binary;
mod error;
mod format;
mod header;
mod json;
mod kdf;
mod key;
mod keyslot;
mod mac;
mod matching;
mod metadata;
mod recovery_key;
mod table;
pub mod template;
mod update;
mod xts;

pub use error::{HeaderError, LooksLike, OpenError, VerifyError};
pub use format::{FormatError, FormatParameters, HeaderArea, format};
pub use header::{HeaderCopy, OtherCopy, UnverifiedHeader, VerifiedHeader};
pub use kdf::{KdfCost, KdfCostError, KdfError};
pub use key::{PassphraseError, Random, RandomFailed, VolumeKey, VolumeKeyError};
pub use keyslot::KeyslotError;
pub use metadata::Keyslot;
pub use recovery_key::{RecoveryKey, TypedKeyError};
pub use table::{DmCryptTable, TableError};
pub use update::{PendingWrite, Update, UpdateError};
