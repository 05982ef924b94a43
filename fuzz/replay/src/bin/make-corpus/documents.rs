//! Documents: the pinned examples of `crates/formats`, and one slot that verifies.

use crate::{Seed, root};
use anyhow::Context as _;
use bennu_formats::debug_token::{DebugToken, PAYLOAD_TYPE, machine_identity};
use bennu_formats::decode::Document as _;
use bennu_formats::digest::Sha256Digest;
use bennu_formats::dsse::{Envelope, SLOT_PAYLOAD_TYPE, Signature, key_id, pre_authentication_encoding};
use bennu_formats::factory_reset::ResetRequest;
use bennu_formats::first_boot;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::verity_sig::{BennuMember, VeritySig};
use bennu_fuzz_replay::{RELEASE_KEY_SEED, ROOT_HASH};
use ed25519_dalek::{Signer as _, SigningKey};

fn golden(name: &str) -> anyhow::Result<Vec<u8>> {
    let path = root().join("crates/formats/tests/golden").join(name);
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

pub fn seeds() -> anyhow::Result<Vec<Seed>> {
    let sig = golden("verity-sig.json")?;
    let envelope = serde_json::to_vec(&VeritySig::decode(&sig)?.bennu.manifest)?;
    let manifest = golden("slot-manifest.json")?;
    let line = format!("quiet roothash={ROOT_HASH} panic=10 -- later\n");
    Ok(vec![
        ("slot_manifest", "pinned", manifest.clone()),
        ("dsse_envelope", "pinned", envelope),
        ("verity_sig", "pinned", sig.clone()),
        ("verity_sig", "padded", VeritySig::decode(&sig)?.encode()?),
        ("verify_slot", "signed", signed_slot(&manifest)?),
        ("verify_slot", "stranger", sig),
        ("boot_record", "pinned", golden("boot-record.json")?),
        (
            "boot_record",
            "empty",
            br#"{"schema":1,"starts":0,"slots":{},"last":null}"#.to_vec(),
        ),
        ("firmware_record", "pinned", golden("firmware-record.json")?),
        (
            "escrow_key",
            "age-keygen",
            b"age18sugygkz8gcg2ch3m0ezm57vqazualugp0mxjwu8fh79kcgctayqzm4fhd".to_vec(),
        ),
        ("trust_config", "pinned", golden("trust.json")?),
        (
            "factory_reset",
            "plain",
            ResetRequest {
                nonce: [2; 16],
                mac: [1; 32],
            }
            .encode()
            .to_vec(),
        ),
        ("debug_token", "signed", debug_token()?),
        ("first_boot", "payload", golden("first-boot.json")?),
        ("first_boot", "signed", signed_first_boot()?),
        ("state_schema", "pinned", golden("state-schema.json")?),
        ("handover", "pinned", golden("boot.json")?),
        ("gate", "config", golden("gate-config.json")?),
        ("gate", "report", golden("gate-report.json")?),
        ("gate", "profiles", golden("profiles.json")?),
        ("gate", "trace", golden("trace-report.json")?),
        ("health", "config", golden("health-config.json")?),
        ("health", "drift", golden("drift-config.json")?),
        ("health", "waiting", golden("health-waiting.json")?),
        ("health", "good", golden("health-good.json")?),
        ("health", "unhealthy", golden("health-unhealthy.json")?),
        ("cmdline", "whole", line.clone().into_bytes()),
        (
            "cmdline",
            "twice",
            line.replace("panic", &format!("roothash={ROOT_HASH} panic"))
                .into_bytes(),
        ),
        ("uki_file_name", "plain", b"demo_2.1.efi".to_vec()),
        ("uki_file_name", "counted", b"demo_2.1~rc1+3-0.efi".to_vec()),
        ("uki_file_name", "short", b"demo_2+3.efi".to_vec()),
        ("uki_file_name", "bad", b"demo_2^1-2+0-12.efi".to_vec()),
    ])
}

/// A token that `debug_token` accepts.
fn debug_token() -> anyhow::Result<Vec<u8>> {
    let token = DebugToken {
        schema: 1,
        image_id: "demo".parse()?,
        machine: machine_identity(b"name"),
        day: "2026-11-21".parse()?,
        note: "ticket 7".to_owned(),
    };
    let payload = serde_json::to_vec(&token)?;
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED);
    let message = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
    Ok(serde_json::to_vec(&Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload,
        signatures: vec![Signature {
            keyid: key_id(&key.verifying_key().to_bytes()),
            sig: key.sign(&message).to_bytes().to_vec(),
        }],
    })?)
}

/// The partition of a slot that `verify_slot` accepts.
fn signed_slot(manifest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut manifest = SlotManifest::decode(manifest)?;
    manifest.verity.root_hash = ROOT_HASH;
    let payload = serde_json::to_vec_pretty(&manifest)?;
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED);
    let message = pre_authentication_encoding(SLOT_PAYLOAD_TYPE, &payload);
    let signature = Signature {
        keyid: key_id(&key.verifying_key().to_bytes()),
        sig: key.sign(&message).to_bytes().to_vec(),
    };
    let sig = VeritySig {
        root_hash: ROOT_HASH,
        signature: vec![0x30, 0x00],
        certificate_fingerprint: Sha256Digest::ZERO,
        bennu: BennuMember {
            manifest: Envelope {
                payload_type: SLOT_PAYLOAD_TYPE.into(),
                payload,
                signatures: vec![signature],
            },
        },
    };
    Ok(sig.encode()?)
}

/// A file that `first_boot` accepts.
fn signed_first_boot() -> anyhow::Result<Vec<u8>> {
    let payload = br#"{"schema":1,"image_id":"demo","hostname":"kiosk-7","time_zone":"UTC"}"#.to_vec();
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED);
    let message = pre_authentication_encoding(first_boot::PAYLOAD_TYPE, &payload);
    Ok(serde_json::to_vec(&Envelope {
        payload_type: first_boot::PAYLOAD_TYPE.into(),
        signatures: vec![Signature {
            keyid: key_id(&key.verifying_key().to_bytes()),
            sig: key.sign(&message).to_bytes().to_vec(),
        }],
        payload,
    })?)
}
