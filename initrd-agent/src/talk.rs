//! A conversation with whoever is in front of the machine: on every console of the kernel's list at once.
//!
//! Used by the prompts for PIN, recovery key and factory reset. What is said is in the log too; what is typed is
//! nowhere.

use crate::error::InitError;
use crate::hardware::Hardware;
use crate::journal::Journal;
use bennu_linux::console::{self, ConsoleName};
use bennu_linux::console_input::{self, Asked, Hushed, Patience, Typed};
use std::path::Path;

/// Keeps the consoles from showing what is typed before anybody asks: a PIN that somebody types too early is on no
/// screen and in no serial log. Until the hand-over, or for good when the start fails.
pub fn hush(journal: &mut Journal) -> Hushed {
    console_input::hush(consoles(journal))
}

fn consoles(journal: &mut Journal) -> Vec<ConsoleName> {
    console::active(Path::new(console::ACTIVE)).unwrap_or_else(|error| {
        journal.warn(&error.to_string());
        Vec::new()
    })
}

/// A conversation under way: the consoles are raw until it is dropped.
pub struct Talk<'a> {
    asked: Asked,
    journal: &'a mut Journal,
}

impl<'a> Talk<'a> {
    /// Begins one, with keyboards on USB.
    pub fn begin(hardware: &mut Hardware<'_>, journal: &'a mut Journal) -> Self {
        if let Err(error) = hardware.for_prompt(journal) {
            journal.warn(&error.to_string());
        }
        Self::on_consoles(journal)
    }

    /// Begins one with the keyboards that are there.
    pub fn on_consoles(journal: &'a mut Journal) -> Self {
        let (asked, errors) = Asked::open(consoles(journal));
        for error in errors {
            journal.warn(&error.to_string());
        }
        Self { asked, journal }
    }

    /// Says the same on each console, and writes it to the log.
    pub fn tell(&mut self, text: &str) {
        self.journal.note(text);
        self.prompt(&format!("bennu-init: {text}\r\n"));
    }

    /// Says it on each console only.
    pub fn prompt(&mut self, text: &str) {
        self.asked.say(text);
    }

    /// Waits for a line from any console.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn line(&mut self, patience: Patience) -> Result<Typed, InitError> {
        self.asked.line(patience).map_err(InitError::Consoles)
    }

    /// No console is left that anything could come from.
    pub fn is_deaf(&self) -> bool {
        self.asked.is_deaf()
    }
}
