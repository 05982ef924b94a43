//! A guest sends its records to a syslog server behind which a collector keeps them (`bennuctl log collect`). Whatever is sent
//! is sent again and again, because the guest cannot write down what was confirmed; collector and server are killed, the
//! guest's power is cut: each line is kept once, byte for byte, and a forged one is not taken in.

use super::alerts::{ARRIVES, ATTEMPT, lines_of, wait_for_all, wait_for_number, wait_for_words};
use super::appliance::{SERVES, machine_of, wait_for_line, wait_until_it_serves};
use super::purged;
use crate::guest::Guest;
use crate::images::top;
use crate::syslog::{self, PORT, Server, certificates};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "records-that-come-twice-are-collected-once",
        Tier::Full,
        collected_once
    )]
}

/// The sender's cursor is written under this name first: while it is a directory, the sender cannot write down what was
/// confirmed, and sends it again.
const NO_CURSOR: &str = "mkdir /var/lib/bennu-alert/cursor.new; echo status $?";
/// How often the collector is killed.
const KILLED: usize = 5;

fn collected_once(context: &mut Context) -> Result<()> {
    let _turn = syslog::turn();
    let (mut machine, guest) = machine_of(context, "demo/alerts.toml")?;
    let folder = machine.folder().to_owned();
    machine.set_disk_faults(Some(Vec::new()));
    let (server, key);
    {
        let mut on = machine.power_on()?;
        wait_until_it_serves(&mut on, &guest)?;
        key = purged::key(&guest)?;
        let said = guest.run(NO_CURSOR)?;
        ensure!(said.contains("status 0"), "{said}");
        guest.run(ATTEMPT)?;
        wait_for_line(&on, "bennud: signal gate-denial (weak): exec: ", SERVES)?;
        wait_for_words(&guest, "the records wait")?;
        server = interrupted(Server::start_collecting(&folder)?, &guest, &folder)?;
        let cut = on.cut(Survivors::Nothing)?;
        println!("cut with {cut:?}");
    }
    let had = server.received()?;
    let mut on = machine.power_on()?;
    wait_until_it_serves(&mut on, &guest)?;
    // The directory may not have reached the disk; what is kept of the cursor's place says that nothing was confirmed.
    guest.run("rmdir /var/lib/bennu-alert/cursor.new")?;
    guest.run(ATTEMPT)?;
    let whole = wait_for_all(&server, &guest, had.last().context("nothing was received")? + 1)?;
    let again = had.lines.keys().filter(|number| {
        let times = |received: &crate::syslog::Received| received.lines.get(number).map_or(0, Vec::len);
        times(&whole) > times(&had)
    });
    let (again, lines) = (again.count(), whole.lines.len());
    println!(
        "{lines} lines; {} messages came again, {again} of the lines after the cut",
        whole.repeated()
    );
    ensure!(
        again > 0 && whole.repeated() >= lines,
        "expected messages to come again, also after the cut"
    );
    let log = expect_each_once(&folder, &guest)?;
    expect_signed(&log, &key, context)?;
    expect_no_forgery(&folder, &log)
}

/// Every line comes more than once, while the collector is killed again and again, and then the server.
fn interrupted(server: Server, guest: &Guest, folder: &Path) -> Result<Server> {
    let deadline = Instant::now() + ARRIVES;
    while server.received()?.repeated() == 0 {
        ensure!(Instant::now() < deadline, "expected messages that come again");
        std::thread::sleep(Duration::from_millis(100));
    }
    let noise = format!(
        "systemd-run --unit=noise /bin/sh -c 'while :; do {ATTEMPT}; sleep 0.1; done' </dev/null >/dev/null 2>&1"
    );
    guest.run(&noise)?;
    let mut killed = 0;
    while killed < KILLED {
        ensure!(
            Instant::now() < deadline,
            "expected a collector to kill, {killed} so far"
        );
        if server.kill_collector()? {
            killed += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Killed, in the middle of whatever it does.
    drop(server);
    let server = Server::start_collecting(folder)?;
    let last = server.received()?.last().context("nothing was received")?;
    // Its pauses have become long.
    guest.run("systemctl restart bennu-alert.service")?;
    wait_for_number(&server, last + 10)?;
    println!("collector killed {killed} times, then the server");
    Ok(server)
}

/// The folder of the only log of the only machine.
fn log_folder(folder: &Path) -> Result<PathBuf> {
    let mut machines = fs::read_dir(folder.join("collected"))?.collect::<Result<Vec<_>, _>>()?;
    let machine = machines.pop().context("expected a machine's folder")?.path();
    ensure!(
        machines.is_empty(),
        "expected one machine, found {machines:?} as well"
    );
    ensure!(
        !machine.join("log-00000001").exists(),
        "expected one log in {}",
        machine.display()
    );
    Ok(machine.join("log-00000000"))
}

/// What is kept, in the order of the files.
fn kept(log: &Path) -> Result<String> {
    let mut files = fs::read_dir(log)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let texts = files.iter().map(|file| Ok(fs::read_to_string(file.path())?));
    texts.collect::<Result<String>>()
}

/// What the guest's log has now is the beginning of what is kept, line by line.
fn expect_each_once(folder: &Path, guest: &Guest) -> Result<PathBuf> {
    let lines = lines_of(guest)?;
    let log = log_folder(folder)?;
    let deadline = Instant::now() + ARRIVES;
    while kept(&log)?.lines().count() < lines.len() {
        ensure!(
            Instant::now() < deadline,
            "expected {} lines to be kept",
            lines.len()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let kept = kept(&log)?;
    for ((number, line), kept) in lines.iter().zip(kept.lines()) {
        ensure!(line == kept, "line {number}: expected {line}, found {kept}");
    }
    println!("{} lines of the guest's log are kept once each", lines.len());
    let said = fs::read_to_string(folder.join("collector.log")).unwrap_or_default();
    ensure!(!said.contains("RECORDS-"), "expected no finding, found {said}");
    ensure!(
        !log.with_file_name("conflicts.jsonl").exists(),
        "expected no conflict"
    );
    Ok(log)
}

/// By `bennuctl` on this host: the machine's TPM signed what is kept. Lines that are younger than the last head wait for the
/// next one.
fn expect_signed(log: &Path, key: &str, context: &Context) -> Result<()> {
    let signer = context.folder().join("key.hex");
    fs::write(&signer, format!("{key}\n"))?;
    let deadline = Instant::now() + ARRIVES;
    loop {
        let done = Command::new(top().join("target/release/agents/bennuctl"))
            .args(["log", "verify", "--signer"])
            .args([&signer, &log.to_owned()])
            .output()?;
        let said = String::from_utf8_lossy(&done.stdout);
        if done.status.success() && said.contains("good: ") && !said.contains(" 0 by signed heads") {
            println!("{said}");
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "expected a log that the TPM's heads prove, found {said}"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Somebody whom the server lets in sends another line under a number that was there.
fn expect_no_forgery(folder: &Path, log: &Path) -> Result<()> {
    let before = kept(log)?;
    let machine = log.parent().context("a machine")?;
    let name = machine
        .file_name()
        .and_then(|name| name.to_str())
        .context("a name")?;
    let host = name.strip_prefix("127.0.0.1_").with_context(|| name.to_owned())?;
    let line = before.lines().nth(1).context("an empty log")?;
    let forged = line.replacen(r#""at":1"#, r#""at":2"#, 1);
    ensure!(forged != line, "expected a time in {line}");
    send(&format!("<110>1 - {host} bennud - event - {forged}"))?;
    let conflicts = machine.join("conflicts.jsonl");
    let deadline = Instant::now() + ARRIVES;
    while !conflicts.exists() {
        ensure!(
            Instant::now() < deadline,
            "expected the forged line in conflicts.jsonl"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let found: serde_json::Value = serde_json::from_str(fs::read_to_string(&conflicts)?.trim_end())?;
    ensure!(
        found["code"] == "RECORDS-CONFLICT" && found["number"] == 1 && found["text"] == forged.as_str(),
        "expected {forged}, found {found}"
    );
    let said = fs::read_to_string(folder.join("collector.log"))?;
    ensure!(
        said.contains("RECORDS-CONFLICT: ") && said.contains("number 1 came again with other bytes"),
        "expected it to be told, found {said}"
    );
    ensure!(
        kept(log)?.starts_with(&before),
        "expected what was kept to stay as it was"
    );
    println!("{}", said.trim_end());
    Ok(())
}

/// One message over TLS, by OpenSSL.
fn send(message: &str) -> Result<()> {
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{PORT}"),
            "-servername",
            "logs.example",
        ])
        .arg("-CAfile")
        .arg(certificates().join("ca.pem"))
        .args(["-verify_return_error", "-brief"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("openssl: run tests/install-tools")?;
    let mut input = client.stdin.take().context("openssl's input")?;
    write!(input, "{} {message}", message.len())?;
    drop(input);
    ensure!(client.wait()?.success(), "openssl s_client failed");
    Ok(())
}
