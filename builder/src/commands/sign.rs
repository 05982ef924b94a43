//! `bennu sign`: the signature of a release key that another machine holds.

use super::Outcome;
use crate::cli::SignArgs;
use crate::steps::keys;
use crate::steps::release;
use anyhow::Result;
use bennu_formats::dsse;
use serde_json::json;

/// `bennu sign`
pub fn run(args: &SignArgs) -> Result<Outcome> {
    let key = keys::read_release_key(&args.key)?;
    let (description, _) = release::read(&args.release)?;
    let signatures = release::add_signature(&args.release, &key)?;
    let keyid = dsse::key_id(key.verifying_key().as_bytes());
    let threshold = description.release_threshold;
    if args.json {
        let report = json!({
            "image_id": description.image_id,
            "version": description.version,
            "keyid": keyid,
            "signatures": signatures,
            "release_threshold": threshold,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{} {}", description.image_id, description.version);
        println!("signed by  {keyid}");
        println!("signatures {signatures}, {threshold} needed");
    }
    Ok(Outcome::Yes)
}
