//! One finaliser of four is Byzantine in one way after the other; three are honest. Whatever it does: nobody's
//! checkpoint is another's, its turns to propose cost a round and nothing else does, and what is kept of what it says is
//! bounded.

use super::*;

const LIAR: u8 = 4;
/// Messages that are kept of four finalisers about one checkpoint, at most: places times versions.
const MOST_KEPT: usize = 4 * 32 * 2;

/// A step of the liar: what it sends to a host while this checkpoint is decided. Steps are counted.
type Lie<'a> = dyn FnMut(&mut Net, usize, u64, u64) + 'a;

fn endure(lie: &mut Lie<'_>) -> Net {
    let network = finalising(4);
    let mut net = hosts(&network, 3, 1);
    let mut record = Record::default();
    let mut steps = 0;
    for voter in 1..10u8 {
        let wanted = testing::register(&network, voter);
        net.accept(3, vec![wanted.clone()]);
        let mut last = false;
        for _ in 0..600 {
            for host in 0..4 {
                let next = last_certificate(&net, host).map_or(0, |c| c.checkpoint) + 1;
                lie(&mut net, host, next, steps);
            }
            steps += 1;
            net.run(100);
            for host in 0..4 {
                let kept = net.node(host).finality_kept();
                assert!(kept.iter().all(|kept| *kept <= MOST_KEPT), "{kept:?}");
                let waiting = net.node(host).status().mempool.transactions.total();
                assert!(waiting <= 2, "{waiting}");
            }
            last = (0..4).all(|host| is_final(&net, host, wanted.id()));
            if last {
                break;
            }
        }
        assert!(last, "{:?}", net.node(0).status().finality);
        record.check(&net);
    }

    let mut keys: Vec<PublicKey> = (1..5).map(|seed| key(seed).public_key()).collect();
    keys.sort_unstable();
    let snapshot = net.node(0).store().snapshot();
    let last = last_certificate(&net, 0).unwrap().checkpoint;
    let (mut turns, mut late) = (0, 0);
    for number in 1..=last {
        let certificate = snapshot.certificate(number).unwrap().unwrap().certificate;
        let is_its_turn = keys[(number % 4) as usize] == key(LIAR).public_key();
        turns += u64::from(is_its_turn);
        let extra = certificate.round.saturating_sub(u64::from(is_its_turn));
        assert!(extra <= 1, "checkpoint {number}: {}", certificate.round);
        late += extra;
    }
    assert!(turns > 1 && turns < last);
    // A block may come to somebody after the proposal that names it, whether anybody lies or not.
    assert!(late <= 1, "{late} of {last} took a round too many");
    net
}

/// Convictions of the liar, which has to be the only one convicted.
fn convictions(net: &Net) -> usize {
    let snapshot = net.node(3).store().snapshot();
    let found = snapshot.state().convictions(0, 100).unwrap();
    let liar = key(LIAR).public_key();
    assert!(found.iter().all(|one| one.offence.finaliser == liar));
    found.len()
}

#[test]
fn double_proposals() {
    let network = finalising(4);
    let net = endure(&mut |net, host, next, step| {
        let tip = net.tip(host).1;
        for round in 0..3 {
            for value in [*tip.as_bytes(), [step as u8; 32]] {
                gossip(net, host, vec![say(&network, LIAR, 0, next, round, &value)]);
            }
        }
    });
    assert_eq!(convictions(&net), 1);
}

#[test]
fn double_votes() {
    let network = finalising(4);
    let net = endure(&mut |net, host, next, step| {
        let tip = net.tip(host).1;
        for kind in [FinalityMessage::PREVOTE, FinalityMessage::PRECOMMIT] {
            // Something else first to every other one.
            let mut values = [&tip.as_bytes()[..], &[], &[step as u8; 32]];
            values.rotate_left(host);
            for value in values {
                gossip(
                    net,
                    host,
                    vec![say(&network, LIAR, kind, next, step % 2, value)],
                );
            }
        }
    });
    assert_eq!(convictions(&net), 1);
}

#[test]
fn silence() {
    let net = endure(&mut |_, _, _, _| {});
    assert_eq!(convictions(&net), 0);
}

#[test]
fn votes_for_unknown_blocks() {
    let network = finalising(4);
    let net = endure(&mut |net, host, next, _| {
        for kind in 0..3 {
            for round in 0..2 {
                let unknown = [next as u8; 32];
                gossip(
                    net,
                    host,
                    vec![say(&network, LIAR, kind, next, round, &unknown)],
                );
            }
        }
    });
    assert_eq!(convictions(&net), 0);
}

#[test]
fn garbage() {
    let network = finalising(4);
    let mut rejected = 0;
    let net = endure(&mut |net, host, next, step| {
        let good = say(&network, LIAR, 1, next, 0, &[]);
        let encode = |message: SignedFinalityMessage| {
            let messages = List::new(vec![message]).unwrap();
            wire::encode(&FinalityGossip::Messages { messages })
        };
        let mut forged = good.clone();
        forged.message.round = 1 + step;
        let mut in_anothers_name = say(&network, LIAR, 1, next, step, &[]);
        in_anothers_name.finaliser = key(1).public_key();
        let mut torn = encode(good.clone());
        torn.truncate(torn.len() - 1 - step as usize % 40);
        let noise = (0..200).map(|_| net.draw(256) as u8).collect();
        for data in [
            noise,
            torn,
            encode(forged),
            encode(in_anothers_name),
            encode(say(&network, LIAR, 3, next, step, &[])),
            encode(say(&network, LIAR, 1, next, step, &[1; 31])),
            encode(say(&network, LIAR, 0, next, step, &[])),
        ] {
            let id = net.gossip(host, peer_id(222), Topic::Finality, data);
            net.run(1);
            assert_eq!(net.verdict(host, &id), Some(votenode_p2p::Verdict::Reject));
            rejected += 1;
        }
    });
    assert_eq!(convictions(&net), 0);
    assert!(rejected > 1_000, "{rejected}");
}

#[test]
fn future_rounds_without_end() {
    let network = finalising(4);
    let net = endure(&mut |net, host, next, step| {
        for talk in 0..9 {
            // Later ones all the time, up to the last, and beyond it.
            let round = (1 + 9 * step + talk) * 29 % 10_003;
            for (kind, checkpoint) in [(1, next), (2, next), (1, next + 1), (2, next + 2)] {
                gossip(
                    net,
                    host,
                    vec![say(&network, LIAR, kind, checkpoint, round, &[])],
                );
            }
        }
    });
    assert_eq!(convictions(&net), 0);
}
