//! One function for each decoder of untrusted bytes: it must return, whatever the bytes.
//!
//! `fuzz/fuzz_targets/` calls them from libFuzzer (nightly); `tests/replay.rs` calls them on stable with the
//! seeds under `fuzz/corpus/<target>/`, made by our own writers (`make-corpus`), and with mutations of them.
//! A function says whether the bytes were accepted, so that a test can see that the seeds reach the end.

mod boot;
mod disk;
mod events;
mod machine;
pub mod mutate;
mod runtime;
pub mod sparse;
mod state;
mod words;

pub use boot::{authenticode_verify, efi_auth, ovmf_vars, pcrsig, pe, root_hash_signature};
pub use disk::{erofs_reader, erofs_tar, fat_reader, gpt, verity_superblock, verity_table};
pub use events::{cel_log, firmware_log};
pub use machine::{module_list, sealed_blob, tpm_response, uevent};
pub use runtime::{
    LOG_FILE_END, LOG_KEYS, action_certificate, collector_input, golden_index, ima_log, record_log,
};
pub use state::{BINARY_PREFIX_BYTES, STATE_GENERATION, luks_header, recovery_key, state_key};
pub use words::{
    RELEASE_KEY_SEED, ROOT_HASH, boot_record, cmdline, debug_token, dsse_envelope, escrow_key, factory_reset,
    firmware_record, first_boot, gate, handover, health, slot_manifest, state_schema, state_template,
    trust_config, uki_file_name, verify_slot, verity_sig,
};

/// A decoder and its name, which is also its corpus' folder and its libFuzzer binary.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name.
    pub name: &'static str,
    /// Decodes; whether the bytes were accepted.
    pub run: fn(&[u8]) -> bool,
}

/// Calls a macro with the name of each target.
#[macro_export]
macro_rules! for_each_target {
    ($call:ident) => {
        $call! {
            action_certificate authenticode_verify boot_record cel_log cmdline collector_input debug_token
            dsse_envelope efi_auth erofs_reader erofs_tar escrow_key factory_reset fat_reader firmware_log
            firmware_record first_boot gate golden_index gpt handover health ima_log luks_header
            module_list ovmf_vars pcrsig pe record_log recovery_key root_hash_signature sealed_blob
            slot_manifest state_schema state_template tpm_response trust_config uevent uki_file_name
            verify_slot verity_sig verity_superblock verity_table
        }
    };
}

macro_rules! list {
    ($($name:ident)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name },)*];
    };
}
for_each_target!(list);
