//! PID 1 of the initrd. This file shows the whole boot in its order; each step is a file of its own.
//!
//! Reads: the signed initrd (trust, modules), the command line, the boot disk's GPT, the slot's manifest, and
//! from the ESP the boot record and sealed secrets, which are untrusted. Writes: PCRs 11 and 15, the boot
//! record, entry names and failure log on the ESP, `/run/bennu`, `/run/secrets`. On failure: [`failure::end`].

mod error;
mod esp;
mod failure;
mod floor;
mod handover;
mod hardware;
mod journal;
mod machine;
mod manifest;
mod past;
mod recovery_screen;
mod root;
mod secrets;
mod slot;
mod state;
mod tpm;
mod verity;

use error::InitError;
use journal::Journal;
use std::convert::Infallible;

fn main() {
    let mut journal = Journal::start();
    let mut known = failure::Known::default();
    match boot(&mut journal, &mut known) {
        Ok(never) => match never {},
        Err(error) => failure::end(&mut journal, known, &error),
    }
}

/// The boot, in the order of DESIGN §6. Returns only on failure; what is known by then is in `known`.
fn boot(journal: &mut Journal, known: &mut failure::Known) -> Result<Infallible, InitError> {
    journal.step("api file systems");
    machine::mount_api_file_systems(journal)?;
    let trust = machine::read_trust()?;
    known.release = Some(trust.release());
    let modules = hardware::read_list()?;
    journal.step("kernel modules");
    hardware::load(&modules, journal)?;
    let secure_boot = machine::secure_boot(&trust)?;
    let root_hash = machine::root_hash()?;

    journal.step("boot disk and slot");
    let slot = slot::find(&root_hash, &modules)?;
    let esp = known.esp.insert(esp::Mounted::mount(&slot.esp, &trust)?);
    let start = esp.begin(&trust, journal)?;

    journal.step("slot manifest");
    let manifest = manifest::read_and_verify(&slot, &trust, root_hash)?;
    journal.say(&manifest::sentence(&manifest));

    journal.step("dm-verity, checked");
    verity::check_what_the_boot_needs(&slot, &manifest)?;
    let device = verity::open_for_the_running_system(&slot, &manifest)?;
    journal.say(&format!(
        "root hash {} is open as {}",
        device.root_hash,
        device.path.display()
    ));

    journal.step("tpm: enter-initrd, floor");
    let tpm = known.tpm.insert(tpm::Measured::open()?);
    tpm.enter_initrd()?;
    let (release, floor) = floor::hold(tpm, esp, &trust, &manifest, &start, journal)?;
    journal.step("state volume");
    let state = state::open(tpm, esp, &slot, &trust, &release, journal)?;
    journal.step("tpm: unseal");
    let secrets = secrets::unseal_or_seal(tpm, esp, &trust, &manifest, journal)?;

    journal.step("tpm: latch");
    tpm.latch(&manifest, state.as_ref().map(|state| &state.key))?;
    secrets::prove_closed(tpm, &secrets, &trust, &manifest)?;
    journal.say(&format!(
        "latched: the TPM refused a second unseal of {} secrets",
        secrets.len()
    ));

    journal.step("root");
    root::mount(&device, state.as_ref().map(|state| state.mounted.as_path()))?;
    // Wipes the volume key.
    let state = state.map(|state| state.report);
    let secrets = root::put_secrets(secrets)?;
    let pcrs = tpm.pcrs()?;
    tpm.write_event_log()?;
    let facts = handover::Facts {
        slot,
        device,
        secure_boot,
        start,
        secrets,
        floor,
        state,
        pcrs,
    };
    handover::write(&manifest, facts, journal)?;
    journal.step("esp: root reached");
    esp.reached_root(&trust)?;
    if let Err(error) = failure::forget_restarts() {
        journal.warn(&error.to_string());
    }
    root::switch(journal, known)
}
