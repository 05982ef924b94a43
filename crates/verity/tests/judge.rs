//! Our trees against `veritysetup`: same bytes, same root hash, and each refuses what the other refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use bennu_verity::{
    HashArea, RootHash, Salt, Section, VerityError, VerityParams, build, read_superblock, verify_device,
};

const UUID: [u8; 16] = [
    0x2f, 0x1c, 0x5b, 0x0a, 0x11, 0x22, 0x43, 0x44, 0x85, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
];
const UUID_TEXT: &str = "2f1c5b0a-1122-4344-8566-778899aabbcc";

fn veritysetup(args: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    Command::new("veritysetup")
        .args(args)
        .env("PATH", path)
        .output()
        .expect("veritysetup must be installed")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Blocks that all differ, cheaply.
fn data(blocks: u64) -> Vec<u8> {
    let mut bytes = vec![0; blocks as usize * 4096];
    for (index, block) in bytes.chunks_exact_mut(4096).enumerate() {
        block[..8].copy_from_slice(&(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        block[4095] = 0x5a;
    }
    bytes
}

fn params(blocks: u64, salt: &[u8]) -> VerityParams {
    VerityParams::new(blocks, Salt::new(salt).unwrap(), UUID).unwrap()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn our_tree(data: &[u8], params: &VerityParams, workers: usize) -> (Vec<u8>, RootHash) {
    let mut out = Cursor::new(Vec::new());
    let mut done = 0;
    let root = build(
        data,
        params,
        &mut out,
        &mut |blocks| done = blocks,
        threads(workers),
    )
    .unwrap();
    assert_eq!(done, params.data_blocks(), "progress ends at the last block");
    (out.into_inner(), root)
}

fn verify(data: &[u8], hash: &[u8], params: &VerityParams, root: &RootHash) -> Result<(), VerityError> {
    let two = verify_device(data, hash, params, root, &mut |_| {}, threads(2));
    let one = verify_device(data, hash, params, root, &mut |_| {}, threads(1));
    assert_eq!(
        format!("{one:?}"),
        format!("{two:?}"),
        "the answer does not depend on the threads"
    );
    two
}

/// What veritysetup writes: the hash device and the root hash.
fn their_tree(dir: &Path, salt: &[u8], extra: &[&str]) -> (Vec<u8>, RootHash) {
    let hash = dir.join("theirs");
    let salt = if salt.is_empty() {
        "-".to_owned()
    } else {
        hex::encode(salt)
    };
    let data = dir.join("data");
    let mut args = vec![
        "format",
        "--data-block-size=4096",
        "--hash-block-size=4096",
        "--hash=sha256",
    ];
    args.extend(["--salt", &salt]);
    args.extend(extra);
    args.extend([text(&data), text(&hash)]);
    let output = veritysetup(&args);
    assert!(output.status.success(), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let line = report
        .lines()
        .find(|line| line.starts_with("Root hash:"))
        .unwrap();
    (
        fs::read(hash).unwrap(),
        line.split_whitespace().last().unwrap().parse().unwrap(),
    )
}

#[test]
fn tree_and_root_hash_equal_those_of_veritysetup() {
    let long_salt: Vec<u8> = (0..=255).collect();
    let salts: [&[u8]; 4] = [&[], &[0xab], &[7; 32], &long_salt];
    let sizes = [1, 2, 127, 128, 129, 255, 256, 257, 511, 513, 16383, 16384, 16385];
    for (case, blocks) in sizes.into_iter().enumerate() {
        let salt = salts[case % salts.len()];
        let dir = tempfile::tempdir().unwrap();
        let data = data(blocks);
        fs::write(dir.path().join("data"), &data).unwrap();
        let params = params(blocks, salt);
        let (ours, root) = our_tree(&data, &params, 2);
        let (theirs, their_root) = their_tree(dir.path(), salt, &["--uuid", UUID_TEXT]);
        assert_eq!(root, their_root, "{blocks} blocks");
        assert!(ours == theirs, "{blocks} blocks: hash devices differ");
        assert_eq!(ours.len() as u64, params.layout().tree_bytes_with_superblock());
        assert_eq!(read_superblock(&theirs).unwrap(), params);
        verify(&data, &theirs, &params, &root).unwrap();
    }
}

#[test]
fn a_tree_without_superblock_equals_that_of_veritysetup() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(300);
    fs::write(dir.path().join("data"), &data).unwrap();
    let params = params(300, &[1; 32]).with_hash_area(HashArea::TreeOnly);
    let (ours, root) = our_tree(&data, &params, 2);
    assert_eq!(
        (ours, root),
        their_tree(dir.path(), &[1; 32], &["--no-superblock"])
    );
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    let data = data(1500);
    let params = params(1500, &[3; 32]);
    let one = our_tree(&data, &params, 1);
    for workers in [2, 3, 7, 64, 1000] {
        assert_eq!(our_tree(&data, &params, workers), one, "{workers} threads");
    }
}

#[test]
fn a_known_tree_keeps_its_root_hash() {
    let (hash, root) = our_tree(&data(129), &params(129, &[0x42; 32]), 2);
    assert_eq!(
        root.to_string(),
        "7426be66c898edc71cd2c2e71549a5eb25bf199086b4642d1b4dcf170204119c"
    );
    assert_eq!(hash.len(), 4 * 4096);
}

#[test]
fn veritysetup_and_we_accept_what_we_wrote_and_refuse_a_flipped_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (data_path, hash_path) = (dir.path().join("data"), dir.path().join("hash"));
    let good = data(16385);
    let params = params(16385, &[9; 32]);
    fs::write(&data_path, &good).unwrap();
    let data_file = File::options().read(true).write(true).open(&data_path).unwrap();
    let mut hash_file = File::create_new(&hash_path).unwrap();
    let root = build(&data_file, &params, &mut hash_file, &mut |_| {}, threads(2)).unwrap();
    let root_text = root.to_string();
    let their_answer = || {
        veritysetup(&["verify", text(&data_path), text(&hash_path), &root_text])
            .status
            .success()
    };
    assert!(their_answer());

    data_file
        .write_all_at(&[good[9000 * 4096 + 77] ^ 1], 9000 * 4096 + 77)
        .unwrap();
    assert!(!their_answer());
    let hash = fs::read(&hash_path).unwrap();
    let ours = verify(&fs::read(&data_path).unwrap(), &hash, &params, &root);
    assert!(
        matches!(ours, Err(VerityError::DataBlock { block: 9000 })),
        "{ours:?}"
    );
    data_file.write_all_at(&good[..10000 * 4096], 0).unwrap();
    assert!(their_answer());

    // Superblock, top level of 1 block, then 2, then 129: leaf 70 is block 1 + 3 + 70.
    let mut bad = hash.clone();
    bad[74 * 4096 + 5] ^= 0x80;
    fs::write(&hash_path, &bad).unwrap();
    assert!(!their_answer());
    let ours = verify(&good, &bad, &params, &root);
    assert!(
        matches!(
            ours,
            Err(VerityError::HashBlock {
                level: 0,
                index: 70,
                offset: 303_104
            })
        ),
        "{ours:?}"
    );
}

#[test]
fn the_first_bad_block_from_the_root_down_is_named() {
    let data = data(16385);
    let params = params(16385, &[9; 32]);
    let (hash, root) = our_tree(&data, &params, 2);
    verify(&data, &hash, &params, &root).unwrap();

    let mut bad_data = data.clone();
    *bad_data.last_mut().unwrap() ^= 1;
    let answer = verify(&bad_data, &hash, &params, &root);
    assert!(
        matches!(answer, Err(VerityError::DataBlock { block: 16384 })),
        "{answer:?}"
    );

    let mut bad = hash.clone();
    bad[3 * 4096] ^= 1;
    let answer = verify(&bad_data, &bad, &params, &root);
    assert!(
        matches!(
            answer,
            Err(VerityError::HashBlock {
                level: 1,
                index: 1,
                offset: 12288
            })
        ),
        "{answer:?}"
    );
    bad[4096] ^= 1;
    let answer = verify(&bad_data, &bad, &params, &root);
    assert!(
        matches!(
            answer,
            Err(VerityError::HashBlock {
                level: 2,
                index: 0,
                offset: 4096
            })
        ),
        "{answer:?}"
    );

    let mut other = root;
    other.0[31] ^= 1;
    let answer = verify(&data, &hash, &params, &other);
    assert!(
        matches!(answer, Err(VerityError::RootHash { expected, found }) if expected == other && found == root),
        "{answer:?}"
    );
    assert!(answer.unwrap_err().is_refusal());
}

#[test]
fn a_consistent_tree_over_other_data_is_refused() {
    let params = params(200, &[]);
    let (_, root) = our_tree(&data(200), &params, 2);
    let mut forged = data(200);
    forged[100] = 1;
    let (forged_hash, forged_root) = our_tree(&forged, &params, 2);
    verify(&forged, &forged_hash, &params, &forged_root).unwrap();
    let answer = verify(&forged, &forged_hash, &params, &root);
    assert!(matches!(answer, Err(VerityError::RootHash { .. })), "{answer:?}");
}

#[test]
fn hash_padding_that_the_tree_vouches_for_is_refused() {
    // A root hash over a top block with junk after its digests: no honest writer makes it.
    use sha2::{Digest, Sha256};
    let data = data(2);
    let params = params(2, &[]).with_hash_area(HashArea::TreeOnly);
    let (mut hash, _) = our_tree(&data, &params, 1);
    hash[4000] = 1;
    let root = RootHash(Sha256::digest(&hash).into());
    let answer = verify(&data, &hash, &params, &root);
    assert!(
        matches!(answer, Err(VerityError::HashPadding { level: 0, index: 0 })),
        "{answer:?}"
    );
}

#[test]
fn devices_that_end_early_are_no_refusal_but_a_read_error() {
    let full = data(600);
    let params = params(600, &[]);
    let (hash, root) = our_tree(&full, &params, 2);
    let answer = verify(&full[..599 * 4096], &hash, &params, &root);
    assert!(
        matches!(answer, Err(VerityError::ReadData { block: 512, .. })),
        "{answer:?}"
    );
    let answer = verify(&full, &hash[..hash.len() - 1], &params, &root);
    assert!(
        matches!(
            answer,
            Err(VerityError::ReadHash {
                level: 0,
                index: 4,
                ..
            })
        ),
        "{answer:?}"
    );
    assert!(!answer.unwrap_err().is_refusal());
}

#[test]
fn partitions_of_an_image_verify_in_place() {
    let full = data(130);
    let params = params(130, &[5; 16]);
    let (hash, root) = our_tree(&full, &params, 2);
    let mut image = vec![0xff; 512];
    image.extend(&full);
    image.extend(&hash);
    let data_part = Section::new(&image, 512, full.len() as u64);
    let hash_part = Section::new(&image, 512 + full.len() as u64, hash.len() as u64);
    verify_device(&data_part, &hash_part, &params, &root, &mut |_| {}, threads(2)).unwrap();
}
