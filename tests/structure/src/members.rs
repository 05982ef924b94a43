//! The workspace's members and what they depend on, as `cargo metadata` tells it.

use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::process::Command;

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name of the package.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Names of the members that it depends on, for any purpose, itself excepted.
    pub depends_on: BTreeSet<String>,
    /// Names of all crates that it depends on for its own build, not for its tests.
    pub built_from: BTreeSet<String>,
}

/// All members, by name.
///
/// # Errors
/// `cargo metadata` fails, or says something unexpected.
pub fn all() -> io::Result<Vec<Member>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(crate::files::root())
        .output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("cargo metadata: {words}")));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut members: Vec<Member> = packages.iter().map(|p| member(p, &names)).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

fn member(package: &Value, members: &BTreeSet<&str>) -> Member {
    let name = package["name"].as_str().unwrap_or_default();
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    let names = |wanted: &dyn Fn(&Value, &str) -> bool| {
        dependencies
            .iter()
            .filter_map(|d| d["name"].as_str().filter(|n| wanted(d, n)))
            .map(str::to_owned)
            .collect()
    };
    Member {
        name: name.to_owned(),
        description: package["description"].as_str().map(str::to_owned),
        depends_on: names(&|_, n| members.contains(n) && n != name),
        built_from: names(&|d, _| d["kind"].as_str() != Some("dev")),
    }
}
