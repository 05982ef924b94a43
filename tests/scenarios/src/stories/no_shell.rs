//! There is nothing in an initrd that could be talked into more than it does: one program, kernel modules, whom to
//! trust, and what a state volume begins with. No shell, no interpreter, no library, no set-user-id bit, no link. Read
//! from the UKIs that boot; no machine is started.

use crate::images;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Kinds of ELF files (ELF 1.2, e_type): what the kernel loads as a module, and programs of either kind.
const RELOCATABLE: u8 = 1;
const PROGRAMS: [u8; 2] = [2, 3];
/// Kinds of files (`st_mode`).
const FORMAT: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// Set-user-id, set-group-id, sticky.
const SPECIAL: u32 = 0o7000;

/// Most bytes of an initrd as the UKI has it: each of them is measured, and read by the firmware, at every start.
const MOST_PACKED_BYTES: u64 = 8 << 20;
const TRUST: &str = "etc/bennu/trust.json";
const LIST: &str = "lib/modules/list";
const TEMPLATE: &str = "etc/bennu/state.template";
const IMA_POLICY: &str = "etc/bennu/ima-policy";

/// Files below `images/` that describe no image, by their folder.
const NO_IMAGES: [(&str, &str); 1] = [("profiles", "what a unit may do: read into an image's gate")];

/// What decides an initrd (`builder/src/steps/initrd.rs`), besides the names and numbers in [`TRUST`] that change nothing
/// about what is there: where kernel and modules come from, which modules come with them, IMA's rules, the state volume,
/// and the tables that bring prompts or keys of their own.
const DECIDES: [&str; 5] = ["state", "ima", "debug", "first_boot", "identity"];
/// How an image without a state volume says so, in a kind.
const VOLATILE: &str = "kind = \"volatile\"";
/// The folder of images that are built in seconds.
const SMALL: &str = "small/";
/// The second image of its kind that is looked at.
const OF_TWO: &str = "small/v2.toml";
/// As in the builder.
const MAX_EXTENDS: usize = 8;

pub fn stories() -> Vec<Story> {
    vec![
        story!("no-shell-in-the-initrd", Tier::Fast, no_shell),
        story!("no-shell-in-any-images-initrd", Tier::Fast, in_any_image),
    ]
}

#[derive(PartialEq, Eq)]
struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

fn no_shell(context: &mut Context) -> Result<()> {
    let entries = inspect(context, "small/v2.toml")?;
    the_check_itself_finds_each_kind(&entries)
}

/// One image of each kind, since building one takes up to a minute; the others of a kind have the same initrd but for names
/// and numbers in its trust configuration, which is seen at two of them.
fn in_any_image(context: &mut Context) -> Result<()> {
    for (kind, definitions) in kinds(&images::top().join("images"))? {
        let definition = definitions.first().context("a kind without an image")?.as_str();
        let entries = inspect(context, definition).context(definition.to_owned())?;
        // The control: it is the image's own initrd that was looked at.
        let keeps_state = !kind.contains(VOLATILE);
        let has_template = entries.iter().any(|entry| entry.name == TEMPLATE);
        ensure!(
            has_template == keeps_state,
            "{definition}: expected a template of a state volume: {keeps_state}, found {has_template}"
        );
        the_check_itself_finds_each_kind(&entries).context(definition.to_owned())?;
        if definitions.iter().any(|other| other == OF_TWO) {
            let other = inspect(context, OF_TWO).context(OF_TWO)?;
            let rest = |entries: Vec<Entry>| entries.into_iter().filter(|e| e.name != TRUST);
            ensure!(
                definition != OF_TWO && rest(entries).eq(rest(other)),
                "expected the initrds of {definition} and {OF_TWO} to differ in {TRUST} alone"
            );
        }
    }
    Ok(())
}

/// Every image below `folder` by its kind. The first of a kind is a small one if there is one, and extends fewest others:
/// what the other stories boot.
fn kinds(folder: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut kinds: BTreeMap<String, Vec<(bool, usize, String)>> = BTreeMap::new();
    for path in definitions(folder)? {
        let (definition, depth) = resolved(&path, 0)?;
        let name = images::text(path.strip_prefix(folder)?);
        let kind = kind(&definition).with_context(|| name.clone())?;
        kinds
            .entry(kind)
            .or_default()
            .push((!name.starts_with(SMALL), depth, name));
    }
    let in_order = |mut images: Vec<(bool, usize, String)>| {
        images.sort();
        images.into_iter().map(|(_, _, name)| name).collect()
    };
    Ok(kinds
        .into_iter()
        .map(|(kind, all)| (kind, in_order(all)))
        .collect())
}

/// Every TOML file below `folder` that is not in one of [`NO_IMAGES`].
fn definitions(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| images::text(folder))? {
        let path = entry?.path();
        let is_none = NO_IMAGES.iter().any(|(name, _)| path.ends_with(name));
        if path.is_dir() && !is_none {
            found.extend(definitions(&path)?);
        } else if path.extension() == Some(OsStr::new("toml")) {
            found.push(path);
        }
    }
    Ok(found)
}

/// A definition with what it extends, and how many those are: tables are merged, lists appended, other values replaced.
fn resolved(path: &Path, depth: usize) -> Result<(Table, usize)> {
    ensure!(depth <= MAX_EXTENDS, "{}: extends a circle", path.display());
    let text = std::fs::read_to_string(path).with_context(|| images::text(path))?;
    let mut over: Table = text.parse().with_context(|| images::text(path))?;
    let Some(base) = over.remove("extends") else {
        return Ok((over, 0));
    };
    let base = base.as_str().context("extends: expected a path")?;
    let base = path.parent().context("a file in no folder")?.join(base);
    let (mut all, below) = resolved(&base, depth + 1)?;
    merge(&mut all, over);
    Ok((all, below + 1))
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (Some(Value::Array(base)), Value::Array(over)) => base.extend(over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// The members of a definition that decide its initrd, as text.
fn kind(definition: &Table) -> Result<String> {
    let of_table = |table: &str, member: &str| definition.get(table)?.get(member).cloned();
    let mut kind = Table::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            kind.insert(name.to_owned(), value);
        }
    };
    put("source", of_table("boot", "source"));
    if of_table("boot", "source").is_none() {
        for member in ["kind", "suite", "path"] {
            put(member, of_table("root", member));
        }
    }
    put("modules", of_table("boot", "modules"));
    for name in DECIDES {
        put(name, definition.get(name).cloned());
    }
    Ok(toml::to_string(&kind)?)
}

/// What an image's initrd holds; refused where that is more than may be there.
fn inspect(context: &Context, definition: &str) -> Result<Vec<Entry>> {
    let uki = images::release(definition)?.join("uki.efi");
    let packed = context.folder().join("initrd.zst");
    let section = format!("--dump-section=.initrd={}", packed.display());
    let copy = context.folder().join("uki.copy");
    let args = [OsStr::new(&section), uki.as_os_str(), copy.as_os_str()];
    tool::run("objcopy", &args, &[])?;
    std::fs::remove_file(copy)?;
    let length = std::fs::metadata(&packed)?.len();
    ensure!(
        (1..=MOST_PACKED_BYTES).contains(&length),
        "expected a packed initrd of at most {MOST_PACKED_BYTES} bytes, found {length}"
    );
    let archive = tool::run("zstd", &["-dcq".as_ref(), packed.as_os_str()], &[])?;
    let entries = entries(&archive)?;
    // The outside judge sees the same names.
    let listed = String::from_utf8(tool::run("cpio", &["-it", "--quiet"], &archive)?)?;
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    ensure!(
        listed.lines().eq(names.iter().copied()),
        "expected what cpio lists:\n{listed}found {names:?}"
    );
    for entry in &entries {
        check(entry).with_context(|| entry.name.clone())?;
    }
    for name in ["init", TRUST, LIST] {
        ensure!(names.contains(&name), "expected {name} in the initrd");
    }
    let modules = names.iter().filter(|name| name.ends_with(".ko")).count();
    ensure!(modules > 0, "expected kernel modules in the initrd");
    Ok(entries)
}

/// The control: what must not be there would be noticed, by name.
fn the_check_itself_finds_each_kind(entries: &[Entry]) -> Result<()> {
    let init = entries.iter().find(|e| e.name == "init").context("no init")?;
    let sh = std::fs::read("/bin/sh").context("a dynamic program to compare with")?;
    let cases: [(&str, u32, &[u8], &str); 7] = [
        ("init", FILE | 0o4755, &init.content, "expected no special bit"),
        ("init", FILE | 0o755, &sh, "expected a static program"),
        ("init", FILE | 0o755, b"#!/bin/sh", "expected no script"),
        ("bin/sh", FILE | 0o755, &init.content, "expected no such file"),
        (
            "bin/sh",
            0o120_777,
            b"/init",
            "expected a folder, a file or the console",
        ),
        (
            "lib/modules/x.ko",
            FILE | 0o644,
            &init.content,
            "expected a kernel module",
        ),
        (
            "dev/mem",
            CHARACTER_DEVICE | 0o600,
            b"",
            "expected no device but the console",
        ),
    ];
    for (name, mode, content, reason) in cases {
        let (name, content) = (name.to_owned(), content.to_vec());
        let found = check(&Entry { name, mode, content });
        let found = found.err().map(|e| e.to_string()).unwrap_or_default();
        ensure!(found.starts_with(reason), "expected `{reason}`, found `{found}`");
    }
    Ok(())
}

/// What may be there, and in what form.
fn check(entry: &Entry) -> Result<()> {
    let Entry { name, mode, content } = entry;
    ensure!(
        mode & SPECIAL == 0,
        "expected no special bit, found mode {mode:o}"
    );
    match mode & FORMAT {
        DIRECTORY => return Ok(()),
        CHARACTER_DEVICE => {
            ensure!(name == "dev/console", "expected no device but the console");
            return Ok(());
        }
        FILE => {}
        other => bail!("expected a folder, a file or the console, found type {other:o}"),
    }
    ensure!(!content.starts_with(b"#!"), "expected no script");
    let elf = content.starts_with(b"\x7FELF");
    let kind = content.get(16).copied().unwrap_or_default();
    if name == "init" {
        ensure!(elf && PROGRAMS.contains(&kind), "expected a program");
        ensure!(!asks_for_an_interpreter(content)?, "expected a static program");
    } else if name.starts_with("lib/modules/") && name.ends_with(".ko") {
        ensure!(elf && kind == RELOCATABLE, "expected a kernel module");
        ensure!(mode & 0o111 == 0, "expected no executable, found mode {mode:o}");
    } else {
        let known = [TRUST, IMA_POLICY, TEMPLATE, LIST];
        ensure!(known.contains(&name.as_str()), "expected no such file");
        ensure!(!elf && mode & 0o111 == 0, "expected data, found mode {mode:o}");
    }
    Ok(())
}

/// Whether a 64-bit little-endian program has a program header of type `PT_INTERP`.
fn asks_for_an_interpreter(program: &[u8]) -> Result<bool> {
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
    let short = |at: usize| -> Result<usize> {
        let bytes = program.get(at..at + 2).context("a short ELF header")?;
        Ok(usize::from(u16::from_le_bytes(bytes.try_into()?)))
    };
    let table = program.get(32..40).context("a short ELF header")?;
    let table = usize::try_from(u64::from_le_bytes(table.try_into()?))?;
    let (size, count) = (short(54)?, short(56)?);
    ensure!(count > 0, "expected program headers, found none");
    for number in 0..count {
        let at = table + number * size;
        let kind = program.get(at..at + 4).context("a short program header table")?;
        if kind == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Entries of a `newc` archive (cpio(5)): 110 bytes of ASCII, name, content, each padded to 4 bytes.
fn entries(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0_usize;
    loop {
        let header = archive.get(at..at + 110).context("an archive without an end")?;
        ensure!(
            header.starts_with(b"070701"),
            "expected a newc header at byte {at}"
        );
        let field = |number: usize| -> Result<usize> {
            let digits = std::str::from_utf8(&header[6 + number * 8..14 + number * 8])?;
            Ok(usize::from_str_radix(digits, 16)?)
        };
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        let name = archive
            .get(at + 110..at + 110 + name_size)
            .context("a name beyond the end")?;
        let name = String::from_utf8(name.strip_suffix(b"\0").unwrap_or(name).to_vec())?;
        let start = (at + 110 + name_size).next_multiple_of(4);
        let content = archive
            .get(start..start + size)
            .context("a content beyond the end")?
            .to_vec();
        if name == "TRAILER!!!" {
            return Ok(entries);
        }
        let mode = u32::try_from(mode)?;
        entries.push(Entry { name, mode, content });
        at = (start + size).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_image_is_of_a_kind_and_what_is_none_is_in_a_folder_that_says_so() {
        let folder = images::top().join("images");
        let kinds = kinds(&folder).unwrap();
        let of_kinds: usize = kinds.values().map(Vec::len).sum();
        let mut others = 0;
        for name in ["bench", "demo", "small"] {
            for entry in fs::read_dir(folder.join(name)).unwrap() {
                let path = entry.unwrap().path();
                others += usize::from(path.extension() == Some(OsStr::new("toml")));
            }
        }
        assert_eq!(of_kinds, others);
        for (name, _) in NO_IMAGES {
            assert!(folder.join("small").join(name).is_dir(), "{name}");
        }
        assert!((7..=16).contains(&kinds.len()), "each is built: {kinds:#?}");
        let of_two = kinds
            .values()
            .find(|all| all.iter().any(|one| one == OF_TWO))
            .unwrap();
        assert_ne!(of_two[0], OF_TWO);
    }

    #[test]
    fn an_image_is_of_another_kind_when_something_that_decides_its_initrd_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("profiles")).unwrap();
        put("profiles/no-image.toml", "[root]\n");
        put(
            "image.toml",
            "[root]\nkind = \"debian\"\nsuite = \"trixie\"\n[boot]\nmodules = [\"a\"]\n",
        );
        put(
            "later.toml",
            "extends = \"image.toml\"\n[image]\nversion = \"2\"\n",
        );
        let found =
            |kinds: &BTreeMap<String, Vec<String>>| -> Vec<Vec<String>> { kinds.values().cloned().collect() };
        let before = kinds(folder.path()).unwrap();
        assert_eq!(found(&before), [["image.toml", "later.toml"]], "control");
        for (table, line) in [
            ("root", "suite = \"bookworm\""),
            ("boot", "modules = [\"b\"]"),
            ("boot.source", "kind = \"debian\""),
            ("ima", "policy = \"none\""),
            ("state", "pin = true"),
            ("debug", "keys = [\"debug.pub\"]"),
        ] {
            put(
                "other.toml",
                &format!("extends = \"later.toml\"\n[{table}]\n{line}\n"),
            );
            let kinds = kinds(folder.path()).unwrap();
            assert_eq!(kinds.len(), 2, "{table}: {kinds:#?}");
            assert!(found(&kinds).contains(&vec!["other.toml".to_owned()]), "{table}");
        }
    }
}
