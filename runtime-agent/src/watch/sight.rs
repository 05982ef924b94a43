//! That what the kernel tells is read where nobody can mount anything over it (`crate::kernel_files`).

use super::{Look, Subject};
use crate::kernel_files::KernelFiles;
use std::sync::Arc;

/// The files of this start.
pub(super) struct Sight(pub(super) Arc<KernelFiles>);

impl Subject for Sight {
    fn name(&self) -> &'static str {
        "kernel files"
    }

    /// No sign of anybody: only before `bennud` starts could it be somebody's doing.
    fn look(&mut self) -> Look {
        match self.0.open_to_all() {
            None => Ok(Vec::new()),
            Some(why) => Err(format!("root can mount something over them: {why}")),
        }
    }
}
