//! Writing a log.

use crate::head::{Signer, SignerError, head_message};
use crate::key::{InitialKey, Ratchet, SegmentId};
use crate::line::{Draft, GapMark, HeadMark, Joint, Kind, LineError, MAX_LINE_BYTES, Stamp, Torn, chained};
use crate::recover::end;
use crate::store::{MAX_FILE_BYTES, Store};
use bennu_formats::Sha256Digest;
use serde::Serialize;
use serde_json::Value;
use std::io;

/// How much room a log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after which a new file is begun; at least 4 lines, at most [`MAX_FILE_BYTES`].
    pub file_bytes: u64,
    /// Bytes of all files together, beyond which the oldest are removed; at least two files.
    pub total_bytes: u64,
    /// Most files, for a machine that restarts often.
    pub files: usize,
}

impl Default for Limits {
    /// 4 MiB a file, 64 MiB in all, 1024 files.
    fn default() -> Self {
        Self {
            file_bytes: 4 << 20,
            total_bytes: 64 << 20,
            files: 1024,
        }
    }
}

/// When a line must be on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: integrity events, and whatever is told before something is destroyed.
    Now,
    /// With the next line that is flushed, or the next [`Writer::flush`].
    Later,
}

/// Why a line was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store.
    #[error("record log: {act}: {source}")]
    Store {
        /// What was being done.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The line.
    #[error("record log: {0}")]
    Line(#[from] LineError),
    /// The signer.
    #[error("record log: {0}")]
    Signer(#[from] SignerError),
    /// An earlier write failed: half a line may be in the file.
    #[error("record log: an earlier write failed; open the log again")]
    Failed,
    /// Limits without room for a log.
    #[error("record log: expected files of 64 KiB to 64 MiB, at least two of them in all, found {0:?}")]
    Limits(Limits),
}

fn act(act: &'static str) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError::Store { act, source }
}

/// Writes one segment.
pub struct Writer<S> {
    store: S,
    limits: Limits,
    boot: String,
    program: String,
    segment: SegmentId,
    ratchet: Ratchet,
    seq: u64,
    chain: Sha256Digest,
    file: u64,
    file_bytes: u64,
    failed: bool,
}

impl<S: Store> Writer<S> {
    /// Goes on with the log in `store`, or begins one: a new file, a new segment under `key`, whose first line names
    /// the chain so far and every torn end. The caller has given `key` to whoever is to check the log, and keeps no
    /// copy. `boot` is the kernel's boot id, `program` is for people.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn open(
        store: S,
        limits: Limits,
        key: &InitialKey,
        boot: &str,
        program: &str,
        stamp: Stamp,
    ) -> Result<Self, WriteError> {
        let smallest = 4 * MAX_LINE_BYTES as u64;
        if !(smallest..=MAX_FILE_BYTES).contains(&limits.file_bytes)
            || limits.total_bytes < 2 * limits.file_bytes
            || limits.files < 2
        {
            return Err(WriteError::Limits(limits));
        }
        let end = end(&store).map_err(act("find its end"))?;
        let mut writer = Self {
            store,
            limits,
            boot: boot.to_owned(),
            program: program.to_owned(),
            segment: key.segment(),
            ratchet: key.ratchet(),
            seq: end.next_seq,
            chain: end.chain,
            file: end.next_file,
            file_bytes: 0,
            failed: false,
        };
        writer.begin_file(Kind::Start, end.torn, stamp)?;
        Ok(writer)
    }

    /// The segment.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Number of the next line, and the chain after the last.
    pub fn position(&self) -> (u64, Sha256Digest) {
        (self.seq, self.chain)
    }

    /// Writes down that something happened; gives the line's number.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn event(&mut self, body: Value, stamp: Stamp, durability: Durability) -> Result<u64, WriteError> {
        self.line(Kind::Event, body, stamp, durability)
    }

    /// Writes down that `lost` events of a stream never came; gives the line's number.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn gap(&mut self, what: &str, lost: u64, stamp: Stamp) -> Result<u64, WriteError> {
        let mark = GapMark {
            what: what.to_owned(),
            lost,
        };
        self.line(Kind::Gap, body(Kind::Gap, &mark)?, stamp, Durability::Now)
    }

    /// Signs the chain so far; gives the line's number.
    ///
    /// # Errors
    /// [`WriteError`]; when only the signer failed, the log goes on without the head.
    pub fn head(&mut self, signer: &mut dyn Signer, stamp: Stamp) -> Result<u64, WriteError> {
        self.make_room(stamp)?;
        let message = head_message(&self.boot, self.seq - 1, &self.chain);
        let mark = HeadMark {
            chain: self.chain,
            algorithm: signer.algorithm().to_owned(),
            keyid: signer.keyid(),
            signature: signer.sign(&message)?,
        };
        self.line(Kind::Head, body(Kind::Head, &mark)?, stamp, Durability::Now)
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.guarded(|writer| writer.store.sync().map_err(act("flush")))
    }

    /// Ends the segment in good order and gives the store back.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn stop(mut self, stamp: Stamp) -> Result<S, WriteError> {
        self.line(
            Kind::Stop,
            Value::Object(serde_json::Map::new()),
            stamp,
            Durability::Now,
        )?;
        Ok(self.store)
    }

    fn line(
        &mut self,
        kind: Kind,
        body: Value,
        stamp: Stamp,
        durability: Durability,
    ) -> Result<u64, WriteError> {
        self.make_room(stamp)?;
        self.write(kind, body, stamp, durability)
    }

    /// Begins a new file where the newest has no room for a line as long as lines can be.
    fn make_room(&mut self, stamp: Stamp) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        if self.file_bytes + (MAX_LINE_BYTES as u64) < self.limits.file_bytes {
            return Ok(());
        }
        self.flush()?;
        self.file += 1;
        self.begin_file(Kind::Continue, Vec::new(), stamp)
    }

    fn begin_file(&mut self, kind: Kind, torn: Vec<Torn>, stamp: Stamp) -> Result<(), WriteError> {
        self.guarded(|writer| {
            writer.remove_oldest()?;
            writer.store.create(writer.file).map_err(act("make a file"))
        })?;
        self.file_bytes = 0;
        let joint = Joint {
            chain: self.chain,
            torn,
            program: self.program.clone(),
        };
        let begun = self.write(kind, body(kind, &joint)?, stamp, Durability::Now);
        if begun.is_err() {
            // A file without a line is none: on a full medium each try would leave one.
            let _stays = self.store.remove(self.file);
        }
        begun.map(drop)
    }

    /// Makes room for one more file. The newest file there is stays: a log that begins at its own joint is still a log.
    fn remove_oldest(&mut self) -> Result<(), WriteError> {
        let files = self.store.files().map_err(act("list its files"))?;
        let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let mut count = files.len();
        for (number, length) in files.iter().take(files.len().saturating_sub(1)) {
            if bytes + self.limits.file_bytes <= self.limits.total_bytes && count < self.limits.files {
                break;
            }
            self.store
                .remove(*number)
                .map_err(act("remove its oldest file"))?;
            bytes -= length;
            count -= 1;
        }
        Ok(())
    }

    fn write(
        &mut self,
        kind: Kind,
        body: Value,
        stamp: Stamp,
        durability: Durability,
    ) -> Result<u64, WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        let seq = self.seq;
        let draft = Draft {
            seq,
            segment: self.segment,
            boot: &self.boot,
            stamp,
            kind,
            body,
        };
        let mut line = draft.encode(&self.ratchet)?;
        let chain = chained(&self.chain, &line);
        line.push(b'\n');
        // Before a byte of it is on its way: should the write fail, this key must not sign another line.
        self.ratchet.advance();
        self.guarded(|writer| {
            writer.store.append(&line).map_err(act("write a line"))?;
            match durability {
                Durability::Now => writer.store.sync().map_err(act("flush a line")),
                Durability::Later => Ok(()),
            }
        })?;
        self.seq += 1;
        self.chain = chain;
        self.file_bytes += line.len() as u64;
        Ok(seq)
    }

    /// A failed act ends the writer.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), WriteError>) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        let result = work(self);
        self.failed = result.is_err();
        result
    }
}

fn body(kind: Kind, value: &impl Serialize) -> Result<Value, WriteError> {
    let encoded = serde_json::to_value(value).map_err(|e| LineError::Body {
        kind,
        detail: e.to_string(),
    });
    Ok(encoded?)
}
