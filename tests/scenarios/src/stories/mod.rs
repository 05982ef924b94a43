//! One file a story. `tests/tiers` says which run when.

mod boots_the_newest_slot;
mod changed_uki;
mod concurrent_extends;
mod debian;
mod esp_injections;
mod falls_back_when_never_healthy;
mod floor;
mod gate;
mod interposer;
mod lying_disk;
mod manifests;
mod no_shell;
mod pcr_banks;
mod power_cuts;
mod recovery_screen;
mod rigs;
mod root_blocks;
mod second_disk;
mod secrets;
mod slots_in_swapped_order;
mod state;
mod tpm_replaced;
mod tpm_traffic;
mod tpm_troubles;
mod unreadable_root;

use bennu_harness::prelude::Story;

/// Every story.
pub fn all() -> Vec<Story> {
    [
        boots_the_newest_slot::stories(),
        slots_in_swapped_order::stories(),
        falls_back_when_never_healthy::stories(),
        floor::stories(),
        gate::stories(),
        changed_uki::stories(),
        root_blocks::stories(),
        manifests::stories(),
        recovery_screen::stories(),
        secrets::stories(),
        second_disk::stories(),
        lying_disk::stories(),
        unreadable_root::stories(),
        esp_injections::stories(),
        no_shell::stories(),
        tpm_traffic::stories(),
        tpm_replaced::stories(),
        tpm_troubles::stories(),
        pcr_banks::stories(),
        concurrent_extends::stories(),
        interposer::stories(),
        state::stories(),
        debian::stories(),
        power_cuts::stories(),
        rigs::stories(),
    ]
    .concat()
}
