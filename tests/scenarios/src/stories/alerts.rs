//! A guest sends its record log to a syslog server over TLS: while nobody listens it waits, and a power cut of the guest
//! loses no line, and doubles none but those of the batch that was on its way.

use super::appliance::{SERVES, machine_of, wait_for_line, wait_until_it_serves};
use crate::guest::Guest;
use crate::syslog::{self, Received, Server};
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
pub(super) const ARRIVES: Duration = Duration::from_secs(330);
/// Longest batch: 1 MiB and a line of 16 KiB (`docs/howto/send-records.md`).
const BATCH_BYTES: usize = (1 << 20) + (16 << 10);
/// A denial that the watch tells, with a name of its own each time.
pub(super) const ATTEMPT: &str = "cp /bin/sleep /dev/shm/foreign; /dev/shm/foreign 0 </dev/null 2>/dev/null";

fn across_a_cut(context: &mut Context) -> Result<()> {
    let _turn = syslog::turn();
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
    let had = settled(&server)?;
    let last = had.last().context("nothing was received")?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    guest.run(ATTEMPT)?;
    let whole = wait_for_all(&server, &guest, last + 1)?;
    expect_only_the_last_batch_again(&had, &whole)?;
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
pub(super) fn wait_for_words(guest: &Guest, words: &str) -> Result<()> {
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

pub(super) fn wait_for_number(server: &Server, number: u64) -> Result<()> {
    let deadline = Instant::now() + ARRIVES;
    while server.received()?.last() < Some(number) {
        ensure!(Instant::now() < deadline, "expected line {number} at the server");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What the server has once it has written down all that reached it.
pub(super) fn settled(server: &Server) -> Result<Received> {
    let deadline = Instant::now() + ARRIVES;
    let mut before = server.received()?;
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now = server.received()?;
        if now.messages == before.messages {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the server does not come to rest");
        before = now;
    }
}

/// Delivery is at least once: what came again came once more, and is the end of what the server `had` at the cut, no longer
/// than a batch. None is sent before the one before it is confirmed, so nothing older comes again.
fn expect_only_the_last_batch_again(had: &Received, whole: &Received) -> Result<()> {
    ensure!(
        had.repeated() == 0,
        "expected each line once before the cut, found {} more",
        had.repeated()
    );
    let last = had.last().context("nothing was received")?;
    let again = || whole.lines.iter().filter(|(_, texts)| texts.len() > 1);
    let Some((first, _)) = again().next() else {
        return Ok(());
    };
    let numbers: Vec<u64> = again().map(|(number, _)| *number).collect();
    ensure!(
        numbers.iter().copied().eq(*first..=last) && again().all(|(_, texts)| texts.len() == 2),
        "expected lines up to {last} once more, found {numbers:?}, {} messages",
        whole.repeated()
    );
    let bytes: usize = again()
        .filter_map(|(_, texts)| texts.first())
        .map(String::len)
        .sum();
    ensure!(
        bytes <= BATCH_BYTES,
        "expected a batch, found {bytes} bytes again"
    );
    Ok(())
}

/// The lines of the guest's log by their numbers.
pub(super) fn lines_of(guest: &Guest) -> Result<BTreeMap<u64, String>> {
    let log = guest.run("for file in /var/lib/bennu/records/*.jsonl; do cat $file; echo; done")?;
    // What a power cut tore is no line; the log's own check looks at it.
    let line = |text: &str| {
        let record: serde_json::Value = serde_json::from_str(text).ok()?;
        Some((record["seq"].as_u64()?, text.to_owned()))
    };
    Ok(log.lines().filter_map(line).collect())
}

/// Waits until the server has every line that the guest's log has now, at least to number `least`: each number once, from
/// 0 on, byte for byte, and what came again came as it was.
pub(super) fn wait_for_all(server: &Server, guest: &Guest, least: u64) -> Result<Received> {
    let lines = lines_of(guest)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn received(lines: &[(u64, usize)]) -> Received {
        let texts = |(number, times): &(u64, usize)| (*number, vec![format!("line {number}"); *times]);
        Received {
            lines: lines.iter().map(texts).collect(),
            messages: lines.iter().map(|(_, times)| times).sum(),
            gaps: 0,
        }
    }

    #[test]
    fn only_the_end_of_what_was_there_may_come_again_and_only_once() {
        let had = received(&[(0, 1), (1, 1), (2, 1)]);
        for good in [
            [(0, 1), (1, 1), (2, 1), (3, 1)],
            [(0, 1), (1, 1), (2, 2), (3, 1)],
            [(0, 1), (1, 2), (2, 2), (3, 1)],
        ] {
            let found = expect_only_the_last_batch_again(&had, &received(&good));
            assert!(found.is_ok(), "{good:?}: {found:?}");
        }
        for bad in [
            [(0, 1), (1, 2), (2, 1), (3, 1)],
            [(0, 1), (1, 1), (2, 3), (3, 1)],
            [(0, 1), (1, 1), (2, 1), (3, 2)],
            [(0, 2), (1, 1), (2, 2), (3, 1)],
        ] {
            let found = expect_only_the_last_batch_again(&had, &received(&bad));
            assert!(found.is_err(), "{bad:?}");
        }
        let twice = received(&[(0, 2)]);
        assert!(expect_only_the_last_batch_again(&twice, &twice).is_err());
    }
}
