//! The FAT reader against hostile bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::OnceLock;

use bennu_disk::fat::Plan;
use bennu_disk::fat::reader::{BootError, Kind, ReadError, Volume};
use proptest::prelude::*;
use workshop::{MIB, file, noise, spec};

/// A volume of which only the first bytes are kept (the rest is zero), with a few bytes changed.
#[derive(Debug)]
struct Patched {
    base: &'static [u8],
    patches: Vec<(u64, u8)>,
    position: u64,
}

const VOLUME_BYTES: u64 = 34 * MIB;

fn patched(patches: &[(u64, u8)]) -> Patched {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let entries = vec![
            file("/EFI/Linux/bennu-demo_2+3-0.efi", &noise(20_000, 2)),
            file(
                "/some long directory name/some long file name.txt",
                &noise(2000, 3),
            ),
            file("/A.TXT", b"a"),
        ];
        let mut image = Cursor::new(Vec::new());
        Plan::new(spec(VOLUME_BYTES), entries)
            .unwrap()
            .write(&mut image, 0, &mut |_| {})
            .unwrap();
        image.into_inner()
    });
    Patched {
        base,
        patches: patches.to_vec(),
        position: 0,
    }
}

impl Read for Patched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        for (byte, at) in buf.iter_mut().zip(self.position..) {
            *byte = self.base.get(at as usize).copied().unwrap_or(0);
        }
        for (at, value) in &self.patches {
            if let Some(slot) = at
                .checked_sub(self.position)
                .and_then(|n| buf.get_mut(n as usize))
            {
                *slot = *value;
            }
        }
        self.position += buf.len() as u64;
        Ok(buf.len())
    }
}

impl Seek for Patched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.position = at;
        Ok(at)
    }
}

/// Reads all there is; errors are fine, panics and endless loops are not.
fn read_all(patches: &[(u64, u8)]) -> Result<usize, ReadError> {
    let mut volume = Volume::open(patched(patches), 0, VOLUME_BYTES)?;
    let mut directories = vec![String::new()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in volume.list(&directory)?.into_iter().take(50) {
            let path = format!("{directory}/{}", entry.name);
            match entry.kind {
                Kind::Directory if path.matches('/').count() < 4 => directories.push(path),
                Kind::Directory => {}
                Kind::File => {
                    files += 1;
                    let _ = volume.copy(&path, 1 << 20, &mut io::sink());
                }
            }
        }
    }
    Ok(files)
}

// Reserved 32 sectors, two FATs, then the root at cluster 2 and the other directories.
const FAT: u64 = 32 * 512;
fn root() -> u64 {
    let fat_sectors = u64::from(u32::from_le_bytes(patched(&[]).base[36..40].try_into().unwrap()));
    (32 + 2 * fat_sectors) * 512
}

#[test]
fn boot_sectors_that_are_not_ours_are_refused_for_their_own_reason() {
    assert_eq!(read_all(&[]).unwrap(), 3);
    let refused = |patches: &[(u64, u8)]| match read_all(patches) {
        Err(ReadError::Boot(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[(511, 0)]), BootError::Signature);
    assert_eq!(refused(&[(12, 16)]), BootError::SectorSize { found: 4096 });
    assert_eq!(refused(&[(13, 0)]), BootError::ClusterSize { found: 0 });
    assert_eq!(refused(&[(13, 3)]), BootError::ClusterSize { found: 3 });
    assert_eq!(refused(&[(18, 2)]), BootError::NotFat32);
    assert_eq!(refused(&[(13, 2)]), BootError::NotFat32);
    assert_eq!(refused(&[(40, 0x81)]), BootError::FatsNotMirrored);
    assert!(matches!(refused(&[(35, 1)]), BootError::Geometry { .. }));
    assert!(matches!(refused(&[(39, 0xff)]), BootError::Geometry { .. }));
    assert!(matches!(refused(&[(16, 0)]), BootError::Geometry { .. }));
    assert!(matches!(refused(&[(36, 1), (37, 0)]), BootError::Geometry { .. }));
    let small = Volume::open(patched(&[]), 0, VOLUME_BYTES - 512).unwrap_err();
    assert!(matches!(small, ReadError::Boot(BootError::Geometry { .. })));
}

#[test]
fn chains_that_lead_nowhere_end_in_an_error() {
    let root_slots = &patched(&[]).base[root() as usize..][..512];
    let a_txt = root_slots
        .chunks(32)
        .position(|slot| slot.starts_with(b"A       TXT"))
        .unwrap() as u64;
    let slot = root() + a_txt * 32;
    let read = |patches: &[(u64, u8)], path: &str| {
        Volume::open(patched(patches), 0, VOLUME_BYTES)
            .unwrap()
            .read(path, u32::MAX)
            .unwrap_err()
    };
    // A size of 513 needs a second cluster that the chain does not have.
    let refused = read(&[(slot + 28, 1), (slot + 29, 2)], "A.TXT");
    assert!(matches!(refused, ReadError::ShortChain { .. }), "{refused:?}");
    let refused = read(&[(slot + 26, 1), (slot + 27, 0)], "A.TXT");
    assert!(
        matches!(refused, ReadError::NoSuchCluster { cluster: 1 }),
        "{refused:?}"
    );
    let refused = read(&[(slot + 21, 0xff)], "A.TXT");
    assert!(
        matches!(refused, ReadError::NoSuchCluster { cluster } if cluster > 0xff00_0000),
        "{refused:?}"
    );
    // The root's chain leads back to the root, which is full of a file that is not wanted.
    let full: Vec<(u64, u8)> = (0..16)
        .flat_map(|n| [(root() + n * 32, b'B'), (root() + n * 32 + 11, 0x20)])
        .collect();
    let mut circle = vec![(FAT + 8, 2), (FAT + 9, 0), (FAT + 10, 0), (FAT + 11, 0)];
    circle.extend(full);
    let refused = read(&circle, "A.TXT");
    assert!(
        matches!(refused, ReadError::DirectoryTooLarge { cluster: 2 }),
        "{refused:?}"
    );
}

#[test]
fn paths_and_limits_are_refused_for_their_own_reason() {
    let mut volume = Volume::open(patched(&[]), 0, VOLUME_BYTES).unwrap();
    assert_eq!(volume.read("A.TXT", 1).unwrap(), b"a");
    let refused = volume.read("A.TXT", 0).unwrap_err();
    assert!(
        matches!(
            refused,
            ReadError::FileTooLarge {
                found: 1,
                limit: 0,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(matches!(volume.read("B.TXT", 1), Err(ReadError::NotFound { .. })));
    assert!(matches!(
        volume.read("EFI", 1),
        Err(ReadError::WrongKind {
            expected: Kind::File,
            ..
        })
    ));
    assert!(matches!(
        volume.read("/", 1),
        Err(ReadError::WrongKind {
            expected: Kind::File,
            ..
        })
    ));
    assert!(matches!(
        volume.list("A.TXT"),
        Err(ReadError::WrongKind {
            expected: Kind::Directory,
            ..
        })
    ));
    assert!(matches!(
        volume.read("A.TXT/b", 1),
        Err(ReadError::WrongKind {
            expected: Kind::Directory,
            ..
        })
    ));
    assert!(matches!(
        volume.list(&"a/".repeat(17)),
        Err(ReadError::TooDeep { found: 17, .. })
    ));
}

#[test]
fn a_long_name_that_is_not_whole_gives_way_to_the_short_one() {
    // Slot 0 is the label, then come A.TXT and EFI, then the slots of the long directory name.
    let long = root() + 3 * 32;
    for (at, value) in [(13, 0), (0, 0x43), (0, 0x5f), (0, 0xc2)] {
        let mut volume = Volume::open(patched(&[(long + at, value)]), 0, VOLUME_BYTES).unwrap();
        let names: Vec<String> = volume
            .list("")
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["A.TXT", "EFI", "SOMELO~1"], "byte {at} is {value:#x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_the_reader_panic(
        boot in proptest::collection::vec((11u64..90, any::<u8>()), 0..3),
        fat in proptest::collection::vec((0u64..200, any::<u8>()), 0..4),
        directories in proptest::collection::vec((0u64..5 * 512, any::<u8>()), 0..6),
    ) {
        let mut patches = boot;
        patches.extend(fat.into_iter().map(|(at, value)| (FAT + at, value)));
        patches.extend(directories.into_iter().map(|(at, value)| (root() + at, value)));
        let _ = read_all(&patches);
    }

    #[test]
    fn random_sectors_make_no_volume(bytes in proptest::collection::vec(any::<u8>(), 512)) {
        let _ = Volume::open(Cursor::new(bytes), 0, u64::MAX).map(|mut volume| volume.list("").map(|_| ()));
    }
}
