//! Finding the end of a log that somebody else wrote, perhaps until the power went.

use crate::line::{CHAIN_BEGIN, Joint, Kind, Line, Torn, chained};
use crate::store::Store;
use bennu_formats::Sha256Digest;
use std::io;

/// Most torn files that are looked at from the end backwards; more are the sign of something else than power cuts.
pub(crate) const MAX_TORN: usize = 64;

/// Where a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Number for the next file.
    pub(crate) next_file: u64,
    /// Number of the next line.
    pub(crate) next_seq: u64,
    /// Chain after the last whole line.
    pub(crate) chain: Sha256Digest,
    /// Ends of files that are no whole lines, oldest first.
    pub(crate) torn: Vec<Torn>,
}

/// The end of the log in `store`. Nothing of it is proven here: that is the verifier's work, with the key.
pub(crate) fn end(store: &impl Store) -> io::Result<End> {
    let files = store.files()?;
    let mut end = End {
        next_file: files.last().map_or(0, |(number, _)| number + 1),
        next_seq: 0,
        chain: CHAIN_BEGIN,
        torn: Vec::new(),
    };
    for (number, _) in files.iter().rev().take(MAX_TORN) {
        let bytes = store.read(*number)?;
        let (whole, last) = whole_lines(&bytes);
        if whole < bytes.len() || last.is_none() {
            end.torn.insert(0, torn(*number, whole, &bytes));
        }
        if let Some((seq, chain)) = last {
            end.next_seq = seq + 1;
            end.chain = chain;
            return Ok(end);
        }
    }
    Ok(end)
}

fn torn(file: u64, offset: usize, bytes: &[u8]) -> Torn {
    let rest = &bytes[offset..];
    Torn {
        file,
        offset: offset as u64,
        bytes: rest.len() as u64,
        sha256: Sha256Digest::of(rest),
    }
}

/// How many bytes from the start are whole lines of a file, and number and chain after the last of them. A file
/// begins with a joint; each line has the number after the one before it.
pub(crate) fn whole_lines(bytes: &[u8]) -> (usize, Option<(u64, Sha256Digest)>) {
    let mut whole = 0;
    let mut last: Option<(u64, Sha256Digest)> = None;
    for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some((line, text)) = raw
            .strip_suffix(b"\n")
            .and_then(|text| Line::decode(text).ok().map(|line| (line, text)))
        else {
            break;
        };
        let before = match (&last, line.kind) {
            (None, Kind::Start | Kind::Continue) => match line.body_as::<Joint>() {
                Ok(joint) => joint.chain,
                Err(_) => break,
            },
            (Some((seq, chain)), kind)
                if line.seq == seq + 1 && !matches!(kind, Kind::Start | Kind::Continue) =>
            {
                *chain
            }
            _ => break,
        };
        if line.seq == u64::MAX {
            break;
        }
        last = Some((line.seq, chained(&before, text)));
        whole += raw.len();
    }
    (whole, last)
}
