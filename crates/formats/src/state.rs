//! The state volume: its pin in the TPM, and the empty file system that is put down when it is made. Normative text:
//! `docs/spec/state-volume.md`.
//!
//! The pin is written and read by `bennu-init`. The template is written by `bennu build` into the initrd, so it is
//! signed with the UKI, and read by `bennu-init` on a machine's first start.

use crate::decode::DecodeError;

/// Handle of the NV index that holds the pin.
pub const NV_INDEX: u32 = 0x0180_BE01;
/// Bytes of the pin.
pub const PIN_BYTES: usize = 56;
/// What the volume key is pinned by: the HMAC-SHA-256 of these words under it.
pub const PIN_WORDS: &[u8] = b"bennu-state-pin-v1";
/// Bytes of a block of the template.
pub const BLOCK_BYTES: usize = 4096;
/// Length in bytes of the file system as the template has it: the smallest state volume.
pub const FILE_SYSTEM_BYTES: u64 = 64 << 20;
/// Most blocks that a template holds.
pub const MAX_BLOCKS: usize = 1024;
/// Most bytes of an encoded template.
pub const MAX_TEMPLATE_BYTES: usize = HEAD_BYTES + MAX_BLOCKS * (8 + BLOCK_BYTES);

const MAGIC: &[u8; 8] = b"BennuVol";
const HEAD_BYTES: usize = 8 + 4 + 8 + 4;
const VERSION: u32 = 1;
const NAME: &str = "state volume template";

/// Which volume is this machine's, and how often it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePin {
    /// UUID in the LUKS2 header.
    pub uuid: [u8; 16],
    /// Generation.
    pub generation: u64,
    /// HMAC-SHA-256 of [`PIN_WORDS`] under the volume key: a key that somebody else sealed is told from it.
    pub key_digest: [u8; 32],
}

impl StatePin {
    /// UUID, the generation big-endian, digest of the key.
    pub fn encode(&self) -> [u8; PIN_BYTES] {
        let mut bytes = [0; PIN_BYTES];
        bytes[..16].copy_from_slice(&self.uuid);
        bytes[16..24].copy_from_slice(&self.generation.to_be_bytes());
        bytes[24..].copy_from_slice(&self.key_digest);
        bytes
    }

    /// The reverse; `None` for any other number of bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PIN_BYTES] = bytes.try_into().ok()?;
        Some(Self {
            uuid: bytes[..16].try_into().ok()?,
            generation: u64::from_be_bytes(bytes[16..24].try_into().ok()?),
            key_digest: bytes[24..].try_into().ok()?,
        })
    }
}

/// An empty file system of [`FILE_SYSTEM_BYTES`]: the blocks that are not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeTemplate {
    /// Number and content of each block, ascending.
    pub blocks: Vec<(u64, Vec<u8>)>,
}

impl VolumeTemplate {
    /// The blocks of `image` that are not zero.
    pub fn of(image: &[u8]) -> Self {
        let blocks = image
            .chunks(BLOCK_BYTES)
            .enumerate()
            .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
            .map(|(number, block)| (number as u64, block.to_vec()))
            .collect();
        Self { blocks }
    }

    /// Magic, version, length of the file system, count; then each block with its number. Little-endian.
    ///
    /// # Errors
    /// [`DecodeError`] for a template that [`Self::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&FILE_SYSTEM_BYTES.to_le_bytes());
        out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for (number, content) in &self.blocks {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(content);
        }
        Self::decode(&out)?;
        Ok(out)
    }

    /// Decodes a template.
    ///
    /// # Errors
    /// It is too long or too short, has another magic, version or length of the file system, or its blocks do not
    /// ascend within it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TEMPLATE_BYTES {
            return Err(DecodeError::TooLong {
                document: NAME,
                limit: MAX_TEMPLATE_BYTES,
                found: bytes.len(),
            });
        }
        let head = bytes
            .get(..HEAD_BYTES)
            .ok_or_else(|| bad("length", "a head of 24 bytes", bytes.len().to_string()))?;
        if &head[..8] != MAGIC {
            return Err(bad("magic", "BennuVol", hex::encode(&head[..8])));
        }
        let version = little(&head[8..12]);
        if version != u64::from(VERSION) {
            return Err(bad("version", "1", version.to_string()));
        }
        let length = little(&head[12..20]);
        if length != FILE_SYSTEM_BYTES {
            return Err(bad("file system", "67108864 bytes", length.to_string()));
        }
        let count = little(&head[20..24]);
        let body = &bytes[HEAD_BYTES..];
        if body.len() as u64 != count * (8 + BLOCK_BYTES as u64) {
            return Err(bad("blocks", "as many as counted", count.to_string()));
        }
        let mut blocks: Vec<(u64, Vec<u8>)> = Vec::new();
        for entry in body.chunks_exact(8 + BLOCK_BYTES) {
            let number = little(&entry[..8]);
            let ascends = blocks.last().is_none_or(|(last, _)| *last < number);
            if !ascends || number >= FILE_SYSTEM_BYTES / BLOCK_BYTES as u64 {
                return Err(bad("blocks", "ascending numbers within it", number.to_string()));
            }
            blocks.push((number, entry[8..].to_vec()));
        }
        Ok(Self { blocks })
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn bad(member: &'static str, expected: &'static str, found: String) -> DecodeError {
    DecodeError::BadValue {
        document: NAME,
        member,
        expected,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pin_round_trips_and_has_these_bytes() {
        let pin = StatePin {
            uuid: [0xab; 16],
            generation: 258,
            key_digest: [0xcd; 32],
        };
        let golden = format!("{}{}{}", "ab".repeat(16), "0000000000000102", "cd".repeat(32));
        assert_eq!(hex::encode(pin.encode()), golden);
        assert_eq!(StatePin::decode(&pin.encode()), Some(pin));
        assert_eq!(StatePin::decode(&[0; 55]), None);
    }

    #[test]
    fn a_template_keeps_what_is_not_zero_and_round_trips() {
        let mut image = vec![0; 5 * BLOCK_BYTES];
        image[BLOCK_BYTES + 7] = 1;
        image[4 * BLOCK_BYTES] = 2;
        let template = VolumeTemplate::of(&image);
        let numbers: Vec<u64> = template.blocks.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 4]);
        let bytes = template.encode().unwrap();
        assert_eq!(VolumeTemplate::decode(&bytes).unwrap(), template);
    }

    #[test]
    fn each_wrong_template_is_refused_by_the_member_at_fault() {
        let good = VolumeTemplate {
            blocks: vec![(1, vec![1; BLOCK_BYTES]), (2, vec![2; BLOCK_BYTES])],
        };
        let bytes = good.encode().unwrap();
        let refused = |at: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[at] = value;
            match VolumeTemplate::decode(&changed) {
                Err(DecodeError::BadValue { member, .. }) => member,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(0, 0), "magic");
        assert_eq!(refused(8, 2), "version");
        assert_eq!(refused(12, 1), "file system");
        assert_eq!(refused(20, 3), "blocks");
        assert_eq!(refused(HEAD_BYTES, 2), "blocks");
        assert_eq!(refused(HEAD_BYTES + 8 + BLOCK_BYTES + 3, 1), "blocks");
        assert!(VolumeTemplate::decode(&bytes[..bytes.len() - 1]).is_err());
        let long = vec![0; MAX_TEMPLATE_BYTES + 1];
        assert!(matches!(
            VolumeTemplate::decode(&long),
            Err(DecodeError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let _ = VolumeTemplate::decode(&bytes);
            let _ = StatePin::decode(&bytes);
        }
    }
}
