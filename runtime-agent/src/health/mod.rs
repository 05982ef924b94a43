//! The health checks of the image, made one after the other: the first that does not hold ends a round.

mod checks;
pub mod command;

pub use checks::{Unmet, probe};
