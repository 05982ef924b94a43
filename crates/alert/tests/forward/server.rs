//! Servers to send to: rsyslog out of Debian's package, OpenSSL's own, with certificates made by OpenSSL.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A certificate authority, a server's certificate for `logs.example`, a client's with its key.
pub struct Certificates {
    pub folder: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let ca = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem";
        made.openssl(ca);
        for (name, subject) in [("server", "logs.example"), ("client", "gate-7")] {
            made.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={subject} -addext subjectAltName=DNS:{subject} -keyout {name}.key -out {name}.csr"
            ));
            made.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy -out {name}.pem"
            ));
        }
        made
    }

    fn openssl(&self, words: &str) {
        let done = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(self.folder.path())
            .output()
            .expect("openssl: run tests/install-tools");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The client's certificate and key in one text.
    pub fn client(&self) -> Vec<u8> {
        [self.read("client.pem"), self.read("client.key")].concat()
    }
}

/// A process that is killed at the end.
pub struct Running {
    child: Child,
    pub port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn until_it_listens(mut command: Command, port: u16) -> Running {
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut running = Running { child, port };
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(running.child.try_wait().unwrap().is_none(), "the server ended");
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

/// rsyslog with TLS by OpenSSL, or by GnuTLS' driver if it is named; demands a client's certificate. Each message becomes
/// one line of `log`: priority, host name, program, process id, message id, structured data, message.
pub fn rsyslog(certificates: &Certificates, log: &Path) -> Running {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cache = std::env::var_os("BENNU_CACHE").map_or_else(|| top.join("target/cache"), PathBuf::from);
    let root = fs::canonicalize(cache.join("rsyslog")).expect("rsyslog: run tests/install-tools");
    let port = free_port();
    let modules = root.join("usr/lib/x86_64-linux-gnu/rsyslog");
    let file = |name: &str| certificates.path(name).display().to_string();
    let config = format!(
        r#"global(workDirectory="{work}" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}" maxMessageSize="32k")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="fields" type="string" string="%pri%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\n")
*.* action(type="omfile" file="{log}" template="fields")
"#,
        work = certificates.folder.path().display(),
        ca = file("ca.pem"),
        cert = file("server.pem"),
        key = file("server.key"),
        log = log.display(),
    );
    let path = certificates.path("rsyslog.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
    command
        .args(["-n", "-f"])
        .arg(&path)
        .arg("-i")
        .arg(certificates.path("rsyslog.pid"))
        .arg("-M")
        .arg(modules)
        .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    until_it_listens(command, port)
}

/// `openssl s_server` with arguments of its own.
pub fn openssl(certificates: &Certificates, arguments: &[&str]) -> Running {
    let port = free_port();
    let mut command = Command::new("openssl");
    command
        .args([
            "s_server",
            "-quiet",
            "-cert",
            "server.pem",
            "-key",
            "server.key",
            "-accept",
        ])
        .arg(format!("127.0.0.1:{port}"))
        .args(arguments)
        .current_dir(certificates.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    until_it_listens(command, port)
}
