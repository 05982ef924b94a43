//! The golden-file index on the machine: it is the one that the manifest names, and what the kernel measured is in it.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use sha2::{Digest as _, Sha256};

const INDEX: &str = "/usr/lib/bennu/golden.idx";

pub fn stories() -> Vec<Story> {
    vec![story!(
        "golden-index-has-what-the-kernel-measured",
        Tier::Fast,
        has_what_was_measured
    )]
}

fn has_what_was_measured(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/golden.toml"])?)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;

    // As the machine reads it through dm-verity, it is what the signed manifest names.
    let index = hex_file(&lines, INDEX)?;
    let manifest = images::manifest(&images::release("small/golden.toml")?)?;
    let expected = manifest["golden_index"]["sha256"]
        .as_str()
        .context("the manifest names no index")?;
    let found = hex::encode(Sha256::digest(&index));
    ensure!(found == expected, "expected the index {expected}, found {found}");
    let file = context.folder().join("golden.idx");
    std::fs::write(&file, &index)?;

    // Every file that IMA measured is in it, with the path that the kernel named where that is one of the root.
    let mut looked_up = 0;
    for entry in lines.iter().filter_map(|line| line.split_once("PROBE IMA ")) {
        let words: Vec<&str> = entry.1.split(' ').filter(|word| !word.is_empty()).collect();
        let [_, _, _, digest, path] = words[..] else {
            bail!("expected five words, found {}", entry.1);
        };
        let Some((_, name)) = path.rsplit_once('/') else {
            continue;
        };
        let digest = digest.strip_prefix("sha256:").context("no SHA-256")?;
        let said = look_up(&file, digest)?;
        ensure!(
            said.lines().any(|line| line.contains(name)),
            "expected {name} for {digest}, found: {said}"
        );
        looked_up += 1;
    }
    ensure!(looked_up > 0, "expected measured files, found none");

    // A digest that no file has.
    let nobody = hex::encode(Sha256::digest(b"nobody"));
    let said = look_up(&file, &nobody);
    ensure!(said.is_err(), "expected no file with {nobody}, found {said:?}");
    Ok(())
}

fn look_up(index: &std::path::Path, digest: &str) -> Result<String> {
    images::run_bennu(&["index", &images::text(index), "--digest", digest, "--json"])
}
