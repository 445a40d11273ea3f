//! Ten times the load that a node can take: it says `busy`, loses nothing that it accepted, and recovers by itself.

use std::time::{Duration, Instant};

use votenode::chain::transaction::Transaction;
use votenode::genesis::Parameters;
use votenode::protocol::submit::{Outcome, Reply, Request};
use votenode::wire::List;

use super::fixture::{Fixture, directory};
use super::node::{Node, import, total};
use super::peer::Peer;
use super::sync::waiting;
use super::{Bound, Options, Report, machine};

/// Clients that hand in what they have, without a pause.
const CLIENTS: usize = 4;
/// Transactions of a request.
const SUBMISSION: usize = 100;
/// What a block holds, so that what the node can take is known: this many a second.
const BLOCK_TRANSACTIONS: u64 = 500;
/// Room of the mempool; the least that may be set is 1,000.
const ROOM: &str = "1000";

/// `overload_…`: registrations at ten times the rate at which blocks take them.
pub fn tenfold(options: &Options, report: &mut Report) {
    let fixture = Fixture::with(Parameters {
        block_time_ms: 1_000,
        max_block_transactions: BLOCK_TRANSACTIONS,
        ..Parameters::default()
    });
    let seconds = if options.full { 20 } else { 2 };
    let rate = 10 * BLOCK_TRANSACTIONS as usize;
    let all = fixture.registrations(0..rate * seconds);
    let scratch = tempfile::tempdir_in(directory()).unwrap();
    let genesis = fixture.write_genesis(scratch.path());
    let dir = scratch.path().join("node");
    std::fs::create_dir_all(&dir).unwrap();
    import(&fixture.chain_file(0, all.len()), &dir);
    let node = Node::start(&genesis, &dir, &[], &["--mempool-transactions", ROOM]);
    let idle = machine::memory(node.id(), "VmRSS").unwrap();
    let address = node.address();

    let start = Instant::now();
    let said: Vec<Said> = std::thread::scope(|scope| {
        let clients: Vec<_> = all
            .chunks(all.len().div_ceil(CLIENTS))
            .map(|part| scope.spawn(|| hand_in(&fixture, &address, part, seconds)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let offered = all.len() as f64 / start.elapsed().as_secs_f64();
    let sum = |of: fn(&Said) -> u64| said.iter().map(of).sum::<u64>();
    let (accepted, busy, lost) = (
        sum(|said| said.accepted),
        sum(|said| said.busy),
        sum(|said| said.unanswered),
    );
    let peak = machine::memory(node.id(), "VmHWM").unwrap();

    let start = Instant::now();
    let settled = node.until("an empty mempool", |status| waiting(status) == 0);
    let recovery = start.elapsed().as_secs_f64();
    let included = settled["tip"]["roll_size"].as_u64().unwrap();
    let dropped = settled["counters"]["dropped"].as_u64().unwrap();
    eprintln!(
        "  offered {offered:.0}/s where blocks take {BLOCK_TRANSACTIONS}/s; {accepted} accepted, {busy} busy, {lost} \
         without an answer; {included} included, {dropped} dropped; {} accepted by the node's count",
        total(&settled["counters"]["accepted"])
    );
    // It recovered by itself: whoever was told to come again is served.
    super::sync::submit(&node, &all[all.len() - 100..]);
    node.until("those who came again", |status| waiting(status) == 0);
    let missing = accepted.saturating_sub(included);
    report.figure(
        "overload_accepted_lost",
        missing as f64,
        "transactions",
        Bound::AtMost(0.0),
    );
    report.figure("overload_busy", busy as f64, "answers", Bound::AtLeast(1.0));
    report.note("overload_recovery_s", recovery, "s");
    report.figure(
        "overload_growth_mb",
        peak.saturating_sub(idle) as f64 / 1e6,
        "MB",
        Bound::AtMost(200.0),
    );
    node.stop();
}

/// What a client was told, counted by transaction.
#[derive(Default)]
struct Said {
    accepted: u64,
    busy: u64,
    unanswered: u64,
}

/// Hands transactions in, spread evenly over so many seconds, and asks for none again.
fn hand_in(fixture: &Fixture, address: &str, transactions: &[Transaction], seconds: usize) -> Said {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let peer = Peer::connect(&fixture.network, address, &[]).await;
        let mut said = Said::default();
        let parts = transactions.len().div_ceil(SUBMISSION);
        let pause = Duration::from_secs(seconds as u64) / parts as u32;
        let start = tokio::time::Instant::now();
        for (number, part) in transactions.chunks(SUBMISSION).enumerate() {
            tokio::time::sleep_until(start + pause * number as u32).await;
            let request = Request::Submit {
                transactions: List::new(part.to_vec()).unwrap(),
            };
            match peer.ask(&request).await {
                Some(Reply::Submit { outcomes }) => {
                    for outcome in outcomes.iter() {
                        match outcome {
                            Outcome::Accepted {} | Outcome::Duplicate {} => said.accepted += 1,
                            Outcome::Busy {} => said.busy += 1,
                            Outcome::Rejected { reason } => panic!("refused: {}", reason.text),
                        }
                    }
                }
                Some(Reply::Busy {}) => said.busy += part.len() as u64,
                Some(other) => panic!("no answer to a submission: {other:?}"),
                None => said.unanswered += part.len() as u64,
            }
        }
        said
    })
}
