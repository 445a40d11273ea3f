//! The rules: what may become of a transaction and of a block, put together from real ones and broken at will.

use std::collections::BTreeSet;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use votenode::chain::block::{Header, Nonce};
use votenode::chain::form::check_form;
use votenode::chain::invalid::Failure;
use votenode::chain::memory::MemoryState;
use votenode::chain::rules::{
    BlockTime, TemplateLimits, apply_block, apply_transaction, check_header, fill_template,
};
use votenode::chain::transaction::{Payload, Transaction};
use votenode::chain::verify::{Verified, Verifier};
use votenode::crypto::Hash;
use votenode::wire;

use super::world::{START_MS, World, world};

/// Bytes of an encoded message, some of them changed. Most changes inside a key or a signature decode again.
pub fn disturbed(u: &mut Unstructured<'_>, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    for _ in 0..u.int_in_range(0..=3)? {
        let at = u.choose_index(bytes.len())?;
        bytes[at] = u.arbitrary()?;
    }
    Ok(bytes)
}

/// A number as it can come off the wire.
pub fn uint(u: &mut Unstructured<'_>) -> Result<u64> {
    u.int_in_range(0..=wire::MAX_UINT)
}

/// A transaction out of the pool: as it is, with bytes changed, or with parts of two.
pub fn transaction(u: &mut Unstructured<'_>, world: &World) -> Result<Option<Transaction>> {
    let mut one = u.choose(&world.pool)?.clone();
    match u.int_in_range(0..=2)? {
        0 => {}
        1 => {
            let bytes = disturbed(u, wire::encode(&one))?;
            return Ok(wire::decode(&bytes).ok());
        }
        _ => {
            let other = u.choose(&world.pool)?.clone();
            match (&mut one.payload, other.payload) {
                (Payload::Vote { vote }, Payload::Vote { vote: other }) => {
                    vote.credential = other.credential;
                }
                (
                    Payload::Registration { registration },
                    Payload::Registration {
                        registration: other,
                    },
                ) => {
                    registration.admission = other.admission;
                }
                (
                    Payload::FinaliserChange { change },
                    Payload::FinaliserChange { change: other },
                ) => {
                    change.approvals = other.approvals;
                }
                (_, payload) => one.payload = payload,
            }
        }
    }
    Ok(Some(one))
}

pub fn transactions(data: &[u8]) {
    // Either the whole input is a transaction, or it says how to make one.
    if let Ok(transaction) = wire::decode::<Transaction>(data) {
        judge(world(), &transaction, START_MS + 5_000);
    }
    let mut u = Unstructured::new(data);
    let _ = made(&mut u);
}

fn made(u: &mut Unstructured<'_>) -> Result<()> {
    let world = world();
    let timestamp_ms = START_MS + u.int_in_range(0..=1_000_000)?;
    if let Some(transaction) = transaction(u, world)? {
        judge(world, &transaction, timestamp_ms);
    }
    Ok(())
}

/// Asks every judge, who have to agree.
fn judge(world: &World, transaction: &Transaction, timestamp_ms: u64) {
    let network = &world.network;
    let verifier = Verifier::new(Arc::clone(network), [3; 32]);
    let alone = verifier.verify(vec![transaction.clone()]).pop().unwrap();
    // Among others, wherever it stands.
    let mut crowd = world.pool[..6].to_vec();
    crowd.push(transaction.clone());
    let among = verifier.verify(crowd).pop().unwrap();
    assert_eq!(
        alone.as_ref().err(),
        among.as_ref().err(),
        "{transaction:?}"
    );
    let bytes = wire::encode(transaction);
    let encoded = verifier.verify_encoded(&bytes);
    assert_eq!(alone.as_ref().err(), encoded.as_ref().err());
    let Ok(verified) = alone else {
        return;
    };
    assert_eq!(check_form(network, transaction), Ok(()));
    assert_eq!(verified.id(), transaction.id());
    assert_eq!(verified.encoded_len(), bytes.len());
    for states in &world.branches {
        let last = states.last().unwrap();
        for state in [&MemoryState::new(), &states[1].state, &last.state] {
            let at = BlockTime {
                height: 99,
                index: 0,
                timestamp_ms,
            };
            let Ok(delta) = apply_transaction(state, network, at, &verified) else {
                continue;
            };
            // What happened once cannot happen again, under whatever bytes.
            let mut after = state.clone();
            after.insert(delta);
            let again = apply_transaction(&after, network, at, &verified);
            assert!(
                matches!(again, Err(Failure::Invalid(_))),
                "twice: {transaction:?}"
            );
        }
    }
}

pub fn blocks(data: &[u8]) {
    let _ = block(&mut Unstructured::new(data));
}

fn block(u: &mut Unstructured<'_>) -> Result<()> {
    let world = world();
    let network = &world.network;
    let branch = u.choose(&world.branches)?;
    let (parent, state) = match u.choose_index(branch.len() + 1)?.checked_sub(1) {
        Some(height) => (&branch[height].header, branch[height].state.clone()),
        None => (network.genesis_header(), MemoryState::new()),
    };
    let mut candidates = Vec::new();
    for _ in 0..u.int_in_range(0..=30)? {
        candidates.push(u.choose(&world.verified)?.clone());
    }
    let timestamp_ms = parent.timestamp_ms + u.int_in_range(0..=20_000)?;
    let template = fill_template(
        &state,
        network,
        parent,
        timestamp_ms,
        network.finalisers[0].key,
        candidates.clone(),
        TemplateLimits::of(network),
    )
    .unwrap();
    // What was filled is valid, and a candidate is in it, or left out with a reason.
    assert_eq!(
        template.transactions.len() + template.skipped.len(),
        candidates.len()
    );
    let whole = apply_block(
        &state,
        network,
        parent,
        &template.header,
        &template.transactions,
    );
    assert_eq!(whole.as_ref().ok(), Some(&template.delta.into_delta()));

    let (mut header, mut body) = (template.header, template.transactions);
    for _ in 0..u.int_in_range(1..=3)? {
        disturb(u, world, &mut header, &mut body)?;
    }
    match apply_block(&state, network, parent, &header, &body) {
        Err(Failure::Invalid(reason)) => assert!(!reason.to_string().is_empty()),
        Err(Failure::State(error)) => panic!("{error}"),
        Ok(delta) => {
            assert!(check_header(network, parent, &header).is_ok());
            let ids: BTreeSet<_> = body.iter().map(|transaction| transaction.id()).collect();
            assert_eq!(ids.len(), body.len(), "the same twice");
            assert_eq!(
                header.roll_size,
                parent.roll_size + delta.voters.len() as u64
            );
            let voters: BTreeSet<_> = delta
                .votes
                .iter()
                .map(|(election, tag, _)| (election, tag))
                .collect();
            assert_eq!(voters.len(), delta.votes.len(), "somebody votes twice");
            one_by_one(world, state, &header, &body);
        }
    }
    Ok(())
}

/// A block that was taken as a whole has to be taken piece by piece, without any overlay.
fn one_by_one(
    world: &World,
    mut state: MemoryState,
    header: &Header,
    body: &[Verified<Transaction>],
) {
    for (index, transaction) in (0..).zip(body) {
        let at = BlockTime {
            height: header.height,
            index,
            timestamp_ms: header.timestamp_ms,
        };
        let delta =
            apply_transaction(&state, &world.network, at, transaction).unwrap_or_else(|failure| {
                panic!("transaction {index} of a valid block: {failure}");
            });
        state.insert(delta);
    }
}

fn disturb(
    u: &mut Unstructured<'_>,
    world: &World,
    header: &mut Header,
    body: &mut Vec<Verified<Transaction>>,
) -> Result<()> {
    match u.int_in_range(0..=11)? {
        0 => header.height = uint(u)?,
        1 => header.timestamp_ms = uint(u)?,
        2 => header.roll_size = uint(u)?,
        3 => header.roll_root = Hash::from_bytes(u.arbitrary()?),
        4 => header.transaction_root = Hash::from_bytes(u.arbitrary()?),
        5 => header.nonce = Nonce::from_bytes(u.arbitrary()?),
        6 => header.version = uint(u)?,
        7 => body.push(u.choose(&world.verified)?.clone()),
        8 if !body.is_empty() => drop(body.remove(u.choose_index(body.len())?)),
        9 if !body.is_empty() => {
            let (a, b) = (u.choose_index(body.len())?, u.choose_index(body.len())?);
            body.swap(a, b);
        }
        // A header that commits to whatever the body has become; its roll may be wrong.
        _ => {
            let leaves: Vec<_> = body.iter().map(|transaction| transaction.id()).collect();
            header.transaction_root = root(&leaves);
        }
    }
    Ok(())
}

fn root(ids: &[votenode::chain::transaction::TxId]) -> Hash {
    use votenode::chain::merkle::Tree;
    let leaves = ids.iter().map(|id| Tree::Transactions.leaf(id.as_bytes()));
    Tree::Transactions.root(leaves)
}
