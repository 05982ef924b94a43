//! The record log from outside: written, cut off by power, changed by somebody, checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod certificates;
mod changes;
mod medium;
mod power;
mod vector;
mod workshop;
