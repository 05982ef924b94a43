//! Documents of the gate and of the watch.

use bennu_formats::decode::Document;
use bennu_formats::gate::{
    Denial, DenialKind, GateConfig, GateMode, GateProgram, GateReport, Interpreter, Outcome, Right, TraceRule,
};
use bennu_formats::profile::ProfileSet;
use bennu_formats::trace::{TraceReport, TracedCpu};
use bennu_formats::watch::WatchReport;
use std::collections::BTreeMap;

pub fn gate() -> GateConfig {
    let program = |path: &str, may: &[Right]| GateProgram {
        path: path.into(),
        may: may.to_vec(),
    };
    GateConfig {
        schema: GateConfig::SCHEMA,
        mode: GateMode::Enforce,
        programs: vec![
            program("/usr/lib/systemd/systemd-shutdown", &[Right::DeviceMapper]),
            program("/usr/bin/node", &[Right::AnonymousExec]),
        ],
        interpreters: vec![Interpreter {
            path: "/bin/sh".into(),
            data: vec!["/etc".into()],
        }],
        trace: TraceRule::On,
    }
}

pub fn profiles() -> ProfileSet {
    let text = r#"{"schema":1,"built":"2026-01-01","profiles":[
        {"unit":"web.service","no_shells":{"stage":"deny"},
         "executables":{"rule":{"stage":"dry-run","warn_from":"2026-02-01","deny_from":"2026-03-01"},
           "allow":["/usr/sbin/nginx"]},
         "connect":{"rule":{"stage":"warn","deny_from":"2026-03-01"},
           "network":[{"to":"10.0.0.0/8","ports":[443,443],"protocol":"tcp"},{"to":"fd00::1/128"}],
           "socket":[{"path":"/run/app"},{"abstract":"app"}]}},
        {"unit":"local.service","no_tcp":{"stage":"deny"}}]}"#;
    ProfileSet::decode(text.as_bytes()).unwrap()
}

pub fn watch_report() -> WatchReport {
    WatchReport {
        schema: WatchReport::SCHEMA,
        at_ms: 61_250,
        interval_ms: 5000,
        clean: false,
        rule: "drift.one-strong".into(),
        signals: vec!["clock-jumped".into(), "pcr-changed".into()],
        blind: vec!["ESP".into()],
        cost_us: BTreeMap::from([("ESP".into(), 1_200_000), ("PCRs".into(), 900)]),
    }
}

pub fn trace_report() -> TraceReport {
    TraceReport {
        schema: TraceReport::SCHEMA,
        cpus: vec![
            TracedCpu {
                written: 2_148,
                lost: 7,
                unwritten: 1,
            },
            TracedCpu::default(),
        ],
    }
}

pub fn gate_report() -> GateReport {
    GateReport {
        schema: GateReport::SCHEMA,
        mode: GateMode::Enforce,
        root: "253:1".into(),
        events: 12,
        lost: 1,
        recent: vec![Denial {
            kind: DenialKind::Exec,
            outcome: Outcome::Denied,
            at_ms: 52_000,
            device: "0:24".into(),
            inode: 77,
            pid: 812,
            uid: 0,
            comm: "sh".into(),
            cgroup: 1_234,
            detail: 0,
            profile: Some("web.service".into()),
            peer: None,
        }],
    }
}
