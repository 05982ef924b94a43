//! The record log and the action certificates. Normative text: `docs/spec/records.md`,
//! `docs/spec/action-certificate.md`.
//!
//! A log is a row of files of JSON lines. Each line carries a MAC under a key of its own; the key of the next line
//! follows from it, and the old one is erased: who takes the machine over can forge what comes, not what was
//! ([`Writer`]). A digest runs over all lines, and heads sign it ([`Signer`]). Who holds a segment's first key, or
//! trusts the signer, finds every edit, cut, reorder, duplicate and gap, and the line ([`verify`]).
//!
//! Who writes: `bennud`. Who reads: `bennuctl log verify`, on any machine. On failure the writer is done: the
//! file may end in half a line, and the next writer begins a new file that says so.

pub mod certificate;
mod clock;
mod fault;
mod head;
mod key;
mod line;
mod recover;
mod store;
mod torn;
mod verify;
mod writer;

pub use clock::SignerTime;
pub use fault::{Fault, Finding};
pub use head::{HeadVerifier, Signer, SignerError, head_message};
pub use key::{InitialKey, SegmentId};
pub use line::{Kind, Line, LineError, MAX_LINE_BYTES, Stamp, Torn};
pub use store::{Directory, MAX_FILE_BYTES, Store, collected_name, collected_number, file_name, file_number};
pub use verify::{KeyRing, LogFile, Origin, Proof, Report, verify};
pub use writer::{Durability, Limits, WriteError, Writer};
