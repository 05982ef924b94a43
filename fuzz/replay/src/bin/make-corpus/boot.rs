//! PE images, signatures, key variables, a variable store: signed by a throw-away key of `crates/uki`'s tests.

use crate::Seed;
use anyhow::Context as _;
use bennu_uki::authenticode;
use bennu_uki::efivars::{EfiGuid, EfiTime, KeyVariable, sign_update, x509_list};
use bennu_uki::keys::{Certificate, SigningKey, ValidityPeriod};
use bennu_uki::measure::{Bank, predict_pcr11};
use bennu_uki::ovmf::{Enrolment, VariableStore};
use bennu_uki::pcrsig::PcrSignatures;
use bennu_uki::pe::{Section, assemble};
use bennu_uki::root_hash;
use std::path::Path;

const EPOCH_S: u64 = 1_750_000_000;
const OWNER: EfiGuid = EfiGuid::from_u128(0x0123_4567_89ab_4cde_8f01_2345_6789_abcd);

pub fn seeds(root: &Path) -> anyhow::Result<Vec<Seed>> {
    let path = root.join("crates/uki/tests/fixtures/db.key");
    let key =
        SigningKey::from_pkcs8(&std::fs::read(&path).with_context(|| format!("read {}", path.display()))?)?;
    let certificate = key.self_signed("Bennu fuzzing", ValidityPeriod::ten_years_from(EPOCH_S))?;
    std::fs::write(
        root.join("fuzz/replay/fixtures/certificate.der"),
        certificate.der(),
    )?;
    let time = EfiTime::from_unix_s(EPOCH_S).context("a time that EFI can tell")?;
    let uki = uki()?;
    let signed = authenticode::sign(&uki, &key, &certificate)?;
    let lists = x509_list(OWNER, std::slice::from_ref(&certificate));
    let update = sign_update(KeyVariable::Db, &lists, time, &key, &certificate)?;
    let pcrsig = PcrSignatures::sign(&predict_pcr11(&uki, Bank::Sha256)?, &key)?.to_json()?;
    let over = bennu_fuzz_replay::ROOT_HASH.to_string();
    Ok(vec![
        ("pe", "stub", stub()),
        ("pe", "uki", uki),
        ("pe", "signed", signed.clone()),
        ("authenticode_verify", "signed", signed),
        ("efi_auth", "db", update),
        ("efi_auth", "lists", lists),
        ("ovmf_vars", "enrolled", store(time, &certificate)?),
        ("ovmf_vars", "empty", empty_store()),
        ("pcrsig", "phases", pcrsig.into_bytes()),
        (
            "root_hash_signature",
            "signed",
            root_hash::sign(&over, &key, &certificate)?,
        ),
    ])
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The smallest PE32+ EFI application with the sections that a systemd-stub has (Microsoft PE format).
fn stub() -> Vec<u8> {
    const PE: usize = 0x80;
    const OPTIONAL: usize = PE + 24;
    const SECTIONS: usize = OPTIONAL + 240;
    let sections: [(&[u8], &[u8]); 2] = [
        (b".text", &[0xc3]),
        (b".sdmagic", b"#### LoaderInfo: systemd-stub 257.13-1 ####\0"),
    ];
    let mut image = vec![0; 0x400 + sections.len() * 0x200];
    put(&mut image, 0, b"MZ");
    put(&mut image, 0x3c, &(PE as u32).to_le_bytes());
    put(&mut image, PE, b"PE\0\0\x64\x86");
    put(&mut image, PE + 6, &(sections.len() as u16).to_le_bytes());
    put(&mut image, PE + 20, &240u16.to_le_bytes());
    put(&mut image, PE + 22, &0x222u16.to_le_bytes());
    put(&mut image, OPTIONAL, &0x20bu16.to_le_bytes());
    let size_of_image = 0x1000 * (1 + sections.len() as u32);
    for (at, value) in [
        (16, 0x1000),
        (32, 0x1000),
        (36, 0x200),
        (56, size_of_image),
        (60, 0x400),
        (108, 16),
    ] {
        put(&mut image, OPTIONAL + at, &u32::to_le_bytes(value));
    }
    put(&mut image, OPTIONAL + 68, &10u16.to_le_bytes());
    for (n, (name, content)) in sections.iter().enumerate() {
        let header = SECTIONS + n * 40;
        let raw = 0x400 + n * 0x200;
        put(&mut image, header, &name[..name.len().min(8)]);
        let fields = [content.len(), 0x1000 * (n + 1), 0x200, raw];
        for (field, value) in fields.iter().enumerate() {
            put(&mut image, header + 8 + field * 4, &(*value as u32).to_le_bytes());
        }
        put(&mut image, header + 36, &0x4000_0040u32.to_le_bytes());
        put(&mut image, raw, content);
    }
    image
}

fn uki() -> anyhow::Result<Vec<u8>> {
    let section = |name, data: &'static [u8]| Section { name, data };
    Ok(assemble(
        &stub(),
        &[
            section(".osrel", b"ID=demo\nIMAGE_ID=demo\nIMAGE_VERSION=2\n"),
            section(".cmdline", b"quiet"),
            section(".uname", b"6.12.0"),
            section(".initrd", b"070701"),
            section(".linux", b"kernel"),
        ],
    )?)
}

/// An erased store of 16 KiB in a firmware volume of its own.
fn empty_store() -> Vec<u8> {
    const BYTES: usize = 16 * 1024;
    const HEADER: usize = 72;
    let guid = |value| EfiGuid::from_u128(value).0;
    let mut store = vec![0xff; BYTES];
    store[..HEADER + 28].fill(0);
    put(&mut store, 16, &guid(0xfff1_2b8d_7696_4c8b_a985_2747_075b_4f50));
    put(&mut store, 32, &(BYTES as u64).to_le_bytes());
    put(&mut store, 40, b"_FVH");
    put(&mut store, 48, &(HEADER as u16).to_le_bytes());
    let sum = store[..HEADER]
        .chunks_exact(2)
        .fold(0u16, |sum, w| sum.wrapping_add(u16::from_le_bytes([w[0], w[1]])));
    put(&mut store, 50, &sum.wrapping_neg().to_le_bytes());
    put(
        &mut store,
        HEADER,
        &guid(0xaaf3_2c78_947b_439a_a180_2e14_4ec3_7792),
    );
    put(&mut store, HEADER + 16, &((BYTES - HEADER) as u32).to_le_bytes());
    put(&mut store, HEADER + 20, &[0x5a, 0xfe]);
    store
}

fn store(time: EfiTime, certificate: &Certificate) -> anyhow::Result<Vec<u8>> {
    let mut store = VariableStore::parse(&empty_store())?;
    let all = std::slice::from_ref(certificate);
    store.enrol(&Enrolment {
        owner: OWNER,
        time,
        pk: certificate,
        kek: all,
        db: all,
    })?;
    let bytes = store.as_bytes();
    // Erased flash beyond the last variable says nothing new.
    Ok(bytes.to_vec())
}
