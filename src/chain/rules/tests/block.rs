//! Every reason against a block, provoked; templates and their limits.

use crate::chain::block::{Block, BlockId, Header, Transactions};
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::{BlockInvalid, Invalid};
use crate::chain::rules::{
    Skip, Template, TemplateLimits, block_bytes, check_header, fill_template,
};
use crate::chain::testing::*;
use crate::crypto::Hash;
use crate::wire;

fn template(chain: &Chain) -> Template {
    let network = &chain.network;
    let transactions = chain.verified(vec![
        issue(network, "club", &[1]),
        register_with(network, 1, 1),
        register(network, 2),
    ]);
    let template = chain.template(1_000, transactions);
    assert_eq!(template.skipped, []);
    template
}

#[test]
fn a_template_is_a_valid_block_with_the_same_effect() {
    let chain = Chain::new(network());
    let template = template(&chain);
    let delta = chain
        .check(&template.header, &template.transactions)
        .unwrap();
    assert_eq!(delta, *template.delta.delta());
    assert_eq!(delta.voters.len(), 2);
    assert_eq!(
        check_header(&chain.network, &chain.tip, &template.header),
        Ok(template.header.id())
    );
}

#[test]
fn headers_follow_their_parent() {
    let chain = Chain::new(network());
    let good = template(&chain);
    let refused = |change: &dyn Fn(&mut Header)| {
        let mut header = good.header.clone();
        change(&mut header);
        chain.check(&header, &good.transactions).unwrap_err()
    };
    assert_eq!(
        refused(&|h| h.version = 2),
        BlockInvalid::Version { got: 2, want: 1 }
    );
    assert_eq!(
        refused(&|h| h.network = NetworkId::ZERO),
        BlockInvalid::WrongNetwork
    );
    for got in [0, 2, u64::MAX] {
        assert_eq!(
            refused(&|h| h.height = got),
            BlockInvalid::Height { got, want: 1 }
        );
    }
    assert_eq!(refused(&|h| h.parent = BlockId::ZERO), BlockInvalid::Parent);
    let earliest = START_MS + 1_000;
    for got in [0, earliest - 1] {
        assert_eq!(
            refused(&|h| h.timestamp_ms = got),
            BlockInvalid::Timestamp { got, earliest }
        );
    }
    assert_eq!(
        refused(&|h| h.transaction_root = Hash::ZERO),
        BlockInvalid::TransactionRoot
    );
    for size in [0, 1, 3, u64::MAX] {
        assert_eq!(refused(&|h| h.roll_size = size), BlockInvalid::Roll);
    }
    assert_eq!(refused(&|h| h.roll_root = Hash::ZERO), BlockInvalid::Roll);
}

#[test]
fn nothing_overflows_at_the_end_of_the_range() {
    let chain = Chain::new(network());
    let mut parent = chain.tip.clone();
    parent.timestamp_ms = wire::MAX_UINT;
    parent.roll_size = wire::MAX_UINT;
    let mut child = template(&chain).header;
    child.parent = parent.id();
    child.timestamp_ms = wire::MAX_UINT;
    let earliest = wire::MAX_UINT + 1_000;
    assert_eq!(
        check_header(&chain.network, &parent, &child),
        Err(BlockInvalid::Timestamp {
            got: wire::MAX_UINT,
            earliest
        })
    );
    parent.height = u64::MAX;
    assert!(matches!(
        check_header(&chain.network, &parent, &child),
        Err(BlockInvalid::Height { want: u64::MAX, .. })
    ));
}

#[test]
fn work_is_asked_for() {
    let mut target = [0xff; 32];
    target[0] = 0x0f;
    let chain = Chain::new(network_with(|genesis| {
        genesis.target = Hash::from_bytes(target);
    }));
    let template = template(&chain);
    let mut header = template.header.clone();
    let (mut with, mut without) = (0, 0);
    for nonce in 0..2_000u64 {
        header.nonce = crate::chain::block::Nonce::from_bytes(nonce.to_be_bytes());
        let enough = header.id().as_bytes()[0] <= 0x0f;
        match chain.check(&header, &template.transactions) {
            Ok(_) => {
                assert!(enough);
                with += 1;
            }
            Err(reason) => {
                assert_eq!(reason, BlockInvalid::Work);
                assert!(!enough);
                without += 1;
            }
        }
        if with > 0 && without > 0 {
            return;
        }
    }
    panic!("no nonce in 2,000 has four zero bits");
}

#[test]
fn transactions_are_those_committed_to_in_their_order() {
    let chain = Chain::new(network());
    let good = template(&chain);
    let mut swapped = good.transactions.clone();
    swapped.swap(0, 1);
    let mut twice = good.transactions.clone();
    twice.push(twice[0].clone());
    for other in [&swapped, &twice, &good.transactions[1..].to_vec()] {
        assert_eq!(
            chain.check(&good.header, other).unwrap_err(),
            BlockInvalid::TransactionRoot
        );
    }
    // Honestly committed to, but in an order in which they depend on what comes later.
    let mut header = good.header.clone();
    header.transaction_root = super::super::block::transaction_root(&swapped);
    let key = invitation(1).public_key();
    assert_eq!(
        chain.check(&header, &swapped).unwrap_err(),
        BlockInvalid::Transaction {
            index: 0,
            reason: Invalid::InvitationUnknown(key),
        }
    );
    header.transaction_root = super::super::block::transaction_root(&twice);
    assert_eq!(
        chain.check(&header, &twice).unwrap_err(),
        BlockInvalid::Transaction {
            index: 3,
            reason: Invalid::InvitationExists(key),
        }
    );
}

#[test]
fn blocks_are_bounded_by_the_genesis() {
    let chain = Chain::new(network_with(|genesis| genesis.max_block_transactions = 2));
    let network = &chain.network;
    let roomy = Chain::new(network_with(|genesis| genesis.max_block_transactions = 3));
    let mut three = template(&roomy);
    three.transactions = chain.verified(vec![
        register(network, 1),
        register(network, 2),
        register(network, 3),
    ]);
    three.header.network = network.id();
    three.header.parent = chain.tip.id();
    assert_eq!(
        chain.check(&three.header, &three.transactions).unwrap_err(),
        BlockInvalid::TooManyTransactions { got: 3, max: 2 }
    );
    let two = chain.template(1_000, three.transactions);
    assert_eq!(two.transactions.len(), 2);
}

#[test]
fn size_is_that_of_the_encoded_block() {
    let chain = Chain::new(network());
    let template = template(&chain);
    let block = Block {
        header: template.header.clone(),
        transactions: Transactions::new(
            template
                .transactions
                .iter()
                .map(|t| (**t).clone())
                .collect(),
        )
        .unwrap(),
    };
    assert_eq!(
        block_bytes(&template.header, &template.transactions),
        wire::encode(&block).len() as u64
    );
}

#[test]
fn what_does_not_fit_is_left_for_the_next_block() {
    let chain = Chain::new(network());
    let network = &chain.network;
    // Each batch takes some 3.5 kB of the 64 KiB.
    let mut candidates = Vec::new();
    for round in 0..20u8 {
        let keys = (0..100u8).map(|i| {
            let mut seed = [round; 32];
            seed[0] = i;
            crate::crypto::SigningKey::from_seed(&seed).public_key()
        });
        candidates.push(crate::chain::sign::issue_invitations(
            &network.id(),
            &organiser(),
            text("club"),
            wire::List::new(keys.collect()).unwrap(),
        ));
    }
    candidates.push(register(network, 1));
    let candidates = chain.verified(candidates);
    let template = chain.template(1_000, candidates.clone());
    assert!(template.skipped.iter().all(|(_, why)| *why == Skip::NoRoom));
    assert!(!template.skipped.is_empty());
    assert_eq!(template.transactions.last(), candidates.last());
    assert!(block_bytes(&template.header, &template.transactions) <= 64 * 1024);
    // As full as it can be: one more would not have fitted.
    let one_more = template.transactions[0].encoded_len() as u64;
    assert!(block_bytes(&template.header, &template.transactions) + one_more > 64 * 1024);
    chain
        .check(&template.header, &template.transactions)
        .unwrap();

    let mut everything = template.clone();
    everything.transactions = candidates;
    assert!(matches!(
        chain.check(&everything.header, &everything.transactions),
        Err(BlockInvalid::TooLarge { max: 65_536, .. })
    ));
}

#[test]
fn limits_and_reasons_are_kept() {
    let chain = Chain::new(network());
    let network = &chain.network;
    let candidates = chain.verified(vec![
        register_with(network, 1, 1),
        register(network, 2),
        register_with(network, 2, 1),
        register(network, 3),
        register(network, 4),
    ]);
    let fill = |transactions, candidates_max| {
        let limits = TemplateLimits {
            transactions,
            candidates: candidates_max,
            ..TemplateLimits::of(network)
        };
        let miner = stranger().public_key();
        let waiting = candidates.clone();
        fill_template(&chain.state, network, &chain.tip, 0, miner, waiting, limits).unwrap()
    };
    let all = fill(10, 10);
    assert_eq!(all.header.timestamp_ms, START_MS + 1_000);
    let unknown = Invalid::InvitationUnknown(invitation(1).public_key());
    let reasons = [
        (candidates[0].id(), Skip::Invalid(unknown)),
        (
            candidates[2].id(),
            Skip::Invalid(Invalid::AlreadyRegistered),
        ),
    ];
    assert_eq!(all.skipped, reasons);
    assert_eq!(all.header.roll_size, 3);
    assert_eq!(fill(1, 10).transactions, candidates[1..2]);
    assert_eq!(fill(10, 1).transactions, []);
    let empty = fill(0, 10);
    assert_eq!((empty.transactions.len(), empty.skipped.len()), (0, 0));
    chain.check(&empty.header, &[]).unwrap();
}
