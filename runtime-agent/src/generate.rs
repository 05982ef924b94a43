//! `bennuctl generate`: man pages and completions, from the command lines' own definitions.

use clap::{Command, Subcommand};
use clap_complete::Shell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Generate {
    /// Man pages of bennuctl, its commands, and bennud
    Man {
        /// Directory to write to
        directory: PathBuf,
    },
    /// Shell completions, on standard output
    Completions {
        /// Shell
        shell: Shell,
    },
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[error("write {}: {source}", .path.display())]
pub struct GenerateError {
    path: PathBuf,
    source: io::Error,
}

/// The command line of `bennud`, which systemd starts: nothing. For its page only: the agent does without a parser.
fn bennud() -> Command {
    Command::new("bennud")
        .disable_help_flag(true)
        .about("Makes the image's health checks and marks the slot good, or has the machine restarted")
        .long_about(
            "Makes the image's health checks and marks the slot good, or has the machine restarted.\n\n\
             Started by bennud.service, without arguments. It reads /run/bennu/boot.json, which bennu-init wrote, and \
             the image's /usr/lib/bennu/health.json; it writes the ESP (boot record, name of the boot entry) and \
             /run/bennu/health.json, which `bennuctl status` shows.",
        )
        .after_help("Exit status: 2 cannot start. Otherwise it stays until it is ended or the machine restarts.")
}

/// The command line of `bennu-forward`: nothing, or one word. For its page only.
fn forward() -> Command {
    Command::new("bennu-forward")
        .disable_help_flag(true)
        .about("Sends the record log to a syslog server over TLS (RFC 5424, RFC 5425)")
        .long_about(
            "Sends the record log to a syslog server over TLS (RFC 5424, RFC 5425).\n\n\
             Started by bennu-alert.service, without arguments, in images that have [alerts]. It reads \
             /usr/lib/bennu/alerts.json, /run/bennu/boot.json, the record log and, if it is there, \
             /var/lib/bennu-alert/client.pem; it writes /var/lib/bennu-alert/cursor.json. While the server cannot be \
             reached the records wait.\n\n\
             After a State Purge bennu-purged-alert.service starts it with the word `purged`: it reads \
             /usr/lib/bennu/alerts.json, /run/bennu/records and /run/bennu/purged-sinks.json, and writes \
             /run/bennu-purged-alert/cursor.json.",
        )
        .after_help("Exit status: 2 cannot start. Otherwise it stays until it is ended.")
}

/// Writes what was asked for; `bennuctl` is that program's command line.
///
/// # Errors
/// A file, or standard output, cannot be written.
pub fn run(what: &Generate, bennuctl: Command) -> Result<(), GenerateError> {
    match what {
        Generate::Man { directory } => man(directory, bennuctl).map_err(|source| GenerateError {
            path: directory.clone(),
            source,
        }),
        Generate::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(*shell, &mut bennuctl.clone(), "bennuctl", &mut bytes);
            io::stdout().write_all(&bytes).map_err(|source| GenerateError {
                path: PathBuf::from("standard output"),
                source,
            })
        }
    }
}

fn man(directory: &Path, bennuctl: Command) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(bennuctl, directory)?;
    for program in [bennud(), forward()] {
        let mut page = File::create(directory.join(format!("{}.8", program.get_name())))?;
        clap_mangen::Man::new(program).section("8").render(&mut page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_their_programs_and_sections() {
        let dir = tempfile::tempdir().unwrap();
        let bennuctl = Command::new("bennuctl").subcommand(Command::new("status").about("Slot"));
        let directory = dir.path().join("man");
        run(
            &Generate::Man {
                directory: directory.clone(),
            },
            bennuctl,
        )
        .unwrap();
        for (page, title) in [
            ("bennuctl.1", ".TH bennuctl 1"),
            ("bennuctl-status.1", ".TH bennuctl-status 1"),
            ("bennud.8", ".TH bennud 8"),
            ("bennu-forward.8", ".TH bennu-forward 8"),
        ] {
            let text = std::fs::read_to_string(directory.join(page)).unwrap();
            assert!(text.contains(title), "{page}: {text}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let directory = file.join("man");
        let error = run(
            &Generate::Man {
                directory: directory.clone(),
            },
            Command::new("bennuctl"),
        )
        .unwrap_err();
        assert_eq!(error.path, directory);
    }

    #[test]
    fn the_definition_is_sound() {
        bennud().debug_assert();
        forward().debug_assert();
    }
}
