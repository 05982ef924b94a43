//! Ends of files that a power cut tore, as the first lines of later files name them. On failure: a claim that does not
//! fit is a fault of the file it is about.

use crate::line::{Joint, Kind, Line, Torn};
use crate::verify::LogFile;
use bennu_formats::Sha256Digest;
use std::collections::BTreeMap;

/// The torn ends that the first lines of later files name. Those lines are checked like all others, so a claim that
/// somebody forged comes with a fault of its own.
pub(crate) fn claims(files: &[&LogFile]) -> BTreeMap<u64, Torn> {
    let mut claims = BTreeMap::new();
    for file in files {
        let first = file.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let joint = Line::decode(first)
            .ok()
            .filter(|line| line.kind == Kind::Start)
            .and_then(|line| line.body_as::<Joint>().ok());
        for torn in joint.into_iter().flat_map(|joint| joint.torn) {
            if torn.file < file.number {
                claims.insert(torn.file, torn);
            }
        }
    }
    claims
}

/// Where the torn end of a file begins and how long it is, if the claim is of these bytes.
pub(crate) fn marked(bytes: &[u8], claim: &Torn) -> Option<(usize, u64)> {
    let rest = bytes.get(usize::try_from(claim.offset).ok()?..)?;
    let same = rest.len() as u64 == claim.bytes && Sha256Digest::of(rest) == claim.sha256;
    same.then_some((bytes.len() - rest.len(), claim.bytes))
}
