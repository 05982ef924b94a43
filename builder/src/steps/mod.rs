//! The steps of a build, one file each, in the order in which [`crate::steps::release::build`] takes them:
//! source → root (with its golden-file index) → initrd → verity → uki → manifest → release directory; and disk, which takes releases.

pub mod agents;
mod chain;
pub mod cpio;
pub mod disk;
pub mod enrolment;
pub mod first_boot;
pub mod gate;
pub mod golden;
pub mod ima;
mod immutable;
pub mod initrd;
pub mod keys;
pub mod manifest;
pub mod modules;
pub mod os_release;
pub mod release;
pub mod root;
pub mod source;
pub mod state_template;
mod systemd;
pub mod uki;
