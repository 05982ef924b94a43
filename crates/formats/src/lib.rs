//! The contract between Bennu's programs: on-disk, on-wire and hand-over types, names and units.
//!
//! What: plain data with bounded decoders. Who writes: `bennu` (manifest, verity-sig JSON, trust
//! configuration), `bennu-init` (boot record, hand-over), `bennud` (boot record). Who reads: all of them.
//! No I/O, no clock, no `unsafe` in here. A decoder checks the length first, then the schema version, then
//! decodes; what it returns is [`Unverified`] wherever somebody else could have written the bytes.

pub mod alerts;
pub mod boot_record;
pub mod cmdline;
pub mod codes;
pub mod debug_token;
pub mod decode;
pub mod digest;
pub mod drift;
pub mod dsse;
pub mod escrow;
pub mod factory_reset;
pub mod failure_log;
pub mod firmware_record;
pub mod first_boot;
pub mod floor;
pub mod gate;
pub mod guids;
pub mod handover;
pub mod hardening;
pub mod health;
pub mod identity;
pub mod ima;
pub mod initrd_modules;
pub mod manifest;
pub mod names;
pub mod paths;
pub mod profile;
pub mod recovery_qr;
pub mod state;
pub mod state_schema;
pub mod trace;
pub mod trust;
pub mod units;
pub mod verity_sig;
pub mod version;
pub mod watch;

pub use codes::Code;
pub use decode::{DecodeError, Unverified};
pub use digest::{RootHash, Sha256Digest};
pub use names::{ImageId, ImageVersion, ReleaseName, UkiFileName};
