//! A fresh node catching up against the audit; what its data takes on disk; how long it takes to start.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use votenode::chain::transaction::Transaction;
use votenode::control::Request;
use votenode::datadir::DataPaths;
use votenode::store::{Store, StoreConfig};
use votenode::wire;

use super::audit::audit;
use super::fixture::{Fixture, directory, transactions};
use super::node::{Node, import, total};
use super::{Bound, Options, Report, machine, median};

/// Transactions of a request over the control socket.
const SUBMISSION: usize = 500;

/// `sync_vs_audit`, `disk_over_encoded`, `startup_ms`, `startup_after_kill_ms`.
pub fn catch_up(fixture: &Fixture, options: &Options, report: &mut Report) {
    let count = options.transactions;
    // Voters who register before the node is killed, so that it has something that is in no index yet.
    let late = (count / 50).min(10_000);
    let file = fixture.chain_file(count, count / 2 + late);
    let scratch = tempfile::tempdir_in(directory()).unwrap();
    let dir = |name: &str| scratch.path().join(name);
    let genesis = fixture.write_genesis(scratch.path());

    import(&file, &dir("one"));
    import(&file, &dir("two"));
    let before = audit(&file);
    let mut synced = Vec::new();
    for run in 0..options.repeats {
        let fresh = dir(&format!("fresh-{run}"));
        let [one, two] =
            ["one", "two"].map(|name| Node::start(&genesis, &dir(name), &[], &["--no-mine"]));
        let tip = one.status()["tip"]["id"].clone();
        let start = Instant::now();
        let node = Node::start(&genesis, &fresh, &[&one, &two], &["--no-mine"]);
        node.until("the tip", |status| {
            status["tip"]["id"] == tip && status["syncing"] == false
        });
        let (wall, cpu) = (start.elapsed().as_secs_f64(), node.cpu_seconds());
        eprintln!(
            "  sync {wall:.2} s, {cpu:.2} CPU s, peak {} MB",
            machine::memory(node.id(), "VmHWM").unwrap_or(0) / 1_000_000
        );
        // What it says it has, it has on disk.
        synced.push(node.stop());
        let store = Store::open_read_only(&DataPaths::new(&fresh), StoreConfig::default()).unwrap();
        assert_eq!(tip, store.snapshot().tip().id.to_string());
        one.stop();
        two.stop();
    }
    let after = audit(&file);
    let audited = (before.cpu_seconds + after.cpu_seconds) / 2.0;
    report.figure(
        "sync_vs_audit",
        audited / median(&mut synced),
        "ratio",
        Bound::AtLeast(0.7),
    );

    let data = dir("fresh-0");
    let encoded: usize = transactions(&file)
        .par_iter()
        .map(|one| wire::encode(one).len())
        .sum();
    let disk = machine::allocated(&data) as f64 / encoded as f64;
    report.figure("disk_over_encoded", disk, "ratio", Bound::AtMost(1.8));

    let mut starts = Vec::new();
    for _ in 0..options.repeats {
        let (node, time) = timed_start(&genesis, &data);
        starts.push(time);
        node.stop();
    }
    report.figure(
        "startup_ms",
        median(&mut starts),
        "ms",
        Bound::AtMost(2_000.0),
    );

    let mut starts = Vec::new();
    let late = fixture.registrations(count / 2..count / 2 + late);
    let parts = late.chunks(late.len().div_ceil(options.repeats));
    for part in parts {
        let (node, _) = timed_start(&genesis, &data);
        let roll = node.status()["tip"]["roll_size"].as_u64().unwrap();
        submit(&node, part);
        node.until("late registrations", |status| {
            status["tip"]["roll_size"].as_u64() == Some(roll + part.len() as u64)
        });
        node.kill();
        let (node, time) = timed_start(&genesis, &data);
        assert_eq!(
            node.status()["tip"]["roll_size"].as_u64(),
            Some(roll + part.len() as u64)
        );
        starts.push(time);
        node.stop();
    }
    report.figure(
        "startup_after_kill_ms",
        median(&mut starts),
        "ms",
        Bound::AtMost(4_000.0),
    );
}

/// Starts a node and waits until it answers. Gives the milliseconds that it took.
fn timed_start(genesis: &Path, data: &Path) -> (Node, f64) {
    let start = Instant::now();
    let node = Node::start(genesis, data, &[], &[]);
    (node, start.elapsed().as_secs_f64() * 1e3)
}

/// Hands transactions to a node until it has accepted all of them.
pub fn submit(node: &Node, transactions: &[Transaction]) {
    let mut client = node.client().unwrap();
    for part in transactions.chunks(SUBMISSION) {
        let mut waiting: Vec<String> = part.iter().map(|one| hex(&wire::encode(one))).collect();
        while !waiting.is_empty() {
            let request = Request::Submit {
                transactions: waiting.clone(),
            };
            let answer = client.ask(&request).unwrap();
            let outcomes = answer.as_array().unwrap();
            let busy = |outcome: &serde_json::Value| outcome["outcome"] == "busy";
            for outcome in outcomes {
                let word = outcome["outcome"].as_str().unwrap_or_default();
                assert!(
                    ["accepted", "duplicate", "busy"].contains(&word),
                    "refused: {outcome}"
                );
            }
            let mut outcomes = outcomes.iter();
            waiting.retain(|_| outcomes.next().is_some_and(busy));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Transactions that wait at a node.
pub fn waiting(status: &serde_json::Value) -> u64 {
    total(&status["mempool"]["transactions"]) + status["mempool"]["held"].as_u64().unwrap_or(0)
}
