//! `tar2erofs ARCHIVE|DIRECTORY IMAGE [INLINE_TAIL_MAX]`: writes an image and tells how long it took.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use bennu_erofs::{DirectoryOptions, ImageOptions, TarOptions, Tree, write_image};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, image, rest @ ..] = arguments.as_slice() else {
        return Err("usage: tar2erofs ARCHIVE|DIRECTORY IMAGE [INLINE_TAIL_MAX]".into());
    };
    let mut options = ImageOptions::new([0x42; 16], 1_700_000_000);
    if let Some(limit) = rest.first() {
        options.inline_tail_max_bytes = limit.parse()?;
    }
    let start = Instant::now();
    let tree = match Path::new(source).is_dir() {
        true => Tree::from_directory(Path::new(source), &DirectoryOptions::default())?,
        false => Tree::from_tar(Path::new(source), &TarOptions::default())?,
    };
    let scanned = start.elapsed();
    let summary = write_image(&tree, &mut File::create(image)?, &options, &mut |_| {})?;
    println!("scan {scanned:?}, all {:?}, {summary:?}", start.elapsed());
    Ok(())
}
