//! Bytes that others keep or read: sealed blob, event log; and the fake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    AuthRule, BlobError, Event, EventKind, FakeTpm, HashAlg, LocalConditions, Lockout, Measured, Name,
    PcrMask, RsaPublic, SealLocal, SealPolicy, SealedBlob, SealedPublic, SrkTrust, Tpm, TpmError,
    UnsealError, WireError, policy_authorize_digest, policy_key_name, policy_pcr_digest,
};
use proptest::prelude::*;
use workshop::{POLICY_REF, SECRET, zero_pcrs};

fn blob() -> SealedBlob {
    SealedBlob {
        srk_name: Name::of_public_area(b"srk"),
        local: LocalConditions::NONE,
        public: SealedPublic {
            auth_policy: [0x11; 32],
            unique: [0x22; 32],
            lockout: Lockout::Exempt,
        },
        private: vec![0x33; 20],
    }
}

/// Changing these bytes makes all blobs in the field unreadable: raise the version instead.
const GOLDEN: &str = concat!(
    "42656e6e7554504d0001",
    "000bSRKNAME",
    "0008000b000004920020",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "00100020",
    "2222222222222222222222222222222222222222222222222222222222222222",
    "0014",
    "3333333333333333333333333333333333333333",
);

#[test]
fn the_blob_has_the_golden_bytes() {
    let golden = GOLDEN.replace("SRKNAME", &HashAlg::Sha256.digest(b"srk").to_string());
    assert_eq!(hex::encode(blob().encode().unwrap()), golden);
    assert_eq!(SealedBlob::decode(&hex::decode(golden).unwrap()), Ok(blob()));
}

fn with_conditions(auth: AuthRule, secure_boot: Option<[u8; 32]>) -> SealedBlob {
    let mut blob = blob();
    blob.local = LocalConditions { auth, secure_boot };
    if auth == AuthRule::Pin {
        blob.public.lockout = Lockout::Counted;
    }
    blob
}

#[test]
fn a_blob_with_local_conditions_is_version_2_and_has_the_golden_bytes() {
    let golden = GOLDEN.replace("SRKNAME", &HashAlg::Sha256.digest(b"srk").to_string());
    let value = "77".repeat(32);
    for (pin, secure_boot, head, attributes) in [
        (
            AuthRule::Pin,
            None,
            format!("000201{}", "00".repeat(32)),
            "00000092",
        ),
        (
            AuthRule::None,
            Some([0x77; 32]),
            format!("000202{value}"),
            "00000492",
        ),
        (
            AuthRule::Pin,
            Some([0x77; 32]),
            format!("000203{value}"),
            "00000092",
        ),
        (
            AuthRule::Derived,
            None,
            format!("000204{}", "00".repeat(32)),
            "00000492",
        ),
    ] {
        let blob = with_conditions(pin, secure_boot);
        let golden = golden.replacen("0001000b", &format!("{head}000b"), 1);
        let golden = golden.replacen("00000492", attributes, 1);
        assert_eq!(hex::encode(blob.encode().unwrap()), golden);
        assert_eq!(SealedBlob::decode(&hex::decode(golden).unwrap()), Ok(blob));
    }
}

#[test]
fn conditions_that_contradict_each_other_are_refused() {
    let pin = with_conditions(AuthRule::Pin, None).encode().unwrap();
    let boot = with_conditions(AuthRule::None, Some([0x77; 32]))
        .encode()
        .unwrap();
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        SealedBlob::decode(&bytes)
    };
    // No condition, an unknown one, a value of PCR 7 that nobody asks for, a PIN that nobody counts, a lockout
    // without a PIN, both sorts of authValue.
    for (bytes, at, value) in [
        (&pin, 10, 0),
        (&pin, 10, 5),
        (&pin, 10, 8),
        (&pin, 10, 4),
        (&pin, 11, 1),
        (&boot, 10, 3),
        (&boot, 10, 7),
        (&pin, 10, 2),
    ] {
        assert_eq!(
            changed(bytes, at, value),
            Err(BlobError::Conditions),
            "{at} {value}"
        );
    }
    let mut plain = blob();
    plain.public.lockout = Lockout::Counted;
    let bytes = plain.encode().unwrap();
    assert_eq!(SealedBlob::decode(&bytes), Err(BlobError::Conditions));
}

/// Computed by hand from the specification; the builder's side must give the same.
#[test]
fn policies_have_the_golden_digests() {
    let key = RsaPublic::new(&[0xC5; 256]).unwrap();
    assert_eq!(policy_key_name(&[0xC5; 256]).unwrap(), key.name());
    let digests = [
        key.name().to_string(),
        hex::encode(policy_pcr_digest(&zero_pcrs())),
        hex::encode(policy_authorize_digest(&key.name(), POLICY_REF)),
    ];
    assert_eq!(
        digests,
        [
            "000b552ab2df30d8eab877138d6f580d0c21786a5ce81bdea695c6676da11d9f238d",
            "2ae01c6775b43d9b494cf6fb9836ca10bf085aaaf3d5bd596d714094a7eb5fd0",
            "1dd33c1683134b529a58a0684a756728363100e9999c1ba0efe12d46379022ce",
        ]
    );
}

#[test]
fn each_broken_blob_is_refused_with_its_reason() {
    let good = blob().encode().unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        SealedBlob::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, b'X'), BlobError::Magic { found: *b"XennuTPM" });
    assert_eq!(with(9, 2), BlobError::Conditions);
    assert_eq!(with(9, 3), BlobError::Version { found: 3 });
    // Attributes without fixedTPM, then without fixedParent.
    for attributes in [0x490, 0x482] {
        let expected = WireError::Unexpected {
            field: "sealed object attributes",
            expected: 0x492,
            found: attributes,
        };
        let mut bytes = good.clone();
        bytes[48..52].copy_from_slice(&u32::try_from(attributes).unwrap().to_be_bytes());
        assert_eq!(SealedBlob::decode(&bytes), Err(BlobError::Field(expected)));
    }
    let long = [&good[..], &[0]].concat();
    let trailing = WireError::Trailing {
        object: "sealed blob",
        found: 1,
    };
    assert_eq!(SealedBlob::decode(&long), Err(BlobError::Field(trailing)));
    let short = WireError::Truncated {
        field: "private area",
        expected: 20,
        found: 19,
    };
    assert_eq!(
        SealedBlob::decode(&good[..good.len() - 1]),
        Err(BlobError::Field(short))
    );
    let huge = vec![0; SealedBlob::SIZE_MAX + 1];
    assert_eq!(
        SealedBlob::decode(&huge),
        Err(BlobError::TooLong {
            limit: 1181,
            found: 1182
        })
    );
    let empty = SealedBlob {
        private: Vec::new(),
        ..blob()
    };
    assert_eq!(
        empty.encode(),
        Err(WireError::Truncated {
            field: "private area",
            expected: 1,
            found: 0
        })
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_blob_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        prop_assert!(SealedBlob::decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_blob_is_refused_or_decodes_to_itself(
        at in 0usize..144, byte: u8, cut in 0usize..=177, conditions in 0usize..3,
    ) {
        let mut bytes = match conditions {
            0 => blob(),
            1 => with_conditions(AuthRule::Pin, None),
            _ => with_conditions(AuthRule::None, Some([0x77; 32])),
        }
        .encode()
        .unwrap();
        bytes[at] = byte;
        bytes.truncate(cut);
        if let Ok(decoded) = SealedBlob::decode(&bytes) {
            prop_assert_eq!(decoded.encode().unwrap(), bytes);
        }
    }
}

#[test]
fn a_log_line_is_a_json_sequence_record_as_systemd_writes_it() {
    let mut tpm = FakeTpm::with_banks(1, &[HashAlg::Sha1, HashAlg::Sha256]);
    let text = "a \"quote\", a \\, a \u{7f}, a\ttab, ü";
    let event = Event {
        pcr: 11,
        measured: Measured::Data(text.as_bytes()),
        kind: EventKind::Phase,
        text,
    };
    let line = tpm.pcr_extend(&event).unwrap().cel_json(&[0xAB; 16], 1234);
    let json = line.strip_prefix('\u{1e}').unwrap().strip_suffix('\n').unwrap();
    assert!(!json.contains('\n'));
    let expected = serde_json::json!({
        "pcr": 11,
        "digests": [
            { "hashAlg": "sha1", "digest": HashAlg::Sha1.digest(text.as_bytes()).to_string() },
            { "hashAlg": "sha256", "digest": HashAlg::Sha256.digest(text.as_bytes()).to_string() },
        ],
        "content_type": "systemd",
        "content": { "string": text, "bootId": "ab".repeat(16), "timestamp": 1234, "eventType": "phase" },
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(json).unwrap(), expected);
}

#[test]
fn a_log_line_has_the_golden_bytes() {
    let mut tpm = FakeTpm::new(1);
    let event = Event {
        pcr: 15,
        measured: Measured::Data(b"m"),
        kind: EventKind::Manifest,
        text: "slot a",
    };
    assert_eq!(
        tpm.pcr_extend(&event).unwrap().cel_json(&[1; 16], 5),
        "\u{1e}{\"pcr\":15,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\
         \"62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a\"}],\
         \"content_type\":\"systemd\",\"content\":{\"string\":\"slot a\",\
         \"bootId\":\"01010101010101010101010101010101\",\"timestamp\":5,\"eventType\":\"bennu-manifest\"}}\n"
    );
}

#[test]
fn the_fake_agrees_with_the_real_one_about_what_opens() {
    let key = RsaPublic::new(&[0xC5; 256]).unwrap();
    let policy = SealPolicy {
        authorize_key: &key,
        policy_ref: POLICY_REF,
        srk: SrkTrust::FirstUse,
        local: SealLocal::default(),
    };
    let mut tpm = FakeTpm::new(1);
    let blob = tpm.seal(SECRET, &policy).unwrap();
    let approved_policy = policy_pcr_digest(&zero_pcrs());
    let release = bennu_tpm::ReleasePolicy {
        pcrs: zero_pcrs(),
        nv: None,
        approved_policy,
        signature: FakeTpm::sign(&key, &approved_policy, POLICY_REF),
        key,
        policy_ref: POLICY_REF.to_vec(),
    };
    assert_eq!(tpm.unseal(&blob, &release).unwrap().as_slice(), SECRET);
    assert!(matches!(
        FakeTpm::new(2).unseal(&blob, &release),
        Err(UnsealError::SrkDiffers { .. })
    ));
    let mut forged = release.clone();
    forged.signature[0] ^= 1;
    assert!(matches!(
        tpm.unseal(&blob, &forged),
        Err(UnsealError::SignatureRefused)
    ));
    tpm.fail_next_unseal(UnsealError::Lockout);
    assert!(matches!(tpm.unseal(&blob, &release), Err(UnsealError::Lockout)));
    let event = Event {
        pcr: 15,
        measured: Measured::Data(b"none"),
        kind: EventKind::Manifest,
        text: "none",
    };
    tpm.pcr_extend(&event).unwrap();
    assert!(
        matches!(tpm.unseal(&blob, &release), Err(UnsealError::PcrMismatch { ref differing }) if differing[0].pcr == 15)
    );
    assert_eq!(tpm.random(40).unwrap().len(), 40);
    tpm.unplug();
    let error = tpm
        .pcr_read(HashAlg::Sha256, PcrMask::of(&[11]).unwrap())
        .unwrap_err();
    assert!(matches!(error, TpmError::Transport(_)), "{error}");
}
