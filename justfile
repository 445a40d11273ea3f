# Every recipe does what CI does.

# list the recipes
default:
    @just --list

# watch a whole election on this machine
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# run all tests, or those whose names contain a word
test *filter:
    cargo test --workspace {{ filter }}

# formatting, lints and documentation
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# the tests on a LAN of network namespaces (Linux; root or user namespaces)
lan *filter:
    cargo test --workspace --test lan -- {{ filter }}

# finalisers killed at random instants, fifty times, and split two and two for a minute (the split: Linux, as above)
finality-kills kills="50" seed="1":
    VOTENODE_TEST_KILLS={{ kills }} VOTENODE_TEST_SEED={{ seed }} cargo test --test network finality -- --nocapture
    VOTENODE_TEST_SPLIT_SECONDS=60 cargo test --test lan finality -- --nocapture

# seven machines on such a LAN, with every kind of fault at once while people vote, for ten minutes (needs libfaketime too)
lan-chaos seconds="600" seed="1":
    VOTENODE_TEST_CHAOS_SECONDS={{ seconds }} VOTENODE_TEST_SEED={{ seed }} cargo test --test lan chaos -- --nocapture

# the power cut at every operation of recorded runs, and everything unsynced lost in many ways
power-cuts:
    VOTENODE_TEST_CUTS=all cargo test --lib -- power --nocapture

# hostile peers against a running node, so many times as long as in CI
attacks scale="10" *filter:
    VOTENODE_ATTACK_SCALE={{ scale }} cargo test --test attacks {{ filter }} -- --nocapture

# the gossip layer for a minute at a thousand messages a second
gossip-load:
    cargo test --release --package votenode-p2p -- --ignored links_survive_a_minute

# the fuzz targets, or one of them, with libFuzzer, each for so many seconds (nightly and cargo-fuzz)
fuzz target="all" seconds="600":
    .ci/fuzz {{ target }} {{ seconds }}

# the figures of docs/performance.md, or those whose names contain a word; about an hour for all (Linux)
bench *arguments:
    cargo bench --bench whole -- {{ arguments }}

# N seeds of the simulator from the first on, on all cores; a seed that fails says how to see it again
sim seeds="1000" first="1":
    #!/usr/bin/env bash
    set -o pipefail
    VOTENODE_SIM_SEEDS={{ seeds }} VOTENODE_SIM_FIRST={{ first }} \
        cargo test --release --test sim -- --nocapture every_seed_keeps_every_invariant 2>&1 \
        | awk '/^[0-9]+ passed, [0-9]+ failed$/ { summary = $0; next } { print; fflush() } END { print summary }'

# write the vectors of proto/ anew from the code; look at the difference before you commit it
vectors:
    VOTENODE_WRITE_VECTORS=1 cargo test --test conformance
    git diff --stat proto/vectors

# what a change has to pass
ci:
    .ci/run
