//! The server's thread, and the story's hold on the disk while it runs.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::DiskRigError;
use super::fault::{DiskFault, Survivors};
use super::nbd::{self, NbdError, Request};
use super::store::{CutReport, Held, Refusal, Store};
use crate::polling::{is_end, wait};

/// A client that stops in the middle of a request is given up after this: QEMU never does.
const STALLED: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    trouble: Mutex<Vec<Arc<DiskRigError>>>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: DiskRigError) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.push(Arc::new(error));
    }
}

/// What a story asks of a disk, also after its end.
#[derive(Debug, Clone)]
pub struct DiskWatch(Arc<Shared>);

impl DiskWatch {
    /// How many requests the fault at this place of the list spoilt.
    #[must_use]
    pub fn struck(&self, number: usize) -> u32 {
        self.0.store().struck(number)
    }

    /// How often the most-read sector in the range of the fault at this place of the list was read.
    #[must_use]
    pub fn reads(&self, number: usize) -> u32 {
        self.0.store().reads(number)
    }

    /// From now on the fault at this place of the list strikes each read, whatever its numbers say.
    pub fn turn_on(&self, number: usize) {
        self.0.store().turn_on(number);
    }

    /// What has been written and not flushed.
    #[must_use]
    pub fn held(&self) -> Held {
        self.0.store().held()
    }

    /// What went wrong with the server itself. A story that relies on a fault demands that this is empty.
    #[must_use]
    pub fn trouble(&self) -> Vec<Arc<DiskRigError>> {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }
}

/// A served disk. Dropped, it ends its thread and keeps every write, unless its power was cut.
#[derive(Debug)]
pub struct DiskRig {
    shared: Arc<Shared>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl DiskRig {
    /// Serves the raw image at `image` on a socket at `socket`, which must not exist and whose path has at
    /// most 107 bytes. Nobody else may write the image meanwhile.
    ///
    /// # Errors
    /// [`DiskRigError::Image`], [`DiskRigError::Size`], [`DiskRigError::Fault`], [`DiskRigError::Listen`].
    pub fn start(image: &Path, socket: &Path, faults: Vec<DiskFault>) -> Result<Self, DiskRigError> {
        let offer = |source| DiskRigError::Listen {
            socket: socket.to_owned(),
            source,
        };
        let store = Store::open(image, faults)?;
        let listener = UnixListener::bind(socket).map_err(offer)?;
        let (stop, stopped) = UnixStream::pair().map_err(offer)?;
        let shared = Arc::new(Shared {
            store: Mutex::new(store),
            trouble: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("disk-rig".to_owned())
            .spawn(move || listen(&listener, &stopped, &served))
            .map_err(offer)?;
        Ok(Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// A handle that outlives the server.
    #[must_use]
    pub fn watch(&self) -> DiskWatch {
        DiskWatch(Arc::clone(&self.shared))
    }

    /// Cuts the disk's power at this instant: of the writes since the last flush only the survivors are on
    /// the image. Requests get no answer any more, so that the guest cannot tell; kill it next.
    ///
    /// # Errors
    /// [`DiskRigError::Off`] the second time, [`DiskRigError::Image`].
    pub fn cut(&self, survivors: Survivors) -> Result<CutReport, DiskRigError> {
        self.shared.store().cut(survivors)
    }

    /// Ends the server. What is held goes to the image, for the drive keeps its power; after a cut nothing
    /// is held. Harmless when it has ended.
    ///
    /// # Errors
    /// [`DiskRigError::Image`].
    pub fn finish(&mut self) -> Result<(), DiskRigError> {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the disk rig's thread panicked");
        }
        self.shared.store().flush()
    }
}

impl Drop for DiskRig {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("end the disk rig: {error}");
        }
    }
}

/// Serves one client after the other, until the rig ends.
fn listen(listener: &UnixListener, stopped: &UnixStream, shared: &Shared) {
    loop {
        let served = match wait([listener.as_fd(), stopped.as_fd()]) {
            Ok([_, true]) => return,
            Ok(_) => accept(listener, stopped, shared),
            Err(error) => Err(error.into()),
        };
        match served {
            Ok(true) => {}
            Ok(false) => return,
            // QEMU was killed in the middle of a request.
            Err(NbdError::Io(error)) if is_end(&error) => {}
            Err(error) => shared.fail(error.into()),
        }
    }
}

/// Serves one client to its end; `false` when the rig ends.
fn accept(listener: &UnixListener, stopped: &UnixStream, shared: &Shared) -> Result<bool, NbdError> {
    let (mut client, _) = listener.accept()?;
    client.set_read_timeout(Some(STALLED))?;
    let bytes = shared.store().bytes();
    if !nbd::negotiate(&mut client, bytes)? {
        return Ok(true);
    }
    loop {
        let [_, stop] = wait([client.as_fd(), stopped.as_fd()])?;
        if stop {
            return Ok(false);
        }
        let Some(request) = nbd::read_request(&mut client)? else {
            return Ok(true);
        };
        let (cookie, result) = match request {
            Request::Disconnect => return Ok(true),
            request => answer(request, shared),
        };
        if shared.store().is_off() {
            // No answer, and no end of the connection that the guest could see.
            wait([stopped.as_fd()])?;
            return Ok(false);
        }
        match result {
            Ok(content) => nbd::reply(&mut client, cookie, 0, &content)?,
            Err(error) => nbd::reply(&mut client, cookie, error, &[])?,
        }
    }
}

/// Does what the request wants: content or an NBD error.
fn answer(request: Request, shared: &Shared) -> (u64, Result<Vec<u8>, u32>) {
    let mut store = shared.store();
    if store.is_off() {
        return (0, Err(nbd::EIO));
    }
    let (cookie, done) = match request {
        Request::Read {
            cookie,
            offset,
            length,
        } => (cookie, store.read(offset, length)),
        Request::Write {
            cookie,
            offset,
            bytes,
            fua,
        } => (cookie, store.write(offset, bytes, fua).map(|()| Vec::new())),
        Request::Flush { cookie } => {
            let flushed = store.flush().map_err(Refusal::Image);
            (cookie, flushed.map(|()| Vec::new()))
        }
        Request::Disconnect => (0, Ok(Vec::new())),
    };
    let done = done.map_err(|refusal| match refusal {
        Refusal::OutOfRange => nbd::EINVAL,
        Refusal::Fault => nbd::EIO,
        Refusal::Image(error) => {
            shared.fail(error);
            nbd::EIO
        }
    });
    (cookie, done)
}
