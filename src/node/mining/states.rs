//! Mining states: what this miner says that it does, and what others say.

use votenode_p2p::{MessageId, PeerId, Verdict};

use super::{
    Announced, Budget, FORGET_MINER_MS, Heard, MAX_MINERS, MAX_STATES_PER_MINER,
    MAX_STATES_PER_PEER, MAX_STATES_PER_SECOND, MAX_STRANGE_PER_PEER, MAX_STRANGE_PER_SECOND,
    REPEAT_MS,
};
use crate::chain::block::BlockId;
use crate::chain::schedule::Lease;
use crate::crypto::{Context, Signature, signing_digest};
use crate::node::status::KindCounts;
use crate::node::{Effect, Node};
use crate::planted::{self, Fault};
use crate::protocol::gossip::{MiningState, Phase};
use crate::protocol::names::Topic;
use crate::wire::{self, List};

/// Score points for each mining state beyond what a peer may pass on.
const ENDLESS_POINTS: u32 = 1;

impl Node {
    /// Gossips that this miner waits with what is in the mempool, and looks again when more of it may be told.
    pub(super) fn announce_waiting(&mut self, parent: BlockId, height: u64, phase: Phase) {
        let counts = self.mempool.counts();
        self.announce(parent, height, phase, counts);
        if let Some(said) = &self.mining.announced
            && said.outdated_by(&counts)
        {
            let left_ms = (said.at_mono_ms + REPEAT_MS).saturating_sub(self.now.mono_ms);
            let again_ms = self.now.wall_ms.saturating_add(left_ms.max(1));
            let wake_at_ms = self.mining.wake_at_ms.unwrap_or(u64::MAX);
            self.mining.wake_at_ms = Some(wake_at_ms.min(again_ms));
        }
    }

    /// Gossips what this miner is at: once per change of parent or phase, and of the counts while it waits as
    /// [`REPEAT_MS`] and [`REPEAT_PART`] allow. A template does not change while it is mined.
    pub(super) fn announce(
        &mut self,
        parent: BlockId,
        height: u64,
        phase: Phase,
        counts: KindCounts,
    ) {
        let now_ms = self.now.mono_ms;
        let silent = match &self.mining.announced {
            None => phase == Phase::Stopped,
            Some(said) if phase == Phase::Stopped && said.phase == Phase::Stopped => {
                !planted::is(Fault::IdleChatter)
            }
            Some(said) if (said.parent, said.phase) == (parent, phase) => {
                !matches!(phase, Phase::Waiting | Phase::StandingBy)
                    || !said.outdated_by(&counts)
                    || now_ms < said.at_mono_ms + REPEAT_MS
            }
            Some(_) => false,
        };
        if silent {
            return;
        }
        self.mining.announced = Some(Announced {
            parent,
            height,
            phase,
            counts,
            at_mono_ms: now_ms,
        });
        let lease_ms = if phase == Phase::Mining {
            self.network.block_time_ms / 2
        } else {
            0
        };
        let mut state = MiningState {
            parent,
            height,
            phase: phase as u8,
            counts: List::new(counts.0.to_vec()).expect("a count per kind"),
            lease_ms,
            hash_rate: self.mining.hash_rate,
            sequence: self.mining.next_sequence(self.now.wall_ms),
            miner: self.mining.miner,
            signature: Signature::ZERO,
        };
        state.signature = self.mining.key.sign(
            Context::SignMiningState,
            self.network.id().as_bytes(),
            &state.payload(),
        );
        self.out.push(Effect::Publish {
            topic: Topic::Mining,
            data: wire::encode(&state),
        });
    }

    /// Another miner says what it is at.
    pub(in crate::node) fn gossiped_mining_state(
        &mut self,
        id: MessageId,
        from: PeerId,
        data: &[u8],
    ) {
        let state: MiningState = match wire::decode(data) {
            Ok(state) => state,
            Err(error) => return self.reject_gossip(id, from, &error.to_string()),
        };
        if Phase::from_number(state.phase).is_none() {
            return self.reject_gossip(id, from, "a mining state of an unknown phase");
        }
        let second = self.now.mono_ms / 1000;
        if self.mining.budget.second != second {
            self.mining.budget = Budget {
                second,
                ..Budget::default()
            };
        }
        let tip = self.store.snapshot().tip();
        let stale = state.height + 2 < tip.height || state.height > tip.height + 1_000;
        let old = self
            .mining
            .others
            .get(&state.miner)
            .is_some_and(|heard| heard.state.sequence >= state.sequence);
        if stale || old {
            return self.ignore_useless(id, from);
        }
        let is_recent = self.mining.leases.is_recent(&state.miner);
        let said = self.mining.budget.by_miner.get(&state.miner);
        if said.is_some_and(|said| *said >= MAX_STATES_PER_MINER) {
            // Whoever passes it on need not be its miner, but passes on no more than it takes itself.
            return self.ignore_useless(id, from);
        }
        let has_time = if is_recent {
            self.has_time_for_a_miner(from)
        } else {
            self.has_time_for_a_stranger(from)
        };
        if !has_time {
            return self.report(id, from, Verdict::Ignore);
        }
        let digest = signing_digest(
            Context::SignMiningState,
            self.network.id().as_bytes(),
            &state.payload(),
        );
        if state.miner.check_strict().is_err() || !state.miner.verify(&digest, &state.signature) {
            return self.reject_gossip(id, from, "a mining state with a wrong signature");
        }
        if is_recent {
            // Not before it is known to be true, or others could use up what is the miner's.
            *self.mining.budget.by_miner.entry(state.miner).or_default() += 1;
        }
        self.report(id, from, Verdict::Accept);
        if state.phase == Phase::Mining as u8 {
            let next_boundary_ms = self.next_boundary(tip.timestamp_ms);
            self.mining.leases.offer(
                &Lease {
                    miner: state.miner,
                    parent: state.parent,
                    height: state.height,
                    lease_ms: state.lease_ms,
                },
                (tip.id, tip.height),
                self.now.wall_ms,
                next_boundary_ms,
            );
        }
        if self.mining.others.len() >= MAX_MINERS && !self.mining.others.contains_key(&state.miner)
        {
            let oldest = self
                .mining
                .others
                .iter()
                .min_by_key(|(_, heard)| heard.received_mono_ms)
                .map(|(miner, _)| *miner);
            if let Some(oldest) = oldest {
                self.mining.others.remove(&oldest);
            }
        }
        self.mining.others.insert(
            state.miner,
            Heard {
                state,
                received_mono_ms: self.now.mono_ms,
                received_at_ms: self.now.wall_ms,
            },
        );
    }

    /// Whether another state of a miner of the last blocks is looked at in this second.
    fn has_time_for_a_miner(&mut self, from: PeerId) -> bool {
        let budget = &mut self.mining.budget;
        budget.used += 1;
        let has_time = budget.used <= MAX_STATES_PER_SECOND;
        let by_peer = budget.used_from.entry(from).or_default();
        *by_peer += 1;
        if *by_peer > MAX_STATES_PER_PEER {
            self.penalize(from, ENDLESS_POINTS, "too many mining states");
        }
        has_time
    }

    /// Whether another state of a miner that made none of the last blocks is looked at in this second.
    fn has_time_for_a_stranger(&mut self, from: PeerId) -> bool {
        let budget = &mut self.mining.budget;
        budget.strange += 1;
        let has_time = budget.strange <= MAX_STRANGE_PER_SECOND;
        let by_peer = budget.strange_from.entry(from).or_default();
        *by_peer += 1;
        if *by_peer > MAX_STRANGE_PER_PEER {
            self.penalize(from, ENDLESS_POINTS, "too many mining states");
        }
        has_time
    }

    pub(super) fn forget_miners(&mut self) {
        let now_ms = self.now.mono_ms;
        self.mining
            .others
            .retain(|_, heard| heard.received_mono_ms + FORGET_MINER_MS > now_ms);
    }
}
