//! The tables of the database and how their keys are built.
//!
//! Every key compares as its bytes, and integers within keys are big-endian, so that ranges are in the order of the
//! numbers. Tables up to [`NOTES`] are written with every commit; those from [`TRANSACTIONS`] to [`CONVICTED`] are the
//! state as of the flushed block and are written in sorted runs.

use redb::{ReadOnlyTable, ReadTransaction, TableDefinition, WriteTransaction};

use super::error::StoreError;
use crate::chain::genesis::Group;
use crate::chain::state::VoterTag;

/// A table whose keys are ids or public keys.
pub(super) type ByKey = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;
/// A table whose keys are numbers.
pub(super) type ByNumber = TableDefinition<'static, u64, &'static [u8]>;
/// A table whose keys are opaque.
pub(super) type ByBytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Facts about the database: see [`meta`].
pub(super) const META: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("meta");
/// Block id → what is known of the block, [`super::record::StoredHeader`].
pub(super) const HEADERS: ByKey = TableDefinition::new("headers");
/// Height → block id on the main chain.
pub(super) const MAIN: TableDefinition<'static, u64, &'static [u8; 32]> =
    TableDefinition::new("main");
/// Block id → canonical encoding of its transactions.
pub(super) const BODIES: ByKey = TableDefinition::new("bodies");
/// Transaction id → arrival number (8 bytes) and canonical encoding, of what waits for a block.
pub(super) const PENDING: ByKey = TableDefinition::new("pending");
/// Peer id → the peer book's entry.
pub(super) const PEERS: ByBytes = TableDefinition::new("peers");
/// Peer id → the entry of the block list.
pub(super) const BANS: ByBytes = TableDefinition::new("bans");
/// Checkpoint number → height of its block (8 bytes) and canonical commit certificate.
pub(super) const CERTIFICATES: ByNumber = TableDefinition::new("certificates");
/// Number → entry of the consensus engine's write-ahead log.
pub(super) const FINALITY_LOG: ByNumber = TableDefinition::new("finality_log");
/// Small facts that the node keeps, by name.
pub(super) const NOTES: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("notes");

/// Transaction id → position (12 bytes).
pub(super) const TRANSACTIONS: TableDefinition<'static, &'static [u8; 32], &'static [u8; 12]> =
    TableDefinition::new("transactions");
/// Voter key → [`super::record::StoredVoter`].
pub(super) const VOTERS: ByKey = TableDefinition::new("voters");
/// Place on the roll → canonical leaf.
pub(super) const ROLL: ByNumber = TableDefinition::new("roll");
/// Level and index → root of that perfect subtree of the roll log.
pub(super) const NODES: TableDefinition<'static, &'static [u8; 9], &'static [u8; 32]> =
    TableDefinition::new("roll_nodes");
/// Group and height → registrations into the group up to and including that block, where it has any.
pub(super) const GROUPS: TableDefinition<'static, &'static [u8], u64> =
    TableDefinition::new("groups");
/// Invitation key → [`super::record::StoredInvitation`].
pub(super) const INVITATIONS: ByKey = TableDefinition::new("invitations");
/// Invitation key → how it was used up (1 byte) and where (12 bytes).
pub(super) const INVITATION_USES: TableDefinition<'static, &'static [u8; 32], &'static [u8; 13]> =
    TableDefinition::new("invitation_uses");
/// Number in chain order → [`super::record::StoredElection`].
pub(super) const ELECTIONS: ByNumber = TableDefinition::new("elections");
/// Election id → number.
pub(super) const ELECTION_NUMBERS: TableDefinition<'static, &'static [u8; 32], u64> =
    TableDefinition::new("election_numbers");
/// Election number and voter tag → position (12 bytes) and choices.
pub(super) const VOTES: TableDefinition<'static, &'static [u8; 41], &'static [u8]> =
    TableDefinition::new("votes");
/// Election number → votes.
pub(super) const VOTE_COUNTS: TableDefinition<'static, u64, u64> =
    TableDefinition::new("vote_counts");
/// Number of a set of finalisers → [`super::record::StoredSetChange`].
pub(super) const SET_CHANGES: ByNumber = TableDefinition::new("set_changes");
/// Number in chain order → a conviction (61 bytes).
pub(super) const CONVICTIONS: TableDefinition<'static, u64, &'static [u8; 61]> =
    TableDefinition::new("convictions");
/// Key of a finaliser → number of its conviction.
pub(super) const CONVICTED: TableDefinition<'static, &'static [u8; 32], u64> =
    TableDefinition::new("convicted");

/// Keys of [`META`].
pub(super) mod meta {
    /// Format of the database, as a canonical integer.
    pub const FORMAT: &str = "format";
    /// The canonical genesis.
    pub const GENESIS: &str = "genesis";
    /// Block that the main chain ends with, [`crate::store::record::StoredPoint`].
    pub const TIP: &str = "tip";
    /// Block that the state's tables are the state after, likewise.
    pub const FLUSHED: &str = "flushed";
    /// [`crate::store::Counts`] at the flushed block.
    pub const COUNTS: &str = "counts";
    /// Arrival number of the next pending transaction, as a canonical integer.
    pub const ARRIVALS: &str = "arrivals";
    /// Commits so far, as a canonical integer.
    pub const COMMITS: &str = "commits";
    /// Whether the store was closed after the last commit, as a canonical integer.
    pub const CLOSED: &str = "closed";
}

/// All tables as of one commit.
pub(super) struct Tables {
    pub meta: ReadOnlyTable<&'static str, &'static [u8]>,
    pub headers: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub main: ReadOnlyTable<u64, &'static [u8; 32]>,
    pub bodies: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub pending: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub peers: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub bans: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub certificates: ReadOnlyTable<u64, &'static [u8]>,
    pub finality_log: ReadOnlyTable<u64, &'static [u8]>,
    pub notes: ReadOnlyTable<&'static str, &'static [u8]>,
    pub transactions: ReadOnlyTable<&'static [u8; 32], &'static [u8; 12]>,
    pub voters: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub roll: ReadOnlyTable<u64, &'static [u8]>,
    pub nodes: ReadOnlyTable<&'static [u8; 9], &'static [u8; 32]>,
    pub groups: ReadOnlyTable<&'static [u8], u64>,
    pub invitations: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub invitation_uses: ReadOnlyTable<&'static [u8; 32], &'static [u8; 13]>,
    pub elections: ReadOnlyTable<u64, &'static [u8]>,
    pub election_numbers: ReadOnlyTable<&'static [u8; 32], u64>,
    pub votes: ReadOnlyTable<&'static [u8; 41], &'static [u8]>,
    pub vote_counts: ReadOnlyTable<u64, u64>,
    pub finalisers: FinaliserTables,
}

/// What the state says of finalisers. None in a database that an earlier release made and this one has not flushed to
/// yet, which is as good as empty.
pub(super) struct FinaliserTables {
    pub set_changes: Option<ReadOnlyTable<u64, &'static [u8]>>,
    pub convictions: Option<ReadOnlyTable<u64, &'static [u8; 61]>>,
    pub convicted: Option<ReadOnlyTable<&'static [u8; 32], u64>>,
}

impl Tables {
    /// Opens every table, once per commit, because finding a table by name costs as much as a look-up in it.
    pub fn open(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            headers: transaction.open_table(HEADERS)?,
            main: transaction.open_table(MAIN)?,
            bodies: transaction.open_table(BODIES)?,
            pending: transaction.open_table(PENDING)?,
            peers: transaction.open_table(PEERS)?,
            bans: transaction.open_table(BANS)?,
            certificates: transaction.open_table(CERTIFICATES)?,
            finality_log: transaction.open_table(FINALITY_LOG)?,
            notes: transaction.open_table(NOTES)?,
            transactions: transaction.open_table(TRANSACTIONS)?,
            voters: transaction.open_table(VOTERS)?,
            roll: transaction.open_table(ROLL)?,
            nodes: transaction.open_table(NODES)?,
            groups: transaction.open_table(GROUPS)?,
            invitations: transaction.open_table(INVITATIONS)?,
            invitation_uses: transaction.open_table(INVITATION_USES)?,
            elections: transaction.open_table(ELECTIONS)?,
            election_numbers: transaction.open_table(ELECTION_NUMBERS)?,
            votes: transaction.open_table(VOTES)?,
            vote_counts: transaction.open_table(VOTE_COUNTS)?,
            finalisers: FinaliserTables {
                set_changes: open_if_there(transaction, SET_CHANGES)?,
                convictions: open_if_there(transaction, CONVICTIONS)?,
                convicted: open_if_there(transaction, CONVICTED)?,
            },
        })
    }

    /// Creates every table.
    pub fn create(transaction: &WriteTransaction) -> Result<(), StoreError> {
        transaction.open_table(META)?;
        transaction.open_table(HEADERS)?;
        transaction.open_table(MAIN)?;
        transaction.open_table(BODIES)?;
        transaction.open_table(PENDING)?;
        transaction.open_table(PEERS)?;
        transaction.open_table(BANS)?;
        transaction.open_table(CERTIFICATES)?;
        transaction.open_table(FINALITY_LOG)?;
        transaction.open_table(NOTES)?;
        transaction.open_table(TRANSACTIONS)?;
        transaction.open_table(VOTERS)?;
        transaction.open_table(ROLL)?;
        transaction.open_table(NODES)?;
        transaction.open_table(GROUPS)?;
        transaction.open_table(INVITATIONS)?;
        transaction.open_table(INVITATION_USES)?;
        transaction.open_table(ELECTIONS)?;
        transaction.open_table(ELECTION_NUMBERS)?;
        transaction.open_table(VOTES)?;
        transaction.open_table(VOTE_COUNTS)?;
        transaction.open_table(SET_CHANGES)?;
        transaction.open_table(CONVICTIONS)?;
        transaction.open_table(CONVICTED)?;
        Ok(())
    }
}

fn open_if_there<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Joins byte strings whose lengths add up to `N`.
pub(super) fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N);
    key
}

/// Key in [`NODES`].
pub(super) fn node_key(level: u8, index: u64) -> [u8; 9] {
    join(&[&[level], &index.to_be_bytes()])
}

/// Key in [`GROUPS`]. A name has no control characters, so that the zero ends it.
pub(super) fn group_key(group: &Group, height: u64) -> Vec<u8> {
    [group.as_bytes(), &[0], &height.to_be_bytes()].concat()
}

/// Key in [`VOTES`].
pub(super) fn vote_key(election: u64, voter: &VoterTag) -> [u8; 41] {
    let (kind, tag): (u8, &[u8]) = match voter {
        VoterTag::Key(key) => (0, key.as_ref()),
        VoterTag::Link(tag) => (1, tag.as_ref()),
    };
    join(&[&election.to_be_bytes(), &[kind], tag])
}
