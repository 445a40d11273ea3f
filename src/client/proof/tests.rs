#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::genesis::{Finaliser, Genesis};
use crate::chain::transaction::Approval;
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
fn certificates_need_more_than_two_thirds_of_the_power() {
    let keys: Vec<SigningKey> = (1..=3).map(|n| SigningKey::from_seed(&[n; 32])).collect();
    let mut genesis = fake::network().genesis().clone();
    let finalisers = keys.iter().map(|key| Finaliser {
        key: key.public_key(),
        power: 1,
        name: Text::new("F").unwrap(),
    });
    genesis.finalisers = List::new(finalisers.collect()).unwrap();
    let network = Network::new(genesis).unwrap();
    let block = BlockId::from_bytes([5; 32]);
    let certificate = |signers: &[usize]| {
        let message = FinalityMessage {
            kind: FinalityMessage::PRECOMMIT,
            height: 4,
            round: 1,
            lock_round: 0,
            value: Blob::new(block.as_bytes().to_vec()).unwrap(),
        };
        let precommits = signers.iter().map(|signer| Approval {
            key: keys[*signer].public_key(),
            signature: keys[*signer].sign(
                message.context(),
                network.id().as_bytes(),
                &message.payload(),
            ),
        });
        CommitCertificate {
            set: 0,
            checkpoint: 4,
            round: 1,
            block,
            precommits: List::new(precommits.collect()).unwrap(),
        }
    };
    let check = |certificate: &CommitCertificate| check_certificate(&network, &block, certificate);
    assert_eq!(check(&certificate(&[0, 1, 2])), Ok(()));
    for too_few in [&[0][..], &[0, 1], &[0, 0, 1]] {
        assert_eq!(check(&certificate(too_few)), Err(ProofError::Certificate));
    }
    let mut other = certificate(&[0, 1, 2]);
    other.round = 2;
    assert_eq!(check(&other), Err(ProofError::Certificate));
    other.set = 1;
    assert_eq!(check(&other), Err(ProofError::UnknownSet(1)));
    other.block = BlockId::ZERO;
    assert_eq!(check(&other), Err(ProofError::OtherCheckpoint));
}
