//! The part of the NBD protocol that QEMU's client needs: newstyle fixed handshake, simple replies.
//!
//! Source: the NBD project's `doc/proto.md` (sections "Newstyle negotiation", "Transmission phase", "Values").
//! Offered: READ, WRITE with FUA, FLUSH, DISC. Not offered, so that clients do without: structured replies,
//! TLS, TRIM, WRITE_ZEROES, meta contexts. All numbers are big-endian. A client's lengths are limited before
//! anything is allocated.

use std::io::{self, Read, Write};

/// Largest read and write, in bytes; also what QEMU takes as its own limit.
pub(crate) const LARGEST: u32 = 32 << 20;
/// Largest option that is read, in bytes; export names have at most 4096.
const LARGEST_OPTION: u32 = 8 << 10;
/// Options before a client is sent away.
const MOST_OPTIONS: u32 = 64;

const GREETING: u64 = u64::from_be_bytes(*b"NBDMAGIC");
const OPTION: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const OPTION_REPLY: u64 = 0x0003_E889_0455_65A9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

/// Handshake flags, the server's and the client's: fixed newstyle, no zeroes.
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
/// Transmission flags: has flags, flush, FUA.
const TRANSMISSION: u16 = 1 | 1 << 2 | 1 << 3;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUPPORTED: u32 = 1 << 31 | 1;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Errors of replies.
pub(crate) const EIO: u32 = 5;
/// Request that is malformed.
pub(crate) const EINVAL: u32 = 22;

/// What a client did that ends its connection.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// The connection broke.
    #[error("nbd connection: {0}")]
    Io(#[from] io::Error),
    /// A number that marks a structure is another one.
    #[error("read the nbd client's {what}: expected {expected:#x}, found {found:#x}")]
    Magic {
        /// Which structure.
        what: &'static str,
        /// The protocol's number.
        expected: u64,
        /// The client's.
        found: u64,
    },
    /// The client speaks an older handshake.
    #[error("read the nbd client's flags: expected fixed newstyle, found {found:#x}")]
    OldStyle {
        /// Its flags.
        found: u32,
    },
    /// A length is above what is allocated for a client.
    #[error("read the nbd client's {what}: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Option or request.
        what: &'static str,
        /// Limit in bytes.
        limit: u32,
        /// The client's length in bytes.
        found: u32,
    },
    /// The client negotiates without end.
    #[error("negotiate with the nbd client: no export chosen in 64 options")]
    NoChoice,
    /// A command that was not offered.
    #[error("read the nbd client's request: expected read, write, disconnect or flush, found type {found}")]
    Command {
        /// Its number.
        found: u16,
    },
}

/// What the client wants; `cookie` goes back with the reply.
#[derive(Debug)]
pub(crate) enum Request {
    Read {
        cookie: u64,
        offset: u64,
        length: usize,
    },
    Write {
        cookie: u64,
        offset: u64,
        bytes: Vec<u8>,
        fua: bool,
    },
    Flush {
        cookie: u64,
    },
    Disconnect,
}

/// Greets a client and lets it choose the one export, of `bytes` bytes. `false`: it went away.
pub(crate) fn negotiate<S: Read + Write>(stream: &mut S, bytes: u64) -> Result<bool, NbdError> {
    let mut greeting = GREETING.to_be_bytes().to_vec();
    greeting.extend(OPTION.to_be_bytes());
    greeting.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&greeting)?;
    let flags = u32::from_be_bytes(take(stream)?);
    if flags & u32::from(FIXED_NEWSTYLE) == 0 {
        return Err(NbdError::OldStyle { found: flags });
    }
    for _ in 0..MOST_OPTIONS {
        magic("option", OPTION, u64::from_be_bytes(take(stream)?))?;
        let option = u32::from_be_bytes(take(stream)?);
        let length = u32::from_be_bytes(take(stream)?);
        // The name and the wishes in it do not matter: there is one export.
        limited(stream, "option", length, LARGEST_OPTION)?;
        match option {
            OPT_EXPORT_NAME => {
                let mut export = bytes.to_be_bytes().to_vec();
                export.extend(TRANSMISSION.to_be_bytes());
                if flags & u32::from(NO_ZEROES) == 0 {
                    export.extend([0; 124]);
                }
                stream.write_all(&export)?;
                return Ok(true);
            }
            OPT_GO | OPT_INFO => {
                let mut export = INFO_EXPORT.to_be_bytes().to_vec();
                export.extend(bytes.to_be_bytes());
                export.extend(TRANSMISSION.to_be_bytes());
                reply_to_option(stream, option, REP_INFO, &export)?;
                let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
                for size in [512, 4096, LARGEST] {
                    sizes.extend(size.to_be_bytes());
                }
                reply_to_option(stream, option, REP_INFO, &sizes)?;
                reply_to_option(stream, option, REP_ACK, &[])?;
                if option == OPT_GO {
                    return Ok(true);
                }
            }
            OPT_ABORT => {
                reply_to_option(stream, option, REP_ACK, &[])?;
                return Ok(false);
            }
            _ => reply_to_option(stream, option, REP_ERR_UNSUPPORTED, &[])?,
        }
    }
    Err(NbdError::NoChoice)
}

/// The next request; `None` when the client has gone without a word, as at a power cut.
pub(crate) fn read_request<S: Read>(stream: &mut S) -> Result<Option<Request>, NbdError> {
    let mut first = [0; 4];
    match stream.read_exact(&mut first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    magic("request", REQUEST.into(), u32::from_be_bytes(first).into())?;
    let flags = u16::from_be_bytes(take(stream)?);
    let kind = u16::from_be_bytes(take(stream)?);
    let cookie = u64::from_be_bytes(take(stream)?);
    let offset = u64::from_be_bytes(take(stream)?);
    let length = u32::from_be_bytes(take(stream)?);
    let request = match kind {
        0 if length > LARGEST => {
            return Err(NbdError::TooLong {
                what: "read",
                limit: LARGEST,
                found: length,
            });
        }
        0 => Request::Read {
            cookie,
            offset,
            length: length as usize,
        },
        1 => Request::Write {
            cookie,
            offset,
            bytes: limited(stream, "write", length, LARGEST)?,
            fua: flags & 1 == 1,
        },
        2 => Request::Disconnect,
        3 => Request::Flush { cookie },
        found => return Err(NbdError::Command { found }),
    };
    Ok(Some(request))
}

/// Answers a request: an error, or 0 and what was read.
pub(crate) fn reply<S: Write>(stream: &mut S, cookie: u64, error: u32, content: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(16 + content.len());
    bytes.extend(REPLY.to_be_bytes());
    bytes.extend(error.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(content);
    stream.write_all(&bytes)
}

fn reply_to_option<S: Write>(stream: &mut S, option: u32, kind: u32, content: &[u8]) -> io::Result<()> {
    let mut bytes = OPTION_REPLY.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(content);
    stream.write_all(&bytes)
}

fn take<const N: usize, S: Read>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn limited<S: Read>(
    stream: &mut S,
    what: &'static str,
    length: u32,
    limit: u32,
) -> Result<Vec<u8>, NbdError> {
    if length > limit {
        return Err(NbdError::TooLong {
            what,
            limit,
            found: length,
        });
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn magic(what: &'static str, expected: u64, found: u64) -> Result<(), NbdError> {
    if found == expected {
        Ok(())
    } else {
        Err(NbdError::Magic {
            what,
            expected,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// Reads from one buffer, writes to nowhere.
    struct Client(Cursor<Vec<u8>>);

    impl Read for Client {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Client {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn request(kind: u16, length: u32) -> Vec<u8> {
        let mut bytes = REQUEST.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(length.to_be_bytes());
        bytes
    }

    #[test]
    fn lengths_above_the_limit_and_unknown_commands_end_the_connection() {
        let read = |bytes: Vec<u8>| read_request(&mut Cursor::new(bytes));
        assert!(
            matches!(read(request(0, LARGEST)), Ok(Some(Request::Read { .. }))),
            "positive control"
        );
        for kind in [0, 1] {
            let error = read(request(kind, LARGEST + 1)).unwrap_err();
            assert!(
                matches!(error, NbdError::TooLong { limit: LARGEST, .. }),
                "{error}"
            );
        }
        assert!(matches!(read(request(4, 0)), Err(NbdError::Command { found: 4 })));
        assert!(matches!(read(vec![0; 28]), Err(NbdError::Magic { found: 0, .. })));
        assert!(matches!(read(Vec::new()), Ok(None)));
    }

    #[test]
    fn a_client_of_the_old_handshake_is_sent_away() {
        let mut client = Client(Cursor::new(vec![0; 4]));
        assert!(matches!(
            negotiate(&mut client, 512),
            Err(NbdError::OldStyle { found: 0 })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), good: bool) {
            let mut greeting = if good { vec![0, 0, 0, 3] } else { Vec::new() };
            greeting.extend(&bytes);
            let _ = negotiate(&mut Client(Cursor::new(greeting)), 512);
            let _ = read_request(&mut Cursor::new(bytes));
        }
    }
}
