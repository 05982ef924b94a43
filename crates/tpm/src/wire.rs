//! Big-endian marshalling as TPM 2.0 Part 2 defines it: integers and sized buffers (TPM2B).
//!
//! Written and read by every command module. The reader takes untrusted bytes (the TPM's answers and
//! sealed blobs from disk): it checks each length before use and returns a [`WireError`]; it never panics.
//! The writer's buffer is wiped on drop, since it may hold a secret before that is encrypted.

use zeroize::Zeroizing;

/// Largest command or response, bytes. The kernel's TPM driver has the same limit (TPM_BUFSIZE).
pub const MAX_FRAME: usize = 4096;

/// Bytes that do not have the layout the specification gives them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes ended inside a field.
    #[error("read {field}: expected {expected} more bytes, found {found}")]
    Truncated {
        /// Field being read.
        field: &'static str,
        /// Bytes the field needs.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// Bytes follow the last field.
    #[error("read {object}: expected its end, found {found} more bytes")]
    Trailing {
        /// Structure that should have ended.
        object: &'static str,
        /// Bytes left over.
        found: usize,
    },
    /// A sized field is larger than this program accepts or the format can express.
    #[error("handle {field}: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Field in question.
        field: &'static str,
        /// Largest accepted size in bytes.
        limit: usize,
        /// Size found in bytes.
        found: usize,
    },
    /// A field has a value that is not allowed here.
    #[error("read {field}: expected {expected:#x}, found {found:#x}")]
    Unexpected {
        /// Field in question.
        field: &'static str,
        /// Value that was asked for.
        expected: u64,
        /// Value found.
        found: u64,
    },
}

/// Cursor over untrusted bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes exactly `len` bytes.
    pub(crate) fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(WireError::Truncated {
                field,
                expected: len,
                found: self.rest.len(),
            });
        };
        self.rest = tail;
        Ok(head)
    }

    /// Takes a fixed-size array.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let found = self.rest.len();
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(WireError::Truncated {
                field,
                expected: N,
                found,
            });
        };
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// Takes a TPM2B: 16-bit length, then that many bytes.
    pub(crate) fn sized(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let len = usize::from(self.u16(field)?);
        self.take(len, field)
    }

    /// Takes a TPM2B of at most `limit` bytes.
    pub(crate) fn sized_max(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let bytes = self.sized(field)?;
        if bytes.len() > limit {
            return Err(WireError::TooLong {
                field,
                limit,
                found: bytes.len(),
            });
        }
        Ok(bytes)
    }

    /// Takes a 16-bit value that must be `expected`.
    pub(crate) fn expect_u16(&mut self, expected: u16, field: &'static str) -> Result<(), WireError> {
        let found = self.u16(field)?;
        if found == expected {
            Ok(())
        } else {
            Err(WireError::Unexpected {
                field,
                expected: expected.into(),
                found: found.into(),
            })
        }
    }

    /// All bytes not yet taken.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Succeeds when nothing is left.
    pub(crate) fn end(&self, object: &'static str) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing {
                object,
                found: self.rest.len(),
            })
        }
    }
}

/// Builder of command bytes. Overflow is remembered and reported by [`Writer::finish`].
#[derive(Clone)]
pub(crate) struct Writer {
    // The whole capacity is taken at once, so that no reallocation leaves an unwiped copy behind.
    bytes: Zeroizing<Vec<u8>>,
    error: Option<WireError>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(MAX_FRAME)),
            error: None,
        }
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        let total = self.bytes.len() + bytes.len();
        if total > MAX_FRAME {
            self.error.get_or_insert(WireError::TooLong {
                field: "frame",
                limit: MAX_FRAME,
                found: total,
            });
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        self
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a TPM2B: 16-bit length, then the bytes.
    pub(crate) fn sized(self, bytes: &[u8]) -> Self {
        // A length that does not fit in 16 bits is beyond MAX_FRAME too and is caught by `raw`.
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX))
            .raw(bytes)
    }

    pub(crate) fn finish(self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        match self.error {
            None => Ok(self.bytes),
            Some(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sized_buffer_round_trips() {
        let bytes = Writer::new().u16(7).sized(b"abc").u32(1).finish().unwrap();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u16("a"), Ok(7));
        assert_eq!(reader.sized("b"), Ok(&b"abc"[..]));
        assert_eq!(reader.u32("c"), Ok(1));
        assert_eq!(reader.end("frame"), Ok(()));
    }

    #[test]
    fn a_length_beyond_the_end_is_truncation() {
        let mut reader = Reader::new(&[0, 5, 1]);
        assert_eq!(
            reader.sized("x"),
            Err(WireError::Truncated {
                field: "x",
                expected: 5,
                found: 1
            })
        );
    }

    #[test]
    fn an_oversized_frame_is_refused_when_finished() {
        let result = Writer::new().sized(&[0; MAX_FRAME]).finish();
        assert_eq!(
            result.err(),
            Some(WireError::TooLong {
                field: "frame",
                limit: MAX_FRAME,
                found: MAX_FRAME + 2
            })
        );
        assert!(Writer::new().sized(&[0; MAX_FRAME - 2]).finish().is_ok());
    }
}
