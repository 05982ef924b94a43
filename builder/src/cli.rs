//! The command line. Man pages and completions are generated from it (`bennu generate`).

use bennu_formats::debug_token::UtcDay;
use bennu_formats::{ImageId, ImageVersion, Sha256Digest};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Builds immutable, signed, verity-protected A/B images, verifies them, boots them in a virtual machine.
#[derive(Debug, Parser)]
#[command(name = "bennu", version)]
#[command(after_help = "Exit status: 0 yes, 1 refused by verification, 2 could not decide (usage, I/O).")]
pub struct Cli {
    /// No progress on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Build a release from an image definition, and optionally a disk with it in slot A
    Build(BuildArgs),
    /// Add one more release key's signature to a release, on whichever machine holds that key
    Sign(SignArgs),
    /// Put one or two releases on a disk image
    Disk(DiskArgs),
    /// First-boot configurations
    #[command(subcommand)]
    FirstBoot(FirstBootCommand),
    /// Show what is on a disk image
    Inspect(ImageArgs),
    /// Look files up in the golden-file index of a disk image's roots, or of an index file
    Index(IndexArgs),
    /// Verify a disk image: boot programs, UKIs, manifests, hash trees, names
    Verify(VerifyArgs),
    /// Make a token that lets one machine start once without its secrets, to be looked at
    DebugToken(DebugTokenArgs),
    /// Virtual machines
    #[command(subcommand)]
    Vm(VmCommand),
    /// Write man pages or shell completions
    #[command(subcommand)]
    Generate(GenerateCommand),
}

/// `bennu keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a directory of fresh keys: PK, KEK, db, release key, TPM policy key, configuration key
    Generate {
        /// Directory; must not exist
        directory: PathBuf,
        /// Mark the keys as protecting nothing: for demos and tests
        #[arg(long)]
        throw_away: bool,
    },
    /// Write an OVMF variable store with the keys enrolled and Secure Boot on
    Enrol {
        /// Directory of keys
        directory: PathBuf,
        /// Stock variable store
        #[arg(long, default_value = "/usr/share/OVMF/OVMF_VARS_4M.fd")]
        stock: PathBuf,
        /// Where to write
        #[arg(long, short)]
        output: PathBuf,
    },
}

/// `bennu build`
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// image.toml
    pub definition: PathBuf,
    /// Release directory to make; must not exist
    #[arg(long, short)]
    pub release: PathBuf,
    /// Disk image to make, with this release in slot A
    #[arg(long)]
    pub disk: Option<PathBuf>,
    /// Instead of image.version
    #[arg(long)]
    pub version: Option<ImageVersion>,
    /// Instead of image.security_version
    #[arg(long)]
    pub security_version: Option<u64>,
    /// Instead of keys.directory
    #[arg(long)]
    pub keys: Option<PathBuf>,
    /// Directory with bennu-init, bennud, bennuctl, bennu-forward and bootfallback.efi (default: agents/ beside bennu)
    #[arg(long)]
    pub agents: Option<PathBuf>,
    /// Directory for Debian roots that were made before
    #[arg(long, env = "BENNU_CACHE", default_value = "target/cache")]
    pub cache: PathBuf,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bennu sign`
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Release directory
    pub release: PathBuf,
    /// ed25519 private key, PKCS#8 PEM
    #[arg(long)]
    pub key: PathBuf,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bennu debug-token`
#[derive(Debug, Args)]
pub struct DebugTokenArgs {
    /// ed25519 private key, PKCS#8 PEM, whose public half the image names under [debug]
    #[arg(long)]
    pub key: PathBuf,
    /// Image id of the machine
    #[arg(long)]
    pub image: ImageId,
    /// Identity of the machine, 64 hexadecimal digits: `bennuctl status`, or `machine` in its boot log
    #[arg(long)]
    pub machine: Sha256Digest,
    /// The day on which it counts, UTC, as 2026-11-21
    #[arg(long)]
    pub day: UtcDay,
    /// Why it was made: at most 200 ASCII characters, shown in the machine's log
    #[arg(long, default_value = "")]
    pub note: String,
    /// File to make, to be put on the ESP as bennu/debug-token.json
    #[arg(long, short)]
    pub output: PathBuf,
}

/// `bennu disk`
#[derive(Debug, Args)]
pub struct DiskArgs {
    /// Release directories: slot A, slot B
    #[arg(required = true, num_args = 1..=2)]
    pub releases: Vec<PathBuf>,
    /// Disk image to make
    #[arg(long, short)]
    pub output: PathBuf,
    /// Signed first-boot configuration to put on the ESP
    #[arg(long)]
    pub first_boot: Option<PathBuf>,
}

/// `bennu first-boot`
#[derive(Debug, Subcommand)]
pub enum FirstBootCommand {
    /// Sign a configuration for `/bennu/first-boot.json` on the ESP
    Sign(FirstBootSignArgs),
}

/// `bennu first-boot sign`
#[derive(Debug, Args)]
pub struct FirstBootSignArgs {
    /// The configuration, TOML
    pub configuration: PathBuf,
    /// Configuration key, ed25519, PKCS#8 PEM
    #[arg(long)]
    pub key: PathBuf,
    /// Where to write
    #[arg(long, short)]
    pub output: PathBuf,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// A disk image.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Disk image
    pub image: PathBuf,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bennu index`
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// Disk image, or a golden.idx file
    pub image: PathBuf,
    /// Show the file of this path
    #[arg(long, conflicts_with_all = ["digest", "all"])]
    pub path: Option<String>,
    /// Show the files with this SHA-256 digest
    #[arg(long, conflicts_with = "all")]
    pub digest: Option<Sha256Digest>,
    /// Show every file
    #[arg(long)]
    pub all: bool,
    /// Report as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// `bennu verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Disk image
    pub image: PathBuf,
    /// Directory with db.crt, release.pub, release-*.pub and tpm-policy.pub to verify against
    #[arg(long)]
    pub keys: PathBuf,
    /// Release keys that must have signed
    #[arg(long, default_value_t = 1)]
    pub release_threshold: u32,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bennu vm`
#[derive(Debug, Subcommand)]
pub enum VmCommand {
    /// Boot a disk image in QEMU with OVMF, Secure Boot and a TPM; the serial console is this terminal
    Run(VmArgs),
}

/// `bennu vm run`
#[derive(Debug, Args)]
pub struct VmArgs {
    /// Disk image; written to unless --snapshot
    pub image: PathBuf,
    /// Directory of keys to enrol
    #[arg(long)]
    pub keys: PathBuf,
    /// Directory that keeps firmware variables and TPM state between runs
    #[arg(long)]
    pub state: PathBuf,
    /// Memory in MiB
    #[arg(long, default_value_t = 2048)]
    pub memory_mib: u32,
    /// Throw away what the machine writes to the disk
    #[arg(long)]
    pub snapshot: bool,
}

/// `bennu generate`
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Man pages
    Man {
        /// Directory to write to
        directory: PathBuf,
    },
    /// Shell completions
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }
}
