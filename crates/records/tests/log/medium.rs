//! A medium with a cache that is lost when the power goes: of what was not flushed any part may be there.

use bennu_records::Store;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    cached: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<u64, Content>,
    newest: Option<u64>,
    /// Acts until the power goes; `None` for never.
    acts_left: Option<u64>,
    acts: u64,
}

/// Shared, so that it outlives the writer.
#[derive(Debug, Clone, Default)]
pub struct Medium(Rc<RefCell<Inner>>);

impl Inner {
    /// Every act of the writer passes here; after the last one nothing reaches the medium.
    fn act(&mut self) -> io::Result<()> {
        self.acts += 1;
        match &mut self.acts_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl Medium {
    /// The power goes after so many acts.
    pub fn power_goes_after(&self, acts: u64) {
        self.0.borrow_mut().acts_left = Some(acts);
    }

    /// Acts so far.
    pub fn acts(&self) -> u64 {
        self.0.borrow().acts
    }

    /// What is found when the power is back: of each file's cache the first `kept` bytes, and behind them `garbage`
    /// bytes that were never written (a block that was allocated and not filled).
    pub fn after_the_cut(&self, kept: usize, garbage: usize) -> Self {
        let mut files = self.0.borrow().files.clone();
        for content in files.values_mut() {
            let cached = std::mem::take(&mut content.cached);
            content.durable.extend(cached.iter().take(kept));
            if kept < cached.len() {
                content.durable.extend(std::iter::repeat_n(0, garbage));
            }
        }
        Self(Rc::new(RefCell::new(Inner {
            files,
            ..Inner::default()
        })))
    }

    /// Bytes that a cut could lose.
    pub fn cached(&self) -> usize {
        self.0
            .borrow()
            .files
            .values()
            .map(|content| content.cached.len())
            .sum()
    }

    /// The files with everything that was written.
    pub fn contents(&self) -> Vec<(u64, Vec<u8>)> {
        let inner = self.0.borrow();
        let whole = |content: &Content| [content.durable.as_slice(), &content.cached].concat();
        inner
            .files
            .iter()
            .map(|(number, content)| (*number, whole(content)))
            .collect()
    }
}

impl Store for Medium {
    fn files(&self) -> io::Result<Vec<(u64, u64)>> {
        Ok(self
            .contents()
            .into_iter()
            .map(|(number, bytes)| (number, bytes.len() as u64))
            .collect())
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        let found = self.contents().into_iter().find(|(n, _)| *n == number);
        found
            .map(|(_, bytes)| bytes)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.act()?;
        assert!(
            inner.files.insert(number, Content::default()).is_none(),
            "file {number} was there"
        );
        inner.newest = Some(number);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        let result = inner.act();
        let newest = inner.newest.expect("a file is open");
        let content = inner.files.get_mut(&newest).unwrap();
        // Of the write in which the power goes half reaches the cache.
        let written = if result.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        content.cached.extend(written);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.act()?;
        let newest = inner.newest.expect("a file is open");
        let content = inner.files.get_mut(&newest).unwrap();
        let cached = std::mem::take(&mut content.cached);
        content.durable.extend(cached);
        Ok(())
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.act()?;
        inner
            .files
            .remove(&number)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }
}
