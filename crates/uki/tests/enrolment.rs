//! Key enrolment: `.auth` files judged by `openssl`, and OVMF variable stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::efivars::*;
use bennu_uki::keys::Certificate;
use bennu_uki::ovmf::{Enrolment, OvmfError, VariableStore};
use proptest::prelude::*;
use workshop::*;

const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const OWNER: EfiGuid = EfiGuid::from_u128(0x77fa9abd_0359_4d32_bd60_28f4e78f784b);

fn time() -> EfiTime {
    EfiTime::from_unix_s(EPOCH_UNIX_S).unwrap()
}

/// Variable, who is enrolled, who signs.
const UPDATES: [(KeyVariable, &str, &str); 3] = [
    (KeyVariable::Pk, "pk", "pk"),
    (KeyVariable::Kek, "kek", "pk"),
    (KeyVariable::Db, "db", "kek"),
];

fn update((variable, enrolled, signer): (KeyVariable, &str, &str)) -> Vec<u8> {
    let list = x509_list(OWNER, &[certificate(enrolled)]);
    sign_update(variable, &list, time(), &key(signer), &certificate(signer)).unwrap()
}

/// ContentInfo around bare SignedData, as openssl wants it.
fn content_info(signed_data: &[u8]) -> Vec<u8> {
    let length = |len: usize| [&[0x82][..], &(len as u16).to_be_bytes()].concat();
    let explicit = [&[0xa0][..], &length(signed_data.len()), signed_data].concat();
    let oid = hex::decode("06092a864886f70d010702").unwrap();
    [&[0x30][..], &length(oid.len() + explicit.len()), &oid, &explicit].concat()
}

#[test]
fn openssl_accepts_each_update_over_the_reconstructed_message() {
    let scratch = Scratch::new();
    for case in UPDATES {
        let auth = update(case);
        let parsed = AuthenticatedUpdate::parse(&auth).unwrap();
        parsed.verify(case.0, &certificate(case.2)).unwrap();
        let attributes = 0x27u32.to_le_bytes();
        let name: Vec<u8> = case.0.name().bytes().flat_map(|b| [b, 0]).collect();
        let message = [
            &name[..],
            &case.0.vendor().0,
            &attributes,
            &auth[..16],
            parsed.data,
        ]
        .concat();
        let sig = scratch.write("sig.der", content_info(parsed.signed_data));
        let ca = scratch.write("ca.pem", certificate(case.2).to_pem().unwrap());
        let judge = |message: &[u8]| {
            let content = scratch.write("message", message);
            let files = [&sig, &content, &ca].map(|p| p.to_str().unwrap().to_owned());
            let args = [
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-purpose",
                "any",
                "-out",
                "/dev/null",
            ];
            let named = ["-in", &files[0], "-content", &files[1], "-CAfile", &files[2]];
            run("openssl", &[&args[..], &named].concat())
        };
        let said = judge(&message);
        assert!(
            said.status.success(),
            "{}: {}",
            case.0.name(),
            String::from_utf8_lossy(&said.stderr)
        );
        let mut changed = message.clone();
        changed[40] ^= 1;
        assert!(
            !judge(&changed).status.success(),
            "{}: a changed message",
            case.0.name()
        );
    }
}

#[test]
fn an_update_by_the_wrong_key_or_for_another_variable_is_refused() {
    let auth = update(UPDATES[2]);
    let parsed = AuthenticatedUpdate::parse(&auth).unwrap();
    assert_eq!(
        parsed.verify(KeyVariable::Db, &certificate("kek")),
        Ok(()),
        "positive control"
    );
    let refused = |variable: KeyVariable, signer: &str| {
        let expected = ParseAuthError::NotSignedBy {
            variable: variable.name(),
            subject: format!("CN=Bennu test {signer}"),
        };
        assert_eq!(parsed.verify(variable, &certificate(signer)), Err(expected));
    };
    refused(KeyVariable::Db, "pk");
    refused(KeyVariable::Dbx, "kek");
    assert_eq!(
        AuthenticatedUpdate::parse(&auth[..50]),
        Err(ParseAuthError::BadHeader)
    );
}

#[test]
fn signature_lists_read_back_with_owner_and_certificate() {
    let certificates = [certificate("db"), certificate("stranger")];
    let list = x509_list(OWNER, &certificates);
    let read = parse_x509_lists(&list).unwrap();
    assert_eq!(read, certificates.map(|cert| (OWNER, cert)));
    assert!(matches!(
        parse_x509_lists(&list[..100]),
        Err(SignatureListError::BadSizes { at: 0 })
    ));
    let mut sha256 = list.clone();
    sha256[0] ^= 1;
    assert!(matches!(
        parse_x509_lists(&sha256),
        Err(SignatureListError::NotX509 { at: 0, .. })
    ));
}

fn enrol(store: &mut VariableStore, db: &[Certificate]) -> Result<(), OvmfError> {
    let (pk, kek) = (certificate("pk"), [certificate("kek")]);
    store.enrol(&Enrolment {
        owner: OWNER,
        time: time(),
        pk: &pk,
        kek: &kek,
        db,
    })
}

#[test]
fn an_enrolled_store_keeps_its_size_and_reads_back() {
    let stock = host_file(OVMF_VARS);
    let mut store = VariableStore::parse(&stock).unwrap();
    enrol(&mut store, &[certificate("db")]).unwrap();
    assert_eq!(store.as_bytes().len(), stock.len());
    let once = VariableStore::parse(store.as_bytes())
        .unwrap()
        .variables()
        .unwrap();
    let names: Vec<_> = once
        .iter()
        .map(|v| (v.name.as_str(), v.attributes, v.data.len()))
        .collect();
    let sizes = ["pk", "kek", "db"].map(|name| 44 + certificate(name).der().len());
    assert_eq!(
        names,
        [
            ("PK", 0x27, sizes[0]),
            ("KEK", 0x27, sizes[1]),
            ("db", 0x27, sizes[2]),
            ("SecureBootEnable", 3, 1),
            ("CustomMode", 3, 1)
        ]
    );
    assert_eq!(
        parse_x509_lists(&once[2].data).unwrap(),
        [(OWNER, certificate("db"))]
    );
    enrol(&mut store, &[certificate("db")]).unwrap();
    assert_eq!(store.variables().unwrap(), once, "enrolling again replaces");
}

#[test]
fn a_full_store_is_refused_and_left_as_it_was() {
    let mut store = VariableStore::parse(&host_file(OVMF_VARS)).unwrap();
    let before = store.clone();
    let refusal = enrol(&mut store, &vec![certificate("db"); 400]).unwrap_err();
    assert!(
        matches!(refusal, OvmfError::Full { ref name, .. } if name == "db"),
        "{refusal}"
    );
    assert_eq!(store, before);
}

#[test]
fn each_damaged_store_is_refused() {
    let stock = host_file(OVMF_VARS);
    let parse = |at: usize| {
        let mut bytes = stock.clone();
        bytes[at] ^= 0x10;
        VariableStore::parse(&bytes).unwrap_err()
    };
    assert_eq!(parse(16), OvmfError::NotAVariableVolume);
    assert!(matches!(parse(0), OvmfError::BadVolumeChecksum { .. }));
    assert_eq!(parse(72), OvmfError::NotAnAuthenticatedStore);
    assert!(matches!(parse(1000), OvmfError::DamagedVariable { .. }));
    assert_eq!(
        VariableStore::parse(b"").unwrap_err(),
        OvmfError::NotAVariableVolume
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_readers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        change in (0usize..4000, any::<u8>())
    ) {
        let _ = parse_x509_lists(&bytes);
        let _ = AuthenticatedUpdate::parse(&bytes).map(|u| u.verify(KeyVariable::Db, &certificate("kek")));
        let mut store = VariableStore::parse(&host_file(OVMF_VARS)).unwrap();
        enrol(&mut store, &[certificate("db")]).unwrap();
        let mut store = store.as_bytes()[..].to_vec();
        store[change.0] = change.1;
        let _ = VariableStore::parse(&store).map(|s| s.variables());
    }
}

#[test]
fn the_bytes_of_each_update_and_of_an_enrolled_store_are_pinned() {
    let sha256 = |bytes: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let updates = UPDATES.map(|case| sha256(&update(case)));
    assert_eq!(
        updates,
        [
            "6ccc7170b4763a4423e10038ebe302e2ae6adbed4752cc5ea0b2c56154fef443",
            "02a89716e8ce3649d0e070d41b87b1da5b94e84f9854156082926c45f0b55fba",
            "d86b999eb8b18c813437290d63d4d774c101f5ffef0a31e48bab270a0b7ab8e2"
        ]
    );
    let mut store = VariableStore::parse(&host_file(OVMF_VARS)).unwrap();
    enrol(&mut store, &[certificate("db")]).unwrap();
    assert_eq!(
        sha256(&store.as_bytes()[..0x2000]),
        "5bb9de633dcabeeab96d8f2410fef4ce366ebebb72c82dc32dae5223b643fc55"
    );
}
