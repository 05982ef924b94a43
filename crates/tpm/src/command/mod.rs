//! Typed commands of TPM 2.0 Part 3 (revision 1.59), as methods of [`crate::Client`].
//!
//! Each encodes its parameters, names the handles it authorizes, and decodes the response to the last byte.

mod attestation;
mod capability;
mod lockout;
mod nv;
mod object;
mod pcr;
mod policy;
mod storage;

pub use attestation::AttestationKey;
pub use capability::Properties;
pub use lockout::LockoutRule;
pub use nv::{NvAttributes, NvAuth, NvPublic};
pub use object::Loaded;
pub(crate) use object::PRIVATE_MAX;
pub(crate) use pcr::decode_selection;
pub use policy::VerifiedTicket;
pub use storage::{Hierarchy, SRK_HANDLE, StorageKey};
