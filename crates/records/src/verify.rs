//! Checking a log, line by line, with whatever proof the reader has: first keys of segments, or a signer that is
//! trusted, or both.
//!
//! With a segment's key every line of it is proven by its own MAC. With a signer alone a line is proven by the next
//! good head after it, because the chain in the head covers it. What nothing proves is a finding.

use crate::clock::{Clocks, SignerTime};
use crate::fault::{Fault, Finding};
use crate::head::{HeadVerifier, head_message};
use crate::key::{InitialKey, Ratchet, SegmentId};
use crate::line::{CHAIN_BEGIN, GapMark, HeadMark, Joint, Kind, Line, Torn, authenticated, chained};
use crate::torn::{claims, marked};
use bennu_formats::Sha256Digest;
use std::collections::BTreeMap;

/// Most steps from keys to lines in one check, some ten seconds' worth: hostile lines cannot ask for more.
const MAX_STEPS: u64 = 1 << 24;
/// Most findings that are kept; the rest is counted.
const MAX_FINDINGS: usize = 1000;

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that could be read.
    pub lines: u64,
    /// Lines whose MAC was checked and is good.
    pub by_key: u64,
    /// Lines that a good head covers.
    pub by_head: u64,
    /// Number of the last line that a good head covers.
    pub last_head: Option<u64>,
    /// Number of the last line, and the chain after it.
    pub end: Option<(u64, Sha256Digest)>,
    /// Faults, in the order of the lines; 1000 at most.
    pub findings: Vec<Finding>,
    /// Faults that were not kept.
    pub more_findings: u64,
    /// Whether a fault, kept or not, refuses the log.
    pub refused: bool,
}

/// First keys, by segment.
#[derive(Default)]
pub struct KeyRing(BTreeMap<SegmentId, InitialKey>);

impl KeyRing {
    /// Adds a key.
    pub fn add(&mut self, key: InitialKey) {
        self.0.insert(key.segment(), key);
    }
}

/// One file of a log.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// What to call it in findings.
    pub name: String,
    /// The number in its name.
    pub number: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Whose files are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// The writer's own.
    #[default]
    Written,
    /// A collector's, which has the lines and not what power cuts tore: torn ends that lines name are told, not compared.
    Collected,
}

/// What a log is checked against.
#[derive(Default)]
pub struct Proof<'k> {
    /// Whose files they are.
    pub origin: Origin,
    /// First keys of segments.
    pub keys: KeyRing,
    /// Whose heads are believed.
    pub signer: Option<&'k dyn HeadVerifier>,
    /// A line, with or without its line feed, that was kept elsewhere and must be in the log: it makes a cut at the
    /// end visible, which nothing in the log does.
    pub kept: Option<Vec<u8>>,
}

/// Checks the files of one log, in the order of their numbers.
pub fn verify(files: &[LogFile], proof: &Proof<'_>) -> Report {
    let mut files: Vec<&LogFile> = files.iter().collect();
    files.sort_by_key(|file| file.number);
    let claims = match proof.origin {
        Origin::Written => claims(&files),
        Origin::Collected => BTreeMap::new(),
    };
    let mut check = Check {
        proof,
        kept: proof
            .kept
            .as_deref()
            .map(|line| line.strip_suffix(b"\n").unwrap_or(line)),
        kept_found: false,
        ratchet: None,
        steps_left: MAX_STEPS,
        before: None,
        chain: CHAIN_BEGIN,
        broken: false,
        unproven: None,
        findings: Vec::new(),
        clocks: Clocks::default(),
        report: Report::default(),
    };
    for (index, file) in files.into_iter().enumerate() {
        check.file(index, file, claims.get(&file.number));
    }
    check.finish()
}

/// Where a line stands.
#[derive(Debug, Clone)]
struct Place {
    /// Place of the file among the files.
    index: usize,
    file: String,
    line: u64,
}

/// The line before.
struct Before {
    seq: u64,
    segment: SegmentId,
    step: u64,
    kind: Kind,
    digest: Sha256Digest,
}

/// What a line's own MAC says.
#[derive(PartialEq, Eq)]
enum ByKey {
    Good,
    Bad,
    NoKey,
}

struct Check<'p> {
    proof: &'p Proof<'p>,
    kept: Option<&'p [u8]>,
    kept_found: bool,
    /// Segment and key of the furthest line so far.
    ratchet: Option<(SegmentId, Ratchet)>,
    steps_left: u64,
    before: Option<Before>,
    chain: Sha256Digest,
    /// A fault was found since the chain was last known to be right.
    broken: bool,
    /// First of the lines that nothing has proven yet, and how many.
    unproven: Option<(Place, u64)>,
    /// Findings with the place of their file.
    findings: Vec<(usize, Finding)>,
    clocks: Clocks,
    report: Report,
}

impl Check<'_> {
    fn file(&mut self, index: usize, file: &LogFile, claim: Option<&Torn>) {
        let bytes = &file.bytes;
        let place = |line| Place {
            index,
            file: file.name.clone(),
            line,
        };
        let marked = claim.and_then(|claim| marked(bytes, claim));
        let whole = &bytes[..marked.map_or(bytes.len(), |(whole, _)| whole)];
        let mut number = 0;
        for raw in whole.split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            let place = place(number);
            let Some(text) = raw.strip_suffix(b"\n") else {
                let bytes = raw.len() as u64;
                self.find(&place, Fault::TornUnmarked { bytes });
                break;
            };
            match Line::decode(text) {
                Ok(line) => self.line(&place, number == 1, text, &line),
                Err(error) => self.find(&place, Fault::NotALine(error)),
            }
        }
        match (marked, claim) {
            (Some((_, bytes)), _) => self.find(&place(number + 1), Fault::Torn { bytes }),
            (None, Some(_)) => self.find(&place(number), Fault::TornClaimed),
            (None, None) if bytes.is_empty() => self.find(&place(1), Fault::TornUnmarked { bytes: 0 }),
            (None, None) => {}
        }
    }

    fn line(&mut self, place: &Place, first: bool, text: &[u8], line: &Line) {
        self.report.lines += 1;
        self.kept_found |= self.kept == Some(text);
        let digest = Sha256Digest::of(text);
        if self.before.as_ref().is_some_and(|before| before.digest == digest) {
            return self.find(place, Fault::Twice);
        }
        if first != matches!(line.kind, Kind::Start | Kind::Continue) {
            self.find(place, Fault::Joint);
        }
        let in_place = self.sequence(place, line);
        match self.by_key(place, text, line) {
            ByKey::Good => self.report.by_key += 1,
            ByKey::Bad => self.find(place, Fault::Changed),
            ByKey::NoKey => {
                let (_, lines) = self.unproven.get_or_insert_with(|| (place.clone(), 0));
                *lines += 1;
            }
        }
        match line.kind {
            Kind::Start | Kind::Continue => match line.body_as::<Joint>() {
                Ok(joint) => self.joint(place, &joint),
                Err(error) => self.find(place, Fault::NotALine(error)),
            },
            Kind::Head => match line.body_as::<HeadMark>() {
                Ok(head) => self.head(place, line, &head),
                Err(error) => self.find(place, Fault::NotALine(error)),
            },
            Kind::Gap => match line.body_as::<GapMark>() {
                Ok(GapMark { what, lost }) => self.find(place, Fault::Gap { what, lost }),
                Err(error) => self.find(place, Fault::NotALine(error)),
            },
            Kind::Event | Kind::Stop => {}
        }
        self.chain = chained(&self.chain, text);
        if !in_place {
            return;
        }
        self.report.end = Some((line.seq, self.chain));
        self.before = Some(Before {
            seq: line.seq,
            segment: line.segment,
            step: line.step,
            kind: line.kind,
            digest,
        });
    }

    /// Number, segment and step after the line before; whether the line is not one that was due before.
    fn sequence(&mut self, place: &Place, line: &Line) -> bool {
        let Some(before) = &self.before else {
            if line.seq > 0 {
                self.find(place, Fault::BeginsLater { seq: line.seq });
            }
            return true;
        };
        let expected = before.seq.saturating_add(1);
        let starts = line.kind == Kind::Start;
        let follows = if starts {
            line.step == 0 && line.segment != before.segment
        } else {
            let same = line.segment == before.segment && before.kind != Kind::Stop;
            same && line.step.checked_sub(before.step) == line.seq.checked_sub(before.seq)
        };
        let unstopped = starts && before.kind != Kind::Stop;
        if line.seq < expected {
            self.find(place, Fault::Misplaced { expected });
            return false;
        }
        if line.seq > expected {
            let missing = line.seq - expected;
            self.find(place, Fault::Cut { expected, missing });
        }
        if !follows {
            self.find(place, Fault::Spliced);
        } else if unstopped {
            self.find(place, Fault::NotStopped);
        }
        true
    }

    /// Checks the line's own MAC.
    fn by_key(&mut self, place: &Place, text: &[u8], line: &Line) -> ByKey {
        let Some(key) = self.proof.keys.0.get(&line.segment) else {
            return ByKey::NoKey;
        };
        let ahead = |(segment, ratchet): &(SegmentId, Ratchet)| {
            *segment == line.segment && ratchet.step() <= line.step
        };
        let mut ratchet = match self.ratchet.take_if(|known| ahead(known)) {
            Some((_, ratchet)) => ratchet,
            None => key.ratchet(),
        };
        let steps = line.step - ratchet.step();
        if steps > self.steps_left {
            self.find(place, Fault::TooManySteps { step: line.step });
            return ByKey::NoKey;
        }
        self.steps_left -= steps;
        // Steps between lines in their order are few, and bounded by the length of the log.
        if steps == 1 {
            self.steps_left += 1;
        }
        (0..steps).for_each(|_| ratchet.advance());
        let good = ratchet.is_mac(authenticated(text), &line.mac);
        // A changed line may claim any step; the key of the next one is as good as that of an unchanged one.
        if good || steps <= 1 {
            self.ratchet = Some((line.segment, ratchet));
        }
        if good { ByKey::Good } else { ByKey::Bad }
    }

    fn head(&mut self, place: &Place, line: &Line, head: &HeadMark) {
        let whole = !self.broken && self.chain == head.chain;
        self.check_chain(place, &head.chain);
        let Some(signer) = self.proof.signer else { return };
        let before = line.seq.saturating_sub(1);
        let message = head_message(&line.boot, before, &head.chain);
        let signed =
            signer.keyid() == head.keyid && signer.is_good(&head.algorithm, &message, &head.signature);
        if !signed {
            self.find(place, Fault::HeadSignature);
        }
        let signed = signed && self.is_as_old_as_it_says(place, line, signer.signed_at(&head.signature));
        if signed && whole {
            self.report.last_head = Some(before);
        }
        // The head's own line is among them: all of it but its time and MAC is signed.
        let Some((first, lines)) = self.unproven.take() else {
            return;
        };
        if signed && whole {
            self.report.by_head += lines;
        } else {
            self.find(&first, Fault::Unproven { lines });
        }
    }

    fn joint(&mut self, place: &Place, joint: &Joint) {
        self.check_chain(place, &joint.chain);
        if self.proof.origin == Origin::Collected {
            let stayed = |torn: &Torn| Fault::TornElsewhere { bytes: torn.bytes };
            joint.torn.iter().for_each(|torn| self.find(place, stayed(torn)));
        }
    }

    /// Compares the signer's clock with the line's.
    fn is_as_old_as_it_says(&mut self, place: &Place, line: &Line, time: Option<SignerTime>) -> bool {
        let Some(time) = time else { return true };
        let checked = self.clocks.check(&line.boot, line.stamp.up_ms, time);
        let good = checked.is_ok();
        if let Ok(Some(fault)) | Err(fault) = checked {
            self.find(place, fault);
        }
        good
    }

    /// Compares the chain that a line names with the one so far. After a fault it differs anyway: it is taken over.
    fn check_chain(&mut self, place: &Place, named: &Sha256Digest) {
        let known = self.before.is_some() && !self.broken;
        if known && *named != self.chain {
            self.find(place, Fault::Chain);
        }
        self.chain = *named;
        self.broken = false;
    }

    fn find(&mut self, place: &Place, fault: Fault) {
        let refuses = fault.refuses();
        self.broken |= refuses;
        self.report.refused |= refuses;
        if self.findings.len() == MAX_FINDINGS {
            self.report.more_findings += 1;
            return;
        }
        let finding = Finding {
            file: place.file.clone(),
            line: place.line,
            fault,
        };
        self.findings.push((place.index, finding));
    }

    /// What is known only at the end.
    fn finish(mut self) -> Report {
        if let Some((place, lines)) = self.unproven.take() {
            self.find(&place, Fault::Unproven { lines });
        }
        let nowhere = Place {
            index: usize::MAX,
            file: String::new(),
            line: 0,
        };
        if self.report.lines == 0 {
            self.find(&nowhere, Fault::Empty);
        }
        if self.kept.is_some() && !self.kept_found {
            self.find(&nowhere, Fault::KeptMissing);
        }
        self.findings
            .sort_by_key(|(index, finding)| (*index, finding.line));
        self.report.findings = self.findings.into_iter().map(|(_, finding)| finding).collect();
        self.report
    }
}
