//! `bennu` from outside: builds small images through the binary and lets other people's tools judge them;
//! repeats builds byte for byte; attacks images after the recipes in `tests/fixtures`.
//!
//! Needs no privileges. A judge that is not installed fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod attacks;
mod change;
mod golden;
mod inspect;
mod judges;
mod refusals;
mod reproducible;
mod workshop;
