//! What is fuzzed: a function of bytes for each way in which something from outside gets into a program. A target panics
//! when something is wrong, and is shared by `cargo test`, which runs it over a corpus and mutations of it, and by
//! libFuzzer (`fuzz/`).
//!
//! Each target takes any bytes; those that put things together read their choices from them (`arbitrary`), so that a
//! fuzzer steers what happens. Targets know the library's public interface alone.
#![allow(clippy::unwrap_used)]

mod files;
mod machine;
mod messages;
mod requests;
mod texts;
mod validation;
pub mod world;

/// A target.
pub struct Target {
    /// The name of the program in `fuzz/`.
    pub name: &'static str,
    /// Takes any bytes, and panics only for a fault of the library.
    pub run: fn(&[u8]),
    /// How many mutations `cargo test` tries: the dearer the fewer.
    pub mutations: usize,
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "messages",
        run: messages::run,
        mutations: 15_000,
    },
    Target {
        name: "texts",
        run: texts::run,
        mutations: 8_000,
    },
    Target {
        name: "files",
        run: files::run,
        mutations: 300,
    },
    Target {
        name: "transactions",
        run: validation::transactions,
        mutations: 500,
    },
    Target {
        name: "blocks",
        run: validation::blocks,
        mutations: 300,
    },
    Target {
        name: "requests",
        run: requests::run,
        mutations: 2_000,
    },
    Target {
        name: "machine",
        run: machine::run,
        mutations: 200,
    },
];

/// Runs the target of this name: what its program does.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the name of a target").run)(data);
}

/// A receipt of the network that targets work in, for the corpus.
pub fn receipt() -> Vec<u8> {
    world::world().receipt()
}

/// Names of the forms of files that target `files` reads, each chosen by its place; for the corpus.
pub use files::NAMES as FILES;
/// Names of the messages that target `messages` decodes, each chosen by its place; for the corpus.
pub use messages::names as message_names;
/// Names of the forms of text that target `texts` reads, each chosen by its place; for the corpus.
pub use texts::names as text_names;
