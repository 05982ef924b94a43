//! The control socket, asked as a client would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_formats::health::{HealthReport, HealthState};
use bennu_runtime::control::{self, client};
use bennu_runtime::scrub::Scrubber;
use bennu_runtime::status::{Sources, alerts};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

struct Agent {
    dir: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let agent = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let at = |name: &str| agent.dir.path().join(name);
        std::fs::write(at("boot.json"), serde_json::to_vec(&world::handover(1)).unwrap()).unwrap();
        let report = HealthReport {
            schema: 1,
            health: HealthState::Good { at_ms: 9000 },
            entry: "demo_2+3-0.efi".into(),
        };
        std::fs::write(at("health.json"), serde_json::to_vec(&report).unwrap()).unwrap();
        std::fs::write(at("scrub.json"), include_bytes!("golden/scrub.json")).unwrap();
        let sources = Sources {
            handover: at("boot.json"),
            health: at("health.json"),
            pcrs: agent.dir.path().to_owned(),
            gate: at("gate.json"),
            trace: at("trace.json"),
            alerts: alerts::Places {
                config: at("alerts.json"),
                cursor: at("cursor.json"),
                log: Some(agent.dir.path().to_owned()),
            },
            scrub: at("scrub.json"),
            gate_config: at("gate-config.json"),
            watch: at("watch.json"),
            drift: at("drift-memory.json"),
            hostname: at("hostname"),
        };
        control::start(&agent.socket(), sources, Scrubber::default()).unwrap();
        agent
    }

    /// A gate that has denied, a trace, two sightings, a purge, and a server that has half of the log.
    fn with_events() -> Self {
        let agent = Self::new();
        let write = |name: &str, text: &str| std::fs::write(agent.dir.path().join(name), text).unwrap();
        write(
            "gate.json",
            include_str!("../../crates/formats/tests/golden/gate-report.json"),
        );
        write(
            "trace.json",
            include_str!("../../crates/formats/tests/golden/trace-report.json"),
        );
        write(
            "watch.json",
            include_str!("../../crates/formats/tests/golden/watch-report.json"),
        );
        write("alerts.json", "{}");
        write("records-00000000000000000007.jsonl", "0123456789");
        write("cursor.json", r#"{"v":1,"file":7,"offset":4,"number":1}"#);
        let kept = r#"{"signal":"gate-tampering","detail":"x","program":null,"cgroup":null,"unit":null,"at_ms":1,"first_ms":1,"answered":true}"#;
        let memory = format!(
            r#"{{"schema":1,"spent":{{"state-purge":1,"kill":3}},"in_force":["state-purge"],"frozen":[],"seen":[{kept},{kept}]}}"#
        );
        write("drift-memory.json", &memory);
        agent
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(socket: &Path, path: &str) -> String {
    ask(socket, &format!("GET {path} HTTP/1.1\r\nHost: bennu\r\n\r\n"))
}

#[test]
fn prometheus_gets_numbers_and_everybody_the_status() {
    let agent = Agent::new();
    let metrics = get(&agent.socket(), "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    for line in [
        "bennu_slot_health{state=\"good\"} 1",
        "bennu_slot_health{state=\"waiting\"} 0",
        "# TYPE bennu_slot info",
        "# TYPE bennu_floor gauge",
        "bennu_fell_back 0",
        "bennu_boot_step_seconds{step=",
        "bennu_scrub_limit_bytes_per_second 1048576",
        "bennu_scrub_passes{slot=\"running\",version=\"2\"} 3",
        "bennu_scrub_groups_read{slot=\"other\",version=\"1\"} 12",
        "bennu_scrub_bad_blocks{slot=\"other\",version=\"1\",fault=\"wrong\"} 1",
        "bennu_scrub_bad_blocks{slot=\"other\",version=\"1\",fault=\"unreadable\"} 1",
        "bennu_scrub_bad_blocks{slot=\"running\",version=\"2\",fault=\"wrong\"} 0",
        "bennu_scrub_unrepairable{slot=\"other\",version=\"1\"} 1",
        "bennu_scrub_last_pass_ended_seconds{slot=\"running\",version=\"2\"} 90",
    ] {
        assert!(metrics.contains(line), "expected {line}, found {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let status = get(&agent.socket(), "/v1/status");
    let (_, body) = status.split_once("\r\n\r\n").unwrap();
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(status["health"]["state"], "good");
    let times = get(&agent.socket(), "/v1/boot-times");
    assert!(times.contains("\"steps\""), "{times}");
    let mode = std::fs::metadata(agent.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}

#[test]
fn gate_trace_drift_and_alerts_are_counted_and_what_is_not_known_has_no_metric() {
    let metrics = get(&Agent::with_events().socket(), "/metrics");
    for line in [
        "# TYPE bennu_gate_events counter",
        "bennu_gate_events_total 12",
        "bennu_gate_events_lost_total 1",
        "bennu_trace_records_total 2148",
        "bennu_trace_records_lost_total 8",
        "bennu_drift_severity{state=\"drift.one-strong\"} 1",
        "bennu_drift_severity{state=\"drift.calm\"} 0",
        "bennu_drift_sightings{signal=\"gate-tampering\"} 2",
        "bennu_drift_sightings{signal=\"events-lost\"} 0",
        "bennu_drift_actions_total{action=\"kill\"} 3",
        "bennu_drift_actions_total{action=\"flip-slot\"} 0",
        "bennu_drift_in_force{action=\"state-purge\"} 1",
        "bennu_drift_in_force{action=\"cut-network\"} 0",
        "bennu_alert_queue_bytes 6",
        "bennu_watch_silent ",
    ] {
        assert!(metrics.contains(line), "expected {line}, found {metrics}");
    }
    let bare = get(&Agent::new().socket(), "/metrics");
    for name in [
        "bennu_gate_",
        "bennu_trace_",
        "bennu_drift_severity",
        "bennu_alert_",
    ] {
        assert!(!bare.contains(name), "{bare}");
    }
}

/// Names and labels are stable: the page has each, and no other.
#[test]
fn the_page_names_every_metric() {
    let page = include_str!("../../docs/reference/metrics.md");
    let metrics = get(&Agent::with_events().socket(), "/metrics");
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for one in types {
        let (name, kind) = one.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(
            page.contains(&format!("`{name}{suffix}")),
            "{name}: not on the page"
        );
    }
}

#[test]
fn everything_else_is_refused_with_a_status_and_a_reason() {
    let agent = Agent::new();
    for (request, expected) in [
        ("GET /v2 HTTP/1.1\r\n\r\n".to_owned(), "404 Not Found"),
        (
            "POST /v1/status HTTP/1.1\r\n\r\n".to_owned(),
            "405 Method Not Allowed",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), "431 "),
    ] {
        let answer = ask(&agent.socket(), &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    }
}

#[test]
fn clients_that_say_nothing_are_let_go_and_do_not_stop_the_others() {
    let agent = Agent::new();
    let silent: Vec<UnixStream> = (0..8)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    let answer = get(&agent.socket(), "/v1/status");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for mut stream in silent {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[test]
fn an_agent_that_starts_again_takes_the_socket_over() {
    let agent = Agent::new();
    let sources = Sources {
        handover: agent.dir.path().join("missing"),
        ..Sources::default()
    };
    control::start(&agent.socket(), sources, Scrubber::default()).unwrap();
    let answer = get(&agent.socket(), "/metrics");
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable"), "{answer}");
}

/// As root, which the tests run as in CI: the wish is taken to the scrub, which is off here. As somebody else: refused.
#[test]
fn a_scrub_is_for_root_and_says_when_there_is_none() {
    let agent = Agent::new();
    let (status, words) = client::post(&agent.socket(), "/v1/scrub").unwrap();
    let expected = match rustix::process::geteuid() {
        user if user.is_root() => (409, "there is no scrub".to_owned()),
        user => (403, format!("expected user 0, found {}", user.as_raw())),
    };
    assert!(
        status == expected.0 && words.starts_with(&expected.1),
        "{status} {words}"
    );
    let (status, words) = client::post(&agent.socket(), "/v1/purge").unwrap();
    assert_eq!(
        (status, words.as_str()),
        (405, "expected POST of /v1/scrub, found /v1/purge")
    );
}

/// The kernel says who asks: a thread that gave its user up is refused, whatever it sends.
#[test]
fn who_is_not_root_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // The test before this one is this one then.
        return;
    }
    let agent = Agent::new();
    std::fs::set_permissions(agent.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = agent.socket();
    let asked = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        client::post(&socket, "/v1/scrub").unwrap()
    });
    let (status, words) = asked.join().unwrap();
    assert_eq!((status, words.as_str()), (403, "expected user 0, found 65534"));
}
