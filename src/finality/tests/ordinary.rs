//! Decisions as they are meant to go, with finalisers who are slow, silent or away.

use super::sim::*;

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
