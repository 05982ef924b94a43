//! Pure decisions: bytes and facts in, a [`verify::Verified`] value or a typed refusal out.
//!
//! The modules import nothing from each other. Nothing here does I/O, reads a clock or keeps state, so that
//! tests and a model checker call the very functions that run on the machine.
//!
//! - [`verify`]: the slot manifest (used by `bennu-init`, `bennu verify`, `bennud`)
//! - [`state`]: whether the state volume is this machine's (`bennu-init`)
//! - [`debug_token`]: whether a debug token counts (`bennu-init`)
//! - [`reset`]: whether a factory reset is done, and in which order (`bennu-init`, `bennuctl`)
//! - [`verify::first_boot`]: the first-boot configuration (`bennu-init`)
//! - [`state_schema`]: whether a release can read what another one keeps (`bennu-init`)
//! - [`drift`]: what is done when the running system is not what was verified (`bennud`)
//! - [`boot`]: which slot starts, when one is given up, what a failure leads to (`bennu-init`, `bennud`)
//! - [`gate`]: what the execution gate trusts and protects (`bennud`)
//! - [`profile`]: how strictly a rule of a unit's profile holds today (`bennud`)

pub mod boot;
pub mod debug_token;
pub mod drift;
pub mod gate;
pub mod profile;
pub mod reset;
pub mod state;
pub mod state_schema;
pub mod verify;
