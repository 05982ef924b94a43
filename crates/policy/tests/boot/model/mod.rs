//! The slot machine under a model checker: the shipped decisions, every step of every start, a crash after each.

mod checker;
mod judge;
mod machine;
mod mutants;
mod promises;
mod state;
mod world;
mod worlds;
