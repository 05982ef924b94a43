//! A guest sends its record log to a syslog server over TLS: while nobody listens it waits, and a power cut of the guest
//! loses no line and doubles none.

use super::appliance::{SERVES, machine_of, wait_for_line, wait_until_it_serves};
use crate::guest::Guest;
use crate::syslog::{Received, Server};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::collections::BTreeMap;
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "records-reach-a-syslog-server-across-a-power-cut",
        Tier::Full,
        across_a_cut
    )]
}

/// The longest pause of the sender is five minutes.
const ARRIVES: Duration = Duration::from_secs(330);
/// A denial that the watch tells, with a name of its own each time.
const ATTEMPT: &str = "cp /bin/sleep /dev/shm/foreign; /dev/shm/foreign 0 </dev/null 2>/dev/null";

fn across_a_cut(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = machine_of(context, "demo/alerts.toml")?;
    let folder = machine.folder().to_owned();
    machine.set_disk_faults(Some(Vec::new()));
    let server;
    {
        let mut on = machine.power_on()?;
        wait_until_it_serves(&mut on, &guest)?;
        // Nobody listens: the log waits.
        guest.run(ATTEMPT)?;
        wait_for_line(&on, "bennud: signal gate-denial (weak): exec: ", SERVES)?;
        wait_for_words(&guest, "the records wait")?;
        server = Server::start(&folder)?;
        wait_for_all(&server, &guest, 0)?;
        // Power goes while there is always something to send.
        let noise = format!(
            "systemd-run --unit=noise /bin/sh -c 'while :; do {ATTEMPT}; sleep 0.1; done' </dev/null >/dev/null 2>&1"
        );
        let before = server.received()?.last().context("nothing was received")?;
        guest.run(&noise)?;
        wait_for_number(&server, before + 10)?;
        let cut = on.cut(Survivors::Nothing)?;
        println!("cut with {cut:?}");
    }
    let had = server.received()?;
    let last = had.last().context("nothing was received")?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    guest.run(ATTEMPT)?;
    let whole = wait_for_all(&server, &guest, last + 1)?;
    println!(
        "{} lines, {} of them received before the cut, {} messages came again",
        whole.lines.len(),
        had.lines.len(),
        whole.repeated()
    );
    let verified = guest.run("bennuctl log verify --tpm /var/lib/bennu/records; echo status $?")?;
    ensure!(verified.contains("status 0"), "{verified}");
    Ok(())
}

/// The sender has no console: its words are in the journal.
fn wait_for_words(guest: &Guest, words: &str) -> Result<()> {
    let deadline = Instant::now() + ARRIVES;
    loop {
        let said = guest.run("journalctl --unit bennu-alert.service --output cat --no-pager")?;
        if said.contains(words) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "expected `{words}`, found {said}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn wait_for_number(server: &Server, number: u64) -> Result<()> {
    let deadline = Instant::now() + ARRIVES;
    while server.received()?.last() < Some(number) {
        ensure!(Instant::now() < deadline, "expected line {number} at the server");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits until the server has every line that the guest's log has now, at least to number `least`: each number once, from
/// 0 on, byte for byte, and what came again came as it was.
fn wait_for_all(server: &Server, guest: &Guest, least: u64) -> Result<Received> {
    let log = guest.run("for file in /var/lib/bennu/records/*.jsonl; do cat $file; echo; done")?;
    // What a power cut tore is no line; the log's own check looks at it.
    let line = |text: &str| {
        let record: serde_json::Value = serde_json::from_str(text).ok()?;
        Some((record["seq"].as_u64()?, text.to_owned()))
    };
    let lines: BTreeMap<u64, String> = log.lines().filter_map(line).collect();
    let last = lines.keys().next_back().copied().context("an empty log")?;
    ensure!(
        last >= least && lines.keys().copied().eq(0..=last),
        "expected lines 0 to {least} and more, found {:?}",
        lines.keys()
    );
    wait_for_number(server, last)?;
    let received = server.received()?;
    ensure!(received.gaps == 0, "expected no gap, found {}", received.gaps);
    for (number, line) in &lines {
        let texts = received.lines.get(number);
        let texts = texts.with_context(|| format!("line {number} did not arrive: {line}"))?;
        ensure!(
            texts.iter().all(|text| text == line),
            "line {number}: expected {line}, found {texts:?}"
        );
    }
    Ok(received)
}
