//! Outside judges of an image: erofs-utils as installed. A judge that is missing fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test binary uses some of these")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use bennu_erofs::{FileType, Image, ImageOptions, Metadata, ReadError, Timestamp, Tree, Xattrs, write_image};

pub const BUILD_TIME_S: u64 = 1_700_000_000;

pub fn options() -> ImageOptions {
    ImageOptions::new(*b"bennu-erofs test", BUILD_TIME_S)
}

pub fn metadata(mode: u32) -> Metadata {
    Metadata::root_owned(mode, Timestamp::from_seconds(BUILD_TIME_S as i64))
}

pub fn image_of(tree: &Tree, options: &ImageOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut told = 0;
    let summary = write_image(tree, &mut bytes, options, &mut |done| told = done).expect("image is written");
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(told, summary.bytes);
    assert_eq!(summary.bytes % 4096, 0);
    assert_eq!(summary.metadata_bytes + summary.data_bytes, summary.bytes);
    bytes
}

pub fn stored(directory: &Path, image: &[u8]) -> PathBuf {
    let path = directory.join("judged.erofs");
    std::fs::write(&path, image).expect("image is stored");
    path
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

/// fsck.erofs finds nothing wrong, also when it reads all data.
pub fn fsck_is_clean(image: &Path) {
    for argument in ["-d9", "--extract"] {
        let text = run("fsck.erofs", &[argument.as_ref(), image.as_os_str()]);
        assert!(!text.contains("<E>"), "{text}");
    }
}

/// fsck.erofs unpacks the image, owners and modes apart (it needs no privileges for that).
pub fn fsck_extracts(image: &Path, to: &Path) {
    let extract = format!("--extract={}", to.display());
    run(
        "fsck.erofs",
        &[extract.as_ref(), "--no-preserve".as_ref(), image.as_os_str()],
    );
}

/// What dump.erofs says of a path: links, size, uid, gid, mode.
pub fn dumped(image: &Path, path: &str) -> (u32, u64, u32, u32, u32) {
    let text = run(
        "dump.erofs",
        &[format!("--path=/{path}").as_ref(), image.as_os_str()],
    );
    let field = |name: &str| {
        let rest = text
            .split(name)
            .nth(1)
            .unwrap_or_else(|| panic!("{name} in {text}"));
        rest.split_whitespace().next().expect("a value").to_owned()
    };
    let number = |name| field(name).parse().expect("a number");
    let mode = field("Access: ");
    let mode = u32::from_str_radix(mode.split('/').next().expect("octal"), 8).expect("octal");
    (
        number("Links: ") as u32,
        number("Size: "),
        number("Uid: ") as u32,
        number("Gid: ") as u32,
        mode,
    )
}

/// mkfs.erofs makes an image of a directory.
pub fn mkfs(directory: &Path, image: &Path) {
    run(
        "mkfs.erofs",
        &["-T1700000000".as_ref(), image.as_os_str(), directory.as_os_str()],
    );
}

/// All that can be seen of a file through the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub file_type: FileType,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: Timestamp,
    pub xattrs: Xattrs,
    /// Content or target.
    pub data: Vec<u8>,
    pub device: Option<(u32, u32)>,
    /// First path of the same inode.
    pub first: Vec<u8>,
}

/// Everything in an image, by path.
pub fn seen<R: bennu_erofs::ReadAt>(image: &Image<R>) -> Result<BTreeMap<Vec<u8>, Seen>, ReadError> {
    let mut all = BTreeMap::new();
    let mut first = BTreeMap::new();
    image.walk(|path, inode| {
        let data = match inode.file_type {
            FileType::Regular => image.read_file(inode, 1 << 24)?,
            FileType::Symlink => image.read_link(inode)?,
            _ => Vec::new(),
        };
        let seen = Seen {
            file_type: inode.file_type,
            mode: inode.mode.bits(),
            uid: inode.uid,
            gid: inode.gid,
            nlink: inode.nlink,
            mtime: inode.mtime,
            xattrs: image.xattrs(inode)?,
            data,
            device: inode.device,
            first: first.entry(inode.nid).or_insert(path.to_vec()).clone(),
        };
        all.insert(path.to_vec(), seen);
        Ok::<_, ReadError>(())
    })?;
    Ok(all)
}

pub fn seen_in_file(path: &Path) -> BTreeMap<Vec<u8>, Seen> {
    seen(&Image::open(File::open(path).expect("image opens")).expect("superblock reads"))
        .expect("image reads")
}
