//! The one form of a header: everything that LUKS2 leaves open and we do not.

/// Bytes of one copy of the metadata: binary header and JSON area, the smallest that LUKS2 has.
pub const COPY_BYTES: usize = BINARY_BYTES + JSON_BYTES;
/// Bytes of a binary header.
pub const BINARY_BYTES: usize = 4096;
/// Bytes of a JSON area: text, then zeros, at least one.
pub const JSON_BYTES: usize = 12_288;
/// Bytes of both copies; [`crate::UnverifiedHeader::parse`] wants so many.
pub const METADATA_BYTES: usize = 2 * COPY_BYTES;
/// Bytes of the keyslots area, which follows the copies: room for two keyslots.
pub const KEYSLOTS_BYTES: usize = 512 * 1024;
/// Bytes from the start of the device to the end of the keyslots area; what [`crate::format`] makes.
pub const HEADER_AREA_BYTES: usize = METADATA_BYTES + KEYSLOTS_BYTES;
/// Byte at which the encrypted data begins: 16 MiB, as cryptsetup chooses.
pub const SEGMENT_OFFSET_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of an encryption sector of the data. A power cut tears no 4096-byte block of the file system this way.
pub const SEGMENT_SECTOR_BYTES: u64 = 4096;
/// Cipher of data and keyslots, in dm-crypt's words. AES-256: the key has two halves of 32 bytes.
pub const ENCRYPTION: &str = "aes-xts-plain64";
/// Bytes of the volume key, and of the key of a keyslot's area.
pub const VOLUME_KEY_BYTES: usize = 64;
/// Anti-forensic stripes of a keyslot (LUKS1 On-Disk Format Specification 1.2.3, section 2.4).
pub const STRIPES: usize = 4000;
/// Bytes of a split volume key.
pub const MATERIAL_BYTES: usize = VOLUME_KEY_BYTES * STRIPES;
/// Bytes of a keyslot's area: [`MATERIAL_BYTES`] rounded up to 4096.
pub const KEYSLOT_AREA_BYTES: usize = MATERIAL_BYTES.next_multiple_of(4096);
/// Bytes at which a keyslot's area may begin. Two, so that a new recovery key is down before the old one goes.
pub const KEYSLOT_AREA_OFFSETS: [u64; 2] = [
    METADATA_BYTES as u64,
    (METADATA_BYTES + KEYSLOT_AREA_BYTES) as u64,
];
/// Bytes of the salts of digest and keyslots.
pub const SALT_BYTES: usize = 32;
/// Iterations of the digest's PBKDF2: cryptsetup's least. A volume key has 512 random bits; more would buy nothing.
pub const DIGEST_ITERATIONS: u32 = 1000;
/// Label in the binary header.
pub const LABEL: &str = "bennu-state";
/// Type of the token that carries generation and MAC.
pub const TOKEN_TYPE: &str = "bennu-state";
/// HKDF info of the key of the token's MAC.
pub const MAC_KEY_INFO: &[u8] = b"bennu-state-header-v1";
/// HKDF info of the key that the salts of the binary headers come from.
pub const SALT_KEY_INFO: &[u8] = b"bennu-state-header-salt-v1";
/// Last part of what the MAC is over.
pub const MAC_DOMAIN: &[u8] = b"bennu-state uuid and generation";

const _: () = assert!(KEYSLOT_AREA_OFFSETS[1] as usize + KEYSLOT_AREA_BYTES <= HEADER_AREA_BYTES);
const _: () = assert!(HEADER_AREA_BYTES as u64 <= SEGMENT_OFFSET_BYTES);
const _: () = assert!(MATERIAL_BYTES.is_multiple_of(512));
