//! Filling in an action certificate and having the TPM sign it.

use super::signer::{LimitedSigner, SignError};
use super::{Acted, Known, evidence};
use crate::records::{boot_id, stamp};
use bennu_formats::Sha256Digest;
use bennu_formats::handover::Handover;
use bennu_policy::drift::Decision;
use bennu_records::certificate::{
    Act, Certificate, CertificateError, MAX_ENTRIES, MAX_TEXT_BYTES, Quote, SeenSignal,
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The TPM.
    #[error("{0}")]
    Quote(#[from] SignError),
    /// The form.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
}

/// What a certificate is about besides the machine.
pub struct Subject<'a> {
    /// Number and digest of the one before.
    pub next: (u64, Sha256Digest),
    /// The decision.
    pub decision: &'a Decision,
    /// What was seen.
    pub known: &'a [Known],
    /// What was or will be done.
    pub acts: &'a [Acted],
    /// Line of the log, and the chain after it.
    pub line: (u64, Sha256Digest),
}

fn cut(text: &str) -> String {
    let mut text = text.to_owned();
    while text.len() > MAX_TEXT_BYTES {
        text.pop();
    }
    text
}

/// Makes and signs one; gives the envelope and the digest that the next one names.
///
/// # Errors
/// [`CertifyError`].
pub fn certify(
    handover: &Handover,
    signer: &mut LimitedSigner,
    about: &Subject<'_>,
) -> Result<(Vec<u8>, Sha256Digest), CertifyError> {
    let now = stamp();
    let (number, previous) = about.next;
    // The same bytes that the certificate names are signed along: the quote belongs to this one.
    let quote = signer.quote(previous.as_bytes())?;
    let certificate = Certificate {
        schema: 1,
        number,
        previous,
        machine: bennu_records::Signer::keyid(signer),
        boot: boot_id(),
        image_id: handover.image_id.clone(),
        version: handover.version.clone(),
        root_hash: handover.root_hash,
        rule: about.decision.severity.rule().to_owned(),
        reason: cut(&about.decision.reason),
        seen: evidence::strong_first(about.known)
            .into_iter()
            .take(MAX_ENTRIES)
            .map(seen)
            .collect(),
        acts: about.acts.iter().take(MAX_ENTRIES).map(act).collect(),
        first_up_ms: about.known.iter().map(|k| k.first_ms).min().unwrap_or(now.up_ms),
        signed_up_ms: now.up_ms,
        signed_at_ms: now.at_ms,
        log_seq: about.line.0,
        log_chain: about.line.1,
        quote: Some(Quote {
            attest: quote.statement,
            signature: quote.signature.to_vec(),
        }),
    };
    Ok(certificate.sign(signer)?)
}

fn seen(known: &Known) -> SeenSignal {
    let row = known.sighting.signal.row();
    SeenSignal {
        signal: row.name.to_owned(),
        source: row.source.name().to_owned(),
        weight: row.weight.name().to_owned(),
        up_ms: known.first_ms,
        detail: cut(&known.sighting.detail),
    }
}

fn act(acted: &Acted) -> Act {
    Act {
        action: acted.action.clone(),
        rule: acted.rule.clone(),
        outcome: acted.outcome,
        words: cut(&acted.words),
        done_up_ms: acted.up_ms,
    }
}
