//! A syslog server on this host (rsyslog out of Debian's package, with TLS by OpenSSL), for guests that send to it.

use crate::images::top;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The port that `images/demo/alerts.toml` names.
pub const PORT: u16 = 26514;
/// Longest that a program which starts takes to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// Where the certificates lie, which images name: of these stories alone, and of no worth.
pub fn certificates() -> PathBuf {
    top().join("target/syslog")
}

/// Held by a story from before its guest starts to its end: every guest sends to [`PORT`], where one server listens.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an authority and a server's certificate for `logs.example`, unless they are there.
///
/// # Errors
/// openssl.
pub fn make_certificates() -> Result<()> {
    let folder = certificates();
    if folder.join("server.pem").exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for words in [
        format!("req -x509 {new} -days 3650 -subj /CN=ca -keyout ca.key -out ca.pem"),
        format!(
            "req {new} -subj /CN=logs.example -addext subjectAltName=DNS:logs.example -keyout server.key -out server.csr"
        ),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 3650 -copy_extensions copy -out server.pem"
            .to_owned(),
    ] {
        let done = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(&folder)
            .output()
            .context("openssl: run tests/install-tools")?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "openssl {words}: {said}");
    }
    Ok(())
}

/// A running rsyslog, killed at the end. Each message becomes one line of its log: message id, structured data, message.
pub struct Server {
    child: Child,
    log: PathBuf,
    collector: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Server {
    /// Starts it with everything that it writes in `folder`; what an earlier one received there stays.
    ///
    /// # Errors
    /// It is not there (`tests/install-tools`), or the port is taken.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, None)
    }

    /// The same with a collector behind it (`bennuctl log collect`), as `docs/howto/send-records.md` has it: what came over
    /// the wire is confirmed when the collector has it.
    ///
    /// # Errors
    /// As [`Self::start`]; the agents are not built.
    pub fn start_collecting(folder: &Path) -> Result<Self> {
        let bennuctl = fs::canonicalize(top().join("target/release/agents/bennuctl"));
        Self::start_with(folder, Some(bennuctl.context("bennuctl: run make build")?))
    }

    fn start_with(folder: &Path, collector: Option<PathBuf>) -> Result<Self> {
        let folder = fs::canonicalize(folder)?;
        let keys = fs::canonicalize(certificates())?;
        let root = fs::canonicalize(top().join("target/cache/rsyslog"))
            .context("rsyslog: run tests/install-tools")?;
        ensure!(
            TcpStream::connect(("127.0.0.1", PORT)).is_err(),
            "port {PORT}: expected nobody there, found somebody who listens"
        );
        let log = folder.join("received");
        let config = folder.join("rsyslog.conf");
        let text = match &collector {
            None => configuration(&folder, &keys, &log),
            Some(bennuctl) => collecting(&folder, &keys, &log, bennuctl),
        };
        fs::write(&config, text)?;
        let child = Command::new(root.join("usr/sbin/rsyslogd"))
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(folder.join("rsyslog.pid"))
            .arg("-M")
            .arg(root.join("usr/lib/x86_64-linux-gnu/rsyslog"))
            .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"))
            .stdin(Stdio::null())
            .spawn()?;
        let mut server = Self {
            child,
            log,
            collector,
        };
        let deadline = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            ensure!(server.child.try_wait()?.is_none(), "rsyslog ended");
            ensure!(Instant::now() < deadline, "rsyslog does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Kills the collector that runs now, if one does; rsyslog starts the next one with the next message.
    ///
    /// # Errors
    /// `/proc`.
    pub fn kill_collector(&self) -> Result<bool> {
        let Some(program) = &self.collector else {
            return Ok(false);
        };
        for entry in fs::read_dir("/proc")? {
            let entry = entry?.path();
            // Processes come and go; those of others are not ours to read.
            let (Ok(runs), Ok(stat)) = (
                fs::read_link(entry.join("exe")),
                fs::read_to_string(entry.join("stat")),
            ) else {
                continue;
            };
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            if runs == *program && parent == Some(self.child.id()) {
                let number = entry.file_name().context("a process")?.to_owned();
                let killed = Command::new("kill").arg("-KILL").arg(number).status()?;
                return Ok(killed.success());
            }
        }
        Ok(false)
    }

    /// What it has so far.
    ///
    /// # Errors
    /// A message that is no line of a record log.
    pub fn received(&self) -> Result<Received> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut received = Received::default();
        // The last line may still be on its way to the file.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let mut fields = line.splitn(3, '|');
            let (Some(id), Some(_), Some(message)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            if id == "gap" {
                received.gaps += 1;
                continue;
            }
            let message = message.trim_start();
            let record: Value =
                serde_json::from_str(message).with_context(|| format!("message {message}"))?;
            let number = record["seq"]
                .as_u64()
                .with_context(|| format!("no number in {message}"))?;
            received.messages += 1;
            received.lines.entry(number).or_default().push(message.to_owned());
        }
        Ok(received)
    }
}

/// Inputs, queue and action of `docs/howto/send-records.md`; beside them the file of the other stories, so that what came
/// more than once can be seen.
fn collecting(folder: &Path, keys: &Path, log: &Path, bennuctl: &Path) -> String {
    let plain = configuration(folder, keys, log);
    let (plain, _) = plain.split_once("input(").unwrap_or((&plain, ""));
    format!(
        r#"{plain}module(load="omprog")
template(name="record" type="string" string="%msgid%|%structured-data%|%msg%\n")
template(name="collect" type="list") {{
  constant(value="{{\"machine\":\"")
  property(name="fromhost-ip" format="json")
  constant(value="_")
  property(name="hostname" format="json")
  constant(value="\",\"line\":\"")
  property(name="msg" format="json")
  constant(value="\"}}\n")
}}
ruleset(name="bennu" queue.type="Direct") {{
  if $app-name == "bennud" then {{
    action(type="omfile" file="{log}" template="record")
    action(type="omprog" template="collect"
      binary="{bennuctl} log collect --into {folder}/collected"
      confirmMessages="on" confirmTimeout="60000" forceSingleInstance="on"
      action.resumeRetryCount="-1" action.resumeInterval="1" output="{folder}/collector.log")
  }}
}}
input(type="imtcp" port="{PORT}" address="127.0.0.1" ruleset="bennu")
"#,
        folder = folder.display(),
        log = log.display(),
        bennuctl = bennuctl.display(),
    )
}

fn configuration(folder: &Path, keys: &Path, log: &Path) -> String {
    format!(
        r#"global(workDirectory="{work}" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{keys}/ca.pem"
  defaultNetstreamDriverCertFile="{keys}/server.pem" defaultNetstreamDriverKeyFile="{keys}/server.key"
  maxMessageSize="32k")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="{PORT}" address="127.0.0.1")
template(name="record" type="string" string="%msgid%|%structured-data%|%msg%\n")
if $app-name == "bennud" then action(type="omfile" file="{log}" template="record")
"#,
        work = folder.display(),
        keys = keys.display(),
        log = log.display(),
    )
}

/// Messages by the number of their line in the guest's log.
#[derive(Debug, Default)]
pub struct Received {
    /// Each text that came for a number.
    pub lines: BTreeMap<u64, Vec<String>>,
    /// All of them.
    pub messages: usize,
    /// Messages that tell of lines which were removed before they were sent.
    pub gaps: usize,
}

impl Received {
    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.lines.keys().next_back().copied()
    }

    /// How many messages came again.
    pub fn repeated(&self) -> usize {
        self.messages - self.lines.len()
    }
}
