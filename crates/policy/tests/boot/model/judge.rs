//! Another checker's word: stateright walks the same machines, finds as many states, and no broken promise.

use super::checker::Graph;
use super::promises::broken_by;
use super::state::{Note, State};
use super::world::{Fault, Rules, SHIPPED, World};
use super::worlds::world;
use bennu_formats::names::UkiFileName;
use stateright::{Checker, Model, Property};
use std::hash::{Hash, Hasher};

const EVERY_STEP: &str = "every step keeps every promise";

/// A state with a hash over every member: stateright knows states by nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole(State);

impl Hash for Whole {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        format!("{:?}", self.0).hash(hasher);
    }
}

impl Model for World {
    type State = Whole;
    type Action = usize;

    fn init_states(&self) -> Vec<Whole> {
        vec![Whole(State::flashed(self.cuts))]
    }

    fn actions(&self, state: &Whole, actions: &mut Vec<usize>) {
        actions.extend(0..self.steps(&state.0).len());
    }

    fn next_state(&self, state: &Whole, action: usize) -> Option<Whole> {
        self.steps(&state.0).get(action).map(|(_, after)| Whole(*after))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(EVERY_STEP, |world: &World, state: &Whole| {
            let mut steps = world.steps(&state.0).into_iter();
            steps.all(|(by, after)| broken_by(world, &state.0, by, &after).is_none())
        })]
    }
}

#[test]
fn stateright_finds_the_same_states_and_no_broken_promise() {
    const NEWER: &[Fault] = &[Fault::Refused, Fault::Panics(Note::RootIo)];
    const OLDER: &[Fault] = &[Fault::Unhealthy];
    let world = world(OLDER, NEWER);
    let ours = Graph::explore(&world).unwrap();
    let theirs = world.checker().spawn_bfs().join();
    theirs.assert_properties();
    assert_eq!(theirs.unique_state_count(), ours.states.len());
    println!("stateright: {} states", theirs.unique_state_count());
}

#[test]
fn stateright_finds_a_promise_that_is_broken() {
    let armed = |name: &UkiFileName, _| UkiFileName {
        counter: None,
        ..name.clone()
    };
    let world = World {
        rules: Rules { armed, ..SHIPPED },
        ..world(&[], &[])
    };
    let theirs = world.checker().spawn_bfs().join();
    assert!(theirs.discovery(EVERY_STEP).is_some());
}
