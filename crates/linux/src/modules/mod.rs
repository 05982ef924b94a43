//! Kernel modules: the list bundled in the initrd, alias matching, loading in dependency order.
//!
//! Written by: the image builder (list and uncompressed `.ko` files, both inside the signed UKI). Read
//! by: `bennu-init`. A malformed list is refused as a whole; a module that fails to load is an error
//! for the caller to weigh, since hardware that is asked for may not be needed to boot.

mod glob;
mod list;
mod load;
mod modalias;

pub use glob::matches;
pub use list::{LIST_HEADER, LIST_LIMIT, ListError, Module, ModuleList, ModuleName};
pub use load::{LoadError, Loader, Outcome};
pub use modalias::{ModaliasError, modaliases};
