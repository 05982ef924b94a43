//! The runtime agent: what runs in the verified root.
//!
//! `bennud` makes the health checks that the image names, marks the slot good on the ESP or has the machine
//! restarted, and stays. `bennuctl` shows people what happened. Both read `/run/bennu/boot.json`, which
//! `bennu-init` wrote; only `bennud` writes: the ESP (boot record, name of the boot entry) and
//! `/run/bennu/health.json`. On failure `bennud` ends, systemd starts it again, and after five times restarts
//! the machine; `bennu-init` counts the attempts.

pub mod agent;
pub mod console;
pub mod documents;
pub mod esp;
pub mod factory_reset;
pub mod firmware_record;
pub mod health;
pub mod log;
pub mod mark;
pub mod notify;
pub mod restart;
pub mod status;
pub mod surroundings;
