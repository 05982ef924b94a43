//! One TPM behind a [`Transport`]: builds command frames (Part 1, 18), runs them, checks responses.
//!
//! The typed commands are in the `command` modules. Frames that the TPM was too busy for are sent again, the
//! same bytes, a bounded number of times.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::code::{ResponseCode, rh, st};
use crate::error::TpmError;
use crate::hash::sha256;
use crate::session::{Answer, Auth, Encrypted};
use crate::transport::{Transport, check_length};
use crate::wire::{Reader, WireError, Writer};

/// Times a command is sent while the TPM answers that it is busy. With the delays below about 5 s in all,
/// after the seconds the kernel's driver has already waited itself.
const SEND_ATTEMPTS: u32 = 12;
/// First delay before sending again; doubles up to [`RESEND_DELAY_MAX_MS`].
const RESEND_DELAY_MS: u64 = 5;
/// Longest delay before sending again.
const RESEND_DELAY_MAX_MS: u64 = 1000;

/// A TPM 2.0. One command at a time; nothing is cached.
#[derive(Debug)]
pub struct Client<T> {
    transport: T,
}

/// A handle and the Name that goes into the command's hash for it.
pub(crate) struct Handle {
    value: u32,
    /// Name of an object or NV index; `None` for PCRs, hierarchies and sessions, which are named by their
    /// handle (Part 1, 16).
    name: Option<[u8; crate::Name::SIZE]>,
}

impl Handle {
    pub(crate) fn plain(value: u32) -> Self {
        Self { value, name: None }
    }

    pub(crate) fn named(value: u32, name: &crate::Name) -> Self {
        Self {
            value,
            name: Some(*name.as_bytes()),
        }
    }
}

/// A command about to be sent.
pub(crate) struct Call<'a> {
    /// Name as in Part 3, for error texts.
    pub(crate) name: &'static str,
    pub(crate) code: u32,
    pub(crate) handles: &'a [Handle],
    pub(crate) auth: Option<Auth<'a>>,
    pub(crate) encrypted: Encrypted,
    pub(crate) parameters: Writer,
    /// The response begins with a handle.
    pub(crate) returns_handle: bool,
    /// authValue the TPM uses for the response, if the command changes it.
    pub(crate) new_auth_value: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(name: &'static str, code: u32, handles: &'a [Handle], parameters: Writer) -> Self {
        Self {
            name,
            code,
            handles,
            auth: None,
            encrypted: Encrypted::NONE,
            parameters,
            returns_handle: false,
            new_auth_value: None,
        }
    }

    pub(crate) fn auth(mut self, auth: Auth<'a>, encrypted: Encrypted) -> Self {
        self.auth = Some(auth);
        self.encrypted = encrypted;
        self
    }

    pub(crate) fn new_auth_value(mut self, auth_value: &'a [u8]) -> Self {
        self.new_auth_value = Some(auth_value);
        self
    }

    pub(crate) fn returns_handle(mut self) -> Self {
        self.returns_handle = true;
        self
    }
}

/// A successful response: first handle (0 when there is none) and decrypted parameters.
pub(crate) struct Reply {
    name: &'static str,
    pub(crate) handle: u32,
    parameters: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// Decodes the parameters, to the last byte.
    pub(crate) fn decode<R>(
        &self,
        decoder: impl FnOnce(&mut Reader<'_>) -> Result<R, WireError>,
    ) -> Result<R, TpmError> {
        let mut reader = Reader::new(&self.parameters);
        decoder(&mut reader)
            .and_then(|value| reader.end("response parameters").map(|()| value))
            .map_err(|source| TpmError::Malformed {
                command: self.name,
                source,
            })
    }

    /// Succeeds when there are no parameters.
    pub(crate) fn nothing(&self) -> Result<(), TpmError> {
        self.decode(|_| Ok(()))
    }
}

impl<T: Transport> Client<T> {
    /// A client that sends its commands through `transport`.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// The transport, for tests that look at what went through it.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Runs one command.
    pub(crate) fn run(&mut self, mut call: Call<'_>) -> Result<Reply, TpmError> {
        let mut parameters = call.parameters.clone().finish().map_err(TpmError::Encode)?;
        let area = match &mut call.auth {
            None => None,
            Some(Auth::Password(password)) => Some(password_area(password)),
            Some(Auth::Session { session, auth_value }) => {
                session.begin(call.encrypted, auth_value, &mut parameters)?;
                let hash = cp_hash(call.code, call.handles, &parameters);
                let (attributes, hmac) = session.authorize(call.encrypted, auth_value, &hash);
                let area = Writer::new().u32(session.handle()).sized(session.nonce_caller());
                Some(area.u8(attributes).sized(&hmac))
            }
        };
        let frame = frame(&call, area, &parameters)?;
        let response = Zeroizing::new(self.send(call.name, &frame)?);
        open_response(call, &response)
    }

    /// Sends until the TPM is not busy; gives the response if its code is success.
    fn send(&mut self, command: &'static str, frame: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut delay_ms = RESEND_DELAY_MS;
        for attempt in 1..=SEND_ATTEMPTS {
            let response = self.transport.transact(frame)?;
            check_length(response.len())?;
            let code = response_code(&response).map_err(|source| TpmError::Malformed { command, source })?;
            match code {
                None => return Ok(response),
                Some(code) if !code.asks_to_resend() => return Err(TpmError::Refused { command, code }),
                Some(code) if attempt == SEND_ATTEMPTS => {
                    return Err(TpmError::Busy {
                        command,
                        code,
                        attempts: attempt,
                    });
                }
                Some(_) => std::thread::sleep(Duration::from_millis(delay_ms)),
            }
            delay_ms = (delay_ms * 2).min(RESEND_DELAY_MAX_MS);
        }
        Err(TpmError::Busy {
            command,
            code: ResponseCode::RETRY,
            attempts: SEND_ATTEMPTS,
        })
    }
}

/// TPMS_AUTH_COMMAND with a plain password.
fn password_area(password: &[u8]) -> Writer {
    Writer::new().u32(rh::PASSWORD).sized(&[]).u8(0).sized(password)
}

/// Hash over what the session authorizes (Part 1, 16.7).
fn cp_hash(code: u32, handles: &[Handle], parameters: &[u8]) -> [u8; 32] {
    let mut names = Vec::with_capacity(handles.len() * crate::Name::SIZE);
    for handle in handles {
        match &handle.name {
            Some(name) => names.extend_from_slice(name),
            None => names.extend_from_slice(&handle.value.to_be_bytes()),
        }
    }
    sha256(&[&code.to_be_bytes(), &names, parameters])
}

/// Header, handles, authorization area, parameters.
fn frame(call: &Call<'_>, area: Option<Writer>, parameters: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    let tag = if area.is_some() {
        st::SESSIONS
    } else {
        st::NO_SESSIONS
    };
    let mut body = call
        .handles
        .iter()
        .fold(Writer::new(), |body, handle| body.u32(handle.value));
    if let Some(area) = area {
        let area = area.finish().map_err(TpmError::Encode)?;
        body = body.u32(size_u32(area.len())).raw(&area);
    }
    let body = body.raw(parameters).finish().map_err(TpmError::Encode)?;
    let header = Writer::new()
        .u16(tag)
        .u32(size_u32(body.len() + 10))
        .u32(call.code);
    header.raw(&body).finish().map_err(TpmError::Encode)
}

/// A length below MAX_FRAME as the TPM's 32-bit size.
fn size_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Checks the header; `None` is success.
fn response_code(response: &[u8]) -> Result<Option<ResponseCode>, WireError> {
    let mut reader = Reader::new(response);
    reader.u16("response tag")?;
    let size = reader.u32("response size")?;
    if size != size_u32(response.len()) {
        return Err(WireError::Unexpected {
            field: "response size",
            expected: u64::from(size_u32(response.len())),
            found: size.into(),
        });
    }
    let code = reader.u32("response code")?;
    Ok((code != 0).then_some(ResponseCode(code)))
}

/// Takes a successful response apart and checks its authorization area.
fn open_response(call: Call<'_>, response: &[u8]) -> Result<Reply, TpmError> {
    let command = call.name;
    let malformed = |source| TpmError::Malformed { command, source };
    let mut reader = Reader::new(response);
    let tag = if call.auth.is_some() {
        st::SESSIONS
    } else {
        st::NO_SESSIONS
    };
    reader.expect_u16(tag, "response tag").map_err(malformed)?;
    reader.take(8, "response header").map_err(malformed)?;
    let handle = if call.returns_handle {
        reader.u32("response handle").map_err(malformed)?
    } else {
        0
    };
    let Some(auth) = call.auth else {
        let parameters = Zeroizing::new(reader.rest().to_vec());
        return Ok(Reply {
            name: command,
            handle,
            parameters,
        });
    };
    let size = reader.u32("parameter size").map_err(malformed)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut parameters = Zeroizing::new(reader.take(size, "parameters").map_err(malformed)?.to_vec());
    let nonce = reader.sized_max(64, "session nonce").map_err(malformed)?;
    let attributes = reader.u8("session attributes").map_err(malformed)?;
    let hmac = reader.sized_max(64, "session hmac").map_err(malformed)?;
    reader.end("response").map_err(malformed)?;
    if let Auth::Session { session, auth_value } = auth {
        let auth_value = call.new_auth_value.unwrap_or(auth_value);
        let answer = Answer {
            code: call.code,
            nonce,
            attributes,
            hmac,
        };
        session.accept(command, &answer, call.encrypted, auth_value, &mut parameters)?;
    }
    Ok(Reply {
        name: command,
        handle,
        parameters,
    })
}
