//! `policy::verify`: each refusal by its exact variant and code, next to what is accepted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod contents;
mod first_boot;
mod properties;
mod signatures;
mod slot;

use bennu_formats::Code;
use bennu_policy::verify::SlotRefusal;
use slot::Slot;

#[track_caller]
fn refused(slot: &Slot, code: Code) -> SlotRefusal {
    assert!(Slot::sound().verify().is_ok(), "positive control");
    let refusal = slot.verify().expect_err("expected a refusal");
    assert_eq!(refusal.code(), code, "{refusal}");
    refusal
}

#[track_caller]
fn signatures_refused(slot: &Slot, expected_good: usize) {
    let refusal = refused(slot, Code::ManifestSignature);
    assert!(
        matches!(refusal, SlotRefusal::Signatures { good, .. } if good == expected_good),
        "{refusal}"
    );
}
