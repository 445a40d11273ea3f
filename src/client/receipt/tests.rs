#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::fake::{self, FakeChain};
use crate::crypto::VoterId;
use crate::wire::{self, Message as _};

fn example() -> (Arc<Network>, Receipt) {
    let network = fake::network();
    let chain = FakeChain::new(&network);
    let mut chain = chain.lock().unwrap();
    let never = std::sync::atomic::AtomicBool::new(false);
    let admission = crate::client::make::Admission::Open;
    let voter = VoterId::generate().unwrap();
    let transaction =
        crate::client::make::registration(&network, &voter, &admission, &never).unwrap();
    let id = transaction.id();
    chain.held.insert(id, transaction.clone());
    (0..3).for_each(|_| chain.mine());
    let headers = chain.blocks[1..].iter().map(|(header, _)| header.clone());
    let receipt = Receipt {
        version: VERSION,
        network: network.id(),
        transaction,
        inclusion: chain.inclusion(&id).unwrap().0,
        headers: List::new(headers.collect()).unwrap(),
        certificate: List::new(vec![]).unwrap(),
        changes: List::new(vec![]).unwrap(),
    };
    (network, receipt)
}

#[test]
fn a_receipt_proves_offline_and_says_that_it_is_unanchored() {
    let (network, receipt) = example();
    let bytes = wire::encode(&receipt);
    assert!(bytes.len() < Receipt::MAX_BYTES);
    let read: Receipt = wire::decode(&bytes).unwrap();
    let proved = verify(&network, &read).unwrap();
    assert_eq!(proved.transaction, receipt.transaction.id());
    assert_eq!(
        (proved.height, proved.depth, proved.checkpoint),
        (1, 2, None)
    );
}

#[test]
fn every_part_of_a_receipt_is_checked() {
    let (network, receipt) = example();
    let broken = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipt.clone();
        change(&mut receipt);
        verify(&network, &receipt).unwrap_err()
    };
    assert_eq!(broken(&|r| r.version = 2), ReceiptError::Version(2));
    assert!(matches!(
        broken(&|r| r.network = crate::chain::genesis::NetworkId::ZERO),
        ReceiptError::OtherNetwork { .. }
    ));
    assert!(matches!(
        broken(&|r| r.inclusion.header.timestamp_ms += 1),
        ReceiptError::Proof(ProofError::Parent(_))
    ));
    assert!(matches!(
        broken(&|r| r.transaction = example().1.transaction),
        ReceiptError::Proof(ProofError::Path)
    ));
    let forged = broken(&|r| {
        if let crate::chain::transaction::Payload::Registration { registration } =
            &mut r.transaction.payload
        {
            registration.signature = crate::crypto::Signature::ZERO;
        }
    });
    assert!(matches!(forged, ReceiptError::Transaction(_)), "{forged:?}");
    let other = Network::new({
        let mut genesis = network.genesis().clone();
        genesis.timestamp_ms += 1;
        genesis
    });
    assert!(matches!(
        verify(&Arc::new(other.unwrap()), &receipt),
        Err(ReceiptError::OtherNetwork { .. })
    ));
}
