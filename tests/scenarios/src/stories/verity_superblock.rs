//! The superblock before the hash tree is not signed: algorithm, block sizes, salt and length in it are whatever the
//! disk says. The boot takes all of them from the signed manifest, so a superblock that lies changes nothing.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::partitions::Partition;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "verity-superblock-that-lies-changes-nothing",
        Tier::Fast,
        lying_superblock
    )]
}

/// Fields of the superblock (cryptsetup, on-disk format of verity, version 1) and what the attacker writes there.
const LIES: [(u64, &[u8]); 4] = [
    (32, b"sha1\0\0\0\0"),
    // Size of a data block, size of a hash block.
    (64, &1024_u32.to_le_bytes()),
    (68, &1024_u32.to_le_bytes()),
    // First bytes of the salt.
    (88, b"another salt"),
];

fn lying_superblock(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let manifest = images::manifest(&images::release("small/v2.toml")?)?;
    let root_hash = manifest["verity"]["root_hash"].as_str().context("no root hash")?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let table = table(&first)?;
    // The control: who believes the superblock can open the honest one, and not the lying one.
    judge(context, &machine, root_hash).context("veritysetup, honest superblock")?;

    let number = forge::tree_partition(machine.disk()?, "small_2")?.number;
    for (offset, bytes) in LIES {
        machine.disk()?.write(number, offset, bytes)?;
    }
    ensure!(
        judge(context, &machine, root_hash).is_err(),
        "veritysetup opens the root with a lying superblock"
    );

    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    let found = self::table(&lines)?;
    ensure!(found == table, "expected the table {table}, found {found}");
    expect_same_secret(&lines, &first)
}

/// The dm-verity table that the running system was told.
fn table(lines: &[String]) -> Result<String> {
    let line = expect_line(lines, "\"verity_table\": ")?;
    ensure!(
        line.contains(" 4096 4096 ") && line.contains(" sha256 "),
        "expected 4096-byte blocks and sha256, found: {line}"
    );
    Ok(line)
}

/// `veritysetup verify`, which takes everything but the root hash from the superblock.
fn judge(context: &Context, machine: &Machine, root_hash: &str) -> Result<()> {
    let disk = machine.disk()?;
    let root = copy(context, disk, &forge::root_partition(disk, "small_2")?)?;
    let tree = copy(context, disk, &forge::tree_partition(disk, "small_2")?)?;
    let args = [
        "verify".as_ref(),
        root.as_os_str(),
        tree.as_os_str(),
        root_hash.as_ref(),
    ];
    let judged = tool::run("veritysetup", &args, &[]);
    std::fs::remove_file(root)?;
    std::fs::remove_file(tree)?;
    judged?;
    Ok(())
}

fn copy(context: &Context, disk: &Disk, partition: &Partition) -> Result<PathBuf> {
    let mut image = File::open(disk.path())?;
    image.seek(SeekFrom::Start(partition.start))?;
    let path = context.folder().join(format!("partition-{}", partition.number));
    std::io::copy(&mut image.take(partition.bytes), &mut File::create(&path)?)?;
    Ok(path)
}
