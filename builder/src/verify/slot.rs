//! One slot: from its boot entry to the root file system.

use super::esp::BootEntry;
use super::names::{self, Partitions};
use super::root::{Root, identity_of};
use super::{Finding, NO_IDENTITY, Refusal, Section, Trust, Undecided, is_empty, tpm};
use crate::image::{DiskImage, SlotPartitions, UkiFacts};
use crate::progress::Progress;
use bennu_formats::decode::Document as _;
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::names::slot_label;
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::VeritySig;
use bennu_formats::{ImageId, ImageVersion};
use bennu_policy::verify::{ReleaseTrust, SlotFacts, Verified, verify_slot};
use bennu_uki::root_hash;

const NO_UKI: &str = "the slot has no UKI that can be read";
const NO_ROOT: &str = "the root does not match its hash tree";
const NO_MANIFEST: &str = "the slot has no manifest that can be decoded";

/// What a slot is expected to be.
struct Expected {
    /// Root hash: the UKI's; without one that of the partitions' GUIDs.
    root_hash: RootHash,
    /// Image and version: the UKI's; without one those of the label.
    identity: Option<(ImageId, ImageVersion)>,
}

/// What the root-verity-sig partition gave.
enum Found {
    /// A manifest with good signatures and the right values.
    Proven(Verified<SlotManifest>),
    /// A manifest that was refused; it only serves to find what else is wrong.
    Unproven(SlotManifest),
    /// Nothing that can be decoded.
    Nothing,
}

impl Found {
    fn unproven(sig: &VeritySig) -> Self {
        SlotManifest::decode(&sig.bennu.manifest.payload).map_or(Self::Nothing, Self::Unproven)
    }

    fn get(&self) -> Option<&SlotManifest> {
        match self {
            Self::Proven(manifest) => Some(manifest.get()),
            Self::Unproven(manifest) => Some(manifest),
            Self::Nothing => None,
        }
    }
}

struct SlotCheck<'a> {
    image: &'a DiskImage,
    trust: &'a Trust<'a>,
    progress: &'a Progress,
    partitions: Partitions<'a>,
    section: Section,
}

/// Checks one slot.
///
/// # Errors
/// The medium fails.
pub fn check(
    image: &DiskImage,
    slot: &SlotPartitions<'_>,
    entry: Option<BootEntry>,
    trust: &Trust<'_>,
    progress: &Progress,
) -> Result<Section, Undecided> {
    let label = slot
        .root
        .or(slot.sig)
        .map(|p| p.label.to_string())
        .unwrap_or_default();
    let mut section = Section::new(Some(slot.name.clone()), format!("slot {}: {label}", slot.name));
    if is_empty(slot) && entry.is_none() {
        section.add("release", Finding::Good("the slot is empty".to_owned()));
        return Ok(section);
    }
    let (Some(root), Some(verity), Some(sig)) = (slot.root, slot.verity, slot.sig) else {
        let parts = [
            (slot.root, "root"),
            (slot.verity, "root-verity"),
            (slot.sig, "root-verity-sig"),
        ];
        for (_, name) in parts.iter().filter(|(partition, _)| partition.is_none()) {
            section.record("partitions", Err(Refusal::PartitionMissing(name)));
        }
        return Ok(section);
    };
    let partitions = Partitions { root, verity, sig };
    if entry.is_none() && names::half_empty(&partitions) {
        names::labels(&partitions, bennu_formats::names::EMPTY_SLOT_LABEL, &mut section);
        return Ok(section);
    }
    let mut this = SlotCheck {
        image,
        trust,
        progress,
        partitions,
        section,
    };
    this.run(entry, &label)?;
    Ok(this.section)
}

impl SlotCheck<'_> {
    fn run(&mut self, entry: Option<BootEntry>, label: &str) -> Result<(), Undecided> {
        let facts = entry.as_ref().and_then(BootEntry::facts);
        let expected = Expected {
            root_hash: facts
                .and_then(|f| f.root_hash.as_ref().ok().copied())
                .unwrap_or_else(|| self.partitions.root_hash()),
            identity: facts.and_then(UkiFacts::identity).or_else(|| parse_label(label)),
        };
        let found = self.manifest(&expected)?;
        let identity = match &found {
            Found::Proven(m) => Some((m.get().image_id.clone(), m.get().version.clone())),
            Found::Unproven(_) | Found::Nothing => expected.identity,
        };
        self.names(entry.as_ref(), identity.as_ref(), &expected.root_hash);
        self.uki(entry, found.get(), identity.as_ref(), &expected.root_hash, label);
        match found.get() {
            Some(manifest) => {
                let policy = tpm::policy(manifest, self.trust.keys);
                self.section.record("TPM policy", policy);
                let root = Root {
                    image: self.image,
                    partitions: self.partitions,
                    progress: self.progress,
                };
                let sound = root.check_tree(manifest, &expected.root_hash, &mut self.section)?;
                root.check_identity(manifest.root.bytes, identity.as_ref(), &mut self.section)?;
                if sound {
                    return root.check_golden(manifest, &mut self.section);
                }
                self.section
                    .add("golden-file index", Finding::NotChecked(NO_ROOT));
                Ok(())
            }
            None => {
                for name in ["TPM policy", "hash tree", "root", "golden-file index"] {
                    self.section.add(name, Finding::NotChecked(NO_MANIFEST));
                }
                Ok(())
            }
        }
    }

    /// The manifest and the signature over the root hash beside it.
    fn manifest(&mut self, expected: &Expected) -> Result<Found, Undecided> {
        let bytes = self.image.read_sig(self.partitions.sig)?;
        let sig = match VeritySig::decode(&bytes) {
            Ok(sig) => sig,
            Err(error) => {
                self.section.record("manifest", Err(Refusal::SigFormat(error)));
                self.section.add("root hash", Finding::NotChecked(NO_MANIFEST));
                return Ok(Found::Nothing);
            }
        };
        let found = match &expected.identity {
            Some((image_id, _)) => self.prove(&bytes, &sig, image_id, &expected.root_hash),
            None => {
                self.section.add("manifest", Finding::NotChecked(NO_IDENTITY));
                Found::unproven(&sig)
            }
        };
        let signed = self.root_signature(&sig, &expected.root_hash);
        self.section.record("root hash", signed);
        Ok(found)
    }

    fn prove(&mut self, bytes: &[u8], sig: &VeritySig, image_id: &ImageId, root_hash: &RootHash) -> Found {
        let trust = ReleaseTrust {
            keys: &self.trust.keys.release,
            threshold: self.trust.release_threshold,
            image_id,
            architecture: Architecture::X86_64,
        };
        let facts = SlotFacts {
            root_hash: *root_hash,
            root_partition: Bytes(self.partitions.root.byte_len()),
            verity_partition: Bytes(self.partitions.verity.byte_len()),
        };
        match verify_slot(bytes, &trust, &facts) {
            Ok(verified) => {
                self.section.add("manifest", Finding::Good(describe(&verified)));
                Found::Proven(verified)
            }
            Err(refusal) => {
                self.section.record("manifest", Err(Refusal::Manifest(refusal)));
                Found::unproven(sig)
            }
        }
    }

    /// PKCS#7 over the root hash, which kernel and systemd go by.
    fn root_signature(&self, sig: &VeritySig, root_hash: &RootHash) -> Result<String, Refusal> {
        let db = &self.trust.keys.db;
        let expected = Sha256Digest(db.fingerprint());
        if sig.certificate_fingerprint != expected {
            return Err(Refusal::Fingerprint {
                expected,
                found: sig.certificate_fingerprint,
            });
        }
        root_hash::verify(&sig.signature, &root_hash.to_string(), db).map_err(Refusal::RootSignature)?;
        Ok(format!("{root_hash}, signed by {}", db.subject()))
    }

    fn names(
        &mut self,
        entry: Option<&BootEntry>,
        identity: Option<&(ImageId, ImageVersion)>,
        root_hash: &RootHash,
    ) {
        match identity {
            Some((id, version)) => {
                let label = slot_label(id, version);
                names::labels(&self.partitions, &label, &mut self.section);
                if let Some(entry) = entry {
                    self.section
                        .record("boot entry name", names::boot_entry(entry, &label));
                    self.tries(entry);
                }
            }
            None => self
                .section
                .add("partition labels", Finding::NotChecked(NO_IDENTITY)),
        }
        names::guids(&self.partitions, root_hash, &mut self.section);
    }

    /// Counters are not signed, so they are told and not judged.
    fn tries(&mut self, entry: &BootEntry) {
        let remark = match entry.name.as_ref().map(|n| n.counter) {
            Some(Some(counter)) if counter.tries_left == 0 => "no tries left: the boot loader takes it last",
            Some(None) => "no counter: the boot loader does not count its tries",
            _ => return,
        };
        self.section
            .add("boot entry tries", Finding::Remark(remark.to_owned()));
    }

    fn uki(
        &mut self,
        entry: Option<BootEntry>,
        manifest: Option<&SlotManifest>,
        identity: Option<&(ImageId, ImageVersion)>,
        root_hash: &RootHash,
        label: &str,
    ) {
        let missing = || Refusal::UkiMissing {
            root_hash: *root_hash,
            label: label.to_owned(),
        };
        let content = entry.ok_or_else(missing).and_then(|entry| entry.content);
        let facts = match content {
            Err(refusal) => {
                self.section.record("UKI", Err(refusal));
                None
            }
            Ok(content) => {
                self.section.record("UKI signature", content.signature);
                content.facts
            }
        };
        let Some(facts) = facts else {
            for name in ["UKI digest", "PCR values", "PCR signatures"] {
                self.section.add(name, Finding::NotChecked(NO_UKI));
            }
            return;
        };
        if let Err(error) = &facts.root_hash {
            self.section
                .record("command line", Err(Refusal::Cmdline(error.clone())));
        }
        if let Some(identity) = identity {
            self.section.record(
                "UKI os-release",
                identity_of("the UKI", &facts.os_release, identity),
            );
        }
        match manifest {
            Some(manifest) => self.section.record("UKI digest", uki_digest(&facts, manifest)),
            None => self.section.add("UKI digest", Finding::NotChecked(NO_MANIFEST)),
        }
        self.measurements(&facts, manifest);
    }

    fn measurements(&mut self, facts: &UkiFacts, manifest: Option<&SlotManifest>) {
        const NO_PREDICTION: &str = "the UKI's measurements cannot be predicted";
        match &facts.pcrs {
            Ok(predicted) => {
                match manifest {
                    Some(manifest) => tpm::values(manifest, predicted, &mut self.section),
                    None => self.section.add("PCR values", Finding::NotChecked(NO_MANIFEST)),
                }
                let signed = tpm::signatures(facts, predicted, self.trust.keys);
                self.section.record("PCR signatures", signed);
            }
            Err(error) => {
                self.section
                    .record("PCR values", Err(Refusal::Predict(error.clone())));
                self.section
                    .add("PCR signatures", Finding::NotChecked(NO_PREDICTION));
            }
        }
    }
}

fn describe(verified: &Verified<SlotManifest>) -> String {
    let keys: Vec<String> = verified
        .signed_by()
        .iter()
        .map(|id| id.to_string()[..16].to_owned())
        .collect();
    let SlotManifest {
        image_id,
        version,
        security_version,
        ..
    } = verified.get();
    format!(
        "{image_id} {version}, security version {security_version}, signed by release key {}",
        keys.join(", ")
    )
}

fn parse_label(label: &str) -> Option<(ImageId, ImageVersion)> {
    let (id, version) = label.split_once('_')?;
    Some((id.parse().ok()?, version.parse().ok()?))
}

fn uki_digest(facts: &UkiFacts, manifest: &SlotManifest) -> Result<String, Refusal> {
    let expected = &manifest.uki;
    if expected.sha256 != facts.sha256 || expected.bytes.0 != facts.bytes {
        return Err(Refusal::UkiDigest {
            expected: expected.sha256,
            expected_bytes: expected.bytes.0,
            found: facts.sha256,
            found_bytes: facts.bytes,
        });
    }
    Ok(facts.sha256.to_string())
}
