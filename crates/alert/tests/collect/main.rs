//! The collector, fed with logs that the real writer made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod once;
mod power;
mod workshop;
