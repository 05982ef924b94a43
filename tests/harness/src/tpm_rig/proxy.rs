//! The proxy's threads: one for the control channel, one for each data channel that QEMU hands over.
//!
//! The control thread ends when QEMU or swtpm ends, or when the proxy is dropped; it takes the data thread
//! with it and closes swtpm's channels, after which swtpm stores its state and ends.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::TpmRigError;
use super::channel::{gone_within, read_message, receive, send};
use super::command::{ResponseCode, TpmCommand};
use super::fault::{Rules, TpmFault, with_pcr};
use super::power::{self, Power, TpmPower};
use super::silence::Silence;
use super::traffic::{Message, Origin, Traffic};
use crate::polling::{is_end, wait};

/// swtpm takes some milliseconds from making its socket to listening on it; seconds on a busy host.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
/// More than any control command that QEMU sends at once, in bytes.
const CONTROL_BUFFER: usize = 16 << 10;

#[derive(Debug)]
struct Shared {
    started: Instant,
    record: bool,
    rules: Mutex<Rules>,
    power: Power,
    silence: Silence,
    traffic: Mutex<Traffic>,
    trouble: Mutex<Vec<Arc<TpmRigError>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn note(&self, origin: Origin, bytes: &[u8]) {
        if self.record {
            lock(&self.traffic).push(Message {
                at: self.started.elapsed(),
                origin,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Keeps an error, unless it only says that the machine's power is off.
    fn fail(&self, error: TpmRigError) {
        match error {
            TpmRigError::Channel { source, .. } if is_end(&source) => {}
            other => lock(&self.trouble).push(Arc::new(other)),
        }
    }
}

/// What a story asks of a proxy, also after its end.
#[derive(Debug, Clone)]
pub struct TpmWatch(Arc<Shared>);

impl TpmWatch {
    /// How often the fault at this place of the list struck: delayed, answered, injected with success,
    /// swapped or dropped. 0 for [`TpmFault::Record`].
    #[must_use]
    pub fn struck(&self, number: usize) -> u32 {
        lock(&self.0.rules).struck(number)
    }

    /// What crossed the wire so far; empty without [`TpmFault::Record`].
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        lock(&self.0.traffic).clone()
    }

    /// Does this to the TPM before the guest's next command.
    pub fn power(&self, what: TpmPower) {
        self.0.power.ask(what);
    }

    /// How often that has happened.
    #[must_use]
    pub fn powered(&self) -> u32 {
        self.0.power.done()
    }

    /// From now on the TPM says nothing.
    pub fn silence(&self) {
        self.0.silence.set(true);
    }

    /// It answers again.
    pub fn answer(&self) {
        self.0.silence.set(false);
    }

    /// How many commands have met a silent TPM.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.0.silence.held()
    }

    /// What went wrong with the proxy itself. A story that relies on a fault demands that this is empty.
    #[must_use]
    pub fn trouble(&self) -> Vec<Arc<TpmRigError>> {
        lock(&self.0.trouble).clone()
    }

    /// Writes `tpm-traffic.bin` and `tpm-traffic.txt` to `folder` if there is [`TpmFault::Record`].
    ///
    /// # Errors
    /// [`TpmRigError::Record`].
    pub fn write(&self, folder: &Path) -> Result<(), TpmRigError> {
        if !self.0.record {
            return Ok(());
        }
        self.traffic()
            .write(folder)
            .map_err(|source| TpmRigError::Record {
                folder: folder.display().to_string(),
                source,
            })
    }
}

/// swtpm's socket is there a moment before swtpm listens on it. It cannot be asked by a connection of its own: swtpm
/// ends with the first one.
fn connect_when_it_listens(socket: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + LISTENS_WITHIN;
    loop {
        match UnixStream::connect(socket) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// A running proxy. Dropped, it ends its threads and closes both sides.
#[derive(Debug)]
pub struct TpmProxy {
    watch: TpmWatch,
    stop: Option<UnixStream>,
    control: Option<JoinHandle<()>>,
}

impl TpmProxy {
    /// Connects to swtpm's control socket and offers one for QEMU at `listen`, which must not exist. Both
    /// paths have at most 107 bytes.
    ///
    /// # Errors
    /// [`TpmRigError::Connect`], [`TpmRigError::Listen`].
    pub fn start(listen: &Path, swtpm: &Path, faults: Vec<TpmFault>) -> Result<Self, TpmRigError> {
        let connect = |source| TpmRigError::Connect {
            socket: swtpm.display().to_string(),
            source,
        };
        let offer = |source| TpmRigError::Listen {
            socket: listen.display().to_string(),
            source,
        };
        let swtpm = connect_when_it_listens(swtpm).map_err(connect)?;
        let listener = UnixListener::bind(listen).map_err(offer)?;
        let (stop, stopped) = UnixStream::pair().map_err(offer)?;
        let (power, asking) = Power::new().map_err(offer)?;
        let rules = Rules::new(faults);
        let shared = Arc::new(Shared {
            started: Instant::now(),
            record: rules.record(),
            rules: Mutex::new(rules),
            power,
            silence: Silence::default(),
            traffic: Mutex::default(),
            trouble: Mutex::default(),
        });
        let watch = TpmWatch(Arc::clone(&shared));
        let control = std::thread::Builder::new()
            .name("tpm-proxy".to_owned())
            .spawn(move || {
                if let Err(source) = control(&listener, &swtpm, &stopped, &asking, &shared) {
                    let channel = "control channel";
                    shared.fail(TpmRigError::Channel { channel, source });
                }
            })
            .map_err(offer)?;
        Ok(Self {
            watch,
            stop: Some(stop),
            control: Some(control),
        })
    }

    /// A handle that outlives the proxy.
    #[must_use]
    pub fn watch(&self) -> TpmWatch {
        self.watch.clone()
    }

    /// Ends the threads and closes both sides. Harmless when they have ended.
    pub fn finish(&mut self) {
        // The control thread sees the end of its stop channel.
        self.stop = None;
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            eprintln!("the TPM proxy's thread panicked");
        }
    }
}

impl Drop for TpmProxy {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Passes control commands on until one side ends; takes QEMU's data channel for itself.
fn control(
    listener: &UnixListener,
    swtpm: &UnixStream,
    stopped: &UnixStream,
    asking: &UnixStream,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let [_, stop, gone] = wait([listener.as_fd(), stopped.as_fd(), swtpm.as_fd()])?;
    if stop || gone {
        return Ok(());
    }
    let (qemu, _) = listener.accept()?;
    let mut data: Option<DataChannel> = None;
    let mut buffer = vec![0; CONTROL_BUFFER];
    loop {
        let [command, answer, stop, asked] =
            wait([qemu.as_fd(), swtpm.as_fd(), stopped.as_fd(), asking.as_fd()])?;
        if stop {
            return Ok(());
        }
        if asked {
            power::initialise(swtpm, asking)?;
            continue;
        }
        if answer {
            let (length, _) = receive(swtpm, &mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            send(&qemu, &buffer[..length], None)?;
        }
        if command {
            let (length, descriptor) = receive(&qemu, &mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let Some(descriptor) = descriptor else {
                send(swtpm, &buffer[..length], None)?;
                continue;
            };
            let (ours, theirs) = UnixStream::pair()?;
            // An earlier channel ends first: QEMU has left it.
            drop(data.take());
            data = Some(DataChannel::start(UnixStream::from(descriptor), ours, shared)?);
            send(swtpm, &buffer[..length], Some(theirs.as_fd()))?;
        }
    }
}

/// The thread of one data channel, and what ends it.
struct DataChannel {
    guest: UnixStream,
    tpm: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl DataChannel {
    fn start(guest: UnixStream, tpm: UnixStream, shared: &Arc<Shared>) -> io::Result<Self> {
        guest.set_nonblocking(false)?;
        let (guest_end, tpm_end) = (guest.try_clone()?, tpm.try_clone()?);
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("tpm-proxy-data".to_owned())
            .spawn(move || {
                if let Err(source) = serve(guest_end, tpm_end, &shared) {
                    let channel = "data channel";
                    shared.fail(TpmRigError::Channel { channel, source });
                }
            })?;
        Ok(Self {
            guest,
            tpm,
            thread: Some(thread),
        })
    }
}

impl Drop for DataChannel {
    fn drop(&mut self) {
        for end in [&self.guest, &self.tpm] {
            // An end that is closed already cannot be shut down, and need not be.
            let _ = end.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the TPM proxy's data thread panicked");
        }
    }
}

/// Passes TPM commands and responses on, under the rules, until one side ends.
fn serve(mut guest: UnixStream, mut tpm: UnixStream, shared: &Shared) -> io::Result<()> {
    while let Some(request) = read_message(&mut guest)? {
        if shared.silence.hold(&guest)? {
            return Ok(());
        }
        if let Some(what) = shared.power.take() {
            cut_power(&mut tpm, what, shared)?;
        }
        shared.note(Origin::Guest, &request);
        let plan = lock(&shared.rules).plan(&request);
        if !plan.delay.is_zero() && gone_within(&guest, plan.delay)? {
            return Ok(());
        }
        for (number, command) in plan.inject {
            inject(&mut tpm, number, &command, shared)?;
        }
        if let Some(code) = plan.answer {
            let answer = code.response();
            shared.note(Origin::Forged, &answer);
            guest.write_all(&answer)?;
            continue;
        }
        let request = match plan.pcr {
            Some(other) => with_pcr(request, other),
            None => request,
        };
        tpm.write_all(&request)?;
        let Some(mut response) = read_message(&mut tpm)? else {
            return Ok(());
        };
        shared.note(Origin::Tpm, &response);
        if let Some(number) = plan.drop {
            lock(&shared.rules).strike(number);
            return guest.shutdown(Shutdown::Both);
        }
        if let Some(forged) = lock(&shared.rules).forge(&request, &response) {
            shared.note(Origin::Forged, &forged);
            response = forged;
        }
        guest.write_all(&response)?;
    }
    Ok(())
}

/// Takes the TPM's power and gives it back.
fn cut_power(tpm: &mut UnixStream, what: TpmPower, shared: &Shared) -> io::Result<()> {
    let mut good = true;
    if let Some(command) = what.before() {
        good &= exchange(tpm, &command, shared)?;
    }
    shared.power.initialise()?;
    good &= exchange(tpm, &what.after(), shared)?;
    if good {
        shared.power.count();
    }
    Ok(())
}

/// Sends a command of a rule's.
fn inject(tpm: &mut UnixStream, number: usize, command: &[u8], shared: &Shared) -> io::Result<()> {
    if exchange(tpm, command, shared)? {
        lock(&shared.rules).strike(number);
    }
    Ok(())
}

/// Sends a command of the rig's own; whether the TPM took it. One that refuses it is the rig's trouble.
fn exchange(tpm: &mut UnixStream, command: &[u8], shared: &Shared) -> io::Result<bool> {
    shared.note(Origin::Injected, command);
    tpm.write_all(command)?;
    let response = read_message(tpm)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    shared.note(Origin::TpmToInjected, &response);
    let code = ResponseCode::of(&response).unwrap_or(ResponseCode::FAILURE);
    if code == ResponseCode::SUCCESS {
        return Ok(true);
    }
    shared.fail(TpmRigError::Injected {
        command: TpmCommand::of(command).unwrap_or(TpmCommand(0)),
        code,
    });
    Ok(false)
}
