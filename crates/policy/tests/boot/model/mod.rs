//! The slot machine under a model checker: the shipped decisions, every step of every start, a crash after each.

mod agent;
mod checker;
mod judge;
mod limits;
mod machine;
mod mutants;
mod power_ons;
mod promises;
mod state;
mod world;
mod worlds;
