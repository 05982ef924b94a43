//! A factory reset, asked for as a person would: by `bennuctl` of this root.

use crate::say;
use std::fs;
use std::process::Command;

/// The first confirmation; gives the code.
pub fn ask() -> Option<String> {
    let report = fs::read_to_string("/run/bennu/boot.json").unwrap_or_default();
    // Of the state volume: the only one in the record.
    let uuid = report.split("\"uuid\": \"").nth(1)?.split('"').next()?;
    bennuctl(&["--machine", "somebody-else"]);
    let text = bennuctl(&["--machine", uuid]);
    let code = text.split("--confirm ").nth(1)?.split_whitespace().next()?;
    Some(code.to_owned())
}

/// Both.
pub fn confirm() {
    match ask() {
        Some(code) => drop(bennuctl(&["--confirm", &code])),
        None => say("PROBE RESET no code was given"),
    }
}

fn bennuctl(arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/bennuctl")
        .arg("factory-reset")
        .args(arguments)
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            say(&format!("PROBE RESET {}", output.status));
            for line in text.lines().chain(words.lines()) {
                say(&format!("PROBE RESET {line}"));
            }
            text
        }
        Err(error) => {
            say(&format!("PROBE bennuctl cannot be started: {error}"));
            String::new()
        }
    }
}
