//! Small logs.

use bennu_alert::{Batch, Queue, Selection};
use bennu_records::{Directory, Durability, InitialKey, Limits, Stamp, Writer};
use serde_json::{Value, json};
use std::path::Path;

pub const SMALL: Limits = Limits {
    file_bytes: 64 * 1024,
    total_bytes: 1 << 20,
    files: 100,
};

pub fn stamp(n: u64) -> Stamp {
    Stamp {
        at_ms: 1_767_225_600_000 + n,
        up_ms: 1000 + n,
    }
}

/// Writes `bodies` as one run of a writer.
pub fn run(directory: &Path, bodies: impl IntoIterator<Item = Value>) {
    let store = Directory::open(directory).unwrap();
    let mut writer = Writer::open(store, SMALL, &InitialKey::new([7; 32]), "b00t", "test", stamp(0)).unwrap();
    for (n, body) in bodies.into_iter().enumerate() {
        writer.event(body, stamp(n as u64 + 1), Durability::Now).unwrap();
    }
    writer.stop(stamp(9)).unwrap();
}

pub fn events(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"severity": "serious", "n": n}))
        .collect()
}

pub fn queue(directory: &Path, selection: Selection) -> Queue {
    Queue::open(directory, &directory.join("cursor.json"), selection, "gate-7").unwrap()
}

/// The messages of a batch, each with its header.
pub fn messages(frames: &[u8]) -> Vec<String> {
    let mut rest = frames;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let space = rest.iter().position(|b| *b == b' ').unwrap();
        let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
        messages.push(String::from_utf8(rest[space + 1..][..length].to_vec()).unwrap());
        rest = &rest[space + 1 + length..];
    }
    messages
}

/// Everything that the queue has, batch after batch, each confirmed.
pub fn drain(queue: &mut Queue) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch: Batch = queue.next_batch().unwrap();
        queue.confirm(&batch).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(messages(&batch.frames));
    }
}
