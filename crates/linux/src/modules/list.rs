//! The module list, `/lib/modules/list` in the initrd.
//!
//! UTF-8 text of at most 4 MiB. The first line is exactly `bennu-modules-v1`. Every other line ends
//! with a newline, is at most 2,048 bytes long, and has three fields separated by one TAB:
//!
//! - `name` TAB `path` TAB `dep,dep`: a module, the absolute path of its uncompressed `.ko` file in
//!   the initrd, and the modules that it needs (directly or all of them; may be empty).
//! - `alias` TAB `pattern` TAB `name`: a `modules.alias` pattern and the module to load for it.
//!
//! Names are `[A-Za-z0-9_-]`, 1 to 63 bytes, `-` the same as `_`; none is called `alias`. Names and
//! dependencies must be unique and known; order does not matter. Empty lines and comments are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::glob;
use crate::bounded::{self, ReadError};

/// The first line, without its newline: format name and version.
pub const LIST_HEADER: &str = "bennu-modules-v1";
/// Longest list in bytes. All aliases of Debian's kernel take 1.5 MB; an initrd has a fraction.
pub const LIST_LIMIT: usize = 4 * 1024 * 1024;
const LINE_LIMIT: usize = 2048;
const MODULES_LIMIT: usize = 4096;
const ALIASES_LIMIT: usize = 65_536;
/// `MODULE_NAME_LEN` of linux/module.h is 56 on 64-bit; 63 leaves room.
const NAME_LIMIT: usize = 63;

/// Why a module list was refused. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum ListError {
    #[error("cannot read the module list: {0}")]
    Read(#[from] ReadError),
    #[error("module list has {found} bytes, at most {LIST_LIMIT} are allowed")]
    TooLong { found: usize },
    #[error(
        "module list does not start with the line {LIST_HEADER:?}; rebuild the initrd with this release's builder"
    )]
    Header,
    #[error("module list is not UTF-8 text")]
    NotText,
    #[error("module list does not end with a newline")]
    Unfinished,
    #[error("module list line {line}: longer than {LINE_LIMIT} bytes")]
    LineTooLong { line: usize },
    #[error("module list line {line}: expected three fields separated by tabs")]
    Fields { line: usize },
    #[error("module list line {line}: bad module name")]
    BadName { line: usize },
    #[error("module list line {line}: path is not absolute and plain, or does not end in .ko")]
    BadPath { line: usize },
    #[error("module list line {line}: empty alias pattern or one with control characters")]
    BadPattern { line: usize },
    #[error("module list line {line}: module {name} is listed twice")]
    Duplicate { line: usize, name: ModuleName },
    #[error("module list line {line}: module {name} is not in the list")]
    Unknown { line: usize, name: ModuleName },
    #[error("module list line {line}: more than {MODULES_LIMIT} modules")]
    TooManyModules { line: usize },
    #[error("module list line {line}: more than {ALIASES_LIMIT} aliases")]
    TooManyAliases { line: usize },
    #[error("module list: module {name} needs itself by way of its dependencies")]
    Cycle { name: ModuleName },
}

/// A module's name with `_` for every `-`, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// Checks a name and writes `_` for `-`; none if it is not one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let good = plain && (1..=NAME_LIMIT).contains(&text.len()) && text != "alias";
        good.then(|| Self(text.replace('-', "_")))
    }

    /// The name as the kernel writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One module of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its `.ko` file, an absolute path.
    pub path: PathBuf,
    /// What must be loaded before it.
    pub needs: Vec<ModuleName>,
}

/// A checked list: every name that is mentioned is listed, and there are no cycles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleList {
    modules: BTreeMap<ModuleName, Module>,
    aliases: Vec<(String, ModuleName)>,
}

impl ModuleList {
    /// Reads and checks a list file.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn read(path: &Path) -> Result<Self, ListError> {
        Self::parse(&bounded::read(path, LIST_LIMIT)?)
    }

    /// Checks a list.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        if bytes.len() > LIST_LIMIT {
            return Err(ListError::TooLong { found: bytes.len() });
        }
        let after_header = bytes
            .strip_prefix(LIST_HEADER.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\n"));
        let body =
            std::str::from_utf8(after_header.ok_or(ListError::Header)?).map_err(|_| ListError::NotText)?;
        if !body.is_empty() && !body.ends_with('\n') {
            return Err(ListError::Unfinished);
        }
        let mut draft = Draft::default();
        for (index, text) in body.split_terminator('\n').enumerate() {
            draft.add_line(index + 2, text)?;
        }
        draft.finish()
    }

    /// A module by name.
    #[must_use]
    pub fn module(&self, name: &ModuleName) -> Option<&Module> {
        self.modules.get(name)
    }

    /// The number of modules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether the list has no module.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The modules whose aliases match a modalias, in the order of the list, each once.
    #[must_use]
    pub fn for_modalias(&self, modalias: &str) -> Vec<&ModuleName> {
        let mut found: Vec<&ModuleName> = Vec::new();
        for (pattern, name) in &self.aliases {
            if glob::matches(pattern.as_bytes(), modalias.as_bytes()) && !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// The order in which to load a module: what it needs first, itself last, each once. None if the
    /// module is not listed.
    #[must_use]
    pub fn load_order(&self, name: &ModuleName) -> Option<Vec<&ModuleName>> {
        let (start, _) = self.modules.get_key_value(name)?;
        order(&self.modules, start).ok()
    }
}

/// A list while it is being read; names mentioned before they are listed are checked at the end.
#[derive(Default)]
struct Draft {
    modules: BTreeMap<ModuleName, Module>,
    lines: BTreeMap<ModuleName, usize>,
    aliases: Vec<(String, ModuleName, usize)>,
}

impl Draft {
    fn add_line(&mut self, line: usize, text: &str) -> Result<(), ListError> {
        if text.len() > LINE_LIMIT {
            return Err(ListError::LineTooLong { line });
        }
        let fields: Vec<&str> = text.split('\t').collect();
        match fields[..] {
            ["alias", pattern, name] => self.add_alias(line, pattern, name),
            [name, path, needs] => self.add_module(line, name, path, needs),
            _ => Err(ListError::Fields { line }),
        }
    }

    fn add_alias(&mut self, line: usize, pattern: &str, name: &str) -> Result<(), ListError> {
        if pattern.is_empty() || pattern.chars().any(char::is_control) {
            return Err(ListError::BadPattern { line });
        }
        if self.aliases.len() >= ALIASES_LIMIT {
            return Err(ListError::TooManyAliases { line });
        }
        let name = ModuleName::new(name).ok_or(ListError::BadName { line })?;
        self.aliases.push((pattern.to_owned(), name, line));
        Ok(())
    }

    fn add_module(&mut self, line: usize, name: &str, path: &str, needs: &str) -> Result<(), ListError> {
        let bad_name = || ListError::BadName { line };
        let name = ModuleName::new(name).ok_or_else(bad_name)?;
        let path = plain_ko_path(path).ok_or(ListError::BadPath { line })?;
        let named = needs.split(',').filter(|_| !needs.is_empty());
        let needs = named
            .map(|n| ModuleName::new(n).ok_or_else(bad_name))
            .collect::<Result<Vec<_>, _>>()?;
        if self.modules.len() >= MODULES_LIMIT {
            return Err(ListError::TooManyModules { line });
        }
        if self
            .modules
            .insert(name.clone(), Module { path, needs })
            .is_some()
        {
            return Err(ListError::Duplicate { line, name });
        }
        self.lines.insert(name, line);
        Ok(())
    }

    fn finish(self) -> Result<ModuleList, ListError> {
        let needed = self.modules.iter().flat_map(|(name, module)| {
            let line = self.lines.get(name).copied().unwrap_or(0);
            module.needs.iter().map(move |need| (need, line))
        });
        let aliased = self.aliases.iter().map(|(_, name, line)| (name, *line));
        for (name, line) in needed.chain(aliased) {
            if !self.modules.contains_key(name) {
                return Err(ListError::Unknown {
                    line,
                    name: name.clone(),
                });
            }
        }
        check_acyclic(&self.modules)?;
        let aliases = self
            .aliases
            .into_iter()
            .map(|(pattern, name, _)| (pattern, name))
            .collect();
        Ok(ModuleList {
            modules: self.modules,
            aliases,
        })
    }
}

fn plain_ko_path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let mut parts = path.components();
    let absolute = parts.next() == Some(Component::RootDir);
    let plain = parts.all(|part| matches!(part, Component::Normal(_))) && !text.chars().any(char::is_control);
    (absolute && plain && text.ends_with(".ko")).then(|| path.to_owned())
}

/// Where a module stands in a depth-first walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Done,
}

type Marks<'a> = BTreeMap<&'a ModuleName, Mark>;

fn check_acyclic(modules: &BTreeMap<ModuleName, Module>) -> Result<(), ListError> {
    let mut marks = Marks::new();
    let mut sorted = Vec::new();
    modules
        .keys()
        .try_for_each(|name| walk(modules, name, &mut marks, &mut sorted))
}

fn order<'a>(
    modules: &'a BTreeMap<ModuleName, Module>,
    start: &'a ModuleName,
) -> Result<Vec<&'a ModuleName>, ListError> {
    let mut sorted = Vec::new();
    walk(modules, start, &mut Marks::new(), &mut sorted)?;
    Ok(sorted)
}

/// Appends `start` to `sorted` after all that it needs. Its own stack: a chain as long as the list must
/// not overflow that of the process.
fn walk<'a>(
    modules: &'a BTreeMap<ModuleName, Module>,
    start: &'a ModuleName,
    marks: &mut Marks<'a>,
    sorted: &mut Vec<&'a ModuleName>,
) -> Result<(), ListError> {
    let mut stack = vec![(start, 0)];
    while let Some((name, next)) = stack.pop() {
        if next == 0 && marks.get(name) == Some(&Mark::Done) {
            continue;
        }
        marks.insert(name, Mark::Open);
        let Some(need) = modules.get(name).and_then(|module| module.needs.get(next)) else {
            marks.insert(name, Mark::Done);
            sorted.push(name);
            continue;
        };
        stack.push((name, next + 1));
        match marks.get(need) {
            Some(Mark::Open) => return Err(ListError::Cycle { name: need.clone() }),
            Some(Mark::Done) => {}
            None => stack.push((need, 0)),
        }
    }
    Ok(())
}
