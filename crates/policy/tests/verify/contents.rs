//! What was signed: types, identity, root hash, sizes, lengths, schemas.

use crate::slot::{ROOT_BYTES, ROOT_HASH, Slot, TREE_BYTES, key, manifest, sign};
use crate::{refused, signatures_refused};
use bennu_formats::Code;
use bennu_formats::decode::DecodeError;
use bennu_formats::digest::RootHash;
use bennu_formats::dsse::SLOT_PAYLOAD_TYPE;
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::PARTITION_BYTES;
use bennu_policy::verify::SlotRefusal;

#[test]
fn another_payload_type_is_refused_even_when_signed() {
    let mut slot = Slot::sound();
    let other = "application/vnd.in-toto+json";
    slot.envelope = sign(other, &slot.envelope.payload, &[&key(1), &key(2)]);
    assert_eq!(
        refused(&slot, Code::ManifestFormat),
        SlotRefusal::PayloadType(other.into())
    );
    // Renaming it afterwards does not help: the type is part of what is signed.
    slot.envelope.payload_type = SLOT_PAYLOAD_TYPE.into();
    signatures_refused(&slot, 0);
}

#[test]
fn a_long_payload_type_is_cut_in_the_refusal() {
    let mut slot = Slot::sound();
    slot.envelope.payload_type = "é".repeat(5000);
    assert_eq!(
        refused(&slot, Code::ManifestFormat),
        SlotRefusal::PayloadType("é".repeat(80))
    );
}

#[test]
fn every_changed_byte_of_the_payload_is_refused() {
    let sound = Slot::sound();
    for position in 0..sound.envelope.payload.len() {
        let mut slot = Slot::sound();
        slot.envelope.payload[position] ^= 1;
        let refusal = slot.verify().unwrap_err();
        assert!(
            matches!(refusal, SlotRefusal::Signatures { good: 0, .. }),
            "byte {position}: {refusal}"
        );
        if position > 40 && position % 16 != 0 {
            continue;
        }
        slot.envelope.payload.truncate(position);
        assert_eq!(slot.verify().unwrap_err().code(), Code::ManifestSignature);
    }
    assert!(sound.verify().is_ok(), "positive control");
}

#[test]
fn another_image_id_is_refused() {
    let mut slot = Slot::sound();
    slot.image_id = "other".parse().unwrap();
    assert_eq!(
        refused(&slot, Code::ManifestImageId),
        SlotRefusal::ImageId {
            expected: "other".parse().unwrap(),
            found: "demo".parse().unwrap()
        }
    );
}

#[test]
fn another_architecture_is_refused() {
    let foreign = SlotManifest {
        architecture: Architecture::Arm64,
        ..manifest()
    };
    let mut slot = Slot::of(&foreign);
    assert_eq!(
        refused(&slot, Code::ManifestArchitecture),
        SlotRefusal::Architecture {
            expected: Architecture::X86_64,
            found: Architecture::Arm64
        }
    );
    slot.architecture = Architecture::Arm64;
    assert!(slot.verify().is_ok(), "positive control");
}

#[test]
fn another_root_hash_in_the_manifest_the_json_or_the_uki_is_refused() {
    let other = RootHash([0xa5; 32]);
    let mut changed = manifest();
    changed.verity.root_hash = other;
    let in_manifest = Slot::of(&changed);
    let mut in_json = Slot::sound();
    in_json.outer_root_hash = other;
    for slot in [&in_manifest, &in_json] {
        assert_eq!(
            refused(slot, Code::ManifestRootHash),
            SlotRefusal::RootHash {
                expected: ROOT_HASH,
                found: other
            }
        );
    }
    let mut in_uki = Slot::sound();
    in_uki.facts.root_hash = other;
    assert_eq!(
        refused(&in_uki, Code::ManifestRootHash),
        SlotRefusal::RootHash {
            expected: other,
            found: ROOT_HASH
        }
    );
}

#[test]
fn a_root_or_tree_larger_than_its_partition_is_refused_and_one_that_just_fits_is_not() {
    let mut slot = Slot::sound();
    slot.facts.root_partition = Bytes(ROOT_BYTES - 1);
    assert_eq!(
        refused(&slot, Code::ManifestGeometry),
        SlotRefusal::RootSize {
            partition: Bytes(ROOT_BYTES - 1),
            found: Bytes(ROOT_BYTES)
        }
    );
    let mut slot = Slot::sound();
    slot.facts.verity_partition = Bytes(TREE_BYTES - 1);
    assert_eq!(
        refused(&slot, Code::ManifestGeometry),
        SlotRefusal::TreeSize {
            partition: Bytes(TREE_BYTES - 1),
            found: Bytes(TREE_BYTES)
        }
    );
    let mut roomy = Slot::sound();
    roomy.facts.root_partition = Bytes(u64::MAX);
    roomy.facts.verity_partition = Bytes(u64::MAX);
    assert!(roomy.verify().is_ok());
}

#[test]
fn an_unknown_critical_member_is_refused_though_signed_and_an_unknown_harmless_one_is_not() {
    let mut json = serde_json::to_value(manifest()).unwrap();
    json["colour"] = "red".into();
    assert!(
        Slot::of_payload(&serde_json::to_vec(&json).unwrap())
            .verify()
            .is_ok(),
        "positive control"
    );
    json["critical"] = serde_json::json!(["verity", "colour"]);
    let refusal = refused(
        &Slot::of_payload(&serde_json::to_vec(&json).unwrap()),
        Code::ManifestFormat,
    );
    let expected = DecodeError::UnknownCritical {
        document: "slot manifest",
        member: "colour".into(),
    };
    assert_eq!(refusal, SlotRefusal::Format(expected));
}

#[test]
fn a_newer_schema_is_refused_by_number() {
    let slot = Slot::of(&SlotManifest {
        schema: 2,
        ..manifest()
    });
    let expected = DecodeError::UnknownSchema {
        document: "slot manifest",
        expected: 1,
        found: 2,
    };
    assert_eq!(
        refused(&slot, Code::ManifestFormat),
        SlotRefusal::Format(expected)
    );
}

#[test]
fn too_long_partitions_and_payloads_are_refused_before_decoding() {
    let slot = Slot::sound();
    let mut bytes = slot.partition();
    bytes.resize(PARTITION_BYTES, 0);
    assert!(
        slot.verify_bytes(&bytes).is_ok(),
        "positive control: the whole partition, NUL-padded"
    );
    bytes.push(0);
    assert!(matches!(
        slot.verify_bytes(&bytes),
        Err(SlotRefusal::Format(DecodeError::TooLong {
            limit: PARTITION_BYTES,
            ..
        }))
    ));
    let mut json = serde_json::to_vec(&manifest()).unwrap();
    json.resize(64 * 1024, b' ');
    assert!(Slot::of_payload(&json).verify().is_ok(), "positive control");
    json.push(b' ');
    assert!(matches!(
        Slot::of_payload(&json).verify(),
        Err(SlotRefusal::Format(DecodeError::TooLong {
            document: "slot manifest",
            limit: 65_536,
            found: 65_537
        }))
    ));
}

#[test]
fn an_unsigned_payload_is_not_even_decoded() {
    let slot = Slot::of_payload(b"not JSON at all").signed_by(&[&key(9)]);
    signatures_refused(&slot, 0);
    let slot = Slot::of_payload(b"not JSON at all");
    let refusal = refused(&slot, Code::ManifestFormat);
    assert!(
        matches!(refusal, SlotRefusal::Format(DecodeError::Malformed { .. })),
        "{refusal}"
    );
}
