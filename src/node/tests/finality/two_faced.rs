//! A liar tells one thing to some and another to others. What convinced some has to reach the rest, or they wait for
//! each other for ever.
//!
//! Finalisers 1 and 2 see a polka for a block, with the liar's prevote in it, and lock. Finaliser 3 is cut off and votes
//! for nil; the liar is silent from then on. The three decide only if finaliser 3 comes to see that prevote.

use super::*;
use crate::chain::tree::MAX_SIDE_BRANCHES;

/// What the liar tells finaliser 3 in the place of its prevote.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// Nothing at all.
    Nothing,
    /// Another prevote.
    Another,
    /// Two other prevotes.
    TwoOthers,
    /// More prevotes of later rounds than are kept of one finaliser.
    LaterRounds,
    /// As many as are taken of one finaliser, and more, all the time.
    Flood,
}

/// Which chain is best once the three hear each other again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Best {
    /// The one with the block on which two are locked, and another block on it.
    Locked,
    /// Finaliser 3's.
    Other,
    /// Finaliser 3's, and an attacker has filled its tree with branches that have more work than the locked one.
    Crowded,
    /// The same, and the locked block is the last of a branch of which finaliser 3 knows nothing.
    CrowdedFar,
}

/// Blocks from the last that all have up to the locked one.
const FAR: usize = 3;

const LIAR: u8 = 4;

/// What the hosts of finalisers published at a place of the consensus.
fn said(net: &Net, checkpoint: u64, round: u64, kind: u8) -> Vec<SignedFinalityMessage> {
    let published = net.published.iter();
    published
        .filter(|published| published.topic == Topic::Finality)
        .filter_map(|published| match wire::decode(&published.data) {
            Ok(FinalityGossip::Messages { messages }) => Some(messages.into_vec()),
            _ => None,
        })
        .flatten()
        .filter(|said| {
            let said = &said.message;
            (said.height, said.round, said.kind) == (checkpoint, round, kind)
        })
        .collect()
}

/// A host's best chain up to this height.
fn chain_of(net: &Net, host: usize, height: u64) -> Forge {
    let snapshot = net.node(host).store().snapshot();
    let mut chain = Forge::new(&net.network);
    for height in 1..=height {
        let (id, header) = snapshot.main_block(height).unwrap().unwrap();
        let transactions = snapshot.transactions(&id).unwrap().unwrap();
        chain.adopt(header, transactions.into_vec());
    }
    chain
}

/// Branches that fill a host's tree: they part below its tip and are as high, but are not followed.
struct Crowd {
    below: Forge,
    tip: BlockId,
    next_ms: u64,
}

impl Crowd {
    const HOST: usize = 2;

    fn new(net: &Net) -> Self {
        let (height, tip) = net.tip(Self::HOST);
        let snapshot = net.node(Self::HOST).store().snapshot();
        let (_, last) = snapshot.main_block(height).unwrap().unwrap();
        Self {
            below: chain_of(net, Self::HOST, height - 1),
            tip,
            next_ms: last.timestamp_ms + 1,
        }
    }

    /// As many as there is room for.
    fn fill(&mut self, net: &mut Net) {
        let ids = self.add(net, MAX_SIDE_BRANCHES);
        net.run(1_000);
        assert_eq!(net.tip(Self::HOST).1, self.tip);
        let tree = &net.node(Self::HOST).tree;
        assert!(ids.iter().all(|id| tree.get(id).is_some()));
    }

    fn add(&mut self, net: &mut Net, count: usize) -> Vec<BlockId> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let (block, _) = self.below.next(self.next_ms, Vec::new());
            self.next_ms += 1;
            if block.0.id() > self.tip {
                ids.push(block.0.id());
                let data = wire::encode(&compact(&block));
                net.gossip(Self::HOST, peer_id(201), Topic::Block, data);
            }
        }
        ids
    }
}

fn hides_a_prevote(lie: Lie, best: Best) {
    let network = finalising(4);
    let mut net = hosts(&network, 3, 0);
    let mut record = Record::default();
    // Finaliser 1 or 2 is to be the first who proposes.
    let mut keys: Vec<PublicKey> = (1..5).map(|seed| key(seed).public_key()).collect();
    keys.sort_unstable();
    let mut checkpoint = 0;
    for voter in 1.. {
        make_final(&mut net, 0, testing::register(&network, voter));
        checkpoint = last_certificate(&net, 0).unwrap().checkpoint + 1;
        let proposer = keys[(checkpoint % 4) as usize];
        if [1, 2]
            .map(|seed| key(seed).public_key())
            .contains(&proposer)
        {
            break;
        }
    }
    net.partition(&[0, 1], &[2]);
    if best == Best::CrowdedFar {
        let mut branch = chain_of(&net, 0, net.tip(0).0);
        branch.extend(0, vec![testing::register(&network, 100)]);
        branch.extend_empty(FAR - 1);
        net.add_puppet(Puppet::new(202, &branch, Manner::Honest), &[0, 1]);
    } else {
        net.accept(0, vec![testing::register(&network, 100)]);
    }
    net.until("proposed", 20_000, |net| {
        said(net, checkpoint, 0, FinalityMessage::PREVOTE).len() == 2
    });
    let block = said(&net, checkpoint, 0, FinalityMessage::PREVOTE)
        .pop()
        .and_then(|prevote| prevote.message.block())
        .unwrap();
    assert_eq!(net.tip(0).1, block);
    let prevote = say(&network, LIAR, 1, checkpoint, 0, block.as_bytes());
    gossip(&mut net, 0, vec![prevote.clone()]);
    gossip(&mut net, 1, vec![prevote]);
    net.until("locked", 20_000, |net| {
        let precommits = said(net, checkpoint, 0, FinalityMessage::PRECOMMIT);
        let locked = |said: &&SignedFinalityMessage| said.message.block() == Some(block);
        precommits.iter().filter(locked).count() == 2
    });

    let lies: Vec<SignedFinalityMessage> = match lie {
        Lie::Nothing | Lie::Flood => Vec::new(),
        Lie::Another => vec![say(&network, LIAR, 1, checkpoint, 0, &[])],
        Lie::TwoOthers => [&[][..], &[9; 32]]
            .map(|value| say(&network, LIAR, 1, checkpoint, 0, value))
            .into(),
        Lie::LaterRounds => (200..240)
            .map(|round| say(&network, LIAR, 1, checkpoint, round, &[]))
            .collect(),
    };
    for lie in lies {
        gossip(&mut net, 2, vec![lie]);
    }
    let (left, right) = match best {
        Best::Locked => (1, 1),
        Best::Other | Best::Crowded => (0, 3),
        Best::CrowdedFar => (0, 3 + FAR as u8),
    };
    for (host, blocks) in [(0, left), (2, right)] {
        for voter in 0..blocks {
            let voter = 101 + 10 * host as u8 + voter;
            let more = testing::register(&network, voter);
            net.accept(host, vec![more.clone()]);
            net.until("mined", 20_000, |net| net.is_included(host, more.id()));
        }
    }
    net.until("voted for nil", 20_000, |net| {
        said(net, checkpoint, 0, FinalityMessage::PREVOTE).len() == 3
    });
    record.check(&net);
    let crowded = matches!(best, Best::Crowded | Best::CrowdedFar);
    let mut crowd = crowded.then(|| Crowd::new(&net));
    if let Some(crowd) = &mut crowd {
        crowd.fill(&mut net);
    }

    let mut round = 1_000;
    let mut talk = |net: &mut Net| {
        for _ in 0..if lie == Lie::Flood { 70 } else { 0 } {
            round += 1;
            let talk = say(&network, LIAR, 1, checkpoint, round, &[]);
            gossip(net, 2, vec![talk]);
        }
        net.run(10);
    };
    talk(&mut net);
    net.heal();
    if best != Best::Locked {
        // The locked block has to be published again. The gossip layer takes it anew once it has forgotten it: after two
        // minutes, or a restart, which must not lose the lock either.
        for host in [0, 1] {
            net.crash(host);
            net.start(host);
        }
    }
    for _ in 0..1_200 {
        talk(&mut net);
        for _ in 0..9 {
            // A block that joins the chain gives room: it is filled at once.
            if let Some(crowd) = &mut crowd {
                crowd.add(&mut net, 2);
            }
            net.run(10);
        }
        record.check(&net);
        let decided =
            |host| last_certificate(&net, host).is_some_and(|c| c.checkpoint >= checkpoint);
        if (0..3).all(decided) {
            break;
        }
    }
    let decided = net.node(2).store().snapshot().certificate(checkpoint);
    let decided = decided.unwrap().unwrap_or_else(|| {
        panic!(
            "not decided: {lie:?}, {best:?}, {:?}",
            net.node(2).status().finality
        )
    });
    assert_eq!(decided.certificate.block, block);
    net.until("settled", 60_000, settled);
    record.check(&net);
}

#[test]
fn a_prevote_is_found_where_the_others_have_it() {
    hides_a_prevote(Lie::Nothing, Best::Locked);
}

#[test]
fn another_version_of_a_prevote_counts_too() {
    hides_a_prevote(Lie::Another, Best::Locked);
}

#[test]
fn two_other_versions_do_not_hide_a_prevote() {
    hides_a_prevote(Lie::TwoOthers, Best::Locked);
}

#[test]
fn later_rounds_do_not_hide_a_prevote() {
    hides_a_prevote(Lie::LaterRounds, Best::Locked);
}

#[test]
fn talk_without_end_does_not_hide_a_prevote() {
    hides_a_prevote(Lie::Flood, Best::Locked);
}

#[test]
fn a_block_beside_the_best_chain_that_others_are_locked_on_is_found() {
    hides_a_prevote(Lie::Nothing, Best::Other);
}

#[test]
fn another_version_counts_for_a_block_beside_the_best_chain_too() {
    hides_a_prevote(Lie::Another, Best::Other);
}

#[test]
fn a_crowd_of_branches_does_not_keep_out_a_block_that_others_are_locked_on() {
    hides_a_prevote(Lie::Nothing, Best::Crowded);
}

#[test]
fn nor_does_it_keep_out_the_branch_of_such_a_block() {
    hides_a_prevote(Lie::Nothing, Best::CrowdedFar);
}
