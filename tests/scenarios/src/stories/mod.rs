//! One file a story. `tests/tiers` says which run when.

mod alerts;
mod appliance;
mod boots_the_newest_slot;
mod changed_uki;
mod changes;
mod collected;
mod concurrent_extends;
mod contain;
mod debian;
mod debug_token;
mod drift;
mod early_panics;
mod ended;
mod esp_injections;
mod evidence;
mod factory_reset;
mod falls_back_when_never_healthy;
mod first_boot;
mod floor;
mod floor_index;
mod foreign_initrd;
mod gate;
mod gate_demanded;
mod golden;
mod identity;
mod interposer;
mod kernel_side;
mod latch;
mod lying_disk;
mod manifests;
mod module;
mod neighbours;
mod no_shell;
mod nothing_to_talk_to;
mod pcr_banks;
mod pin;
mod portable;
mod power_cuts;
mod purged;
mod recovery_key;
mod recovery_screen;
mod rigs;
mod root_blocks;
mod root_hash_signature;
mod sata_disk;
mod screen_reset;
mod scrub;
mod second_disk;
mod secrets;
mod secure_boot_off;
mod slots_in_swapped_order;
mod smbios;
mod state;
mod state_header;
mod state_schema;
mod tpm_copied_back;
mod tpm_replaced;
mod tpm_restarted;
mod tpm_silent;
mod tpm_traffic;
mod tpm_troubles;
mod traced;
mod units;
mod unreadable_root;
mod verity_superblock;

use bennu_harness::prelude::Story;

/// Every story.
pub fn all() -> Vec<Story> {
    [
        boots_the_newest_slot::stories(),
        slots_in_swapped_order::stories(),
        smbios::stories(),
        falls_back_when_never_healthy::stories(),
        floor::stories(),
        gate::stories(),
        gate_demanded::stories(),
        units::stories(),
        floor_index::stories(),
        foreign_initrd::stories(),
        changed_uki::stories(),
        early_panics::stories(),
        root_blocks::stories(),
        manifests::stories(),
        recovery_key::stories(),
        pin::stories(),
        screen_reset::stories(),
        recovery_screen::stories(),
        secrets::stories(),
        secure_boot_off::stories(),
        second_disk::stories(),
        sata_disk::stories(),
        contain::stories(),
        changes::stories(),
        module::stories(),
        drift::stories(),
        scrub::stories(),
        golden::stories(),
        kernel_side::stories(),
        root_hash_signature::stories(),
        latch::stories(),
        lying_disk::stories(),
        unreadable_root::stories(),
        verity_superblock::stories(),
        esp_injections::stories(),
        evidence::stories(),
        neighbours::stories(),
        no_shell::stories(),
        nothing_to_talk_to::stories(),
        tpm_traffic::stories(),
        tpm_restarted::stories(),
        tpm_silent::stories(),
        tpm_replaced::stories(),
        tpm_copied_back::stories(),
        tpm_troubles::stories(),
        pcr_banks::stories(),
        concurrent_extends::stories(),
        interposer::stories(),
        state::stories(),
        debug_token::stories(),
        factory_reset::stories(),
        state_schema::stories(),
        identity::stories(),
        first_boot::stories(),
        state_header::stories(),
        debian::stories(),
        appliance::stories(),
        ended::stories(),
        alerts::stories(),
        collected::stories(),
        portable::stories(),
        traced::stories(),
        power_cuts::stories(),
        purged::stories(),
        rigs::stories(),
    ]
    .concat()
}
