//! `docs/explanation/drift-ladder.md` has the tables that the code has. `BENNU_BLESS=1` writes them.

use bennu_policy::drift::{Action, FLIP_LIMIT, STRONG_MS, Severity, Signal, WEAK_MS};

const BEGIN: &str = "<!-- made by crates/policy/tests/drift/page.rs -->\n";
const END: &str = "<!-- end -->\n";

fn names(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "nothing more".to_owned();
    }
    actions
        .iter()
        .map(|action| action.name())
        .collect::<Vec<_>>()
        .join(", ")
}

fn tables() -> String {
    let mut out =
        String::from("| signal | source | weight | done each time | meaning |\n|---|---|---|---|---|\n");
    for signal in Signal::ALL {
        let row = signal.row();
        let (source, weight) = (row.source.name(), row.weight.name());
        let (name, actions, meaning) = (row.name, names(row.actions), row.meaning);
        out.push_str(&format!(
            "| `{name}` | {source} | {weight} | {actions} | {meaning} |\n"
        ));
    }
    out.push_str("\n| severity | rule | done once besides |\n|---|---|---|\n");
    for severity in Severity::ALL {
        let (rule, actions) = (severity.rule(), names(severity.actions()));
        out.push_str(&format!("| {severity:?} | `{rule}` | {actions} |\n"));
    }
    out.push_str("\n| action | most in one boot | can be undone | ends by itself |\n|---|---|---|---|\n");
    for action in Action::ALL {
        let most = action
            .budget()
            .map_or_else(|| "no limit here".to_owned(), |most| most.to_string());
        let undone = if action.cannot_be_undone() {
            "**no**"
        } else {
            "yes"
        };
        let ends = if action.ends_by_itself() { "yes" } else { "no" };
        out.push_str(&format!("| {} | {most} | {undone} | {ends} |\n", action.name()));
    }
    let minutes = |ms: u64| ms / 60_000;
    out.push_str(&format!(
        "\nWeak signals count for {} minutes, strong ones for {}, where the image says nothing. Flips in a row: {FLIP_LIMIT}.\n",
        minutes(WEAK_MS),
        minutes(STRONG_MS)
    ));
    out
}

#[test]
fn the_page_has_the_tables_of_the_code() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/explanation/drift-ladder.md"
    );
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", tables());
    if std::env::var_os("BENNU_BLESS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
}
