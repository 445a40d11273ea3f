//! One run: a network, people who vote in it, trouble, and the end of all trouble.

use std::sync::Arc;

use votenode::chain::genesis::{Finaliser, Genesis, OpenAdmission, Organiser, PROTOCOL_VERSION};
use votenode::chain::network::Network;
use votenode::crypto::Hash;
use votenode::node::Input;
use votenode::node::mempool::MempoolLimits;
use votenode::node::simulated::host::Setup;
use votenode::node::simulated::net::Net;
use votenode::planted::Fault;
use votenode::wire::{List, Text};

use crate::counters::{COUNTED, Counters};
use crate::invariants::{
    self, CONVERGENCE, LARGE_ENOUGH, Verdict, Watch, accepted_is_accounted_for, has_converged,
    not_converged, once, recount_of, results_equal_the_recount, served,
};
use crate::people::{self, People, Schedule, organiser};
use crate::recount::Counted;
use crate::trouble::Trouble;

/// Zero bits of the stamp on an open registration.
pub const STAMP_BITS: u8 = 4;
/// Fewest nodes of a run.
pub const LEAST_NODES: u64 = 5;
/// Fewest transactions on the chain at the end of a run.
pub const LEAST_TRANSACTIONS: usize = 200;
/// Time between two looks at a run, in milliseconds.
const STEP_MS: u64 = 500;
/// Nobody is left to mine alone when an election's boundary is this close, in milliseconds.
const BOUNDARY_MS: u64 = 2_000;
/// A healed network converges within this, in milliseconds: what waits for something that left the chain for good is
/// given up after ten minutes.
const HEALING_MS: u64 = 15 * 60_000;
/// Operators look after a while, in milliseconds, whether their node keeps to another chain than the others.
const OPERATOR_MS: u64 = 20_000;
/// Minutes of rest at the end: a dozen times as long as peers take to ask each other where they stand.
const REST_MINUTES: u64 = 3;
/// What arrives within so many milliseconds is one batch.
const GRAIN_MS: u64 = 10;

/// What a run gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub counters: Counters,
    pub trace: String,
    pub height: u64,
    pub transactions: usize,
    pub simulated_ms: u64,
}

struct World {
    net: Net,
    people: People,
    trouble: Trouble,
    watch: Watch,
    counters: Counters,
}

fn genesis(finalisers: u8) -> Genesis {
    let finaliser = |seed: u8| Finaliser {
        key: people::finaliser(seed).public_key(),
        power: 1,
        name: Text::new(&format!("F{seed}")).unwrap(),
    };
    Genesis {
        version: PROTOCOL_VERSION,
        name: Text::new("simulated").unwrap(),
        timestamp_ms: 1_000_000,
        block_time_ms: 1_000,
        // Every second nonce will do.
        target: Hash::from_bytes([0x7f; 32]),
        close_grace_ms: 2_000,
        confirmations: 2,
        max_block_bytes: 64 * 1024,
        max_block_transactions: 100,
        open_admission: OpenAdmission::Stamped { bits: STAMP_BITS },
        vote_stamp_bits: STAMP_BITS,
        elections_by: Genesis::ANYONE,
        organisers: List::new(vec![Organiser {
            key: organiser().public_key(),
            permissions: 3,
            name: Text::new("organiser").unwrap(),
        }])
        .unwrap(),
        finalisers: List::new((1..=finalisers).map(finaliser).collect()).unwrap(),
    }
}

/// Whether this seed's network has finalisers.
pub fn finalises(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

/// The network of a seed, with nothing going on in it yet.
fn network_of(seed: u64, counters: &mut Counters) -> Net {
    let finalisers = if finalises(seed) { 4 } else { 0 };
    counters.add(
        match finalisers {
            0 => "networks without finalisers",
            _ => "networks with finalisers",
        },
        1,
    );
    let network = Arc::new(Network::new(genesis(finalisers)).unwrap());
    let mut net = Net::with(network, Vec::new());
    net.grain_ms = GRAIN_MS;
    net.random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let hosts = LEAST_NODES + net.draw(2);
    // Some do not mine; some have little room.
    let idler = hosts - 2 - net.draw(2);
    let room = if net.draw(3) == 0 { 16 } else { 200_000 };
    for host in 0..hosts {
        let seed = host as u8 + 1;
        net.add(Setup {
            mine: host != idler,
            mempool: MempoolLimits {
                max_transactions: room,
                ..MempoolLimits::default()
            },
            finaliser: (seed <= finalisers).then_some(seed),
            ..Setup::default()
        });
    }
    net
}

/// Runs a seed to its end, or to the first invariant that does not hold. `progress` is kept up to date either way.
pub fn run(seed: u64, fault: Option<(Fault, Option<usize>)>, report: &mut Report) -> Verdict {
    let mut counters = Counters::default();
    let mut net = network_of(seed, &mut counters);
    net.planted = fault;
    let opens_ms = 8_000 + net.draw(8_000);
    let schedule = Schedule {
        opens_ms,
        closes_ms: opens_ms + 40_000 + net.draw(30_000),
        short_closes_ms: 20_000 + net.draw(20_000),
    };
    // Trouble ends before the close, around it, or after.
    let trouble_ends_ms = schedule.closes_ms - 15_000 + net.draw(35_000);
    let people = People::new(&mut net, &schedule, &mut counters);
    let trouble = Trouble::new(&mut net, schedule.closes_ms, &mut counters);
    let mut world = World {
        net,
        people,
        trouble,
        watch: Watch::new(people::invitations()),
        counters,
    };
    let verdict = world.live(&schedule, trouble_ends_ms);
    world.tell(report);
    verdict
}

impl World {
    fn live(&mut self, schedule: &Schedule, trouble_ends_ms: u64) -> Verdict {
        self.people.deaf_percent = 10;
        while self.net.now_ms < trouble_ends_ms {
            self.trouble.act(&mut self.net, &mut self.counters);
            self.step()?;
        }
        self.people.deaf_percent = 0;
        self.trouble.end(&mut self.net, &mut self.counters);
        self.let_one_leave_at_work(schedule)?;
        while self.net.now_ms < schedule.closes_ms + 5_000 {
            self.step()?;
        }
        self.converge()?;
        if !self.trouble.gone.is_empty() {
            self.trouble.come_back(&mut self.net, &mut self.counters);
            self.converge()?;
        }
        self.judge()?;
        invariants::silence(&mut self.net, REST_MINUTES, &mut self.counters)?;
        self.look()
    }

    /// In a network that is whole, and has work to do before its election closes, somebody may leave for long in the
    /// middle of a block that the others wait for.
    fn let_one_leave_at_work(&mut self, schedule: &Schedule) -> Verdict {
        let last_ms = schedule.closes_ms.saturating_sub(BOUNDARY_MS);
        let leaves = self.trouble.gone.is_empty() && self.net.draw(2) == 0;
        while leaves && self.net.now_ms < last_ms {
            self.people.act(&mut self.net, &mut self.counters);
            let (trouble, net) = (&mut self.trouble, &mut self.net);
            if trouble.leave_at_work(net, STEP_MS, &mut self.counters) {
                break;
            }
            self.look()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Verdict {
        self.trouble.leave(&mut self.net, &mut self.counters);
        self.people.act(&mut self.net, &mut self.counters);
        self.net.run(STEP_MS);
        self.look()
    }

    fn look(&mut self) -> Verdict {
        let elections = self.people.elections.clone();
        self.watch
            .look(&mut self.net, &elections, &mut self.counters)
    }

    /// Waits until all are of one mind. Where nobody finalises, operators let go of a closing block that the others do
    /// not have.
    fn converge(&mut self) -> Verdict {
        let (begin_ms, mut asked_ms) = (self.net.now_ms, self.net.now_ms);
        while !(has_converged(&self.net, &self.people.elections) && self.people.content(&self.net))
        {
            if self.net.now_ms >= begin_ms + HEALING_MS {
                return Err(not_converged(&self.net));
            }
            if self.net.now_ms >= asked_ms + OPERATOR_MS {
                asked_ms = self.net.now_ms;
                for host in invariants::running(&self.net) {
                    if self.net.node(host).status().competing.is_some() {
                        self.counters.add("closing blocks let go by operators", 1);
                        self.watch.released(&self.net, host);
                        self.net.input(host, Input::ReleasePin);
                    }
                }
            }
            self.step()?;
        }
        self.counters.add(CONVERGENCE, 1);
        Ok(())
    }

    /// What has to hold once it is over.
    fn judge(&mut self) -> Verdict {
        let (net, counters) = (&self.net, &mut self.counters);
        let counted = recount_of(net, 0);
        once(&counted, counters)?;
        results_equal_the_recount(net, &counted, counters)?;
        accepted_is_accounted_for(net, &counted, &self.people, counters)?;
        served(&counted, &self.people, counters)?;
        counters.add("invitations taken back", counted.revoked.len() as u64);
        counters.add("changes of the finalisers", counted.set_changes);
        let (nodes, transactions) = (net.hosts.len() as u64, counted.transactions.len());
        let closed = |counted: &Counted| counted.closing_block.is_some();
        let has_votes = |counted: &Counted| closed(counted) && counted.votes > 0;
        counters.add(
            COUNTED,
            u64::from(counted.elections.values().any(has_votes)),
        );
        counters.add(LARGE_ENOUGH, 1);
        if nodes < LEAST_NODES
            || transactions < LEAST_TRANSACTIONS
            || !counted.elections.values().any(closed)
        {
            return invariants::broken(
                LARGE_ENOUGH,
                format!("{nodes} nodes, {transactions} transactions"),
            );
        }
        Ok(())
    }

    fn tell(&mut self, report: &mut Report) {
        let happened = self.net.happened;
        for (name, times) in [
            ("gossip messages lost", happened.lost),
            ("requests lost", happened.requests_lost),
            ("gossip messages repeated", happened.repeated),
            ("messages delayed and overtaken", happened.delayed),
            ("slow commits", happened.slow_commits),
            ("inputs that waited for a commit", happened.deferred),
        ] {
            self.counters.add(name, times);
        }
        for host in &self.net.hosts {
            let refused = host.disk.refused_writes();
            self.counters
                .add("writes that a full disk refused", refused);
        }
        for host in invariants::running(&self.net) {
            let status = self.net.node(host).status();
            self.counters
                .add("reorganisations", status.counters.reorganisations);
            report.height = report.height.max(status.tip.height);
        }
        report.transactions = self.people.acknowledged.len();
        report.simulated_ms = self.net.now_ms;
        report.trace = self.net.trace_hash();
        report.counters = self.counters.clone();
    }
}
