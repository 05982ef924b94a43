//! A software TPM per test, a policy signer, and transports that interfere.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bennu_tpm::{
    Client, HashAlg, PcrValues, Recorder, ReleasePolicy, RsaPublic, SealLocal, SealPolicy, Socket, SrkTrust,
    Transport, TransportError, policy_pcr_digest,
};
use tempfile::TempDir;

pub const POLICY_REF: &[u8] = b"bennu-state-v1";
pub const SECRET: &[u8] = b"the volume key, 32 bytes of it..";
/// Command codes that the interfering transports look for.
pub const CC_UNSEAL: u32 = 0x15E;
pub const CC_START_AUTH_SESSION: u32 = 0x176;

pub type Unix = Socket<UnixStream>;

/// swtpm with its own state directory; ends with the test.
pub struct Swtpm {
    process: Child,
    directory: TempDir,
    port: Option<u16>,
}

impl Swtpm {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// With only these PCR banks active, for example `sha1,sha256`.
    pub fn with_banks(banks: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // swtpm_setup's own configuration points to a system CA that other users cannot read.
        let config = directory.path().join("setup.conf");
        std::fs::write(&config, "").unwrap();
        run(Command::new("swtpm_setup")
            .args(["--tpm2", "--overwrite", "--pcr-banks", banks, "--config"])
            .arg(&config)
            .arg("--tpmstate")
            .arg(directory.path()));
        Self::start_in(directory)
    }

    pub fn start_in(directory: TempDir) -> Self {
        let socket = directory.path().join("sock");
        let server = format!("type=unixio,path={}", socket.display());
        let process = spawn(directory.path(), &["--server", &server]);
        let swtpm = Self {
            process,
            directory,
            port: None,
        };
        wait_for(|| UnixStream::connect(&socket).is_ok());
        swtpm
    }

    /// On TCP, with a control channel, as tpm2-tools want it.
    pub fn start_tcp() -> Self {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let Some(port) = free_port_pair() else { continue };
            let server = format!("type=tcp,port={port}");
            let control = format!("type=tcp,port={}", port + 1);
            let process = spawn(directory.path(), &["--server", &server, "--ctrl", &control]);
            let mut swtpm = Self {
                process,
                directory,
                port: Some(port),
            };
            // Another test may have taken the port in between; then swtpm has ended.
            let deadline = Instant::now() + Duration::from_secs(10);
            while swtpm.process.try_wait().unwrap().is_none() && Instant::now() < deadline {
                if TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
                    return swtpm;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("no free pair of ports for swtpm");
    }

    pub fn connect(&self) -> Client<Unix> {
        Client::new(self.transport())
    }

    pub fn transport(&self) -> Unix {
        Socket::unix(&self.directory.path().join("sock")).unwrap()
    }

    pub fn connect_tcp(&self) -> Client<Socket<TcpStream>> {
        Client::new(Socket::tcp(self.port.unwrap()).unwrap())
    }

    pub fn record(&self) -> Client<Recorder<Unix>> {
        Client::new(Recorder::new(self.transport()))
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs one of tpm2-tools against this TPM; gives its standard output. No client may be connected.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let tcti = format!("swtpm:host=127.0.0.1,port={}", self.port.unwrap());
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env("TPM2TOOLS_TCTI", tcti)
            .current_dir(self.directory.path());
        run(&mut command)
    }

    /// Power cut and power on: PCRs are reset, the state directory stays.
    pub fn restart(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        std::fs::remove_file(directory.path().join("sock")).ok();
        Self::start_in(directory)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(state: &Path, arguments: &[&str]) -> Child {
    Command::new("swtpm")
        .args([
            "socket",
            "--tpm2",
            "--flags",
            "not-need-init,startup-clear",
            "--tpmstate",
        ])
        .arg(format!("dir={}", state.display()))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("swtpm must be installed")
}

fn free_port_pair() -> Option<u16> {
    let first = TcpListener::bind(("127.0.0.1", 0)).ok()?;
    let port = first.local_addr().ok()?.port();
    TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
    Some(port)
}

fn wait_for(mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(Instant::now() < deadline, "swtpm did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A holder of a policy key; signs with openssl.
pub struct Signer {
    directory: TempDir,
    pub public: RsaPublic,
}

impl Signer {
    /// The release signer: one key for all tests of a binary.
    pub fn ours() -> &'static Self {
        static OURS: OnceLock<Signer> = OnceLock::new();
        OURS.get_or_init(Self::generate)
    }

    /// Somebody else's key.
    pub fn stranger() -> &'static Self {
        static STRANGER: OnceLock<Signer> = OnceLock::new();
        STRANGER.get_or_init(Self::generate)
    }

    fn generate() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key.pem");
        run(Command::new("openssl")
            .args([
                "genpkey",
                "-quiet",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
                "-out",
            ])
            .arg(&key));
        let text = run(Command::new("openssl")
            .args(["rsa", "-noout", "-modulus", "-in"])
            .arg(&key));
        let modulus = hex::decode(text.trim().strip_prefix("Modulus=").unwrap()).unwrap();
        Self {
            directory,
            public: RsaPublic::new(&modulus).unwrap(),
        }
    }

    /// Writes the public key as PEM for tpm2-tools.
    pub fn write_public(&self, path: &Path) {
        let key = self.directory.path().join("key.pem");
        run(Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(key)
            .arg("-out")
            .arg(path));
    }

    pub fn sign(&self, policy: &[u8; 32], policy_ref: &[u8]) -> [u8; 256] {
        let work = tempfile::tempdir().unwrap();
        let message = work.path().join("message");
        let signature = work.path().join("signature");
        std::fs::write(&message, [policy, policy_ref].concat()).unwrap();
        run(Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(self.directory.path().join("key.pem"))
            .arg("-out")
            .arg(&signature)
            .arg(&message));
        std::fs::read(signature).unwrap().try_into().unwrap()
    }

    pub fn seal_policy(&self) -> SealPolicy<'_> {
        SealPolicy {
            authorize_key: &self.public,
            policy_ref: POLICY_REF,
            srk: SrkTrust::FirstUse,
            local: SealLocal::default(),
        }
    }

    /// A release for PCRs 11, 12, 13 and 15 all zero.
    pub fn release(&self) -> ReleasePolicy {
        self.release_for(zero_pcrs())
    }

    pub fn release_for(&self, pcrs: PcrValues) -> ReleasePolicy {
        let approved_policy = policy_pcr_digest(&pcrs);
        ReleasePolicy {
            pcrs,
            nv: None,
            approved_policy,
            signature: self.sign(&approved_policy, POLICY_REF),
            key: self.public,
            policy_ref: POLICY_REF.to_vec(),
        }
    }
}

pub fn zero_pcrs() -> PcrValues {
    [11, 12, 13, 15]
        .into_iter()
        .fold(PcrValues::empty(HashAlg::Sha256), |values, pcr| {
            values.with(pcr, &[0; 32]).unwrap()
        })
}

/// The code of a command, or of a response.
pub fn code_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[6..10].try_into().unwrap())
}

/// A transport with somebody in the middle.
pub struct Meddler<T, F> {
    pub inner: T,
    pub meddle: F,
}

impl<T: Transport, F> Transport for Meddler<T, F>
where
    F: FnMut(&mut T, &[u8]) -> Result<Vec<u8>, TransportError>,
{
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (self.meddle)(&mut self.inner, command)
    }
}

/// A client whose traffic goes through `meddle`.
pub fn meddled<T, F>(inner: T, meddle: F) -> Client<Meddler<T, F>>
where
    T: Transport,
    F: FnMut(&mut T, &[u8]) -> Result<Vec<u8>, TransportError>,
{
    Client::new(Meddler { inner, meddle })
}
