//! Every document of the contract: pinned bytes, round trips, and what each decoder refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod examples;
mod golden;
mod limits;
mod values;
