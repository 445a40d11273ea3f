//! Faults that the simulator plants in this very code, to prove that it would find them.
//!
//! Each is asked for where the rule that it breaks stands, in one short condition. Outside of tests the answer is a
//! constant `false` and nothing of it is compiled. The switch is the thread's own, so that simulations side by side do
//! not disturb each other; what runs on other threads than the node's cannot be broken this way.

/// A rule of the node that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Of blocks with equal work, the one with the higher id is followed.
    HigherIdWins,
    /// A vote is not held against the roll.
    NoRollCheck,
    /// A voter's second vote counts too.
    SecondVoteCounts,
    /// Votes are taken after the closing block.
    LateVoteCounts,
    /// The closing block is looked for at `closes_at`, without the grace.
    NoGrace,
    /// The effects of a batch are released before its commit is durable.
    EffectsBeforeSync,
    /// Transactions of a block that leaves the chain do not wait again.
    NoRequeue,
    /// What waited on disk is not read at start.
    PendingForgotten,
    /// A transaction that can no longer be mined goes without a word.
    DropUnsaid,
    /// A lease is honoured until its block comes.
    EndlessLease,
    /// Another branch is followed although a checkpoint rules it out.
    CheckpointCrossed,
    /// The closing block that this node saw is left for more work.
    PinIgnored,
    /// What a finaliser signs is published, its guard and log are not kept.
    NoGuard,
    /// The pool has no bound.
    BoundlessPool,
    /// What is held for something that does not come is held for ever.
    HeldForEver,
    /// A miner at rest says so again and again.
    IdleChatter,
    /// Pools are not compared: gossip alone has to bring everything.
    NoPoolComparison,
    /// Whoever passes on the vote of a voter who is not known yet is taken for a liar.
    UnknownIsLie,
    /// A block joins without the last of its votes.
    VoteLost,
    /// A transaction passes whose signature does not hold.
    SignatureUnchecked,
}

/// Whether this fault is planted in what runs now.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn is(fault: Fault) -> bool {
    switch::get() == Some(fault)
}

/// Nothing is planted in a node that runs.
#[cfg(not(any(test, feature = "simulation")))]
#[inline(always)]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

#[cfg(any(test, feature = "simulation"))]
pub use switch::set;

#[cfg(any(test, feature = "simulation"))]
mod switch {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    pub(super) fn get() -> Option<Fault> {
        PLANTED.get()
    }

    /// Plants a fault in all that runs on this thread from now on, or none.
    pub fn set(fault: Option<Fault>) {
        PLANTED.set(fault);
    }
}
