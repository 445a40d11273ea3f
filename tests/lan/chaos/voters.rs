//! People who register and vote all the time, at any node, again and again until some node answers; and somebody who asks
//! questions.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use votenode::chain::election::{Choices, ElectionId};
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::{Payload, Transaction};
use votenode::client::election_file::{ElectionFile, Timing};
use votenode::client::make::{Admission, registration};
use votenode::crypto::{SigningKey, VoterId};
use votenode::protocol::transaction_file::to_hex;
use votenode::wire;

use super::check::OPTIONS;
use super::history::{Answer, Event, History, What, now_ms};
use super::watch::Open;
use crate::harness::http::Http;
use crate::harness::seed::Dice;

/// Nodes that somebody tries before giving a transaction up.
const TRIES: usize = 6;
/// Longest pause between two things that one queue of people does, in milliseconds.
const PAUSE_MS: usize = 500;
/// Polls of an election are at least so long from closing when somebody votes in it.
const IN_TIME_MS: u64 = 1_500;

/// An election that somebody opened.
#[derive(Clone)]
pub struct Question {
    pub id: ElectionId,
    pub closes_at_ms: u64,
}

/// What all who hand something in share.
pub struct Town<'a> {
    pub network: &'a Network,
    /// Consoles of all nodes.
    pub nodes: Vec<Http>,
    pub history: History,
    pub open: Open,
    questions: Mutex<Vec<Question>>,
    /// Second votes of somebody in one election that were handed in.
    pub twice: AtomicUsize,
    /// What `ballot` proved to be final.
    pub proved: AtomicUsize,
}

impl<'a> Town<'a> {
    pub fn new(network: &'a Network, nodes: Vec<Http>) -> Self {
        Self {
            network,
            nodes,
            history: History::default(),
            open: Open::default(),
            questions: Mutex::default(),
            twice: AtomicUsize::default(),
            proved: AtomicUsize::default(),
        }
    }

    /// When the last polls close; 0 if there were none.
    pub fn last_close_ms(&self) -> u64 {
        let all = self.questions.lock().unwrap();
        let closes = all.iter().map(|question| question.closes_at_ms);
        closes.max().unwrap_or_default()
    }

    /// Hands a transaction to a node.
    fn hand(&self, node: usize, transaction: &Transaction, what: &What) -> Answer {
        let tx = transaction.id().to_string();
        let body = json!({ "transactions": [to_hex(&wire::encode(transaction))] });
        let began_ms = now_ms();
        let answer = match self.nodes[node].post("/api/v1/transactions", &body.to_string()) {
            Ok((200, body)) => {
                let told = &body["outcomes"][0];
                match told["outcome"].as_str().unwrap() {
                    "accepted" => Answer::Accepted,
                    "duplicate" => Answer::Duplicate,
                    "rejected" => Answer::Rejected(told["reason"].to_string()),
                    "busy" => Answer::Busy,
                    other => panic!("{other}"),
                }
            }
            Ok((503 | 504, _)) => Answer::Busy,
            Ok((status, body)) => panic!("{what:?}: {status} {body}"),
            Err(_) => Answer::Silence,
        };
        if matches!(answer, Answer::Accepted | Answer::Duplicate) {
            self.open.add(node, &tx);
        }
        let event = Event::Answered {
            tx,
            what: what.clone(),
            answer: answer.clone(),
        };
        self.history.note(began_ms, node, event);
        answer
    }

    /// Hands a transaction to one node after the other until one has it. Returns that one.
    fn bring(&self, dice: &mut Dice, transaction: &Transaction, what: &What) -> Option<usize> {
        for _ in 0..TRIES {
            let node = dice.below(self.nodes.len());
            if matches!(
                self.hand(node, transaction, what),
                Answer::Accepted | Answer::Duplicate
            ) {
                return Some(node);
            }
            dice.pause(PAUSE_MS);
        }
        None
    }

    /// Elections that somebody can still vote in, latest first.
    pub fn questions(&self) -> Vec<Question> {
        let mut all = self.questions.lock().unwrap().clone();
        all.retain(|question| question.closes_at_ms > now_ms() + IN_TIME_MS);
        all.reverse();
        all
    }
}

/// A person.
struct Person {
    voter: VoterId,
    key: String,
    asked: BTreeSet<ElectionId>,
}

/// People who do one thing after the other, until the flag is raised.
pub fn queue(town: &Town<'_>, seed: u64, ended: &AtomicBool) {
    let mut dice = Dice::new(seed);
    let mut people: Vec<Person> = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let questions = town.questions();
        let asked = questions.iter().find_map(|question| {
            let waits = people
                .iter()
                .position(|person| !person.asked.contains(&question.id))?;
            Some((question.id, waits))
        });
        match asked {
            Some((election, person)) if !dice.once_in(4) => {
                people[person].asked.insert(election);
                vote(town, &mut dice, &people[person], election);
            }
            _ => people.extend(register(town, &mut dice)),
        }
        dice.pause(PAUSE_MS);
    }
}

/// Somebody comes on the roll; some do it twice, with papers that differ. Gives nobody if no node had an answer.
fn register(town: &Town<'_>, dice: &mut Dice) -> Option<Person> {
    let voter = VoterId::generate().unwrap();
    let key = voter.signing_key().public_key().to_string();
    let what = What::Registration { voter: key.clone() };
    let papers = || {
        let never = AtomicBool::new(false);
        registration(town.network, &voter, &Admission::Open, &never).unwrap()
    };
    let first = papers();
    let known = town.bring(dice, &first, &what).is_some();
    if dice.once_in(8) {
        town.hand(dice.below(town.nodes.len()), &papers(), &what);
    }
    if dice.once_in(8) {
        town.hand(dice.below(town.nodes.len()), &first, &what);
    }
    known.then(|| Person {
        voter,
        key,
        asked: BTreeSet::new(),
    })
}

/// Somebody votes; some do it twice, with another choice at another node, or hand the same in again.
fn vote(town: &Town<'_>, dice: &mut Dice, person: &Person, election: ElectionId) {
    let choice = dice.below(OPTIONS) as u8;
    let ballot = |choice: u8| {
        let choices = Choices::new(vec![choice]).unwrap();
        let vote = sign::cast_vote(&town.network.id(), &person.voter, election, choices);
        let what = What::Vote {
            voter: person.key.clone(),
            election: election.to_string(),
            choice,
        };
        (vote, what)
    };
    let (first, what) = ballot(choice);
    town.bring(dice, &first, &what);
    if dice.once_in(4) {
        let (second, what) = ballot((choice + 1) % OPTIONS as u8);
        town.hand(dice.below(town.nodes.len()), &second, &what);
        town.twice.fetch_add(1, Ordering::SeqCst);
    }
    if dice.once_in(8) {
        town.hand(dice.below(town.nodes.len()), &first, &what);
    }
}

/// Opens one election after the other, each for so long, so that there is always one to vote in.
pub fn ask(town: &Town<'_>, seed: u64, span: Duration, ended: &AtomicBool) {
    let mut dice = Dice::new(seed);
    let span_ms = span.as_millis() as u64;
    for number in 1.. {
        while !ended.load(Ordering::SeqCst)
            && town
                .questions()
                .iter()
                .any(|question| question.closes_at_ms > now_ms() + span_ms / 3)
        {
            sleep(Duration::from_millis(100));
        }
        if ended.load(Ordering::SeqCst) {
            break;
        }
        open(town, &mut dice, &format!("Question {number}"), span);
    }
}

/// Opens an election. It is one to vote in once a node has it.
pub fn open(town: &Town<'_>, dice: &mut Dice, title: &str, span: Duration) {
    let text = format!(
        "title = \"{title}\"\nquestion = \"Who?\"\noptions = [\"Ada\", \"Grace\", \"Mary\"]\n"
    );
    let timing = Timing {
        opens_in: None,
        closes_in: Some(span),
    };
    let opened_at_ms = now_ms();
    let terms = ElectionFile::parse(&text)
        .and_then(|file| file.terms(town.network, timing, opened_at_ms))
        .unwrap();
    let closes_at_ms = terms.closes_at_ms;
    let organiser = SigningKey::generate().unwrap();
    let transaction = sign::open_election(town.network, &organiser, terms).unwrap();
    let Payload::Election { election } = &transaction.payload else {
        panic!("{transaction:?}");
    };
    let id = election.id();
    let what = What::Election {
        election: id.to_string(),
        closes_at_ms,
    };
    if town.bring(dice, &transaction, &what).is_some() {
        town.questions
            .lock()
            .unwrap()
            .push(Question { id, closes_at_ms });
    }
}
