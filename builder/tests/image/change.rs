//! Changes to an image: what the recipes in `tests/fixtures` are made of.

use crate::judges::partition;
use crate::workshop::{Workshop, judge};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bennu_disk::gpt::Partition;
use bennu_formats::dsse::{self, Signature};
use bennu_formats::verity_sig::VeritySig;
use bennu_uki::keys::{Certificate, SigningKey};
use bennu_uki::{pe, root_hash, tpm_policy};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey as ReleaseKey};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Whose keys sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// The image's own.
    Own,
    /// Somebody else's.
    Stranger,
    /// Nobody: old signatures stay.
    Nobody,
}

/// One change.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Inverts a byte of a partition.
    FlipByte { partition: u32, offset: u64 },
    /// Puts bytes over the image from `offset` on, which may be negative to count from the end.
    Overwrite { offset: i64, bytes: usize },
    /// Cuts the image off.
    Truncate { bytes: u64 },
    /// Makes the image another file.
    Text { content: String },
    /// Gives partitions labels and GUIDs.
    Entry {
        partition: u32,
        label: Option<String>,
        guid_of: Option<u32>,
        guid: Option<String>,
    },
    /// Puts the bytes of one partition over another's.
    CopyPartition { from: u32, to: u32 },
    /// Puts other content into a file of the ESP.
    Replace { path: String, with: PathBuf },
    /// Removes a file of the ESP.
    Remove { path: String },
    /// Renames a file of the ESP within its directory.
    Rename { path: String, to: String },
    /// Copies a file of the ESP.
    CopyFile { path: String, to: String },
    /// Changes the bytes of a section of the UKI, keeping their length, and signs it anew.
    Uki {
        path: String,
        section: String,
        find: String,
        put: String,
        sign: Who,
    },
    /// Signs the UKI anew.
    SignUki { path: String, sign: Who },
    /// Changes members of the manifest, by JSON pointer, and signs it anew.
    Manifest {
        partition: u32,
        set: Vec<Member>,
        sign: Who,
    },
    /// Replaces the manifest's text and signs it; `repeat` makes it long.
    ManifestText {
        partition: u32,
        text: String,
        repeat: usize,
        sign: Who,
    },
    /// Lets somebody else sign the TPM policy.
    PolicySignature { partition: u32, sign: Who },
    /// Lets somebody else sign the root hash.
    RootSignature { partition: u32, sign: Who },
    /// Puts text over the root-verity-sig partition.
    SigText { partition: u32, text: String },
}

/// A member of the manifest and its new value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// RFC 6901.
    pub pointer: String,
    /// New value.
    pub value: Value,
}

/// An image under attack.
pub struct Target<'a> {
    /// The image.
    pub disk: &'a Path,
    /// Keys and parts.
    pub workshop: &'a Workshop,
    /// For files on the way.
    pub scratch: &'a Path,
}

impl Target<'_> {
    /// Makes a change.
    pub fn apply(&self, change: &Change) {
        match change {
            Change::FlipByte { partition, offset } => self.flip(*partition, *offset),
            Change::Overwrite { offset, bytes } => self.overwrite(*offset, *bytes),
            Change::Truncate { bytes } => self.file().set_len(*bytes).unwrap(),
            Change::Text { content } => fs::write(self.disk, content).unwrap(),
            Change::Entry {
                partition,
                label,
                guid,
                guid_of,
            } => {
                let other = guid_of.map(|other| self.partition(other).unique_guid.to_string());
                self.entry(*partition, label.as_deref(), guid.as_deref().or(other.as_deref()));
            }
            Change::CopyPartition { from, to } => {
                self.write(&self.partition(*to), &self.read(&self.partition(*from)))
            }
            Change::Replace { path, with } => self.put(path, &self.workshop.input.join(with)),
            Change::Remove { path } => self.mtools("mdel", &[self.inside(path)]),
            Change::Rename { path, to } => self.mtools("mren", &[self.inside(path), to.clone()]),
            Change::CopyFile { path, to } => self.put(to, &self.fetch(path)),
            Change::Uki {
                path,
                section,
                find,
                put,
                sign,
            } => self.edit_uki(path, section, (find, put), *sign),
            Change::SignUki { path, sign } => self.sign_uki(path, &self.fetch(path), *sign),
            Change::Manifest { partition, set, sign } => self.manifest(*partition, *sign, |manifest| {
                for member in set {
                    set_member(manifest, member);
                }
            }),
            Change::ManifestText {
                partition,
                text,
                repeat,
                sign,
            } => {
                self.payload(*partition, *sign, |_| text.repeat(*repeat).into_bytes());
            }
            Change::PolicySignature { partition, sign } => self.policy(*partition, *sign),
            Change::RootSignature { partition, sign } => self.root_signature(*partition, *sign),
            Change::SigText { partition, text } => {
                let partition = self.partition(*partition);
                let mut bytes = text.clone().into_bytes();
                bytes.resize(partition.byte_len() as usize, 0);
                self.write(&partition, &bytes);
            }
        }
    }

    fn file(&self) -> fs::File {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.disk)
            .unwrap()
    }

    fn partition(&self, number: u32) -> Partition {
        partition(self.disk, number)
    }

    fn read(&self, partition: &Partition) -> Vec<u8> {
        let mut bytes = vec![0; partition.byte_len() as usize];
        self.file()
            .read_exact_at(&mut bytes, partition.byte_offset())
            .unwrap();
        bytes
    }

    fn write(&self, partition: &Partition, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= partition.byte_len());
        self.file().write_all_at(bytes, partition.byte_offset()).unwrap();
    }

    fn flip(&self, number: u32, offset: u64) {
        let partition = self.partition(number);
        assert!(offset < partition.byte_len());
        let mut byte = [0];
        self.file()
            .read_exact_at(&mut byte, partition.byte_offset() + offset)
            .unwrap();
        self.file()
            .write_all_at(&[!byte[0]], partition.byte_offset() + offset)
            .unwrap();
    }

    fn overwrite(&self, offset: i64, bytes: usize) {
        let length = self.file().metadata().unwrap().len();
        let at = if offset < 0 {
            length - offset.unsigned_abs()
        } else {
            offset as u64
        };
        self.file().write_all_at(&vec![0x5a; bytes], at).unwrap();
    }

    fn entry(&self, number: u32, label: Option<&str>, guid: Option<&str>) {
        let label = label.map(|label| format!("--change-name={number}:{label}"));
        let guid = guid.map(|guid| format!("--partition-guid={number}:{guid}"));
        for option in [label, guid].iter().flatten() {
            judge("sgdisk", &[OsStr::new(option), self.disk.as_os_str()]);
        }
    }

    fn mtools(&self, program: &str, arguments: &[String]) {
        let image = format!("{}@@{}", self.disk.display(), self.partition(1).byte_offset());
        let mut all = vec!["-i".to_owned(), image];
        all.extend_from_slice(arguments);
        judge(program, &all);
    }

    fn inside(&self, path: &str) -> String {
        format!("::/{path}")
    }

    /// A file of the ESP as a file here.
    fn fetch(&self, path: &str) -> PathBuf {
        let here = self.scratch.join("fetched");
        self.mtools(
            "mcopy",
            &[
                "-n".into(),
                "-o".into(),
                self.inside(path),
                here.display().to_string(),
            ],
        );
        here
    }

    fn put(&self, path: &str, from: &Path) {
        self.mtools(
            "mcopy",
            &[
                "-n".into(),
                "-o".into(),
                from.display().to_string(),
                self.inside(path),
            ],
        );
    }

    fn edit_uki(&self, path: &str, section: &str, (find, put): (&str, &str), sign: Who) {
        assert_eq!(find.len(), put.len(), "sections keep their length");
        let here = self.fetch(path);
        let mut bytes = fs::read(&here).unwrap();
        let image = pe::PeImage::parse(&bytes).unwrap();
        let header = *image.section(section).expect("section is there");
        let data = image.data(&header);
        let at = data
            .windows(find.len())
            .position(|w| w == find.as_bytes())
            .expect("text is there");
        let from = header.raw_pointer as usize + at;
        bytes[from..from + put.len()].copy_from_slice(put.as_bytes());
        fs::write(&here, bytes).unwrap();
        match sign {
            Who::Nobody => self.put(path, &here),
            who => self.sign_uki(path, &here, who),
        }
    }

    fn sign_uki(&self, path: &str, here: &Path, who: Who) {
        judge("sbattach", &["--remove".as_ref(), here.as_os_str()]);
        let signed = self.scratch.join("signed");
        match who {
            Who::Nobody => drop(fs::copy(here, &signed).unwrap()),
            who => {
                let keys = self.keys(who);
                let (key, certificate) = (keys.join("db.key"), keys.join("db.crt"));
                let mut arguments = vec![OsStr::new("--key"), key.as_os_str(), "--cert".as_ref()];
                arguments.extend([certificate.as_os_str(), "--output".as_ref(), signed.as_os_str()]);
                arguments.push(here.as_os_str());
                judge("sbsign", &arguments);
            }
        }
        self.put(path, &signed);
    }

    fn keys(&self, who: Who) -> PathBuf {
        match who {
            Who::Own => self.workshop.file("keys"),
            Who::Stranger => self.workshop.stranger.clone(),
            Who::Nobody => panic!("nobody has no keys"),
        }
    }

    fn rsa(&self, who: Who, name: &str) -> SigningKey {
        SigningKey::from_pkcs8(&fs::read(self.keys(who).join(name)).unwrap()).unwrap()
    }

    fn sig(&self, number: u32, edit: impl FnOnce(&mut VeritySig)) {
        let partition = self.partition(number);
        let mut sig = VeritySig::decode(&self.read(&partition)).unwrap();
        edit(&mut sig);
        let mut bytes = sig.encode().unwrap();
        bytes.resize(partition.byte_len() as usize, 0);
        self.write(&partition, &bytes);
    }

    fn payload(&self, number: u32, sign: Who, edit: impl FnOnce(&[u8]) -> Vec<u8>) {
        self.sig(number, |sig| {
            let envelope = &mut sig.bennu.manifest;
            envelope.payload = edit(&envelope.payload);
            if sign != Who::Nobody {
                let pem = fs::read_to_string(self.keys(sign).join("release.key")).unwrap();
                let key = ReleaseKey::from_pkcs8_pem(&pem).unwrap();
                envelope.signatures = vec![Signature {
                    keyid: dsse::key_id(key.verifying_key().as_bytes()),
                    sig: key
                        .sign(&envelope.pre_authentication_encoding())
                        .to_bytes()
                        .to_vec(),
                }];
            }
        });
    }

    fn manifest(&self, number: u32, sign: Who, edit: impl FnOnce(&mut Value)) {
        self.payload(number, sign, |payload| {
            let mut manifest = serde_json::from_slice(payload).unwrap();
            edit(&mut manifest);
            serde_json::to_vec(&manifest).unwrap()
        });
    }

    fn policy(&self, number: u32, who: Who) {
        let key = self.rsa(who, "tpm-policy.key");
        self.manifest(number, Who::Own, |manifest| {
            let policy = &mut manifest["tpm_policy"];
            let mut approved = [0; 32];
            hex::decode_to_slice(policy["approved_policy"].as_str().unwrap(), &mut approved).unwrap();
            let policy_ref = policy["policy_ref"].as_str().unwrap().as_bytes().to_vec();
            let signature = tpm_policy::sign_policy(&key, &approved, &policy_ref).unwrap();
            policy["signature"] = STANDARD.encode(signature).into();
        });
    }

    fn root_signature(&self, number: u32, who: Who) {
        let key = self.rsa(who, "db.key");
        let certificate = Certificate::read(&fs::read(self.keys(who).join("db.crt")).unwrap()).unwrap();
        self.sig(number, |sig| {
            sig.signature = root_hash::sign(&sig.root_hash.to_string(), &key, &certificate).unwrap();
        });
    }
}

fn set_member(manifest: &mut Value, member: &Member) {
    let (parent, name) = member.pointer.rsplit_once('/').expect("a JSON pointer");
    match manifest
        .pointer_mut(parent)
        .expect("the member's parent is there")
    {
        Value::Object(object) => drop(object.insert(name.to_owned(), member.value.clone())),
        Value::Array(array) if name == "-" => array.push(member.value.clone()),
        other => panic!("{}: {other} has no members", member.pointer),
    }
}
