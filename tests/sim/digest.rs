//! Everything that the state holds, in one hash: equal states and nothing else have equal ones.

use votenode::chain::state::View;
use votenode::crypto::PublicKey;

/// Everything that the state holds, in one hash.
pub fn digest(state: &impl View, height: u64, invitations: &[PublicKey]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&height.to_be_bytes());
    let roll = state.roll().unwrap();
    hasher.update(&roll.size().to_be_bytes());
    hasher.update(roll.root().as_bytes());
    let mut elections = Vec::new();
    state
        .for_each_election(&mut |record| elections.push(record.id))
        .unwrap();
    for election in elections {
        hasher.update(election.as_bytes());
        let mut votes = Vec::new();
        state
            .for_each_vote(&election, &mut |tag, vote| {
                votes.push(format!("{tag:?} {:?} {:?}", vote.position, vote.choices));
            })
            .unwrap();
        votes.sort();
        for vote in votes {
            hasher.update(vote.as_bytes());
        }
    }
    for key in invitations {
        hasher.update(format!("{:?}", state.invitation(key).unwrap()).as_bytes());
    }
    for set in 1..=state.set_changes().unwrap() {
        hasher.update(format!("{:?}", state.set_change(set).unwrap()).as_bytes());
    }
    let convictions = state.convictions(0, 1_000).unwrap();
    hasher.update(format!("{convictions:?}").as_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}
