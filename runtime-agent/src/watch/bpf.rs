//! The pinned links and maps of the execution gate. Its own programs let nobody take one away; this is the second look.

use super::{Baseline, Look, Sighting, Subject};
use bennu_ebpf::objects::{self, Object};
use bennu_formats::gate::GateMode;
use bennu_formats::paths;
use bennu_policy::drift::Signal;
use std::collections::BTreeMap;
use std::path::Path;

/// What is pinned, against the first look.
#[derive(Default)]
pub(super) struct Objects {
    first: Baseline<BTreeMap<String, Object>>,
}

impl Subject for Objects {
    fn name(&self) -> &'static str {
        "objects of the gate"
    }

    fn look(&mut self) -> Look {
        let wanted = crate::gate::wanted().map_err(|e| e.to_string())?;
        if wanted.mode == GateMode::None {
            return Ok(Vec::new());
        }
        let now = objects::pinned(Path::new(paths::ROOT_GATE_PINS)).map_err(|e| e.to_string())?;
        let compared = self.first.first(now);
        Ok(compared.map_or_else(Vec::new, |(first, now)| changes(first, &now)))
    }
}

fn changes(first: &BTreeMap<String, Object>, now: &BTreeMap<String, Object>) -> Vec<Sighting> {
    let names = first
        .keys()
        .chain(now.keys().filter(|name| !first.contains_key(*name)));
    let change = |name: &String| {
        let words = |objects: &BTreeMap<String, Object>| match objects.get(name) {
            Some(object) => object.to_string(),
            None => "nothing".to_owned(),
        };
        let (expected, found) = (words(first), words(now));
        (expected != found).then(|| {
            let words = format!("pin {name}: expected {expected}, found {found}");
            Sighting::new(Signal::BpfObjectChanged, words)
        })
    };
    names.filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_is_gone_another_or_new_is_told_and_the_same_ones_are_not() {
        let link = |id| Object::Link { id, program: id + 1 };
        let of = |pins: &[(&str, Object)]| -> BTreeMap<String, Object> {
            pins.iter()
                .map(|(name, object)| ((*name).to_owned(), *object))
                .collect()
        };
        let first = of(&[
            ("execute", link(4)),
            ("config", Object::Map { id: 9 }),
            ("own", Object::Map { id: 8 }),
        ]);
        assert_eq!(changes(&first, &first), [], "positive control");
        let now = of(&[
            ("config", Object::Map { id: 11 }),
            ("own", Object::Map { id: 8 }),
            ("planted", Object::Foreign),
        ]);
        let told: Vec<String> = changes(&first, &now)
            .into_iter()
            .map(|seen| seen.detail)
            .collect();
        assert_eq!(
            told,
            [
                "pin config: expected map 9, found map 11",
                "pin execute: expected link 4 with program 5, found nothing",
                "pin planted: expected nothing, found something else",
            ]
        );
    }
}
