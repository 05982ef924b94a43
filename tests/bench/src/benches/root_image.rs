//! A Debian root as EROFS: from its tar, and from a directory that it was unpacked to.
//!
//! Neither side compresses, neither waits for the disk. fsck.erofs judges what we wrote.

use super::Session;
use crate::report::{Row, Target, Unit, median};
use crate::{child, host, product, run};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::process::Command;

/// Against what, where mkfs.erofs reads no tar.
pub const PEER: &str = "tar -x + mkfs.erofs";
const PEER_OF_TAR: &str = "mkfs.erofs --tar=f";
const PEER_OF_DIRECTORY: &str = "mkfs.erofs";
const FROM_TAR: &str = "root-from-tar";
const FROM_DIRECTORY: &str = "root-from-directory";
/// Nothing is unpacked: at most half of the peer's time.
const TAR: Target = Target {
    ratio: 0.5,
    ours_max: None,
};
/// The same work on both sides.
const DIRECTORY: Target = Target {
    ratio: 1.0,
    ours_max: None,
};

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    let names = [(FROM_TAR, PEER), (FROM_DIRECTORY, PEER_OF_DIRECTORY)];
    let not_run = |reason: &str| Ok(names.map(|(name, peer)| Row::not_run(name, peer, reason)).into());
    let tools = [
        ("mkfs.erofs", "erofs-utils"),
        ("fsck.erofs", "erofs-utils"),
        ("tar", "tar"),
    ];
    if let Some(reason) = host::missing(&tools) {
        return not_run(&reason);
    }
    if !host::is_root() {
        return not_run("not root: the peer needs the tar unpacked with its owners");
    }
    let Some(tar) = product::debian_tar()? else {
        return not_run("no Debian 13 root in the cache; `bennu build images/small/v2.toml` makes one");
    };
    let scratch = session.scratch()?;
    Ok(vec![
        from_tar(session, scratch.path(), &tar)?,
        from_directory(session, scratch.path(), &tar)?,
    ])
}

fn from_tar(session: &Session, scratch: &Path, tar: &Path) -> Result<Row> {
    let (image, peers) = (scratch.join("ours.erofs"), scratch.join("theirs.erofs"));
    let mut ours = child::command("erofs-tar", tar, &image)?;
    judge(&mut ours, &image)?;
    let reads_tar = help_names_tar()?;
    let root = scratch.join("unpacked");
    let mut unpacking = Vec::new();
    let runs = run::pairs(
        session.pairs,
        || Ok(run::run(&mut ours)?.seconds),
        || {
            if reads_tar {
                let mut mkfs = mkfs()?;
                return Ok(run::run(mkfs.arg("--tar=f").arg(&peers).arg(tar))?.seconds);
            }
            let unpacked = unpack(tar, &root)?;
            let made = run::run(mkfs()?.arg(&peers).arg(&root))?.seconds;
            std::fs::remove_dir_all(&root)?;
            unpacking.push(unpacked);
            Ok(unpacked + made)
        },
    )?;
    let peer = if reads_tar { PEER_OF_TAR } else { PEER };
    let mut note = format!("{}, {} MiB", file_name(tar), tar.metadata()?.len() >> 20);
    if let Some(seconds) = median(&unpacking) {
        note.push_str(&format!("; unpacking alone takes the peer {seconds:.3} s"));
    }
    let row = Row::measured(FROM_TAR, peer, &version(reads_tar)?, Unit::Seconds, runs, TAR)?.with_note(note);
    with_limit(session, row, &image)
}

fn from_directory(session: &Session, scratch: &Path, tar: &Path) -> Result<Row> {
    let (image, peers) = (scratch.join("ours.erofs"), scratch.join("theirs.erofs"));
    let root = scratch.join("unpacked");
    unpack(tar, &root)?;
    let mut ours = child::command("erofs-directory", &root, &image)?;
    judge(&mut ours, &image)?;
    let runs = run::pairs(
        session.pairs,
        || Ok(run::run(&mut ours)?.seconds),
        || Ok(run::run(mkfs()?.arg(&peers).arg(&root))?.seconds),
    )?;
    let sizes = format!(
        "images of {} and {} MiB",
        image.metadata()?.len() >> 20,
        peers.metadata()?.len() >> 20
    );
    let version = host::first_line("mkfs.erofs", &["--version"])?;
    let row = Row::measured(
        FROM_DIRECTORY,
        PEER_OF_DIRECTORY,
        &version,
        Unit::Seconds,
        runs,
        DIRECTORY,
    )?;
    with_limit(session, row.with_note(sizes), &image)
}

fn with_limit(session: &Session, row: Row, image: &Path) -> Result<Row> {
    let bytes = image.metadata()?.len();
    Ok(row.with_limit(
        "writing so many bytes without waiting for the disk",
        session.machine.write_s(bytes),
    ))
}

/// Makes ours once and lets fsck.erofs say that it is one.
fn judge(ours: &mut Command, image: &Path) -> Result<()> {
    run::run(ours)?;
    let mut fsck = host::tool("fsck.erofs").context("fsck.erofs is not installed")?;
    run::run(fsck.arg(image)).map(drop)
}

fn mkfs() -> Result<Command> {
    let mut command = host::tool("mkfs.erofs").context("mkfs.erofs is not installed")?;
    command
        .arg("--quiet")
        .arg(format!("-T{}", child::BUILD_TIME_S))
        .arg(format!("-U{}", child::uuid_text()));
    Ok(command)
}

fn help_names_tar() -> Result<bool> {
    let mut help = host::tool("mkfs.erofs").context("mkfs.erofs is not installed")?;
    let output = help.arg("--help").output().context("mkfs.erofs --help")?;
    let words = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&words).contains("--tar="))
}

fn version(reads_tar: bool) -> Result<String> {
    let mkfs = host::first_line("mkfs.erofs", &["--version"])?;
    if reads_tar {
        return Ok(mkfs);
    }
    let tar = host::first_line("tar", &["--version"])?;
    Ok(format!("{mkfs} (reads no tar), after unpacking with {tar}"))
}

/// Unpacks with owners and attributes, as a root file system needs; gives the seconds.
pub fn unpack(tar: &Path, into: &Path) -> Result<f64> {
    std::fs::create_dir(into).with_context(|| into.display().to_string())?;
    let mut command = host::tool("tar").context("tar is not installed")?;
    command.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]);
    Ok(run::run(command.arg(tar).arg("-C").arg(into))?.seconds)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
