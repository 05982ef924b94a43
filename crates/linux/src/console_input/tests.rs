//! Sockets stand for consoles: what is no terminal is read as it is.

use super::*;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

const SOON: Patience = Patience {
    silence: Duration::from_millis(200),
    line: Duration::from_secs(5),
};

/// Consoles and the ends at which a person sits.
fn asked(count: usize) -> (Asked, Vec<UnixStream>) {
    let mut people = Vec::new();
    let consoles = (0..count)
        .map(|_| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            people.push(theirs);
            let keys = File::from(OwnedFd::from(ours));
            let screen = Console::of(keys.try_clone().unwrap());
            One::of(keys, screen)
        })
        .collect();
    (Asked { consoles }, people)
}

fn line(asked: &mut Asked) -> String {
    match asked.line(SOON).unwrap() {
        Typed::Line(line) => format!("line {}", String::from_utf8_lossy(&line)),
        Typed::TooLong => "too long".into(),
        Typed::Declined => "declined".into(),
        Typed::Nothing => "nothing".into(),
    }
}

#[test]
fn whichever_console_a_line_comes_from_is_heard_and_only_stars_are_shown() {
    for speaker in [0, 1] {
        let (mut asked, mut people) = asked(2);
        asked.say("key: ");
        people[1 - speaker].write_all(b"half a li").unwrap();
        people[speaker].write_all(b"\rsecret\r").unwrap();
        assert_eq!(line(&mut asked), "line secret");
        let mut seen = [0; 64];
        let count = people[speaker].read(&mut seen).unwrap();
        assert_eq!(&seen[..count], b"key: ******\r\n");
    }
}

#[test]
fn silence_a_refusal_and_too_much_are_told_apart() {
    let (mut asked, mut people) = asked(1);
    assert_eq!(line(&mut asked), "nothing");
    people[0].write_all(b"abc\x04").unwrap();
    assert_eq!(line(&mut asked), "declined");
    people[0].write_all(&[b'x'; LINE_LIMIT + 1]).unwrap();
    people[0].write_all(b"\r").unwrap();
    assert_eq!(line(&mut asked), "too long");
    people[0].write_all(b"typed before\rthe next question\r").unwrap();
    assert_eq!(line(&mut asked), "line typed before");
}

#[test]
fn somebody_who_never_ends_the_line_is_not_waited_for_longer_than_allowed() {
    let (mut asked, mut people) = asked(1);
    let patience = Patience {
        silence: Duration::from_secs(60),
        line: Duration::from_millis(100),
    };
    people[0].write_all(b"x").unwrap();
    let begin = time::monotonic();
    assert!(matches!(asked.line(patience).unwrap(), Typed::Nothing));
    assert!(time::monotonic() - begin < Duration::from_secs(30));
}

#[test]
fn a_console_that_hangs_up_leaves_the_others_to_be_heard() {
    let (mut asked, mut people) = asked(2);
    drop(people.remove(0));
    people[0].write_all(b"still here\r").unwrap();
    assert_eq!(line(&mut asked), "line still here");
    drop(people);
    assert_eq!(line(&mut asked), "nothing");
}
