//! The test vector of `docs/spec/records.md`, made once by an implementation of its own (Python's hmac and hashlib).

use crate::medium::Medium;
use crate::workshop::{key, stamp};
use bennu_records::{Durability, Limits, Writer};
use serde_json::json;

#[test]
fn the_log_of_the_specification_has_its_bytes() {
    let page = include_str!("../../../../docs/spec/records.md");
    let medium = Medium::default();
    let mut writer = Writer::open(medium.clone(), Limits::default(), &key(7), "b", "p", stamp(0)).unwrap();
    writer.event(json!({"x": 1}), stamp(1), Durability::Now).unwrap();
    let (seq, chain) = writer.position();
    assert_eq!(seq, 2);
    let contents = medium.contents();
    let text = String::from_utf8(contents[0].1.clone()).unwrap();
    for line in text.lines() {
        assert!(page.contains(line), "not in the page: {line}");
    }
    assert!(page.contains(&chain.to_string()), "chain {chain}");
}
