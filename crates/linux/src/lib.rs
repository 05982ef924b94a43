//! The Linux system interfaces that Bennu's two agents need: `bennu-init` (PID 1 of the initrd) and
//! `bennud`. This is the only crate with hand-written `unsafe`; each use is allowed where it stands
//! and says why it holds. It depends on nothing else of Bennu and decides nothing: callers verify,
//! this crate acts and reports exactly which act failed.
//!
//! Everything links statically with glibc. Nothing here waits for udev, starts a process or a
//! thread, or panics on bytes from the kernel, from sysfs or from the firmware.

pub mod block;
pub mod bounded;
pub mod bpf;
pub mod cgroup;
pub mod console;
pub mod console_input;
pub mod dm;
pub mod efivars;
pub mod ext4;
pub mod found;
pub mod ima;
pub mod keyring;
pub mod kmsg;
pub mod memory;
pub mod modules;
pub mod mount;
pub mod priority;
pub mod pstore;
pub mod reboot;
pub mod switch_root;
pub mod time;
pub mod uevent;
pub mod watchdog;
