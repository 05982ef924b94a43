//! As much of Rust's grammar as is needed to tell code from comments and literals.

/// The text with comments, string and character literals blanked; line breaks stay where they are.
#[must_use]
pub fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = comment(rest)
            .or_else(|| raw_string(rest, out.chars().next_back()))
            .or_else(|| quoted(rest))
            .or_else(|| character(rest));
        match skip {
            Some(length) => {
                let (literal, after) = rest.split_at(length);
                out.push(' ');
                out.extend(literal.chars().filter(|c| *c == '\n'));
                rest = after;
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Whether `code` has `word` as a word of its own.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|found| found == word)
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        match here {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}

/// `r"…"`, `r#"…"#`, with `b` or `c` in front already passed as code.
fn raw_string(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() && c != 'b' && c != 'c') || before == Some('_') {
        return None;
    }
    let hashes = text.strip_prefix('r')?.bytes().take_while(|b| *b == b'#').count();
    let body = text.get(1 + hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)? + end.len();
    Some(1 + hashes + 1 + length)
}

fn quoted(text: &str) -> Option<usize> {
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            '"' if !escaped => return Some(at + 2),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    Some(text.len())
}

/// A character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        let skipped = escape.chars().next()?.len_utf8();
        return Some(2 + skipped + escape[skipped..].find('\'')? + 1);
    }
    let first = body.chars().next()?.len_utf8();
    body[first..].starts_with('\'').then_some(first + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let text = "// unsafe\n/* unsafe /* unsafe */ unsafe */ let a = \"unsafe \\\" unsafe\"; let b = 'u'; \
                    let c = r#\"unsafe \" unsafe\"#; let d = br\"unsafe\"; let e = '\\''; // unsafe\n";
        assert!(!has_word(&code_only(text), "unsafe"), "{}", code_only(text));
        assert!(has_word(text, "unsafe"), "positive control");
    }

    #[test]
    fn words_in_code_are_found_behind_lifetimes_and_literals() {
        for text in [
            "fn f<'a>(a: &'a str) { unsafe { g() } }",
            "let q = '\"'; unsafe {}",
            "for r in x { unsafe {} }",
        ] {
            assert!(has_word(&code_only(text), "unsafe"), "{text}");
        }
        assert!(!has_word("unsafe_code", "unsafe"));
    }

    #[test]
    fn line_breaks_survive() {
        let text = "a\n/* b\nc */ d\n\"e\nf\"\n";
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }
}
