//! Policy digests and Names, judged by a software TPM through tpm2-tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod workshop;

use bennu_uki::keys::KeyError;
use bennu_uki::tpm_policy::*;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use workshop::*;

/// A software TPM on Unix sockets in a scratch directory.
struct Tpm {
    process: Child,
    scratch: Scratch,
}

impl Tpm {
    fn start() -> Self {
        let scratch = Scratch::new();
        let state = scratch.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let socket = |name: &str| format!("type=unixio,path={}", scratch.path().join(name).display());
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
            .args(["--tpmstate", &format!("dir={}", state.display())])
            .args(["--server", &socket("tpm"), "--ctrl", &socket("tpm.ctrl")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("start swtpm: {error}"));
        let tpm = Self { process, scratch };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !tpm.path("tpm").exists() || !tpm.path("tpm.ctrl").exists() {
            assert!(Instant::now() < deadline, "swtpm does not listen");
            std::thread::yield_now();
        }
        tpm
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs a tool in the scratch directory.
    fn run(&self, tool: &str, args: &str) {
        let out = Command::new(tool)
            .args(args.split_whitespace())
            .current_dir(self.scratch.path())
            .env(
                "TPM2TOOLS_TCTI",
                format!("swtpm:path={}", self.path("tpm").display()),
            )
            .output()
            .unwrap_or_else(|error| panic!("start {tool}: {error}"));
        assert!(
            out.status.success(),
            "{tool} {args}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.scratch.path().join(name)).unwrap()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn policy_public() -> Vec<u8> {
    tpmt_public_rsa2048(&key("pcr").public_key().modulus().unwrap())
}

#[test]
fn a_tpm_computes_the_same_policies_and_names_and_takes_our_approval() {
    let tpm = Tpm::start();
    let value = [0x5a; 32];
    tpm.run("tpm2_pcrextend", &format!("15:sha256={}", hex::encode(value)));
    let pcr15 = {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        hash.update([0; 32]);
        hash.update(value);
        hash.finalize().into()
    };
    tpm.run(
        "tpm2_nvdefine",
        "0x1500016 -C o -s 8 -a ownerread|ownerwrite|authread -g sha256 -p floor",
    );
    tpm.scratch.write("seven", 7u64.to_be_bytes());
    tpm.scratch.write("nine", 9u64.to_be_bytes());
    tpm.run("tpm2_nvwrite", "0x1500016 -C o -i seven");

    // 64 bytes of NV public area: index, nameAlg, attributes as defined and written, no policy, size.
    let attributes: u32 = 0x0004_0000 | 0x2000_0000 | 0x0002_0000 | 0x2;
    let nv_public = [
        &0x0150_0016u32.to_be_bytes()[..],
        &[0, 11],
        &attributes.to_be_bytes(),
        &[0, 0, 0, 8],
    ]
    .concat();
    let index_name = tpm_public_name(&nv_public);
    let pcrs = policy_pcr_digest(&[(15, pcr15), (11, [0; 32]), (12, [0; 32])]).unwrap();
    let policy = policy_nv_digest(&pcrs, &index_name, &9u64.to_be_bytes(), NvComparison::AtMost);

    tpm.run("tpm2_startauthsession", "--policy-session -S session");
    tpm.run("tpm2_policypcr", "-S session -l sha256:11,12,15 -L pcr.policy");
    assert_eq!(tpm.read("pcr.policy"), pcrs, "PolicyPCR");
    tpm.run(
        "tpm2_policynv",
        "-S session -i nine -P floor 0x1500016 ule -L policy",
    );
    assert_eq!(tpm.read("policy"), policy, "PolicyNV");

    let public = policy_public();
    let name = tpm_public_name(&public);
    tpm.scratch.write(
        "key.pub",
        [&(public.len() as u16).to_be_bytes(), &public[..]].concat(),
    );
    tpm.run("tpm2_loadexternal", "-C o -u key.pub -c key.ctx -n key.name");
    assert_eq!(tpm.read("key.name"), name, "Name of the policy key");
    tpm.scratch.write("ref", STATE_POLICY_REF);
    tpm.scratch
        .write("approved", [&policy[..], STATE_POLICY_REF].concat());
    let signature = sign_policy(&key("pcr"), &policy, STATE_POLICY_REF).unwrap();
    tpm.scratch.write("signature", signature);
    tpm.run(
        "tpm2_verifysignature",
        "-c key.ctx -g sha256 -m approved -s signature -f rsassa -t ticket",
    );
    tpm.run(
        "tpm2_policyauthorize",
        "-S session -i policy -q ref -n key.name -t ticket -L authorized",
    );
    assert_eq!(
        tpm.read("authorized"),
        policy_authorize_digest(&name, STATE_POLICY_REF),
        "PolicyAuthorize"
    );
    tpm.run("tpm2_flushcontext", "session");
}

#[test]
fn the_bytes_of_the_policy_key_are_pinned() {
    let public = policy_public();
    assert_eq!(public.len(), 278);
    assert_eq!(
        hex::encode(&public[..22]),
        "0001000b00060040000000100010080000000000".to_owned() + "0100"
    );
    let ecc = tpmt_public_p256(&[1; 32], &[2; 32]);
    let expected = format!(
        "0023000b00060040000000100010000300100020{}0020{}",
        "01".repeat(32),
        "02".repeat(32)
    );
    assert_eq!(hex::encode(ecc), expected);
}

#[test]
fn each_wrong_selection_and_approval_is_refused() {
    let value = [0; 32];
    assert!(policy_pcr_digest(&[(23, value)]).is_ok(), "positive control");
    assert!(matches!(policy_pcr_digest(&[]), Err(PolicyError::NoPcr)));
    assert!(matches!(
        policy_pcr_digest(&[(24, value)]),
        Err(PolicyError::NoSuchPcr { index: 24 })
    ));
    let twice = policy_pcr_digest(&[(7, value), (7, value)]);
    assert!(matches!(twice, Err(PolicyError::DuplicatePcr { index: 7 })));
    let refusal = sign_policy(&key("pcr"), &EMPTY_POLICY, &[0; 33]);
    assert!(matches!(
        refusal,
        Err(PolicyError::PolicyRefTooLong { limit: 32, found: 33 })
    ));
    let signature = sign_policy(&key("pcr"), &EMPTY_POLICY, b"a").unwrap();
    let public = key("pcr").public_key();
    verify_policy(&public, &EMPTY_POLICY, b"a", &signature).unwrap();
    let refusal = verify_policy(&public, &EMPTY_POLICY, b"b", &signature);
    assert!(matches!(refusal, Err(PolicyError::Key(KeyError::BadSignature))));
}
