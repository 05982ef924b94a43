//! Hardening of the kernel, and of systemd after it, that every image gets on its signed command line, unless its
//! definition leaves some out.
//!
//! Written by `bennu build` into the UKI's `.cmdline`; `bennu-init` looks which of them the running kernel shows and
//! reports that to the running system. Reasons: `docs/reference/kernel-hardening.md`.

use serde::{Deserialize, Serialize};

/// How a running kernel shows that an option is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// This file reads exactly so, blanks at the end aside.
    Reads {
        /// Absolute path in sysfs, procfs or securityfs.
        path: &'static str,
        /// The text when the option is in force.
        text: &'static str,
    },
    /// The file has no line that ends with this word.
    NoLineEnding {
        /// Absolute path.
        path: &'static str,
        /// The word.
        word: &'static str,
    },
    /// It does not show it.
    Nowhere,
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    /// Name of the parameter, as it is written on the command line.
    pub name: &'static str,
    /// Its value; none for a bare word.
    pub value: Option<&'static str>,
    /// First kernel that knows it: major, minor. Zero where it is not the kernel that reads it.
    pub since: (u32, u32),
    /// How to see it.
    pub shown: Shown,
}

const fn yes(name: &'static str, path: &'static str, text: &'static str) -> Hardening {
    Hardening {
        name,
        value: Some("1"),
        since: (5, 8),
        shown: Shown::Reads { path, text },
    }
}

const fn unseen(name: &'static str, value: Option<&'static str>, since: (u32, u32)) -> Hardening {
    Hardening {
        name,
        value,
        since,
        shown: Shown::Nowhere,
    }
}

/// The parameter that makes dm-verity refuse a table without a good signature over its root hash. Only on kernels
/// that look for the signer in the platform keyring, where the db certificate is.
pub const REQUIRE_SIGNATURES: &str = "dm_verity.require_signatures";

/// The parameter by which systemd takes no credentials from outside of the image: SMBIOS, QEMU's fw_cfg, the ESP, the
/// command line (systemd.system-credentials(7), systemd(1)). They can hold a root password, ssh keys and whole units.
pub const IMPORT_CREDENTIALS: &str = "systemd.import_credentials";

/// The default set.
pub const DEFAULT: [Hardening; 11] = [
    Hardening {
        name: "lockdown",
        value: Some("integrity"),
        since: (5, 4),
        shown: Shown::Reads {
            path: "/sys/kernel/security/lockdown",
            text: "none [integrity] confidentiality",
        },
    },
    yes(
        "module.sig_enforce",
        "/sys/module/module/parameters/sig_enforce",
        "Y",
    ),
    yes(
        REQUIRE_SIGNATURES,
        "/sys/module/dm_verity/parameters/require_signatures",
        "Y",
    ),
    yes(
        "sysctl.kernel.kexec_load_disabled",
        "/proc/sys/kernel/kexec_load_disabled",
        "1",
    ),
    unseen("init_on_alloc", Some("1"), (5, 3)),
    unseen("slab_nomerge", None, (3, 18)),
    yes(
        "page_alloc.shuffle",
        "/sys/module/page_alloc/parameters/shuffle",
        "Y",
    ),
    unseen("randomize_kstack_offset", Some("on"), (5, 13)),
    Hardening {
        name: "vsyscall",
        value: Some("none"),
        since: (3, 1),
        shown: Shown::NoLineEnding {
            path: "/proc/self/maps",
            word: "[vsyscall]",
        },
    },
    unseen("proc_mem.force_override", Some("never"), (6, 12)),
    // systemd starts after bennu-init has looked.
    unseen(IMPORT_CREDENTIALS, Some("no"), (0, 0)),
];

/// A parameter's name as the kernel compares it (`parameqn()` in `kernel/params.c`): `-` is `_`.
pub fn same_parameter(a: &str, b: &str) -> bool {
    let normal = |byte: u8| if byte == b'-' { b'_' } else { byte };
    a.bytes().map(normal).eq(b.bytes().map(normal))
}

impl Hardening {
    /// The word on the command line.
    pub fn word(&self) -> String {
        match self.value {
            Some(value) => format!("{}={value}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The options of [`DEFAULT`] that stand on a command line, in that order.
    pub fn on(cmdline: &str) -> impl Iterator<Item = &'static Self> {
        let words: Vec<String> = cmdline.split_ascii_whitespace().map(str::to_owned).collect();
        DEFAULT
            .iter()
            .filter(move |option| words.contains(&option.word()))
    }

    /// Whether `text`, the content of [`Shown`]'s file, says that the option is in force; none where no file does.
    pub fn holds(&self, text: &str) -> Option<bool> {
        match self.shown {
            Shown::Reads { text: expected, .. } => Some(text.trim_end() == expected),
            Shown::NoLineEnding { word, .. } => Some(!text.lines().any(|line| line.ends_with(word))),
            Shown::Nowhere => None,
        }
    }

    /// The file to look at.
    pub fn path(&self) -> Option<&'static str> {
        match self.shown {
            Shown::Reads { path, .. } | Shown::NoLineEnding { path, .. } => Some(path),
            Shown::Nowhere => None,
        }
    }
}

/// What the running kernel says of an option that its command line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardeningState {
    /// The kernel shows it in force.
    InForce,
    /// It is on the command line; the kernel shows it nowhere.
    AskedFor,
    /// The kernel shows that it is not in force.
    NotInForce,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str) -> &'static Hardening {
        DEFAULT.iter().find(|o| o.name == name).unwrap()
    }

    #[test]
    fn options_are_found_on_a_command_line_by_whole_words() {
        let line = "quiet lockdown=integrity slab_nomerge init_on_alloc=10 xvsyscall=none";
        let names: Vec<_> = Hardening::on(line).map(|o| o.name).collect();
        assert_eq!(names, ["lockdown", "slab_nomerge"]);
    }

    #[test]
    fn lockdown_counts_only_in_the_mode_asked_for() {
        let lockdown = option("lockdown");
        assert_eq!(lockdown.holds("none [integrity] confidentiality\n"), Some(true));
        assert_eq!(lockdown.holds("[none] integrity confidentiality\n"), Some(false));
        assert_eq!(lockdown.holds(""), Some(false));
    }

    #[test]
    fn a_vsyscall_page_in_the_map_is_noticed() {
        let vsyscall = option("vsyscall");
        let page = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
        assert_eq!(vsyscall.holds(page), Some(false));
        assert_eq!(vsyscall.holds("7ffe-7fff r-xp 00 00:00 0 [vdso]\n"), Some(true));
    }

    #[test]
    fn names_are_compared_as_the_kernel_does() {
        assert!(same_parameter("dm-verity.require-signatures", REQUIRE_SIGNATURES));
        assert!(!same_parameter("dm_verity.require_signature", REQUIRE_SIGNATURES));
    }
}
