//! Definitions as files.

use super::*;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "image.toml",
        "[image]\nid = \"demo\"\ncolour = \"red\"\n",
    );
    let Err(DefinitionError::Parse { detail, .. }) = Definition::load(&path) else {
        panic!()
    };
    assert!(detail.contains("line 3") && detail.contains("colour"), "{detail}");
}

#[test]
fn a_mistyped_escrow_key_is_refused_with_its_line_and_a_right_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let load = |key: &str| {
        let text = format!("[state]\nkind = \"encrypted\"\nrecovery = {{ escrow = \"{key}\" }}\n");
        Definition::load(&write(dir.path(), "image.toml", &text))
    };
    let right = "age18sugygkz8gcg2ch3m0ezm57vqazualugp0mxjwu8fh79kcgctayqzm4fhd";
    let found = load(right).unwrap().state.recovery;
    let expected = bennu_formats::trust::RecoveryRule::Escrow(right.parse().unwrap());
    assert_eq!(found, Some(expected));
    let Err(DefinitionError::Parse { detail, .. }) = load(&right.replace("age1", "age2")) else {
        panic!()
    };
    assert!(
        detail.contains("line 3") && detail.contains("escrow key: expected the recipient"),
        "{detail}"
    );
}

#[test]
fn a_definition_builds_on_another_one() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "image.toml",
        "[image]\nid = \"demo\"\nversion = \"1\"\n[root]\nkind = \"directory\"\npath = \"tree\"\npackages = [\"a\"]\n",
    );
    let path = write(
        dir.path(),
        "v2.toml",
        "extends = \"image.toml\"\n[image]\nversion = \"2\"\n[root]\npackages = [\"b\"]\n",
    );
    let found = Definition::load(&path).unwrap();
    assert_eq!(found.image.id.unwrap().as_str(), "demo");
    assert_eq!(found.image.version.unwrap().as_str(), "2");
    assert_eq!(found.root.packages, ["a", "b"]);
    assert_eq!(found.root.path.unwrap(), dir.path().join("tree"));
}

#[test]
fn a_definition_that_extends_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "image.toml", "extends = \"image.toml\"\n");
    assert!(matches!(Definition::load(&path), Err(DefinitionError::Circle(_))));
}
