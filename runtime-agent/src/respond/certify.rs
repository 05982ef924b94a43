//! Filling in an action certificate, having the TPM sign it, and putting it where it is kept.

use super::carry_out::{ESP_LIMIT, limited, limited_by};
use super::certificates::Store;
use super::signer::{LimitedSigner, SignError};
use super::{Acted, Known, Warden, evidence};
use crate::records::{boot_id, stamp};
use crate::surroundings::Surroundings;
use bennu_esp::About;
use bennu_formats::Sha256Digest;
use bennu_formats::decode::DecodeError;
use bennu_formats::handover::Handover;
use bennu_linux::kmsg::Level;
use bennu_policy::drift::Decision;
use bennu_records::certificate::{
    Act, Certificate, CertificateError, MAX_ENTRIES, MAX_TEXT_BYTES, Quote, SeenSignal,
};
use serde_json::json;

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
    let mut certificate = Certificate {
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
    loop {
        match certificate.sign(signer) {
            // Whoever makes long names must not have it that nothing is signed: the strong ones come first.
            Err(CertificateError::Decode(DecodeError::TooLong { .. })) if certificate.seen.len() > 1 => {
                certificate.seen.truncate(certificate.seen.len() / 2);
            }
            signed => return Ok(signed?),
        }
    }
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

impl Warden {
    /// Signs and keeps one certificate; that it cannot be is told, and holds nothing up. Those of the end lie on the ESP,
    /// where a purge does not reach them, and on the state volume; the others on the ESP where there is no volume.
    pub(super) fn certify(
        &mut self,
        decision: &Decision,
        about: About,
        acts: &[Acted],
        world: &mut impl Surroundings,
    ) {
        let Some(signer) = &mut self.signer else {
            return world.say(Level::Critical, "no certificate: the TPM does not sign");
        };
        let subject = Subject {
            next: self.next,
            decision,
            known: &self.known,
            acts,
            line: self.line,
        };
        let (number, _) = self.next;
        let kept = certify(&self.handover, signer, &subject)
            .map_err(|error| error.to_string())
            .and_then(|(envelope, digest)| {
                let next = number.checked_add(1).ok_or("there are no more numbers")?;
                let place = self.keep(number, about, envelope, world)?;
                Ok((next, digest, place))
            });
        match kept {
            Ok((next, digest, place)) => {
                self.next = (next, digest);
                world.say(
                    Level::Alert,
                    &format!("action certificate {number} is signed and on the {place}"),
                );
                let body = json!({"event": "certificate", "number": number, "sha256": digest.to_string()});
                self.note(body, world);
            }
            Err(error) => world.say(Level::Critical, &format!("no certificate: {error}")),
        }
    }

    /// Gives where it is. After a purge there is no state volume any more; the next start copies.
    fn keep(
        &self,
        number: u64,
        about: About,
        envelope: Vec<u8>,
        world: &mut impl Surroundings,
    ) -> Result<&'static str, String> {
        let on_esp = |store: Store, envelope: Vec<u8>, world: &mut _| {
            limited_by(ESP_LIMIT, world, move || store.keep(number, about, &envelope))
        };
        if about == About::TheEnd {
            on_esp(self.store.clone(), envelope.clone(), world)?;
        }
        if !self.halted {
            let (store, copy) = (self.store.clone(), envelope.clone());
            match limited(world, move || store.keep_on_state(number, copy)) {
                Ok(true) if about == About::TheRest => return Ok("state volume"),
                Ok(_) => {}
                Err(error) => {
                    let words = format!("action certificate {number} is not on the state volume: {error}");
                    world.say(Level::Warning, &words);
                }
            }
        }
        if about == About::TheRest {
            on_esp(self.store.clone(), envelope, world)?;
        }
        Ok("ESP")
    }
}
