//! Five nodes that mine: registrations all at once, and how long a vote takes on an idle network.

use std::time::{Duration, Instant};

use votenode::chain::transaction::Transaction;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::names::Topic;
use votenode::protocol::submit::{Reply, Request, TxStatus};
use votenode::wire::{self, List};

use super::fixture::{Fixture, directory};
use super::node::{Node, import};
use super::peer::Peer;
use super::sync::{submit, waiting};
use super::{Bound, Options, Report};

const NODES: usize = 5;
const BLOCK_TIME_MS: u64 = 1_000;
/// Between two questions whether a vote is in a block.
const ASK: Duration = Duration::from_millis(5);

/// Five connected nodes.
struct Five {
    nodes: Vec<Node>,
    _scratch: tempfile::TempDir,
}

impl Five {
    /// Starts them on the chain in a file.
    fn start(fixture: &Fixture, file: &std::path::Path) -> Self {
        let scratch = tempfile::tempdir_in(directory()).unwrap();
        let genesis = fixture.write_genesis(scratch.path());
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..NODES {
            let dir = scratch.path().join(format!("node-{number}"));
            std::fs::create_dir_all(&dir).unwrap();
            import(file, &dir);
            let others: Vec<&Node> = nodes.iter().collect();
            let node = Node::start(&genesis, &dir, &others, &[]);
            nodes.push(node);
        }
        nodes
            .iter()
            .for_each(|node| node.until_peers(NODES as u64 - 1));
        Self {
            nodes,
            _scratch: scratch,
        }
    }

    /// Waits until so many voters are on the roll of every node and nothing waits.
    fn until_settled(&self, roll: u64) {
        for node in &self.nodes {
            node.until("a roll", |status| {
                status["tip"]["roll_size"].as_u64() >= Some(roll) && waiting(status) == 0
            });
        }
    }
}

/// `concurrent_registrations`: the share included, and the rate against one at a time.
pub fn registrations(options: &Options, report: &mut Report) {
    let fixture = Fixture::mined(BLOCK_TIME_MS);
    let (many, few) = if options.full { (10_000, 5) } else { (200, 2) };
    let file = fixture.chain_file(0, many + few);
    let five = Five::start(&fixture, &file);

    let start = Instant::now();
    for (number, transaction) in fixture.registrations(many..many + few).iter().enumerate() {
        submit(&five.nodes[0], std::slice::from_ref(transaction));
        five.nodes[0].until("a registration", |status| {
            status["tip"]["roll_size"].as_u64() == Some(number as u64 + 1)
        });
    }
    let one_by_one = few as f64 / start.elapsed().as_secs_f64();
    five.until_settled(few as u64);

    let all = fixture.registrations(0..many);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (node, part) in five.nodes.iter().zip(all.chunks(many.div_ceil(NODES))) {
            scope.spawn(move || submit(node, part));
        }
    });
    five.until_settled((few + many) as u64);
    let at_once = many as f64 / start.elapsed().as_secs_f64();
    let included: Vec<u64> = five
        .nodes
        .iter()
        .map(|node| node.status()["tip"]["roll_size"].as_u64().unwrap() - few as u64)
        .collect();
    let share = *included.iter().min().unwrap() as f64 / many as f64;
    eprintln!("  {at_once:.0} a second at once, {one_by_one:.2} one by one");
    report.figure(
        "concurrent_registrations",
        share,
        "share",
        Bound::AtLeast(1.0),
    );
    report.figure(
        "concurrent_registrations_speedup",
        at_once / one_by_one,
        "ratio",
        Bound::AtLeast(100.0),
    );
}

/// `propagation_p99_ms` and `cast_to_included_p95_ms`.
pub fn latency(options: &Options, report: &mut Report) {
    let fixture = Fixture::mined(BLOCK_TIME_MS);
    let (spread, cast) = if options.full { (200, 40) } else { (10, 2) };
    let voters = spread + cast;
    // Everybody is on the roll and nobody has voted.
    let five = Five::start(&fixture, &fixture.roll_file(voters));
    let votes = fixture.votes(0..voters);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut observers = Vec::new();
        for node in &five.nodes {
            observers.push(Peer::connect(&fixture.network, &node.address(), &[Topic::Vote]).await);
        }
        let mut times = Vec::new();
        let topic = Topic::Vote.full_name(&fixture.network.id());
        let mut random = Random(1);
        let (spread_ones, cast_ones) = votes.split_at(spread);
        for transaction in spread_ones {
            let batch = TransactionBatch {
                transactions: List::new(vec![transaction.clone()]).unwrap(),
            };
            let data = wire::encode(&batch);
            let start = Instant::now();
            observers[0]
                .handle
                .publish(&topic, data.clone())
                .await
                .unwrap();
            for observer in &mut observers[1..] {
                while observer.heard.recv().await.unwrap() != data {}
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        report.figure(
            "propagation_p99_ms",
            percentile(&mut times, 99),
            "ms",
            Bound::AtMost(BLOCK_TIME_MS as f64 / 4.0),
        );

        let mut times = Vec::new();
        for transaction in cast_ones {
            let at = random.below(2 * BLOCK_TIME_MS);
            tokio::time::sleep(Duration::from_millis(at)).await;
            times.push(cast_one(&observers[0], &topic, transaction).await);
        }
        let bound = 2.0 * BLOCK_TIME_MS as f64;
        report.figure(
            "cast_to_included_p95_ms",
            percentile(&mut times, 95),
            "ms",
            Bound::AtMost(bound),
        );
    });
}

/// Publishes a transaction and asks until it is in a block. Gives the milliseconds that it took.
async fn cast_one(peer: &Peer, topic: &str, transaction: &Transaction) -> f64 {
    let batch = TransactionBatch {
        transactions: List::new(vec![transaction.clone()]).unwrap(),
    };
    let ids = List::new(vec![transaction.id()]).unwrap();
    let start = Instant::now();
    peer.handle
        .publish(topic, wire::encode(&batch))
        .await
        .unwrap();
    loop {
        let reply = peer.ask(&Request::Status { ids: ids.clone() }).await;
        if let Some(Reply::Status { statuses }) = reply
            && statuses
                .iter()
                .any(|state| matches!(state, TxStatus::Included { .. }))
        {
            return start.elapsed().as_secs_f64() * 1e3;
        }
        tokio::time::sleep(ASK).await;
    }
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100) - 1]
}

/// Numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
