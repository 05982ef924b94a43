//! PID 1 of the initrd. This file shows the whole boot in its order; each step is a file of its own.
//!
//! Reads: the signed initrd (trust, modules), the command line, the boot disk's GPT, the slot's manifest, and
//! from the ESP the boot record and sealed secrets, which are untrusted. Writes: PCRs 11 and 15, the boot
//! record, entry names and failure log on the ESP, `/run/bennu`, `/run/secrets`. On failure: [`failure::end`].

mod debug;
mod error;
mod esp;
mod evidence;
mod failure;
mod first_boot;
mod floor;
mod handover;
mod hardware;
mod identity;
mod journal;
mod kernel;
mod machine;
mod manifest;
mod opened;
mod past;
mod pin;
mod recovery;
mod recovery_screen;
mod reset;
mod root;
mod screen_reset;
mod secrets;
mod slot;
mod state;
mod talk;
mod tpm;
mod verity;

use bennu_formats::handover::{DebugStart, HardeningFact, KernelFacts, RootHashCheck, SecureBootState};
use bennu_formats::manifest::SlotManifest;
use bennu_formats::trust::TrustConfig;
use bennu_formats::{RootHash, Sha256Digest, cmdline};
use bennu_policy::verify::Verified;
use bennu_tpm::ReleasePolicy;
use error::InitError;
use hardware::Hardware;
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

/// The boot, in the order of ARCHITECTURE.md. Returns only on failure; what is known by then is in `known`.
fn boot(journal: &mut Journal, known: &mut failure::Known) -> Result<Infallible, InitError> {
    journal.step("api file systems");
    machine::mount_api_file_systems(journal)?;
    known.consoles = Some(talk::hush(journal));
    let trust = machine::read_trust()?;
    known.release = Some(trust.release());
    let modules = hardware::read_list()?;
    journal.step("kernel modules");
    let cmdline = kernel::cmdline()?;
    let mut hardware = Hardware::start(&modules, &cmdline, journal)?;
    let started = Started {
        secure_boot: machine::secure_boot(&trust)?,
        root_hash: cmdline::root_hash(cmdline.as_bytes())?,
        hardening: kernel::hardening(&cmdline, journal),
        root_hash_check: kernel::root_hash_check(&cmdline),
    };

    journal.step("boot disk and slot");
    let disk = slot::find_disk(&mut hardware)?;
    let esp = known.esp.insert(esp::Mounted::mount(&disk.esp, &trust)?);
    let start = esp.begin(&trust, journal)?;
    let slot = disk.slot(&started.root_hash)?;

    journal.step("slot manifest");
    let found = manifest::read_and_verify(&slot, &trust, started.root_hash)?;
    let evidence = evidence::Evidence::of(&found.manifest, &slot, &trust);
    let evidence = known.evidence.insert(evidence);
    journal.say(&manifest::sentence(&found.manifest));
    let device = verified_root(&slot, &found, started.root_hash_check, journal)?;
    let manifest = found.manifest;

    journal.step("tpm: enter-initrd");
    let tpm = known.tpm.insert(tpm::Measured::open()?);
    tpm.check_bank(started.secure_boot)?;
    tpm.enter_initrd()?;
    let release = known.policy.insert(secrets::release_policy(&trust, &manifest)?);
    tpm.expect(release)?;
    let boot = opened::Boot {
        slot: &slot,
        trust: &trust,
        manifest: &manifest,
        release,
        start: &start,
    };
    let machine = debug::identity(tpm, journal)?;
    let debug = debug::accept(tpm, esp, &trust, machine, journal)?;
    let opened = match &debug {
        None => opened::open(tpm, esp, &boot, &mut hardware, evidence, journal),
        Some(debug) => debug::keep_sealed(tpm, esp, release, debug, journal),
    };
    let opened = opened.map_err(|error| {
        let error = recovery::offer(&boot, &mut hardware, tpm, esp, error, journal);
        known.reset = screen_reset::prepare(&boot, &mut hardware, tpm, &error, journal);
        error
    })?;
    latch(tpm, &opened, &manifest, release, journal)?;

    let whole = Whole {
        started,
        start,
        slot,
        device,
        manifest,
        machine,
        debug,
    };
    whole.hand_over(opened, &trust, tpm, esp, journal)?;
    root::switch(journal, known)
}

/// What firmware and kernel say of this start.
struct Started {
    secure_boot: SecureBootState,
    root_hash: RootHash,
    hardening: Vec<HardeningFact>,
    root_hash_check: RootHashCheck,
}

/// Checks what the boot needs of the root, and opens it for the running system.
fn verified_root(
    slot: &slot::Slot,
    found: &manifest::Found,
    root_hash_check: RootHashCheck,
    journal: &mut Journal,
) -> Result<verity::Opened, InitError> {
    journal.step("dm-verity, checked");
    let verity = verity::Verity::of(slot, found, root_hash_check);
    verity.check_what_the_boot_needs()?;
    let device = verity.open_for_the_running_system()?;
    journal.say(&device.sentence(root_hash_check));
    Ok(device)
}

/// Closes the TPM's policy for the rest of this start, and proves it by an unseal that fails.
fn latch(
    tpm: &mut tpm::Measured,
    opened: &opened::Opened,
    manifest: &Verified<SlotManifest>,
    release: &ReleasePolicy,
    journal: &mut Journal,
) -> Result<(), InitError> {
    journal.step("tpm: latch");
    tpm.latch(manifest, opened.state.as_ref().map(|state| &state.key))?;
    let refused = secrets::prove_closed(tpm, &opened.secrets, release)?;
    journal.say(&format!("latched: {refused}"));
    Ok(())
}

/// A start in which everything was verified.
struct Whole {
    started: Started,
    start: esp::Start,
    slot: slot::Slot,
    device: verity::Opened,
    manifest: Verified<SlotManifest>,
    machine: Sha256Digest,
    debug: Option<DebugStart>,
}

impl Whole {
    /// Mounts the root with what lies over it, and leaves secrets, evidence and the hand-over record for it.
    fn hand_over(
        self,
        opened: opened::Opened,
        trust: &TrustConfig,
        tpm: &mut tpm::Measured,
        esp: &mut esp::Mounted,
        journal: &mut Journal,
    ) -> Result<(), InitError> {
        let ima_policy_sha256 = kernel::load_ima_policy(journal)?;

        journal.step("root");
        let state = opened.state;
        let etc = |lower: &_| identity::of_state(state.as_ref(), lower, trust, esp, tpm, journal);
        let identity = root::mount(&self.device, state.as_ref(), etc)?;
        // Wipes the volume key.
        let (state, kept) = state.map(|state| (state.report, state.kept)).unzip();
        let secrets = root::put_secrets(opened.secrets)?;
        let pcrs = tpm.pcrs()?;
        tpm.write_event_log(journal)?;
        let facts = handover::Facts {
            slot: self.slot,
            device: self.device,
            secure_boot: self.started.secure_boot,
            kernel: KernelFacts {
                release: kernel::release(),
                hardening: self.started.hardening,
                root_hash_check: self.started.root_hash_check,
                ima_policy_sha256,
            },
            start: self.start,
            secrets,
            floor: opened.floor,
            state,
            machine: self.machine,
            debug: self.debug,
            factory_reset: opened.factory_reset,
            identity,
            pcrs,
        };
        handover::write(&self.manifest, facts, journal)?;

        journal.step("esp: root reached");
        esp.reached_root(trust, kept)?;
        if let Err(error) = failure::forget_restarts() {
            journal.warn(&error.to_string());
        }
        Ok(())
    }
}
