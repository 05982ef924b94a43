//! An intruder loads a kernel module that the image does not have. Debian has signed it, so the kernel takes it; and he hands
//! it over from memory, so IMA measures nothing. The watch tells it by its name. One of the image's own is no sign of anything.

use crate::serial::*;
use crate::{images, kernel_module};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::path::PathBuf;

/// Modules of Debian's kernel that need no device and no other module; the initrd has neither.
const OF_THE_IMAGE: &str = "dummy";
const BROUGHT: &str = "nlmon";
/// Where the init looks for them.
const IN_THE_ROOT: &str = "/usr/lib/modules/extra/dummy.ko";
const ON_THE_ESP: &str = "/EFI/brought.ko";

pub fn stories() -> Vec<Story> {
    vec![story!("module-that-the-image-does-not-have", Tier::Fast, unknown)]
}

/// A disk with `drift-module.toml`, its module in the root, and the intruder's.
fn disk(context: &Context) -> Result<(PathBuf, Vec<u8>)> {
    let folder = context.folder().canonicalize()?;
    // Another release with the same kernel.
    let same_kernel = images::release("small/drift-dry.toml")?;
    let module = |name| kernel_module::for_kernel_of(&same_kernel, &folder, name);
    let [known, brought] = [module(OF_THE_IMAGE)?, module(BROUGHT)?];
    let [file, definition, release, disk] =
        ["known.ko", "image.toml", "release", "image.raw"].map(|name| folder.join(name));
    std::fs::write(&file, known)?;
    let base = images::top()
        .canonicalize()?
        .join("images/small/drift-module.toml");
    let text = format!("extends = {base:?}\n\n[[root.file]]\npath = {IN_THE_ROOT:?}\nsource = {file:?}\n");
    std::fs::write(&definition, text)?;
    images::build(&definition, &release)?;
    images::run_bennu(&["disk", "--output", &images::text(&disk), &images::text(&release)])?;
    Ok((disk, brought))
}

fn unknown(context: &mut Context) -> Result<()> {
    let (disk, brought) = disk(context)?;
    let mut machine = images::machine(context, &disk)?;
    machine.disk()?.esp()?.put(ON_THE_ESP, &brought)?;
    let lines = {
        let mut on = machine.power_on()?;
        on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
        on.wait_exit(Duration::from_secs(60))?;
        texts(&on)
    };
    expect_version(&lines, "3")?;
    both_are_loaded(&lines)?;
    // One signal in all: none of the image's own module, and none of IMA's about a module that was no file.
    let told: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("bennud: signal "))
        .collect();
    let expected = format!("bennud: signal module-unknown (strong): module {BROUGHT} is not of the image");
    ensure!(
        matches!(told[..], [one] if one.contains(&expected)),
        "expected `{expected}` and no other signal, found {told:?}"
    );
    let begins = place(&lines, "PROBE INTRUDER begins intrude-module")?;
    let tells = place(&lines, &expected)?;
    ensure!(
        begins < tells,
        "expected nothing told before line {begins}, found line {tells}"
    );
    expect_line(
        &lines,
        "bennud: ALERT drift.one-strong: module-unknown (kernel, strong)",
    )?;
    // One strong sign: nothing is destroyed, and in a dry run nothing is done.
    for line in &lines {
        for done in ["state-purge", "flip-slot", "fail-safe", "deny done"] {
            ensure!(!line.contains(done), "expected no `{done}`, found {line}");
        }
    }
    for runs in ["bennud", "service"] {
        expect_line(&lines, &format!("PROBE RUNS {runs} true"))?;
    }
    expect_line(&lines, "PROBE EXISTS /run/secrets/machine true").map(drop)
}

fn place(lines: &[String], part: &str) -> Result<usize> {
    let place = lines.iter().position(|line| line.contains(part));
    place.with_context(|| format!("expected a line with `{part}`, found none"))
}

/// By the kernel's own list: the first before the intruder comes, the second afterwards.
fn both_are_loaded(lines: &[String]) -> Result<()> {
    let shown = |name: &str| -> Vec<usize> {
        let part = format!("PROBE /proc/modules: {name} ");
        let places = lines.iter().enumerate();
        places
            .filter(|(_, line)| line.contains(&part))
            .map(|(place, _)| place)
            .collect()
    };
    let begins = place(lines, "PROBE INTRUDER begins intrude-module")?;
    let (known, brought) = (shown(OF_THE_IMAGE), shown(BROUGHT));
    ensure!(
        matches!((&known[..], &brought[..]), ([first, _], [second]) if *first < begins && begins < *second),
        "expected {OF_THE_IMAGE} before and after line {begins} and {BROUGHT} after it, found lines {known:?} and {brought:?}"
    );
    Ok(())
}
