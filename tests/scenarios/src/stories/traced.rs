//! The trace as evidence: an intruder who is root changes it, and takes it away. Told at once, and found later by what the
//! record log sealed; also what was sealed before the power went (`docs/spec/trace.md` §4).

use super::appliance::{appliance, wait_for_line, wait_until_it_serves};
use crate::guest::Guest;
use bennu_harness::disk_rig::Survivors;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "trace-that-is-altered-is-told-and-found",
        Tier::Full,
        altered
    )]
}

/// A foreign program, which is denied: something to trace, and a signal, by which the trace is sealed.
const ATTEMPT: &str = "cp /bin/sleep /dev/shm/foreign; /dev/shm/foreign 0 </dev/null 2>&1; true";
const VERIFY: &str =
    "bennuctl log verify --tpm /var/lib/bennu/records --trace /var/log/bennu 2>&1; echo status $?";
/// A byte in the first record, behind the line that names the file.
const CHANGE: &str = "printf '#' | dd of=/var/log/bennu/trace.jsonl bs=1 seek=200 conv=notrunc 2>/dev/null; sync; echo changed";
const REMOVE: &str = "rm /var/log/bennu/trace.jsonl && echo removed";
/// Until something is told, or a seal signed, on a busy host.
const TOLD: Duration = Duration::from_secs(300);

fn altered(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    machine.set_disk_faults(Some(Vec::new()));
    {
        let mut on = machine.power_on()?;
        wait_until_it_serves(&mut on, &guest)?;
        guest.run(ATTEMPT)?;
        wait_for_line(&on, "bennud: signal gate-denial (weak): exec: ", TOLD)?;
        let good = wait_for_verdict(&guest, "status 0")?;
        println!("{good}");
        // What no flush had asked for is gone.
        on.cut(Survivors::Nothing)?;
    }
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    guest.run(ATTEMPT)?;
    let good = wait_for_verdict(&guest, "status 0")?;
    println!("after the power cut: {good}");
    // As somebody does who wants a line to say something else.
    let said = guest.run(CHANGE)?;
    ensure!(said.contains("changed"), "{said}");
    wait_for_line(
        &on,
        "bennud: signal log-broken (strong): trace.jsonl: expected the ",
        TOLD,
    )?;
    let refused = wait_for_verdict(&guest, "found others")?;
    println!("{refused}");
    expect_refused(
        &refused,
        "/var/log/bennu/trace.jsonl: REFUSED: expected its first ",
    )?;
    let said = guest.run(REMOVE)?;
    ensure!(said.contains("removed"), "{said}");
    wait_for_line(&on, "found no file", TOLD)?;
    guest.run(ATTEMPT)?;
    let refused = wait_for_verdict(&guest, "found no such file")?;
    println!("{refused}");
    expect_refused(&refused, "/var/log/bennu: REFUSED: expected file ")
}

fn expect_refused(said: &str, words: &str) -> Result<()> {
    ensure!(
        said.contains(words) && said.contains("status 1"),
        "expected a refusal with `{words}`, found {said}"
    );
    Ok(())
}

/// The newest lines of the log are signed at the end of their round.
fn wait_for_verdict(guest: &Guest, words: &str) -> Result<String> {
    let deadline = Instant::now() + TOLD;
    loop {
        let said = guest.run(VERIFY)?;
        if said.contains(words) {
            return Ok(said);
        }
        ensure!(Instant::now() < deadline, "expected `{words}`, found {said}");
        std::thread::sleep(Duration::from_secs(2));
    }
}
