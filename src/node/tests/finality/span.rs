//! A long backlog becomes final in steps that receipts can span.

use super::*;
use crate::client::receipt;
use crate::protocol::receipt::Receipt;

/// A span that takes few blocks to exceed.
const SPAN: u64 = 4;

/// Holds the finaliser of a host to the short span.
fn narrow(net: &mut Net, host: usize) {
    net.node_mut(host).finality.span = SPAN;
}

/// Heights of the checkpoints, the genesis block first.
fn checkpoints(net: &Net, host: usize) -> Vec<u64> {
    let snapshot = net.node(host).store().snapshot();
    let last = last_certificate(net, host).map_or(0, |last| last.checkpoint);
    let heights = (1..=last).map(|number| snapshot.certificate(number).unwrap().unwrap().height);
    [0].into_iter().chain(heights).collect()
}

/// One block for each of these voters' registrations.
fn blocks(net: &mut Net, host: usize, voters: std::ops::Range<u8>) -> Vec<Transaction> {
    let network = Arc::clone(&net.network);
    voters
        .map(|voter| {
            let transaction = testing::register(&network, voter);
            net.accept(host, vec![transaction.clone()]);
            net.until("included", 20_000, |net| {
                net.is_included(host, transaction.id())
            });
            transaction
        })
        .collect()
}

/// The receipt of a transaction that is final, as a client puts it together.
fn receipt_of(net: &Net, host: usize, transaction: &Transaction) -> Receipt {
    let TxStatus::Final {
        inclusion,
        certificate,
    } = net.status(host, transaction.id())
    else {
        panic!("{:?}", net.status(host, transaction.id()));
    };
    let snapshot = net.node(host).store().snapshot();
    let top = snapshot.header(&certificate.block).unwrap().unwrap().height;
    let headers = inclusion.header.height + 1..=top;
    let headers = headers.map(|height| snapshot.main_block(height).unwrap().unwrap().1);
    Receipt {
        version: receipt::VERSION,
        network: net.network.id(),
        transaction: transaction.clone(),
        headers: List::new(headers.collect()).unwrap(),
        inclusion,
        certificate: List::new(vec![certificate]).unwrap(),
        changes: List::new(Vec::new()).unwrap(),
    }
}

#[test]
fn a_long_backlog_becomes_final_in_steps_and_every_receipt_is_anchored() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    net.crash(2);
    net.crash(3);
    for host in 0..2 {
        narrow(&mut net, host);
    }
    let transactions = blocks(&mut net, 0, 1..20);
    let tip = net.tip(0).0;
    assert!(tip >= 3 * SPAN, "{tip} blocks");
    for host in 2..4 {
        net.start(host);
        narrow(&mut net, host);
    }
    net.until("settled", 120_000, settled);
    for host in 0..4 {
        let heights = checkpoints(&net, host);
        let steps: Vec<u64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| *step <= SPAN), "{steps:?}");
        assert!(steps.contains(&SPAN), "{steps:?}");
        for transaction in &transactions {
            let receipt = receipt_of(&net, host, transaction);
            assert!((receipt.headers.len() as u64) < SPAN);
            let proved = receipt::verify(&network, &receipt).unwrap();
            assert!(proved.checkpoint.is_some());
        }
    }
}

/// One proposes its tip, however far above the last checkpoint it is: the others vote for nil, and propose less in their
/// turns.
#[test]
fn a_proposal_beyond_the_span_is_not_voted_for() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    net.crash(2);
    net.crash(3);
    // The first proposes its tip, however far above it is.
    let wide = proposer_of(4, 1);
    for host in 0..2 {
        if host != wide {
            narrow(&mut net, host);
        }
    }
    let transactions = blocks(&mut net, 0, 1..20);
    for host in 2..4 {
        net.start(host);
    }
    for host in 0..4 {
        if host != wide {
            narrow(&mut net, host);
        }
    }
    let mut record = Record::default();
    net.until("final", 120_000, |net| {
        transactions
            .iter()
            .all(|transaction| is_final(net, 0, transaction.id()))
    });
    record.check(&net);
    let heights = checkpoints(&net, 0);
    let steps: Vec<u64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| *step <= SPAN), "{steps:?}");
    let own = key(wide as u8 + 1).public_key();
    let snapshot = net.node(0).store().snapshot();
    let too_far = record.said.iter().any(|((by, checkpoint, _, kind), said)| {
        let proposed = said
            .message
            .block()
            .and_then(|block| snapshot.header(&block).unwrap());
        let base = heights[*checkpoint as usize - 1];
        *by == own
            && *kind == FinalityMessage::PROPOSAL
            && proposed.is_some_and(|header| header.height > base + SPAN)
    });
    assert!(too_far, "nobody proposed too much");
}

/// A certificate is valid however high its block is: whoever holds to the span takes it.
#[test]
fn a_certificate_beyond_the_span_is_taken() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    net.crash(2);
    net.crash(3);
    let transactions = blocks(&mut net, 0, 1..12);
    for host in 2..4 {
        net.start(host);
    }
    let narrowed = net.add(host(None));
    narrow(&mut net, narrowed);
    // One of four votes for nil until the others have decided.
    narrow(&mut net, 3);
    net.until("settled", 120_000, settled);
    let heights = checkpoints(&net, narrowed);
    assert!(
        heights.windows(2).any(|pair| pair[1] - pair[0] > SPAN),
        "{heights:?}"
    );
    assert!(
        transactions
            .iter()
            .all(|transaction| is_final(&net, 3, transaction.id()))
    );
}
