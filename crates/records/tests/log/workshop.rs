//! Keys, signers and a small log.

use crate::medium::Medium;
use bennu_formats::Sha256Digest;
use bennu_records::{
    Durability, HeadVerifier, InitialKey, Limits, LogFile, Proof, Report, Signer, SignerError, Stamp,
    WriteError, Writer, file_name, verify,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use serde_json::json;

pub const BOOT: &str = "6c2b2f0e-0000-4000-8000-000000000001";
pub const SMALL: Limits = Limits {
    file_bytes: 64 * 1024,
    total_bytes: 1 << 20,
    files: 100,
};

pub fn key(number: u8) -> InitialKey {
    InitialKey::new([number; 32])
}

pub fn stamp(n: u64) -> Stamp {
    Stamp {
        at_ms: 1_767_225_600_000 + n,
        up_ms: 1000 + n,
    }
}

/// ed25519 in memory, where the TPM signs on a machine.
pub struct Ed25519(pub SigningKey);

pub struct Ed25519Public(pub VerifyingKey);

pub fn signer(number: u8) -> (Ed25519, Ed25519Public) {
    let key = SigningKey::from_bytes(&[number; 32]);
    let public = key.verifying_key();
    (Ed25519(key), Ed25519Public(public))
}

impl Signer for Ed25519 {
    fn algorithm(&self) -> &str {
        "ed25519"
    }
    fn keyid(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.verifying_key().as_bytes())
    }
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl HeadVerifier for Ed25519Public {
    fn keyid(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.as_bytes())
    }
    fn is_good(&self, _: &str, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.0.verify(message, &s).is_ok())
    }
}

/// P-256 in memory: another algorithm, as a TPM's.
pub struct P256(pub p256::ecdsa::SigningKey);

impl Signer for P256 {
    fn algorithm(&self) -> &str {
        "ecdsa-p256-sha256"
    }
    fn keyid(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.verifying_key().to_encoded_point(false).as_bytes())
    }
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature: p256::ecdsa::Signature = self.0.sign(message);
        Ok(signature.to_bytes().to_vec())
    }
}

pub struct P256Public(pub p256::ecdsa::VerifyingKey);

impl HeadVerifier for P256Public {
    fn keyid(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.to_encoded_point(false).as_bytes())
    }
    fn is_good(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        algorithm == "ecdsa-p256-sha256"
            && p256::ecdsa::Signature::from_slice(signature).is_ok_and(|s| self.0.verify(message, &s).is_ok())
    }
}

pub fn open(medium: &Medium, number: u8) -> Result<Writer<Medium>, WriteError> {
    Writer::open(medium.clone(), SMALL, &key(number), BOOT, "test", stamp(0))
}

pub fn event(writer: &mut Writer<Medium>, n: u64) -> Result<u64, WriteError> {
    let body = json!({"event": "exec", "path": "/usr/bin/true", "n": n, "text": "\u{e4}\n\""});
    writer.event(body, stamp(n), Durability::Now)
}

/// Two segments: twelve lines in two files, with a gap, heads by signer 9 and a good end each.
pub fn small_log() -> Medium {
    let medium = Medium::default();
    for segment in [1, 2] {
        let mut writer = open(&medium, segment).unwrap();
        event(&mut writer, 1).unwrap();
        writer.gap("exec, cpu 1", 7, stamp(2)).unwrap();
        event(&mut writer, 3).unwrap();
        writer.head(&mut signer(9).0, stamp(4)).unwrap();
        writer.stop(stamp(5)).unwrap();
    }
    medium
}

pub fn files(contents: &[(u64, Vec<u8>)]) -> Vec<LogFile> {
    contents
        .iter()
        .map(|(number, bytes)| LogFile {
            name: file_name(*number),
            number: *number,
            bytes: bytes.clone(),
        })
        .collect()
}

/// Checks with the first keys of segments 1 to 9.
pub fn by_key(contents: &[(u64, Vec<u8>)]) -> Report {
    let mut proof = Proof::default();
    (1..10).for_each(|number| proof.keys.add(key(number)));
    verify(&files(contents), &proof)
}

/// Checks with the public key of signer 9 alone.
pub fn by_head(contents: &[(u64, Vec<u8>)]) -> Report {
    let public = signer(9).1;
    let proof = Proof {
        signer: Some(&public),
        ..Proof::default()
    };
    verify(&files(contents), &proof)
}

/// The lines of a file, each with its line feed.
pub fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}
