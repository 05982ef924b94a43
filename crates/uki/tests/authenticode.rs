//! Signed images, judged by `sbverify` and by our own verifier.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::authenticode::{AuthenticodeError, image_digest, sign, verify};
use bennu_uki::pe::{Section, assemble, strip_coff_symbols};
use workshop::*;

fn uki() -> Vec<u8> {
    let sections = [
        Section {
            name: ".linux",
            data: &[0x5a; 70_001],
        },
        Section {
            name: ".osrel",
            data: b"ID=test\nVERSION_ID=1\n",
        },
        Section {
            name: ".cmdline",
            data: b"quiet",
        },
        Section {
            name: ".initrd",
            data: &[7; 12_345],
        },
        Section {
            name: ".uname",
            data: b"6.12.0",
        },
        Section {
            name: ".pcrpkey",
            data: b"-----BEGIN PUBLIC KEY-----",
        },
        Section {
            name: ".pcrsig",
            data: b"{}",
        },
        Section {
            name: ".profile",
            data: b"ID=main",
        },
    ];
    assemble(&host_file(STUB), &sections).unwrap()
}

fn judged_by_both(image: &[u8]) {
    let (scratch, db) = (Scratch::new(), certificate("db"));
    let signed = sign(image, &key("db"), &db).unwrap();
    assert_eq!(
        signed,
        sign(image, &key("db"), &db).unwrap(),
        "signing is deterministic"
    );
    let cert = scratch.write("db.pem", db.to_pem().unwrap());
    let stranger = scratch.write("stranger.pem", certificate("stranger").to_pem().unwrap());
    let file = scratch.write("signed.efi", &signed);
    let (cert, stranger, file) = (
        cert.to_str().unwrap(),
        stranger.to_str().unwrap(),
        file.to_str().unwrap(),
    );

    let said = accepts("sbverify", &["--cert", cert, file]);
    assert!(
        said.contains("Signature verification OK") && !said.contains("warning"),
        "{said}"
    );
    assert!(accepts("sbverify", &["--list", file]).contains("/CN=Bennu test db"));
    refuses("sbverify", &["--cert", stranger, file]);
    let trusted = [certificate("stranger"), db];
    assert_eq!(verify(&signed, &trusted).unwrap(), &trusted[1]);

    let end = strip_coff_symbols(image).unwrap().len();
    for at in [0x50, end / 2, end - 600] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        let file = scratch.write("changed.efi", &changed);
        refuses("sbverify", &["--cert", cert, file.to_str().unwrap()]);
        let refusal = verify(&changed, &trusted).unwrap_err();
        assert!(
            matches!(refusal, AuthenticodeError::DigestMismatch { .. }),
            "{at:#x}: {refusal}"
        );
    }
}

#[test]
fn a_signed_systemd_boot_is_accepted_and_each_change_refused() {
    judged_by_both(&host_file(SYSTEMD_BOOT));
}

#[test]
fn a_signed_uki_is_accepted_and_each_change_refused() {
    judged_by_both(&uki());
}

#[test]
fn our_digest_is_the_one_that_sbsign_signs() {
    let scratch = Scratch::new();
    let image = uki();
    let file = scratch.write("uki.efi", &image);
    let cert = scratch.write("db.pem", certificate("db").to_pem().unwrap());
    let key_file = scratch.write("db.key", fixture("db.key"));
    let out = scratch.path().join("sbsigned.efi");
    let args = [
        "--key",
        key_file.to_str().unwrap(),
        "--cert",
        cert.to_str().unwrap(),
        "--output",
    ];
    accepts(
        "sbsign",
        &[&args[..], &[out.to_str().unwrap(), file.to_str().unwrap()]].concat(),
    );
    let theirs = std::fs::read(out).unwrap();
    assert_eq!(image_digest(&theirs).unwrap(), image_digest(&image).unwrap());
    assert_eq!(verify(&theirs, &[certificate("db")]).unwrap(), &certificate("db"));
}

#[test]
fn an_image_signed_by_a_stranger_is_refused_as_unknown() {
    let signed = sign(&uki(), &key("stranger"), &certificate("stranger")).unwrap();
    assert!(
        verify(&signed, &[certificate("stranger")]).is_ok(),
        "positive control"
    );
    let refusal = verify(&signed, &[certificate("db")]).unwrap_err();
    assert!(
        matches!(
            refusal,
            AuthenticodeError::UnknownSigner {
                signers: 1,
                trusted: 1
            }
        ),
        "{refusal}"
    );
}

#[test]
fn an_unsigned_image_is_refused_as_not_signed() {
    let refusal = verify(&uki(), &[certificate("db")]).unwrap_err();
    assert!(matches!(refusal, AuthenticodeError::NotSigned), "{refusal}");
}

#[test]
fn a_changed_signature_is_refused_as_bad() {
    let mut signed = sign(&uki(), &key("db"), &certificate("db")).unwrap();
    let last = signed.iter().rposition(|&b| b != 0).unwrap();
    signed[last - 3] ^= 1;
    let refusal = verify(&signed, &[certificate("db")]).unwrap_err();
    assert!(
        matches!(refusal, AuthenticodeError::BadSignature { .. }),
        "{refusal}"
    );
}

#[test]
fn bytes_behind_the_certificate_table_are_refused() {
    let mut signed = sign(&uki(), &key("db"), &certificate("db")).unwrap();
    signed.extend_from_slice(&[0; 8]);
    let refusal = verify(&signed, &[certificate("db")]).unwrap_err();
    assert!(
        matches!(refusal, AuthenticodeError::BadCertificateTable { .. }),
        "{refusal}"
    );
}

#[test]
fn signing_twice_or_with_the_wrong_certificate_is_refused() {
    let signed = sign(&uki(), &key("db"), &certificate("db")).unwrap();
    let refusal = sign(&signed, &key("db"), &certificate("db")).unwrap_err();
    assert!(matches!(refusal, AuthenticodeError::AlreadySigned), "{refusal}");
    let refusal = sign(&uki(), &key("db"), &certificate("stranger")).unwrap_err();
    let mismatch = bennu_uki::authenticode::Pkcs7Error::KeyMismatch {
        subject: "CN=Bennu test stranger".into(),
    };
    assert_eq!(refusal.to_string(), AuthenticodeError::Sign(mismatch).to_string());
    assert!(matches!(
        refusal,
        AuthenticodeError::Sign(bennu_uki::authenticode::Pkcs7Error::KeyMismatch { .. })
    ));
}

#[test]
fn the_digest_of_a_fixed_image_and_the_bytes_of_its_signature_are_pinned() {
    let image = fixed_image();
    let digest = image_digest(&image).unwrap();
    assert_eq!(
        hex::encode(digest),
        "46e11c62ab5bd124e96633378414f3533eca6010d840c71d05d018c8d5c8a71b"
    );
    let signed = sign(&image, &key("db"), &certificate("db")).unwrap();
    let whole = <sha2::Sha256 as sha2::Digest>::digest(&signed);
    assert_eq!(
        hex::encode(whole),
        "f19307f6bef8f4f70dea7f3d0c20d85e5f3f3a01a898e8da463d0a817bab1710"
    );
    let scratch = Scratch::new();
    let cert = scratch.write("db.pem", certificate("db").to_pem().unwrap());
    let file = scratch.write("fixed.efi", &signed);
    accepts(
        "sbverify",
        &["--cert", cert.to_str().unwrap(), file.to_str().unwrap()],
    );
}

/// A UKI around the smallest stub: headers and one section, the same on every host.
fn fixed_image() -> Vec<u8> {
    let mut stub = vec![0u8; 0x600];
    let mut put = |at: usize, bytes: &[u8]| stub[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40u32.to_le_bytes());
    put(0x40, b"PE\0\0\x64\x86\x01\0");
    put(0x54, &[0xf0, 0, 0x2e, 0x02]);
    put(0x58, &[0x0b, 0x02]);
    put(0x58 + 32, &[0, 0x10, 0, 0, 0, 2, 0, 0]);
    put(0x58 + 56, &[0, 0x20, 0, 0, 0, 4, 0, 0]);
    put(0x58 + 68, &[10, 0]);
    put(0x58 + 108, &[16, 0, 0, 0]);
    put(0x148, b".text\0\0\0");
    put(0x150, &[1, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0]);
    put(0x16c, &[0x20, 0, 0, 0x60]);
    put(0x400, &[0xc3]);
    let sections = [
        Section {
            name: ".linux",
            data: b"kernel",
        },
        Section {
            name: ".osrel",
            data: b"ID=test\n",
        },
        Section {
            name: ".cmdline",
            data: b"quiet",
        },
    ];
    assemble(&stub, &sections).unwrap()
}
