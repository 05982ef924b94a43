//! `bennu first-boot`.

use super::Outcome;
use crate::cli::FirstBootCommand;
use crate::steps::{first_boot, keys};
use anyhow::{Context as _, Result};
use bennu_formats::dsse;
use serde_json::json;

/// Runs the command.
pub fn run(command: &FirstBootCommand) -> Result<Outcome> {
    let FirstBootCommand::Sign(args) = command;
    let key = keys::read_release_key(&args.key)?;
    let config = first_boot::read_configuration(&args.configuration)?;
    let signed = first_boot::sign(&config, &key)?;
    std::fs::write(&args.output, &signed).with_context(|| args.output.display().to_string())?;
    let keyid = dsse::key_id(key.verifying_key().as_bytes());
    if args.json {
        let report = json!({
            "image_id": config.image_id,
            "machine": config.machine,
            "keyid": keyid,
            "output": args.output,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let machine = config
            .machine
            .as_ref()
            .map_or_else(|| "any".to_owned(), ToString::to_string);
        println!("image id   {}", config.image_id);
        println!("machine    {machine}");
        println!("signed by  {keyid}");
        println!("written    {}", args.output.display());
    }
    Ok(Outcome::Yes)
}
