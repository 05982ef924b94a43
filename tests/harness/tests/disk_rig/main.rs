//! The lying disk, as a small NBD client sees it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers outside #[test] for tests"
)]

mod client;

use std::io::{Read, Write};

use bennu_harness::disk_rig::{DiskFault, DiskRig, DiskRigError, Held, Lie, Survivors};
use client::bench;
use proptest::prelude::*;

const SECTOR: usize = 512;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

#[test]
fn without_faults_what_was_written_is_read_and_a_flush_brings_it_to_the_image() {
    let mut bench = bench(8, Vec::new());
    bench.client.fill(1, 2, 5);
    bench.client.fill(2, 1, 6);
    let read = bench.client.read(0, 4 * SECTOR).unwrap();
    let firsts: Vec<u8> = read.chunks(SECTOR).map(|sector| sector[0]).collect();
    assert_eq!(firsts, [0, 5, 6, 0]);
    assert_eq!(
        bench.rig.watch().held(),
        Held {
            writes: 2,
            bytes: 3 * SECTOR
        }
    );
    assert_eq!(bench.image(), [0; 8], "nothing is flushed");
    assert_eq!(bench.client.flush(), 0);
    assert_eq!(bench.image(), [0, 5, 6, 0, 0, 0, 0, 0]);
    assert_eq!(bench.rig.watch().held(), Held { writes: 0, bytes: 0 });
    // An orderly end keeps what was not flushed.
    bench.client.fill(7, 1, 9);
    bench.rig.finish().unwrap();
    assert_eq!(bench.image(), [0, 5, 6, 0, 0, 0, 0, 9]);
    assert!(bench.rig.watch().trouble().is_empty());
}

#[test]
fn a_write_through_the_cache_is_there_at_once_and_no_older_one_comes_after_it() {
    let mut bench = bench(4, Vec::new());
    bench.client.fill(0, 3, 1);
    assert_eq!(bench.client.write(SECTOR as u64, &[2; SECTOR], true), 0);
    assert_eq!(bench.image(), [0, 2, 0, 0]);
    assert_eq!(bench.client.read(SECTOR as u64, SECTOR).unwrap(), [2; SECTOR]);
    bench.client.fill(2, 1, 3);
    let report = bench.rig.cut(Survivors::Everything).unwrap();
    assert_eq!(bench.image(), [1, 2, 3, 0]);
    assert_eq!(report.held.writes, 2);
    assert_eq!((report.sectors_kept, report.sectors_lost), (3, 1));
}

#[test]
fn requests_outside_the_disk_and_parts_of_sectors_are_refused() {
    let mut bench = bench(4, Vec::new());
    assert!(
        bench.client.read(3 * SECTOR as u64, SECTOR).is_ok(),
        "positive control"
    );
    assert_eq!(bench.client.read(3 * SECTOR as u64, 2 * SECTOR), Err(EINVAL));
    assert_eq!(bench.client.read(u64::MAX - 511, SECTOR), Err(EINVAL));
    assert_eq!(bench.client.read(1, SECTOR), Err(EINVAL));
    assert_eq!(bench.client.write(4 * SECTOR as u64, &[1; SECTOR], false), EINVAL);
    assert_eq!(bench.client.write(0, &[1; 100], false), EINVAL);
    bench.client.flush();
    assert_eq!(bench.image(), [0; 4]);
}

#[test]
fn a_lie_begins_at_its_read_of_each_sector_and_ends_with_its_range() {
    let bytes: Vec<u8> = (1..=20).collect();
    let mut bench = bench(
        8,
        vec![
            DiskFault::Lie {
                range: 500..530,
                from_read: 2,
                content: Lie::Inverted,
            },
            DiskFault::Lie {
                range: 2040..2060,
                from_read: 3,
                content: Lie::Bytes(bytes.clone()),
            },
            DiskFault::Lie {
                range: 3584..4096,
                from_read: u32::MAX,
                content: Lie::Inverted,
            },
        ],
    );
    let honest = vec![0; 4096];
    assert_eq!(bench.client.read(0, 4096).unwrap(), honest);
    // Sector 0 is read for the second time, sector 1 for the first.
    let second = bench.client.read(0, SECTOR).unwrap();
    assert_eq!(
        (&second[..500], &second[500..]),
        (&honest[..500], &[0xFF; 12][..])
    );
    let third = bench.client.read(0, 4096).unwrap();
    let mut expected = honest.clone();
    expected[500..530].fill(0xFF);
    assert_eq!(third, expected);
    let fourth = bench.client.read(0, 4096).unwrap();
    expected[2040..2060].copy_from_slice(&bytes);
    assert_eq!(fourth, expected);
    let watch = bench.rig.watch();
    assert_eq!((watch.struck(0), watch.struck(1), watch.struck(2)), (3, 1, 0));
    assert_eq!((watch.reads(0), watch.reads(1), watch.reads(2)), (4, 3, 3));
    watch.turn_on(2);
    assert_eq!(bench.client.read(3584, SECTOR).unwrap(), [0xFF; SECTOR]);
    assert_eq!(bench.image(), [0; 8], "the image itself is honest");
}

#[test]
fn errors_strike_their_range_only_and_as_often_as_they_say() {
    let mut bench = bench(
        4,
        vec![
            DiskFault::ReadError {
                range: 512..513,
                from_read: 2,
                times: 1,
            },
            DiskFault::WriteError { range: 1024..1536 },
        ],
    );
    let at = SECTOR as u64;
    let results: Vec<bool> = (0..3).map(|_| bench.client.read(at, SECTOR).is_ok()).collect();
    assert_eq!(results, [true, false, true]);
    assert_eq!(bench.client.read(0, SECTOR), Ok(vec![0; SECTOR]));
    assert_eq!(bench.client.write(at, &[1; 2 * SECTOR], false), EIO);
    assert_eq!(bench.client.write(3 * at, &[1; SECTOR], false), 0);
    bench.client.flush();
    assert_eq!(bench.image(), [0, 0, 0, 1]);
    assert_eq!((bench.rig.watch().struck(0), bench.rig.watch().struck(1)), (1, 1));
}

#[test]
fn a_fault_that_cannot_strike_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, vec![0; 1024]).unwrap();
    let start = |name: &str, fault| DiskRig::start(&image, &folder.path().join(name), vec![fault]);
    let lie = |range, bytes: usize| DiskFault::Lie {
        range,
        from_read: 1,
        content: Lie::Bytes(vec![1; bytes]),
    };
    assert!(start("good", lie(0..4, 4)).is_ok(), "positive control");
    for fault in [lie(0..4, 3), lie(1000..1025, 25), lie(4..4, 0)] {
        assert!(matches!(
            start("bad", fault),
            Err(DiskRigError::Fault { number: 0, .. })
        ));
    }
    std::fs::write(&image, vec![0; 1000]).unwrap();
    assert!(matches!(
        start("odd", lie(0..4, 4)),
        Err(DiskRigError::Size { bytes: 1000, .. })
    ));
    std::fs::remove_file(&image).unwrap();
    assert!(matches!(
        start("none", lie(0..4, 4)),
        Err(DiskRigError::Image { act: "open", .. })
    ));
}

/// Four writes after a flush, then the cut.
fn after_cut(survivors: Survivors) -> (Vec<u8>, usize) {
    let mut bench = bench(8, Vec::new());
    bench.client.fill(0, 8, 1);
    assert_eq!(bench.client.flush(), 0);
    for (place, byte) in [(0, 2), (2, 3), (4, 4), (6, 5)] {
        bench.client.fill(place, 2, byte);
    }
    let report = bench.rig.cut(survivors).unwrap();
    assert_eq!(
        report.held,
        Held {
            writes: 4,
            bytes: 8 * SECTOR
        }
    );
    assert_eq!(report.sectors_kept + report.sectors_lost, 8);
    let image = bench.image();
    assert!(matches!(bench.rig.cut(survivors), Err(DiskRigError::Off)));
    // Nothing that comes later changes anything: neither a request nor the end.
    bench
        .client
        .0
        .set_read_timeout(Some(std::time::Duration::from_millis(50)))
        .unwrap();
    let mut late = 0x2560_9513_u32.to_be_bytes().to_vec();
    late.extend([0, 0, 0, 3]);
    late.extend([0; 20]);
    bench.client.0.write_all(&late).unwrap();
    assert!(bench.client.0.read(&mut [0]).is_err(), "no answer after the cut");
    bench.rig.finish().unwrap();
    assert_eq!(bench.image(), image);
    drop(bench.folder);
    (image, report.sectors_kept)
}

#[test]
fn a_cut_leaves_what_its_survivors_say() {
    assert_eq!(after_cut(Survivors::Nothing), (vec![1; 8], 0));
    assert_eq!(
        after_cut(Survivors::Everything),
        (vec![2, 2, 3, 3, 4, 4, 5, 5], 8)
    );
    assert_eq!(
        after_cut(Survivors::EveryOther),
        (vec![2, 2, 1, 1, 4, 4, 1, 1], 4)
    );
    let torn: Vec<_> = (0..8).map(|seed| after_cut(Survivors::Torn { seed })).collect();
    assert_eq!(
        torn[3],
        after_cut(Survivors::Torn { seed: 3 }),
        "a seed is a case"
    );
    let half = |image: &[u8]| image.chunks(2).any(|write| write[0] != write[1]);
    assert!(torn.iter().any(|(image, _)| half(image)), "{torn:?}");
    let reordered: Vec<_> = (0..16)
        .map(|seed| after_cut(Survivors::Reordered { seed }))
        .collect();
    assert_eq!(reordered[3], after_cut(Survivors::Reordered { seed: 3 }));
    // A later write is there and an earlier one is not, wholly.
    let overtaken = |image: &[u8]| (1..4).any(|n| image[2 * n] != 1 && image[2 * n - 2..2 * n] == [1, 1]);
    assert!(
        reordered.iter().any(|(image, _)| overtaken(image)),
        "{reordered:?}"
    );
}

#[derive(Debug, Clone)]
enum Act {
    Write { sector: usize, count: usize, fua: bool },
    Flush,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let write = (0..12_usize, 1..5_usize, prop::bool::weighted(0.15));
    let write = write.prop_map(|(sector, count, fua)| Act::Write { sector, count, fua });
    prop::collection::vec(prop_oneof![6 => write, 1 => Just(Act::Flush)], 0..40)
}

fn survivors() -> impl Strategy<Value = Survivors> {
    prop_oneof![
        Just(Survivors::Nothing),
        Just(Survivors::Everything),
        Just(Survivors::EveryOther),
        any::<u64>().prop_map(|seed| Survivors::Torn { seed }),
        any::<u64>().prop_map(|seed| Survivors::Reordered { seed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_a_cut_each_sector_is_what_was_promised_or_what_was_written_since(acts in acts(), survivors in survivors()) {
        let mut bench = bench(16, Vec::new());
        // What each sector may hold: the promised content first, then the writes since, oldest first.
        let mut may = vec![vec![0_u8]; 16];
        for (number, act) in acts.iter().enumerate() {
            let byte = u8::try_from(number + 1).unwrap();
            match *act {
                Act::Flush => {
                    prop_assert_eq!(bench.client.flush(), 0);
                    may.iter_mut().for_each(|may| *may = vec![*may.last().unwrap()]);
                }
                Act::Write { sector, count, fua } => {
                    let bytes = vec![byte; count * SECTOR];
                    prop_assert_eq!(bench.client.write((sector * SECTOR) as u64, &bytes, fua), 0);
                    for may in &mut may[sector..sector + count] {
                        if fua { may.clear(); }
                        may.push(byte);
                    }
                }
            }
        }
        // Before the cut a reader sees the newest of everything.
        let seen: Vec<u8> = bench.client.read(0, 16 * SECTOR).unwrap().chunks(SECTOR).map(|s| s[0]).collect();
        let newest: Vec<u8> = may.iter().map(|may| *may.last().unwrap()).collect();
        prop_assert_eq!(&seen, &newest);
        bench.rig.cut(survivors).unwrap();
        let image = bench.image();
        for (sector, (found, may)) in image.iter().zip(&may).enumerate() {
            prop_assert!(may.contains(found), "sector {}: {} is none of {:?}", sector, found, may);
        }
        match survivors {
            Survivors::Nothing => prop_assert_eq!(image, may.iter().map(|may| may[0]).collect::<Vec<_>>()),
            Survivors::Everything => prop_assert_eq!(image, newest),
            _ => {}
        }
    }
}
