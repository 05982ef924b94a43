//! Bounded decoding of JSON documents, and the type that says "nobody has verified this yet".

use serde::de::DeserializeOwned;

/// A decoded value whose origin has not been proven. Only `bennu-policy` turns one into a `Verified<T>`.
///
/// Reading it is possible by name only ([`Unverified::peek`]), so that each use is visible in a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Wraps a freshly decoded value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Looks at the value without trusting it: for error messages and for the verifier itself.
    pub fn peek(&self) -> &T {
        &self.0
    }

    /// Gives the value up to the caller, who takes over the duty of verifying it.
    pub fn into_inner_unverified(self) -> T {
        self.0
    }
}

/// Why bytes are not the document they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than the format allows: refused before any of them is looked at.
    #[error("{document}: expected at most {limit} bytes, found {found}; this is not one of ours")]
    TooLong {
        /// Which document.
        document: &'static str,
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// Not JSON of the expected shape.
    #[error("{document}: expected JSON of schema {schema}, found: {detail}")]
    Malformed {
        /// Which document.
        document: &'static str,
        /// Newest schema understood here.
        schema: u32,
        /// The JSON decoder's words.
        detail: String,
    },
    /// A schema this program does not know.
    #[error("{document}: expected schema {expected}, found {found}; use a newer bennu")]
    UnknownSchema {
        /// Which document.
        document: &'static str,
        /// Newest schema understood here.
        expected: u32,
        /// Schema found.
        found: u32,
    },
    /// A member that the writer marked as critical is not known here.
    #[error("{document}: critical member `{member}` is not understood by this version; use a newer bennu")]
    UnknownCritical {
        /// Which document.
        document: &'static str,
        /// Name of the member.
        member: String,
    },
    /// A value of the right shape that makes no sense.
    #[error("{document}: member `{member}`: expected {expected}, found {found}")]
    BadValue {
        /// Which document.
        document: &'static str,
        /// Name of the member.
        member: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was there.
        found: String,
    },
}

/// A JSON document with a schema number and a length limit.
pub trait Document: DeserializeOwned {
    /// Name used in messages.
    const NAME: &'static str;
    /// The schema number that this code writes and the newest that it reads.
    const SCHEMA: u32;
    /// Largest permitted encoded length in bytes.
    const MAX_BYTES: usize;

    /// Checks that go beyond the shape; called after decoding.
    ///
    /// # Errors
    /// [`DecodeError::BadValue`] or [`DecodeError::UnknownCritical`].
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }

    /// The refusal of a member's value, for [`Document::check`].
    fn bad_value(member: &'static str, expected: &'static str, found: impl ToString) -> DecodeError {
        DecodeError::BadValue {
            document: Self::NAME,
            member,
            expected,
            found: found.to_string(),
        }
    }

    /// Decodes `bytes`: length, then schema, then shape, then values.
    ///
    /// # Errors
    /// One [`DecodeError`] variant per failed step.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(DecodeError::TooLong {
                document: Self::NAME,
                limit: Self::MAX_BYTES,
                found: bytes.len(),
            });
        }
        let malformed = |e: serde_json::Error| DecodeError::Malformed {
            document: Self::NAME,
            schema: Self::SCHEMA,
            detail: e.to_string(),
        };
        #[derive(serde::Deserialize)]
        struct Head {
            schema: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.schema != Self::SCHEMA {
            return Err(DecodeError::UnknownSchema {
                document: Self::NAME,
                expected: Self::SCHEMA,
                found: head.schema,
            });
        }
        let value: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        value.check()?;
        Ok(value)
    }
}
