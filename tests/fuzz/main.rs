//! Every target of `fuzz/` without libFuzzer: over its corpus, and over a few thousand mutations of it. So targets build
//! and hold wherever the tests run, with no other toolchain.
#![allow(clippy::unwrap_used)]

mod corpus;
mod mutation;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mutation::{Dice, mutated};
use targets::{TARGETS, Target};

/// Where to write the corpora, a directory for each target.
const WRITE: &str = "VOTENODE_WRITE_CORPUS";
/// How many times as many mutations as usual.
const FACTOR: &str = "VOTENODE_TEST_MUTATIONS";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| targets::run(target.name, input))) {
        println!(
            "target {} fails with these bytes: {}",
            target.name,
            hex(input)
        );
        std::panic::resume_unwind(panic);
    }
}

fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = corpus::seeds(name);
    assert!(seeds.len() >= 5, "{} seeds", seeds.len());
    for seed in seeds.iter().chain([&Vec::new()]) {
        run(target, seed);
    }
    let factor = std::env::var(FACTOR).map_or(1, |factor| factor.parse().unwrap());
    let mut dice = Dice::new(name);
    for _ in 0..target.mutations * factor {
        run(target, &mutated(&mut dice, &seeds));
    }
}

#[test]
fn messages() {
    hold("messages");
}

#[test]
fn texts() {
    hold("texts");
}

#[test]
fn files() {
    hold("files");
}

#[test]
fn transactions() {
    hold("transactions");
}

#[test]
fn blocks() {
    hold("blocks");
}

#[test]
fn requests() {
    hold("requests");
}

#[test]
fn machine() {
    hold("machine");
}

/// `fuzz/` has a program for each target and no other, and each has a corpus, which is written where that is asked for.
#[test]
fn every_target_has_a_program_and_a_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut programs: Vec<String> = std::fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    programs.sort();
    let mut names = TARGETS.map(|target| target.name);
    names.sort_unstable();
    assert_eq!(programs, names);
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        if let Some(root) = std::env::var_os(WRITE) {
            let folder = Path::new(&root).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for (number, seed) in corpus::seeds(name).iter().enumerate() {
                std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
            }
        }
    }
}
