//! What the tests build from: keys, agents, a boot source, a root, a definition; and images built once.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Release of the kernel that is never run.
pub const KERNEL: &str = "9.9.9-test";
/// Where Debian keeps stub and loader, on the host and in a boot source.
pub const EFI_PARTS: &str = "usr/lib/systemd/boot/efi";
/// Modules that bennu wants, all built in: the test kernel has nothing to load.
const BUILT_IN: [&str; 9] = [
    "dm-mod",
    "dm-verity",
    "erofs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "efivarfs",
    "efi-pstore",
    "overlay",
];

/// What a program said and how it ended.
pub struct Said {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Takes the output of a program that ended by itself.
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().expect("ended by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, with a check of the exit status.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.out, self.err
        );
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// Runs a program that must be installed and succeed; gives standard output and error.
#[track_caller]
pub fn judge<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = Command::new(program)
        .env("LC_ALL", "C")
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{program} must be installed: {e}"));
    let said = Said::of(&output);
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    assert_eq!(
        said.status, 0,
        "{program} {arguments:?}\n{}{}",
        said.out, said.err
    );
    said.out + &said.err
}

/// Runs `bennu`.
pub fn bennu<S: AsRef<OsStr>>(arguments: &[S]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_bennu"))
        .arg("--quiet")
        .args(arguments)
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .expect("bennu starts");
    Said::of(&output)
}

/// A directory that is removed by the next run at the latest: static values are never dropped.
fn process_directory() -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    fs::create_dir_all(&base).unwrap();
    let own = base.join(std::process::id().to_string());
    for entry in fs::read_dir(&base).unwrap() {
        let path = entry.unwrap().path();
        let owner = path.file_name().unwrap().to_string_lossy().into_owned();
        if path == own || !Path::new("/proc").join(owner).exists() {
            // What belongs to another user stays.
            let _litter = fs::remove_dir_all(&path);
        }
    }
    fs::create_dir(&own).unwrap();
    own
}

/// Everything that images are made from, and two images.
pub struct Workshop {
    /// Directory with `image.toml` and its inputs.
    pub input: PathBuf,
    /// Keys that nothing was built with.
    pub stranger: PathBuf,
    /// Release of version 1.
    pub release: PathBuf,
    /// Disk with version 1 in slot A.
    pub disk: PathBuf,
    /// Disk with version 1 in slot A and version 2 in slot B.
    pub pair: PathBuf,
}

/// The workshop of this process.
pub fn workshop() -> &'static Workshop {
    static WORKSHOP: OnceLock<Option<Workshop>> = OnceLock::new();
    let made = WORKSHOP.get_or_init(|| std::panic::catch_unwind(Workshop::set_up).ok());
    made.as_ref()
        .expect("the workshop could be set up; see the first failure")
}

impl Workshop {
    fn set_up() -> Self {
        let base = process_directory();
        let input = base.join("input");
        fs::create_dir(&input).unwrap();
        make_keys(&input.join("keys"));
        make_keys(&base.join("stranger"));
        make_agents(&input.join("agents"));
        make_boot_source(&input.join("boot"));
        make_root(&input.join("root"));
        fs::write(input.join("image.toml"), DEFINITION).unwrap();
        let this = Self {
            stranger: base.join("stranger"),
            release: base.join("release-1"),
            disk: base.join("disk.raw"),
            pair: base.join("pair.raw"),
            input,
        };
        this.build(
            "image.toml",
            &this.release,
            &["--disk".as_ref(), this.disk.as_os_str()],
        )
        .ends_with(0);
        let second = base.join("release-2");
        this.build("image.toml", &second, &["--version".as_ref(), "2".as_ref()])
            .ends_with(0);
        let output = "--output".as_ref();
        bennu(&[
            "disk".as_ref(),
            this.release.as_os_str(),
            second.as_os_str(),
            output,
            this.pair.as_os_str(),
        ])
        .ends_with(0);
        this
    }

    /// `bennu build` of a definition in the workshop.
    pub fn build(&self, definition: &str, release: &Path, more: &[&OsStr]) -> Said {
        let definition = self.input.join(definition);
        let agents = self.input.join("agents");
        let cache = self.input.join("cache");
        let mut arguments = vec![OsStr::new("build"), definition.as_os_str(), "--release".as_ref()];
        arguments.extend([release.as_os_str(), "--agents".as_ref(), agents.as_os_str()]);
        arguments.extend(["--cache".as_ref(), cache.as_os_str()]);
        arguments.extend(more);
        bennu(&arguments)
    }

    /// `bennu verify --json` of an image.
    pub fn verify(&self, disk: &Path) -> Said {
        let keys = self.input.join("keys");
        bennu(&[
            "verify".as_ref(),
            disk.as_os_str(),
            "--json".as_ref(),
            "--keys".as_ref(),
            keys.as_os_str(),
        ])
    }

    /// A file of the workshop.
    pub fn file(&self, name: &str) -> PathBuf {
        self.input.join(name)
    }
}

/// Small and complete.
pub const DEFINITION: &str = r#"
[image]
id = "demo"
version = "1"
title = "Demo"
[root]
kind = "directory"
path = "root"
[[root.file]]
path = "/usr/share/demo/version"
content = "${id} ${version}\n"
[boot]
cmdline = "quiet"
[boot.source]
kind = "directory"
path = "boot"
[disk]
esp_size = "34MiB"
slot_size = "16MiB"
state_size = "1MiB"
[state]
kind = "volatile"
[keys]
directory = "keys"
accept = "throw-away"
"#;

fn make_keys(directory: &Path) {
    bennu(&[
        "keys".as_ref(),
        "generate".as_ref(),
        "--throw-away".as_ref(),
        directory.as_os_str(),
    ])
    .ends_with(0);
}

fn make_agents(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for name in ["bennu-init", "bennud", "bennuctl", "bennu-forward"] {
        let path = directory.join(name);
        fs::write(&path, static_program()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/bootfallback/build.sh");
    judge(script, &[directory.join("bootfallback.efi")]);
}

/// A static x86-64 program that ends with status 0: ELF header, one segment, `exit(0)`.
fn static_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const CODE: [u8; 9] = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let length = (64 + 56 + CODE.len()) as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + 64 + 56, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, length, length, 4096] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(CODE);
    elf
}

/// Kernel, module lists, stub and loader. The kernel is never run.
fn make_boot_source(directory: &Path) {
    let modules = directory.join("usr/lib/modules").join(KERNEL);
    fs::create_dir_all(&modules).unwrap();
    let built_in: String = BUILT_IN
        .iter()
        .map(|name| format!("kernel/{name}.ko\n"))
        .collect();
    fs::write(modules.join("modules.builtin"), built_in).unwrap();
    fs::write(modules.join("modules.dep"), "").unwrap();
    fs::write(
        modules.join("modules.softdep"),
        "# Soft dependencies extracted from modules themselves.\n",
    )
    .unwrap();
    fs::write(
        modules.join("modules.alias"),
        "# Aliases extracted from modules themselves.\n",
    )
    .unwrap();
    fs::write(modules.join("vmlinuz"), pattern(200_000, 3)).unwrap();
    let efi = directory.join(EFI_PARTS);
    fs::create_dir_all(&efi).unwrap();
    for name in ["linuxx64.efi.stub", "systemd-bootx64.efi"] {
        let installed = Path::new("/").join(EFI_PARTS).join(name);
        fs::copy(&installed, efi.join(name))
            .unwrap_or_else(|e| panic!("{}: {e}; install systemd-boot-efi", installed.display()));
    }
}

fn make_root(directory: &Path) {
    for name in ["usr/lib", "usr/bin", "usr/share/many", "etc"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    let os_release = "ID=test\nNAME=\"Test\"\nPRETTY_NAME=\"Test 1\"\n";
    fs::write(directory.join("usr/lib/os-release"), os_release).unwrap();
    fs::write(directory.join("usr/bin/init"), static_program()).unwrap();
    fs::set_permissions(directory.join("usr/bin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("usr/bin", directory.join("bin")).unwrap();
    fs::write(directory.join("usr/share/data"), pattern(3_000_000, 11)).unwrap();
    for i in 0..200 {
        fs::write(directory.join(format!("usr/share/many/{i}")), pattern(i * 37, i)).unwrap();
    }
    for (name, mode) in [("etc/shadow", 0o600), ("usr/share/many/7", 0o640)] {
        let path = directory.join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Bytes that do not compress to nothing.
pub fn pattern(length: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64 * 2 + 1;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

/// A sparse copy of a file.
pub fn copy(from: &Path, to: &Path) {
    judge(
        "cp",
        &[
            "--sparse=always".as_ref(),
            "--reflink=auto".as_ref(),
            from.as_os_str(),
            to.as_os_str(),
        ],
    );
}
