//! People at a machine of their own, without a node, who use `ballot`: it finds nodes by itself, gossips, and says that a
//! vote is final only when it holds the proof.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::HEALING;
use super::check::OPTIONS;
use super::history::{Answer, Event, State, What, now_ms};
use super::voters::Town;
use crate::harness::scene::{Place, Scene};
use crate::harness::seed::Dice;
use crate::harness::voter::Voter;
use crate::harness::within;

/// How long `ballot` tries at once, in seconds: what it does not know by then, the voter asks for again.
const TIMEOUT: &str = "15";
/// How often somebody tries again.
const TRIES: usize = 4;
/// Ways for `ballot` to end in a network where nothing can be relied on: final, nobody there, refused, not known yet.
const EXITS: [i32; 4] = [0, 3, 4, 5];

/// Everybody who votes with `ballot`.
pub struct People<'a> {
    pub scene: &'a Scene,
    pub place: Place,
    pub genesis: &'a Path,
    pub town: &'a Town<'a>,
}

impl People<'_> {
    /// One after the other comes, until the flag is raised: everyone registers and votes once, some try it twice.
    pub fn come(&self, seed: u64, ended: &AtomicBool) {
        let mut dice = Dice::new(seed);
        for number in 0.. {
            if ended.load(Ordering::SeqCst) {
                break;
            }
            let name = format!("voter{number}");
            let voter = Voter::bare(self.scene, self.place.clone(), &name);
            let Some(registered) = self.registers(&voter, ended) else {
                continue;
            };
            let Some(question) = self.town.questions().into_iter().next() else {
                continue;
            };
            let election = question.id.to_string();
            let key = text(&registered["voter_key"]);
            for _ in 0..1 + usize::from(dice.once_in(3)) {
                let choice = dice.below(OPTIONS);
                let number = (choice + 1).to_string();
                let vote = |_: &Value| What::Vote {
                    voter: key.clone(),
                    election: election.clone(),
                    choice: choice as u8,
                };
                self.tries(&voter, &["cast", &election, &number], ended, vote);
            }
        }
        if self.town.proved.load(Ordering::SeqCst) == 0 {
            let last = Voter::bare(self.scene, self.place.clone(), "last");
            within(HEALING, "ballot to prove something", || {
                self.registers(&last, ended).ok_or_else(String::new)
            });
        }
    }

    fn registers(&self, voter: &Voter<'_>, ended: &AtomicBool) -> Option<Value> {
        let what = |told: &Value| What::Registration {
            voter: text(&told["voter_key"]),
        };
        self.tries(voter, &["register"], ended, what)
    }

    /// Runs `ballot` until it has the proof, a refusal, or enough; returns what it says when it has the proof.
    fn tries(
        &self,
        voter: &Voter<'_>,
        arguments: &[&str],
        ended: &AtomicBool,
        what: impl Fn(&Value) -> What,
    ) -> Option<Value> {
        let network = self.genesis.to_str().unwrap();
        let more = ["--network", network, "--timeout", TIMEOUT, "--json"];
        for _ in 0..TRIES {
            let began_ms = now_ms();
            let run = voter.try_to(&[arguments, &more].concat());
            // The nodes that it found may not have heard of the election yet.
            let is_unheard_of = run.code == 2 && run.stderr.contains("no election has the id");
            let is_expected = EXITS.contains(&run.code) || is_unheard_of;
            assert!(is_expected, "{arguments:?}: {run:?}");
            match run.code {
                0 => {
                    let told = run.json();
                    assert_eq!(told["state"], "final", "{told}");
                    let tx = text(&told["transaction"]);
                    self.note(began_ms, &tx, what(&told), text(&told["block"]));
                    return Some(told);
                }
                4 => return None,
                _ if ended.load(Ordering::SeqCst) => return None,
                _ => {}
            }
        }
        None
    }

    /// Notes that something is final and proved, as if the program were one more node.
    fn note(&self, at_ms: u64, tx: &str, what: What, block: String) {
        let program = self.town.nodes.len();
        let (answer, state) = (Answer::Accepted, State::Final { block });
        let tx = tx.to_owned();
        let handed_in = Event::Answered {
            tx: tx.clone(),
            what,
            answer,
        };
        self.town.history.note(at_ms, program, handed_in);
        let seen = Event::Seen { tx, state };
        self.town.history.note(at_ms, program, seen);
        self.town.proved.fetch_add(1, Ordering::SeqCst);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
