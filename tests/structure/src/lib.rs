//! Reads the source tree for the tests beside it. Nothing here is part of the product.

pub mod files;
pub mod members;
pub mod source;
