//! `bennu verify` of a disk against the standard tools on the release that lies on it.
//!
//! The tools check less (one signature, the tree, the file system; no manifest, PCR values, TPM policy, partition
//! table, names), which is in their favour.

use super::Session;
use crate::report::{Row, Target, Unit};
use crate::{host, product, run};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Against what.
pub const PEER: &str = "veritysetup verify + sbverify + fsck.erofs";
const NAME: &str = "image-verify";
/// Who verifies more should not need longer for it.
const TARGET: Target = Target {
    ratio: 1.0,
    ours_max: None,
};

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    let not_run = |reason: &str| Ok(vec![Row::not_run(NAME, PEER, reason)]);
    let tools = [
        ("veritysetup", "cryptsetup-bin"),
        ("sbverify", "sbsigntool"),
        ("fsck.erofs", "erofs-utils"),
        // Tells the version of both: fsck.erofs 1.5 has no option for its own.
        ("mkfs.erofs", "erofs-utils"),
    ];
    if let Some(reason) = host::missing(&tools) {
        return not_run(&reason);
    }
    let Some(tar) = product::debian_tar()? else {
        return not_run("no Debian 13 root in the cache; `bennu build images/small/v2.toml` makes one");
    };
    let scratch = session.scratch()?;
    let definition = scratch.path().join("image.toml");
    let release = scratch.path().join("release");
    let disk = scratch.path().join("disk.img");
    let keys = product::keys()?;
    std::fs::write(&definition, text(&tar, &keys))?;
    product::build(&definition, &release, Some(&disk))?;
    let hash = root_hash(&std::fs::read_to_string(release.join("release.json"))?)?;
    let runs = run::pairs(
        session.pairs,
        || {
            let mut verify = product::bennu()?;
            verify
                .arg("--quiet")
                .arg("verify")
                .arg(&disk)
                .arg("--keys")
                .arg(&keys);
            Ok(run::run(&mut verify)?.seconds)
        },
        || with_tools(&release, &keys, &hash),
    )?;
    let bytes = release.join("root.erofs").metadata()?.len();
    let version = format!(
        "{}, {}, {}",
        host::first_line("veritysetup", &["--version"])?,
        host::first_line("sbverify", &["--version"])?,
        host::first_line("mkfs.erofs", &["--version"])?
    );
    Ok(vec![
        Row::measured(NAME, PEER, &version, Unit::Seconds, runs, TARGET)?
            .with_limit(
                &format!("SHA-256 of the root alone on {} cores", session.machine.cores),
                session.machine.hash_s(bytes),
            )
            .with_note(format!("root of {} MiB; the tools check less", bytes >> 20)),
    ])
}

/// The seconds of the three tools, one after the other.
fn with_tools(release: &Path, keys: &Path, hash: &str) -> Result<f64> {
    let mut verity = host::tool("veritysetup").context("veritysetup is not installed")?;
    verity.arg("verify").arg(release.join("root.erofs"));
    verity.arg(release.join("root.verity")).arg(hash);
    let mut signature = host::tool("sbverify").context("sbverify is not installed")?;
    signature.arg("--cert").arg(keys.join("db.crt"));
    signature.arg(release.join("uki.efi"));
    let mut fsck = host::tool("fsck.erofs").context("fsck.erofs is not installed")?;
    fsck.arg(release.join("root.erofs"));
    [verity, signature, fsck]
        .iter_mut()
        .map(|command| Ok(run::run(command)?.seconds))
        .sum()
}

/// A definition with the whole Debian root in `tar`, its own kernel, and no agents of ours.
fn text(tar: &Path, keys: &Path) -> String {
    format!(
        "agents = \"none\"\n\
         [image]\nid = \"bench\"\nversion = \"1\"\n\
         [root]\nkind = \"tar\"\npath = {:?}\n\
         [disk]\nslot_size = \"1GiB\"\n\
         [state]\nkind = \"volatile\"\n\
         [keys]\ndirectory = {:?}\naccept = \"throw-away\"\n",
        tar.display().to_string(),
        keys.display().to_string()
    )
}

fn root_hash(release: &str) -> Result<String> {
    let release: serde_json::Value = serde_json::from_str(release).context("release.json")?;
    let hash = release["root_hash"]
        .as_str()
        .context("release.json: no root_hash")?;
    Ok(hash.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_hash_is_read_from_the_release_or_missed_with_words() {
        assert_eq!(root_hash("{\"root_hash\": \"ab\"}").unwrap(), "ab");
        assert!(root_hash("{}").unwrap_err().to_string().contains("root_hash"));
    }
}
