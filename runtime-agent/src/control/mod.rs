//! The control socket: what `bennuctl` prints and Prometheus' numbers, by HTTP on a Unix socket. No TCP listener anywhere.
//!
//! Made: `/run/bennu/control.sock`, mode 0666. Reading needs no right, so nobody is asked who he is; what would change the
//! machine is not offered here. A request has two seconds and 8 KiB; after one answer the connection is closed. On failure a thread tells it once and ends; nothing else depends on it.

mod http;
mod metrics;

use crate::documents::DocumentError;
use crate::status::times::BootTimes;
use crate::status::{Sources, Status, verity};
use http::{Request, RequestError, Response};
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

/// Begins to answer on `path`.
///
/// # Errors
/// The socket cannot be made, or the system has no thread to give.
pub fn start(path: &Path, sources: Sources) -> io::Result<()> {
    match fs::remove_file(path) {
        // Of an agent that ran before.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    let shared = Arc::new((listener, sources));
    for _ in 0..THREADS {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("control".to_owned());
        // Never joined: it ends with the program.
        let _thread = thread.spawn(move || serve(&shared.0, &shared.1))?;
    }
    Ok(())
}

fn serve(listener: &UnixListener, sources: &Sources) {
    while let Ok((stream, _)) = listener.accept() {
        // Whoever went away in the middle gets nothing.
        let _lost = answer(stream, sources);
    }
}

fn answer(mut stream: UnixStream, sources: &Sources) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let response = match request(&mut stream, end)? {
        Ok(request) => respond(&request, sources),
        Err(error) => Response::refusal(error.status(), &error.to_string()),
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
        return Response::refusal(405, &format!("expected GET, found {}", request.method));
    }
    let answer = match request.path.as_str() {
        "/metrics" => status(sources).and_then(|status| {
            let times = boot_times(sources)?;
            Ok(Response::metrics(metrics::text(&status, &times)))
        }),
        "/v1/status" => status(sources).map(|status| json(&status)),
        "/v1/boot-times" => boot_times(sources).map(|times| json(&times)),
        other => {
            return Response::refusal(404, &format!("expected one of {PLACES}, found {other}"));
        }
    };
    answer.unwrap_or_else(|error| Response::refusal(503, &error.to_string()))
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
        Err(error) => Response::refusal(500, &error.to_string()),
    }
}
