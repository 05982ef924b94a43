//! What apt and dpkg say on a system that they cannot change.
//!
//! Written into roots that have them: a program that explains and fails, and the two configurations that make them run it
//! first. Without it they would fetch, unpack half of something into the volatile `/var`, and fail at the first file of the
//! read-only root, with words about a disk. It is a courtesy and no defence.

use super::root::{Editor, RootError};
use bennu_erofs::{Kind, Tree, TreeError};

/// Explains and fails.
const PROGRAM: (&str, &str) = ("/usr/lib/bennu/immutable", include_str!("../../assets/immutable"));
/// A package manager, its configuration, and what that says.
const MANAGERS: [(&str, &str, &str); 2] = [
    (
        "/usr/bin/apt-get",
        "/etc/apt/apt.conf.d/99bennu-immutable",
        include_str!("../../assets/immutable-apt.conf"),
    ),
    (
        "/usr/bin/dpkg",
        "/etc/dpkg/dpkg.cfg.d/99bennu-immutable",
        include_str!("../../assets/immutable-dpkg.cfg"),
    ),
];

fn is_file(tree: &Tree, path: &str) -> Result<bool, TreeError> {
    let found = tree.get_following(path)?;
    Ok(matches!(found.map(|node| &node.kind), Some(Kind::Regular(_))))
}

impl Editor<'_> {
    /// Writes the program and the configurations of the package managers that are there.
    pub(super) fn immutable(&mut self) -> Result<(), RootError> {
        let mut any = false;
        for (manager, path, text) in MANAGERS {
            if is_file(self.tree, manager)? {
                self.text(path, 0o644, text.as_bytes())?;
                any = true;
            }
        }
        if any {
            self.text(PROGRAM.0, 0o755, PROGRAM.1.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_erofs::{Content, Metadata, Timestamp};

    fn with(files: &[&str]) -> Tree {
        let now = Timestamp::from_seconds(0);
        let mut tree = Tree::new(Metadata::root_owned(0o755, now));
        for path in files {
            let content = Content::inline(*b"");
            tree.insert_file(path, Metadata::root_owned(0o755, now), content)
                .unwrap();
        }
        Editor { tree: &mut tree, now }.immutable().unwrap();
        tree
    }

    #[test]
    fn each_package_manager_that_is_there_says_it_and_others_leave_the_root_as_it_is() {
        let paths = [PROGRAM.0, MANAGERS[0].1, MANAGERS[1].1];
        for (files, expected) in [
            (&["/usr/bin/apt-get", "/usr/bin/dpkg"][..], [true, true, true]),
            (&["/usr/bin/dpkg"], [true, false, true]),
            (&["/usr/bin/rpm"], [false, false, false]),
        ] {
            let tree = with(files);
            assert_eq!(
                paths.map(|path| is_file(&tree, path).unwrap()),
                expected,
                "{files:?}"
            );
        }
    }

    #[test]
    fn the_program_is_a_script_that_fails() {
        assert!(PROGRAM.1.starts_with("#!/bin/sh\n") && PROGRAM.1.trim_end().ends_with("exit 1"));
        for (_, _, text) in MANAGERS {
            assert!(text.contains(PROGRAM.0));
        }
    }
}
