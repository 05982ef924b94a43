//! `bennu build` and `bennu disk`.

use super::Outcome;
use crate::cli::{BuildArgs, DiskArgs};
use crate::plan::Overrides;
use crate::progress::Progress;
use crate::steps::agents::Agents;
use crate::steps::disk::DiskPlan;
use crate::steps::release::{self, Tools};
use anyhow::Result;

/// `bennu build`
pub fn build(args: &BuildArgs, progress: &Progress) -> Result<Outcome> {
    let over = Overrides {
        version: args.version.clone(),
        security_version: args.security_version,
        keys: args.keys.clone(),
    };
    let plan = release::plan(&args.definition, over)?;
    let agents = Agents::locate(args.agents.as_deref());
    let tools = Tools {
        agents: &agents,
        cache: &args.cache,
        progress,
    };
    let made = release::build(&plan, &args.release, &tools)?;
    if let Some(disk) = &args.disk {
        DiskPlan::new(std::slice::from_ref(&args.release))?.write(disk, progress)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&made)?);
    } else {
        println!("{} {}", made.image_id, made.version);
        println!("root hash  {}", made.root_hash);
        println!("release    {}", args.release.display());
        let found = release::signatures(&args.release)?;
        if found < made.release_threshold as usize {
            let needed = made.release_threshold;
            println!("signatures {found}, {needed} needed: add the others with `bennu sign`");
        }
        if let Some(disk) = &args.disk {
            println!("disk       {}", disk.display());
        }
    }
    Ok(Outcome::Yes)
}

/// `bennu disk`
pub fn disk(args: &DiskArgs, progress: &Progress) -> Result<Outcome> {
    let mut plan = DiskPlan::new(&args.releases)?;
    if let Some(path) = &args.first_boot {
        plan = plan.with_first_boot(path)?;
    }
    plan.write(&args.output, progress)?;
    println!("{}", args.output.display());
    Ok(Outcome::Yes)
}
