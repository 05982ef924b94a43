//! The documents and words of `crates/formats`, and the verifier that reads them.

use bennu_formats::boot_record::BootRecord;
use bennu_formats::debug_token::machine_identity;
use bennu_formats::decode::Document;
use bennu_formats::digest::RootHash;
use bennu_formats::drift::DriftConfig;
use bennu_formats::dsse::Envelope;
use bennu_formats::escrow::EscrowKey;
use bennu_formats::factory_reset::ResetRequest;
use bennu_formats::firmware_record::FirmwareRecord;
use bennu_formats::first_boot::FirstBoot;
use bennu_formats::gate::{GateConfig, GateReport};
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthConfig, HealthReport};
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::names::UkiFileName;
use bennu_formats::profile::ProfileSet;
use bennu_formats::state::VolumeTemplate;
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trace::TraceReport;
use bennu_formats::trust::{ReleaseKey, TrustConfig};
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::VeritySig;
use bennu_formats::watch::WatchReport;
use bennu_policy::debug_token::DebugFacts;
use bennu_policy::verify::first_boot::FirstBootTrust;
use bennu_policy::verify::{ReleaseTrust, SlotFacts};
use ed25519_dalek::SigningKey;

/// What is accepted must come out of a second decoding as it went in.
fn round_trip<T: Document + serde_json_value::Encode + PartialEq>(bytes: &[u8]) -> bool {
    let Ok(value) = T::decode(bytes) else { return false };
    if let Some(again) = value.encode().filter(|again| again.len() <= T::MAX_BYTES) {
        assert!(
            T::decode(&again).is_ok_and(|again| again == value),
            "{} changed on its way",
            T::NAME
        );
    }
    true
}

/// Encoding of whatever serde can.
mod serde_json_value {
    pub(super) trait Encode {
        fn encode(&self) -> Option<Vec<u8>>;
    }

    macro_rules! encode {
        ($($document:ty)*) => {
            $(impl Encode for $document {
                fn encode(&self) -> Option<Vec<u8>> {
                    serde_json::to_vec(self).ok()
                }
            })*
        };
    }
    encode! {
        super::SlotManifest super::TrustConfig super::BootRecord super::Handover super::HealthConfig
        super::HealthReport super::FirmwareRecord super::FirstBoot super::StateSchema super::GateConfig super::GateReport super::WatchReport
        super::TraceReport
        super::ProfileSet super::DriftConfig
    }
}

/// The slot manifest: the payload of the envelope.
pub fn slot_manifest(bytes: &[u8]) -> bool {
    round_trip::<SlotManifest>(bytes)
}

/// The escrow key in image.toml and in the trust configuration.
pub fn escrow_key(bytes: &[u8]) -> bool {
    let key = str::from_utf8(bytes).ok().map(str::parse::<EscrowKey>);
    let Some(Ok(key)) = key else { return false };
    assert_eq!(key.to_string().as_bytes(), bytes, "the key changed on its way");
    true
}

/// The wish for a factory reset.
pub fn factory_reset(bytes: &[u8]) -> bool {
    let Ok(Some(request)) = ResetRequest::decode(bytes) else {
        return false;
    };
    assert_eq!(request.encode(), bytes, "the wish changed on its way");
    true
}

/// A debug token, verified by the key of the seeds.
pub fn debug_token(bytes: &[u8]) -> bool {
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED);
    let keys = [ReleaseKey(key.verifying_key().to_bytes().to_vec())];
    let (Ok(image_id), Ok(today)) = ("demo".parse(), "2026-11-21".parse()) else {
        return false;
    };
    let facts = DebugFacts {
        keys: &keys,
        image_id: &image_id,
        machine: machine_identity(b"name"),
        today,
    };
    let accepted = bennu_policy::debug_token::verify(bytes, &facts);
    accepted.is_ok_and(|token| token.token().day == today)
}

/// The DSSE envelope.
pub fn dsse_envelope(bytes: &[u8]) -> bool {
    Envelope::decode(bytes).is_ok_and(|envelope| !envelope.pre_authentication_encoding().is_empty())
}

/// The root-verity-sig partition.
pub fn verity_sig(bytes: &[u8]) -> bool {
    let Ok(value) = VeritySig::decode(bytes) else {
        return false;
    };
    if let Ok(again) = value.encode() {
        assert_eq!(
            VeritySig::decode(&again),
            Ok(value),
            "the partition changed on its way"
        );
    }
    true
}

/// Secret half of the key that signs the seeds of [`verify_slot`]; a throw-away.
pub const RELEASE_KEY_SEED: [u8; 32] = [1; 32];
/// Root hash of those seeds.
pub const ROOT_HASH: RootHash = RootHash([0x5a; 32]);

/// The whole verification of a root-verity-sig partition by a machine that trusts one key.
pub fn verify_slot(bytes: &[u8]) -> bool {
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED).verifying_key();
    let Ok(image_id) = "demo".parse() else {
        return false;
    };
    let trust = ReleaseTrust {
        keys: &[ReleaseKey(key.to_bytes().to_vec())],
        threshold: 1,
        image_id: &image_id,
        architecture: Architecture::X86_64,
    };
    let facts = SlotFacts {
        root_hash: ROOT_HASH,
        root_partition: Bytes(1 << 30),
        verity_partition: Bytes(1 << 24),
    };
    bennu_policy::verify::verify_slot(bytes, &trust, &facts).is_ok()
}

/// The first-boot configuration on the ESP, by a machine that trusts one key and keeps the default classes.
pub fn first_boot(bytes: &[u8]) -> bool {
    let payload = round_trip::<FirstBoot>(bytes);
    let key = SigningKey::from_bytes(&RELEASE_KEY_SEED).verifying_key();
    let Ok(image_id) = "demo".parse() else {
        return false;
    };
    let trust = FirstBootTrust {
        keys: &[ReleaseKey(key.to_bytes().to_vec())],
        image_id: &image_id,
        identity: &IdentityRule {
            classes: IdentityClass::DEFAULT.to_vec(),
            paths: Vec::new(),
        },
        machine: None,
    };
    bennu_policy::verify::first_boot::verify(bytes, &trust).is_ok() || payload
}

/// The state volume's schema record.
pub fn state_schema(bytes: &[u8]) -> bool {
    round_trip::<StateSchema>(bytes)
}

/// The boot record on the ESP.
pub fn boot_record(bytes: &[u8]) -> bool {
    round_trip::<BootRecord>(bytes)
}

/// The firmware record on the ESP.
pub fn firmware_record(bytes: &[u8]) -> bool {
    round_trip::<FirmwareRecord>(bytes)
}

/// The initrd's template of the state volume.
pub fn state_template(bytes: &[u8]) -> bool {
    let Ok(template) = VolumeTemplate::decode(bytes) else {
        return false;
    };
    if let Ok(again) = template.encode() {
        assert!(
            VolumeTemplate::decode(&again).is_ok_and(|again| again == template),
            "the template changed on its way"
        );
    }
    true
}

/// The initrd's trust configuration.
pub fn trust_config(bytes: &[u8]) -> bool {
    round_trip::<TrustConfig>(bytes)
}

/// The hand-over record.
pub fn handover(bytes: &[u8]) -> bool {
    round_trip::<Handover>(bytes)
}

/// Gate configuration, reports, and profiles of units.
pub fn gate(bytes: &[u8]) -> bool {
    let config = round_trip::<GateConfig>(bytes) || round_trip::<ProfileSet>(bytes);
    let trace = round_trip::<TraceReport>(bytes);
    round_trip::<GateReport>(bytes) || round_trip::<WatchReport>(bytes) || config || trace
}

/// Health configuration and report, drift configuration.
pub fn health(bytes: &[u8]) -> bool {
    let config = round_trip::<HealthConfig>(bytes);
    let drift = round_trip::<DriftConfig>(bytes);
    round_trip::<HealthReport>(bytes) || config || drift
}

/// The kernel command line.
pub fn cmdline(bytes: &[u8]) -> bool {
    bennu_formats::cmdline::root_hash(bytes).is_ok()
}

/// The file name of a boot entry.
pub fn uki_file_name(bytes: &[u8]) -> bool {
    let Some(name) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse::<UkiFileName>().ok())
    else {
        return false;
    };
    for written in [&name, &name.bad(), &name.armed(3)] {
        assert_eq!(
            written.to_string().parse().as_ref(),
            Ok(written),
            "the name changed on its way"
        );
    }
    true
}
