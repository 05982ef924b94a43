//! Measuring into all active banks, judged by tpm2-tools.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    Digest, Event, EventKind, HashAlg, Measured, NvAttributes, NvCompare, NvCondition, NvPublic, PcrMask,
    SessionKind, Tpm, TpmError, policy_authorize_digest, policy_nv_digest, policy_pcr_digest, signed_digest,
};
use workshop::{POLICY_REF, Signer, Swtpm, meddled};

fn phase(text: &str) -> Event<'_> {
    Event {
        pcr: 11,
        measured: Measured::Data(text.as_bytes()),
        kind: EventKind::Phase,
        text,
    }
}

#[test]
fn every_active_bank_is_extended_and_no_other() {
    let sets: [&[HashAlg]; 5] = [
        &[HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384],
        &[HashAlg::Sha256],
        &[HashAlg::Sha1],
        &[HashAlg::Sha384],
        &[HashAlg::Sha256, HashAlg::Sha512],
    ];
    for algs in sets {
        let names: Vec<&str> = algs.iter().map(|alg| alg.name()).collect();
        let swtpm = Swtpm::with_banks(&names.join(","));
        let mut tpm = swtpm.connect();
        let record = tpm.pcr_extend(&phase("enter-initrd")).unwrap();
        let expected: Vec<Digest> = algs.iter().map(|alg| alg.digest(b"enter-initrd")).collect();
        assert_eq!(record.digests, expected);
        for alg in HashAlg::ALL {
            let result = tpm.pcr_read(alg, PcrMask::of(&[11]).unwrap());
            if algs.contains(&alg) {
                let after = Digest::zero(alg).extended_with(&alg.digest(b"enter-initrd"));
                assert_eq!(result.unwrap().get(11), Some(&after));
            } else {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, TpmError::PcrNotAllocated { pcr: 11, alg: a } if a == alg),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn tpm2_tools_read_the_values_we_predict() {
    let swtpm = Swtpm::start_tcp();
    let key = [7; 32];
    let keyed = Measured::Keyed {
        key: &key,
        data: b"state",
    };
    {
        let mut tpm = swtpm.connect_tcp();
        tpm.pcr_extend(&phase("enter-initrd")).unwrap();
        tpm.pcr_extend(&phase("leave-initrd")).unwrap();
        tpm.pcr_extend(&Event {
            pcr: 15,
            measured: keyed,
            kind: EventKind::VolumeKey,
            text: "state",
        })
        .unwrap();
    }
    for alg in HashAlg::ALL {
        let output = swtpm.tool("tpm2_pcrread", &[&format!("{alg}:11,15")]);
        let phases = Digest::zero(alg)
            .extended_with(&alg.digest(b"enter-initrd"))
            .extended_with(&alg.digest(b"leave-initrd"));
        let volume = Digest::zero(alg).extended_with(&alg.keyed_digest(&key, b"state"));
        for value in [phases, volume] {
            assert!(
                output.to_lowercase().contains(&format!("0x{value}")),
                "{alg}: {value} not in {output}"
            );
        }
    }
}

#[test]
fn all_pcrs_of_a_bank_are_read_in_several_answers() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.pcr_extend(&phase("x")).unwrap();
    let all: Vec<u8> = (0..24).collect();
    let values = tpm.pcr_read(HashAlg::Sha256, PcrMask::of(&all).unwrap()).unwrap();
    let pcrs: Vec<u8> = values.iter().map(|(pcr, _)| pcr).collect();
    assert_eq!(pcrs, all);
    assert_eq!(
        values.get(11),
        Some(&Digest::zero(HashAlg::Sha256).extended_with(&HashAlg::Sha256.digest(b"x")))
    );
    assert_eq!(
        values.get(17).map(|value| value.as_bytes()),
        Some(&[0xFF; 32][..]),
        "dynamic launch pcr"
    );
}

#[test]
fn an_active_bank_that_we_cannot_compute_is_refused_before_anything_is_extended() {
    let swtpm = Swtpm::start();
    let mut sent = Vec::new();
    {
        let mut tpm = meddled(swtpm.transport(), |inner, command| {
            sent.push(workshop::code_of(command));
            let mut response = bennu_tpm::Transport::transact(inner, command)?;
            // The first bank in the allocation becomes SM3-256.
            if workshop::code_of(command) == 0x17A {
                response[19..21].copy_from_slice(&[0x00, 0x12]);
            }
            Ok(response)
        });
        let error = tpm.pcr_extend(&phase("enter-initrd")).unwrap_err();
        assert!(
            matches!(error, TpmError::UnsupportedBank { pcr: 11, alg: 0x12 }),
            "{error}"
        );
    }
    assert_eq!(sent, [0x17A], "only TPM2_GetCapability was sent");
    assert!(swtpm.connect().pcr_extend(&phase("enter-initrd")).is_ok());
}

#[test]
fn a_pcr_beyond_23_is_refused() {
    let swtpm = Swtpm::start();
    let mut event = phase("x");
    event.pcr = 24;
    let error = swtpm.connect().pcr_extend(&event).unwrap_err();
    assert!(matches!(error, TpmError::NoSuchPcr { pcr: 24 }), "{error}");
}

#[test]
fn properties_tell_maker_and_authorisations() {
    let swtpm = Swtpm::start();
    let properties = swtpm.connect().properties().unwrap();
    assert_eq!(&properties.manufacturer, b"IBM\0");
    assert_ne!(properties.firmware_version, 0);
    assert!(!properties.in_lockout && !properties.owner_auth_set && !properties.lockout_auth_set);
}

/// Leaves the Name in the file `key.name`.
fn tools_agree_about_the_name(swtpm: &Swtpm, signer: &Signer) {
    // Our public area as it is; and the tool's own, which writes the exponent 65537 out instead of 0.
    let area = signer.public.public_area();
    let size = u16::try_from(area.len()).unwrap().to_be_bytes();
    std::fs::write(swtpm.path().join("key.public"), [&size[..], &area].concat()).unwrap();
    let load = ["-C", "o", "-u", "key.public", "-c", "key.ctx", "-n", "key.name"];
    swtpm.tool("tpm2_loadexternal", &load);
    assert_eq!(
        std::fs::read(swtpm.path().join("key.name")).unwrap(),
        signer.public.name().as_bytes()
    );
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    signer.write_public(&swtpm.path().join("key.pem"));
    let load = [
        "-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "pem.ctx", "-n", "pem.name",
    ];
    swtpm.tool("tpm2_loadexternal", &load);
    let mut written_out = area;
    written_out[16..20].copy_from_slice(&65537u32.to_be_bytes());
    let expected = bennu_tpm::Name::of_public_area(&written_out);
    assert_eq!(
        std::fs::read(swtpm.path().join("pem.name")).unwrap(),
        expected.as_bytes()
    );
}

#[test]
fn the_tpm_and_tpm2_tools_reach_the_policy_digests_we_compute() {
    let swtpm = Swtpm::start_tcp();
    let signer = Signer::ours();
    let mask = PcrMask::of(&[11, 12, 13, 15]).unwrap();
    let (values, ours_pcr, ours_authorize) = {
        let mut tpm = swtpm.connect_tcp();
        tpm.pcr_extend(&phase("enter-initrd")).unwrap();
        let values = tpm.pcr_read(HashAlg::Sha256, mask).unwrap();
        let approved = policy_pcr_digest(&values);
        let authorized = policy_authorize_digest(&signer.public.name(), POLICY_REF);

        let srk = tpm.storage_key().unwrap();
        let key = tpm.load_policy_key(&signer.public).unwrap();
        let digest = signed_digest(&approved, POLICY_REF);
        let ticket = tpm
            .verify_signature(&key, &digest, &signer.sign(&approved, POLICY_REF))
            .unwrap();
        tpm.flush(key.handle).unwrap();
        let session = tpm.start_session(&srk, SessionKind::Policy).unwrap();
        tpm.policy_pcr(&session, HashAlg::Sha256, mask, &values.combined())
            .unwrap();
        assert_eq!(tpm.policy_digest(&session).unwrap(), approved);
        tpm.policy_authorize(&session, &approved, POLICY_REF, &key.name, &ticket)
            .unwrap();
        assert_eq!(tpm.policy_digest(&session).unwrap(), authorized);
        tpm.flush(session.handle()).unwrap();
        tpm.flush(srk.handle()).unwrap();
        (values, approved, authorized)
    };
    assert_eq!(values.mask(), mask);
    swtpm.tool("tpm2_startauthsession", &["-S", "trial.ctx"]);
    swtpm.tool(
        "tpm2_policypcr",
        &["-S", "trial.ctx", "-l", "sha256:11,12,13,15", "-L", "pcr.policy"],
    );
    assert_eq!(std::fs::read(swtpm.path().join("pcr.policy")).unwrap(), ours_pcr);

    std::fs::write(swtpm.path().join("ref"), POLICY_REF).unwrap();
    tools_agree_about_the_name(&swtpm, signer);
    swtpm.tool("tpm2_flushcontext", &["trial.ctx"]);
    swtpm.tool("tpm2_startauthsession", &["-S", "trial2.ctx"]);
    swtpm.tool(
        "tpm2_policyauthorize",
        &[
            "-S",
            "trial2.ctx",
            "-i",
            "pcr.policy",
            "-q",
            "ref",
            "-n",
            "key.name",
            "-L",
            "auth.policy",
        ],
    );
    assert_eq!(
        std::fs::read(swtpm.path().join("auth.policy")).unwrap(),
        ours_authorize
    );
}

#[test]
fn tpm2_tools_reach_the_nv_policy_digest_we_compute() {
    let swtpm = Swtpm::start_tcp();
    let nv = NvPublic {
        index: 0x0180_0001,
        attributes: NvAttributes::OWNERWRITE
            .with(NvAttributes::AUTHREAD)
            .with(NvAttributes::OWNERREAD),
        auth_policy: None,
        size: 8,
    };
    {
        let mut tpm = swtpm.connect_tcp();
        tpm.nv_define(bennu_tpm::Auth::Password(&[]), &nv).unwrap();
        let owner = bennu_tpm::NvAuth::Owner(bennu_tpm::Auth::Password(&[]));
        tpm.nv_write(&nv, owner, &3u64.to_be_bytes()).unwrap();
    }
    let operand = 5u64.to_be_bytes().to_vec();
    let condition = NvCondition {
        nv: nv.written(),
        compare: NvCompare::AtMost,
        operand,
        offset: 0,
    };
    std::fs::write(swtpm.path().join("operand"), &condition.operand).unwrap();
    swtpm.tool("tpm2_startauthsession", &["-S", "trial.ctx"]);
    swtpm.tool(
        "tpm2_policynv",
        &[
            "-S",
            "trial.ctx",
            "-C",
            "o",
            "-i",
            "operand",
            "-L",
            "nv.policy",
            "0x1800001",
            "ule",
        ],
    );
    let ours = policy_nv_digest(&[0; 32], &condition);
    assert_eq!(std::fs::read(swtpm.path().join("nv.policy")).unwrap(), ours);
}
