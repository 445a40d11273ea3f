//! Decisions as they are meant to go, with finalisers who are slow, silent or away.

use super::super::*;
use super::liar::signed_by_nobody;
use super::sim::*;
use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::transaction::FinalityMessage;

#[test]
fn four_finalisers_decide_every_checkpoint_in_its_first_round() {
    let mut net = Net::new(&[1; 4], 1, 300);
    net.boot(0..4);
    assert!(net.finish(&[0, 1, 2, 3], 120_000));
    net.check();
    assert_eq!(net.decided.len(), 300);
    assert_eq!(net.rounds.keys().collect::<Vec<_>>(), [&0]);
    assert!(net.refused.is_empty() && net.evidence.is_empty());
    // Nothing is left running.
    for node in &net.nodes {
        let engine = node.engine.as_ref().unwrap();
        assert_eq!(
            (engine.next_deadline_ms(), engine.checkpoint()),
            (None, None)
        );
        assert_eq!(engine.held_count(), 0);
    }
    println!(
        "{} ms per decision, {} deliveries",
        net.now_ms / 300,
        net.delivered
    );
}

#[test]
fn powers_need_not_be_equal() {
    let mut net = Net::new(&[10, 1, 7, 9, 3], 5, 60);
    net.boot(0..5);
    assert!(net.finish(&[0, 1, 2, 3, 4], 60_000));
    net.check();
    assert_eq!(net.rounds.keys().collect::<Vec<_>>(), [&0]);
}

#[test]
fn one_finaliser_decides_alone_and_two_only_together() {
    let mut net = Net::new(&[4], 6, 50);
    net.boot([0]);
    assert!(net.finish(&[0], 10_000));
    let mut net = Net::new(&[4, 4], 7, 50);
    net.boot([0]);
    net.run(100_000);
    assert!(net.decided.is_empty());
    net.boot([1]);
    assert!(net.finish(&[0, 1], 60_000));
    net.check();
}

/// A flood: whatever one finaliser sends, what is kept and logged stays small, and the others decide.
#[test]
fn a_flood_from_one_finaliser_fills_neither_memory_nor_log() {
    let mut net = Net::new(&[1; 4], 8, 1);
    let guard = Guard::resume(None);
    let mut engine = Engine::new(NETWORK, key(0), Timeouts::default(), guard);
    let mut logged = 0;
    let mut evidence = 0;
    let mut count = |outputs: Vec<Output>| {
        for output in outputs {
            logged += usize::from(matches!(output, Output::Log(_)));
            evidence += usize::from(matches!(output, Output::Evidence(_)));
        }
    };
    count(engine.start(&net.set, 1, &[], 0));
    let before = engine.round();
    let mut most = 0;
    for number in 0..250_000u64 {
        let mut message = net.any_message(1, number % 25_000);
        if number % 3 == 0 {
            message.round = net.draw(20);
        }
        let flood = signed_by_nobody(3, message, number);
        count(engine.message(&flood, 0));
        if number % 100 == 0 {
            most = most.max(engine.held_count());
        }
    }
    println!("{most} held, {logged} logged, {evidence} convictions");
    assert_eq!(engine.round(), before);
    assert!(most < 120 && logged < 120 && evidence < 20);
    // Nonsense from the node itself is ignored too.
    for number in 0..1_000 {
        assert!(
            engine
                .judged(number, block(9, 9, number), true, 0)
                .is_empty()
        );
        assert!(engine.propose(number + 1, block(1, 0, 0), 0).is_empty());
    }
    // It is its turn to propose, and with the votes of two honest ones it decides.
    let chosen = block(1, 0, 0);
    engine.propose(0, chosen, 0);
    let mut decided = false;
    for kind in [FinalityMessage::PREVOTE, FinalityMessage::PRECOMMIT] {
        for voter in [1, 2] {
            let message = FinalityMessage {
                kind,
                ..FinalityMessage::precommit(1, 0, &chosen)
            };
            let signed = SignedFinalityMessage::sign(&key(voter), &NETWORK, message);
            let outputs = engine.message(&signed, 0);
            let is_decided = |output: &Output| matches!(output, Output::Decided(_));
            decided |= outputs.iter().any(is_decided);
        }
    }
    assert!(decided);
}

#[test]
fn whoever_is_not_in_the_set_follows_without_a_voice() {
    let net = Net::new(&[1; 4], 9, 1);
    let guard = Guard::resume(None);
    let mut engine = Engine::new(NETWORK, key(9), Timeouts::default(), guard);
    let mut outputs = engine.start(&net.set, 1, &[], 0);
    for now_ms in [2_000, 4_000, 8_000] {
        outputs.extend(engine.tick(now_ms));
    }
    for voter in 0..3 {
        let message = FinalityMessage::precommit(1, 2, &block(1, 0, 0));
        let signed = SignedFinalityMessage::sign(&key(voter), &NETWORK, message);
        outputs.extend(engine.message(&signed, 9_000));
    }
    let speaks = |output: &Output| {
        matches!(
            output,
            Output::Say(_) | Output::Guard(_) | Output::Propose { .. }
        )
    };
    assert!(!outputs.iter().any(speaks));
    let Some(Output::Decided(certificate)) = outputs.last() else {
        panic!("{outputs:?}");
    };
    assert_eq!(net.set.check(&NETWORK, certificate), Ok(()));
    assert_eq!(engine.held_messages().len(), 3);
    // Nothing more happens.
    assert_eq!(
        (engine.tick(u64::MAX), engine.next_deadline_ms()),
        (Vec::new(), None)
    );
}
