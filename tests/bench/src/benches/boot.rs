//! From the start of the kernel to switch_root, and from power-on to the root's init: our initrd against dracut's.
//!
//! Both sides are the same machine (`bennu-harness`: OVMF, Secure Boot, swtpm), loader, stub, kernel, root, hash tree
//! and command line; the peer's UKI is ours with another initrd and what that initrd needs on the command line. Each
//! side keeps its disk and TPM from boot to boot. The first boot is not counted: in it ours makes its secret and its
//! state volume. The kernel's clock is read by the root's init out of the kernel's log.

mod enrol;
mod peer;
mod side;

use super::Session;
use super::dracut::{self, Abilities, Made};
use crate::report::{Row, Runs, Target, Unit};
use crate::{guest, host, product, run};
use anyhow::{Context as _, Result};
use side::{Boot, Side};

/// A kind of boot: its name behind the rows' names, our definition, what both sides must be able to do.
struct Case {
    suffix: &'static str,
    definition: &'static str,
    abilities: Abilities,
    note: &'static str,
}

const ROOT: Case = Case {
    suffix: "",
    definition: "images/bench/verity.toml",
    abilities: Abilities::VerifiedRoot,
    note: "ours also verifies the manifest, has the kernel check the root hash's signature, checks the floor, unseals a secret and closes the latch",
};
const STATE: Case = Case {
    suffix: "-encrypted-state",
    definition: "images/bench/state.toml",
    abilities: Abilities::VerifiedRootAndEncryptedState,
    note: "both unseal the volume's key and open it; ours also mounts it, and does what it does without one",
};
const NAME: &str = "boot-to-switch-root";
/// Kernel's clock at switch_root.
const SWITCH: &str = "";
/// Wall clock of the host from power-on to the first line of the root's init.
const WHOLE: &str = "-from-power-on";
const SWITCH_TARGET: Target = Target {
    ratio: 0.5,
    ours_max: None,
};
/// Firmware and loader are the same on both sides and take most of it.
const WHOLE_TARGET: Target = Target {
    ratio: 1.0,
    ours_max: None,
};
/// Programs that the machine and the peer's UKI need, and their Debian packages.
const TOOLS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("swtpm", "swtpm"),
    ("mcopy", "mtools"),
    ("objcopy", "binutils"),
    ("sbattach", "sbsigntool"),
    ("sbsign", "sbsigntool"),
];

/// Measures with a verified root.
pub fn root_rows(session: &Session) -> Result<Vec<Row>> {
    rows(session, &ROOT)
}

/// Measures with a verified root and an encrypted state volume.
pub fn state_rows(session: &Session) -> Result<Vec<Row>> {
    rows(session, &STATE)
}

fn rows(session: &Session, case: &Case) -> Result<Vec<Row>> {
    match cannot_run(case.abilities)? {
        Some(reason) => Ok(not_run(case, &reason)),
        None => measured(session, case),
    }
}

fn cannot_run(abilities: Abilities) -> Result<Option<String>> {
    if let Some(reason) = host::missing(&TOOLS) {
        return Ok(Some(reason));
    }
    if let Some(reason) = dracut::cannot_run()? {
        return Ok(Some(reason));
    }
    Ok(match abilities {
        Abilities::VerifiedRoot => None,
        Abilities::VerifiedRootAndEncryptedState => enrol::cannot_run(),
    })
}

fn name(case: &Case, figure: &str) -> String {
    format!("{NAME}{}{figure}", case.suffix)
}

fn not_run(case: &Case, reason: &str) -> Vec<Row> {
    [SWITCH, WHOLE]
        .map(|figure| Row::not_run(&name(case, figure), dracut::PEER, reason))
        .into()
}

fn measured(session: &Session, case: &Case) -> Result<Vec<Row>> {
    let scratch = session.scratch()?;
    let release = scratch.path().join("release");
    let disk = scratch.path().join("disk.raw");
    product::build(&product::top().join(case.definition), &release, Some(&disk))?;
    let uki = release.join("uki.efi");
    let kernel = peer::kernel(&uki, scratch.path())?;
    let (made, initrd) = dracut::initrd_file(session, case.abilities)?;
    if kernel != made.kernel {
        let reason = format!(
            "kernels differ: ours {kernel}, the peer's {}; remove the older root from the cache",
            made.kernel
        );
        return Ok(not_run(case, &reason));
    }
    let mut ours = Side::new(&scratch.path().join("ours"), &disk, "starting /sbin/init")?;
    let mut theirs = Side::new(&scratch.path().join("theirs"), &disk, "Switching root.")?;
    theirs.put_uki(&peer::uki(&uki, &initrd, case.abilities, scratch.path())?)?;
    theirs.must_show(&["PROBE /proc/mounts: /dev/mapper/root / erofs ro"]);
    if case.abilities == Abilities::VerifiedRootAndEncryptedState {
        let volume = enrol::volume(scratch.path(), &theirs.tpm_path())?;
        theirs.put_state(&volume)?;
        theirs.must_show(&["PROBE EXISTS /dev/mapper/state true"]);
        ours.must_show(&["opened, generation"]);
    }
    rows_of(session, case, &made, &mut ours, &mut theirs)
}

fn rows_of(
    session: &Session,
    case: &Case,
    made: &Made,
    ours: &mut Side,
    theirs: &mut Side,
) -> Result<Vec<Row>> {
    let (mut our_boots, mut their_boots) = (Vec::new(), Vec::new());
    let switch = run::pairs(
        session.pairs,
        || noted(ours.boot().context("our initrd")?, &mut our_boots),
        || noted(theirs.boot().context("the peer's initrd")?, &mut their_boots),
    )?;
    let whole = |boots: &[Boot]| boots.iter().skip(1).map(|boot| boot.init_s).collect();
    let whole = Runs {
        ours: whole(&our_boots),
        theirs: whole(&their_boots),
    };
    let row = |figure: &str, runs: Runs, target: Target| {
        let note = format!(
            "{}, kernel {} and 2 processors on both sides, {}; {}",
            case.definition,
            made.kernel,
            guest::accelerator(),
            case.note
        );
        let row = Row::measured(
            &name(case, figure),
            dracut::PEER,
            &made.version,
            Unit::Seconds,
            runs,
            target,
        );
        anyhow::Ok(row?.with_note(note))
    };
    Ok(vec![
        row(SWITCH, switch, SWITCH_TARGET)?,
        row(WHOLE, whole, WHOLE_TARGET)?,
    ])
}

/// Keeps a boot's second figure and gives its first.
fn noted(boot: Boot, boots: &mut Vec<Boot>) -> Result<f64> {
    let seconds = boot.switch_s;
    boots.push(boot);
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_cannot_run_has_both_its_rows_with_the_reason() {
        let rows = not_run(&STATE, "because");
        let names: Vec<_> = rows.iter().map(|row| row.bench.as_str()).collect();
        assert_eq!(
            names,
            [
                "boot-to-switch-root-encrypted-state",
                "boot-to-switch-root-encrypted-state-from-power-on"
            ]
        );
    }

    #[test]
    fn the_definitions_are_there() {
        for case in [&ROOT, &STATE] {
            assert!(
                product::top().join(case.definition).is_file(),
                "{}",
                case.definition
            );
        }
    }
}
