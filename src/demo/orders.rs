//! What travels between the demo and its client processes: a line of JSON each.
//!
//! Every order is answered by exactly one report other than [`Report::Progress`], in the order in which they came.

use serde::{Deserialize, Serialize};

/// How far transactions are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Into blocks.
    Included,
    /// Until a certificate shows that the block is final.
    Final,
}

/// Where a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Its peer id.
    pub peer: String,
    /// Its address.
    pub address: String,
}

/// What a client process is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Make the voters' keys and registrations, and hand nothing in yet.
    Prepare,
    /// Hand all registrations in at once and follow them to the goal.
    Register {
        /// How far.
        goal: Goal,
        /// Give up after this.
        timeout_ms: u64,
    },
    /// Open an election that ends after this time.
    Open {
        /// How long polls are open.
        open_for_ms: u64,
        /// How far the transaction is followed.
        goal: Goal,
        /// Give up after this.
        timeout_ms: u64,
    },
    /// So many of the voters who have not voted vote by gossip, and the votes are followed to the goal.
    Vote {
        /// The election.
        election: String,
        /// How many.
        voters: usize,
        /// How far.
        goal: Goal,
        /// Give up after this.
        timeout_ms: u64,
    },
    /// The first voters try again with another choice, each at one of the nodes.
    VoteAgain {
        /// The election.
        election: String,
        /// How many.
        voters: usize,
        /// The nodes.
        nodes: Vec<Place>,
    },
    /// The voters in reserve hand their votes to this node and to no other.
    HandIn {
        /// The election.
        election: String,
        /// The node.
        node: Place,
    },
    /// Which of these nodes hold votes that were handed in so?
    WhoHolds {
        /// The nodes.
        nodes: Vec<Place>,
    },
    /// Follow those votes to the goal.
    Follow {
        /// How far.
        goal: Goal,
        /// Give up after this.
        timeout_ms: u64,
    },
    /// Follow the votes of the last [`Order::Vote`] further, until they are final.
    Finish {
        /// Give up after this.
        timeout_ms: u64,
    },
    /// Ask every one of these nodes for the result.
    Results {
        /// The election.
        election: String,
        /// The nodes.
        nodes: Vec<Place>,
    },
}

/// What a client process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// It is in the network and knows so many nodes. Comes once, before any order.
    Joined {
        /// Connected nodes.
        nodes: usize,
    },
    /// An order is under way.
    Progress {
        /// Transactions in blocks so far.
        included: usize,
    },
    /// All registrations are made.
    Prepared,
    /// To [`Order::Register`], [`Order::Vote`], [`Order::Follow`] and [`Order::Finish`].
    Followed {
        /// Transactions that reached the goal, by proofs that were checked.
        included: usize,
        /// Lowest and highest block with one of them.
        heights: Option<(u64, u64)>,
        /// Votes per option.
        choices: Vec<u64>,
        /// What became of the others.
        problems: Vec<String>,
    },
    /// The election is in a block.
    Opened {
        /// Its id.
        election: String,
        /// Height of its block.
        height: u64,
        /// When polls close, Unix milliseconds.
        closes_at_ms: u64,
    },
    /// To [`Order::VoteAgain`].
    TriedAgain {
        /// Refused because the voter has voted.
        refused: usize,
        /// What else a node said.
        others: Vec<String>,
    },
    /// To [`Order::HandIn`].
    HandedIn {
        /// Votes that the node acknowledged.
        accepted: usize,
        /// Votes of which it said afterwards that they wait for a block.
        pending: usize,
        /// Votes per option.
        choices: Vec<u64>,
        /// What else the node said.
        others: Vec<String>,
    },
    /// To [`Order::WhoHolds`]: votes held, per node.
    Holders {
        /// In the order of the nodes.
        held: Vec<usize>,
    },
    /// To [`Order::Results`]: in the order of the nodes.
    Results {
        /// The results.
        results: Vec<NodeResult>,
    },
    /// The order could not be carried out.
    Failed {
        /// Why.
        message: String,
    },
}

/// A result as one node tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeResult {
    /// The closing block.
    pub closing_block: Option<String>,
    /// The checkpoint that makes it final: its block and height.
    pub checkpoint: Option<(String, u64)>,
    /// Votes counted.
    pub votes: u64,
    /// Votes per option.
    pub totals: Vec<u64>,
    /// Winning options.
    pub winners: Vec<u8>,
}
