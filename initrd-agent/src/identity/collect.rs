//! What may be kept of the layer that an earlier start has left.
//!
//! Whoever was root in that start could write anything there: other paths, links, devices, pipes, set-id bits, files
//! without end, directories that are links. Only regular files at the signed paths are taken, and for the time zone a
//! link into the zone files; content, permissions and owner are carried over, extended attributes are not.

use super::{Content, Kept};
use bennu_formats::identity::{
    self as format, IdentityRule, MAX_DIRECTORY_ENTRIES, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Place,
};
use bennu_linux::found::{self, Found};
use std::io;
use std::path::Path;

/// Set-user-id, set-group-id and sticky bit.
const SET_ID: u32 = 0o7000;
/// Most things outside the list that are looked for, to be told.
const MAX_DROPPED: usize = 64;
/// Most things that are looked at for that.
const MAX_LOOKS: usize = 4096;
/// How deep they are looked for.
const MAX_DEPTH: usize = 4;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// What may be kept.
    pub kept: Vec<Kept>,
    /// What stands at a path of the list and is refused, with the reason.
    pub refused: Vec<String>,
    /// Paths outside the list, some of them: for people.
    pub dropped: Vec<String>,
}

/// Looks at everything that the list names.
pub fn collect(upper: &Path, rule: &IdentityRule) -> io::Result<Collected> {
    let mut collector = Collector {
        upper,
        total: 0,
        looks: 0,
        out: Collected::default(),
    };
    for place in rule.places() {
        collector.place(place)?;
    }
    for path in &rule.paths {
        collector.file(path.as_str())?;
    }
    collector.find_dropped("", 0)?;
    Ok(collector.out)
}

struct Collector<'a> {
    upper: &'a Path,
    total: usize,
    looks: usize,
    out: Collected,
}

impl Collector<'_> {
    fn place(&mut self, place: Place) -> io::Result<()> {
        match place {
            Place::Single(path) => self.file(path),
            Place::ZoneLink(path) => self.zone_link(path),
            Place::Files { directory, .. } => {
                let Some((names, more)) =
                    found::names(self.upper, Path::new(directory), MAX_DIRECTORY_ENTRIES)?
                else {
                    return self.no_directory(directory);
                };
                if more {
                    self.refuse(
                        directory,
                        &format!("at most {MAX_DIRECTORY_ENTRIES} entries"),
                        "more",
                    );
                }
                for name in names.iter().filter(|name| place.admits_name(name)) {
                    self.file(&format!("{directory}/{name}"))?;
                }
                Ok(())
            }
        }
    }

    /// Nothing there, or something that is no directory.
    fn no_directory(&mut self, directory: &str) -> io::Result<()> {
        match found::look(self.upper, Path::new(directory), 0)? {
            Found::None | Found::Whiteout => {}
            Found::Link(_) | Found::Detour => self.refuse(directory, "a directory", "a link"),
            _ => self.refuse(directory, "a directory", "something else"),
        }
        Ok(())
    }

    fn refuse(&mut self, path: &str, expected: &str, found: &str) {
        if self.out.refused.len() < MAX_FILES {
            self.out
                .refused
                .push(format!("/etc/{path}: expected {expected}, found {found}"));
        }
    }

    fn file(&mut self, path: &str) -> io::Result<()> {
        const EXPECTED: &str = "a regular file";
        if self.out.kept.iter().any(|kept| kept.path == path) {
            return Ok(());
        }
        match found::look(self.upper, Path::new(path), MAX_FILE_BYTES)? {
            // One that the image has and the system deleted comes back.
            Found::None | Found::Whiteout => {}
            Found::Regular(file) if file.mode & SET_ID != 0 => {
                self.refuse(path, "no set-id bits", &format!("mode {:04o}", file.mode));
            }
            Found::Regular(file) => self.keep(
                path,
                Content::File {
                    bytes: file.bytes,
                    mode: file.mode,
                    uid: file.uid,
                    gid: file.gid,
                },
            ),
            Found::TooLong(found) => {
                self.refuse(
                    path,
                    &format!("at most {MAX_FILE_BYTES} bytes"),
                    &found.to_string(),
                );
            }
            Found::Link(_) => self.refuse(path, EXPECTED, "a symbolic link"),
            Found::Detour => self.refuse(path, EXPECTED, "a link or a file on the way"),
            Found::Directory => self.refuse(path, EXPECTED, "a directory"),
            Found::Other(what) => self.refuse(path, EXPECTED, what),
        }
        Ok(())
    }

    fn zone_link(&mut self, path: &str) -> io::Result<()> {
        const EXPECTED: &str = "a link into /usr/share/zoneinfo";
        match found::look(self.upper, Path::new(path), 0)? {
            Found::None | Found::Whiteout => {}
            Found::Link(Some(target)) if format::is_zone_link(&target) => {
                self.keep(path, Content::Link(target));
            }
            Found::Link(_) => self.refuse(path, EXPECTED, "a link elsewhere"),
            _ => self.refuse(path, EXPECTED, "something else"),
        }
        Ok(())
    }

    fn keep(&mut self, path: &str, content: Content) {
        let bytes = match &content {
            Content::File { bytes, .. } => bytes.len(),
            Content::Link(target) => target.len(),
        };
        if self.out.kept.len() == MAX_FILES {
            return self.refuse(path, &format!("at most {MAX_FILES} files"), "one more");
        }
        if self.total + bytes > MAX_TOTAL_BYTES {
            return self.refuse(path, &format!("at most {MAX_TOTAL_BYTES} bytes in all"), "more");
        }
        self.total += bytes;
        self.out.kept.push(Kept {
            path: path.to_owned(),
            content,
        });
    }

    /// Some of what stays behind. Names only: nothing of it is opened.
    fn find_dropped(&mut self, directory: &str, depth: usize) -> io::Result<()> {
        let here = if directory.is_empty() { "." } else { directory };
        let listed = found::names(self.upper, Path::new(here), MAX_DIRECTORY_ENTRIES)?;
        for name in listed.map(|(names, _)| names).unwrap_or_default() {
            self.looks += 1;
            if self.out.dropped.len() == MAX_DROPPED || self.looks > MAX_LOOKS {
                break;
            }
            let path = if directory.is_empty() {
                name
            } else {
                format!("{directory}/{name}")
            };
            let known = self.out.kept.iter().any(|kept| kept.path == path)
                || self
                    .out
                    .refused
                    .iter()
                    .any(|said| said.starts_with(&format!("/etc/{path}:")));
            match found::look(self.upper, Path::new(&path), 0)? {
                _ if known => {}
                Found::Directory if depth < MAX_DEPTH => self.find_dropped(&path, depth + 1)?,
                Found::Whiteout | Found::None => {}
                _ => self.out.dropped.push(format!("/etc/{path}")),
            }
        }
        Ok(())
    }
}
