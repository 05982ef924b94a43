//! A portable service from a signed disk image runs behind the gate: the kernel checked the signature of its root hash
//! against the firmware's db. The same files without a signature, or under a stranger's, do not execute.

use super::appliance::{SERVES, expect_nothing_told, machine_of, wait_for_line, wait_until_it_serves};
use crate::guest::Guest;
use crate::{forge, images};
use bennu_formats::verity_sig::{PARTITION_BYTES, VeritySig};
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

pub fn stories() -> Vec<Story> {
    vec![story!(
        "signed-portable-service-runs-behind-the-gate",
        Tier::Full,
        portable
    )]
}

/// Types of the Discoverable Partitions Specification: root, root-verity and root-verity-sig of x86-64.
const TYPES: [&str; 3] = [
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
    "41092b05-9fc8-4523-994f-2def0408b176",
];
const MIB: u64 = 1 << 20;

/// The parts of a release in their order, and its root hash.
struct Parts {
    contents: [Vec<u8>; 3],
    root_hash: String,
}

fn parts(definition: &str) -> Result<Parts> {
    let release = images::release(definition)?;
    let read = |name: &str| -> Result<Vec<u8>> { Ok(std::fs::read(release.join(name))?) };
    let mut signature = read("verity-sig.json")?;
    signature.resize(PARTITION_BYTES, 0);
    let root_hash = VeritySig::decode(&signature)?.root_hash.to_string();
    Ok(Parts {
        contents: [read("root.erofs")?, read("root.verity")?, signature],
        root_hash,
    })
}

/// 32 hex digits as a GUID, in text order.
fn uuid(hex: &str) -> String {
    let part = |from: usize, to: usize| &hex[from..to];
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A disk image with the first `count` parts; systemd finds them by type and GUID.
fn disk_image(path: &Path, parts: &Parts, count: usize) -> Result<PathBuf> {
    let file = File::create(path)?;
    file.set_len(32 * MIB)?;
    let ids = [&parts.root_hash[..32], &parts.root_hash[32..]];
    let mut start = MIB;
    let mut args: Vec<OsString> = vec!["--clear".into()];
    for (index, content) in parts.contents.iter().take(count).enumerate() {
        let (number, end) = (index + 1, start + (content.len() as u64).next_multiple_of(MIB));
        args.push(format!("--new={number}:{}:{}", start / 512, end / 512 - 1).into());
        args.push(format!("--typecode={number}:{}", TYPES[index]).into());
        if let Some(id) = ids.get(index) {
            args.push(format!("--partition-guid={number}:{}", uuid(id)).into());
        }
        file.write_all_at(content, start)?;
        start = end;
    }
    args.push(path.into());
    tool::run("sgdisk", &args, &[])?;
    Ok(path.to_owned())
}

/// The same signature partition with a signature that nobody asked for.
fn under_a_strangers_name(folder: &Path, parts: &mut Parts) -> Result<()> {
    let (key, certificate) = forge::stranger(folder)?;
    let der = forge::sign_root_hash(folder, &parts.root_hash, &key, &certificate)?;
    parts.contents[2] = forge::with_signature(&parts.contents[2], &der)?;
    Ok(())
}

fn attach(guest: &Guest, device: &str) -> Result<String> {
    guest.run(&format!(
        "portablectl attach --runtime --now --profile=trusted {device} hello </dev/null 2>&1; echo status $?; \
         systemctl start hello.service </dev/null 2>&1; systemctl show -P ActiveState hello.service 2>&1"
    ))
}

fn detach(guest: &Guest, device: &str) -> Result<String> {
    guest.run(&format!(
        "portablectl detach --runtime --now {device} hello </dev/null 2>&1; echo status $?"
    ))
}

fn portable(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = machine_of(context, "demo/portable.toml")?;
    let folder = context.folder().to_owned();
    let mut hello = parts("small/portable.toml")?;
    let signed = disk_image(&folder.join("signed.raw"), &hello, 3)?;
    let plain = disk_image(&folder.join("plain.raw"), &hello, 1)?;
    under_a_strangers_name(&folder, &mut hello)?;
    let foreign = disk_image(&folder.join("foreign.raw"), &hello, 3)?;
    let mut arguments = guest.arguments();
    for (name, path) in [("signed", signed), ("plain", plain), ("foreign", foreign)] {
        arguments.extend([
            "-drive".into(),
            format!("file={},if=none,format=raw,readonly=on,id={name}", path.display()).into(),
            "-device".into(),
            format!("virtio-blk-pci,drive={name},serial={name}").into(),
        ]);
    }
    machine.set_extra_args(arguments);
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    let device = |name: &str| format!("/dev/disk/by-id/virtio-{name}");

    let said = attach(&guest, &device("signed"))?;
    ensure!(
        said.contains("status 0") && said.trim_end().ends_with("\nactive"),
        "expected the service to run, found {said}"
    );
    expect_nothing_told(&on)?;
    let said = detach(&guest, &device("signed"))?;
    ensure!(said.contains("status 0"), "{said}");

    // The same files: a signature by nobody whom the firmware knows, and none.
    let said = attach(&guest, &device("foreign"))?;
    ensure!(
        !said.trim_end().ends_with("\nactive"),
        "expected a refusal, found {said}"
    );
    detach(&guest, &device("foreign"))?;
    let said = attach(&guest, &device("plain"))?;
    ensure!(
        !said.trim_end().ends_with("\nactive"),
        "expected a refusal, found {said}"
    );
    wait_for_line(&on, "bennud: DENIED exec: ", SERVES).map(drop)
}
