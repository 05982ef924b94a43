//! Stable codes for whatever a user can meet, with one sentence and one piece of advice each.
//!
//! `docs/reference/errors.md` is made from [`Code::ALL`] and a test keeps the two equal. A code is never
//! reused for something else.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $meaning:literal, $advice:literal;)*) => {
        /// A stable code, shown in logs, on the screen and in JSON.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $meaning] #[serde(rename = $text)] $name,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as users see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// What it means, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// What to do about it, one sentence.
            pub fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice,)* }
            }
        }
    };
}

codes! {
    ApiMount = "API-MOUNT", "a kernel file system could not be mounted in the initrd",
        "check that the kernel has it built in or that its module is in the image's module list";
    Trust = "TRUST", "the initrd's trust configuration is missing or malformed",
        "the UKI was built wrongly: build it again with this version of bennu";
    SecureBootOff = "SECURE-BOOT-OFF", "the firmware did not enforce Secure Boot for this start",
        "enrol the image's keys and switch Secure Boot on in the firmware";
    Module = "MODULE", "a kernel module of the fixed list could not be loaded",
        "build the image with modules of the kernel in its UKI";
    Cmdline = "CMDLINE", "the kernel command line does not name exactly one root hash",
        "the UKI was built wrongly: build it again";
    BootDisk = "BOOT-DISK", "the disk that the firmware booted from was not found",
        "check that its driver is in the image's module list and that the GPT is intact";
    DuplicatePartition = "DUPLICATE-PARTITION", "two partitions carry the same unique GUID",
        "detach the copied disk, or give the copy new GUIDs";
    SlotMissing = "SLOT-MISSING", "the boot disk has no partitions for the root hash of this UKI",
        "write the release to a slot again";
    Esp = "ESP", "the EFI system partition could not be read or written",
        "check it with fsck.vfat and flash the image again if need be";
    ManifestFormat = "MANIFEST-FORMAT", "the slot manifest is not in the expected form",
        "write the release to the slot again, or use a newer bennu";
    ManifestSignature = "MANIFEST-SIGNATURE", "the slot manifest is not signed by enough release keys that this image trusts",
        "sign the manifest with a release key named in image.toml";
    ManifestImageId = "MANIFEST-IMAGE-ID", "the slot manifest is for another image",
        "write a release of this machine's image to the slot";
    ManifestArchitecture = "MANIFEST-ARCHITECTURE", "the slot manifest is for another architecture",
        "write a release for this machine's architecture to the slot";
    ManifestRootHash = "MANIFEST-ROOT-HASH", "the slot manifest names another root hash than the UKI",
        "write root, hash tree, manifest and UKI of one release to the slot";
    ManifestGeometry = "MANIFEST-GEOMETRY", "the slot manifest names sizes that the partitions do not have",
        "write the release to a slot that is large enough";
    ManifestPolicy = "MANIFEST-POLICY", "the slot manifest's TPM policy is not signed by the policy key of this image",
        "build the release with the TPM policy key named in image.toml";
    VerityTable = "VERITY-TABLE", "the kernel did not accept the dm-verity table",
        "check that the kernel has dm-verity and SHA-256";
    VerityReadBack = "VERITY-READ-BACK", "the dm-verity table read back from the kernel is not the one loaded",
        "treat the machine as tampered with";
    VerityCorrupt = "VERITY-CORRUPT", "a block of the root file system or its hash tree does not match the root hash",
        "the slot was changed or the medium is failing: write the release again, replace the medium if it recurs";
    RootMount = "ROOT-MOUNT", "the verified root file system could not be mounted",
        "check that the kernel has EROFS and that the release was written whole";
    RootIdentity = "ROOT-IDENTITY", "os-release in the root names another image or version than the manifest",
        "the image was built wrongly: build it again";
    TpmMissing = "TPM-MISSING", "no TPM 2.0 device answers",
        "enable the TPM in the firmware; an image that seals secrets does not start without one";
    TpmExtend = "TPM-EXTEND", "a PCR could not be extended in every active bank",
        "the machine does not go on unmeasured: restart it; replace the TPM if it recurs";
    TpmBank = "TPM-BANK", "the TPM has no SHA-256 bank that the firmware measures into",
        "turn the SHA-256 bank on in the firmware's setup: nothing is sealed to a bank that nobody extends";
    PcrUnexpected = "PCR-UNEXPECTED", "PCR values are not those that the signed policy names",
        "something was measured that the release did not foresee: an add-on, a credential, another firmware path";
    BelowFloor = "BELOW-FLOOR", "the slot's security_version is below this machine's anti-rollback floor",
        "install a release with a higher security_version: one that was marked good here has raised the floor";
    FloorMissing = "FLOOR-MISSING", "the anti-rollback floor is gone from the TPM of a machine that has sealed secrets",
        "put the old TPM back, type the recovery key at the next start, or provision the machine anew";
    FloorForeign = "FLOOR-FOREIGN", "the TPM has another NV index where the anti-rollback floor or the state volume's pin belongs",
        "clear the TPM in the firmware's setup and provision the machine anew";
    FloorAccess = "FLOOR-ACCESS", "the anti-rollback floor or the state volume's pin could not be read or written",
        "restart the machine; replace the TPM if it recurs";
    TpmOwned = "TPM-OWNED", "the TPM has an owner that this machine does not know",
        "clear the TPM in the firmware's setup and provision the machine anew";
    SecretBlob = "SECRET-BLOB", "a sealed secret on the ESP is malformed or not of the form that we seal",
        "restore the file from a backup of this machine's ESP, or provision the machine anew";
    SecretSeal = "SECRET-SEAL", "a secret could not be sealed to the TPM",
        "clear the TPM's lockout or provision the machine anew";
    SecretUnseal = "SECRET-UNSEAL", "a sealed secret did not open",
        "see the reason beside the code; the other slot is tried";
    LatchOpen = "LATCH-OPEN", "a secret could still be unsealed after the latch",
        "do not use this machine: its TPM or its policy does not protect the secrets";
    StateMissing = "STATE-MISSING", "the state partition is empty, and the TPM knows a volume that was there",
        "put the partition back from a backup, or reset the machine to its factory state";
    StatePlain = "STATE-PLAIN", "the state partition holds something that is no state volume of ours",
        "somebody wrote to the disk: put the partition back from a backup, or empty it on a new machine";
    StateHeader = "STATE-HEADER", "the state volume's header is not of the one form that we make",
        "somebody wrote to the disk, or it is failing: put the header back from a backup";
    StateSwapped = "STATE-SWAPPED", "the state volume is another one than the TPM knows",
        "put this machine's own volume back";
    StateForged = "STATE-FORGED", "the state volume's header was not made with its volume key",
        "somebody wrote to the disk: put the header back from a backup";
    StateRolledBack = "STATE-ROLLED-BACK", "the generation of the state volume is not the one that the TPM has pinned: one of the two is an older copy",
        "put the newest copy of the older one back: the words beside the code say which it is";
    StateKeyMissing = "STATE-KEY-MISSING", "the sealed key of the state volume is not on the ESP",
        "put /bennu/secrets/state.volume.sealed back from a backup of this machine's ESP, or type the recovery key";
    StateOtherTpm = "STATE-OTHER-TPM", "the state volume was made with another TPM, or with this one before it was cleared",
        "clear this TPM if it was used before, and type the recovery key";
    StateAccess = "STATE-ACCESS", "the state volume could not be read, written or mounted",
        "restart the machine; replace the medium if it recurs";
    StatePin = "STATE-PIN", "the PIN of the state volume was not typed",
        "switch the machine off and on and type the PIN; if it is forgotten, the recovery key lets another one be chosen";
    TpmLockout = "TPM-LOCKOUT", "the TPM takes no PIN for now: too many wrong ones were typed",
        "leave the machine on until the TPM has forgotten one, or type the recovery key at the next start; find out who tried";
    StateSecureBoot = "STATE-SECURE-BOOT", "Secure Boot's state (PCR 7) is not the one that the state volume's key is sealed to",
        "if you changed its keys, db or dbx, type the recovery key at the next start; if nobody did, find out who did";
    StateConditions = "STATE-CONDITIONS", "the state volume's sealed key demands less than this image: no PIN, or no state of Secure Boot",
        "put this machine's own file back; after an update that brought the demand, type the recovery key";
    FactoryReset = "FACTORY-RESET", "a factory reset was begun and could not be finished",
        "restart the machine: it goes on with the reset; if it still opens old secrets, destroy the disk";
    StateSchema = "STATE-SCHEMA", "the state volume was written by a newer release than this one can read",
        "install a release that can read it, or reset the machine to its factory state";
    IdentityRefused = "IDENTITY-REFUSED", "something among the kept files of /etc is not what may be kept, and was left out",
        "somebody with root wrote it there: find out who; the machine started without it";
    FirstBootFormat = "FIRST-BOOT-FORMAT", "the first-boot configuration on the ESP is malformed, too long, or sets what this image does not keep",
        "make it again with bennu first-boot sign, or remove /bennu/first-boot.json from the ESP";
    FirstBootSignature = "FIRST-BOOT-SIGNATURE", "the first-boot configuration on the ESP is not signed by a configuration key of this image",
        "sign it with a key named in image.toml, or remove /bennu/first-boot.json from the ESP";
    FirstBootOther = "FIRST-BOOT-OTHER", "the first-boot configuration on the ESP is for another image or another machine",
        "put this machine's own file on the ESP, or remove /bennu/first-boot.json from it";
    ImaPolicy = "IMA-POLICY", "the kernel did not put the image's IMA rules into force",
        "read the kernel's words beside the code: correct the rules of [ima] in image.toml, or leave them out";
    SwitchRoot = "SWITCH-ROOT", "the verified root has no init to start or could not become the root",
        "the image was built wrongly: build it again with an init";
    Gate = "GATE", "the execution gate that the image demands does not stand",
        "use a kernel with the BPF LSM and Linux 6.12 or later, or set the gate's mode in image.toml";
    SlotUnhealthy = "SLOT-UNHEALTHY", "the slot started but did not become healthy",
        "read the health check's words beside the code; install a fixed release";
    SlotDrifted = "SLOT-DRIFTED", "the running system drifted from what was verified, so the other slot was taken",
        "read `bennuctl certificates` on the system that runs now; install a fixed release";
    SlotPanic = "SLOT-PANIC", "the kernel panicked in this slot",
        "read the kernel's words beside the code; install a fixed release";
    RootIo = "ROOT-IO", "a block of the root file system or its hash tree could not be read",
        "check the cable and replace the medium: the slot is started once more, then the other one";
    UkiNotStarted = "UKI-NOT-STARTED", "the slot's UKI used up its tries without ever starting",
        "the firmware or the loader refused it (signature or damage): write the release again";
    NoSlot = "NO-SLOT", "no slot is left that may be started",
        "flash the machine again or repair a slot from a recovery medium";
    Internal = "INTERNAL", "a step failed in a way that has no code of its own",
        "report it with the log";

    ImageGpt = "IMAGE-GPT", "the file has no usable GUID partition table",
        "give bennu a disk image that it built";
    ImageEsp = "IMAGE-ESP", "the image's EFI system partition lacks a file or cannot be read",
        "build the image again";
    LoaderSignature = "LOADER-SIGNATURE", "a boot program on the ESP is not signed by the Secure Boot key",
        "build the image again with the right db key";
    UkiSignature = "UKI-SIGNATURE", "the UKI is not signed by the Secure Boot key, or was changed after signing",
        "build the image again with the right db key";
    UkiDigest = "UKI-DIGEST", "the UKI is not the file that the manifest names",
        "write manifest and UKI of one release";
    UkiPcr = "UKI-PCR", "the PCR values in the manifest are not those that this UKI produces",
        "build the image again";
    VerityTree = "VERITY-TREE", "the root file system does not match its hash tree or root hash",
        "the image was changed after it was built: build it again";
    VeritySignature = "VERITY-SIGNATURE", "the PKCS#7 signature over the root hash does not verify",
        "build the release again with the db key that the firmware has, or write its manifest to the slot again";
    GoldenIndex = "GOLDEN-INDEX", "the golden-file index is not the one that the manifest names, or does not agree with the root",
        "build the image again";
    SlotName = "SLOT-NAME", "a partition's label or GUID is not the one that its manifest demands",
        "build the image again";
    RecordsConflict = "RECORDS-CONFLICT", "a machine sent a record with a number that came before with other bytes; what came first stays, the other is in conflicts.jsonl",
        "treat the machine as taken over, or find out who else writes under its name";
    RecordsFork = "RECORDS-FORK", "a machine sent a record that does not follow the log that is kept; it began another log beside it",
        "compare both logs with bennuctl log verify; a disk that was put back looks the same";
    RecordsGap = "RECORDS-GAP", "numbers are missing in a machine's records and the machine did not say that they were removed",
        "look for the lines on the machine; an image that sends alerts only needs --sent alerts";
    RecordsAnew = "RECORDS-ANEW", "a machine's log began anew with number 0",
        "expect it after a factory reset, after a State Purge and at each start of an image without a state volume";
    RecordsSender = "RECORDS-SENDER", "a machine sent words that are no record: what it removed unsent, or what of its log is broken",
        "read notes.jsonl in the machine's folder";
    RecordsTorn = "RECORDS-TORN", "the collected log ended in bytes that are no line, left by a power cut of the log server; they were never confirmed",
        "nothing: they come again";
    RecordsInput = "RECORDS-INPUT", "the syslog server handed over a line that is not of the collector's template, or a name that no folder can have",
        "compare the template with docs/howto/send-records.md";
    RecordsFull = "RECORDS-FULL", "a limit of the collector is reached; what came is not kept",
        "find out who sends so much; move old logs away, or raise --machines";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text of `docs/reference/errors.md`.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Codes\n\nGenerated from `crates/formats/src/codes.rs`; a test keeps it equal \
         (`BENNU_BLESS=1 cargo test -p bennu-formats` writes it).\n\n| code | meaning | what to do |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        page.push_str(&format!(
            "| `{code}` | {} | {} |\n",
            code.meaning(),
            code.advice()
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_lists_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md");
        if std::env::var_os("BENNU_BLESS").is_some() {
            std::fs::write(path, reference_page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), reference_page());
    }

    #[test]
    fn no_two_codes_are_spelt_the_same() {
        let all: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(all.len(), Code::ALL.len());
    }

    #[test]
    fn a_code_is_written_in_json_as_users_see_it() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
    }
}
