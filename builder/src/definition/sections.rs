//! The tables of `image.toml`, one struct each. A table that one file leaves out is the other's ([`super::Definition`]).

use bennu_formats::drift::EnforcedAction;
use bennu_formats::health::HealthCheck;
use bennu_formats::identity::{EtcPath, IdentityClass};
use bennu_formats::{ImageId, ImageVersion};
use serde::Deserialize;
use std::path::PathBuf;

macro_rules! partial {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty,)* }
     lists { $($(#[$ldoc:meta])* $list:ident : $item:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Option<$type>,)*
            $($(#[$ldoc])* pub $list: Vec<$item>,)*
        }
        impl $name {
            /// Puts `over` on top of `self`.
            pub(super) fn merged(mut self, over: Self) -> Self {
                $(self.$field = over.$field.or(self.$field);)*
                $(self.$list.extend(over.$list);)*
                self
            }
        }
    };
}

partial! {
    /// `[image]`
    ImageSection {
        /// `IMAGE_ID`.
        id: ImageId,
        /// `IMAGE_VERSION`.
        version: ImageVersion,
        /// Anti-rollback number.
        security_version: u64,
        /// Human name (`PRETTY_NAME`); default: the root's.
        title: String,
        /// Schema version of the state volume.
        state_schema: u32,
        /// Lowest schema whose releases can read what this one keeps.
        state_readable_from: u32,
    } lists {}
}

/// Where a root tree comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// mmdebstrap makes it from a Debian mirror.
    Debian,
    /// A directory.
    Directory,
    /// A tar, plain or zstd.
    Tar,
}

partial! {
    /// `[root]` and `[boot.source]`: a tree of files.
    SourceSection {
        /// Kind.
        kind: SourceKind,
        /// Directory or tar, relative to the definition.
        path: PathBuf,
        /// Debian suite.
        suite: String,
        /// Owners in a directory source: `root` (all root:root, default) or `as-found`.
        owners: OwnerRule,
    } lists {
        /// Debian packages besides the essential ones.
        packages: String,
        /// Trees that are left out, absolute paths.
        exclude: String,
        /// Files that are added or replaced.
        file: FileEntry,
        /// Symbolic links that are added or replaced.
        link: LinkEntry,
    }
}

/// Who owns the files of a directory source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerRule {
    /// root:root, whoever builds.
    Root,
    /// As on disk.
    AsFound,
}

/// A file put into the root.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Absolute path in the root.
    pub path: String,
    /// Text; `${version}` and `${id}` stand for the image's.
    #[serde(default)]
    pub content: Option<String>,
    /// Or: a file, relative to the definition.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// Permission bits as an octal string, default `0644`.
    #[serde(default)]
    pub mode: Option<String>,
}

/// A symbolic link put into the root.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    /// Absolute path in the root.
    pub path: String,
    /// Target.
    pub target: String,
}

partial! {
    /// `[boot]`
    BootSection {
        /// Where kernel, modules, stub and loader come from; default: the root itself.
        source: SourceSection,
        /// Kernel command line besides what Bennu adds.
        cmdline: String,
        /// Starts that a slot gets before the other one is taken.
        tries: u32,
        /// Starts without becoming healthy before a slot is given up; default `tries`.
        max_attempts: u32,
        /// What to do without Secure Boot.
        secure_boot: bennu_formats::trust::SecureBootRule,
        /// Whether the command line gets the hardening; default: it does.
        hardening: crate::cmdline::HardeningRule,
        /// Whether modules may be loaded once the slot is marked good.
        modules_after_start: bennu_formats::health::ModulesRule,
    } lists {
        /// Kernel modules for the initrd besides those of the standard list.
        modules: String,
        /// Options that are left out of the hardening.
        hardening_without: String,
    }
}

partial! {
    /// `[ima]`
    ImaSection {
        /// `default`, `none`, or a file of rules.
        policy: PathBuf,
    } lists {}
}

partial! {
    /// `[disk]`
    DiskSection {
        /// Length of the ESP, as `128MiB`.
        esp_size: String,
        /// Length of a slot's root partition.
        slot_size: String,
        /// Length of the state partition.
        state_size: String,
    } lists {}
}

partial! {
    /// `[state]`
    StateSection {
        /// `encrypted` (default) or `volatile`.
        kind: bennu_formats::trust::StateRule,
        /// `"console"` (default) or `{ escrow = "age1…" }`.
        recovery: bennu_formats::trust::RecoveryRule,
        /// Whether a PIN is asked for at each start; default: no.
        pin: bool,
        /// Whether the volume opens only under the Secure Boot state that it was made in; default: no.
        bind_secure_boot: bool,
        /// Whether the recovery screen offers a factory reset; default: yes.
        reset_at_the_machine: bool,
    } lists {}
}

partial! {
    /// `[alerts]`
    AlertsSection {
        /// Syslog server: address or host name.
        host: String,
        /// Its TCP port.
        port: u16,
        /// Name of its certificate.
        server_name: String,
        /// Certificate authorities (PEM), relative to the definition.
        authorities: PathBuf,
        /// What counts as its word that it has what was sent.
        confirm: bennu_formats::alerts::Confirmation,
        /// Which records are sent.
        send: bennu_formats::alerts::Sending,
    } lists {}
}

partial! {
    /// `[debug]`
    DebugSection {
    } lists {
        /// ed25519 public keys (SPKI PEM), relative to the definition, whose debug tokens count.
        keys: PathBuf,
    }
}

partial! {
    /// `[workloads]`
    WorkloadsSection {} lists {
        /// Units that start only when every layer below them holds.
        units: String,
    }
}

partial! {
    /// `[identity]`
    IdentitySection {
        /// Classes of files of `/etc` that are kept; default: all but `ssh-authorized-keys`.
        persist: Vec<IdentityClass>,
    } lists {
        /// Single files besides, absolute.
        paths: EtcPath,
    }
}

partial! {
    /// `[first_boot]`
    FirstBootSection {} lists {
        /// Public keys, PEM, whose first-boot configurations are accepted; relative to the definition.
        keys: PathBuf,
    }
}

partial! {
    /// `[drift]`
    DriftSection {
        /// Milliseconds between two rounds of the watch.
        interval_ms: u32,
        /// Seconds that a weak signal counts.
        weak_window_s: u32,
        /// Seconds that a strong signal counts.
        strong_window_s: u32,
        /// MiB of both slots that are read and judged in a second, at most; 0: none.
        scrub_mib_per_s: u32,
        /// Thousandths of one processor that it spends with that, at most.
        scrub_processor_permille: u32,
    } lists {
        /// Actions that are done and not only told.
        enforce: EnforcedAction,
        /// Control groups that `deny` spares.
        spared: String,
    }
}

partial! {
    /// `[keys]`
    KeysSection {
        /// Directory made by `bennu keys generate`, relative to the definition.
        directory: PathBuf,
        /// Release keys that must have signed.
        release_threshold: u32,
        /// `throw-away` to accept keys marked so; anything else is for production keys.
        accept: AcceptedKeys,
    } lists {}
}

/// Which keys an image may be built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedKeys {
    /// Only keys that are not marked as throw-away.
    Production,
    /// Keys of a demo or test.
    ThrowAway,
}

partial! {
    /// `[health]`
    HealthSection {
        /// Seconds until the slot counts as unhealthy.
        deadline_s: u32,
    } lists {
        /// Checks.
        check: HealthCheck,
    }
}

partial! {
    /// `[gate]`
    GateSection {
        /// `enforce`, `dry-run` or `none` (the default).
        mode: bennu_formats::gate::GateMode,
        /// `on` or `off` (the default).
        trace: bennu_formats::gate::TraceRule,
    } lists {
        /// Programs with rights.
        program: bennu_formats::gate::GateProgram,
        /// Interpreters that open verified files only.
        interpreter: bennu_formats::gate::Interpreter,
        /// Files with profiles of units.
        profile: PathBuf,
    }
}

/// The agents that are put into the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentsRule {
    /// bennud, bennuctl and their units (the default).
    Included,
    /// None: the slot never becomes good by itself. For tests of the initrd.
    None,
}
