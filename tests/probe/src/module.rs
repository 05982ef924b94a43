//! Kernel modules: one of the root, loaded as a service loads it, and one that an intruder has brought.

use crate::changes::on_esp;
use crate::say;
use std::fs::{self, File};
use std::io;

/// Where a story has put what the intruder brings; the kernel never gets it as a file.
const BROUGHT: &str = "EFI/brought.ko";

/// The words of this file; whether `word` is one of them.
pub fn perform(word: &str, argument: &str) -> bool {
    let loaded = match word {
        "load-module" => load(argument),
        "intrude-module" => intrude(),
        _ => return false,
    };
    match loaded {
        Ok(()) => say(&format!("PROBE {word} ends {argument}")),
        Err(error) => say(&format!("PROBE {word} cannot load {argument}: {error}")),
    }
    true
}

fn load(path: &str) -> io::Result<()> {
    say(&format!("PROBE load-module begins {path}"));
    Ok(rustix::system::finit_module(File::open(path)?, c"", 0)?)
}

/// From memory: IMA has no file to measure.
fn intrude() -> io::Result<()> {
    let module = on_esp(|folder| fs::read(folder.join(BROUGHT)))?;
    say("PROBE INTRUDER begins intrude-module");
    Ok(rustix::system::init_module(&module, c"")?)
}
