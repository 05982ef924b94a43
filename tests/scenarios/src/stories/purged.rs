//! An intruder has root on a machine with no other slot: the State Purge is not followed by a restart. The machine waits for a
//! person, and a syslog server outside of it hears of the purge and of that, although everything that ran was killed and
//! nothing else leaves the machine (`images/demo/purged.toml`).

use super::alerts::{settled, wait_for_all};
use super::appliance::{machine_of, wait_for_line, wait_until_it_serves_with};
use crate::guest::Guest;
use crate::images;
use crate::serial::*;
use crate::syslog::{self, Server};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "purge-without-another-slot-still-tells-the-syslog-server",
        Tier::Full,
        still_tells
    )]
}

const ENFORCED: &str = "deny, kill, cut-network, state-purge, flip-slot, fail-safe, recovery";
/// From the second sign to the end of the purge, on a busy host.
const PURGED: Duration = Duration::from_secs(180);
/// The sender starts, and tries again after 2, 4, 8 … s.
const ARRIVES: Duration = Duration::from_secs(120);
/// Looks of the observer, 5 s and more each, after which the machine still waits.
const LOOKS: usize = 4;
/// Two signs out of two sources: a PCR, and an attempt on the disk. In a unit of its own, which outlives the shell.
const DRIFT: &str = "systemd-run --unit=drift /bin/sh -c 'sleep 3; /usr/lib/systemd/systemd-pcrextend --pcr=12 intruder; \
                     echo x > /dev/vda; sleep 600' </dev/null >/dev/null 2>&1; echo status $?";
const SAYS_SO: &str = "bennud: nothing is watched any more: the machine waits for a person";
const CONFIRMED: &str = "bennud: the syslog server knows that the machine waits for a person";

fn still_tells(context: &mut Context) -> Result<()> {
    let _turn = syslog::turn();
    let (mut machine, guest) = machine_of(context, "demo/purged.toml")?;
    let folder = machine.folder().to_owned();
    let server = Server::start(&folder)?;
    let mut on = machine.power_on()?;
    wait_until_it_serves_with(&mut on, &guest, ENFORCED)?;
    wait_for_all(&server, &guest, 0)?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    expect_whole(&guest, other.local_addr()?.port())?;
    let key = key(&guest)?;

    let said = guest.run(DRIFT)?;
    ensure!(said.contains("status 0"), "{said}");
    for step in [
        "freeze",
        "erase-secrets",
        "wipe-keys",
        "kill",
        "stop-units",
        "unmount",
        "drop-caches",
    ] {
        wait_for_line(&on, &format!("bennud: state-purge.{step} done: "), PURGED)?;
    }
    for part in [
        "bennud: cut-network done: only loopback is left; alerts go to 10.0.2.2 port 26514",
        "bennud: flip-slot FAILED: ",
        "bennud: recovery done: waiting for a person",
        SAYS_SO,
    ] {
        wait_for_line(&on, part, PURGED)?;
    }
    wait_for_line(&on, CONFIRMED, ARRIVES)?;
    expect_purged(&on)?;
    expect_told(&server, &key, context)
}

/// The control: a machine that serves has its secret and its network.
fn expect_whole(guest: &Guest, port: u16) -> Result<()> {
    let said = guest.run(&format!(
        "echo {port} > /run/other-port; sh /usr/share/demo/observer.sh once"
    ))?;
    for part in [
        "OBSERVER 0: secret there, state readable, connection passes, purged.target inactive",
        "bennud active, nginx active, networkd active, sender active, sender after the purge inactive",
    ] {
        ensure!(said.contains(part), "expected `{part}`, found {said}");
    }
    Ok(())
}

/// The machine's key, while it is trusted: the point in hexadecimal digits.
pub(super) fn key(guest: &Guest) -> Result<String> {
    let said = guest.run("bennuctl certificates --json")?;
    let shown: serde_json::Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let key = shown["key"].as_str().with_context(|| said.clone())?;
    Ok(key.to_owned())
}

/// Nobody restarts it, nothing of what was there runs, and nothing leaves it but the records.
fn expect_purged(on: &PowerOn<'_>) -> Result<()> {
    let deadline = Instant::now() + PURGED;
    let looks = loop {
        let lines = texts(on);
        let from = lines.iter().position(|line| line.contains(CONFIRMED));
        let from = from.context("expected the server's word first")?;
        let looks: Vec<String> = lines[from..]
            .iter()
            .filter(|line| line.contains("OBSERVER "))
            .cloned()
            .collect();
        if looks.len() > LOOKS {
            break looks;
        }
        ensure!(
            Instant::now() < deadline,
            "expected {LOOKS} looks, found {looks:?}"
        );
        std::thread::sleep(Duration::from_secs(1));
    };
    for look in looks.iter().skip(1) {
        println!("{look}");
        for part in [
            "secret gone, state unreadable, connection fails, purged.target active, bennud active",
            "sender after the purge active",
        ] {
            ensure!(look.contains(part), "expected `{part}`, found {look}");
        }
        for part in [
            "nginx active",
            "networkd active",
            "sender active",
            "sender activating",
        ] {
            ensure!(!look.contains(part), "expected no `{part}`, found {look}");
        }
    }
    Ok(())
}

/// The log after the purge's beginning is whole, signed by the machine's TPM, and tells each
/// step and the end.
fn expect_told(server: &Server, key: &str, context: &Context) -> Result<()> {
    let received = settled(server)?;
    ensure!(received.gaps == 0, "expected no gap, found {}", received.gaps);
    // Of each number the last one that came is the later log's, up to that log's end.
    let later: BTreeMap<u64, &String> = received
        .lines
        .iter()
        .filter_map(|(number, texts)| Some((*number, texts.last()?)))
        .collect();
    let ends = r#""event":"waits-for-a-person""#;
    let end = later.iter().find(|(_, line)| line.contains(ends));
    let (end, _) = end.with_context(|| format!("expected a line with {ends}"))?;
    // With the head behind it.
    let text: String = later
        .range(..=end + 1)
        .flat_map(|(_, line)| [line.as_str(), "\n"])
        .collect();
    for part in [
        r#""event":"state-purge-begins""#,
        r#""action":"state-purge.erase-secrets""#,
        r#""action":"state-purge.wipe-keys""#,
        r#""action":"state-purge.kill""#,
        r#""action":"state-purge","#,
        r#""event":"certificate""#,
        r#""action":"flip-slot""#,
        r#""action":"recovery""#,
    ] {
        ensure!(
            text.contains(part),
            "expected `{part}` at the server, found {text}"
        );
    }
    expect_signed(&text, key, context)
}

/// By `bennuctl` on this host, which has the key from before.
fn expect_signed(text: &str, key: &str, context: &Context) -> Result<()> {
    let folder = context.folder().join("later");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("records-{:020}.jsonl", 0)), text)?;
    let signer = context.folder().join("key.hex");
    std::fs::write(&signer, format!("{key}\n"))?;
    let bennuctl = images::top().join("target/release/agents/bennuctl");
    let done = Command::new(bennuctl)
        .args(["log", "verify", "--signer"])
        .args([&signer, &folder])
        .output()?;
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    ensure!(
        done.status.success() && said.contains("good: ") && !said.contains(" 0 by signed heads"),
        "expected a log that the TPM's heads prove, found {said}"
    );
    Ok(())
}
