//! The values that PCRs have when the events of a log are extended into them one after the other.

use crate::event::Event;
use crate::meaning::Meaning;
use bennu_tpm::{Digest, HashAlg};
use std::collections::BTreeMap;

/// PCRs that a power-on leaves at ones and not at zeros (PC Client Platform TPM Profile, table of PCR attributes).
const BEGIN_WITH_ONES: std::ops::RangeInclusive<u8> = 17..=22;

/// Value of `pcr` before the first event.
pub fn initial(pcr: u8, alg: HashAlg, events: &[Event]) -> Digest {
    if BEGIN_WITH_ONES.contains(&pcr) {
        return Digest::new(alg, &vec![0xff; alg.size()]).unwrap_or(Digest::zero(alg));
    }
    if pcr != 0 {
        return Digest::zero(alg);
    }
    // The locality that TPM2_Startup was called from is the last byte of PCR 0 (profile, 10.4.5.3).
    let mut value = vec![0; alg.size()];
    let locality = events.iter().find_map(|event| match event.meaning {
        Meaning::StartupLocality(locality) => Some(locality),
        _ => None,
    });
    if let (Some(last), Some(locality)) = (value.last_mut(), locality) {
        *last = locality;
    }
    Digest::new(alg, &value).unwrap_or(Digest::zero(alg))
}

/// One PCR's value after all of `events`; an event without a digest for the bank leaves it as it is, as the TPM does
/// with a bank that is not extended.
pub fn value(pcr: u8, alg: HashAlg, events: &[Event]) -> Digest {
    let extended = events.iter().filter(|event| event.extends() == Some(pcr));
    extended
        .filter_map(|event| event.digest(alg))
        .fold(initial(pcr, alg, events), |value, digest| {
            value.extended_with(digest)
        })
}

/// The values of all PCRs that the events extend.
pub fn values(alg: HashAlg, events: &[Event]) -> BTreeMap<u8, Digest> {
    let mut pcrs: Vec<u8> = events.iter().filter_map(Event::extends).collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    pcrs.into_iter()
        .map(|pcr| (pcr, value(pcr, alg, events)))
        .collect()
}
