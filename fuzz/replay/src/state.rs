//! The header of the state volume.

use bennu_luks::template::{BINARY_BYTES, COPY_BYTES, METADATA_BYTES};
use bennu_luks::{RecoveryKey, UnverifiedHeader, VolumeKey};
use sha2::{Digest as _, Sha256};

/// Generation in the seeds; no other can verify without the key.
pub const STATE_GENERATION: u64 = 7;
/// Bytes of a binary header that say something; in an input the JSON text follows.
pub const BINARY_PREFIX_BYTES: usize = 512;
const CHECKSUM_AT: usize = 448;

/// The volume key of the seeds; not a secret.
pub fn state_key() -> Option<VolumeKey> {
    VolumeKey::new(&std::array::from_fn::<u8, 64, _>(|at| at as u8)).ok()
}

/// A recovery key as somebody types it.
pub fn recovery_key(bytes: &[u8]) -> bool {
    let Ok(key) = RecoveryKey::typed(bytes) else {
        return false;
    };
    let again = RecoveryKey::typed(key.as_str().as_bytes());
    assert!(
        again.is_ok_and(|again| again.as_str() == key.as_str()),
        "the key changed on its way"
    );
    true
}

/// A LUKS2 header: the bytes as they are, and then as [`BINARY_PREFIX_BYTES`] of a binary header and a JSON text, in
/// both copies and with their checksums, which no mutation would hit.
pub fn luks_header(bytes: &[u8]) -> bool {
    drop(UnverifiedHeader::parse(bytes));
    let Some((binary, json)) = bytes.split_at_checked(BINARY_PREFIX_BYTES) else {
        return false;
    };
    let mut area = vec![0; METADATA_BYTES];
    for (number, copy) in area.chunks_exact_mut(COPY_BYTES).enumerate() {
        copy[..BINARY_PREFIX_BYTES].copy_from_slice(binary);
        if number == 1 {
            // What differs in the second copy: magic and offset.
            copy[..4].copy_from_slice(b"SKUL");
            copy[262] = copy[262].wrapping_add(0x40);
        }
        let text = json.len().min(COPY_BYTES - BINARY_BYTES);
        copy[BINARY_BYTES..BINARY_BYTES + text].copy_from_slice(&json[..text]);
        let sum = checksum(copy);
        copy[CHECKSUM_AT..CHECKSUM_AT + sum.len()].copy_from_slice(&sum);
    }
    let Ok(header) = UnverifiedHeader::parse(&area) else {
        return false;
    };
    let verified = state_key().and_then(|key| header.verify(&key).ok());
    if let Some(header) = verified {
        assert_eq!(
            header.generation(),
            STATE_GENERATION,
            "a forged header was accepted"
        );
    }
    true
}

/// `docs/spec/state-header.md` §2: over the copy with the checksum zero.
fn checksum(copy: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(&copy[..CHECKSUM_AT])
        .chain_update([0; 64])
        .chain_update(&copy[CHECKSUM_AT + 64..])
        .finalize()
        .into()
}
