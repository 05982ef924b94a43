//! A hash tree over a file: time and peak memory.
//!
//! Both sides get the same data, salt, UUID and block size and must come to the same root hash.

use super::Session;
use crate::report::{Row, Target, Unit};
use crate::{child, host, run};
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

/// Against what.
pub const PEER: &str = "veritysetup format";
const NAME: &str = "hash-tree";
const MEMORY: &str = "hash-tree-memory";
/// Ours hashes on every core, veritysetup on one: two cores should show.
const TIME: Target = Target {
    ratio: 0.75,
    ours_max: None,
};
/// No more memory than the tool that people use.
const PEAK: Target = Target {
    ratio: 1.0,
    ours_max: None,
};

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&[("veritysetup", "cryptsetup-bin")]) {
        return Ok([NAME, MEMORY]
            .map(|name| Row::not_run(name, PEER, &*reason))
            .into());
    }
    let scratch = session.scratch()?;
    let data = scratch.path().join("data");
    let bytes = session.data_mib << 20;
    fill(&data, bytes)?;
    let (tree, peers_tree) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    let mut ours = child::command("verity", &data, &tree)?;
    let mut theirs = veritysetup(&data, &peers_tree)?;

    let root = run::run(&mut ours)?.stdout.trim().to_owned();
    let peers_root = root_hash_of(&run::run(&mut theirs)?.stdout)?;
    same_root(&root, &peers_root)?;
    let peaks = run::pairs(
        session.pairs.min(3),
        || run::peak_bytes(&ours),
        || run::peak_bytes(&theirs),
    );
    let runs = run::pairs(
        session.pairs,
        || fresh(&tree, &mut ours),
        || fresh(&peers_tree, &mut theirs),
    )?;
    ensure!(
        std::fs::read(&tree)? == std::fs::read(&peers_tree)?,
        "the hash devices differ although the root hashes are equal"
    );
    let version = host::first_line("veritysetup", &["--version"])?;
    let limit = format!("SHA-256 of the data alone on {} cores", session.machine.cores);
    let memory = match peaks {
        Ok(peaks) => Row::measured(MEMORY, PEER, &version, Unit::Bytes, peaks, PEAK)?,
        Err(error) => Row::not_run(MEMORY, PEER, format!("{error:#}")),
    };
    Ok(vec![
        Row::measured(NAME, PEER, &version, Unit::Seconds, runs, TIME)?
            .with_limit(&limit, session.machine.hash_s(bytes))
            .with_note(format!(
                "{} MiB from the page cache; same root hash {root}",
                session.data_mib
            )),
        memory,
    ])
}

fn fresh(tree: &Path, command: &mut Command) -> Result<f64> {
    std::fs::remove_file(tree).with_context(|| tree.display().to_string())?;
    Ok(run::run(command)?.seconds)
}

fn veritysetup(data: &Path, tree: &Path) -> Result<Command> {
    let mut command = host::tool("veritysetup").context("veritysetup is not installed")?;
    command
        .arg("format")
        .args([
            "--hash=sha256",
            "--data-block-size=4096",
            "--hash-block-size=4096",
        ])
        .arg(format!("--salt={}", hex::encode(child::SALT)))
        .arg(format!("--uuid={}", child::uuid_text()))
        .arg(data)
        .arg(tree);
    Ok(command)
}

/// Times of two different results say nothing.
fn same_root(ours: &str, theirs: &str) -> Result<()> {
    ensure!(
        !ours.is_empty() && ours == theirs,
        "root hashes differ: ours {ours}, veritysetup's {theirs}"
    );
    Ok(())
}

fn root_hash_of(words: &str) -> Result<String> {
    words
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .map(|hash| hash.trim().to_owned())
        .with_context(|| format!("veritysetup: expected `Root hash:`, found {words}"))
}

/// Bytes that no file system and no disk can make smaller (xorshift64, Marsaglia 2003).
fn fill(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes())?;
    }
    let file = out.into_inner().context("write data to hash")?;
    // On the disk now, so that writing it back does not fall into a measured run.
    file.sync_all().context("write data to hash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_hash_is_found_in_veritysetups_words_and_missed_in_others() {
        let words = "VERITY header information for x\nHash type:\t1\nRoot hash:      \tabcd\n";
        assert_eq!(root_hash_of(words).unwrap(), "abcd");
        assert!(root_hash_of("Salt: 12\n").is_err());
    }

    #[test]
    fn different_root_hashes_are_an_error_and_equal_ones_are_not() {
        assert!(same_root("ab", "ab").is_ok());
        let words = same_root("ab", "cd").unwrap_err().to_string();
        assert!(words.contains("ab") && words.contains("cd"), "{words}");
        assert!(same_root("", "").is_err());
    }

    #[test]
    fn the_data_has_the_size_asked_for_and_does_not_repeat() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fill(&path, 8192).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 8192);
        assert_ne!(bytes[..4096], bytes[4096..]);
    }

    #[test]
    fn veritysetup_comes_to_our_root_hash() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fill(&data, 1 << 20).unwrap();
        let words = run::run(&mut veritysetup(&data, &directory.path().join("theirs")).unwrap()).unwrap();
        let ours = directory.path().join("ours");
        let arguments = ["verity", data.to_str().unwrap(), ours.to_str().unwrap()].map(str::to_owned);
        child::run(&arguments).unwrap();
        assert_eq!(root_hash_of(&words.stdout).unwrap().len(), 64);
        assert_eq!(
            std::fs::read(&ours).unwrap(),
            std::fs::read(directory.path().join("theirs")).unwrap()
        );
    }
}
