//! Writes one age v1 file (C2SP, age.md): a short text, encrypted to one X25519 recipient, armored.
//!
//! Used by `bennu-init`, PID 1 of a small static initrd, for a recovery key that only an operator may read; hence not
//! the crate `age` (docs/adr/0016-age-files-by-our-own-writer.md). Nothing here reads a file, decrypts, or has a source
//! of random bytes. What decides that the bytes are right is Debian's `age`, in `tests/judge.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as ARMOR, STANDARD_NO_PAD as BASE64};
use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// First line of a file.
const VERSION_LINE: &str = "age-encryption.org/v1\n";
/// HKDF info of the key that wraps the file key.
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// Bytes of the file key.
const FILE_KEY_BYTES: usize = 16;
/// Bytes of the payload's own nonce.
const NONCE_BYTES: usize = 16;
/// Most bytes of the text: one chunk of the payload.
pub const MOST_BYTES: usize = 64 * 1024;
/// The nonce of the only chunk: number 0, and it is the last.
const LAST_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Characters of a line of the armor.
const ARMOR_LINE: usize = 64;

/// The source of random bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes from the caller's source; it knows why")]
pub struct RandomFailed;

/// Fills a buffer with bytes that nobody can guess.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), RandomFailed> + 'a;

/// Why nothing was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// Longer than one chunk.
    #[error("encrypt to recipient: expected at most {MOST_BYTES} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The recipient is a point of low order: the shared secret would be zero, which everybody knows (RFC 7748, 6.1).
    #[error(
        "encrypt to recipient: it is a point of low order, which is nobody's key; make one with age-keygen"
    )]
    LowOrder,
    /// No random bytes.
    #[error("encrypt to recipient: {0}")]
    Random(#[from] RandomFailed),
    /// The cipher refuses; it does so for lengths far beyond [`MOST_BYTES`] only.
    #[error("encrypt to recipient: the cipher refuses; report this as a defect")]
    Cipher,
}

/// Encrypts `text` to `recipient`: an armored age file, ASCII.
///
/// # Errors
/// [`EncryptError`].
pub fn encrypt(recipient: &[u8; 32], text: &[u8], random: &mut Random<'_>) -> Result<String, EncryptError> {
    if text.len() > MOST_BYTES {
        return Err(EncryptError::TooLong { found: text.len() });
    }
    let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
    random(&mut file_key[..])?;
    let mut file = header(recipient, &file_key, random)?.into_bytes();
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    file.extend_from_slice(&nonce);
    let payload_key = derive(&file_key[..], &nonce, b"payload");
    file.extend(seal(&payload_key, &LAST_CHUNK, text)?);
    Ok(armored(&file))
}

/// Version, one stanza, MAC over all before it.
fn header(
    recipient: &[u8; 32],
    file_key: &[u8; FILE_KEY_BYTES],
    random: &mut Random<'_>,
) -> Result<String, EncryptError> {
    let mut ephemeral = Zeroizing::new([0; 32]);
    random(&mut ephemeral[..])?;
    let share = x25519_dalek::x25519(*ephemeral, x25519_dalek::X25519_BASEPOINT_BYTES);
    let shared = Zeroizing::new(x25519_dalek::x25519(*ephemeral, *recipient));
    if *shared == [0; 32] {
        return Err(EncryptError::LowOrder);
    }
    let salt = [share, *recipient].concat();
    let wrapped = seal(&derive(&shared[..], &salt, WRAP_INFO), &[0; 12], file_key)?;
    let mut header = format!(
        "{VERSION_LINE}-> X25519 {}\n{}\n---",
        BASE64.encode(share),
        BASE64.encode(wrapped)
    );
    let mac_key = derive(file_key, &[], b"header");
    let mac = hmac(&mac_key, header.as_bytes());
    header.push(' ');
    header.push_str(&BASE64.encode(mac));
    header.push('\n');
    Ok(header)
}

/// HKDF-SHA-256 (RFC 5869), 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are one round; HKDF refuses more than 255.
    let _never = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key[..]);
    key
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // HMAC pads a key with zeros to the hash's block.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new((&*block).into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// ChaCha20-Poly1305 (RFC 8439): ciphertext and tag.
fn seal(key: &[u8; 32], nonce: &[u8; 12], text: &[u8]) -> Result<Vec<u8>, EncryptError> {
    // Encrypted where it lies; only ciphertext is left in it.
    let mut sealed = text.to_vec();
    let tag = ChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(Nonce::from_slice(nonce), &[], &mut sealed)
        .map_err(|_| EncryptError::Cipher)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Strict PEM with age's label.
fn armored(file: &[u8]) -> String {
    let mut text = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
    for (at, character) in ARMOR.encode(file).chars().enumerate() {
        if at > 0 && at % ARMOR_LINE == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END AGE ENCRYPTED FILE-----\n");
    text
}
