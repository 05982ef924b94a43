//! A whole Debian 13 with nginx, on a network: attacked through the web server and by an intruder who is root
//! (`images/demo/appliance.toml`); and under load, when nobody attacks.

use crate::guest::{self, Guest, get};
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![
        story!("nginx-behind-its-profile", Tier::Full, behind_its_profile),
        story!("nginx-under-load-for-ten-minutes", Tier::Full, under_load),
        story!("flood-of-denials-hides-no-attempt", Tier::Full, flood),
    ]
}

pub(super) const PAGE: &str = "the appliance, demo 4\n";
/// A line of bennud's that a sound machine does not have.
const SIGNAL: &str = "bennud: signal ";
/// From power-on until nginx serves, on a host that does much else: three minutes when it is quiet.
pub const SERVES: Duration = Duration::from_secs(1200);
/// Until bennud has told something that has happened.
const TOLD: Duration = Duration::from_secs(120);
/// The watchdog's minute, systemd, a start, and a busy host.
pub(super) const WATCHDOG: Duration = Duration::from_secs(600);
/// An attempt of the intruder's; the program lies in no image.
const EXECUTES: &str = "cp /bin/sleep /dev/shm/foreign; /dev/shm/foreign 0 </dev/null 2>&1; echo status $?";

/// The machine, and how to reach it.
pub fn appliance(context: &mut Context) -> Result<(Machine, Guest)> {
    machine_of(context, "demo/appliance.toml")
}

/// The same with another release of it.
pub fn machine_of(context: &mut Context, release: &str) -> Result<(Machine, Guest)> {
    let disk = images::disk(&[release])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let guest = Guest::with_free_ports()?;
    machine.set_extra_args(guest.arguments());
    Ok((machine, guest))
}

/// Waits until the slot is good, drift is watched and nginx answers.
pub fn wait_until_it_serves(on: &mut PowerOn<'_>, guest: &Guest) -> Result<()> {
    wait_until_it_serves_with(on, guest, "kill, state-purge, fail-safe")
}

/// The same of a release that enforces something else.
pub fn wait_until_it_serves_with(on: &mut PowerOn<'_>, guest: &Guest, enforced: &str) -> Result<()> {
    let watches = format!("bennud: watching for drift; enforced: {enforced}");
    on.wait_for_without(watches.as_str(), &["FAILED".into()], SERVES)?;
    on.wait_for_without("bennud: slot 4 marked good (+3)", &["FAILED".into()], SERVES)?;
    guest.wait_for_web(SERVES)?;
    guest.wait_for_shell(SERVES)
}

/// Waits until a line with `part` is there, wherever it stands.
pub fn wait_for_line(on: &PowerOn<'_>, part: &str, limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(line) = expect_line(&texts(on), part) {
            return Ok(line);
        }
        ensure!(
            Instant::now() < deadline,
            "expected a line with `{part}`, found none"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Nothing was denied, and nothing was a sign of drift.
pub fn expect_nothing_told(on: &PowerOn<'_>) -> Result<()> {
    for line in texts(on) {
        let denied = line.contains("bennud: DENIED ");
        ensure!(
            !denied && !line.contains(SIGNAL),
            "expected a quiet machine, found: {line}"
        );
    }
    Ok(())
}

pub(super) fn expect_answer(port: u16, path: &str, status: u16, text: &str) -> Result<()> {
    let found = get(port, path)?;
    ensure!(
        found.status == status && found.text.contains(text),
        "{path}: expected {status} with `{text}`, found {found:?}"
    );
    Ok(())
}

/// A web server with a hole: no shell, no program, nobody but its upstream; and it serves on. Then apt.
fn behind_its_profile(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    // The control: without a profile each passes, and the profile lets pass what it names.
    expect_answer(guest.open, "/shell", 200, "a shell ran as www-data")?;
    expect_answer(guest.open, "/program", 200, "Linux")?;
    expect_answer(guest.open, "/elsewhere", 200, "somewhere else")?;
    expect_answer(guest.web, "/upstream", 200, "the upstream")?;
    expect_nothing_told(&on)?;
    expect_listeners(&guest)?;

    expect_answer(guest.web, "/shell", 200, "refused: Operation not permitted")?;
    expect_answer(guest.web, "/program", 200, "refused: Operation not permitted")?;
    expect_answer(guest.web, "/elsewhere", 502, "Bad Gateway")?;
    for (kind, more) in [
        ("shell", ", profile nginx.service"),
        ("executable", ", profile nginx.service"),
        ("connect", ", profile nginx.service, to 127.0.0.1:8083"),
    ] {
        let told = format!("bennud: DENIED {kind}: ");
        let line = wait_for_line(&on, &told, TOLD)?;
        ensure!(
            line.contains(", by nginx (") && line.contains(more),
            "expected nginx and `{more}`, found: {line}"
        );
    }
    wait_for_line(&on, "bennud: signal gate-denial (weak): connect: ", TOLD)?;
    expect_answer(guest.web, "/", 200, PAGE)?;
    expect_answer(guest.open, "/shell", 200, "a shell ran as www-data")?;
    apt_fails_politely(&guest)
}

/// Two web servers, the two services that they talk to, and the intruder's shell: nobody else, and nothing of ours.
fn expect_listeners(guest: &Guest) -> Result<()> {
    let found = guest.listeners()?;
    let expected = [
        "0.0.0.0:7777",
        "0.0.0.0:80",
        "0.0.0.0:8080",
        "127.0.0.1:8082",
        "127.0.0.1:8083",
    ];
    ensure!(
        found == expected,
        "TCP listeners: expected {expected:?}, found {found:?}"
    );
    Ok(())
}

/// Words, status, and nothing written.
fn apt_fails_politely(guest: &Guest) -> Result<()> {
    // apt's caches of what is installed are made anew by whoever asks, and decide nothing.
    let state = "dpkg-query -W | sha256sum; find /var/lib/dpkg /var/lib/apt /var/cache/apt /usr/bin -type f \
                 -newer /run/mark 2>/dev/null | grep -v -e lock -e pkgcache.bin";
    guest.run("touch /run/mark")?;
    let before = guest.run(state)?;
    let package = "mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin; echo x > /tmp/p/usr/bin/planted; printf 'Package: \
                   planted\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' > \
                   /tmp/p/DEBIAN/control; dpkg-deb -b /tmp/p /tmp/planted.deb";
    guest.run(package)?;
    for command in [
        "apt-get update",
        "apt-get install -y cowsay",
        "apt-get install -y /tmp/planted.deb",
        "apt-get remove -y less",
        "apt-get upgrade -y",
        "apt install -y /tmp/planted.deb",
        "dpkg -i /tmp/planted.deb",
        "dpkg -r less",
    ] {
        let said = guest.run(&format!("{command} </dev/null 2>&1; echo status $?"))?;
        ensure!(
            said.contains("This system is immutable. Its root is the verified image demo 4")
                && said.contains("nothing was changed")
                && !said.contains("status 0"),
            "{command}: expected words and a failure, found: {said}"
        );
    }
    let after = guest.run(state)?;
    ensure!(
        before == after,
        "expected packages as before: {before}, found {after}"
    );
    // The control: what only reads works.
    let said = guest.run(
        "dpkg -s less 2>&1 | head -2; apt-get --version | head -1; test -e /usr/bin/planted && echo PLANTED",
    )?;
    ensure!(
        said.contains("Status: install ok installed") && said.contains("apt ") && !said.contains("PLANTED"),
        "found {said}"
    );
    Ok(())
}

/// Nobody attacks: every request is answered, nothing is denied, nothing is told.
fn under_load(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    let minutes = Duration::from_secs(600);
    let load = guest::load(guest.web, 8, minutes, PAGE);
    ensure!(
        load.bad.is_none(),
        "after {} good answers: {:?}",
        load.good,
        load.bad
    );
    ensure!(
        load.good > 10_000,
        "expected a load, found {} requests",
        load.good
    );
    println!(
        "{} requests in {} s, each answered with 200",
        load.good,
        minutes.as_secs()
    );
    expect_nothing_told(&on)?;
    let status = guest.run("bennuctl status; echo status $?; bennuctl chain; echo status $?")?;
    ensure!(
        status.contains("gate         enforced; ") && status.contains(", 0 lost, "),
        "expected a gate that lost nothing, found {status}"
    );
    ensure!(
        status.matches("status 0").count() == 2 && !status.contains("[!!]"),
        "expected a sound machine, found {status}"
    );
    // The control: what would have been seen is seen.
    expect_answer(guest.web, "/shell", 200, "refused: Operation not permitted")?;
    wait_for_line(&on, "bennud: signal gate-denial (weak): ", TOLD).map(drop)
}

pub(super) fn expect_denied(guest: &Guest) -> Result<()> {
    let said = guest.run(EXECUTES)?;
    ensure!(
        said.contains("Operation not permitted") && !said.contains("status 0"),
        "expected the gate to hold, found {said}"
    );
    Ok(())
}

/// Processes without end, and more denials than the ring has room for while bennud is stopped: what is tried after them is
/// denied and told, and what was lost is counted and told.
fn flood(context: &mut Context) -> Result<()> {
    let (mut machine, guest) = appliance(context)?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    expect_nothing_told(&on)?;
    begin_bomb(&guest)?;
    // Weak ones, from many processes; then an attempt on the disk.
    let said = guest.run("bennu-attack storm /dev/vda")?;
    for line in [
        "CONTROL stop-agent passed",
        "CONTROL storm passed",
        "ATTACK write-disk EPERM",
        "ATTACK exec-tmpfs EPERM",
        "CONTROL continue-agent passed",
    ] {
        ensure!(said.contains(line), "expected `{line}`, found {said}");
    }
    let lost = wait_for_line(&on, " events of the gate were lost", WATCHDOG)?;
    ensure!(
        lost.contains("bennud: GAP: "),
        "expected a gap first, found: {lost}"
    );
    wait_for_line(&on, "bennud: DENIED device-write: ", WATCHDOG)?;
    wait_for_line(
        &on,
        "bennud: signal gate-tampering (strong): device-write: ",
        WATCHDOG,
    )?;
    wait_for_signal_of_losses(&on)?;
    expect_bomb_at_its_limit(&guest)?;
    guest
        .run("systemctl kill -s KILL bomb.service; systemctl stop bomb.service </dev/null >/dev/null 2>&1")?;
    let status = guest.run("bennuctl status")?;
    let gate = status.lines().find(|line| line.starts_with("gate "));
    let gate = gate.with_context(|| format!("expected a line about the gate, found {status}"))?;
    ensure!(
        gate.contains("enforced; ") && !gate.contains(", 0 lost, "),
        "expected the gate to stand and to have lost events, found {gate}"
    );
    println!("{lost}\n{gate}");
    // The control: the machine serves on, and bennud was not ended by its watchdog.
    expect_answer(guest.web, "/", 200, PAGE)?;
    let ended = texts(&on)
        .into_iter()
        .find(|line| line.contains("bennud: the agent ended: "));
    ensure!(ended.is_none(), "expected the same bennud, found: {ended:?}");
    Ok(())
}

/// A unit that makes processes until it may have no more, with little of the processor: the storm must be over before the
/// watchdog ends a bennud that is stopped.
fn begin_bomb(guest: &Guest) -> Result<()> {
    let said = guest.run(
        "systemd-run --unit=bomb -p TasksMax=400 -p CPUWeight=1 /bin/sh -c 'sleep 600 & f() { f | f & }; f; wait' \
         </dev/null >/dev/null 2>&1; echo status $?",
    )?;
    ensure!(said.contains("status 0"), "the bomb: {said}");
    let deadline = Instant::now() + TOLD;
    while expect_bomb_at_its_limit(guest).is_err() {
        ensure!(Instant::now() < deadline, "the bomb does not reach its limit");
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// The kernel refused it a process.
fn expect_bomb_at_its_limit(guest: &Guest) -> Result<()> {
    let events = guest.run("cat /sys/fs/cgroup/system.slice/bomb.service/pids.events 2>&1")?;
    let refused = events.lines().find_map(|line| line.strip_prefix("max "));
    ensure!(
        refused.is_some_and(|times| times.trim() != "0"),
        "expected refused processes, found {events}"
    );
    Ok(())
}

/// Behind the line of the gap there is another one: the watch's.
fn wait_for_signal_of_losses(on: &PowerOn<'_>) -> Result<()> {
    let deadline = Instant::now() + WATCHDOG;
    let is_it = |line: &String| {
        line.contains("bennud: signal events-lost (weak): ") && line.contains(" events of the gate were lost")
    };
    while !texts(on).iter().any(is_it) {
        ensure!(Instant::now() < deadline, "expected the losses as a signal");
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
