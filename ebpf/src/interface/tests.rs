use super::*;
use bennu_formats::profile::{self, Stage};

const HEADER: &str = include_str!("../bpf/intf.h");

fn defined(name: &str) -> u32 {
    let line = HEADER.lines().find(|line| {
        line.strip_prefix("#define ")
            .is_some_and(|l| l.starts_with(&format!("{name} ")))
    });
    line.and_then(|line| line.rsplit(' ').next())
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn the_header_has_the_same_numbers() {
    for kind in DenialKind::ALL {
        let name = format!("KIND_{}", kind.as_str().replace('-', "_").to_uppercase());
        assert_eq!(defined(&name), kind.number(), "{name}");
    }
    assert_eq!(HEADER.matches("#define KIND_").count(), DenialKind::ALL.len());
    assert_eq!(defined("MODE_DRY_RUN"), mode_number(GateMode::DryRun));
    assert_eq!(defined("MODE_ENFORCE"), mode_number(GateMode::Enforce));
    assert_eq!(defined("MAY_ANONYMOUS_EXEC"), right_bit(Right::AnonymousExec));
    assert_eq!(defined("MAY_DEVICE_MAPPER"), right_bit(Right::DeviceMapper));
    assert_eq!(defined("MAY_PASSTHROUGH"), right_bit(Right::Passthrough));
    assert_eq!(defined("MAY_TRACE"), right_bit(Right::Trace));
    assert_eq!(defined("MAY_WRITE_DEVICES"), right_bit(Right::WriteDevices));
    assert_eq!(defined("MAY_KERNEL_SETTINGS"), right_bit(Right::KernelSettings));
    assert_eq!(defined("GUARD_FIXED"), Guard::Fixed.number());
    assert_eq!(defined("GUARD_REPAIRABLE"), Guard::Repairable.number());
    assert_eq!([defined("OWN_MAP"), 7], Own::Map.key(7));
    assert_eq!([defined("OWN_PROGRAM"), 7], Own::Program.key(7));
    assert_eq!([defined("OWN_LINK"), 7], Own::Link.key(7));
    assert_eq!(defined("TOP_DIRECTORIES") as usize, TOP_DIRECTORIES);
    assert_eq!(defined("IS_SHELL"), units::program::SHELL);
    assert_eq!(defined("IS_CONFINED"), units::program::CONFINED);
    assert_eq!(defined("IS_EXECUTOR"), units::program::EXECUTOR);
    assert_eq!(defined("ALLOWED_START"), units::allowed::START);
    assert_eq!(defined("ALLOWED_ANONYMOUS_EXEC"), units::allowed::ANONYMOUS_EXEC);
    assert_eq!(defined("UNIT_BYTES") as usize, units::UNIT_BYTES);
    assert_eq!(defined("PEER_BYTES") as usize, units::PEER_BYTES);
    assert_eq!(defined("MOST_PROFILES") as usize, profile::MAX_PROFILES);
    assert_eq!(defined("MOST_ADDRESSES") as usize, profile::MAX_NETWORKS);
    assert_eq!(defined("FEATURE_NETWORK"), respond::FEATURE_NETWORK);
    assert_eq!(defined("MOST_SINKS") as usize, respond::MAX_SINKS);
    assert_eq!(defined("DIGEST_BYTES") as usize, memory::DIGEST_BYTES);
    for (name, denied) in ["DENY_NOBODY", "DENY_MARKED", "DENY_EVERYTHING"]
        .iter()
        .zip(respond::Denied::ALL)
    {
        assert_eq!(defined(name), denied.number());
    }
    assert_eq!(defined("GROUP_DENIED"), respond::Mark::Denied.number());
    assert_eq!(defined("GROUP_SPARED"), respond::Mark::Spared.number());
    for stage in [Stage::DryRun, Stage::Warn, Stage::Deny] {
        let name = format!("STAGE_{}", stage.as_str().replace('-', "_").to_uppercase());
        assert_eq!(defined(&name), stage.number());
    }
}

#[test]
fn a_record_of_the_trace_is_read_as_the_programs_wrote_it() {
    let mut bytes = [0; trace::TRACE_BYTES];
    for (at, value) in [
        (0, 1),
        (8, 2),
        (16, 3),
        (24, 4),
        (32, 5),
        (36, 2),
        (40, 6),
        (44, 7),
        (48, 8),
    ] {
        bytes[at] = value;
    }
    for (at, value) in [
        (52, 1),
        (56, 80),
        (58, 10),
        (60, 6),
        (79, 9),
        (288, 11),
        (292, 12),
        (296, 13),
    ] {
        bytes[at] = value;
    }
    bytes[80..82].copy_from_slice(b"sh");
    bytes[96..98].copy_from_slice(b"un");
    bytes[304..306].copy_from_slice(b"in");
    let found = trace::Trace::decode(&bytes).unwrap();
    assert_eq!(
        (found.number, found.time_ns, found.cgroup, found.inode),
        (1, 2, 3, 4)
    );
    assert_eq!((found.cpu, found.pid, found.uid, found.device), (5, 6, 7, 8));
    assert_eq!(
        (found.verified, found.comm.as_str(), found.unit.as_str()),
        (true, "sh", "un")
    );
    let address = "::9".parse().unwrap();
    let connect = trace::Act::Connect {
        family: 10,
        address,
        port: 80,
        protocol: 6,
    };
    assert_eq!(found.act, connect);
    let parent = trace::Ancestor {
        pid: 11,
        device: 12,
        inode: 13,
        comm: "in".into(),
    };
    assert_eq!(found.ancestors, [parent]);
    bytes[36] = 1;
    bytes[160] = b'/';
    let path = "/".to_owned();
    assert_eq!(
        trace::Trace::decode(&bytes).unwrap().act,
        trace::Act::Exec { path }
    );
    bytes[36] = 3;
    assert_eq!(trace::Trace::decode(&bytes), None);
    assert_eq!(trace::Trace::decode(&bytes[1..]), None);
}

#[test]
fn settings_become_the_programs_configuration() {
    let mut settings = Settings {
        mode: GateMode::Enforce,
        root_dev: 0x0fd0_0001,
        pin_dev: 40,
        agent_inode: 0x0102_0304_0506_0708,
        top_inodes: vec![9, 10],
        programs: vec![],
        devices: vec![8, 9],
        repairable: vec![9, 7],
        interpreters: vec![(1, units::program::SHELL)],
        data: vec![],
        units: vec![],
        trace: true,
        network: false,
        denies: false,
    };
    let config = settings.config();
    assert_eq!(mode_of(&config), Some(GateMode::Enforce));
    assert_eq!(root_of(&config), Some(0x0fd0_0001));
    assert_eq!(config[16..24], settings.agent_inode.to_le_bytes());
    assert_eq!(config[8..16], [40, 0, 0, 0, 4, 0, 0, 0]);
    settings.interpreters.push((2, units::program::CONFINED));
    assert_eq!(settings.config()[12], 5);
    settings.network = true;
    assert_eq!(settings.config()[12], 5 | 8);
    assert_eq!(features_of(&settings.config()), 5 | respond::FEATURE_NETWORK);
    assert_eq!(config[16..25], [8, 7, 6, 5, 4, 3, 2, 1, 9]);
    assert_eq!(config[32], 10);
    assert!(config[40..].iter().all(|byte| *byte == 0));
    let guards = [(8, Guard::Fixed.number()), (9, Guard::Repairable.number())];
    assert_eq!(
        settings.guards().collect::<Vec<_>>(),
        guards,
        "what nobody guards is not mended either"
    );
}

#[test]
fn an_event_is_read_as_the_programs_wrote_it() {
    let mut bytes = [0; EVENT_BYTES];
    for (at, value) in [(0, 1), (8, 2), (16, 3), (24, 4)] {
        bytes[at] = value;
    }
    for (at, value) in [(32, 5), (36, 14), (40, 6), (44, 7), (48, 8), (52, 9), (56, 1)] {
        bytes[at] = value;
    }
    bytes[60] = 3;
    bytes[64..67].copy_from_slice(b"cat");
    bytes[80..82].copy_from_slice(b"/x");
    let event = Event::decode(&bytes).unwrap();
    assert_eq!(
        (event.number, event.time_ns, event.inode, event.cgroup),
        (1, 2, 3, 4)
    );
    assert_eq!((event.cpu, event.kind, event.device), (5, DenialKind::BpfLoad, 6));
    assert_eq!(
        (event.pid, event.uid, event.detail, event.outcome),
        (7, 8, 9, Outcome::Denied)
    );
    assert_eq!((event.comm.as_str(), event.profile), ("cat", 3));
    assert_eq!(event.peer[..3], *b"/x\0");
    assert_eq!(Event::decode(&bytes[1..]), None);
    bytes[36] = 200;
    assert_eq!(Event::decode(&bytes), None);
}
