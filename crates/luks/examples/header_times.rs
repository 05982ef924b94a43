//! Times a header on this machine: `header_times` prints milliseconds for what a first start (format), each start
//! (parse, verify, new generation) and a recovery (open) do, with the cost that production uses. In memory only.

use std::time::Instant;

use anyhow::Context as _;
use bennu_luks::{FormatParameters, KdfCost, UnverifiedHeader, VolumeKey, format};
use uuid::Uuid;

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let outcome = act();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    outcome
}

fn main() -> anyhow::Result<()> {
    let key = VolumeKey::new(&std::array::from_fn::<u8, 64, _>(|at| at as u8))?;
    let recovery = b"not a secret, as nothing is written";
    let parameters = FormatParameters {
        uuid: Uuid::from_u128(1),
        generation: 1,
        kdf: KdfCost::STANDARD,
    };
    let mut constant = |bytes: &mut [u8]| {
        bytes.fill(0x5a);
        Ok(())
    };
    let area = timed("format", || format(&parameters, &key, recovery, &mut constant))?;
    let header = timed("parse", || UnverifiedHeader::parse(area.as_bytes()))?;
    let opened = timed("open with the recovery key", || {
        header.open_with_recovery(area.as_bytes(), recovery)
    })?;
    let header = timed("verify", || header.verify(&opened))?;
    let update = timed("new generation", || header.with_generation(2))?;
    anyhow::ensure!(update.writes().len() == 2, "two copies");
    header
        .dm_crypt_table(&opened, "254:8", 1 << 30)
        .context("make a table")?;
    Ok(())
}
