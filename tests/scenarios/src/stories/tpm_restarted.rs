//! The TPM loses its power while the machine runs: a resume is told, a reset is strong and alone destroys nothing; with a
//! strong sign of another source it does.

use super::appliance::{appliance, expect_nothing_told, wait_for_line, wait_until_it_serves};
use crate::guest::Guest;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "tpm-restarted-while-the-machine-runs",
        Tier::Full,
        restarted
    )]
}

/// Rounds of the watch come every two seconds, and each asks the TPM.
const SOON: Duration = Duration::from_secs(240);

fn restarted(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    machine.set_tpm_faults(Some(Vec::new()));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    wait_until_it_serves(&mut on, &guest)?;
    // The control: the proxy alone is no sign of anything.
    guest.run("sleep 10")?;
    expect_nothing_told(&on)?;

    tpm.power(TpmPower::Resume);
    wait_for_line(
        &on,
        "bennud: signal tpm-restarted (weak): the TPM restarted: restart count ",
        SOON,
    )?;
    ensure!(
        tpm.powered() == 1,
        "expected one resume, found {:?}",
        tpm.trouble()
    );
    let lines = texts(&on);
    ensure!(
        !lines
            .iter()
            .any(|line| line.contains("signal tpm-reset") || line.contains("signal pcr-changed")),
        "expected a resume to change no PCR"
    );

    tpm.power(TpmPower::Reset);
    wait_for_line(
        &on,
        "bennud: signal tpm-reset (strong): the TPM was reset while the machine ran: ",
        SOON,
    )?;
    wait_for_line(&on, "bennud: signal pcr-changed (strong): PCR ", SOON)?;
    wait_for_line(&on, "bennud: ALERT drift.one-strong: ", SOON)?;
    // All of one source: told, and nothing is destroyed, however long it lasts.
    let secret = guest.run("sleep 15; test -s /run/secrets/machine && echo there")?;
    ensure!(
        secret.contains("there"),
        "expected the secret to stay, found {secret}"
    );
    ensure!(
        !texts(&on).iter().any(|line| line.contains("bennud: state-purge")),
        "expected no purge on the TPM's word alone"
    );
    and_the_gate(&on, &guest)
}

/// The gate's word besides: now the secrets go.
fn and_the_gate(on: &PowerOn<'_>, guest: &Guest) -> Result<()> {
    let refused = guest.run("(echo x > /dev/vda) 2>&1; echo status $?")?;
    ensure!(
        !refused.contains("status 0"),
        "expected a refusal, found {refused}"
    );
    wait_for_line(on, "bennud: ALERT drift.two-strong: ", SOON)?;
    for step in ["erase-secrets", "wipe-keys", "kill"] {
        wait_for_line(on, &format!("bennud: state-purge.{step} done: "), SOON)?;
    }
    Ok(())
}
