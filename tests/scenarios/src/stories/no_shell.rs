//! There is nothing in an initrd that could be talked into more than it does: one program, kernel modules, whom to
//! trust, and what a state volume begins with. No shell, no interpreter, no library, no set-user-id bit, no link. Read
//! from the UKIs that boot; no machine is started.

use crate::images;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::ffi::OsStr;

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

/// Images whose initrds differ, and whether they keep state: a PIN and debug keys bring prompts and trust of their own,
/// Debian 12 another kernel, the demo a whole system.
const IMAGES: [(&str, bool); 7] = [
    ("small/image.toml", false),
    ("small/state.toml", true),
    ("small/pin.toml", true),
    ("small/escrow.toml", true),
    ("small/debug.toml", true),
    ("small/bookworm.toml", false),
    ("demo/image.toml", true),
];

pub fn stories() -> Vec<Story> {
    vec![
        story!("no-shell-in-the-initrd", Tier::Fast, no_shell),
        story!("no-shell-in-any-images-initrd", Tier::Fast, in_any_image),
    ]
}

struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

fn no_shell(context: &mut Context) -> Result<()> {
    let entries = inspect(context, "small/v2.toml")?;
    the_check_itself_finds_each_kind(&entries)
}

fn in_any_image(context: &mut Context) -> Result<()> {
    for (definition, keeps_state) in IMAGES {
        let entries = inspect(context, definition).context(definition)?;
        // The control: it is the image's own initrd that was looked at.
        let has_template = entries.iter().any(|entry| entry.name == TEMPLATE);
        ensure!(
            has_template == keeps_state,
            "{definition}: expected a template of a state volume: {keeps_state}, found {has_template}"
        );
        the_check_itself_finds_each_kind(&entries).context(definition)?;
    }
    Ok(())
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
