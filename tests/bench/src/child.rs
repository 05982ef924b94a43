//! What `bench child …` does: one piece of ours that has no subcommand, alone in a process, as its peer is.
//!
//! The calls are the builder's: the same buffers, the same number of threads.

use anyhow::{Context as _, Result, bail};
use bennu_erofs::{DirectoryOptions, ImageOptions, TarOptions, Tree, write_image};
use bennu_verity::{BLOCK_BYTES, Salt, VerityParams};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

/// First argument.
pub const WORD: &str = "child";
/// Salt of both sides' trees.
pub const SALT: [u8; 32] = [0x5a; 32];
/// UUID of both sides' file systems and trees.
const UUID: [u8; 16] = [0x42; 16];
/// Build time of both sides' file systems.
pub const BUILD_TIME_S: u64 = 1_767_225_600;
/// The builder's output buffer.
const BUFFER_BYTES: usize = 1 << 20;

/// [`UUID`] as tools take it.
pub fn uuid_text() -> String {
    let hex = hex::encode(UUID);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A command that runs `piece` of ours from one path to another.
///
/// # Errors
/// The system does not tell our own path.
pub fn command(piece: &str, from: &Path, to: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("path of bench itself")?);
    command.args([WORD, piece]).arg(from).arg(to);
    Ok(command)
}

/// Does it.
pub fn run(arguments: &[String]) -> Result<()> {
    let [piece, from, to] = arguments else {
        bail!("{WORD}: expected a piece and two paths")
    };
    let (from, to) = (Path::new(from), Path::new(to));
    match piece.as_str() {
        "verity" => verity(from, to),
        "erofs-tar" => image(&Tree::from_tar(from, &TarOptions::default())?, to),
        "erofs-directory" => image(&Tree::from_directory(from, &DirectoryOptions::default())?, to),
        _ => bail!("{WORD}: no piece {piece}"),
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

fn verity(data: &Path, tree: &Path) -> Result<()> {
    let data = File::open(data).with_context(|| data.display().to_string())?;
    let blocks = data.metadata()?.len() / BLOCK_BYTES as u64;
    let params = VerityParams::new(blocks, Salt::new(SALT)?, UUID)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let root = bennu_verity::build(&data, &params, &mut create(tree)?, &mut |_| {}, threads)?;
    println!("{root}");
    Ok(())
}

fn image(tree: &Tree, path: &Path) -> Result<()> {
    let mut out = create(path)?;
    write_image(
        tree,
        &mut out,
        &ImageOptions::new(UUID, BUILD_TIME_S),
        &mut |_| {},
    )?;
    out.flush().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_reads_as_tools_take_it() {
        assert_eq!(uuid_text(), "42424242-4242-4242-4242-424242424242");
    }

    #[test]
    fn a_piece_that_is_not_there_is_refused() {
        let words = ["nothing", "a", "b"].map(str::to_owned);
        assert!(run(&words).unwrap_err().to_string().contains("nothing"));
        assert!(run(&words[..1]).is_err());
    }
}
