//! What the kernel and the TPM say.

use crate::Seed;

/// TPM_ST_NO_SESSIONS, size, TPM_RC, parameters (TPM 2.0 Part 1, 18); the size of the frame in front.
fn frame(code: u32, parameters: &[u8]) -> Vec<u8> {
    let size = 10 + parameters.len();
    let mut out = (size as u16).to_le_bytes().to_vec();
    out.extend(0x8001u16.to_be_bytes());
    out.extend((size as u32).to_be_bytes());
    out.extend(code.to_be_bytes());
    out.extend(parameters);
    out
}

/// TPMS_CAPABILITY_DATA behind `moreData`.
fn capability(which: u32, entries: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend(which.to_be_bytes());
    out.extend((entries.len() as u32).to_be_bytes());
    out.extend(entries.concat());
    out
}

fn blob(local: bennu_tpm::LocalConditions) -> Vec<u8> {
    let public = bennu_tpm::SealedPublic {
        auth_policy: [4; 32],
        unique: [5; 32],
        lockout: match local.auth {
            bennu_tpm::AuthRule::None | bennu_tpm::AuthRule::Derived => bennu_tpm::Lockout::Exempt,
            bennu_tpm::AuthRule::Pin => bennu_tpm::Lockout::Counted,
        },
    };
    let blob = bennu_tpm::SealedBlob {
        srk_name: bennu_tpm::Name::of_public_area(b"a storage key"),
        local,
        public,
        private: vec![6; 126],
    };
    blob.encode().unwrap_or_default()
}

/// A record of each kind that `bennu-init` writes.
fn cel_log() -> Vec<u8> {
    let kinds = [
        (11, bennu_tpm::EventKind::Phase, "enter-initrd"),
        (15, bennu_tpm::EventKind::Manifest, "a manifest's digest"),
        (15, bennu_tpm::EventKind::VolumeKey, "bennu state volume"),
    ];
    let algs = [bennu_tpm::HashAlg::Sha1, bennu_tpm::HashAlg::Sha256];
    let records = kinds.map(|(pcr, kind, text)| {
        let record = bennu_tpm::EventRecord {
            pcr,
            digests: algs.map(|alg| alg.digest(text.as_bytes())).to_vec(),
            kind,
            text: text.to_owned(),
        };
        record.cel_json(&[9; 16], 1_000)
    });
    records.concat().into_bytes()
}

/// A log by OVMF, systemd-boot, systemd-stub and Linux, as a machine of the stories had it.
fn firmware_log() -> Vec<u8> {
    include_bytes!("../../../../../crates/eventlog/tests/fixtures/firmware-257.log").to_vec()
}

pub fn seeds() -> Vec<Seed> {
    let banks: [&[u8]; 2] = [&[0, 4, 3, 0xff, 0xff, 0xff], &[0, 0x0b, 3, 0xff, 0xff, 0xff]];
    let properties: [&[u8]; 3] = [
        b"\0\0\x01\x05IBM ",
        b"\0\0\x01\x0b\0\0\0\x01",
        b"\0\0\x02\0\0\0\0\0",
    ];
    let handles: [&[u8]; 2] = [&[0x81, 0, 0, 1], &[0x81, 1, 0, 1]];
    let list = "bennu-modules-v1\ndm-mod\t/lib/modules/dm-mod.ko\t\ndm-verity\t/lib/modules/dm-verity.ko\tdm-mod\n\
                virtio_blk\t/lib/modules/virtio_blk.ko\t\nalias\tvirtio:d00000002v*\tvirtio_blk\n\
                alias\tpci:v00001AF4d*[0-9]?sv*\tvirtio_blk\n";
    let event = "MAJOR=254\nMINOR=2\nDEVNAME=vda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=demo_2\n";
    vec![
        ("tpm_response", "banks", frame(0, &capability(5, &banks))),
        (
            "tpm_response",
            "properties",
            [
                frame(0, &capability(6, &properties)),
                frame(0, &capability(6, &properties)),
            ]
            .concat(),
        ),
        ("tpm_response", "handles", frame(0, &capability(1, &handles))),
        ("tpm_response", "started", frame(0, &[])),
        (
            "tpm_response",
            "busy",
            [frame(0x922, &[]), frame(0x922, &[]), frame(0x100, &[])].concat(),
        ),
        ("sealed_blob", "plain", blob(bennu_tpm::LocalConditions::NONE)),
        (
            "sealed_blob",
            "conditions",
            blob(bennu_tpm::LocalConditions {
                auth: bennu_tpm::AuthRule::Pin,
                secure_boot: Some([7; 32]),
            }),
        ),
        (
            "sealed_blob",
            "derived",
            blob(bennu_tpm::LocalConditions {
                auth: bennu_tpm::AuthRule::Derived,
                secure_boot: None,
            }),
        ),
        ("cel_log", "ours", cel_log()),
        ("firmware_log", "ovmf", firmware_log()),
        ("module_list", "virtio", list.as_bytes().to_vec()),
        ("uevent", "partition", event.as_bytes().to_vec()),
    ]
}
