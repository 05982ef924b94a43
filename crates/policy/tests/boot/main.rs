//! `policy::boot` under every sequence of events, and the sentences that matter one by one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod drift;
mod exploration;
mod flips;
mod loader;
mod model;
mod rungs;
mod state_schema;
mod stories;
mod waiting;
