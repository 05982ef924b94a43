//! The pinned links and maps of the execution gate. Its own programs let nobody take one away; this is the second look.
//!
//! What is pinned may be there and not be called any more: so each look asks the gate, and tries what it must deny. What it
//! must deny another security module may deny as well (IPE, systemd's programs); its answer nobody else gives.
//!
//! The first look is compared with the gate's own list, which is frozen: what was changed while no `bennud` ran is seen by the
//! next one. Later looks are compared with the first.

use super::{Look, Sighting, Subject};
use bennu_ebpf::objects::{self, Listed, Object};
use bennu_formats::gate::GateMode;
use bennu_formats::paths;
use bennu_linux::bpf::{gate_is_asked, try_executable_memory};
use bennu_policy::drift::Signal;
use std::collections::BTreeMap;
use std::path::Path;

/// What is pinned, against the gate's list and the first look.
#[derive(Default)]
pub(super) struct Objects {
    first: Option<First>,
}

struct First {
    pinned: BTreeMap<String, Object>,
    /// What was wrong with it; told at each look.
    wrong: Vec<Sighting>,
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
        let pins = Path::new(paths::ROOT_GATE_PINS);
        let now = objects::pinned(pins).map_err(|e| e.to_string())?;
        let Some(first) = &self.first else {
            let listed = objects::listed(pins).map_err(|e| e.to_string())?;
            if listed.is_none() && now.is_empty() {
                // No gate stands: `bennud` gives the slot up for that.
                return Err("nothing is pinned".to_owned());
            }
            let wrong = strangers(listed.as_ref(), &now);
            self.first = Some(First {
                pinned: now,
                wrong: wrong.clone(),
            });
            return Ok(wrong);
        };
        let mut seen = first.wrong.clone();
        seen.extend(changes(&first.pinned, &now));
        let enforces = wanted.mode == GateMode::Enforce;
        seen.extend(tried(
            gate_is_asked(),
            enforces && try_executable_memory().is_ok(),
        ));
        Ok(seen)
    }
}

/// What it says that the gate answered or not, and that what it denies was given.
fn tried(asked: bool, given: bool) -> Option<Sighting> {
    let words = if !asked {
        "programs of the gate: expected the kernel to ask them, found that it does not"
    } else if given {
        "executable memory: expected the gate to deny it to bennud, found it given"
    } else {
        return None;
    };
    Some(Sighting::new(Signal::BpfObjectChanged, words))
}

/// What differs between the gate's list and what is pinned.
fn strangers(listed: Option<&Listed>, pinned: &BTreeMap<String, Object>) -> Vec<Sighting> {
    let told = |words: String| Sighting::new(Signal::BpfObjectChanged, words);
    let Some(listed) = listed else {
        return vec![told(
            "pin own: expected the gate's list of its objects, found none".to_owned(),
        )];
    };
    let others = pinned.iter().filter(|(_, object)| !listed.has(object));
    let others =
        others.map(|(name, object)| format!("pin {name}: expected an object of the gate, found {object}"));
    let missing = listed.missing(pinned).into_iter();
    let missing = missing.map(|object| format!("{object} of the gate: expected a pin, found none"));
    others.chain(missing).map(told).collect()
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
    fn what_was_changed_before_the_first_look_differs_from_the_gates_own_list() {
        let execute = Object::Link { id: 4, program: 5 };
        let config = Object::Map { id: 9 };
        let listed = Listed::of([execute, config]);
        let pins = |pins: &[(&str, Object)]| -> BTreeMap<String, Object> {
            let pins = pins.iter().map(|(name, object)| ((*name).to_owned(), *object));
            pins.collect()
        };
        let told = |listed: Option<&Listed>, now: &[(&str, Object)]| -> Vec<String> {
            let seen = strangers(listed, &pins(now)).into_iter();
            seen.map(|seen| seen.detail).collect()
        };
        let whole = [("execute", execute), ("config", config)];
        assert_eq!(
            told(Some(&listed), &whole),
            Vec::<String>::new(),
            "positive control"
        );
        assert_eq!(
            told(Some(&listed), &[("config", Object::Map { id: 11 })]),
            [
                "pin config: expected an object of the gate, found map 11",
                "map 9 of the gate: expected a pin, found none",
                "link 4 of the gate: expected a pin, found none",
            ]
        );
        assert_eq!(
            told(None, &whole),
            ["pin own: expected the gate's list of its objects, found none"]
        );
    }

    #[test]
    fn a_gate_that_nobody_asks_is_told_also_where_somebody_else_denies_and_one_that_gives_is() {
        assert!(tried(true, false).is_none(), "positive control");
        for given in [false, true] {
            let seen = tried(false, given).unwrap();
            assert!(
                seen.detail.contains("expected the kernel to ask them"),
                "{seen:?}"
            );
        }
        let seen = tried(true, true).unwrap();
        assert!(seen.detail.contains("found it given"), "{seen:?}");
    }

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
