//! The decision about drift: its table in full, its invariants over every set of up to three signals in every kind
//! of state, and each rule taken away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod invariants;
mod mutants;
mod page;
mod reverts;
mod table;
mod worlds;
