//! The JSON text against the template, strictly: what is worst is looked for first, every member must be known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use crate::error::{HeaderError, shown};
use crate::json::{Members, Node, Place};
use crate::kdf::KdfCost;
use crate::metadata::{Keyslot, KeyslotRecord, Metadata, Position};
use crate::template::{
    DIGEST_ITERATIONS, ENCRYPTION, JSON_BYTES, KEYSLOT_AREA_BYTES, KEYSLOTS_BYTES, SEGMENT_OFFSET_BYTES,
    SEGMENT_SECTOR_BYTES, STRIPES, TOKEN_TYPE, VOLUME_KEY_BYTES,
};

/// Matches a JSON text of at most 12,287 bytes.
pub(crate) fn match_template(uuid: Uuid, json: &[u8]) -> Result<Metadata, HeaderError> {
    let root = Node::parse(json)?;
    refuse_reencryption(&root)?;
    let mut top = Place::root(&root).members()?;
    match_segments(top.take("segments")?)?;
    match_config(top.take("config")?)?;
    let keyslots = match_keyslots(top.take("keyslots")?)?;
    let digest = top.take("digests")?;
    let token = top.take("tokens")?;
    top.finish()?;
    let mut metadata = Metadata {
        uuid,
        generation: 0,
        mac: [0; 32],
        keyslots,
        digest_salt: [0; 32],
        digest: [0; 32],
    };
    match_digest(digest, &mut metadata)?;
    match_token(token, &mut metadata)?;
    Ok(metadata)
}

/// Each of the three traces that re-encryption leaves: requirement, keyslot, flags of segments.
fn refuse_reencryption(root: &Node) -> Result<(), HeaderError> {
    let found_in = |path, node: Option<&Node>| match node.and_then(|node| node.find_text("reencrypt")) {
        Some(found) => Err(HeaderError::Reencryption {
            path,
            found: shown(found),
        }),
        None => Ok(()),
    };
    found_in(
        "config.requirements",
        root.get("config").and_then(|config| config.get("requirements")),
    )?;
    for (_, keyslot) in root.get("keyslots").into_iter().flat_map(Node::entries) {
        found_in("keyslots", keyslot.get("type"))?;
    }
    for (_, segment) in root.get("segments").into_iter().flat_map(Node::entries) {
        let flags = segment.get("flags");
        for word in ["reencrypt", "backup-"] {
            if let Some(found) = flags.and_then(|flags| flags.find_text(word)) {
                let found = shown(found);
                return Err(HeaderError::Reencryption {
                    path: "segments",
                    found,
                });
            }
        }
    }
    Ok(())
}

fn match_segments(place: Place<'_>) -> Result<(), HeaderError> {
    let mut segments = place.members()?;
    if segments.len() != 1 {
        return Err(HeaderError::Segments {
            found: segments.len(),
        });
    }
    let mut segment = segments.take("0")?.members()?;
    let kind = segment.take("type")?.text()?;
    if kind != "crypt" {
        return Err(HeaderError::NotEncrypted { found: shown(kind) });
    }
    match_cipher(&segment.take("encryption")?)?;
    if segment.take_if_there("integrity").is_some() {
        return Err(HeaderError::Integrity);
    }
    let offset = segment.take("offset")?;
    let found = offset.text()?;
    if found != SEGMENT_OFFSET_BYTES.to_string() {
        return Err(HeaderError::OtherOffset {
            path: offset.path,
            expected: "16777216",
            found: shown(found),
        });
    }
    segment.take("size")?.must_be("dynamic")?;
    segment.take("iv_tweak")?.must_be("0")?;
    let found = segment.take("sector_size")?.number()?;
    if found != SEGMENT_SECTOR_BYTES {
        return Err(HeaderError::SectorSize {
            expected: SEGMENT_SECTOR_BYTES,
            found,
        });
    }
    refuse_flags(&mut segment)?;
    segment.finish()
}

fn match_cipher(place: &Place<'_>) -> Result<(), HeaderError> {
    let found = place.text()?;
    if found == ENCRYPTION {
        return Ok(());
    }
    let (path, null) = (place.path.clone(), found.to_ascii_lowercase().contains("null"));
    let found = shown(found);
    Err(if null {
        HeaderError::NullCipher { path, found }
    } else {
        HeaderError::OtherCipher { path, found }
    })
}

fn refuse_flags(members: &mut Members<'_>) -> Result<(), HeaderError> {
    match members.take_if_there("flags") {
        Some(place) => Err(HeaderError::Flags { path: place.path }),
        None => Ok(()),
    }
}

fn match_config(place: Place<'_>) -> Result<(), HeaderError> {
    let mut config = place.members()?;
    if config.take_if_there("requirements").is_some() {
        return Err(HeaderError::Requirements);
    }
    refuse_flags(&mut config)?;
    config.take("json_size")?.must_be(&JSON_BYTES.to_string())?;
    config
        .take("keyslots_size")?
        .must_be(&KEYSLOTS_BYTES.to_string())?;
    config.finish()
}

fn match_keyslots(place: Place<'_>) -> Result<[Option<KeyslotRecord>; 2], HeaderError> {
    let mut members = place.members()?;
    let mut keyslots = [None, None];
    for (keyslot, record) in Keyslot::ALL.into_iter().zip(&mut keyslots) {
        if let Some(place) = members.take_if_there(keyslot.name()) {
            *record = Some(match_keyslot(keyslot, place)?);
        }
    }
    members.finish()?;
    if let [Some(one), Some(other)] = &keyslots
        && one.position == other.position
    {
        let offset = one.position.offset();
        return Err(HeaderError::KeyslotsOverlap { offset });
    }
    Ok(keyslots)
}

fn match_keyslot(keyslot: Keyslot, place: Place<'_>) -> Result<KeyslotRecord, HeaderError> {
    let mut members = place.members()?;
    members.take("type")?.must_be("luks2")?;
    members
        .take("key_size")?
        .must_be_number(VOLUME_KEY_BYTES as u64)?;
    let mut af = members.take("af")?.members()?;
    af.take("type")?.must_be("luks1")?;
    af.take("stripes")?.must_be_number(STRIPES as u64)?;
    af.take("hash")?.must_be("sha256")?;
    af.finish()?;
    let position = match_area(members.take("area")?)?;
    let (cost, salt) = match_kdf(keyslot, members.take("kdf")?)?;
    members.finish()?;
    Ok(KeyslotRecord { position, cost, salt })
}

fn match_area(place: Place<'_>) -> Result<Position, HeaderError> {
    let mut area = place.members()?;
    area.take("type")?.must_be("raw")?;
    match_cipher(&area.take("encryption")?)?;
    area.take("key_size")?.must_be_number(VOLUME_KEY_BYTES as u64)?;
    area.take("size")?.must_be(&KEYSLOT_AREA_BYTES.to_string())?;
    let offset = area.take("offset")?;
    let found = offset.text()?;
    area.finish()?;
    Position::ALL
        .into_iter()
        .find(|position| position.offset().to_string() == found)
        .ok_or_else(|| HeaderError::OtherOffset {
            path: offset.path,
            expected: "32768 or 290816",
            found: shown(found),
        })
}

fn match_kdf(keyslot: Keyslot, place: Place<'_>) -> Result<(KdfCost, [u8; 32]), HeaderError> {
    let mut kdf = place.members()?;
    let kind = kdf.take("type")?;
    let found = kind.text()?;
    if found != "argon2id" {
        let (path, found) = (kind.path, shown(found));
        return Err(HeaderError::OtherKdf { path, found });
    }
    let memory = kdf.take("memory")?.number()?;
    let time = kdf.take("time")?.number()?;
    let cpus = kdf.take("cpus")?.number()?;
    let cost = KdfCost::new(memory, time, cpus).map_err(|cost| HeaderError::KdfCost { keyslot, cost })?;
    let salt = base64(&kdf.take("salt")?)?;
    kdf.finish()?;
    Ok((cost, salt))
}

fn match_digest(place: Place<'_>, metadata: &mut Metadata) -> Result<(), HeaderError> {
    let mut digests = place.members()?;
    if digests.len() != 1 {
        return Err(HeaderError::Digests { found: digests.len() });
    }
    let mut digest = digests.take("0")?.members()?;
    digest.take("type")?.must_be("pbkdf2")?;
    let mut keyslots = digest.take("keyslots")?.texts()?;
    keyslots.sort_unstable();
    let expected = metadata.keyslot_names();
    if keyslots != expected {
        return Err(HeaderError::DigestKeyslots {
            expected: expected.join(","),
            found: shown(&keyslots.join(",")),
        });
    }
    let segments = digest.take("segments")?;
    let found = segments.texts()?;
    if found != ["0"] {
        return Err(segments.other_value("[\"0\"]", &found.join(",")));
    }
    digest.take("hash")?.must_be("sha256")?;
    digest
        .take("iterations")?
        .must_be_number(DIGEST_ITERATIONS.into())?;
    metadata.digest_salt = base64(&digest.take("salt")?)?;
    metadata.digest = base64(&digest.take("digest")?)?;
    digest.finish()
}

fn match_token(place: Place<'_>, metadata: &mut Metadata) -> Result<(), HeaderError> {
    let mut tokens = place.members()?;
    match tokens.len() {
        0 => return Err(HeaderError::NoToken),
        1 => {}
        found => return Err(HeaderError::MoreThanOneToken { found }),
    }
    let mut token = tokens.take("0")?.members()?;
    let kind = token.take("type")?.text()?;
    if kind != TOKEN_TYPE {
        return Err(HeaderError::OtherToken { found: shown(kind) });
    }
    let keyslots = token.take("keyslots")?;
    let found = keyslots.texts()?;
    if !found.is_empty() {
        return Err(keyslots.other_value("[]", &found.join(",")));
    }
    let generation = token.take("generation")?;
    let found = generation.text()?;
    metadata.generation = found
        .parse()
        .ok()
        .filter(|number: &u64| number.to_string() == found)
        .ok_or_else(|| generation.other_value("a decimal number of 64 bits", found))?;
    let mac = token.take("mac")?;
    let found = mac.text()?;
    hex::decode_to_slice(found, &mut metadata.mac)
        .ok()
        .filter(|()| hex::encode(metadata.mac) == found)
        .ok_or_else(|| mac.other_value("64 hexadecimal digits in lower case", found))?;
    token.finish()
}

/// 32 bytes.
fn base64(place: &Place<'_>) -> Result<[u8; 32], HeaderError> {
    let found = place.text()?;
    BASE64
        .decode(found)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| place.other_value("32 bytes in base64", found))
}
