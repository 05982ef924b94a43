//! PCR predictions and `.pcrsig`, against pinned words of systemd-measure and, where there is a target root,
//! against the tool itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::measure::*;
use bennu_uki::pcrsig::{PcrSigError, PcrSignatures};
use bennu_uki::pe::{PeImage, Section, assemble};
use proptest::prelude::*;
use std::path::PathBuf;
use workshop::*;

/// What the pinned answers are about; `.pcrpkey` is tests/fixtures/pcr.pub.
const CONTENTS: [(&str, &[u8]); 8] = [
    (".uname", b"6.12.0"),
    (".sbat", b"sbat,1\n"),
    (".linux", b"kernel"),
    (".osrel", b"ID=test\nVERSION_ID=1\n"),
    (".cmdline", b"quiet root=x"),
    (".initrd", b"initrd"),
    (".splash", b"splash"),
    (".dtb", b"dtb"),
];

fn contents(key: &[u8]) -> Vec<(&'static str, &[u8])> {
    CONTENTS.into_iter().chain([(".pcrpkey", key)]).collect()
}

/// The text that `systemd-measure calculate --json=short` prints.
fn calculate_json(predictions: &[Pcr11Prediction]) -> String {
    let bank = |p: &Pcr11Prediction| {
        let line = |(phase, value): &(Phase, PcrValue)| {
            format!(r#"{{"phase":"{}","pcr":11,"hash":"{value}"}}"#, phase.path())
        };
        let lines: Vec<_> = p.by_phase.iter().map(line).collect();
        format!(r#""{}":[{}]"#, p.after_sections.bank().name(), lines.join(","))
    };
    format!(
        "{{{}}}\n",
        predictions.iter().map(bank).collect::<Vec<_>>().join(",")
    )
}

#[test]
fn pcr_11_of_stub_257_is_what_systemd_measure_calculates_in_every_bank() {
    let key = fixture("pcr.pub");
    let predictions = Bank::ALL.map(|bank| predict_pcr11_of(StubVersion::V257, &contents(&key), bank));
    assert_eq!(
        calculate_json(&predictions).as_bytes(),
        fixture("systemd-measure-257.calculate.json")
    );
}

#[test]
fn pcr_11_of_stub_252_leaves_uname_and_sbat_out() {
    let key = fixture("pcr.pub");
    let prediction = predict_pcr11_of(StubVersion::V252, &contents(&key), Bank::Sha256);
    let pinned = fixture("systemd-measure-252-sections.calculate.json");
    assert_eq!(
        calculate_json(std::slice::from_ref(&prediction)).as_bytes(),
        pinned
    );
    // systemd-measure calculate --phase=:
    let pinned = "f3fee69b575d719f926fd050c53fffdedc02d69fa21afc1c5c019fc39d86266c";
    assert_eq!(prediction.after_sections.to_string(), pinned);
    assert_eq!(prediction.after(Phase::Ready), &prediction.by_phase[3].1);
}

#[test]
fn our_pcrsig_is_byte_for_byte_what_systemd_measure_signs() {
    let key = fixture("pcr.pub");
    let prediction = predict_pcr11_of(StubVersion::V257, &contents(&key), Bank::Sha256);
    let ours = PcrSignatures::sign(&prediction, &workshop::key("pcr")).unwrap();
    let theirs = fixture("systemd-measure-257.pcrsig.json");
    assert_eq!(
        format!("{}\n", ours.to_json().unwrap()),
        String::from_utf8_lossy(&theirs)
    );
    assert_eq!(PcrSignatures::parse(&theirs).unwrap(), ours);
    assert_eq!(
        PcrSignatures::parse(&[&theirs[..], &[0; 5]].concat()).unwrap(),
        ours
    );
    ours.verify(&workshop::key("pcr").public_key()).unwrap();
}

#[test]
fn each_wrong_pcrsig_is_refused() {
    let key = workshop::key("pcr");
    let predict = |bank| predict_pcr11_of(StubVersion::V257, &CONTENTS, bank);
    let good = PcrSignatures::sign(&predict(Bank::Sha256), &key).unwrap();
    good.verify(&key.public_key()).unwrap();
    let refusal = PcrSignatures::sign(&predict(Bank::Sha1), &key).unwrap_err();
    assert!(
        matches!(refusal, PcrSigError::WrongBank { found: "sha1" }),
        "{refusal}"
    );
    let refusal = good.verify(&workshop::key("stranger").public_key()).unwrap_err();
    assert!(matches!(refusal, PcrSigError::OtherKey { .. }), "{refusal}");
    let refusal = PcrSignatures::default().verify(&key.public_key()).unwrap_err();
    assert!(matches!(refusal, PcrSigError::NoSha256Signature), "{refusal}");
    let mut changed = good.clone();
    changed.banks.get_mut("sha256").unwrap()[2].policy[0] ^= 1;
    let refusal = changed.verify(&key.public_key()).unwrap_err();
    assert!(matches!(refusal, PcrSigError::BadSignature { .. }), "{refusal}");
    let with_ref = good
        .to_json()
        .unwrap()
        .replacen(r#""pol""#, r#""ref":"initrd","pol""#, 1);
    let refusal = PcrSignatures::parse(with_ref.as_bytes())
        .unwrap()
        .verify(&key.public_key())
        .unwrap_err();
    assert!(
        matches!(refusal, PcrSigError::PolicyRef { ref found } if found == "initrd"),
        "{refusal}"
    );
    let refusal = PcrSignatures::parse(
        good.to_json()
            .unwrap()
            .replace("\"sig\":\"", "\"sig\":\"!")
            .as_bytes(),
    );
    assert!(matches!(refusal, Err(PcrSigError::BadField { field: "sig" })));
    assert!(matches!(
        PcrSignatures::parse(b"[]"),
        Err(PcrSigError::Malformed(_))
    ));
}

fn sections() -> Vec<Section<'static>> {
    let new = |(name, _): &(&str, &[u8])| *name != ".sbat";
    CONTENTS
        .into_iter()
        .filter(new)
        .map(|(name, data)| Section { name, data })
        .collect()
}

#[test]
fn a_uki_is_measured_by_the_version_of_its_stub_and_the_stubs_own_sbat() {
    let uki = assemble(&host_file(STUB), &sections()).unwrap();
    let version = StubVersion::of(&PeImage::parse(&uki).unwrap()).unwrap();
    let stub = host_file(STUB);
    let sbat = PeImage::parse(&stub)
        .unwrap()
        .section_data(".sbat")
        .unwrap()
        .to_vec();
    let all: Vec<_> = sections()
        .iter()
        .map(|s| (s.name, s.data))
        .chain([(".sbat", &sbat[..])])
        .collect();
    let expected = predict_pcr11_of(version, &all, Bank::Sha256);
    assert_eq!(predict_pcr11(&uki, Bank::Sha256).unwrap(), expected);
    let db = certificate("db");
    let signed = bennu_uki::authenticode::sign(&uki, &workshop::key("db"), &db).unwrap();
    assert_eq!(
        predict_pcr11(&signed, Bank::Sha256).unwrap(),
        expected,
        "signing changes nothing"
    );
    let pcrsig = [
        &sections()[..],
        &[Section {
            name: ".pcrsig",
            data: b"{}",
        }],
    ]
    .concat();
    let uki = assemble(&host_file(STUB), &pcrsig).unwrap();
    assert_eq!(
        predict_pcr11(&uki, Bank::Sha256).unwrap(),
        expected,
        ".pcrsig is not measured"
    );
}

/// The UKI with its stub's version replaced by another of the same length.
fn with_stub_version(version: &[u8; 3], sections: &[Section<'_>]) -> Vec<u8> {
    let mut uki = assemble(&host_file(STUB), sections).unwrap();
    let needle = b"LoaderInfo: systemd-stub ";
    let offset = PeImage::parse(&uki)
        .unwrap()
        .section(".sdmagic")
        .unwrap()
        .raw_pointer as usize;
    let at = offset
        + uki[offset..]
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
        + needle.len();
    uki[at..at + 3].copy_from_slice(version);
    uki
}

#[test]
fn what_cannot_be_predicted_is_refused() {
    let predict = |version, sections: &[Section<'_>]| {
        predict_pcr11(&with_stub_version(version, sections), Bank::Sha256)
    };
    let kernel = Section {
        name: ".linux",
        data: b"k",
    };
    let with = |name| [kernel, Section { name, data: b"x" }];
    assert!(
        predict(b"257", &[kernel]).is_ok() && predict(b"252", &[kernel]).is_ok(),
        "positive control"
    );
    let refusal = predict(b"999", &[kernel]).unwrap_err();
    assert!(
        matches!(refusal, MeasureError::UnknownStub { ref found } if found.starts_with("999")),
        "{refusal}"
    );
    for name in [".profile", ".dtbauto"] {
        let refusal = predict(b"257", &with(name)).unwrap_err();
        assert!(
            matches!(refusal, MeasureError::Unpredictable { name: n } if n == *name),
            "{refusal}"
        );
    }
    let refusal = predict(b"252", &with(".dtbauto")).unwrap_err();
    assert!(
        matches!(refusal, MeasureError::AmbiguousSection { .. }),
        "{refusal}"
    );
    assert!(predict(b"252", &with(".profile")).is_ok());
    let mut no_magic = with_stub_version(b"257", &[kernel]);
    let at = no_magic.windows(8).position(|w| w == b".sdmagic").unwrap();
    no_magic[at + 1] = b'x';
    assert_eq!(
        predict_pcr11(&no_magic, Bank::Sha256),
        Err(MeasureError::NotASystemdStub)
    );
    let mut twice = with_stub_version(b"257", &with(".initrd"));
    let at = twice.windows(8).position(|w| w == b".initrd\0").unwrap();
    twice[at..at + 8].copy_from_slice(b".linux\0\0");
    assert!(matches!(
        predict_pcr11(&twice, Bank::Sha256),
        Err(MeasureError::AmbiguousSection { .. })
    ));
    assert!(matches!(
        predict_pcr11(b"MZ", Bank::Sha1),
        Err(MeasureError::Pe(_))
    ));
}

/// `BENNU_TARGET_ROOT` is the directory of an unpacked Debian 13 root with systemd-boot-efi.
#[test]
#[ignore = "needs the target root; tests/run gives it"]
fn the_targets_own_systemd_measure_agrees_on_a_uki_of_the_targets_own_stub() {
    let root = PathBuf::from(std::env::var_os("BENNU_TARGET_ROOT").expect("set BENNU_TARGET_ROOT"));
    let stub = std::fs::read(root.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub")).unwrap();
    let key = fixture("pcr.pub");
    let mut all = sections();
    all.push(Section {
        name: ".pcrpkey",
        data: &key,
    });
    let uki = assemble(&stub, &all).unwrap();
    let image = PeImage::parse(&uki).unwrap();
    assert_eq!(StubVersion::of(&image), Ok(StubVersion::V257));

    let scratch = Scratch::new();
    let private = scratch.write("pcr.key", fixture("pcr.key"));
    let public = scratch.write("pcr.pub", &key);
    let mut arguments = Vec::new();
    for name in StubVersion::V257.measured_sections() {
        let Some(data) = image.section_data(name) else {
            continue;
        };
        let path = scratch.write(&name[1..], data);
        arguments.push(format!("--{}={}", &name[1..], path.display()));
    }
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let loader = libraries.join("ld-linux-x86-64.so.2");
    let path = format!("{0}:{0}/systemd", libraries.display());
    let tool = root.join("usr/lib/systemd/systemd-measure");
    let measure = |words: &[&str]| {
        let fixed = ["--library-path", &path, tool.to_str().unwrap()];
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        stdout_of(
            loader.to_str().unwrap(),
            &[&fixed[..], words, &arguments].concat(),
        )
    };
    let predictions = Bank::ALL.map(|bank| predict_pcr11(&uki, bank).unwrap());
    let banks = [
        "calculate",
        "--json=short",
        "--bank=sha1",
        "--bank=sha256",
        "--bank=sha384",
    ];
    assert_eq!(measure(&banks), calculate_json(&predictions));
    let ours = PcrSignatures::sign(&predictions[1], &workshop::key("pcr")).unwrap();
    let keys = [
        format!("--private-key={}", private.display()),
        format!("--public-key={}", public.display()),
    ];
    let theirs = measure(&["sign", "--json=short", "--bank=sha256", &keys[0], &keys[1]]);
    assert_eq!(theirs, format!("{}\n", ours.to_json().unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in ".{0,300}") {
        let _ = PcrSignatures::parse(&bytes);
        let _ = PcrSignatures::parse(text.as_bytes());
        let _ = predict_pcr11(&bytes, Bank::Sha256);
        let _ = predict_pcr12(StubVersion::V252, Some(&bytes), Bank::Sha256);
        let _ = predict_pcr12(StubVersion::V252, Some(text.as_bytes()), Bank::Sha256);
    }
}
