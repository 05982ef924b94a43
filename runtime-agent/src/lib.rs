//! The runtime agent: what runs in the verified root.
//!
//! `bennud` makes the health checks that the image names, marks the slot good on the ESP or has the machine
//! restarted, and watches for drift from then on ([`watch`], [`respond`]); both slots are read in the background
//! ([`scrub`]). `bennuctl` shows people what happened. Both
//! read `/run/bennu/boot.json`, which `bennu-init` wrote; only `bennud` writes: the ESP (boot record, name of the boot
//! entry, action certificates), `/run/bennu/health.json` and the record log ([`records`]). On failure `bennud` ends,
//! systemd starts it again, and restarts the machine after six starts in ten minutes; `bennu-init` counts the attempts.

pub mod agent;
pub mod as_written;
pub mod certificates;
pub mod console;
pub mod control;
pub mod documents;
pub mod ended;
pub mod esp;
pub mod factory_reset;
pub mod firmware_record;
pub mod forward;
pub mod gate;
pub mod generate;
pub mod health;
pub mod kernel_files;
pub mod limit;
pub mod log;
pub mod mark;
pub mod medium;
pub mod notify;
pub mod profiles;
pub mod records;
pub mod respond;
pub mod restart;
pub mod scrub;
pub mod slots;
pub mod status;
pub mod surroundings;
pub mod tracing;
pub mod watch;
