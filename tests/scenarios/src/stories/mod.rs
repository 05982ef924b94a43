//! One file a story. `tests/tiers` says which run when.

mod boots_the_newest_slot;
mod changed_uki;
mod debian;
mod falls_back_when_never_healthy;
mod floor;
mod manifests;
mod power_cuts;
mod recovery_screen;
mod rigs;
mod root_blocks;
mod secrets;
mod slots_in_swapped_order;
mod state;

use bennu_harness::prelude::Story;

/// Every story.
pub fn all() -> Vec<Story> {
    [
        boots_the_newest_slot::stories(),
        slots_in_swapped_order::stories(),
        falls_back_when_never_healthy::stories(),
        floor::stories(),
        changed_uki::stories(),
        root_blocks::stories(),
        manifests::stories(),
        recovery_screen::stories(),
        secrets::stories(),
        state::stories(),
        debian::stories(),
        power_cuts::stories(),
        rigs::stories(),
    ]
    .concat()
}
