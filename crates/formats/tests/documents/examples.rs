//! One of each document, with every optional member present.

use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, SlotRecord, Stage};
use bennu_formats::decode::Document;
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::dsse::{Envelope, SLOT_PAYLOAD_TYPE, Signature, key_id};
use bennu_formats::firmware_record::{DIGEST_DIGITS, FirmwareEvent, FirmwareRecord};
use bennu_formats::first_boot::{AuthorizedKeys, FirstBoot, NetworkFile};
use bennu_formats::handover::{
    BlockDevice, FellBack, Handover, HardeningFact, IdentityReport, KeptSchema, KernelFacts, MachineIdSource,
    RootHashCheck, SecureBootState, StateVolume, StepTime,
};
use bennu_formats::hardening::HardeningState;
use bennu_formats::health::{HealthCheck, HealthConfig, HealthReport, HealthState, ModulesRule};
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::manifest::{
    Architecture, BuildParameters, GoldenIndexBinding, POLICY_PCRS, POLICY_REF, PredictedPcrs, RootImage,
    SlotManifest, TpmPolicy, UkiBinding, VerityParameters,
};
use bennu_formats::names::{ImageId, ImageVersion};
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trust::{
    LocalRule, PinRule, RecoveryRule, ReleaseKey, ScreenResetRule, SecretSpec, SecureBootBinding,
    SecureBootRule, StateRule, TrustConfig,
};
use bennu_formats::units::{Blocks4K, Bytes};
use bennu_formats::verity_sig::{BennuMember, VeritySig};
use std::collections::BTreeMap;

mod gate;

pub use gate::*;

pub const ROOT_HASH: RootHash = RootHash(*b"an example of a root hash, 32 by");

pub fn id() -> ImageId {
    "demo".parse().unwrap()
}

pub fn version(text: &str) -> ImageVersion {
    text.parse().unwrap()
}

fn digest(what: &str) -> Sha256Digest {
    Sha256Digest::of(what.as_bytes())
}

pub fn failure() -> Failure {
    Failure::new(Code::VerityCorrupt, "the kernel said: data block 7 is corrupted")
}

pub fn manifest() -> SlotManifest {
    SlotManifest {
        schema: SlotManifest::SCHEMA,
        critical: vec!["verity".into(), "tpm_policy".into()],
        image_id: id(),
        version: version("2.1"),
        security_version: 3,
        architecture: Architecture::X86_64,
        root: RootImage {
            bytes: Bytes(1000 * 4096),
            filesystem: "erofs".into(),
        },
        verity: VerityParameters {
            format: 1,
            hash: "sha256".into(),
            root_hash: ROOT_HASH,
            salt: digest("salt").0.to_vec(),
            data_block_bytes: 4096,
            hash_block_bytes: 4096,
            data_blocks: Blocks4K(1000),
            hash_start: Blocks4K(1),
            tree_bytes: Bytes(10 * 4096),
        },
        uki: UkiBinding {
            sha256: digest("uki"),
            bytes: Bytes(16_900_608),
            stub_version: "257.13-1~deb13u1".into(),
        },
        pcrs: PredictedPcrs {
            sections: [".cmdline", ".initrd", ".linux", ".osrel"]
                .map(|name| (name.to_owned(), digest(name)))
                .into(),
            pcr11_sections: digest("11 sections"),
            pcr11_enter_initrd: digest("11 enter-initrd"),
            pcr11_leave_initrd: digest("11 leave-initrd"),
            pcr11_sysinit: digest("11 sysinit"),
            pcr11_ready: digest("11 ready"),
            pcr12: Sha256Digest::ZERO,
            pcr13: Sha256Digest::ZERO,
        },
        tpm_policy: TpmPolicy {
            policy_ref: POLICY_REF.into(),
            pcrs: POLICY_PCRS.to_vec(),
            key_name: [&[0x00, 0x0b][..], &digest("policy key").0].concat(),
            approved_policy: digest("policy"),
            signature: (0..=255).collect(),
        },
        state_schema: 1,
        golden_index: Some(GoldenIndexBinding {
            sha256: digest("golden index"),
            bytes: Bytes(1_234_567),
        }),
        build: BuildParameters {
            source_date_epoch: 1_750_000_000,
            builder: "bennu 0.1.0".into(),
        },
    }
}

pub fn envelope() -> Envelope {
    Envelope {
        payload_type: SLOT_PAYLOAD_TYPE.into(),
        payload: serde_json::to_vec_pretty(&manifest()).unwrap(),
        signatures: vec![Signature {
            keyid: key_id(&[1; 32]),
            sig: vec![2; 64],
        }],
    }
}

pub fn verity_sig() -> VeritySig {
    VeritySig {
        root_hash: ROOT_HASH,
        signature: vec![0x30, 0x82, 0x01, 0x00],
        certificate_fingerprint: digest("certificate"),
        bennu: BennuMember { manifest: envelope() },
    }
}

pub fn boot_record() -> BootRecord {
    let good = SlotRecord {
        stage: Stage::Healthy,
        ..SlotRecord::default()
    };
    let bad = SlotRecord {
        attempts: 2,
        stage: Stage::Pivoted,
        bad: Some(failure()),
        last_failure: Some(failure()),
        state_schema: Some(2),
    };
    BootRecord {
        schema: BootRecord::SCHEMA,
        starts: 41,
        slots: BTreeMap::from([(version("2"), good), (version("10"), bad)]),
        last: Some(version("2")),
        state_readable_from: Some(1),
        drift_flips: 1,
    }
}

pub fn trust() -> TrustConfig {
    TrustConfig {
        schema: TrustConfig::SCHEMA,
        image_id: id(),
        version: version("2.1"),
        architecture: Architecture::X86_64,
        release_keys: vec![ReleaseKey(vec![1; 32]), ReleaseKey(vec![2; 32])],
        release_threshold: 2,
        tpm_policy_modulus: (0..=255).rev().collect(),
        secure_boot: SecureBootRule::Required,
        secrets: vec![SecretSpec {
            name: "demo-token".into(),
            bytes: 32,
        }],
        state: StateRule::Encrypted,
        recovery: RecoveryRule::Escrow(
            "age18sugygkz8gcg2ch3m0ezm57vqazualugp0mxjwu8fh79kcgctayqzm4fhd"
                .parse()
                .expect("printed by age-keygen"),
        ),
        local: LocalRule {
            pin: PinRule::Required,
            secure_boot: SecureBootBinding::Free,
            screen_reset: ScreenResetRule::Offered,
        },
        debug_keys: Vec::new(),
        state_readable_from: 1,
        identity: IdentityRule {
            classes: IdentityClass::DEFAULT.to_vec(),
            paths: vec!["/etc/chrony/chrony.keys".parse().unwrap()],
        },
        configuration_keys: vec![ReleaseKey(vec![3; 32])],
        max_attempts: 3,
    }
}

pub fn handover() -> Handover {
    let device = |path: &str, number: &str| BlockDevice {
        path: path.into(),
        number: number.into(),
    };
    Handover {
        schema: Handover::SCHEMA,
        image_id: id(),
        version: version("2"),
        security_version: 3,
        floor: 2,
        root_hash: ROOT_HASH,
        verified_by: vec![key_id(&[1; 32])],
        manifest_sha256: digest("manifest"),
        disk: device("/dev/vda", "254:0"),
        esp: device("/dev/vda1", "254:1"),
        root: device("/dev/vda2", "254:2"),
        verity: device("/dev/vda3", "254:3"),
        verity_device: device("/dev/dm-0", "253:0"),
        verity_table: "0 8000 verity 1 254:2 254:3 4096 4096 1000 1 sha256 aa bb".into(),
        secure_boot: SecureBootState::Enforced,
        kernel: KernelFacts {
            release: "6.12.1-amd64".into(),
            hardening: vec![HardeningFact {
                option: "lockdown=integrity".into(),
                state: HardeningState::InForce,
            }],
            root_hash_check: RootHashCheck::ByKernel,
            ima_policy_sha256: Some(digest("ima")),
        },
        entry: "demo_2+2-1.efi".into(),
        attempts: 1,
        predicted_pcrs: manifest().pcrs,
        pcrs: BTreeMap::from([(11, digest("11")), (15, digest("15"))]),
        secrets: vec!["demo-token".into()],
        state_volume: Some(StateVolume {
            uuid: "f04ff38b-846b-4a5b-84ef-be151c9665f5".into(),
            generation: 7,
            mounted: "/run/bennu/state".into(),
            schema: KeptSchema {
                of_release: 2,
                written: 3,
                readable_from: 1,
            },
        }),
        machine: None,
        debug: None,
        factory_reset: None,
        identity: Some(IdentityReport {
            kept: 2,
            refused: vec!["/etc/ssh/ssh_host_x_key: expected a regular file, found a symbolic link".into()],
            first_boot: Some(digest("first boot")),
            machine_id: MachineIdSource::FirstBootConfiguration,
            list: IdentityRule {
                classes: vec![IdentityClass::MachineId, IdentityClass::SshHostKeys],
                paths: vec!["/etc/chrony/chrony.keys".parse().unwrap()],
            },
        }),
        fell_back: Some(FellBack {
            from_version: version("2.1"),
            failure: failure(),
        }),
        steps: vec![StepTime {
            step: "dm-verity, checked".into(),
            start_ms: 812,
            took_ms: 90,
        }],
    }
}

pub fn health() -> HealthConfig {
    HealthConfig {
        schema: HealthConfig::SCHEMA,
        checks: vec![
            HealthCheck::UnitActive {
                unit: "multi-user.target".into(),
            },
            HealthCheck::Command {
                argv: vec!["/usr/bin/true".into(), "--now".into()],
            },
            HealthCheck::FileExists {
                path: "/run/ready".into(),
            },
        ],
        deadline_s: 300,
        tries: 3,
        max_attempts: 3,
        modules_after_start: ModulesRule::Locked,
    }
}

pub fn reports() -> [HealthReport; 3] {
    let report = |health| HealthReport {
        schema: HealthReport::SCHEMA,
        health,
        entry: "demo_2+3-0.efi".into(),
    };
    [
        report(HealthState::Waiting {
            on: "unit multi-user.target".into(),
        }),
        report(HealthState::Good { at_ms: 41_000 }),
        report(HealthState::Unhealthy { failure: failure() }),
    ]
}

pub fn firmware_record() -> FirmwareRecord {
    let event = |pcr, what: &str| FirmwareEvent {
        pcr,
        what: what.into(),
        digest: digest(what).to_string()[..DIGEST_DIGITS].into(),
    };
    FirmwareRecord {
        schema: 1,
        version: version("2.1"),
        pcrs: BTreeMap::from([(0, digest("0")), (4, digest("4")), (7, digest("7"))]),
        events: vec![
            event(0, "firmware version"),
            event(7, "variable dbx"),
            event(4, "program \\EFI\\BOOT\\BOOTX64.EFI"),
        ],
    }
}

pub fn first_boot() -> FirstBoot {
    FirstBoot {
        schema: FirstBoot::SCHEMA,
        image_id: id(),
        machine: Some("f04ff38b-846b-4a5b-84ef-be151c9665f5".parse().unwrap()),
        hostname: Some("kiosk-7".into()),
        machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        time_zone: Some("Europe/Vienna".into()),
        network: vec![NetworkFile {
            name: "10-lan.network".into(),
            content: "[Match]\nName=en*\n[Network]\nDHCP=yes\n".into(),
        }],
        authorized_keys: vec![AuthorizedKeys {
            user: "admin".into(),
            keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 somebody".into()],
        }],
    }
}

pub fn state_schema() -> StateSchema {
    StateSchema::new(3, 2)
}
