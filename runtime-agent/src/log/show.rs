//! `bennuctl log show`: a record log for people to read, a line each, and whether it is as it was written.
//!
//! Nothing is shown as proven that is not: a line that the check refuses says so before its words.

use super::{LogError, Question, Verdict, examine, lines, printable};
use bennu_alert::timestamp;
use bennu_records::{Kind, Line};
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// Letters of a boot id that tell starts of one machine apart.
const BOOT_LETTERS: usize = 8;

/// The lines in words, the newest `last` of them if that is given, and the verdict on the whole log.
///
/// # Errors
/// [`LogError`]: no verdict.
pub fn show(question: &Question, last: Option<usize>) -> Result<(Vec<String>, Verdict), LogError> {
    let (files, verdict, refused) = examine(question)?;
    let mut shown = VecDeque::new();
    for file in &files {
        for (number, bytes) in lines(file) {
            let mark = if refused.contains(&(file.name.clone(), number)) {
                "REFUSED "
            } else {
                ""
            };
            shown.push_back(format!("{mark}{}", words(bytes)));
            if last.is_some_and(|most| shown.len() > most) {
                shown.pop_front();
            }
        }
    }
    Ok((shown.into(), verdict))
}

fn words(bytes: &[u8]) -> String {
    let line = match Line::decode(bytes) {
        Ok(line) => line,
        Err(error) => return printable(&format!("{} bytes that are no line: {error}", bytes.len())),
    };
    let boot: String = line.boot.chars().take(BOOT_LETTERS).collect();
    let up = line.stamp.up_ms;
    let place = format!(
        "{} +{}.{:03} {boot}",
        timestamp(line.stamp.at_ms),
        up / 1000,
        up % 1000
    );
    let text = match line.kind {
        Kind::Start => format!("the log begins{}", by(&line.body)),
        Kind::Continue => format!("the log goes on in a new file{}", by(&line.body)),
        Kind::Event => event(&line.body),
        Kind::Gap => format!("GAP {}", members(&line.body)),
        Kind::Head => format!("signed head {}", members(&line.body)),
        Kind::Stop => "the log ends in good order".to_owned(),
    };
    printable(&format!("{place} {text}"))
}

fn by(body: &Value) -> String {
    body.get("program")
        .and_then(Value::as_str)
        .map_or_else(String::new, |program| format!(" by {program}"))
}

/// The event's name first.
fn event(body: &Value) -> String {
    let Some(all) = body.as_object() else {
        return body.to_string();
    };
    let name = all.get("event").and_then(Value::as_str).unwrap_or("event");
    let rest: Map<String, Value> = all
        .iter()
        .filter(|(member, _)| *member != "event")
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect();
    if rest.is_empty() {
        name.to_owned()
    } else {
        format!("{name}: {}", members(&Value::Object(rest)))
    }
}

/// `member value, member value`: texts as they are, the rest as JSON.
fn members(body: &Value) -> String {
    let Some(all) = body.as_object() else {
        return body.to_string();
    };
    let one = |(member, value): (&String, &Value)| match value {
        Value::String(text) => format!("{member} {text}"),
        other => format!("{member} {other}"),
    };
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}
