//! `bennu debug-token`: a signed token for one machine and one day.

use super::Outcome;
use crate::cli::DebugTokenArgs;
use crate::steps::keys;
use anyhow::{Context as _, Result};
use bennu_formats::debug_token::{DebugToken, PAYLOAD_TYPE};
use bennu_formats::decode::Document as _;
use bennu_formats::dsse::{self, Envelope, Signature};
use ed25519_dalek::Signer as _;
use std::fs::File;
use std::io::Write as _;

/// `bennu debug-token`
pub fn run(args: &DebugTokenArgs) -> Result<Outcome> {
    let key = keys::read_release_key(&args.key)?;
    let token = DebugToken {
        schema: DebugToken::SCHEMA,
        image_id: args.image.clone(),
        machine: args.machine,
        day: args.day,
        note: args.note.clone(),
    };
    let payload = serde_json::to_vec(&token)?;
    // What bennu-init would refuse is refused here.
    DebugToken::decode(&payload)?;
    let message = dsse::pre_authentication_encoding(PAYLOAD_TYPE, &payload);
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload,
        signatures: vec![Signature {
            keyid: dsse::key_id(key.verifying_key().as_bytes()),
            sig: key.sign(&message).to_bytes().to_vec(),
        }],
    };
    File::create_new(&args.output)
        .and_then(|mut file| file.write_all(&serde_json::to_vec(&envelope)?))
        .with_context(|| format!("debug token {}", args.output.display()))?;
    println!("machine    {}", args.machine);
    println!("day        {} (UTC)", args.day);
    println!("signed by  {}", dsse::key_id(key.verifying_key().as_bytes()));
    Ok(Outcome::Yes)
}
