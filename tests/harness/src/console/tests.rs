use std::os::unix::net::UnixStream;

use super::*;

struct Fixture {
    console: Arc<Console>,
    guest: UnixStream,
    folder: tempfile::TempDir,
    reader: JoinHandle<()>,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (guest, host) = UnixStream::pair().unwrap();
    let (console, reader) = Console::start(host, folder.path()).unwrap();
    Fixture {
        console,
        guest,
        folder,
        reader,
    }
}

fn within<'a>(wanted: &'a [Marker], ms: u64) -> Wait<'a> {
    Wait {
        wanted,
        within: Duration::from_millis(ms),
        ..Wait::default()
    }
}

#[test]
fn markers_are_found_in_order_and_each_is_consumed_once() {
    let mut f = fixture();
    f.guest.write_all(b"one two\r\ntwo three\r\n").unwrap();
    let mut cursor = Cursor::default();
    let two = ["two".into()];
    assert_eq!(
        f.console.wait(&mut cursor, &within(&two, 5000)).unwrap().1.text,
        "one two"
    );
    assert_eq!(
        f.console.wait(&mut cursor, &within(&two, 5000)).unwrap().1.text,
        "two three"
    );
    assert!(matches!(
        f.console.wait(&mut cursor, &within(&two, 20)),
        Err(SerialError::Deadline { .. })
    ));
    let either = ["absent".into(), Marker::regex("^two (th[a-z]+)$").unwrap()];
    assert!(
        f.console.wait(&mut cursor, &within(&either, 20)).is_err(),
        "the match starts before the cursor"
    );
    assert_eq!(
        f.console
            .wait(&mut Cursor::default(), &within(&either, 20))
            .unwrap()
            .0,
        1
    );
}

#[test]
fn a_marker_that_never_comes_ends_with_the_exact_deadline_error() {
    let mut f = fixture();
    f.guest.write_all(b"\x1b[1mhello\x1b[0m\r\n").unwrap();
    let mut cursor = Cursor::default();
    f.console
        .wait(&mut cursor, &within(&["hello".into()], 5000))
        .unwrap();
    let started = Instant::now();
    let error = f
        .console
        .wait(&mut cursor, &within(&["never".into()], 150))
        .unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(150));
    let expected = r#"marker "never" did not appear within 150 ms; 1 lines were seen, the last: "hello""#;
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_end_of_the_stream_ends_the_wait_at_once() {
    let mut f = fixture();
    f.guest.write_all(b"last words").unwrap();
    drop(f.guest);
    let error = f
        .console
        .wait(&mut Cursor::default(), &within(&["never".into()], 60_000))
        .unwrap_err();
    assert!(
        matches!(&error, SerialError::Ended { lines: 1, last, .. } if last == "\"last words\""),
        "{error}"
    );
    f.reader.join().unwrap();
    let log = std::fs::read_to_string(f.folder.path().join("serial.log")).unwrap();
    assert!(log.ends_with(" last words\n"), "{log}");
    assert_eq!(
        std::fs::read(f.folder.path().join("serial.raw")).unwrap(),
        b"last words"
    );
}

#[test]
fn a_forbidden_marker_ends_the_wait_before_the_deadline() {
    let mut f = fixture();
    f.guest.write_all(b"fine\nBENNU-E17 refused\n").unwrap();
    let forbidden = [Marker::regex("BENNU-E[0-9]+").unwrap()];
    let wanted = ["ready".into()];
    let wait = Wait {
        forbidden: &forbidden,
        ..within(&wanted, 60_000)
    };
    let error = f.console.wait(&mut Cursor::default(), &wait).unwrap_err();
    assert!(
        matches!(&error, SerialError::Forbidden { line, .. } if line.text == "BENNU-E17 refused"),
        "{error}"
    );
}

#[test]
fn a_prompt_without_line_end_is_seen_only_when_asked_for() {
    let mut f = fixture();
    f.guest.write_all(b"Shell> ").unwrap();
    let mut cursor = Cursor::default();
    let wanted = ["Shell>".into()];
    let wait = Wait {
        prompts: true,
        ..within(&wanted, 5000)
    };
    assert_eq!(f.console.wait(&mut cursor, &wait).unwrap().1.text, "Shell>");
    assert!(
        f.console
            .wait(&mut Cursor::default(), &within(&wanted, 50))
            .is_err()
    );
    f.guest.write_all(b"reset\n").unwrap();
    let line = f
        .console
        .wait(&mut cursor, &within(&["reset".into()], 5000))
        .unwrap()
        .1;
    assert_eq!(line.text, "Shell> reset");
    assert!(
        f.console.wait(&mut cursor, &within(&wanted, 20)).is_err(),
        "the prompt was consumed before"
    );
}
