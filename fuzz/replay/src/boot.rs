//! What the firmware reads: PE images and their signatures, key variables, OVMF's store, `.pcrsig`.

use bennu_uki::authenticode;
use bennu_uki::efivars::{AuthenticatedUpdate, KeyVariable, parse_x509_lists};
use bennu_uki::keys::Certificate;
use bennu_uki::measure::{Bank, predict_pcr11};
use bennu_uki::ovmf::VariableStore;
use bennu_uki::pcrsig::PcrSignatures;
use bennu_uki::pe::{PeImage, strip_coff_symbols};
use bennu_uki::root_hash;
use std::sync::OnceLock;

/// Certificate of the key that signs the seeds; a throw-away of the tests of `crates/uki`.
const CERTIFICATE: &[u8] = include_bytes!("../fixtures/certificate.der");

fn certificate() -> Option<&'static Certificate> {
    static READ: OnceLock<Option<Certificate>> = OnceLock::new();
    READ.get_or_init(|| Certificate::read(CERTIFICATE).ok()).as_ref()
}

/// A PE image: sections, digest, symbol table, what the stub would measure.
pub fn pe(bytes: &[u8]) -> bool {
    let Ok(image) = PeImage::parse(bytes) else {
        return false;
    };
    for section in image.sections() {
        assert!(
            image.data(section).len() <= bytes.len(),
            "a section larger than its file"
        );
    }
    let digest = authenticode::image_digest(bytes).is_ok();
    let _ = strip_coff_symbols(bytes);
    let _ = predict_pcr11(bytes, Bank::Sha256);
    digest
}

/// A signed PE image against a trusted certificate.
pub fn authenticode_verify(bytes: &[u8]) -> bool {
    let Some(certificate) = certificate() else {
        return false;
    };
    authenticode::verify(bytes, std::slice::from_ref(certificate)).is_ok()
}

/// A signed update of a key variable and the signature lists in it.
pub fn efi_auth(bytes: &[u8]) -> bool {
    let lists = parse_x509_lists(bytes).is_ok();
    let Ok(update) = AuthenticatedUpdate::parse(bytes) else {
        return lists;
    };
    let trusted = certificate().is_some_and(|c| update.verify(KeyVariable::Db, c).is_ok());
    parse_x509_lists(update.data).is_ok() && trusted
}

/// A variable store of OVMF.
pub fn ovmf_vars(bytes: &[u8]) -> bool {
    VariableStore::parse(bytes).is_ok_and(|store| store.variables().is_ok())
}

/// The JSON of `.pcrsig`.
pub fn pcrsig(bytes: &[u8]) -> bool {
    let Ok(signatures) = PcrSignatures::parse(bytes) else {
        return false;
    };
    let key = certificate().and_then(|c| c.public_key().ok());
    key.is_some_and(|key| signatures.verify(&key).is_ok())
}

/// The PKCS#7 signature over a root hash.
pub fn root_hash_signature(bytes: &[u8]) -> bool {
    certificate().is_some_and(|c| root_hash::verify(bytes, &crate::ROOT_HASH.to_string(), c).is_ok())
}
