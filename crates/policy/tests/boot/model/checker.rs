//! The checker: every state that a machine may reach, breadth first, and what holds of all runs through them.
//!
//! Small on purpose, and judged by another one: stateright walks the same machine and has to find as many states
//! (`judge.rs`). What holds of runs is decided here, because stateright's `eventually` is not made for graphs in
//! which paths join or close.

use super::promises::{Promise, broken_by};
use super::state::{At, SLOTS, Slot, State};
use super::world::{By, World};
use std::collections::HashMap;

/// A promise that does not hold, and the shortest way there.
#[derive(Debug)]
pub struct Broken {
    pub promise: Promise,
    pub way: Vec<State>,
}

/// All states with their steps; the first is the start.
pub struct Graph {
    pub states: Vec<State>,
    steps: Vec<Vec<(By, usize)>>,
    parents: Vec<usize>,
    /// Steps from the start to the state that is farthest.
    pub depth: usize,
}

impl Graph {
    /// Walks until nothing new turns up, and looks at each step.
    pub fn explore(world: &World) -> Result<Self, Box<Broken>> {
        let first = State::flashed(world.cuts);
        let mut graph = Self {
            states: vec![first],
            steps: Vec::new(),
            parents: vec![0],
            depth: 0,
        };
        let mut known = HashMap::from([(first, 0)]);
        let mut depths = vec![0];
        while let Some(before) = graph.states.get(graph.steps.len()).copied() {
            let here = graph.steps.len();
            let mut steps = Vec::new();
            for (by, after) in world.steps(&before) {
                if let Some(promise) = broken_by(world, &before, by, &after) {
                    let mut broken = graph.broken(promise, here);
                    broken.way.push(after);
                    return Err(broken);
                }
                let next = *known.entry(after).or_insert_with(|| {
                    graph.states.push(after);
                    graph.parents.push(here);
                    depths.push(depths[here] + 1);
                    graph.states.len() - 1
                });
                steps.push((by, next));
            }
            graph.steps.push(steps);
        }
        graph.depth = depths.into_iter().max().unwrap_or(0);
        Ok(graph)
    }

    pub fn transitions(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    fn broken(&self, promise: Promise, at: usize) -> Box<Broken> {
        let mut way = vec![self.states[at]];
        let mut at = at;
        while at != 0 {
            at = self.parents[at];
            way.push(self.states[at]);
        }
        way.reverse();
        Box::new(Broken { promise, way })
    }

    /// No run of the machine's own steps, failing writes among them, goes on for ever without becoming healthy;
    /// the most restarts in a row.
    pub fn no_storm(&self) -> Result<usize, Box<Broken>> {
        let own = |by| matches!(by, By::Itself | By::Restart | By::Medium);
        self.longest(own, false)
            .map_err(|at| self.broken(Promise::NoStorm, at))
    }

    /// From every state, once power, medium and attackers leave the machine alone, every run becomes healthy; a
    /// machine that stops is switched off and on. The most restarts and switches on the way.
    pub fn ends_healthy(&self) -> Result<usize, Box<Broken>> {
        let calm = |by| matches!(by, By::Itself | By::Restart | By::Person);
        self.longest(calm, true)
            .map_err(|at| self.broken(Promise::EndsHealthy, at))
    }

    /// No state asks for somebody's hand.
    pub fn needs_no_hand(&self) -> Result<(), Box<Broken>> {
        let stops = |state: &State| matches!(state.at, At::Halted | At::Prompt | At::StaysUp(..));
        match self.states.iter().position(stops) {
            Some(at) => Err(self.broken(Promise::EndsHealthy, at)),
            None => Ok(()),
        }
    }

    /// A slot that was given up for drift runs again only behind somebody's hand, wherever the power goes while that is
    /// written down, and however often the other slot becomes healthy or restarts in between.
    pub fn no_way_back(&self) -> Result<(), Box<Broken>> {
        let own = |by| matches!(by, By::Itself | By::Restart | By::Medium);
        for slot in SLOTS {
            let left = |state: &State| state.at == At::Drifted(slot);
            let mut met = vec![false; self.states.len()];
            let mut ahead: Vec<usize> = (0..self.states.len())
                .filter(|&at| left(&self.states[at]))
                .flat_map(|at| self.steps[at].iter().map(|&(_, next)| next))
                .collect();
            while let Some(at) = ahead.pop() {
                if std::mem::replace(&mut met[at], true) {
                    continue;
                }
                if goes_on(&self.states[at], slot) {
                    return Err(self.broken(Promise::NoWayBack, at));
                }
                let own_steps = self.steps[at].iter().filter(|(by, _)| own(*by));
                ahead.extend(own_steps.map(|&(_, next)| next));
            }
        }
        Ok(())
    }

    /// The longest run over the steps that `taken` allows, in restarts and switches, healthy states being its
    /// end. `Err` is a state on a circle, or, if `to_health`, one that such a run stops in.
    fn longest(&self, taken: impl Fn(By) -> bool, to_health: bool) -> Result<usize, usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done(usize),
        }
        let next_of = |node: usize| {
            let healthy = matches!(self.states[node].at, At::Healthy(_));
            self.steps[node]
                .iter()
                .filter(move |_| !healthy)
                .filter(|(by, _)| taken(*by))
        };
        let mut marks = vec![Mark::New; self.states.len()];
        for root in 0..marks.len() {
            let mut stack = vec![root];
            while let Some(&node) = stack.last() {
                if marks[node] == Mark::New {
                    marks[node] = Mark::Open;
                    let stuck = next_of(node).next().is_none();
                    if to_health && stuck && !matches!(self.states[node].at, At::Healthy(_)) {
                        return Err(node);
                    }
                    for &(_, next) in next_of(node) {
                        match marks[next] {
                            Mark::New => stack.push(next),
                            Mark::Open => return Err(next),
                            Mark::Done(_) => {}
                        }
                    }
                    continue;
                }
                stack.pop();
                if marks[node] == Mark::Open {
                    let below = next_of(node).map(|&(by, next)| match marks[next] {
                        Mark::Done(length) => length + usize::from(matches!(by, By::Restart | By::Person)),
                        Mark::New | Mark::Open => unreachable!("what follows is done first"),
                    });
                    marks[node] = Mark::Done(below.max().unwrap_or(0));
                }
            }
        }
        let length = |mark: &Mark| if let Mark::Done(length) = mark { *length } else { 0 };
        Ok(marks.iter().map(length).max().unwrap_or(0))
    }
}

/// This slot is started and its bennu-init lets it go on.
fn goes_on(state: &State, slot: Slot) -> bool {
    matches!(state.at, At::Went(started, _) if started == slot)
}
