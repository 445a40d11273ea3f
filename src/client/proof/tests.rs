#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::genesis::Genesis;
use crate::chain::transaction::{Approval, FinalityMessage};
use crate::client::fake::{self, FakeChain};
use crate::crypto::{Hash, SigningKey};
use crate::wire::{List, Text};

/// A chain of three blocks, the first with a transaction.
fn chain() -> (std::sync::Arc<Network>, TxId, Inclusion, Vec<Header>) {
    let network = fake::network();
    let chain = FakeChain::new(&network);
    let mut chain = chain.lock().unwrap();
    let key = SigningKey::from_seed(&[1; 32]);
    let keys = List::new(vec![key.public_key()]).unwrap();
    for transaction in [
        crate::chain::sign::revoke_invitations(&network.id(), &key, keys.clone()),
        crate::chain::sign::issue_invitations(&network.id(), &key, Text::new("a").unwrap(), keys),
    ] {
        chain.held.insert(transaction.id(), transaction);
    }
    let id = *chain.held.keys().next().unwrap();
    (0..3).for_each(|_| chain.mine());
    let (inclusion, _) = chain.inclusion(&id).unwrap();
    let headers = chain.blocks[1..].iter().map(|(header, _)| header.clone());
    (network, id, inclusion, headers.collect())
}

#[test]
fn a_proof_holds_for_its_transaction_alone() {
    let (network, id, inclusion, _) = chain();
    assert_eq!(
        check_inclusion(&network, &id, &inclusion),
        Ok(inclusion.header.id())
    );
    let other = TxId::from_bytes([9; 32]);
    assert_eq!(
        check_inclusion(&network, &other, &inclusion),
        Err(ProofError::Path)
    );
    let mut moved = inclusion.clone();
    moved.index += 1;
    assert_eq!(
        check_inclusion(&network, &id, &moved),
        Err(ProofError::Path)
    );
    let mut huge = inclusion.clone();
    huge.count = network.max_block_transactions + 1;
    assert_eq!(check_inclusion(&network, &id, &huge), Err(ProofError::Path));
}

#[test]
fn headers_need_network_version_and_work() {
    let (network, id, inclusion, _) = chain();
    let changed = |change: &dyn Fn(&mut Header)| {
        let mut inclusion = inclusion.clone();
        change(&mut inclusion.header);
        check_inclusion(&network, &id, &inclusion)
    };
    assert_eq!(
        changed(&|header| header.network = crate::chain::genesis::NetworkId::ZERO),
        Err(ProofError::OtherNetwork)
    );
    assert_eq!(
        changed(&|header| header.version = 2),
        Err(ProofError::Version)
    );
    assert!(matches!(
        changed(&|header| header.height = 0),
        Err(ProofError::Work(_))
    ));

    let mut hard: Genesis = network.genesis().clone();
    let mut target = [0; 32];
    target[31] = 1;
    hard.target = Hash::from_bytes(target);
    let hard = Network::new(hard).unwrap();
    let mut header = inclusion.header.clone();
    header.network = hard.id();
    assert!(matches!(
        check_header(&hard, &header),
        Err(ProofError::Work(_))
    ));
}

#[test]
fn headers_follow_one_another() {
    let (network, _, inclusion, headers) = chain();
    let base = &inclusion.header;
    assert_eq!(check_headers(&network, base, &[]), Ok(base.id()));
    assert_eq!(check_headers(&network, base, &headers), Ok(headers[1].id()));
    assert!(matches!(
        check_headers(&network, base, &headers[1..]),
        Err(ProofError::Parent(_))
    ));
    let mut early = headers.clone();
    early[0].timestamp_ms -= 1;
    assert!(matches!(
        check_headers(&network, base, &early[..1]),
        Err(ProofError::Parent(_))
    ));
}

#[test]
fn a_certificate_is_for_the_block_and_by_the_finalisers() {
    let network = fake::network();
    let block = BlockId::from_bytes([5; 32]);
    let key = SigningKey::from_seed(&[1; 32]);
    let message = FinalityMessage::precommit(4, 1, &block);
    let certificate = CommitCertificate {
        set: 0,
        checkpoint: 4,
        round: 1,
        block,
        precommits: List::new(vec![Approval {
            key: key.public_key(),
            signature: key.sign(
                message.context(),
                network.id().as_bytes(),
                &message.payload(),
            ),
        }])
        .unwrap(),
    };
    assert_eq!(
        check_certificate(&network, &BlockId::ZERO, &certificate, &[]),
        Err(ProofError::OtherCheckpoint)
    );
    // Nobody finalises there.
    assert_eq!(
        check_certificate(&network, &block, &certificate, &[]),
        Err(ProofError::Certificate(CertificateError::Stranger))
    );
}
