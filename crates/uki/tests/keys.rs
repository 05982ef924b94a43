//! Keys and certificates, judged by `openssl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::keys::*;
use workshop::*;

#[test]
fn a_generated_key_reads_back_from_pem_and_der_and_openssl_accepts_it() {
    let (scratch, key) = (Scratch::new(), SigningKey::generate().unwrap());
    let pem = key.to_pkcs8_pem().unwrap();
    let file = scratch.write("key.pem", pem.as_bytes());
    assert!(
        accepts(
            "openssl",
            &["pkey", "-check", "-noout", "-in", file.to_str().unwrap()]
        )
        .contains("valid")
    );
    for encoded in [pem.as_bytes(), &key.to_pkcs8_der().unwrap()] {
        assert_eq!(
            SigningKey::from_pkcs8(encoded).unwrap().public_key(),
            key.public_key()
        );
    }
    let public = key.public_key();
    for encoded in [
        public.to_spki_pem().unwrap().into_bytes(),
        public.to_spki_der().unwrap(),
    ] {
        assert_eq!(PublicKey::from_spki(&encoded).unwrap(), public);
    }
    let signature = key.sign_sha256(b"message").unwrap();
    public.verify_sha256(b"message", &signature).unwrap();
    assert!(matches!(
        public.verify_sha256(b"massage", &signature),
        Err(KeyError::BadSignature)
    ));
}

#[test]
fn a_certificate_is_deterministic_and_openssl_reads_its_name_and_validity() {
    let (scratch, cert) = (Scratch::new(), certificate("db"));
    assert_eq!(cert, certificate("db"));
    let file = scratch.write("db.pem", cert.to_pem().unwrap());
    let file = file.to_str().unwrap();
    accepts(
        "openssl",
        &["verify", "-check_ss_sig", "-no_check_time", "-CAfile", file, file],
    );
    let text = accepts("openssl", &["x509", "-noout", "-subject", "-dates", "-in", file]);
    let expected =
        "subject=CN = Bennu test db\nnotBefore=Jan  1 00:00:00 2026 GMT\nnotAfter=Jan  2 00:00:00 2036 GMT\n";
    assert_eq!(text, expected);
    for encoded in [cert.to_pem().unwrap().as_bytes(), cert.der()] {
        assert_eq!(Certificate::read(encoded).unwrap(), cert);
    }
    assert_eq!(cert.public_key().unwrap(), key("db").public_key());
    let pinned = "db69b905e8e627474a74835c520daebc98921c94c92e1d441204faa91f76166d";
    assert_eq!(
        hex::encode(cert.fingerprint()),
        pinned,
        "the bytes of a certificate are pinned"
    );
}

#[test]
fn a_certificate_may_end_after_2049_and_its_name_may_be_utf_8() {
    let validity = ValidityPeriod {
        not_before_unix_s: EPOCH_UNIX_S,
        days: 30 * 365,
    };
    let cert = key("db").self_signed("Bennu größer", validity).unwrap();
    assert_eq!(Certificate::read(cert.der()).unwrap(), cert);
    let scratch = Scratch::new();
    let file = scratch.write("db.pem", cert.to_pem().unwrap());
    let text = accepts(
        "openssl",
        &["x509", "-noout", "-enddate", "-in", file.to_str().unwrap()],
    );
    assert!(text.contains("2055"), "{text}");
}

#[test]
fn each_wrong_key_and_certificate_is_refused() {
    let scratch = Scratch::new();
    let weak = scratch.path().join("weak.pem");
    let options = [
        "genpkey",
        "-quiet",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
        "-out",
    ];
    accepts("openssl", &[&options[..], &[weak.to_str().unwrap()]].concat());
    let refusal = SigningKey::from_pkcs8(&std::fs::read(weak).unwrap())
        .err()
        .unwrap();
    assert!(
        matches!(refusal, KeyError::NotRsa2048 { bits: 1024 }),
        "{refusal}"
    );
    let refusal = SigningKey::from_pkcs8(b"nonsense").err().unwrap();
    assert!(matches!(refusal, KeyError::PrivateKey(_)), "{refusal}");
    let refusal = SigningKey::from_pkcs8(&vec![0; MAX_KEY_FILE_BYTES + 1])
        .err()
        .unwrap();
    assert!(
        matches!(
            refusal,
            KeyError::TooLong {
                what: "the private key",
                ..
            }
        ),
        "{refusal}"
    );
    let cert = certificate("db");
    let refusal = Certificate::read(&cert.der()[1..]).unwrap_err();
    assert!(matches!(refusal, KeyError::Certificate(_)), "{refusal}");
    for name in [String::new(), "x".repeat(65)] {
        let refusal = key("db")
            .self_signed(&name, ValidityPeriod::ten_years_from(0))
            .unwrap_err();
        assert!(
            matches!(
                refusal,
                KeyError::CommonName {
                    limit: 64,
                    found: 0 | 65
                }
            ),
            "{refusal}"
        );
    }
}
