//! The particulars of a refusal: which key, which of an election's or ballot's rules, which feature.

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyOf {
    /// The voter's.
    #[error("voter key")]
    Voter,
    /// An invitation's.
    #[error("invitation key")]
    Invitation,
    /// The organiser's.
    #[error("organiser key")]
    Organiser,
    /// A finaliser's.
    #[error("finaliser key")]
    Finaliser,
}

/// What the genesis reserves to some keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Permission {
    /// Issue and revoke invitations.
    #[error("issue or revoke invitations")]
    Invite,
    /// Open elections.
    #[error("open elections")]
    OpenElections,
}

/// What the formats define and this release refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Feature {
    /// Elections whose ballots trustees open.
    #[error("sealed ballots")]
    SealedBallots,
    /// Votes by ring signature.
    #[error("anonymous votes")]
    AnonymousVotes,
    /// Score voting.
    #[error("score voting")]
    Score,
    /// Instant run-off.
    #[error("instant run-off voting")]
    Irv,
    /// Schulze.
    #[error("the Schulze method")]
    Schulze,
    /// Single transferable vote.
    #[error("the single transferable vote")]
    Stv,
    /// Trustees' reveals.
    #[error("reveals of trustees' keys")]
    Reveal,
}

/// A rule about an election's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionRule {
    /// Two options with the same text.
    #[error("two options are the same")]
    OptionsDiffer,
    /// The number stands for no method.
    #[error("there is no such method of counting")]
    Method,
    /// The number stands for no privacy.
    #[error("there is no such kind of privacy")]
    Privacy,
    /// Seats out of range.
    #[error("seats have to be at least one and fewer than the options")]
    Seats,
    /// Score maximum missing, or given where it means nothing.
    #[error("the score maximum has to be above zero for score voting and zero otherwise")]
    ScoreMaximum,
    /// Polls close before they open.
    #[error("polls have to open before they close")]
    OpensBeforeClose,
    /// The roll closes too late.
    #[error(
        "the roll has to close by the close of polls, or by their opening if votes are anonymous"
    )]
    RollCloses,
    /// A time too far away to reckon with.
    #[error("a time is out of range")]
    TimeRange,
    /// Reveal deadline missing, too early, or given where it means nothing.
    #[error(
        "reveals have to end after the close and its grace if ballots are sealed; otherwise the time has to be zero"
    )]
    RevealUntil,
    /// Ring size out of range, or given where it means nothing.
    #[error("the smallest ring has to be from 2 to 4096 if votes are anonymous and zero otherwise")]
    MinRing,
    /// Groups not in order.
    #[error("the eligible groups have to be sorted and all different")]
    Groups,
    /// Threshold out of range.
    #[error("of several trustees at least two have to be needed, and no more than there are")]
    Threshold,
    /// Two trustees with the same key.
    #[error("two trustees have the same key")]
    TrusteesDiffer,
}

/// A rule about a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BallotRule {
    /// An option that the election does not have.
    #[error("it names an option that does not exist")]
    UnknownOption,
    /// More than one option under plurality.
    #[error("it names more than one option")]
    OneOption,
    /// Approved options not a sorted set.
    #[error("its options have to be sorted and all different")]
    SortedUnique,
}

/// A rule about evidence against a finaliser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRule {
    /// A message that the consensus does not know.
    #[error("a message is none of the consensus")]
    Message,
    /// Messages that may both be there.
    #[error("the messages are not of one kind, checkpoint and round")]
    Conflict,
    /// The same message twice, or the higher encoding first.
    #[error("the messages have to differ, the one with the lower encoding first")]
    Order,
}
