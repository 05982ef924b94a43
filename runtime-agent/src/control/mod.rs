//! The control socket: what `bennuctl` prints and Prometheus' numbers, by HTTP on a Unix socket. No TCP listener anywhere.
//!
//! Made: `/run/bennu/control.sock`, mode 0666. Whoever is there may read; what makes `bennud` do something is for root, by
//! the kernel's word on who asks (`SO_PEERCRED`), and told with his process. Nothing here makes the machine less strict: root
//! is whom it is watched for. A request has two seconds and 8 KiB; after one answer the connection is closed. On failure a
//! thread ends; nothing else depends on it.

pub mod client;
mod http;
mod metrics;

use crate::console::Console;
use crate::documents::DocumentError;
use crate::scrub::{Scrubber, Wish};
use crate::status::times::BootTimes;
use crate::status::{Sources, Status, verity};
use bennu_linux::kmsg::Level;
use http::{Request, RequestError, Response};
use rustix::net::UCred;
use rustix::net::sockopt::socket_peercred;
use serde::Serialize;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that answer: one that asks slowly does not keep the others waiting.
const THREADS: usize = 4;
/// Time for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked, and what can be made to do something.
struct Served {
    sources: Sources,
    scrubber: Scrubber,
}

/// Begins to answer on `path`.
///
/// # Errors
/// The socket cannot be made, or the system has no thread to give.
pub fn start(path: &Path, sources: Sources, scrubber: Scrubber) -> io::Result<()> {
    match fs::remove_file(path) {
        // Of an agent that ran before.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    let shared = Arc::new((listener, Served { sources, scrubber }));
    for _ in 0..THREADS {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("control".to_owned());
        // Never joined: it ends with the program.
        let _thread = thread.spawn(move || serve(&shared.0, &shared.1))?;
    }
    Ok(())
}

fn serve(listener: &UnixListener, served: &Served) {
    while let Ok((stream, _)) = listener.accept() {
        // Whoever went away in the middle gets nothing.
        let _lost = answer(stream, served);
    }
}

fn answer(mut stream: UnixStream, served: &Served) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let response = match request(&mut stream, end)? {
        Ok(request) if request.method == "POST" => act(&request, served, socket_peercred(&stream)?),
        Ok(request) => respond(&request, &served.sources),
        Err(error) => Response::words(error.status(), &error.to_string()),
    };
    stream.write_all(&response.encode())
}

/// The request's head; a body is not read, because none is expected.
fn request(stream: &mut UnixStream, end: Instant) -> io::Result<Result<Request, RequestError>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(RequestError::Slow));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(Err(RequestError::Incomplete)),
            Ok(count) => head.extend(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Err(RequestError::Slow)),
            Err(error) => return Err(error),
        }
        match Request::parse(&head) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn respond(request: &Request, sources: &Sources) -> Response {
    const PLACES: &str = "/metrics, /v1/status, /v1/boot-times";
    if request.method != "GET" {
        let words = format!("expected GET or POST, found {}", request.method);
        return Response::words(405, &words);
    }
    let answer = match request.path.as_str() {
        "/metrics" => status(sources).and_then(|status| {
            let times = boot_times(sources)?;
            Ok(Response::metrics(metrics::text(&status, &times)))
        }),
        "/v1/status" => status(sources).map(|status| json(&status)),
        "/v1/boot-times" => boot_times(sources).map(|times| json(&times)),
        other => {
            return Response::words(404, &format!("expected one of {PLACES}, found {other}"));
        }
    };
    answer.unwrap_or_else(|error| Response::words(503, &error.to_string()))
}

/// What root may ask for.
fn act(request: &Request, served: &Served, peer: UCred) -> Response {
    if request.path != "/v1/scrub" {
        let words = format!("expected POST of /v1/scrub, found {}", request.path);
        return Response::words(405, &words);
    }
    if !peer.uid.is_root() {
        let words = format!("expected user 0, found {}", peer.uid.as_raw());
        return Response::words(403, &words);
    }
    let (status, words) = match served.scrubber.wish() {
        Wish::Begins => (202, "the scrub of both slots begins"),
        Wish::Runs => (202, "the scrub of both slots is on its way already"),
        Wish::Off => (
            409,
            "there is no scrub: the image asks for none, or its slot is not marked good yet",
        ),
    };
    let pid = peer.pid.as_raw_nonzero();
    let told = format!("asked for a scrub by process {pid} of root: {words}");
    Console::open().say(Level::Notice, &told);
    Response::words(status, words)
}

fn status(sources: &Sources) -> Result<Status, DocumentError> {
    Status::gather(sources, verity::ask)
}

fn boot_times(sources: &Sources) -> Result<BootTimes, DocumentError> {
    Ok(BootTimes::of(sources.handover()?, sources.health()?.as_ref()))
}

fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(bytes) => Response::json(bytes),
        Err(error) => Response::words(500, &error.to_string()),
    }
}
