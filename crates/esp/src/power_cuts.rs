//! The writers under a power cut at any moment, and then under a second one at the next start.

use crate::files;
use crate::model::{Model, Sectors};
use crate::record::{self, FoundRecord};
use crate::volume::Volume as _;
use bennu_formats::boot_record::BootRecord;
use std::path::Path;

const ROOT: &str = "/esp";

/// Every disk that a power cut in `act` may leave of `disk`.
fn cut_anywhere(disk: &Sectors, act: impl Fn(&Model)) -> Vec<Sectors> {
    let model = Model::of(disk.clone());
    act(&model);
    let cuts = model.cuts();
    cuts.iter().for_each(Sectors::check);
    cuts
}

fn after(act: impl Fn(&Model)) -> Sectors {
    let model = Model::default();
    act(&model);
    model.flushed()
}

fn read(disk: &Sectors, path: &str) -> Option<Vec<u8>> {
    Model::of(disk.clone()).read(Path::new(path), 100_000).unwrap()
}

#[test]
fn a_published_file_is_whole_empty_or_absent_and_never_lost_again() {
    const PATH: &str = "/esp/secrets/a.sealed";
    let publish = |bytes: &'static [u8]| move |m: &Model| files::publish(m, Path::new(PATH), bytes).unwrap();
    let mut seen = [0, 0, 0];
    for first in cut_anywhere(&Sectors::default(), publish(b"blob")) {
        match read(&first, PATH).as_deref() {
            None => seen[0] += 1,
            Some(b"") => seen[1] += 1,
            Some(b"blob") => {
                seen[2] += 1;
                continue; // The next start opens it and writes nothing.
            }
            Some(other) => panic!("{other:?}"),
        }
        for second in cut_anywhere(&first, publish(b"next")) {
            let found = read(&second, PATH);
            assert!(
                matches!(found.as_deref(), None | Some(b"" | b"next")),
                "{found:?}"
            );
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    assert_eq!(read(&after(publish(b"blob")), PATH).unwrap(), b"blob");
}

fn found(disk: &Sectors) -> FoundRecord {
    record::read(&Model::of(disk.clone()), Path::new(ROOT)).unwrap()
}

fn starts(disk: &Sectors) -> Option<u64> {
    match found(disk) {
        FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } => Some(record.starts),
        FoundRecord::None | FoundRecord::Damaged(_) => None,
    }
}

/// Counts a start, as `bennu-init` does.
fn count(model: &Model) {
    let mut record = match record::read(model, Path::new(ROOT)).unwrap() {
        FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } => record,
        FoundRecord::None | FoundRecord::Damaged(_) => BootRecord::default(),
    };
    record.starts += 1;
    record::write(model, Path::new(ROOT), &record).unwrap();
}

#[test]
fn a_record_is_the_old_or_the_new_one_after_a_cut_and_after_a_second_one() {
    let counted = after(|m| (0..7).for_each(|_| count(m)));
    assert!(matches!(found(&counted), FoundRecord::Whole(r) if r.starts == 7));
    let mut one_copy = 0;
    for first in cut_anywhere(&counted, count) {
        let before = starts(&first).unwrap();
        assert!([7, 8].contains(&before));
        one_copy += usize::from(matches!(found(&first), FoundRecord::OneCopy { .. }));
        for second in cut_anywhere(&first, count) {
            let after = starts(&second).unwrap();
            assert!([before, before + 1].contains(&after), "{before} {after}");
        }
    }
    assert!(one_copy > 0);
}

#[test]
fn a_first_record_that_is_cut_off_leaves_none_a_damaged_or_the_new_one_and_the_next_is_whole() {
    for first in cut_anywhere(&Sectors::default(), count) {
        assert!(matches!(starts(&first), None | Some(1)));
        let next = after_on(&first, count);
        assert!(matches!(found(&next), FoundRecord::Whole(_)));
    }
}

fn after_on(disk: &Sectors, act: impl Fn(&Model)) -> Sectors {
    let model = Model::of(disk.clone());
    act(&model);
    model.flushed()
}

#[test]
fn a_log_of_another_length_is_made_anew_and_no_cut_leaves_an_entry_to_free_clusters() {
    let write =
        |bytes: &'static [u8]| move |m: &Model| files::write(m, Path::new("/esp/log"), bytes).unwrap();
    let old = after(write(b"first, longer"));
    for first in cut_anywhere(&old, write(b"second")) {
        for second in cut_anywhere(&first, write(b"third, longest of all")) {
            let last = after_on(&second, write(b"fourth"));
            assert_eq!(read(&last, "/esp/log").unwrap(), b"fourth");
        }
    }
}

#[test]
fn a_renamed_entry_is_whole_under_the_old_or_the_new_name_or_both() {
    let (old, new) = (Path::new("/esp/Linux/a+3.efi"), Path::new("/esp/Linux/a+2-1.efi"));
    let disk = after(|m| files::write(m, old, b"kernel").unwrap());
    let mut both = 0;
    for cut in cut_anywhere(&disk, |m| files::rename(m, old, new).unwrap()) {
        let names = [old, new].map(|name| read(&cut, name.to_str().unwrap()).is_some_and(|b| b == b"kernel"));
        assert!(names.contains(&true));
        both += usize::from(names == [true, true]);
    }
    assert!(both > 0);
    // The positive control of the model: flushing the directory alone loses the file.
    let model = Model::of(disk);
    model.rename(old, new).unwrap();
    model.sync(Path::new("/esp/Linux")).unwrap();
    assert_eq!(read(&model.flushed(), "/esp/Linux/a+2-1.efi").unwrap(), b"");
}
