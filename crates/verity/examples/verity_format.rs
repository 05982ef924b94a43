//! Times one tree: `verity_format DATA HASH [THREADS]` prints root hash and seconds, as `veritysetup format` with a
//! salt of 32 zero bytes would give. Used for the figures in the report, not by the product.

use std::fs::File;
use std::num::NonZeroUsize;
use std::time::Instant;

use bennu_verity::{Salt, VerityParams, build};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(data), Some(hash)) = (args.next(), args.next()) else {
        return Err("usage: verity_format DATA HASH [THREADS]".into());
    };
    let threads: NonZeroUsize = args.next().as_deref().unwrap_or("2").parse()?;
    let data = File::open(data)?;
    let params = VerityParams::new(data.metadata()?.len() / 4096, Salt::new([0; 32])?, [0x11; 16])?;
    let start = Instant::now();
    let root = build(&data, &params, &mut File::create(hash)?, &mut |_| {}, threads)?;
    println!("{root} {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
