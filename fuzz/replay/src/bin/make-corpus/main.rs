//! Makes the seeds under `fuzz/corpus/`: small inputs from our own writers. The same bytes in every run.
//!
//!     cargo run -p bennu-fuzz-replay --bin make-corpus
//!
//! Seeds made earlier are replaced; others, such as inputs that once made a decoder panic, stay.

mod boot;
mod disks;
mod documents;
mod machine;
mod runtime;
mod state;

use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// Target, name, bytes.
type Seed = (&'static str, &'static str, Vec<u8>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn main() -> anyhow::Result<()> {
    let mut seeds = documents::seeds()?;
    seeds.extend(disks::seeds()?);
    seeds.extend(boot::seeds(&root())?);
    seeds.extend(machine::seeds());
    seeds.extend(state::seeds()?);
    seeds.extend(runtime::seeds()?);
    let mut total = 0;
    for (target, name, bytes) in &seeds {
        let folder = root().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        total += bytes.len();
        println!("{:>7} {target}/{name}", bytes.len());
    }
    println!("{} seeds, {total} bytes", seeds.len());
    Ok(())
}
