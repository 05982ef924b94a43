//! Every target with every seed, and with mutations of the seeds.
//!
//! 2000 mutations for each target, the same in every run. With `BENNU_FUZZ_SECONDS` set: for so many seconds,
//! shared out among the targets, beginning elsewhere each time. An input that makes a decoder panic is named by
//! its target and number and written to `target/fuzz/`; put it into the corpus with the fix.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_fuzz_replay::mutate::Random;
use bennu_fuzz_replay::{TARGETS, Target, for_each_target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MUTATIONS: u64 = 2000;
/// An input that takes longer than this, in a build without optimisation, is a finding too.
const SLOW: Duration = Duration::from_secs(10);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Runs one input; a panic or a long wait is kept as a file and told.
fn run(target: &Target, input: &[u8], what: &str) -> bool {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let trouble = match &outcome {
        Ok(_) if begun.elapsed() < SLOW => None,
        Ok(_) => Some(format!("took {:?}", begun.elapsed())),
        Err(_) => Some("panicked".to_owned()),
    };
    if let Some(trouble) = trouble {
        let folder = root().join("target/fuzz");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}-{}", target.name, what.replace(['/', ' '], "-")));
        std::fs::write(&file, input).unwrap();
        panic!(
            "{}: {what} {trouble}; the input is {}",
            target.name,
            file.display()
        );
    }
    outcome.unwrap_or(false)
}

fn replay(name: &str) {
    let seeds = seeds(name);
    let accepted = seeds
        .iter()
        .filter(|(path, seed)| run(target(name), seed, &path.file_name().unwrap().to_string_lossy()))
        .count();
    assert!(
        accepted > 0,
        "positive control: none of the {} seeds of {name} is accepted",
        seeds.len()
    );
    for edge in [0, 1, 3, 4, 511, 512, 513, 4096, 70_000] {
        for byte in [0x00, 0x20, 0xff] {
            run(
                target(name),
                &vec![byte; edge],
                &format!("{edge} bytes of {byte:#x}"),
            );
        }
    }
}

fn mutate(name: &str) {
    let target = target(name);
    let seeds: Vec<Vec<u8>> = seeds(name).into_iter().map(|(_, seed)| seed).collect();
    let seconds: Option<u64> = std::env::var("BENNU_FUZZ_SECONDS")
        .ok()
        .map(|s| s.parse().expect("seconds"));
    let (start, until) = match seconds {
        None => (0, None),
        Some(seconds) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            // The tests run on as many threads as there are cores, so the time is shared by all but them.
            let threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
            let share = Duration::from_secs(seconds) * threads / TARGETS.len() as u32;
            (now << 20, Some(Instant::now() + share))
        }
    };
    let (mut done, mut accepted) = (0, 0);
    while until.map_or(done < MUTATIONS, |until| Instant::now() < until) {
        let number = start + done;
        let input = Random::new(number).mutate(&seeds);
        accepted += u64::from(run(target, &input, &format!("mutation {number}")));
        done += 1;
    }
    println!("{name}: {done} mutations, {accepted} accepted");
    assert!(done > 0);
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn every_seed_is_read_and_one_at_least_is_accepted() {
                crate::replay(stringify!($name));
            }

            #[test]
            fn no_mutation_of_a_seed_makes_it_panic() {
                crate::mutate(stringify!($name));
            }
        })*
    };
}
for_each_target!(tests);

#[test]
fn every_corpus_has_a_target_and_all_are_small() {
    let mut bytes = 0;
    for folder in std::fs::read_dir(root().join("fuzz/corpus")).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        assert!(
            TARGETS.iter().any(|target| target.name == name),
            "{name}: no such target"
        );
        bytes += seeds(&name).iter().map(|(_, seed)| seed.len()).sum::<usize>();
    }
    assert!(bytes < 300_000, "{bytes} bytes of seeds");
}

#[test]
fn every_target_has_its_libfuzzer_binary() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        assert!(
            manifest.contains(&format!("path = \"{path}\"")),
            "{path} is not in fuzz/Cargo.toml"
        );
        let source = std::fs::read_to_string(root().join("fuzz").join(&path)).unwrap();
        assert!(
            source.contains(&format!("bennu_fuzz_replay::{}(data)", target.name)),
            "{path}"
        );
    }
}
