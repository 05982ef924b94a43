//! UKIs as PE images, judged by `objdump` and `objcopy`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::pe::{AssembleError, PeError, PeImage, Section, StripError, assemble, strip_coff_symbols};
use proptest::prelude::*;
use workshop::*;

const KERNEL: Section<'static> = Section {
    name: ".linux",
    data: &[0x5a; 5000],
};

#[test]
fn an_assembled_uki_has_each_section_unchanged_and_the_kernel_last() {
    let osrel = Section {
        name: ".osrel",
        data: b"ID=test\n",
    };
    let initrd = Section {
        name: ".initrd",
        data: &[9; 4097],
    };
    let image = assemble(&host_file(STUB), &[KERNEL, osrel, initrd]).unwrap();
    assert_eq!(
        image,
        assemble(&host_file(STUB), &[KERNEL, osrel, initrd]).unwrap()
    );
    let pe = PeImage::parse(&image).unwrap();
    assert_eq!((pe.machine(), pe.subsystem()), (0x8664, 10));
    for section in [KERNEL, osrel, initrd] {
        assert_eq!(
            pe.section_data(section.name),
            Some(section.data),
            "{}",
            section.name
        );
    }
    assert_eq!(pe.sections().last().unwrap().name.as_bytes(), b".linux");
    let mut end = 0;
    for section in pe.sections() {
        assert!(
            section.virtual_address >= end,
            "{} overlaps the one before",
            section.name
        );
        end = section.virtual_address + section.virtual_size;
    }
    assert_eq!(pe.size_of_image(), end.next_multiple_of(pe.section_alignment()));
    assert_eq!(image.len() % pe.file_alignment() as usize, 0);
}

#[test]
fn objcopy_reads_back_what_was_put_in_even_when_the_headers_had_to_grow() {
    let scratch = Scratch::new();
    let names = [
        ".osrel", ".cmdline", ".initrd", ".uname", ".pcrpkey", ".pcrsig", ".splash", ".dtb", ".hwids",
    ];
    let contents: Vec<_> = (0..names.len())
        .map(|i| vec![i as u8 + 1; 100 + 1000 * i])
        .collect();
    let mut sections = vec![KERNEL];
    sections.extend(
        names
            .iter()
            .zip(&contents)
            .map(|(name, data)| Section { name, data }),
    );
    let stub = host_file(STUB);
    let image = assemble(&stub, &sections).unwrap();
    let (before, after) = (
        strip_coff_symbols(&stub).unwrap(),
        PeImage::parse(&image).unwrap(),
    );
    for section in PeImage::parse(&before).unwrap().sections() {
        let name = section.name.to_string();
        let old = PeImage::parse(&before)
            .unwrap()
            .section_data(&name)
            .map(<[u8]>::to_vec);
        assert_eq!(
            old.as_deref(),
            after.section_data(&name),
            "{name} of the stub is unchanged"
        );
    }
    let file = scratch.write("uki.efi", &image);
    for section in &sections {
        let out = scratch.path().join("section");
        let (name, out_arg) = (format!("--only-section={}", section.name), out.to_str().unwrap());
        accepts(
            "objcopy",
            &["-O", "binary", &name, file.to_str().unwrap(), out_arg],
        );
        assert_eq!(std::fs::read(&out).unwrap(), section.data, "{}", section.name);
    }
}

#[test]
fn stripping_removes_the_symbols_and_nothing_else() {
    let stub = host_file(STUB);
    let stripped = strip_coff_symbols(&stub).unwrap();
    assert!(stripped.len() < stub.len(), "Debian 12's stub has symbols");
    assert_eq!(strip_coff_symbols(&stripped).unwrap(), stripped);
    let differing: Vec<_> = (0..stripped.len()).filter(|&i| stub[i] != stripped[i]).collect();
    assert!(
        differing.iter().all(|i| (0x80..0x98).contains(i)),
        "only the COFF header: {differing:x?}"
    );
}

#[test]
fn each_wrong_section_is_refused() {
    let stub = host_file(STUB);
    let named = |name| Section { name, data: b"x" };
    assert!(assemble(&stub, &[KERNEL]).is_ok(), "positive control");
    assert_eq!(assemble(&stub, &[named(".osrel")]), Err(AssembleError::NoKernel));
    assert_eq!(
        assemble(&stub, &[KERNEL, named(".toolongname")]),
        Err(AssembleError::BadName {
            name: ".toolongname".into()
        })
    );
    for twice in [".linux", ".sbat"] {
        let refusal = assemble(&stub, &[KERNEL, named(twice)]);
        assert!(
            matches!(refusal, Err(AssembleError::DuplicateSection { .. })),
            "{twice}: {refusal:?}"
        );
    }
    let empty = Section {
        name: ".initrd",
        data: b"",
    };
    assert!(matches!(
        assemble(&stub, &[KERNEL, empty]),
        Err(AssembleError::EmptySection { .. })
    ));
    let refusal = assemble(b"MZ", &[KERNEL]);
    assert!(
        matches!(
            refusal,
            Err(AssembleError::Stub(StripError::Pe(PeError::Truncated { .. })))
        ),
        "{refusal:?}"
    );
}

#[test]
fn overlapping_sections_and_sections_outside_the_file_are_refused() {
    let image = assemble(&host_file(STUB), &[KERNEL]).unwrap();
    let pe = PeImage::parse(&image).unwrap();
    let header = image.windows(8).position(|w| w == b".linux\0\0").unwrap();
    let first_end = pe.size_of_headers() + 1;
    let mut overlapping = image.clone();
    overlapping[header + 20..header + 24].copy_from_slice(&first_end.to_le_bytes());
    assert!(matches!(
        PeImage::parse(&overlapping),
        Err(PeError::SectionsOverlap { .. })
    ));
    let refusal = PeImage::parse(&image[..image.len() - 1]);
    assert!(
        matches!(refusal, Err(PeError::SectionOutsideFile { .. })),
        "{refusal:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_parser_or_the_verifier_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = PeImage::parse(&bytes);
        let _ = bennu_uki::authenticode::verify(&bytes, &[]);
    }

    #[test]
    fn no_change_to_the_headers_of_a_uki_makes_anything_panic(
        changes in proptest::collection::vec((0usize..0x400, any::<u8>()), 1..8)
    ) {
        let mut image = assemble(&host_file(STUB), &[KERNEL]).unwrap();
        for (at, value) in changes {
            image[at] = value;
        }
        if let Ok(pe) = PeImage::parse(&image) {
            for section in pe.sections() {
                let _ = pe.data(section);
            }
        }
        let _ = strip_coff_symbols(&image);
        let _ = bennu_uki::authenticode::image_digest(&image);
        let _ = assemble(&image, &[KERNEL]);
    }
}
