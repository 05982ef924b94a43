//! What a machine keeps of `/etc`: the signed list, through restarts and a power cut; and nothing that somebody with
//! root leaves there or on the volume beneath it.

use crate::images;
use crate::serial::*;
use bennu_harness::faults;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("identity-survives-restarts-and-a-power-cut", Tier::Fast, survives),
        story!("planted-files-of-etc-are-gone", Tier::Fast, planted),
    ]
}

/// What the init of `small/identity.toml` has written at its first start.
const KEPT: [&str; 7] = [
    "/etc/ssh/ssh_host_ed25519_key 600 private",
    "/etc/ssh/ssh_host_ed25519_key.pub 644 public",
    "/etc/ssh/sshd_config 644 of the image",
    "/etc/systemd/network/10-lan.network 644 [Match]",
    "/etc/NetworkManager/system-connections/lan.nmconnection 600 [connection]",
    "/etc/localtime -> ../usr/share/zoneinfo/Europe/Vienna",
    "/etc/chrony/chrony.keys 640 chrony",
];
/// What it has planted besides.
const GONE: [&str; 2] = ["/etc/ld.so.preload", "/etc/systemd/system/evil.service"];

/// Demands that the root's init saw `what`, a path and what stands there.
fn expect_file(lines: &[String], what: &str) -> Result<()> {
    let expected = format!("PROBE FILE {what}");
    let found = lines.iter().any(|line| line.trim_end().ends_with(&expected));
    let path = what.split(' ').next().unwrap_or_default();
    let saw = lines.iter().find(|l| l.contains(&format!("PROBE FILE {path} ")));
    ensure!(found, "expected {what}, found {saw:?}");
    Ok(())
}

fn machine_id(lines: &[String]) -> Result<String> {
    let line = expect_line(lines, "PROBE FILE /etc/machine-id 444 ")?;
    let id = line.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
    ensure!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "expected a machine id, found {id}"
    );
    Ok(id)
}

fn expect_kept(lines: &[String], hostname: &str) -> Result<()> {
    expect_file(lines, &format!("/etc/hostname 644 {hostname}"))?;
    KEPT.iter().try_for_each(|what| expect_file(lines, what))?;
    GONE.iter()
        .try_for_each(|path| expect_file(lines, &format!("{path} absent")))
}

fn survives(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/identity.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: made a machine id")?;
    expect_file(&first, "/etc/hostname 644 of-the-image")?;
    expect_file(&first, "/etc/localtime absent")?;
    let id = machine_id(&first)?;
    for path in GONE {
        expect_line(&first, &format!("PROBE DONE set {path} "))?;
    }

    // Everything that was not flushed is lost right after the change was acknowledged. Often nothing is: the change
    // itself was flushed.
    machine.set_disk_faults(Some(Vec::new()));
    let on = machine.power_on()?;
    let marker = "PROBE DONE set /etc/hostname 644 second-name";
    faults::power_cut_losing(on, marker, INITRD, Survivors::Nothing)?;

    let third = boot_to_probe(&mut machine)?;
    expect_kept(&third, "second-name")?;
    ensure!(machine_id(&third)? == id, "expected the machine id {id}");
    let fourth = boot_to_probe(&mut machine)?;
    expect_kept(&fourth, "second-name")?;
    ensure!(machine_id(&fourth)? == id, "expected the machine id {id}");
    for lines in [&third, &fourth] {
        let wrong = ["IDENTITY-REFUSED", "made a machine id"];
        let found = lines.iter().find(|l| wrong.iter().any(|w| l.contains(w)));
        ensure!(found.is_none(), "expected nothing to be said, found {found:?}");
    }
    mounted_without_execution(&fourth)
}

/// `/etc` is an overlay that executes nothing.
fn mounted_without_execution(lines: &[String]) -> Result<()> {
    let line = expect_line(lines, "PROBE /proc/mounts: overlay /etc overlay ")?;
    for flag in ["nosuid", "nodev", "noexec"] {
        ensure!(line.contains(flag), "expected {flag}, found {line}");
    }
    Ok(())
}

fn planted(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/planted.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    let id = machine_id(&first)?;
    let failed = first
        .iter()
        .find(|l| l.contains("PROBE") && l.contains(" failed: "));
    ensure!(
        failed.is_none(),
        "expected every act of the attacker to succeed, found {failed:?}"
    );

    let second = boot_to_probe(&mut machine)?;
    for (path, words) in [
        ("machine-id", "32 hex digits, found something else"),
        ("machine-info", "no set-id bits, found mode 4755"),
        ("timezone", "at most 65536 bytes, found 65537"),
        ("adjtime", "a regular file, found a symbolic link"),
        (
            "localtime",
            "a link into /usr/share/zoneinfo, found a link elsewhere",
        ),
        ("ssh/ssh_host_a_key", "a regular file, found a pipe"),
        ("ssh/ssh_host_b_key", "a regular file, found a device"),
        ("ssh/ssh_host_c_key", "a regular file, found a symbolic link"),
        ("systemd/network", "a directory, found a link"),
    ] {
        let said = format!("IDENTITY-REFUSED: /etc/{path}: expected {words}");
        // The console has the first eight; the hand-over record has all.
        let handed = format!("/etc/{path}: expected {words}");
        expect_line(&second, &said).or_else(|_| expect_line(&second, &handed))?;
    }
    for path in [
        "machine-info",
        "timezone",
        "adjtime",
        "localtime",
        "ssh/ssh_host_a_key",
        "ssh/ssh_host_b_key",
        "ssh/ssh_host_c_key",
        "systemd/network/evil.network",
        "systemd/system/evil.service",
        "profile.d/evil.sh",
    ] {
        expect_file(&second, &format!("/etc/{path} absent"))?;
    }
    // Positive control: what is as it should be is kept beside all that. Another machine id was made.
    expect_file(&second, "/etc/hostname 644 kept-name")?;
    expect_line(&second, "left behind of /etc, not on the signed list: ")?;
    ensure!(machine_id(&second)? != id, "expected another machine id");

    // The whole area replaced by a link: a first start again, and nothing is followed.
    let third = boot_to_probe(&mut machine)?;
    expect_file(&third, "/etc/hostname 644 of-the-image")?;
    expect_line(&third, "PROBE COUNT /var/starts 3 true").map(drop)
}
