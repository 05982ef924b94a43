//! Passes that still count: `target/vm/results.json`.
//!
//! A story's key is a SHA-256 over the product's binaries and images, this harness's source, the story's name,
//! its source file, and the files beside it that it takes something from. A pass with the same key is reused, so that a run
//! of all stories can be resumed. Only passes are kept. The file is a cache: if it is absent or damaged every story runs,
//! and a damaged one is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artefacts::write_atomically;

/// Begins each key, so that another way to make keys gives other keys.
const DOMAIN: &[u8] = b"bennu-vm-result-v1";

/// A kept pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Key, 64 hex digits.
    pub key: String,
    /// What the story took, in ms.
    pub duration_ms: u64,
}

/// All kept passes by story.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    passes: BTreeMap<String, Pass>,
    /// Why the file on disk was not used, if it was there.
    pub damaged: Option<String>,
}

impl Results {
    /// Loads the passes kept at `path`.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let mut results = Self {
            path: path.to_owned(),
            passes: BTreeMap::new(),
            damaged: None,
        };
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(results),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        match serde_json::from_slice(&bytes) {
            Ok(passes) => results.passes = passes,
            Err(error) => {
                results.damaged = Some(format!("decode {}: {error}; every story runs", path.display()))
            }
        }
        Ok(results)
    }

    /// The pass of `story` with exactly this key.
    #[must_use]
    pub fn find(&self, story: &str, key: &str) -> Option<&Pass> {
        self.passes.get(story).filter(|pass| pass.key == key)
    }

    /// Keeps a pass, or forgets an earlier one of a story that failed, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&mut self, story: &str, pass: Option<Pass>) -> anyhow::Result<()> {
        match pass {
            Some(pass) => self.passes.insert(story.to_owned(), pass),
            None => self.passes.remove(story),
        };
        write_atomically(&self.path, &serde_json::to_vec_pretty(&self.passes)?)
    }
}

/// Digest of all that every story depends on: the product's files and this harness.
#[derive(Debug, Clone)]
pub struct InputDigest([u8; 32]);

impl InputDigest {
    /// Reads `inputs`; a folder stands for all files below it.
    ///
    /// # Errors
    /// An input is missing: build it first.
    pub fn of(inputs: &[PathBuf]) -> anyhow::Result<Self> {
        let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut all = vec![digest_tree(&harness)?];
        for input in inputs {
            all.push(digest_tree(input)?);
        }
        Ok(Self(frame(&all)))
    }

    /// The key of one story.
    ///
    /// # Errors
    /// The source file cannot be read.
    pub fn key(&self, story: &str, source: &Path) -> anyhow::Result<String> {
        let mut parts = vec![self.0.to_vec(), story.as_bytes().to_vec()];
        for module in with_neighbours(source)? {
            parts.push(digest_file(&module)?.to_vec());
        }
        Ok(hex::encode(frame(&parts)))
    }
}

/// A story's source and what it takes from the modules beside it (`super::name`), and they from theirs, in byte order.
fn with_neighbours(source: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let folder = source.parent().context("a story's source stands in a folder")?;
    let mut all = BTreeSet::new();
    let mut next = vec![source.to_owned()];
    while let Some(file) = next.pop() {
        let text =
            fs::read_to_string(&file).with_context(|| format!("find a story's source {}", file.display()))?;
        let named = text.split("super::").skip(1).flat_map(|rest| {
            // `super::{one, two}`: every word to the brace's end, of which those count that are modules.
            let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
            let words = list.unwrap_or_else(|| rest.split(|c| !is_word(c)).next().unwrap_or_default());
            words
                .split(|c| !is_word(c))
                .map(|word| folder.join(word).with_extension("rs"))
        });
        next.extend(named.filter(|module| module.is_file() && !all.contains(module)));
        all.insert(file);
    }
    Ok(all)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// SHA-256 over the domain and the parts, each with its length in front, so that no two lists look alike.
fn frame(parts: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Digest of a file, or of the names and files below a folder in byte order. Symbolic links are followed.
fn digest_tree(path: &Path) -> anyhow::Result<Vec<u8>> {
    let meta =
        fs::metadata(path).with_context(|| format!("find input {}: build it first", path.display()))?;
    if meta.is_file() {
        return Ok(digest_file(path)?.to_vec());
    }
    ensure!(
        meta.is_dir(),
        "read input {}: expected a file or a folder",
        path.display()
    );
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut names: Vec<_> = entries
        .with_context(|| format!("list input folder {}", path.display()))?
        .into_iter()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    let mut parts = Vec::new();
    for name in names {
        parts.push(name.as_encoded_bytes().to_vec());
        parts.push(digest_tree(&path.join(&name))?);
    }
    Ok(frame(&parts).to_vec())
}

fn digest_file(path: &Path) -> anyhow::Result<[u8; 32]> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file
            .read(&mut chunk)
            .with_context(|| format!("read {}", path.display()))?
        {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_inputs_name_or_source_changes_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("image"), "one").unwrap();
        fs::create_dir(at("binaries")).unwrap();
        fs::write(at("binaries/bennu"), "two").unwrap();
        fs::write(at("story.rs"), "three").unwrap();
        let inputs = [at("image"), at("binaries")];
        let key = |story: &str| {
            InputDigest::of(&inputs)
                .unwrap()
                .key(story, &at("story.rs"))
                .unwrap()
        };
        let first = key("a");
        assert_eq!(first, key("a"), "positive control");
        assert_ne!(first, key("b"));
        fs::write(at("story.rs"), "changed").unwrap();
        let second = key("a");
        fs::write(at("binaries/bennu"), "changed").unwrap();
        let third = key("a");
        fs::rename(at("binaries/bennu"), at("binaries/other")).unwrap();
        let fourth = key("a");
        assert!(first != second && second != third && third != fourth);
    }

    #[test]
    fn a_change_of_what_a_story_takes_from_beside_it_changes_the_key_and_no_other_change_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("story.rs"), "use super::{other, near};").unwrap();
        fs::write(at("near.rs"), "use super::far::expect_more;\nuse super::story;").unwrap();
        fs::write(at("far.rs"), "one").unwrap();
        fs::write(at("stranger.rs"), "one").unwrap();
        let key = || InputDigest([7; 32]).key("a", &at("story.rs")).unwrap();
        let first = key();
        fs::write(at("stranger.rs"), "changed").unwrap();
        assert_eq!(first, key(), "positive control");
        fs::write(at("far.rs"), "changed").unwrap();
        assert_ne!(first, key());
    }

    #[test]
    fn a_missing_input_is_an_error_that_says_to_build_it() {
        let error = InputDigest::of(&["/nonexistent/image".into()]).unwrap_err();
        assert_eq!(error.to_string(), "find input /nonexistent/image: build it first");
    }

    #[test]
    fn keys_are_pinned() {
        let digest = InputDigest([7; 32]);
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("story.rs");
        fs::write(&source, "fn main() {}\n").unwrap();
        // Made with Python's hashlib from the description at `frame`.
        let expected = "31cff69b924541966160c2212057b5521cd0c5de06820763e275b73d961c3425";
        assert_eq!(digest.key("a-story", &source).unwrap(), expected);
    }

    #[test]
    fn passes_survive_a_reload_and_count_for_their_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm/results.json");
        let mut results = Results::load(&path).unwrap();
        let pass = Pass {
            key: "k".into(),
            duration_ms: 5,
        };
        results.note("a", Some(pass.clone())).unwrap();
        let mut again = Results::load(&path).unwrap();
        assert_eq!(again.find("a", "k"), Some(&pass));
        assert_eq!(again.find("a", "other"), None);
        again.note("a", None).unwrap();
        assert_eq!(Results::load(&path).unwrap().find("a", "k"), None);
    }

    #[test]
    fn a_damaged_file_is_named_and_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        fs::write(&path, "{").unwrap();
        let results = Results::load(&path).unwrap();
        assert!(
            results
                .damaged
                .is_some_and(|text| text.contains("every story runs"))
        );
    }
}
