//! Pure decisions: bytes and facts in, a [`verify::Verified`] value or a typed refusal out.
//!
//! The modules import nothing from each other. Nothing here does I/O, reads a clock or keeps state, so that
//! tests and a model checker call the very functions that run on the machine.
//!
//! - [`verify`]: the slot manifest (used by `bennu-init`, `bennu verify`, `bennud`)
//! - [`state`]: whether the state volume is this machine's (`bennu-init`)
//! - [`boot`]: which slot starts, when one is given up, what a failure leads to (`bennu-init`, `bennud`)
//! - [`gate`]: what the execution gate trusts and protects (`bennud`)

pub mod boot;
pub mod gate;
pub mod state;
pub mod verify;
