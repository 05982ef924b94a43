//! An error and its causes as one sentence.

/// The words of `error` and of its causes, from the outside in. Where an error's text has its cause's words in
/// it already, they are not told twice.
pub fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Embeds(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Hides(#[source] std::io::Error);

    #[test]
    fn a_cause_is_told_once_whether_or_not_the_outer_text_has_it() {
        let io = || std::io::Error::other("inner");
        assert_eq!(sentence(&Embeds(io())), "outer: inner");
        assert_eq!(sentence(&Hides(io())), "outer: inner");
    }
}
