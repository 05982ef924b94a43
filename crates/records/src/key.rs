//! The ratchet: one key a line, each made from the one before it.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

const NEXT: &[u8] = b"bennu-records-next-v1";
const LINE: &[u8] = b"bennu-records-line-v1";
const SEGMENT: &[u8] = b"bennu-records-segment-v1";

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A key shorter than the hash's block is filled up with zeros (RFC 2104 §2); of 64 bytes it cannot be refused.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = <Hmac<Sha256> as Mac>::new((&block).into());
    block.zeroize();
    mac
}

/// Names a segment: the lines that one run of the writer made under one first key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub [u8; 8]);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The first key of a segment: 32 random bytes. Whoever holds it can check, and forge, the whole segment.
#[derive(Clone, ZeroizeOnDrop)]
pub struct InitialKey([u8; 32]);

impl InitialKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The segment that this key begins.
    pub fn segment(&self) -> SegmentId {
        let mut id = [0; 8];
        id.copy_from_slice(&hmac(&self.0, &[SEGMENT])[..8]);
        SegmentId(id)
    }

    /// The key of line 0.
    pub(crate) fn ratchet(&self) -> Ratchet {
        Ratchet { key: self.0, step: 0 }
    }
}

/// The key of one line, and the number of that line in its segment.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Ratchet {
    key: [u8; 32],
    #[zeroize(skip)]
    step: u64,
}

impl Ratchet {
    /// Number of the line, from 0.
    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// MAC of the line.
    pub(crate) fn mac(&self, line: &[u8]) -> [u8; 32] {
        let mut key = hmac(&self.key, &[LINE]);
        let mac = hmac(&key, &[line]);
        key.zeroize();
        mac
    }

    /// Whether `mac` is that of the line; takes the same time whatever it is.
    pub(crate) fn is_mac(&self, line: &[u8], mac: &[u8; 32]) -> bool {
        let mut key = hmac(&self.key, &[LINE]);
        let mut keyed = keyed(&key);
        key.zeroize();
        keyed.update(line);
        keyed.verify_slice(mac).is_ok()
    }

    /// Goes on to the next line; this line's key is gone.
    pub(crate) fn advance(&mut self) {
        let mut next = hmac(&self.key, &[NEXT]);
        self.key.copy_from_slice(&next);
        next.zeroize();
        self.step += 1;
    }
}
