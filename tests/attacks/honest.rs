//! Honest clients of the victim: one that stays and newcomers, who register voters and ask what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use votenode::chain::genesis::OpenAdmission;
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::{Transaction, TxId};
use votenode::client::LinkOptions;
use votenode::client::link::{AskError, Link};
use votenode::crypto::VoterId;
use votenode::protocol::submit::{Outcome, Reply, Request, TxStatus};
use votenode::wire::List;
use votenode_p2p::{Multiaddr, PeerId};

use crate::arena::Arena;
use crate::harness::DEADLINE;
use crate::invalid::{self, HONEST_INVITATIONS};

/// Rounds of questions that an attack lasts for at least.
const ROUNDS: usize = 3;
/// Between two rounds: clients are people.
const PAUSE: Duration = Duration::from_millis(50);

/// Clients at work.
pub struct Honest {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Rested>,
}

/// What they did.
pub struct Rested {
    client: Client,
    accepted: Vec<TxId>,
}

#[derive(Clone)]
struct Client {
    link: Link,
    network: Arc<Network>,
    victim: PeerId,
    /// Invitations used so far.
    invitations: Arc<AtomicU16>,
}

impl Honest {
    /// A client connects before the attack begins, and starts to ask.
    pub async fn begin(arena: &Arena<'_>) -> Self {
        let client = Client::connect(&arena.network, &arena.address, arena.peer).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), arena.address.clone());
        let task = tokio::spawn(async move {
            let mut accepted = Vec::new();
            let mut rounds = 0;
            while rounds < ROUNDS || !stopped.load(Ordering::Relaxed) {
                let id = client.registers().await;
                client.knows(&id).await;
                accepted.push(id);
                let newcomer = Client::connect(&client.network, &address, client.victim).await;
                newcomer.knows(&id).await;
                newcomer.link.close().await;
                rounds += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Rested { client, accepted }
        });
        Self { stop, task }
    }

    /// They finish their round.
    pub async fn rest(self) -> Rested {
        self.stop.store(true, Ordering::Relaxed);
        let rested = self.task.await;
        rested.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Rested {
    /// Waits until everything that was accepted is in the chain; how many that are.
    pub async fn all_included(self) -> u64 {
        println!("{} rounds of honest questions", self.accepted.len());
        for id in &self.accepted {
            self.client.until(id, "included", is_included).await;
        }
        self.accepted.len() as u64
    }
}

fn is_included(status: &TxStatus) -> bool {
    matches!(status, TxStatus::Included { .. } | TxStatus::Final { .. })
}

impl Client {
    async fn connect(network: &Arc<Network>, address: &Multiaddr, victim: PeerId) -> Self {
        let options = LinkOptions {
            bootstrap: vec![address.clone()],
            listen: Vec::new(),
            mdns: false,
        };
        let link = Link::open(Arc::clone(network), options).await.unwrap();
        let found = link.wait_for_nodes(1, Instant::now() + DEADLINE).await;
        let nodes = link.nodes();
        assert!(found, "no node answers a newcomer: {:?}", nodes.trouble);
        Self {
            link,
            network: Arc::clone(network),
            victim,
            invitations: Arc::default(),
        }
    }

    /// Asks until there is an answer other than "busy".
    async fn ask(&self, request: &Request) -> Reply {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let trouble = match timeout_at(deadline, self.link.ask(self.victim, request)).await {
                Ok(Ok(reply)) => return reply,
                Ok(Err(error @ (AskError::Busy | AskError::Request(_)))) => error.to_string(),
                Ok(Err(error)) => panic!("the victim lies: {error}"),
                Err(_) => "no answer".to_owned(),
            };
            assert!(
                Instant::now() < deadline,
                "an honest client hears: {trouble}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The registration of a new voter, by whatever way the network admits voters.
    fn registration(&self) -> Transaction {
        let (id, voter) = (self.network.id(), VoterId::generate().unwrap());
        match self.network.open_admission {
            OpenAdmission::Stamped { .. } => invalid::register(&id, &voter),
            OpenAdmission::Forbidden {} => {
                let next = self.invitations.fetch_add(1, Ordering::Relaxed);
                let invitation = invalid::invitation(HONEST_INVITATIONS.start + next);
                sign::register_invited(&id, &voter, &[0; 32], &invitation)
            }
        }
    }

    /// Registers a new voter; the victim accepts that.
    async fn registers(&self) -> TxId {
        let registration = self.registration();
        let id = registration.id();
        let request = Request::Submit {
            transactions: List::new(vec![registration]).unwrap(),
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Reply::Submit { outcomes } = self.ask(&request).await else {
                panic!("the victim answers something else")
            };
            match &outcomes[0] {
                Outcome::Accepted {} | Outcome::Duplicate {} => return id,
                Outcome::Busy {} => {}
                other => panic!("the victim refuses an honest registration: {other:?}"),
            }
            assert!(Instant::now() < deadline, "the victim stays busy");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn status(&self, id: &TxId) -> TxStatus {
        let request = Request::Status {
            ids: List::new(vec![*id]).unwrap(),
        };
        match self.ask(&request).await {
            Reply::Status { statuses } => statuses[0].clone(),
            other => panic!("the victim answers something else: {other:?}"),
        }
    }

    /// What was accepted waits or is in the chain.
    async fn knows(&self, id: &TxId) {
        let status = self.status(id).await;
        let right = matches!(status, TxStatus::Pending {}) || is_included(&status);
        assert!(right, "the victim says {status:?} of what it accepted");
    }

    async fn until(&self, id: &TxId, what: &str, is_so: impl Fn(&TxStatus) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.status(id).await;
            if is_so(&status) {
                return;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "what was accepted is not {what}: {status:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
