//! What a slot will measure and which TPM policy opens its secrets: recomputed from the UKI and compared.

use super::{Refusal, Section};
use crate::image::UkiFacts;
use crate::steps::keys::PublicKeys;
use crate::steps::manifest::{approved_policy, policy_key_name};
use bennu_formats::digest::Sha256Digest;
use bennu_formats::manifest::{PredictedPcrs, SlotManifest};
use bennu_uki::keys::PublicKey;
use bennu_uki::pcrsig::PcrSignatures;
use bennu_uki::tpm_policy;

/// Values of a prediction, with the manifest's names for them.
fn members(pcrs: &PredictedPcrs) -> [(&'static str, Sha256Digest); 7] {
    [
        ("pcrs.pcr11_sections", pcrs.pcr11_sections),
        ("pcrs.pcr11_enter_initrd", pcrs.pcr11_enter_initrd),
        ("pcrs.pcr11_leave_initrd", pcrs.pcr11_leave_initrd),
        ("pcrs.pcr11_sysinit", pcrs.pcr11_sysinit),
        ("pcrs.pcr11_ready", pcrs.pcr11_ready),
        ("pcrs.pcr12", pcrs.pcr12),
        ("pcrs.pcr13", pcrs.pcr13),
    ]
}

/// Compares the manifest's values with those that the UKI makes.
pub fn values(manifest: &SlotManifest, predicted: &PredictedPcrs, section: &mut Section) {
    let wrong = members(predicted)
        .into_iter()
        .zip(members(&manifest.pcrs))
        .filter_map(|(expected, found)| {
            let ((member, expected), (_, found)) = (expected, found);
            (expected != found).then_some(Refusal::Pcr {
                member,
                expected,
                found,
            })
        });
    let sections = &manifest.pcrs.sections;
    // An older bennu did not name them.
    let names = predicted
        .sections
        .keys()
        .chain(sections.keys())
        .filter(|_| !sections.is_empty());
    let differ = names
        .filter(|name| predicted.sections.get(*name) != sections.get(*name))
        .take(1);
    let of = |pcrs: &PredictedPcrs, name| pcrs.sections.get(name).copied().unwrap_or(Sha256Digest::ZERO);
    let wrong = wrong.chain(differ.map(|name| Refusal::Pcr {
        member: "pcrs.sections",
        expected: of(predicted, name),
        found: of(&manifest.pcrs, name),
    }));
    section.record_all(
        "PCR values",
        "7 values of PCRs 11, 12, 13 as predicted",
        wrong.collect(),
    );
}

/// Checks `.pcrpkey` and `.pcrsig`, which systemd's tools go by.
pub fn signatures(facts: &UkiFacts, predicted: &PredictedPcrs, keys: &PublicKeys) -> Result<String, Refusal> {
    let key = facts
        .pcrpkey
        .as_deref()
        .ok_or(Refusal::SectionMissing(".pcrpkey"))?;
    if PublicKey::from_spki(key).map_err(Refusal::PcrKeyFormat)? != keys.policy {
        return Err(Refusal::PcrKey);
    }
    let json = facts
        .pcrsig
        .as_deref()
        .ok_or(Refusal::SectionMissing(".pcrsig"))?;
    let signatures = PcrSignatures::parse(json).map_err(Refusal::PcrSig)?;
    signatures.verify(&keys.policy).map_err(Refusal::PcrSig)?;
    let signed = signatures
        .banks
        .get("sha256")
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (phase, value) in [
        ("enter-initrd", predicted.pcr11_enter_initrd),
        ("leave-initrd", predicted.pcr11_leave_initrd),
        ("sysinit", predicted.pcr11_sysinit),
        ("ready", predicted.pcr11_ready),
    ] {
        let expected = tpm_policy::policy_pcr_digest(&[(11, value.0)]).map_err(Refusal::PolicySignature)?;
        if !signed.iter().any(|s| s.policy == expected && s.pcrs == [11]) {
            return Err(Refusal::PcrSigPhase {
                phase,
                expected: hex::encode(expected),
            });
        }
    }
    Ok("four phases, signed by tpm-policy.pub".to_owned())
}

/// Checks the policy that secrets are sealed to.
pub fn policy(manifest: &SlotManifest, keys: &PublicKeys) -> Result<String, Refusal> {
    let found = &manifest.tpm_policy;
    let name = policy_key_name(&keys.policy_modulus);
    let expected = approved_policy(&manifest.pcrs, manifest.security_version, &name)
        .map_err(Refusal::PolicySignature)?;
    if expected != found.approved_policy {
        return Err(Refusal::Policy {
            expected,
            found: found.approved_policy,
        });
    }
    if name.as_slice() != found.key_name {
        return Err(Refusal::PolicyKeyName {
            expected: hex::encode(name),
            found: hex::encode(&found.key_name),
        });
    }
    let policy_ref = found.policy_ref.as_bytes();
    tpm_policy::verify_policy(&keys.policy, &expected.0, policy_ref, &found.signature)
        .map_err(Refusal::PolicySignature)?;
    Ok(format!("{expected}, signed by tpm-policy.pub"))
}
