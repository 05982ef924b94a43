//! Manifests that are signed by the wrong key or say the wrong thing. Each is refused by its own code, and the
//! other slot boots; the positive control is the same manifest signed again without a change.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;
use serde_json::{Value, json};

pub fn stories() -> Vec<Story> {
    vec![
        story!("manifest-by-an-unknown-release-key", Tier::Fast, unknown_key),
        story!("manifest-for-another-root-hash", Tier::Fast, other_root_hash),
        story!("manifest-for-another-image-id", Tier::Fast, other_image_id),
        story!(
            "manifest-for-another-architecture",
            Tier::Fast,
            other_architecture
        ),
    ]
}

fn refused(machine: &mut Machine, code: &str, reason: &str) -> Result<()> {
    let line = boot_that_fails(machine, code)?;
    ensure!(line.contains(reason), "expected `{reason}`, found: {line}");
    let lines = boot_to_probe(machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, &format!("fell back from 2: {code}: "))?;
    Ok(())
}

fn unknown_key(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    // The control: signed anew by the key that the image trusts, the slot boots.
    forge::resign(machine.disk()?, "small_2", &forge::release_key()?, |_| {})?;
    expect_version(&boot_to_probe(&mut machine)?, "2")?;
    forge::resign(machine.disk()?, "small_2", &forge::foreign_key(), |_| {})?;
    refused(
        &mut machine,
        "MANIFEST-SIGNATURE",
        "expected signatures by 1 of 1 trusted release keys, found 0",
    )
}

fn altered(context: &mut Context, code: &str, reason: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    forge::resign(machine.disk()?, "small_2", &forge::release_key()?, change)?;
    refused(&mut machine, code, reason)
}

fn other_root_hash(context: &mut Context) -> Result<()> {
    let other = images::manifest(&images::release("small/image.toml")?)?["verity"]["root_hash"].clone();
    altered(
        context,
        "MANIFEST-ROOT-HASH",
        "expected the UKI's root hash",
        |m| m["verity"]["root_hash"] = other,
    )
}

fn other_image_id(context: &mut Context) -> Result<()> {
    altered(
        context,
        "MANIFEST-IMAGE-ID",
        "expected image id small, found large",
        |m| m["image_id"] = json!("large"),
    )
}

fn other_architecture(context: &mut Context) -> Result<()> {
    altered(
        context,
        "MANIFEST-ARCHITECTURE",
        "expected architecture x86-64, found arm64",
        |m| {
            m["architecture"] = json!("arm64");
        },
    )
}
