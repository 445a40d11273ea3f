//! What a node takes when nothing happens: with nothing in its chain, and with a million voters.

use std::time::Duration;

use super::fixture::{Fixture, directory};
use super::node::{Node, import};
use super::{Bound, Options, Report, machine};

/// `idle_rss_mb` and `idle_cpu_percent`: two empty nodes that are connected; the dearer one counts.
pub fn empty(options: &Options, report: &mut Report) {
    let fixture = Fixture::mined(1_000);
    let scratch = tempfile::tempdir_in(directory()).unwrap();
    let genesis = fixture.write_genesis(scratch.path());
    let one = Node::start(&genesis, &scratch.path().join("one"), &[], &[]);
    let two = Node::start(&genesis, &scratch.path().join("two"), &[&one], &[]);
    [&one, &two].iter().for_each(|node| node.until_peers(1));
    // What they do once connected is done by then; what they do regularly is not.
    let (settle, watch) = if options.full { (15, 60) } else { (1, 1) };
    std::thread::sleep(Duration::from_secs(settle));
    let before = [&one, &two].map(Node::cpu_seconds);
    std::thread::sleep(Duration::from_secs(watch));
    let after = [&one, &two].map(Node::cpu_seconds);
    let percent = (0..2).map(|node| (after[node] - before[node]) / watch as f64 * 100.0);
    let resident = [&one, &two].map(|node| machine::memory(node.id(), "VmRSS").unwrap());
    report.figure(
        "idle_rss_mb",
        resident[0].max(resident[1]) as f64 / 1e6,
        "MB",
        Bound::AtMost(40.0),
    );
    report.figure(
        "idle_cpu_percent",
        percent.fold(0.0, f64::max),
        "percent",
        Bound::AtMost(0.5),
    );
}

/// `rss_bytes_per_voter`: all that a node holds in memory, over its voters, each of whom has voted. As many as the chain
/// of the other figures has transactions.
pub fn per_voter(options: &Options, report: &mut Report) {
    let fixture = Fixture::read();
    let voters = options.transactions;
    let file = fixture.chain_file(2 * voters, voters);
    let scratch = tempfile::tempdir_in(directory()).unwrap();
    let genesis = fixture.write_genesis(scratch.path());
    let dir = scratch.path().join("node");
    std::fs::create_dir_all(&dir).unwrap();
    import(&file, &dir);
    let node = Node::start(&genesis, &dir, &[], &["--no-mine"]);
    let status = node.status();
    assert_eq!(status["tip"]["roll_size"].as_u64(), Some(voters as u64));
    // The result is counted, which reads every vote.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use votenode::protocol::submit::{Reply, Request};
        let peer = super::peer::Peer::connect(&fixture.network, &node.address(), &[]).await;
        let request = Request::Result {
            election: fixture.election,
        };
        let result = loop {
            match peer.ask(&request).await {
                Some(Reply::Result { result }) => break result,
                other => eprintln!("  no result yet: {other:?}"),
            }
        };
        assert_eq!(
            result.iter().map(|result| result.tally.votes).sum::<u64>(),
            voters as u64
        );
    });
    let resident = machine::memory(node.id(), "VmRSS").unwrap();
    let peak = machine::memory(node.id(), "VmHWM").unwrap();
    let bytes = resident as f64 / voters as f64;
    eprintln!(
        "  {} MB resident, at most {}",
        resident / 1_000_000,
        peak / 1_000_000
    );
    report.figure("rss_bytes_per_voter", bytes, "bytes", Bound::AtMost(200.0));
    node.stop();
}
