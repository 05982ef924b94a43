//! Power cuts during the first start, where the ESP gets its boot record and its secrets: of what was not flushed
//! nothing, single sectors, or some writes in another order are on the disk. The next start must find its way, with
//! the secret that was handed out.

use crate::images;
use crate::serial::*;
use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::Document as _;
use bennu_harness::faults;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::Command;

pub fn stories() -> Vec<Story> {
    vec![
        story!("power-cut-leaves-the-esp-whole", Tier::Fast, leaves_the_esp_whole),
        story!(
            "power-cut-before-the-root-leaves-the-esp-whole",
            Tier::Fast,
            before_the_root
        ),
    ]
}

/// The cut comes when the secret is in use. What it loses is known: unmounting writes without a flush.
fn leaves_the_esp_whole(context: &mut Context) -> Result<()> {
    let cuts = [
        Survivors::Nothing,
        Survivors::Torn { seed: 1 },
        Survivors::Reordered { seed: 1 },
    ];
    for survivors in cuts {
        let mut machine = images::machine(context, &images::small()?)?;
        machine.set_disk_faults(Some(Vec::new()));
        let on = machine.power_on()?;
        let (line, cut) = faults::power_cut_losing(on, "PROBE SECRET machine ", INITRD, survivors)?;
        ensure!(
            cut.held.writes > 0,
            "expected writes without a flush, found {cut:?}"
        );
        if survivors == Survivors::Nothing {
            ensure!(cut.sectors_lost > 0, "expected sectors to be lost, found {cut:?}");
        }
        let handed_out = secret_mark(&[line.text], "machine")?;
        expect_copies(&machine, survivors, 1)?;
        let lines = expect_next_start(&mut machine, survivors, "2")?;
        expect_secret(&lines, &handed_out, survivors)?;
        expect_copies(&machine, survivors, 2)?;
        if survivors == Survivors::Nothing {
            // Positive control: an orderly end changes the same things and no other.
            let lines = expect_next_start(&mut machine, survivors, "3")?;
            expect_secret(&lines, &handed_out, survivors)?;
            expect_copies(&machine, survivors, 3)?;
        }
    }
    Ok(())
}

/// Cuts at each step of the first start that leaves something on the ESP or in the TPM.
fn before_the_root(context: &mut Context) -> Result<()> {
    let steps = [
        "small 2: attempt 1 of ",
        "set the TPM's owner and lockout authorisations",
        "made secret machine ",
        "latched: ",
    ];
    for (seed, step) in (1..).zip(steps) {
        for survivors in [Survivors::Nothing, Survivors::Torn { seed }] {
            let mut machine = images::machine(context, &images::small()?)?;
            machine.set_disk_faults(Some(Vec::new()));
            let on = machine.power_on()?;
            faults::power_cut_losing(on, step, INITRD, survivors)?;
            expect_copies(&machine, survivors, 1)?;
            let lines = expect_next_start(&mut machine, survivors, "2")?;
            expect_line(&lines, "unsealed secret machine (32 bytes)").with_context(|| step.to_owned())?;
            expect_copies(&machine, survivors, 2)?;
        }
    }
    Ok(())
}

/// The next start reaches the root as this attempt, and has nothing to say of the ESP.
fn expect_next_start(machine: &mut Machine, survivors: Survivors, attempt: &str) -> Result<Vec<String>> {
    let lines = boot_to_probe(machine).with_context(|| format!("{survivors:?}"))?;
    expect_version(&lines, "2")?;
    expect_line(&lines, &format!("small 2: attempt {attempt} of "))?;
    let complaints = ["boot record: ", "FAT-fs", "its first write was cut off"];
    for complaint in complaints {
        let found = lines.iter().find(|line| {
            // The kernel says of each ESP that was not unmounted that fsck might help.
            line.contains(complaint) && !line.contains("Volume was not properly unmounted")
        });
        ensure!(
            found.is_none(),
            "{survivors:?}: expected no complaint, found {found:?}"
        );
    }
    Ok(lines)
}

fn expect_secret(lines: &[String], handed_out: &str, survivors: Survivors) -> Result<()> {
    let found = secret_mark(lines, "machine")?;
    ensure!(
        found == handed_out,
        "{survivors:?}: expected the secret that was handed out, {handed_out}, found {found}"
    );
    Ok(())
}

/// What fsck.vfat says after each cut: FSINFO and the dirty bit are written without a flush.
const HARMLESS: [&str; 11] = [
    "fsck.fat ",
    "There are differences between boot sector and its backup.",
    "This is mostly harmless.",
    "65:01/00",
    "Not automatically fixing this.",
    "Dirty bit is set.",
    "Automatically removing dirty bit.",
    "Free cluster summary ",
    "Auto-correcting.",
    // Clusters that no entry names yet.
    "Reclaimed ",
    "Leaving filesystem unchanged.",
];

/// fsck.vfat finds no entry without clusters of its own, and no chain that is not an entry's length.
fn expect_sound(machine: &Machine, survivors: Survivors) -> Result<()> {
    let partition = machine.disk()?.esp()?.partition().clone();
    let mut disk = File::open(machine.disk()?.path())?;
    disk.seek(SeekFrom::Start(partition.start))?;
    let image = machine.folder().join("esp.img");
    std::io::copy(&mut disk.take(partition.bytes), &mut File::create(&image)?)?;
    let output = Command::new("fsck.vfat")
        .arg("-n")
        .arg(&image)
        .output()
        .context("fsck.vfat of dosfstools")?;
    std::fs::remove_file(&image)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains(" files, "), "fsck.vfat came to no end: {said}");
    let trouble = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(&images::text(&image)))
        .find(|line| !HARMLESS.iter().any(|known| line.starts_with(known)));
    ensure!(
        trouble.is_none(),
        "{survivors:?}: expected a sound ESP, found: {said}"
    );
    Ok(())
}

/// The ESP is sound, and both copies of the record hold this many starts.
fn expect_copies(machine: &Machine, survivors: Survivors, starts: u64) -> Result<()> {
    expect_sound(machine, survivors)?;
    for path in ["/bennu/boot-record.json", "/bennu/boot-record.2.json"] {
        let bytes = machine.disk()?.esp()?.get(path)?;
        let record = BootRecord::decode(&bytes).with_context(|| format!("{survivors:?}: {path}"))?;
        ensure!(
            record.starts == starts,
            "{survivors:?}: {path}: expected {starts} starts, found {}",
            record.starts
        );
    }
    Ok(())
}
