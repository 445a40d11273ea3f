//! What outsiders see of a node: how full its queues, pools and maps are, and which block it keeps to.

use crate::chain::block::BlockId;
use crate::node::Node;
use crate::node::blocks::{MAX_BLOCK_TICKETS, MAX_BODIES_HELD, MAX_FUTURE};
use crate::node::dropped::MAX_DROPPED;
use crate::node::fetch::MAX_WITHHELD;
use crate::node::finality::{MAX_AHEAD, MAX_TIMED};
use crate::node::ingest::{MAX_JOBS, MAX_TICKETS};
use crate::node::intake::MAX_HELD;
use crate::node::mining::MAX_MINERS;
use crate::node::peers::MAX_REQUESTS_PER_PEER;

/// How full something is.
#[derive(Clone, Copy, Debug)]
pub struct Occupancy {
    /// What it is called.
    pub name: &'static str,
    /// Entries in it.
    pub used: usize,
    /// The most that there may be.
    pub bound: usize,
}

impl Node {
    /// How full every bounded thing is, the mempool aside, whose bound is the operator's.
    pub fn occupancy(&self) -> Vec<Occupancy> {
        let limits = self.tree.limits();
        let at = |name, used, bound| Occupancy { name, used, bound };
        vec![
            at(
                "verification jobs",
                self.jobs.len(),
                MAX_JOBS + MAX_BODIES_HELD,
            ),
            at("arrays under way", self.intake.tickets.len(), MAX_TICKETS),
            at("transactions held", self.intake.held(), MAX_HELD),
            at(
                "dubious transactions",
                self.dubious.len(),
                self.mempool.len(),
            ),
            at("bodies", self.bodies.len(), MAX_BODIES_HELD),
            at(
                "blocks that wait for a verdict",
                self.block_tickets.len(),
                MAX_BLOCK_TICKETS,
            ),
            at("blocks from the future", self.future.len(), MAX_FUTURE),
            at("own blocks", self.own_blocks.len(), self.bodies.len()),
            at("blocks set aside", self.fetch.withheld.len(), MAX_WITHHELD),
            at(
                "headers",
                self.tree.len(),
                limits.window as usize + 1 + limits.side_headers,
            ),
            at(
                "requests",
                self.peers.requests.len(),
                MAX_REQUESTS_PER_PEER * self.peers.len(),
            ),
            at("miners", self.mining.others.len(), MAX_MINERS),
            at("certificates ahead", self.finality.coming.len(), MAX_AHEAD),
            at("timed blocks", self.finality.joined.len(), MAX_TIMED),
            at(
                "reasons of dropped transactions",
                self.dropped.len(),
                MAX_DROPPED,
            ),
            at("boundaries", self.boundaries.len(), 3 * self.closings.len()),
        ]
    }

    /// Whether nothing is under way between arrival and block: no transaction waits, is held or is doubted.
    pub fn rests(&self) -> bool {
        self.mempool.is_empty()
            && self.dubious.is_empty()
            && self.intake.tickets.is_empty()
            && self.intake.held() == 0
            && self.jobs.is_empty()
    }

    /// Transactions that wait.
    pub fn waiting(&self) -> usize {
        self.mempool.len()
    }

    /// The closing block that this node keeps to, and its height.
    pub fn pinned(&self) -> Option<(BlockId, u64)> {
        self.tree.pin()
    }
}
