//! The header of the state volume.

use crate::Seed;
use anyhow::Context as _;
use bennu_formats::state::{BLOCK_BYTES, VolumeTemplate};
use bennu_fuzz_replay::{BINARY_PREFIX_BYTES, STATE_GENERATION, state_key};
use bennu_luks::template::{BINARY_BYTES, COPY_BYTES};
use bennu_luks::{FormatParameters, KdfCost, Keyslot, RecoveryKey, UnverifiedHeader, format};
use uuid::Uuid;

/// One copy without the zeros: what `luks_header` takes apart.
fn packed(copy: &[u8]) -> Vec<u8> {
    let json = copy[BINARY_BYTES..COPY_BYTES].split(|&byte| byte == 0).next();
    [&copy[..BINARY_PREFIX_BYTES], json.unwrap_or_default()].concat()
}

/// A header in which one word is another of the same meaning to LUKS2, but not to us.
fn changed(seed: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (binary, json) = seed.split_at(BINARY_PREFIX_BYTES);
    let json = String::from_utf8_lossy(json).replacen(from, to, 1);
    [binary, json.as_bytes()].concat()
}

pub fn seeds() -> anyhow::Result<Vec<Seed>> {
    let key = state_key().context("the key of the seeds")?;
    let kdf = KdfCost::new(32, 4, 1)?;
    let parameters = FormatParameters {
        uuid: Uuid::from_u128(0x2f1c5b0a_1122_4344_8566_778899aabbcc),
        generation: STATE_GENERATION,
        kdf,
    };
    // The same bytes in every run.
    let mut constant = |bytes: &mut [u8]| {
        bytes.fill(0x5a);
        Ok(())
    };
    let area = format(&parameters, &key, b"a recovery key for seeds", &mut constant)?;
    let header = UnverifiedHeader::parse(area.as_bytes())?.verify(&key)?;
    let update = header.set_keyslot(
        Keyslot::Further,
        &key,
        b"another key for the seeds",
        kdf,
        &mut constant,
    )?;
    let two = update
        .writes()
        .iter()
        .find(|write| write.offset == 0)
        .context("the first copy")?;
    let one = packed(area.as_bytes());
    let template = VolumeTemplate {
        blocks: vec![(0, vec![0x42; BLOCK_BYTES]), (7, vec![0x43; BLOCK_BYTES])],
    };
    Ok(vec![
        ("state_template", "two-blocks", template.encode()?),
        ("luks_header", "two-keyslots", packed(&two.bytes)),
        (
            "luks_header",
            "null-cipher",
            changed(
                &one,
                "\"0\",\"encryption\":\"aes-xts-plain64\"",
                "\"0\",\"encryption\":\"cipher_null-ecb\"",
            ),
        ),
        (
            "luks_header",
            "reencryption",
            changed(
                &one,
                "\"config\":{",
                "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},",
            ),
        ),
        ("luks_header", "new", one),
        (
            "recovery_key",
            "typed",
            RecoveryKey::of(&[0x5a; 32]).as_str().to_uppercase().into_bytes(),
        ),
    ])
}
