//! The kernel's part of `bennuctl status`: hardening, who checked the root hash's signature, IMA.

use bennu_formats::handover::{KernelFacts, RootHashCheck};
use bennu_formats::hardening::HardeningState;

/// Label and text of each line.
pub fn lines(kernel: &KernelFacts) -> Vec<(&'static str, String)> {
    let mut lines = vec![("kernel", release(kernel))];
    let of = |state: HardeningState| -> Vec<&str> {
        let facts = kernel.hardening.iter().filter(|fact| fact.state == state);
        facts.map(|fact| fact.option.as_str()).collect()
    };
    let (in_force, asked_for) = (of(HardeningState::InForce), of(HardeningState::AskedFor));
    let missing = of(HardeningState::NotInForce);
    if kernel.hardening.is_empty() {
        lines.push(("hardening", "none on the command line".to_owned()));
    }
    for (words, what) in [
        (in_force, "in force"),
        (asked_for, "on the command line; the kernel shows it nowhere"),
        (missing, "NOT IN FORCE"),
    ] {
        if !words.is_empty() {
            let label = if lines.len() == 1 { "hardening" } else { "" };
            lines.push((label, format!("{} ({what})", words.join(", "))));
        }
    }
    let ima = match &kernel.ima_policy_sha256 {
        Some(digest) => format!("the image's rules, {digest}"),
        None => "the kernel's own rules".to_owned(),
    };
    lines.push(("ima", ima));
    lines
}

fn release(kernel: &KernelFacts) -> String {
    let checked = match kernel.root_hash_check {
        RootHashCheck::ByKernel => "verified the root hash's signature",
        RootHashCheck::ManifestOnly => "does not verify the root hash's signature; the manifest names it",
    };
    format!("{}, {checked}", kernel.release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::handover::HardeningFact;

    #[test]
    fn an_option_that_is_not_in_force_is_not_hidden_among_the_others() {
        let fact = |option: &str, state| HardeningFact {
            option: option.to_owned(),
            state,
        };
        let kernel = KernelFacts {
            release: "6.12".into(),
            hardening: vec![
                fact("vsyscall=none", HardeningState::InForce),
                fact("lockdown=integrity", HardeningState::NotInForce),
            ],
            root_hash_check: RootHashCheck::ManifestOnly,
            ima_policy_sha256: None,
        };
        let texts: Vec<String> = lines(&kernel)
            .into_iter()
            .map(|(label, text)| format!("{label}|{text}"))
            .collect();
        assert_eq!(
            texts,
            [
                "kernel|6.12, does not verify the root hash's signature; the manifest names it",
                "hardening|vsyscall=none (in force)",
                "|lockdown=integrity (NOT IN FORCE)",
                "ima|the kernel's own rules",
            ]
        );
    }
}
