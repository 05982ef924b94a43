//! Stories that boot real images: one file a story under `stories/`, shared steps here.

pub mod forge;
pub mod guest;
pub mod image_store;
pub mod images;
pub mod inputs;
pub mod ipe;
pub mod kernel_module;
pub mod serial;
pub mod stories;
pub mod syslog;
