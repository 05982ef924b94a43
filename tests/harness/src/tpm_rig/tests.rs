//! A fake QEMU speaks through the proxy to a real swtpm.

mod powered;
mod silent;
mod swapped;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::channel::{read_message, send};
use super::command::{NO_SESSIONS, SESSIONS, message};
use super::*;
use crate::tool;
use crate::tpm::{PcrBank, Swtpm, manufacture};

/// swtpm's control commands (`swtpm_ioctls(3)`).
const INIT: u32 = 2;
const SET_DATAFD: u32 = 16;
const GET_CONFIG: u32 = 15;
const NULL_HANDLE: u32 = 0x4000_0007;

/// A TPM's state, made once: that takes longer than all else here.
fn new_state(at: &Path) {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        manufacture(&folder.path().join("tpm"), &[PcrBank::Sha1, PcrBank::Sha256]).unwrap();
        folder
    });
    let from = made.path().join("tpm");
    let args = ["--recursive".as_ref(), from.as_os_str(), at.as_os_str()];
    tool::run("cp", &args, &[]).unwrap();
}

/// QEMU, its proxy and its TPM. Fields drop in this order.
struct Rig {
    control: UnixStream,
    data: UnixStream,
    proxy: TpmProxy,
    _swtpm: Swtpm,
    folder: tempfile::TempDir,
}

fn rig(faults: Vec<TpmFault>) -> Rig {
    let folder = tempfile::Builder::new().prefix("rig-").tempdir().unwrap();
    let at = folder.path();
    new_state(&at.join("state"));
    let swtpm = Swtpm::start(&at.join("state"), at, at).unwrap();
    let proxy = TpmProxy::start(&at.join("proxy"), &at.join("tpm"), faults).unwrap();
    let mut control = UnixStream::connect(at.join("proxy")).unwrap();
    let (data, theirs) = UnixStream::pair().unwrap();
    send(&control, &SET_DATAFD.to_be_bytes(), Some(theirs.as_fd())).unwrap();
    drop(theirs);
    assert_eq!(control_result(&mut control), 0);
    control
        .write_all(&[INIT.to_be_bytes(), 0_u32.to_be_bytes()].concat())
        .unwrap();
    assert_eq!(control_result(&mut control), 0);
    let mut rig = Rig {
        control,
        data,
        proxy,
        _swtpm: swtpm,
        folder,
    };
    let startup = rig.ask(NO_SESSIONS, TpmCommand::STARTUP, &[0, 0]);
    assert_eq!(ResponseCode::of(&startup), Some(ResponseCode::SUCCESS));
    rig
}

fn control_result(control: &mut UnixStream) -> u32 {
    let mut result = [0; 4];
    control.read_exact(&mut result).unwrap();
    u32::from_be_bytes(result)
}

impl Rig {
    fn send(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.data.write_all(request).ok()?;
        read_message(&mut self.data).unwrap()
    }

    fn ask(&mut self, tag: u16, command: TpmCommand, body: &[u8]) -> Vec<u8> {
        self.send(&message(tag, command.0, body)).unwrap()
    }

    /// The response code of a command without sessions.
    fn code(&mut self, command: TpmCommand, body: &[u8]) -> ResponseCode {
        ResponseCode::of(&self.ask(NO_SESSIONS, command, body)).unwrap()
    }

    fn random(&mut self) -> ResponseCode {
        self.code(TpmCommand::GET_RANDOM, &[0, 8])
    }

    fn struck(&self, number: usize) -> u32 {
        self.proxy.watch().struck(number)
    }

    fn trouble(&self) -> Vec<String> {
        self.proxy
            .watch()
            .trouble()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

/// PCR 10 of the SHA-256 bank, as a selection.
const PCR_10: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0B, 3, 0, 4, 0];

fn policy_session(rig: &mut Rig) -> Vec<u8> {
    let mut body = [NULL_HANDLE.to_be_bytes(), NULL_HANDLE.to_be_bytes()].concat();
    body.extend([0, 16]);
    body.extend([7; 16]);
    // No salt, a policy session, no symmetric cipher, SHA-256.
    body.extend([0, 0, 1, 0x00, 0x10, 0x00, 0x0B]);
    let response = rig.ask(NO_SESSIONS, TpmCommand::START_AUTH_SESSION, &body);
    assert_eq!(ResponseCode::of(&response), Some(ResponseCode::SUCCESS));
    response[10..14].to_vec()
}

fn policy_pcr(rig: &mut Rig, session: &[u8]) -> ResponseCode {
    rig.code(TpmCommand::POLICY_PCR, &[session, &[0, 0], &PCR_10].concat())
}

#[test]
fn without_faults_the_tpm_answers_and_nothing_is_kept() {
    let mut rig = rig(Vec::new());
    assert_eq!(rig.random(), ResponseCode::SUCCESS);
    assert_eq!(
        ResponseCode::of(&rig.send(&pcr_extend(10, PcrBank::Sha256, &[1; 32])).unwrap()),
        Some(ResponseCode::SUCCESS)
    );
    // sha256(32 zero bytes, 32 bytes of 1): the extend reached the TPM as it was meant.
    let pcr = rig.ask(NO_SESSIONS, TpmCommand::PCR_READ, &PCR_10);
    use sha2::Digest as _;
    let expected = sha2::Sha256::digest([[0; 32], [1; 32]].concat());
    assert!(pcr.ends_with(&expected), "{pcr:?}");
    // A control command that nobody here understands passes as well.
    rig.control.write_all(&GET_CONFIG.to_be_bytes()).unwrap();
    let mut answer = [1; 8];
    rig.control.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], [0; 4]);
    assert!(rig.proxy.watch().traffic().messages().is_empty());
    assert_eq!(rig.trouble(), Vec::<String>::new());
}

#[test]
fn an_error_is_answered_as_often_as_it_says_and_only_to_its_command() {
    let mut rig = rig(vec![
        TpmFault::Error {
            command: TpmCommand::GET_RANDOM,
            code: ResponseCode::LOCKOUT,
            times: 2,
            after: 1,
        },
        TpmFault::Record,
    ]);
    let codes: Vec<ResponseCode> = (0..4).map(|_| rig.random()).collect();
    let (ok, locked) = (ResponseCode::SUCCESS, ResponseCode::LOCKOUT);
    assert_eq!(codes, [ok, locked, locked, ok]);
    assert_eq!(rig.code(TpmCommand::PCR_READ, &PCR_10), ok);
    assert_eq!((rig.struck(0), rig.struck(9)), (2, 0));
    let traffic = rig.proxy.watch().traffic();
    let forged = traffic
        .messages()
        .iter()
        .filter(|m| m.origin == Origin::Forged)
        .count();
    assert_eq!(forged, 2, "{}", traffic.index());
    // Startup, two of the four and the read reached the TPM.
    let answered = traffic
        .messages()
        .iter()
        .filter(|m| m.origin == Origin::Tpm)
        .count();
    assert_eq!(answered, 4, "{}", traffic.index());
}

#[test]
fn a_delay_delays_its_command_only_and_ends_with_the_proxy() {
    let by = Duration::from_millis(300);
    let delay = |command, by| TpmFault::Delay { command, by };
    let faults = vec![
        delay(TpmCommand::GET_RANDOM, by),
        delay(TpmCommand::READ_CLOCK, Duration::from_secs(3600)),
    ];
    let mut rig = rig(faults);
    let started = Instant::now();
    assert_eq!(rig.random(), ResponseCode::SUCCESS);
    assert!(started.elapsed() >= by, "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(rig.code(TpmCommand::PCR_READ, &PCR_10), ResponseCode::SUCCESS);
    assert!(started.elapsed() < by, "{:?}", started.elapsed());
    assert_eq!((rig.struck(0), rig.struck(1)), (1, 0));
    rig.data
        .write_all(&message(NO_SESSIONS, TpmCommand::READ_CLOCK.0, &[]))
        .unwrap();
    while rig.struck(1) == 0 {
        std::thread::yield_now();
    }
    let started = Instant::now();
    rig.proxy.finish();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rig.trouble(), Vec::<String>::new());
}

#[test]
fn an_injected_extend_makes_the_tpm_itself_say_that_a_pcr_changed() {
    let mut honest = rig(Vec::new());
    let session = policy_session(&mut honest);
    for _ in 0..3 {
        assert_eq!(
            policy_pcr(&mut honest, &session),
            ResponseCode::SUCCESS,
            "positive control"
        );
    }
    drop(honest);
    let mut rig = rig(vec![TpmFault::Inject {
        before: TpmCommand::POLICY_PCR,
        command: pcr_extend(10, PcrBank::Sha256, &[1; 32]),
        times: 1,
        after: 1,
    }]);
    let session = policy_session(&mut rig);
    assert_eq!(policy_pcr(&mut rig, &session), ResponseCode::SUCCESS);
    assert_eq!(rig.struck(0), 0);
    assert_eq!(policy_pcr(&mut rig, &session), ResponseCode::PCR_CHANGED);
    assert_eq!(rig.struck(0), 1);
    // A second attempt, with a new session, meets no further extend.
    let session = policy_session(&mut rig);
    assert_eq!(policy_pcr(&mut rig, &session), ResponseCode::SUCCESS);
    assert_eq!(policy_pcr(&mut rig, &session), ResponseCode::SUCCESS);
    assert_eq!((rig.struck(0), rig.trouble()), (1, Vec::new()));
}

#[test]
fn an_extend_that_goes_elsewhere_is_answered_with_success_and_leaves_its_pcr() {
    let elsewhere = TpmFault::Extend {
        pcr: 15,
        passed: 1,
        instead: ExtendInstead::OfPcr(16),
    };
    let refused = TpmFault::Extend {
        pcr: 11,
        passed: 0,
        instead: ExtendInstead::Refused(ResponseCode::FAILURE),
    };
    let mut rig = rig(vec![elsewhere, refused, TpmFault::Record]);
    let mut changes = |pcr| {
        let before = pcr_value(&mut rig, 15);
        let answer = rig.send(&pcr_extend(pcr, PcrBank::Sha256, &[1; 32]));
        let code = answer.and_then(|answer| ResponseCode::of(&answer));
        (code, before != pcr_value(&mut rig, 15))
    };
    let success = Some(ResponseCode::SUCCESS);
    assert_eq!(changes(15), (success, true), "positive control");
    assert_eq!(changes(15), (success, false));
    assert_eq!(changes(11), (Some(ResponseCode::FAILURE), false));
    assert_eq!(changes(10), (success, false));
    assert_eq!((rig.struck(0), rig.struck(1)), (1, 1));
    assert_eq!(rig.proxy.watch().traffic().extends_of(15), 2);
}

/// What TPM2_PCR_Read answers for a PCR of the SHA-256 bank.
fn pcr_value(rig: &mut Rig, pcr: u8) -> Vec<u8> {
    let mut select = [0u8; 3];
    select[usize::from(pcr / 8)] = 1 << (pcr % 8);
    let body = [&[0, 0, 0, 1, 0, 0x0b, 3][..], &select].concat();
    let answer = rig.send(&message(NO_SESSIONS, 0x17e, &body)).unwrap();
    // The last 32 bytes are the value; the counter of updates stands in front.
    answer[answer.len() - 32..].to_vec()
}

#[test]
fn an_injected_command_that_the_tpm_refuses_is_trouble_and_no_strike() {
    let mut rig = rig(vec![TpmFault::Inject {
        before: TpmCommand::GET_RANDOM,
        command: pcr_extend(10, PcrBank::Sha256, &[1; 31]),
        times: u32::MAX,
        after: 0,
    }]);
    assert_eq!(rig.random(), ResponseCode::SUCCESS);
    assert_eq!(rig.struck(0), 0);
    let trouble = rig.proxy.watch().trouble();
    assert!(
        matches!(trouble[..], [ref one] if matches!(**one, TpmRigError::Injected { command: TpmCommand::PCR_EXTEND, .. })),
        "{trouble:?}"
    );
}

#[test]
fn a_dropped_tpm_executes_the_command_and_answers_nothing_more() {
    let faults = vec![
        TpmFault::Drop {
            after: TpmCommand::PCR_EXTEND,
            answered: 1,
        },
        TpmFault::Record,
    ];
    let mut rig = rig(faults);
    assert_eq!(rig.random(), ResponseCode::SUCCESS, "positive control");
    let first = rig.send(&pcr_extend(10, PcrBank::Sha256, &[1; 32]));
    assert!(first.is_some(), "one is answered before");
    assert_eq!(rig.send(&pcr_extend(10, PcrBank::Sha256, &[1; 32])), None);
    assert_eq!(
        rig.send(&message(NO_SESSIONS, TpmCommand::GET_RANDOM.0, &[0, 8])),
        None
    );
    assert_eq!(rig.struck(0), 1);
    let traffic = rig.proxy.watch().traffic();
    let last = traffic.messages().last().unwrap();
    assert_eq!(
        (last.origin, ResponseCode::of(&last.bytes)),
        (Origin::Tpm, Some(ResponseCode::SUCCESS))
    );
}

#[test]
fn recorded_traffic_is_searched_and_written_with_the_commands_names() {
    let mut rig = rig(vec![TpmFault::Record]);
    let digest = *b"a digest that is found afterward";
    rig.send(&pcr_extend(10, PcrBank::Sha256, &digest)).unwrap();
    rig.random();
    let watch = rig.proxy.watch();
    rig.proxy.finish();
    let traffic = watch.traffic();
    assert!(traffic.contains(&digest) && traffic.contains(b"that is"));
    assert!(!traffic.contains(b"that was") && !traffic.contains(b""));
    assert_eq!(traffic.count(TpmCommand::PCR_EXTEND), 1);
    watch.write(rig.folder.path()).unwrap();
    let bytes = std::fs::read(rig.folder.path().join("tpm-traffic.bin")).unwrap();
    let index = std::fs::read_to_string(rig.folder.path().join("tpm-traffic.txt")).unwrap();
    let line = index
        .lines()
        .find(|line| line.ends_with(" guest TPM2_PCR_Extend"))
        .unwrap();
    let mut numbers = line.split(' ').map(|word| word.parse::<usize>().unwrap_or(0));
    let (offset, length) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(bytes[offset..offset + length].ends_with(&digest), "{line}");
    assert!(index.lines().last().unwrap().ends_with(" tpm 0x000"), "{index}");
}

#[test]
fn a_missing_swtpm_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = TpmProxy::start(&folder.path().join("proxy"), &missing, Vec::new()).unwrap_err();
    assert!(
        matches!(error, TpmRigError::Connect { ref socket, .. } if *socket == missing.display().to_string())
    );
}

#[test]
fn tpm2_tools_decode_the_response_codes_to_their_names() {
    for (code, name) in [
        (ResponseCode::INITIALIZE, "TPM not initialized"),
        (ResponseCode::FAILURE, "a TPM failure"),
        (ResponseCode::PCR_CHANGED, "PCR have changed"),
        (ResponseCode::NV_LOCKED, "NV access locked"),
        (ResponseCode::NV_SPACE, "insufficient space"),
        (ResponseCode::NV_DEFINED, "already defined"),
        (ResponseCode::POLICY_FAIL, "a policy check failed"),
        (ResponseCode::OBJECT_MEMORY, "out of memory for object contexts"),
        (ResponseCode::SESSION_MEMORY, "out of memory for session contexts"),
        (ResponseCode::TESTING, "selftests"),
        (ResponseCode::LOCKOUT, "lockout mode"),
        (ResponseCode::RETRY, "not able to start the command"),
        (ResponseCode::NV_UNAVAILABLE, "NV is not current accessible"),
    ] {
        let said = tool::run("tpm2_rc_decode", &[code.to_string()], &[]).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(name), "{code}: {said}");
    }
}
