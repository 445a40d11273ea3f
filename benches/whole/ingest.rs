//! Nodes taking transactions over gossip until they are in blocks, against the limit.

use std::time::{Duration, Instant};

use votenode::chain::transaction::Transaction;

use super::fixture::{Fixture, directory};
use super::limit::Work;
use super::load::{Generator, Load};
use super::node::{Node, import, total};
use super::sync::waiting;
use super::{Bound, Options, Report, machine};

/// Transactions that may be on their way to a block: a few blocks' worth, as a network that keeps up has.
const UNDER_WAY: usize = 12_288;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
const BLOCK_TIME_MS: u64 = 1_000;

/// `ingest_vs_limit` and `ingest_four_vs_limit`.
pub fn against_limit(options: &Options, report: &mut Report) {
    let fixture = Fixture::mined(BLOCK_TIME_MS);
    let voters = (options.transactions / 20).clamp(1_000, 50_000);
    let registrations = fixture.registrations(0..voters);
    let votes = fixture.votes(0..voters);
    let load = Load::new(&registrations, &votes);
    let all: Vec<Transaction> = registrations.into_iter().chain(votes).collect();
    let work = Work::of(&fixture.network, &all);
    let form = work.best_form();
    let limit = || {
        let before = machine::cpu_seconds(std::process::id());
        work.slice(form, 0, Duration::MAX);
        machine::cpu_seconds(std::process::id()) - before
    };
    let first = limit();
    let one = take(&fixture, voters, &load, 1);
    let between = limit();
    let four = take(&fixture, voters, &load, 4);
    let last = limit();
    for (name, taken) in [("one node", &one), ("four nodes", &four)] {
        eprintln!(
            "  {name}: {} transactions in {:.1} s, {:.2} CPU s without {:.2} of miners; limit {between:.2} CPU s",
            all.len(),
            taken.wall_seconds,
            taken.cpu_seconds,
            taken.miner_seconds
        );
    }
    let ratio = (first + between) / 2.0 / one.cpu_seconds;
    report.figure("ingest_vs_limit", ratio, "ratio", Bound::AtLeast(0.5));
    report.note("ingest_miner_cpu_seconds", one.miner_seconds, "s");
    report.note(
        "ingest_transactions_per_cpu_second",
        all.len() as f64 / one.cpu_seconds,
        "1/s",
    );
    let ratio = 4.0 * (between + last) / 2.0 / four.cpu_seconds;
    report.figure("ingest_four_vs_limit", ratio, "ratio", Bound::AtLeast(0.4));
}

struct Taken {
    wall_seconds: f64,
    cpu_seconds: f64,
    miner_seconds: f64,
}

/// Has so many nodes take the load until each of them has all of it in blocks.
fn take(fixture: &Fixture, voters: usize, load: &Load, count: usize) -> Taken {
    let scratch = tempfile::tempdir_in(directory()).unwrap();
    let genesis = fixture.write_genesis(scratch.path());
    let ground = fixture.chain_file(0, voters);
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..count {
        let dir = scratch.path().join(format!("node-{number}"));
        std::fs::create_dir_all(&dir).unwrap();
        import(&ground, &dir);
        let others: Vec<&Node> = nodes.iter().collect();
        let node = Node::start(&genesis, &dir, &others, &[]);
        node.until_peers(number as u64);
        nodes.push(node);
    }
    let mut generator = Generator::start(&genesis, &nodes[0].address(), load);
    let cpu = |nodes: &[Node]| nodes.iter().map(Node::cpu_seconds).sum::<f64>();
    let miners = |nodes: &[Node]| nodes.iter().map(Node::miner_seconds).sum::<f64>();
    let (cpu_before, miners_before, start) = (cpu(&nodes), miners(&nodes), Instant::now());

    let (mut published, mut sent) = (0, 0);
    let all: usize = load.counts.iter().sum();
    let mut included = 0;
    while included < all {
        // The slowest node counts: all have to keep up.
        included = nodes.iter().map(included_at).min().unwrap();
        let mut messages = 0;
        while published + messages < load.counts.len() {
            let next = load.counts[published + messages];
            // Who votes is on the roll.
            let is_vote = sent >= voters;
            if sent + next - included > UNDER_WAY || (is_vote && included < voters) {
                break;
            }
            sent += next;
            messages += 1;
        }
        if messages > 0 {
            published = generator.publish(messages);
        }
        std::thread::sleep(LOOK);
    }
    let miner_seconds = miners(&nodes) - miners_before;
    let taken = Taken {
        wall_seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: cpu(&nodes) - cpu_before - miner_seconds,
        miner_seconds,
    };
    nodes.into_iter().for_each(|node| {
        node.stop();
    });
    taken
}

/// Transactions of the load that are in blocks at a node.
fn included_at(node: &Node) -> usize {
    let status = node.status();
    let accepted = total(&status["counters"]["accepted"]);
    accepted.saturating_sub(waiting(&status)) as usize
}
