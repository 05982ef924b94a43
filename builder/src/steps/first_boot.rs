//! First-boot configurations: from TOML, signed, and read again before they are put on a disk
//! (`docs/spec/first-boot.md`, `docs/howto/first-boot-configuration.md`).

use anyhow::{Context as _, Result, ensure};
use bennu_formats::ImageId;
use bennu_formats::decode::Document as _;
use bennu_formats::dsse::{self, Envelope, Signature, pre_authentication_encoding};
use bennu_formats::first_boot::{AuthorizedKeys, FirstBoot, MachineUuid, NetworkFile, PAYLOAD_TYPE};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The configuration as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    image_id: ImageId,
    machine: Option<MachineUuid>,
    hostname: Option<String>,
    machine_id: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    network: Vec<WrittenFile>,
    #[serde(default)]
    authorized_keys: Vec<AuthorizedKeys>,
}

/// A network file: its text, or where it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    name: String,
    content: Option<String>,
    source: Option<PathBuf>,
}

/// Reads a configuration; `source` paths are relative to it.
///
/// # Errors
/// It cannot be read, is not of the form, or holds a value that `bennu-init` would refuse.
pub fn read_configuration(path: &Path) -> Result<FirstBoot> {
    let written: Written = toml::from_str(&text(path)?).with_context(|| path.display().to_string())?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let network = written
        .network
        .into_iter()
        .map(|file| file.read(directory))
        .collect::<Result<Vec<_>>>()?;
    let config = FirstBoot {
        schema: FirstBoot::SCHEMA,
        image_id: written.image_id,
        machine: written.machine,
        hostname: written.hostname,
        machine_id: written.machine_id,
        time_zone: written.time_zone,
        network,
        authorized_keys: written.authorized_keys,
    };
    FirstBoot::decode(&serde_json::to_vec_pretty(&config)?).with_context(|| path.display().to_string())
}

impl WrittenFile {
    fn read(self, directory: &Path) -> Result<NetworkFile> {
        let content = match (self.content, self.source) {
            (Some(content), None) => content,
            (None, Some(source)) => text(&directory.join(source))?,
            _ => anyhow::bail!(
                "network file {}: expected exactly one of `content` and `source`",
                self.name
            ),
        };
        Ok(NetworkFile {
            name: self.name,
            content,
        })
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = bytes(path)?;
    String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{}: expected text, found other bytes", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| path.display().to_string())?;
    ensure!(
        bytes.len() <= MAX_BYTES,
        "{}: expected at most {MAX_BYTES} bytes, found more",
        path.display()
    );
    Ok(bytes)
}

/// The signed envelope.
///
/// # Errors
/// The encoder's; or it would be longer than `bennu-init` reads.
pub fn sign(config: &FirstBoot, key: &SigningKey) -> Result<Vec<u8>> {
    let payload = serde_json::to_vec_pretty(config)?;
    let message = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload,
        signatures: vec![Signature {
            keyid: dsse::key_id(key.verifying_key().as_bytes()),
            sig: key.sign(&message).to_bytes().to_vec(),
        }],
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope)?;
    bytes.push(b'\n');
    Envelope::decode(&bytes)?;
    Ok(bytes)
}

/// The bytes of a signed configuration, which is for `image_id`. Whether the key is one of the image is for `bennu-init`
/// to say: a release has its trusted keys inside the UKI.
///
/// # Errors
/// It cannot be read, is none, or is for another image.
pub fn read_signed(path: &Path, image_id: &ImageId) -> Result<Vec<u8>> {
    let bytes = bytes(path)?;
    let read = || -> Result<FirstBoot> {
        let envelope = Envelope::decode(&bytes)?;
        ensure!(
            envelope.payload_type == PAYLOAD_TYPE,
            "expected payload type {PAYLOAD_TYPE}, found another one; make it with `bennu first-boot sign`"
        );
        Ok(FirstBoot::decode(&envelope.payload)?)
    };
    let config = read().with_context(|| path.display().to_string())?;
    ensure!(
        config.image_id == *image_id,
        "{}: expected a configuration for image id {image_id}, found one for {}",
        path.display(),
        config.image_id
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::Code;
    use bennu_formats::identity::{IdentityClass, IdentityRule};
    use bennu_formats::trust::ReleaseKey;
    use bennu_policy::verify::first_boot::{FirstBootTrust, verify};

    const WRITTEN: &str = r#"
image_id = "demo"
hostname = "kiosk-7"
time_zone = "Europe/Vienna"
[[network]]
name = "10-lan.network"
source = "lan"
"#;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("lan"), "[Match]\nName=en*\n").unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_signed_here_is_what_a_machine_takes() {
        let (dir, path) = written(WRITTEN);
        let key = SigningKey::from_bytes(&[5; 32]);
        let signed = sign(&read_configuration(&path).unwrap(), &key).unwrap();
        let demo = "demo".parse().unwrap();
        let rule = IdentityRule {
            classes: IdentityClass::DEFAULT.to_vec(),
            paths: Vec::new(),
        };
        let machine = |signer: &SigningKey| {
            let trust = FirstBootTrust {
                keys: &[ReleaseKey(signer.verifying_key().to_bytes().to_vec())],
                image_id: &demo,
                identity: &rule,
                machine: None,
            };
            verify(&signed, &trust).map(|config| config.get().clone())
        };
        let config = machine(&key).unwrap();
        assert_eq!(config.hostname.as_deref(), Some("kiosk-7"));
        assert_eq!(config.network[0].content, "[Match]\nName=en*\n");
        let stranger = SigningKey::from_bytes(&[6; 32]);
        assert_eq!(machine(&stranger).unwrap_err().code(), Code::FirstBootSignature);

        let file = dir.path().join("first-boot.json");
        std::fs::write(&file, &signed).unwrap();
        assert_eq!(read_signed(&file, &demo).unwrap(), signed);
        let other = read_signed(&file, &"kiosk".parse().unwrap()).unwrap_err();
        assert!(
            other
                .to_string()
                .contains("expected a configuration for image id kiosk")
        );
        std::fs::write(&file, "{}").unwrap();
        assert!(read_signed(&file, &demo).is_err());
    }

    #[test]
    fn what_a_machine_would_refuse_is_not_signed() {
        for (from, to) in [
            ("kiosk-7", "kiosk 7"),
            ("10-lan.network", "../10-lan.network"),
            ("Europe/Vienna", "../shadow"),
            ("hostname", "colour"),
            ("source = \"lan\"", ""),
        ] {
            let (_dir, path) = written(&WRITTEN.replace(from, to));
            assert!(read_configuration(&path).is_err(), "{to}");
        }
    }
}
