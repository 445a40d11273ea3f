//! The judge has to see what is wrong: a good account passes, and each way to spoil it is noticed.

use super::*;

const GRACE_MS: u64 = 2_000;

fn registration(voter: &str) -> What {
    What::Registration {
        voter: voter.into(),
    }
}

fn vote(voter: &str, choice: u8) -> What {
    What::Vote {
        voter: voter.into(),
        election: "chair".into(),
        choice,
    }
}

fn chair() -> What {
    What::Election {
        election: "chair".into(),
        closes_at_ms: 10_000,
    }
}

fn answered(at_ms: u64, node: usize, tx: &str, what: What, answer: Answer) -> Entry {
    let tx = tx.into();
    Entry {
        at_ms,
        node,
        event: Event::Answered { tx, what, answer },
    }
}

fn seen(at_ms: u64, node: usize, tx: &str, state: State) -> Entry {
    let tx = tx.into();
    Entry {
        at_ms,
        node,
        event: Event::Seen { tx, state },
    }
}

fn checkpoint(node: usize, number: u64, block: &str, height: u64) -> Entry {
    Entry {
        at_ms: 1_000 * number,
        node,
        event: Event::Checkpoint {
            number,
            block: block.into(),
            height,
        },
    }
}

fn ended(at_ms: u64, node: usize) -> Entry {
    Entry {
        at_ms,
        node,
        event: Event::Ended,
    }
}

fn in_block(block: &str) -> State {
    State::Final {
        block: block.into(),
    }
}

fn dropped(reason: &str) -> State {
    State::Dropped {
        reason: reason.into(),
    }
}

fn block(height: u64, timestamp_ms: u64, transactions: Vec<(&str, What)>) -> Block {
    Block {
        id: format!("block{height}"),
        height,
        timestamp_ms,
        transactions: transactions
            .into_iter()
            .map(|(tx, what)| (tx.to_owned(), what))
            .collect(),
    }
}

/// Ada and Ben register and vote at two nodes; Ada also tries another choice, and Ben's second vote is refused.
fn good() -> Account {
    let outcome = Outcome {
        closing_block: Some("block4".into()),
        is_final: true,
        votes: 2,
        totals: vec![1, 0, 1],
    };
    let results = BTreeMap::from([("chair".to_owned(), outcome)]);
    let ending = Ending {
        chain: vec![
            block(
                1,
                1_000,
                vec![
                    ("a", registration("ada")),
                    ("b", registration("ben")),
                    ("e", chair()),
                ],
            ),
            block(2, 5_000, vec![("va", vote("ada", 0))]),
            block(3, 11_900, vec![("vb", vote("ben", 2))]),
            block(4, 12_000, vec![]),
        ],
        checkpoint: (3, "block4".into(), 4),
        results: results.clone(),
        audit: Ok(results),
        convictions: 0,
    };
    Account {
        history: vec![
            answered(100, 0, "a", registration("ada"), Answer::Accepted),
            answered(110, 1, "a", registration("ada"), Answer::Duplicate),
            answered(120, 1, "b", registration("ben"), Answer::Accepted),
            answered(130, 0, "e", chair(), Answer::Accepted),
            checkpoint(0, 1, "block1", 1),
            checkpoint(1, 1, "block1", 1),
            answered(4_000, 0, "va", vote("ada", 0), Answer::Accepted),
            answered(4_010, 1, "va2", vote("ada", 1), Answer::Accepted),
            answered(4_020, 1, "vb", vote("ben", 2), Answer::Silence),
            answered(
                4_030,
                0,
                "vb2",
                vote("ben", 0),
                Answer::Rejected("no".into()),
            ),
            seen(4_500, 1, "va2", State::Pending),
            seen(6_000, 1, "va2", dropped("the voter has voted already")),
            checkpoint(0, 2, "block2", 2),
            seen(6_100, 0, "va", in_block("block2")),
            checkpoint(1, 2, "block2", 2),
            checkpoint(0, 3, "block4", 4),
        ],
        endings: vec![ending.clone(), ending],
        grace_ms: GRACE_MS,
    }
}

/// Spoils the good account and says what is found wrong.
fn spoiled(spoil: impl FnOnce(&mut Account)) -> Vec<String> {
    let mut account = good();
    spoil(&mut account);
    account.violations()
}

/// Spoils it, and asserts that this is found.
#[track_caller]
fn is_found(words: &str, spoil: impl FnOnce(&mut Account)) {
    let wrong = spoiled(spoil);
    let found = wrong.iter().any(|sentence| sentence.contains(words));
    assert!(found, "'{words}' is not in {wrong:#?}");
}

/// The same change at every node: only what nodes hold is wrong, not that they differ.
fn everywhere(account: &mut Account, change: impl Fn(&mut Ending)) {
    account.endings.iter_mut().for_each(change);
}

/// Takes Ben's vote out of every chain, with a result that fits.
fn without_bens_vote(account: &mut Account) {
    everywhere(account, |ending| {
        ending.chain[2].transactions.clear();
        for results in [&mut ending.results, ending.audit.as_mut().unwrap()] {
            let outcome = results.get_mut("chair").unwrap();
            (outcome.votes, outcome.totals) = (1, vec![1, 0, 0]);
        }
    });
}

/// The same, with Ben's vote acknowledged by node 1, and more of what was seen.
fn lost(at_ms: u64, more: Vec<Entry>) -> impl FnOnce(&mut Account) {
    move |account| {
        without_bens_vote(account);
        let vote = answered(at_ms, 1, "vb", vote("ben", 2), Answer::Accepted);
        account.history.push(vote);
        account.history.extend(more);
    }
}

#[test]
fn a_good_account_has_nothing_wrong() {
    assert_eq!(good().violations(), Vec::<String>::new());
    let fates = good().fates().into_values().collect::<Vec<_>>();
    let (included, displaced) = (Fate::Included, Fate::Displaced);
    let expected = [&included, &included, &included, &included, &displaced];
    assert_eq!(fates.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_was_never_acknowledged_may_be_missing() {
    assert_eq!(spoiled(without_bens_vote), Vec::<String>::new());
}

#[test]
fn an_acknowledged_vote_may_not_be_missing_without_a_word() {
    is_found("vb was acknowledged and is lost", lost(5_000, vec![]));
    // Not even when its node was killed, while polls were open.
    let killed = vec![ended(6_000, 1), seen(7_000, 1, "vb", State::Unknown)];
    is_found("nobody said why", lost(5_000, killed));
    // Nor when it could have said so and ended: it keeps its reasons over a restart.
    let unsaid = vec![
        seen(11_000, 1, "vb", State::Pending),
        ended(12_500, 1),
        seen(14_000, 1, "vb", State::Unknown),
    ];
    is_found("nobody said why", lost(9_000, unsaid));
}

#[test]
fn a_duplicate_is_an_acknowledgement() {
    is_found("vb was acknowledged and is lost", |account| {
        without_bens_vote(account);
        let again = answered(5_000, 1, "vb", vote("ben", 2), Answer::Duplicate);
        account.history.push(again);
    });
}

#[test]
fn a_vote_may_be_missing_for_a_reason() {
    let late = vec![seen(13_000, 1, "vb", dropped("polls closed 1 s ago"))];
    assert_eq!(spoiled(lost(9_000, late)), Vec::<String>::new());
    // The voter's other vote would be in the chain.
    let wrong = vec![seen(6_000, 1, "vb", dropped("the voter has voted already"))];
    is_found("was dropped, but the voter has voted", lost(5_000, wrong));
}

#[test]
fn a_registration_may_not_be_missing_for_any_reason() {
    is_found("c was acknowledged and is lost", |account| {
        let carl = answered(500, 0, "c", registration("carl"), Answer::Accepted);
        account.history.push(carl);
        let late = seen(20_000, 0, "c", dropped("polls closed 1 s ago"));
        account.history.push(late);
    });
}

#[test]
fn checkpoints_may_not_differ_or_go_back() {
    is_found("checkpoint 2 is", |account| {
        account.history.push(checkpoint(1, 2, "other", 2));
    });
    // Not even at one and the same node.
    is_found("checkpoint 3 is", |account| {
        account.history.push(checkpoint(0, 3, "block3", 3));
    });
    is_found("node 0 went back from checkpoint 3 to 2", |account| {
        account.history.push(checkpoint(0, 2, "block2", 2));
    });
    is_found(
        "checkpoint 2, block other, is not in the chain",
        |account| {
            for entry in &mut account.history {
                if let Event::Checkpoint {
                    number: 2, block, ..
                } = &mut entry.event
                {
                    *block = "other".into();
                }
            }
        },
    );
    is_found("checkpoints do not rise", |account| {
        account.history.push(checkpoint(1, 4, "block3", 3));
    });
}

#[test]
fn what_is_final_stays_where_it_is() {
    is_found("va was final in block3", |account| {
        account
            .history
            .push(seen(8_000, 1, "va", in_block("block3")));
    });
    is_found("vb was final in block3", |account| {
        without_bens_vote(account);
        account
            .history
            .push(seen(8_000, 1, "vb", in_block("block3")));
    });
}

#[test]
fn nodes_may_not_end_differently() {
    is_found("node 1 holds another chain", |account| {
        account.endings[1].chain.pop();
    });
    is_found("node 1 ends with another checkpoint", |account| {
        account.endings[1].checkpoint = (2, "block2".into(), 2);
    });
    is_found("is not the end of the chain", |account| {
        everywhere(account, |ending| {
            ending.checkpoint = (2, "block2".into(), 2);
        });
    });
    is_found("node 1: chair is not final", |account| {
        account.endings[1]
            .results
            .get_mut("chair")
            .unwrap()
            .is_final = false;
    });
    is_found("node 1 tells results of other elections", |account| {
        account.endings[1].results.clear();
    });
    is_found("a finaliser was convicted", |account| {
        account.endings[1].convictions = 1;
    });
    is_found("is at height 4", |account| {
        everywhere(account, |ending| drop(ending.chain.remove(2)));
    });
}

#[test]
fn results_have_to_be_what_is_in_the_chain() {
    // All nodes and audits agree on a wrong count.
    let miscount = |outcome: &mut Outcome| outcome.totals = vec![0, 1, 1];
    is_found("chair came out as", |account| {
        everywhere(account, |ending| {
            miscount(ending.results.get_mut("chair").unwrap());
        });
    });
    is_found("the audit of node 0's chain counts", |account| {
        let audit = account.endings[0].audit.as_mut().unwrap();
        miscount(audit.get_mut("chair").unwrap());
    });
    is_found("the audit of node 1's chain: damaged", |account| {
        account.endings[1].audit = Err("damaged".into());
    });
    // A vote in the closing block does not count.
    is_found("chair came out as", |account| {
        everywhere(account, |ending| ending.chain[2].timestamp_ms = 12_000);
    });
}

#[test]
fn nobody_may_count_twice() {
    is_found("v3 counts a second time", |account| {
        everywhere(account, |ending| {
            let again = ("v3".to_owned(), vote("ada", 1));
            ending.chain[2].transactions.push(again);
        });
    });
    is_found("a2 counts a second time", |account| {
        everywhere(account, |ending| {
            let again = ("a2".to_owned(), registration("ada"));
            ending.chain[2].transactions.push(again);
        });
    });
    is_found("va is in the chain twice", |account| {
        everywhere(account, |ending| {
            let again = ending.chain[1].transactions.clone();
            ending.chain[2].transactions.extend(again);
        });
    });
    is_found("is a vote of somebody who is not on the roll", |account| {
        everywhere(account, |ending| {
            ending.chain[0].transactions.remove(1);
        });
    });
}
