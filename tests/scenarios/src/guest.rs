//! A guest on QEMU's user network (`images/demo/appliance.toml`): its web servers, its intruder's shell, load on it.
//!
//! Ports of this host lead to the guest's; the guest reaches this host as 10.0.2.2.

use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one answer may take on a busy host.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest line or body that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// The guest as this host sees it.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// nginx with a profile.
    pub web: u16,
    /// nginx without one.
    pub open: u16,
    shell: u16,
}

impl Guest {
    /// Takes three ports of this host that are free now.
    ///
    /// # Errors
    /// There are none.
    pub fn with_free_ports() -> Result<Self> {
        let held: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let ports: Vec<u16> = held
            .iter()
            .map(|one| Ok(one.local_addr()?.port()))
            .collect::<Result<_>>()?;
        let [web, open, shell] = ports[..] else {
            bail!("expected three ports")
        };
        Ok(Self { web, open, shell })
    }

    /// QEMU's arguments: a network card without a boot program, and who leads where.
    pub fn arguments(&self) -> Vec<OsString> {
        let forward = |host: u16, guest: u16| format!(",hostfwd=tcp:127.0.0.1:{host}-10.0.2.15:{guest}");
        let network = format!(
            "user,id=net{}{}{}",
            forward(self.web, 80),
            forward(self.open, 8080),
            forward(self.shell, 7777)
        );
        [
            "-netdev",
            &network,
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
            "-device",
            "virtio-rng-pci",
        ]
        .map(Into::into)
        .to_vec()
    }

    /// Runs `script` in the guest as root; gives what it says.
    ///
    /// # Errors
    /// No connection, or no end within two minutes.
    pub fn run(&self, script: &str) -> Result<String> {
        let mut shell = connect(self.shell)?;
        shell.write_all(script.as_bytes())?;
        shell.write_all(b"\n")?;
        shell.shutdown(Shutdown::Write)?;
        let mut said = Vec::new();
        shell
            .take(MOST_BYTES)
            .read_to_end(&mut said)
            .with_context(|| format!("the guest's answer to `{script}`"))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Who listens for TCP in the guest, by the kernel's word: `0.0.0.0:80`, `[::]:22`; sorted.
    ///
    /// # Errors
    /// No answer, or none that is the kernel's table.
    pub fn listeners(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = self.run(&format!("cat {table}"))?;
            all.extend(listening(&text).with_context(|| format!("{table}: {text}"))?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Waits until the intruder's shell answers.
    ///
    /// # Errors
    /// It does not within `limit`.
    pub fn wait_for_shell(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.run("echo here").is_ok_and(|said| said.contains("here")) {
            ensure!(Instant::now() < deadline, "the guest's shell does not answer");
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Waits until the web server answers with 200.
    ///
    /// # Errors
    /// It does not within `limit`.
    pub fn wait_for_web(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !get(self.web, "/").is_ok_and(|answer| answer.status == 200) {
            ensure!(
                Instant::now() < deadline,
                "the guest's web server does not answer"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}

/// Listeners of one of the kernel's tables (proc(5), /proc/net/tcp): state 0A; addresses as words of the host's order.
fn listening(table: &str) -> Result<Vec<String>> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    ensure!(head.contains("local_address"), "expected a table of sockets");
    let mut found = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, ..] = words[..] else {
            bail!("expected a socket, found {line}")
        };
        if state != "0A" {
            continue;
        }
        let (address, port) = local.split_once(':').context("a socket without a port")?;
        let port = u16::from_str_radix(port, 16)?;
        let mut bytes = Vec::new();
        for at in (0..address.len()).step_by(8) {
            let word = address.get(at..at + 8).context("an address of no whole words")?;
            bytes.extend(u32::from_str_radix(word, 16)?.to_le_bytes());
        }
        let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(four) => IpAddr::from(four),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice())?),
        };
        found.push(SocketAddr::new(address, port).to_string());
    }
    Ok(found)
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("port {port}"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An answer of a web server.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub text: String,
}

/// Asks for `path` once.
///
/// # Errors
/// No answer, or none that is HTTP.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    let stream = connect(port)?;
    (&stream).write_all(request(path, "close").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (status, length) = head(&mut reader)?;
    let mut body = Vec::new();
    let most = length.unwrap_or(MOST_BYTES).min(MOST_BYTES);
    reader.take(most).read_to_end(&mut body)?;
    Ok(Answer {
        status,
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn request(path: &str, connection: &str) -> String {
    // HTTP/1.0 for single ones: no chunks.
    let version = if connection == "close" { "1.0" } else { "1.1" };
    format!("GET {path} HTTP/{version}\r\nHost: appliance\r\nConnection: {connection}\r\n\r\n")
}

/// Status and length of what follows.
fn head(reader: &mut BufReader<TcpStream>) -> Result<(u16, Option<u64>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("expected a status, found {line:?}"))?;
    let mut length = None;
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the answer's head has no end");
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    Ok((status, length))
}

/// What a load came to.
#[derive(Debug)]
pub struct Load {
    /// Requests that were answered with 200 and the expected text.
    pub good: u64,
    /// The first other answer, if there was one.
    pub bad: Option<String>,
}

/// Asks for `/` over `connections` connections at once for `time`; each stops at its first wrong answer.
pub fn load(port: u16, connections: u64, time: Duration, expected: &str) -> Load {
    let good = AtomicU64::new(0);
    let deadline = Instant::now() + time;
    let bad = std::thread::scope(|scope| {
        let all: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| ask_until(port, deadline, expected, &good)))
            .collect();
        all.into_iter()
            .filter_map(|one| match one.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some("a thread panicked".to_owned()),
            })
            .next()
    });
    Load {
        good: good.into_inner(),
        bad,
    }
}

/// A hundred requests on each connection, then a new one.
fn ask_until(port: u16, deadline: Instant, expected: &str, good: &AtomicU64) -> Result<()> {
    while Instant::now() < deadline {
        let stream = connect(port)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        for _ in 0..100 {
            (&stream).write_all(request("/", "keep-alive").as_bytes())?;
            let (status, length) = head(&mut reader)?;
            let length = usize::try_from(length.context("an answer without a length")?)?;
            ensure!(length < 1 << 20, "expected a short answer, found {length} bytes");
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            ensure!(
                status == 200 && body == expected.as_bytes(),
                "expected 200 and `{expected}`, found {status} and `{}`",
                String::from_utf8_lossy(&body)
            );
            good.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_from_the_kernels_tables() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let four = format!(
            "{head}   0: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11\n   1: \
             0F02000A:1E61 0202000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12\n"
        );
        assert_eq!(listening(&four).unwrap(), ["127.0.0.1:8082"]);
        let six = format!(
            "{head}   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 13\n"
        );
        assert_eq!(listening(&six).unwrap(), ["[::1]:80"]);
        assert_eq!(listening(head).unwrap(), Vec::<String>::new());
        assert!(listening("cat: /proc/net/tcp: No such file\n").is_err());
        assert!(listening(&format!("{head}   0: 7F:1 0:0 0A\n")).is_err());
    }
}
