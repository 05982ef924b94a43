//! Small synchronous TPM 2.0 client for early boot.
//!
//! Used by the initrd's PID 1 (measure, unseal, latch) and by provisioning (seal). No async, no threads, no
//! libtss2: commands are marshalled here, the transport is the kernel's device node. What it offers:
//!
//! - [`Tpm`]: the five acts the rest of Bennu needs, so that callers can be tested with `FakeTpm` (feature `fake`);
//! - [`Client`]: a TPM behind a [`Transport`], with the typed commands of TPM 2.0 Part 3 that these acts need;
//! - [`policy_pcr_digest`], [`policy_authorize_digest`], [`policy_key_name`]: the same sums without a TPM;
//! - [`Client::quote`]: what the TPM states about its PCRs, signed by a key that never leaves it;
//! - [`EventRecord`]: what was measured, as a line of systemd's CEL-JSON log.
//!
//! Trust: bytes from the TPM and sealed blobs from disk are untrusted; lengths are checked before use and no
//! bytes make a decoder panic. Sessions are salted to the storage key (SRK), whose Name is kept in the blob:
//! a listener on the bus learns nothing, and a changed answer to an authorized command is an error. PCR
//! extends and the policy commands before Unseal carry no HMAC: a device *in* the bus can drop an extend.
//! That is not defended here.

mod api;
mod attestation;
mod blob;
mod client;
mod code;
mod command;
mod error;
mod eventlog;
#[cfg(any(test, feature = "fake"))]
mod fake;
mod floor;
mod guarded;
mod hash;
mod kdf;
mod local;
mod pcr;
mod policy;
mod public;
mod reset;
mod seal;
mod session;
mod transport;
mod unseal;
mod wire;

pub use api::{Event, Measured, Tpm};
pub use attestation::{AttestationPublic, ClockInfo, MAX_QUALIFYING, Quote, QuoteStatement};
#[cfg(feature = "verify-quote")]
pub use attestation::{QuoteError, verify_quote, verify_statement};
pub use blob::{BlobError, SealedBlob};
pub use client::Client;
pub use code::ResponseCode;
pub use command::{
    AttestationKey, Hierarchy, Loaded, LockoutRule, NvAttributes, NvAuth, NvPublic, Properties, SRK_HANDLE,
    StorageKey, VerifiedTicket,
};
pub use error::{TpmError, TransportError};
pub use eventlog::{EventKind, EventRecord};
#[cfg(any(test, feature = "fake"))]
pub use fake::FakeTpm;
pub use floor::{Floor, FloorState};
pub use guarded::{GuardedError, GuardedIndex, GuardedState, IndexPlace};
pub use hash::{Digest, HashAlg};
pub use local::{
    AuthRule, LocalAuth, LocalConditions, PinError, SECURE_BOOT_PCR, SealLocal, policy_auth_value_digest,
};
pub use pcr::{PcrBank, PcrMask, PcrValues};
pub use policy::{
    NvCompare, NvCondition, NvWritten, PolicyDigest, policy_authorize_digest, policy_nv_digest,
    policy_nv_written_digest, policy_or_digest, policy_pcr_digest, signed_digest,
};
pub use public::{Lockout, ModulusError, Name, RsaPublic, SealedPublic, policy_key_name};
pub use reset::{DeadSecret, StillAlive};
pub use seal::{SealError, SealPolicy, SrkTrust};
pub use session::{Auth, Session, SessionKind};
pub use transport::{Device, Transport};
#[cfg(any(test, feature = "fake"))]
pub use transport::{Exchange, Recorder, Socket};
pub use unseal::{PcrDifference, ReleasePolicy, UnsealError};
pub use wire::{MAX_FRAME, WireError};
