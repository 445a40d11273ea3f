//! What tests bring into a network by hand, and what they look at.

use votenode_p2p::{MessageId, PeerId, Verdict, message_id};

use super::net::{Delivery, Net};
use super::puppet::Puppet;
use crate::chain::block::BlockId;
use crate::chain::transaction::{Transaction, TxId};
use crate::node::results::Tallies;
use crate::node::{Input, Node, Submitter};
use crate::protocol::names::Topic;
use crate::protocol::submit::{ElectionResult, Outcome, Reply, Request, TxStatus};
use crate::wire::List;

impl Net {
    /// The node of a host that runs.
    pub fn node(&self, host: usize) -> &Node {
        &self.hosts[host].running.as_ref().unwrap().node
    }

    /// The node of a host that runs.
    pub fn node_mut(&mut self, host: usize) -> &mut Node {
        let running = self.hosts[host].running.as_mut().unwrap();
        running.wakeup_ms = None;
        &mut running.node
    }

    /// Where a host stands: height and block.
    pub fn tip(&self, host: usize) -> (u64, BlockId) {
        let tip = self.node(host).store().snapshot().tip();
        (tip.height, tip.id)
    }

    /// Where all that run stand.
    pub fn tips(&self) -> Vec<(u64, BlockId)> {
        let running = |host: &usize| self.hosts[*host].running.is_some();
        (0..self.hosts.len())
            .filter(running)
            .map(|host| self.tip(host))
            .collect()
    }

    /// Whether all that run stand on one block.
    pub fn one_tip(&self) -> bool {
        let tips = self.tips();
        tips.iter().all(|tip| *tip == tips[0])
    }

    /// Input for one node, as if something outside the network had brought it.
    pub fn input(&mut self, host: usize, input: Input) {
        self.send(host, 0, Delivery::Input(input));
    }

    /// A gossip message from a peer that is no host.
    pub fn gossip(&mut self, host: usize, from: PeerId, topic: Topic, data: Vec<u8>) -> MessageId {
        let id = message_id(&topic.full_name(&self.network.id()), &data);
        let input = Input::Gossip {
            topic,
            id,
            from,
            data,
        };
        self.input(host, input);
        id
    }

    /// What a host said of a gossip message so far.
    pub fn verdict(&self, host: usize, id: &MessageId) -> Option<Verdict> {
        self.hosts[host].seen.get(id)?.verdict
    }

    /// Submits, and waits for the outcomes.
    pub fn submit(&mut self, host: usize, transactions: Vec<Transaction>) -> Vec<Outcome> {
        let number = self.submit_only(host, transactions);
        self.until("an answer", 20_000, |net| {
            net.hosts[host].answers.contains_key(&number)
        });
        self.hosts[host].answers.remove(&number).unwrap()
    }

    /// Submits and goes on at once.
    pub fn submit_only(&mut self, host: usize, transactions: Vec<Transaction>) -> u64 {
        self.submissions += 1;
        let input = Input::Submit {
            submitter: Submitter::Local(self.submissions),
            transactions,
        };
        self.input(host, input);
        self.submissions
    }

    /// Submits what has to be accepted.
    pub fn accept(&mut self, host: usize, transactions: Vec<Transaction>) {
        let outcomes = self.submit(host, transactions);
        assert!(
            outcomes.iter().all(|o| *o == Outcome::Accepted {}),
            "{outcomes:?}"
        );
    }

    /// Submits one that has to be refused, and gives the code of the reason.
    pub fn refused(&mut self, host: usize, transaction: Transaction) -> u64 {
        match self.submit(host, vec![transaction]).pop().unwrap() {
            Outcome::Rejected { reason } => reason.code,
            outcome => panic!("{outcome:?}"),
        }
    }

    /// What a client hears of a transaction.
    pub fn status(&self, host: usize, id: TxId) -> TxStatus {
        let request = Request::Status {
            ids: List::new(vec![id]).unwrap(),
        };
        self.plant(host);
        let server = &self.hosts[host].running.as_ref().unwrap().server;
        match server.submit(&request, self.wall_ms()) {
            Reply::Status { statuses } => statuses.into_vec().pop().unwrap(),
            reply => panic!("{reply:?}"),
        }
    }

    /// Whether a transaction is in a block of a host's chain, none of them final.
    pub fn is_included(&self, host: usize, id: TxId) -> bool {
        matches!(self.status(host, id), TxStatus::Included { .. })
    }

    /// How an election stands by a host's account.
    pub fn result(
        &self,
        host: usize,
        election: &crate::chain::election::ElectionId,
    ) -> ElectionResult {
        self.plant(host);
        let snapshot = self.node(host).store().snapshot();
        Tallies::default()
            .result(&snapshot, &self.network, election, self.wall_ms())
            .unwrap()
            .unwrap()
    }

    /// Adds a peer that is linked to these hosts.
    pub fn add_puppet(&mut self, puppet: Puppet, hosts: &[usize]) -> PeerId {
        let peer = puppet.peer;
        self.puppets.insert(peer, puppet);
        for host in hosts {
            self.input(*host, Input::PeerReady { peer });
        }
        peer
    }
}
