//! Volumes that cannot be made are refused before a byte is written, each for its own reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::fs::File;
use std::io::Cursor;

use bennu_disk::Window;
use bennu_disk::fat::{Content, Entry, FatError, GeometryError, NameError, Plan, TreeError};
use workshop::{MIB, file, spec};

#[test]
fn plans_that_cannot_be_written_are_refused_for_their_own_reason() {
    let plan = |entries: Vec<Entry>| Plan::new(spec(34 * MIB), entries).map(|_| ());
    assert!(plan(vec![file("a/b", b""), file("a/c", b"")]).is_ok());
    let collision = |paths: [&str; 2]| match plan(paths.iter().map(|path| file(path, b"")).collect()) {
        Err(FatError::Tree(TreeError::Collision { path })) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(collision(["a", "/a"]), "a");
    assert_eq!(collision(["A", "a"]), "a");
    assert_eq!(collision(["a", "a/b"]), "a/b");
    assert_eq!(collision(["EFI/a", "efi/b"]), "efi/b");
    let refused = plan(vec![file("a/b:c", b"")]).unwrap_err();
    let expected = matches!(
        &refused,
        FatError::Tree(TreeError::Name { path, source: NameError::Character { found: ':', .. } }) if path == "a/b:c"
    );
    assert!(expected, "{refused:?}");
    let refused = plan(vec![file("a//b", b"")]).unwrap_err();
    assert!(matches!(
        refused,
        FatError::Tree(TreeError::Name {
            source: NameError::Reserved { .. },
            ..
        })
    ));
    let refused = plan(vec![file(&"d/".repeat(16).to_string(), b"")]).unwrap_err();
    assert!(
        matches!(refused, FatError::Tree(TreeError::TooDeep { found: 17, .. })),
        "{refused:?}"
    );
    let entry = Entry {
        path: "a".to_owned(),
        content: Content::File("/nonexistent".into()),
    };
    assert!(matches!(plan(vec![entry]), Err(FatError::ReadSource { .. })));
    let entry = Entry {
        path: "a".to_owned(),
        content: Content::File("/".into()),
    };
    assert!(matches!(plan(vec![entry]), Err(FatError::SourceKind { .. })));
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    File::create(&large).unwrap().set_len(1 << 32).unwrap();
    let refused = plan(vec![Entry {
        path: "a".to_owned(),
        content: Content::File(large),
    }])
    .unwrap_err();
    assert!(matches!(
        refused,
        FatError::Tree(TreeError::FileTooLarge {
            found: 0x1_0000_0000,
            ..
        })
    ));
    let refused = Plan::new(spec(16 * MIB), Vec::new()).unwrap_err();
    assert!(matches!(
        refused,
        FatError::Geometry(GeometryError::TooSmall { .. })
    ));
    let refused =
        Plan::new(spec(34 * MIB), Vec::new())
            .unwrap()
            .write(&mut Cursor::new(vec![]), 100, &mut |_| {});
    assert!(matches!(refused, Err(FatError::Offset { found: 100 })));
    let mut short = Window::new(Cursor::new(vec![0; MIB as usize]), 0, MIB);
    let refused = Plan::new(spec(34 * MIB), vec![file("a", &[1; MIB as usize])])
        .unwrap()
        .write(&mut short, 0, &mut |_| {});
    assert!(matches!(refused, Err(FatError::Write { .. })), "{refused:?}");
}
