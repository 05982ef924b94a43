//! The kernel command line of an image: ours, the hardening, the definition's words; and which words are refused.
//!
//! Whoever signs an image can undo anything in it; what is refused here would undo the verification or the hardening
//! by oversight. Names are compared as the kernel compares them (`kernel/params.c`): `-` is `_`.

use bennu_formats::RootHash;
use bennu_formats::cmdline::{MAX_CMDLINE_BYTES, ROOT_HASH_PARAMETER};
use bennu_formats::hardening::{DEFAULT, Hardening, REQUIRE_SIGNATURES, same_parameter};
use serde::Deserialize;

/// Longest text of the definition in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Seconds until a panicked kernel restarts: long enough to read the screen.
const PANIC_SECONDS: u32 = 5;

/// Parameters that Bennu sets, or that would start something else than the verified root's init, or start it
/// otherwise than verified.
const TAKEN: [&str; 20] = [
    "roothash",
    "usrhash",
    "root",
    "rootflags",
    "rootfstype",
    "init",
    "rdinit",
    "initrd",
    "panic",
    "gpt",
    "noinitrd",
    "systemd.gpt_auto",
    "systemd.volatile",
    "systemd.unit",
    "systemd.mask",
    "systemd.run",
    "ima_policy",
    "ima_appraise",
    "security",
    "lsm",
];
/// What such parameters begin with.
const TAKEN_PREFIXES: [&str; 7] = [
    "rd.",
    "systemd.debug",
    "systemd.set_credential",
    "systemd.verity",
    "dm_verity.",
    "dm_mod.",
    "module.",
];
/// Words that give a shell or a mode without the image's services (systemd(1), kernel-command-line(7)).
const MODES: [&str; 9] = ["single", "s", "S", "1", "b", "-b", "rescue", "emergency", "--"];
/// Words that switch a protection of the kernel off.
const WEAKENING: [&str; 15] = [
    "nokaslr",
    "nopti",
    "pti=off",
    "nosmep",
    "nosmap",
    "noexec",
    "mitigations=off",
    "nospectre_v1",
    "nospectre_v2",
    "spectre_v2=off",
    "ibt=off",
    "iommu=off",
    "rodata=off",
    "no_hash_pointers",
    "efi=debug",
];

/// Whether an image gets the hardening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardeningRule {
    /// [`DEFAULT`], as far as the kernel knows it.
    Default,
    /// Nothing.
    None,
}

/// What the kernel of the image can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelAbility {
    /// Major and minor version.
    pub version: (u32, u32),
    /// dm-verity verifies a signature over the root hash against the platform keyring.
    pub verifies_root_hash: bool,
}

impl KernelAbility {
    /// Of a release as `6.12.1-amd64` and the text of its configuration, empty where there is none.
    pub fn of(release: &str, config: &str) -> Self {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse().unwrap_or(0));
        let set = |option: &str| {
            let line = format!("{option}=y");
            config.lines().any(|found| found == line)
        };
        Self {
            version: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
            verifies_root_hash: set("CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG")
                && set("CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING"),
        }
    }
}

/// Which hardening an image wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardeningPlan {
    /// The whole set or nothing.
    pub rule: HardeningRule,
    /// Names of options of the set that are left out.
    pub without: Vec<String>,
    /// Whether the firmware has the db certificate for sure.
    pub secure_boot_required: bool,
}

impl HardeningPlan {
    /// The options for a kernel, in the order of [`DEFAULT`].
    pub fn options(&self, ability: KernelAbility) -> Vec<&'static Hardening> {
        if self.rule == HardeningRule::None {
            return Vec::new();
        }
        let verifies = ability.verifies_root_hash && self.secure_boot_required;
        DEFAULT
            .iter()
            .filter(|o| o.since <= ability.version)
            .filter(|o| o.name != REQUIRE_SIGNATURES || verifies)
            .filter(|o| !self.without.iter().any(|name| same_parameter(name, o.name)))
            .collect()
    }

    /// A name in `without` that is no option of the set.
    pub fn unknown(&self) -> Option<&str> {
        let known = |name: &&String| DEFAULT.iter().any(|o| same_parameter(name, o.name));
        self.without.iter().find(|name| !known(name)).map(String::as_str)
    }
}

/// The whole command line. `gpt` accepts the backup GPT when the primary is torn; gpt-auto would mount what nobody
/// signed.
pub fn compose(root_hash: &RootHash, hardening: &[&Hardening], text: &str) -> String {
    let mut words = vec![
        format!("{ROOT_HASH_PARAMETER}{root_hash}"),
        format!("panic={PANIC_SECONDS}"),
        "gpt systemd.gpt_auto=0 systemd.volatile=no".to_owned(),
    ];
    words.extend(hardening.iter().map(|option| option.word()));
    if !text.is_empty() {
        words.push(text.to_owned());
    }
    let line = words.join(" ");
    debug_assert!(line.len() <= MAX_CMDLINE_BYTES, "{}", line.len());
    line
}

/// Why a word is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Bennu decides it, or it would start something else.
    Taken,
    /// It is an option of the hardening: `[boot] hardening_without` leaves it out.
    Hardening,
    /// It switches a protection off.
    Weakening,
    /// The kernel would read it otherwise than it looks.
    Quoted,
}

impl Refused {
    /// What was expected instead.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Taken => "no parameter that bennu decides itself",
            Self::Hardening => {
                "no parameter of the hardening; `hardening_without` under [boot] leaves one out of it"
            }
            Self::Weakening => "no parameter that switches a protection of the kernel off",
            Self::Quoted => "words without quotation marks",
        }
    }
}

/// The first word of a definition's text that is refused.
pub fn refused(text: &str, hardening: &HardeningPlan) -> Option<(String, Refused)> {
    text.split_ascii_whitespace()
        .find_map(|word| reason(word, hardening).map(|why| (word.to_owned(), why)))
}

fn reason(word: &str, hardening: &HardeningPlan) -> Option<Refused> {
    // The kernel drops a quotation mark before a name: `"init=/x"` is `init=/x`.
    if word.contains('"') {
        return Some(Refused::Quoted);
    }
    let name = word.split('=').next().unwrap_or(word);
    let plain = name.replace('-', "_");
    let begins = |prefix: &&str| plain.starts_with(*prefix);
    if TAKEN.iter().any(|taken| same_parameter(taken, name))
        || TAKEN_PREFIXES.iter().any(begins) && !left_out(name, hardening)
        || MODES.contains(&word)
    {
        return Some(Refused::Taken);
    }
    if DEFAULT.iter().any(|option| same_parameter(option.name, name)) && !left_out(name, hardening) {
        return Some(Refused::Hardening);
    }
    let same = |weak: &&str| weak.replace('-', "_") == word.replace('-', "_");
    WEAKENING.iter().any(same).then_some(Refused::Weakening)
}

/// Whether the definition has left this option of the set out, and so may set it otherwise.
fn left_out(name: &str, hardening: &HardeningPlan) -> bool {
    hardening
        .without
        .iter()
        .any(|without| same_parameter(without, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::hardening::IMPORT_CREDENTIALS;

    const TRIXIE: KernelAbility = KernelAbility {
        version: (6, 12),
        verifies_root_hash: true,
    };

    fn plan(without: &[&str]) -> HardeningPlan {
        HardeningPlan {
            rule: HardeningRule::Default,
            without: without.iter().map(|s| (*s).to_owned()).collect(),
            secure_boot_required: true,
        }
    }

    fn names(plan: &HardeningPlan, ability: KernelAbility) -> Vec<&'static str> {
        plan.options(ability).iter().map(|o| o.name).collect()
    }

    #[test]
    fn a_kernel_gets_what_it_knows() {
        let all = names(&plan(&[]), TRIXIE);
        assert_eq!(all.len(), DEFAULT.len());
        let bookworm = KernelAbility::of("6.1.0-56-amd64", "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y\n");
        let old = names(&plan(&[]), bookworm);
        assert!(old.contains(&IMPORT_CREDENTIALS), "not the kernel's to know");
        let missing: Vec<_> = all.iter().filter(|name| !old.contains(name)).collect();
        assert_eq!(missing, [&REQUIRE_SIGNATURES, &"proc_mem.force_override"]);
    }

    #[test]
    fn the_kernel_is_asked_for_signatures_only_where_the_firmware_has_our_certificate() {
        let mut without_secure_boot = plan(&[]);
        without_secure_boot.secure_boot_required = false;
        assert!(names(&plan(&[]), TRIXIE).contains(&REQUIRE_SIGNATURES));
        assert!(!names(&without_secure_boot, TRIXIE).contains(&REQUIRE_SIGNATURES));
    }

    #[test]
    fn the_configuration_of_a_kernel_is_read_by_whole_lines() {
        let both = "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y\n\
                    CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING=y\n";
        assert_eq!(KernelAbility::of("6.12.117+deb13-amd64", both), TRIXIE);
        let off = both.replace("KEYRING=y", "KEYRING is not set");
        assert!(!KernelAbility::of("6.12.117", &off).verifies_root_hash);
        assert_eq!(KernelAbility::of("nonsense", "").version, (0, 0));
    }

    #[test]
    fn words_that_undo_verification_are_refused_however_they_are_written() {
        for (word, why) in [
            ("init=/bin/sh", Refused::Taken),
            ("\"init=/bin/sh\"", Refused::Quoted),
            ("rd.break", Refused::Taken),
            ("systemd.debug-shell", Refused::Taken),
            ("systemd.debug_shell=1", Refused::Taken),
            ("dm-verity.require-signatures=0", Refused::Taken),
            ("module.sig_enforce=0", Refused::Taken),
            ("rescue", Refused::Taken),
            ("--", Refused::Taken),
            ("lockdown=none", Refused::Hardening),
            ("init_on_alloc=0", Refused::Hardening),
            ("init-on-alloc=0", Refused::Hardening),
            ("systemd.import_credentials=yes", Refused::Hardening),
            ("systemd.set_credential=a:b", Refused::Taken),
            ("nokaslr", Refused::Weakening),
            ("mitigations=off", Refused::Weakening),
        ] {
            let text = format!("quiet {word}");
            assert_eq!(refused(&text, &plan(&[])), Some((word.to_owned(), why)), "{word}");
        }
        for good in [
            "console=ttyS0 quiet",
            "init_on_free=1",
            "mitigations=auto,nosmt",
            "debug",
        ] {
            assert_eq!(refused(good, &plan(&[])), None, "{good}");
        }
    }

    #[test]
    fn what_is_left_out_of_the_set_may_be_set_otherwise() {
        let plan = plan(&["slab_nomerge", "module.sig-enforce"]);
        assert!(!names(&plan, TRIXIE).contains(&"slab_nomerge"));
        assert_eq!(refused("module.sig_enforce=0", &plan), None);
        assert!(names(&plan, TRIXIE).contains(&IMPORT_CREDENTIALS));
        assert_eq!(plan.unknown(), None);
        let wrong = HardeningPlan {
            without: vec!["slab_merge".into()],
            ..plan
        };
        assert_eq!(wrong.unknown(), Some("slab_merge"));
    }

    #[test]
    fn the_longest_command_line_fits_the_kernels_limit() {
        let options = plan(&[]).options(TRIXIE);
        let line = compose(&RootHash([0xaa; 32]), &options, &"x".repeat(MAX_TEXT_BYTES));
        assert!(line.len() < MAX_CMDLINE_BYTES, "{}", line.len());
        assert!(line.starts_with("roothash=aaaa") && line.contains(" lockdown=integrity "));
    }
}
