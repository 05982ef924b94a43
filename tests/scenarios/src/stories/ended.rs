//! bennud on a whole Debian 13 is killed and stopped: the gate holds all the time, what is changed meanwhile is told by the
//! next one, and a restart of the machine answers what a person or a fault does again and again.

use super::appliance::{
    PAGE, SERVES, WATCHDOG, appliance, expect_answer, expect_denied, expect_nothing_told,
    wait_until_it_serves,
};
use crate::guest::Guest;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "agent-hung-or-killed-ends-in-a-restart",
        Tier::Full,
        agent_ended
    )]
}

/// A boot entry that nobody has: the loader takes another one.
const CHANGE_MEANWHILE: &str = "systemctl kill --kill-whom=main -s STOP bennud.service && \
    printf '\\007\\000\\000\\000x\\000\\000\\000' >/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f && \
    systemctl kill --kill-whom=main -s KILL bennud.service";

/// bennud killed: it comes back and says so. Stopped: the watchdog ends it, and the machine restarts. Killed again and
/// again: the machine restarts. The gate holds all the time, and each next start tells of the one before.
fn agent_ended(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    killed_and_hung(&mut machine, &guest)?;
    killed_again_and_again(&mut machine, &guest)?;
    let mut on = machine.power_on()?;
    let told = "bennud: before this start of the machine bennud ended 0 times without an answer, 6 times by a signal";
    on.wait_for_without(told, &["FAILED".into()], SERVES)?;
    guest.wait_for_web(SERVES)
}

fn killed_and_hung(machine: &mut Machine, guest: &Guest) -> Result<()> {
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, guest)?;
    let refused = guest.run("systemctl stop bennud.service 2>&1; echo status $?")?;
    ensure!(
        !refused.contains("status 0"),
        "expected a refusal, found {refused}"
    );
    expect_nothing_told(&on)?;
    // Stopped first, so that none looks in between.
    guest.run(CHANGE_MEANWHILE)?;
    on.wait_for(
        "bennud: the agent ended: it was ended by a signal (signal); ",
        WATCHDOG,
    )?;
    on.wait_for("bennud: signal agent-killed (weak): ", WATCHDOG)?;
    on.wait_for(
        "bennud: signal efi-variable-changed (weak): LoaderEntryDefault changed",
        WATCHDOG,
    )?;
    expect_answer(guest.web, "/", 200, PAGE)?;
    guest.run("systemctl kill --kill-whom=main -s STOP bennud.service")?;
    expect_denied(guest)?;
    on.wait_for(
        "bennud: the agent ended: it did not answer systemd (watchdog); ",
        WATCHDOG,
    )?;
    on.wait_for("bennud: signal agent-hung (weak): ", WATCHDOG)?;
    on.wait_for("bennud: restarting: the boot decides anew", WATCHDOG)?;
    expect_reset(&mut on)
}

fn killed_again_and_again(machine: &mut Machine, guest: &Guest) -> Result<()> {
    let mut on = machine.power_on()?;
    let told = "bennud: before this start of the machine bennud ended 1 times without an answer, 1 times by a signal";
    on.wait_for_without(told, &["FAILED".into()], SERVES)?;
    guest.wait_for_web(SERVES)?;
    guest.wait_for_shell(SERVES)?;
    let logged = guest.run("grep -h -e agent-hung -e agent-killed /var/lib/bennu/records/*")?;
    for signal in ["agent-hung", "agent-killed"] {
        let line = format!(r#""signal":"{signal}""#);
        ensure!(
            logged.contains(&line),
            "expected {line} in the log, found {logged}"
        );
    }
    let verified = guest.run("bennuctl log verify --tpm /var/lib/bennu/records; echo status $?")?;
    ensure!(verified.contains("status 0"), "{verified}");
    // In a unit of its own, which outlives the shell.
    guest.run(
        "systemd-run --unit=killer /bin/sh -c 'while :; do systemctl kill --kill-whom=main -s KILL bennud.service; \
         sleep 0.2; done' </dev/null >/dev/null 2>&1",
    )?;
    on.wait_for(
        "in this start: 0 times without an answer, 2 times by a signal",
        WATCHDOG,
    )?;
    expect_denied(guest)?;
    expect_reset(&mut on)
}
