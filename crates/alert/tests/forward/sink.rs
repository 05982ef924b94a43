//! A batch over the wire: rsyslog takes it apart again; everything else is refused.

use crate::server::{self, Certificates};
use crate::workshop::*;
use bennu_alert::{Confirm, DeliverError, Selection, Sink, SinkError};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

const HERE: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

fn sink(certificates: &Certificates, name: &str, port: u16, confirm: Confirm) -> Sink {
    let client = certificates.client();
    Sink::new(name, port, &certificates.read("ca.pem"), Some(&client), confirm).unwrap()
}

#[test]
fn rsyslog_receives_every_line_of_the_log_and_confirms() {
    let certificates = Certificates::new();
    let received = certificates.path("received");
    let rsyslog = server::rsyslog(&certificates, &received);
    let log = tempfile::tempdir().unwrap();
    run(log.path(), events(200));
    let mut queue = queue(log.path(), Selection::Everything);
    let batch = queue.next_batch().unwrap();
    sink(&certificates, "logs.example", rsyslog.port, Confirm::CloseNotify)
        .deliver(&HERE, &batch.frames)
        .unwrap();
    queue.confirm(&batch).unwrap();

    let expected = std::fs::read_to_string(log.path().join(bennu_records::file_name(0))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while text.lines().count() < 202 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        text = std::fs::read_to_string(&received).unwrap_or_default();
    }
    let ours: Vec<&str> = text.lines().filter(|l| l.contains("|bennud|")).collect();
    assert_eq!(ours.len(), 202);
    for (number, (found, line)) in ours.iter().zip(expected.lines()).enumerate() {
        let fields: Vec<&str> = found.splitn(7, '|').collect();
        assert_eq!(fields[1..4], ["gate-7", "bennud", "b00t"]);
        assert!(
            fields[5].starts_with(&format!("[meta sequenceId=\"{}\"", number + 1)),
            "{found}"
        );
        // rsyslog keeps the blank before the message.
        assert_eq!(fields[6].trim_start(), line);
    }
}

#[test]
fn a_server_without_the_right_certificate_gets_nothing() {
    let certificates = Certificates::new();
    let strangers = Certificates::new();
    let server = server::openssl(&certificates, &[]);
    let right = sink(&certificates, "logs.example", server.port, Confirm::Close);
    right.deliver(&HERE, b"1 x").unwrap();
    for (sink, words) in [
        (
            sink(&certificates, "other.example", server.port, Confirm::Close),
            "not valid for name",
        ),
        (
            sink(&strangers, "logs.example", server.port, Confirm::Close),
            "invalid peer certificate",
        ),
    ] {
        let refused = sink.deliver(&HERE, b"1 x").unwrap_err();
        assert!(matches!(refused, DeliverError::Send { .. }), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn a_connection_that_breaks_confirms_nothing() {
    let certificates = Certificates::new();
    // Takes bytes and closes, without TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _some = stream.read(&mut [0; 64]);
    });
    let refused = sink(&certificates, "logs.example", port, Confirm::Close).deliver(&HERE, b"1 x");
    assert!(matches!(refused, Err(DeliverError::Send { .. })), "{refused:?}");
    server.join().unwrap();
    let refused = sink(&certificates, "logs.example", port, Confirm::Close).deliver(&HERE, b"1 x");
    assert!(
        matches!(refused, Err(DeliverError::Connect { .. })),
        "{refused:?}"
    );
    let refused = sink(&certificates, "logs.example", port, Confirm::Close).deliver(&[], b"1 x");
    assert!(matches!(refused, Err(DeliverError::NoAddress)), "{refused:?}");
}

#[test]
fn what_is_no_certificate_no_key_and_no_name_is_refused() {
    let certificates = Certificates::new();
    let ca = certificates.read("ca.pem");
    let refused = |name: &str, ca: &[u8], client: Option<&[u8]>| {
        Sink::new(name, 6514, ca, client, Confirm::CloseNotify).unwrap_err()
    };
    assert!(matches!(
        refused("logs.example", b"", None),
        SinkError::Certificates { .. }
    ));
    assert!(matches!(refused("a b", &ca, None), SinkError::Name(_)));
    let no_key = certificates.read("client.pem");
    assert!(matches!(
        refused("logs.example", &ca, Some(&no_key)),
        SinkError::Key(_)
    ));
    let other = [certificates.read("client.pem"), certificates.read("server.key")].concat();
    assert!(matches!(
        refused("logs.example", &ca, Some(&other)),
        SinkError::Tls(_)
    ));
}
