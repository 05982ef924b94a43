//! Records of the ring become lines. Pure.

use crate::gate::report::device;
use bennu_ebpf::interface::trace::{Act, Ancestor, Trace};
use bennu_formats::trace::{TraceLine, TracedAncestor, TracedProcess, TracedProgram};

/// The line of a record.
pub fn line(trace: Trace) -> TraceLine {
    let (cpu, number, at_ms) = (trace.cpu, trace.number, trace.time_ns / 1_000_000);
    let by = TracedProcess {
        pid: trace.pid,
        uid: trace.uid,
        comm: trace.comm,
        cgroup: trace.cgroup,
        unit: trace.unit,
        program: program(trace.device, trace.inode),
        verified: trace.verified,
        ancestors: trace.ancestors.into_iter().map(ancestor).collect(),
    };
    match to(&trace.act) {
        Err(path) => TraceLine::Exec {
            cpu,
            number,
            at_ms,
            path: path.to_owned(),
            by,
        },
        Ok(to) => TraceLine::Connect {
            cpu,
            number,
            at_ms,
            to,
            by,
        },
    }
}

/// Where a connection goes; the path of what is none.
fn to(act: &Act) -> Result<String, &str> {
    match act {
        Act::Exec { path } => Err(path),
        Act::ConnectUnix { name } => Ok(format!("unix:{name}")),
        Act::Connect {
            family,
            address,
            port,
            protocol,
        } => Ok(inet(*family, *address, *port, *protocol)),
    }
}

/// An address in words; AF_INET is 2, AF_INET6 is 10.
pub fn inet(family: u32, address: std::net::Ipv6Addr, port: u16, protocol: u32) -> String {
    let protocol = match protocol {
        6 => " tcp".to_owned(),
        17 => " udp".to_owned(),
        0 => String::new(),
        other => format!(" protocol {other}"),
    };
    match (family, address.to_ipv4_mapped()) {
        (2 | 10, Some(v4)) => format!("{v4}:{port}{protocol}"),
        (10, None) => format!("[{address}]:{port}{protocol}"),
        _ => format!("family {family}"),
    }
}

fn program(number: u32, inode: u64) -> TracedProgram {
    TracedProgram {
        device: device(number),
        inode,
    }
}

fn ancestor(one: Ancestor) -> TracedAncestor {
    TracedAncestor {
        pid: one.pid,
        comm: one.comm,
        program: (one.inode != 0).then(|| program(one.device, one.inode)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn trace(number: u64, act: Act) -> Trace {
        Trace {
            number,
            time_ns: 7_000_000,
            cpu: 1,
            pid: 42,
            uid: 0,
            comm: "sh".into(),
            cgroup: 9,
            unit: "web.service".into(),
            device: 253 << 20,
            inode: 77,
            verified: true,
            act,
            ancestors: vec![Ancestor {
                pid: 2,
                device: 0,
                inode: 0,
                comm: "kthreadd".into(),
            }],
        }
    }

    #[test]
    fn a_program_becomes_a_line_with_those_who_started_it() {
        let path = "/bin/x".into();
        let found = line(trace(1, Act::Exec { path }));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"exec","cpu":1,"number":1,"at_ms":7,"path":"/bin/x","by":{"pid":42,"uid":0,"comm":"sh","cgroup":9,"unit":"web.service","program":{"device":"253:0","inode":77},"verified":true,"ancestors":[{"pid":2,"comm":"kthreadd"}]}}"#
        );
    }

    #[test]
    fn a_connection_becomes_a_line_with_its_number() {
        let found = line(trace(5, Act::ConnectUnix { name: "@x".into() }));
        let TraceLine::Connect { number, to, .. } = found else {
            panic!("expected a connection, found {found:?}")
        };
        assert_eq!((number, to.as_str()), (5, "unix:@x"));
    }

    #[test]
    fn addresses_are_told_as_people_write_them() {
        let v4 = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(inet(2, v4, 443, 6), "10.0.0.1:443 tcp");
        assert_eq!(inet(10, "fd00::1".parse().unwrap(), 53, 17), "[fd00::1]:53 udp");
        assert_eq!(inet(10, v4, 1, 132), "10.0.0.1:1 protocol 132");
        assert_eq!(inet(40, v4, 0, 0), "family 40");
    }
}
