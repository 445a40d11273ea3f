//! The judge: does what happened keep what votenode promises? It knows the history and what nodes hold at the end, and
//! nothing of how any of that came about.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Answer, Block, Ending, Entry, Event, Outcome, State, What};

/// Options of every election here.
pub const OPTIONS: usize = 3;

/// What is judged.
pub struct Account {
    /// What was said while it happened, in any order.
    pub history: Vec<Entry>,
    /// What each node holds when everything is healed.
    pub endings: Vec<Ending>,
    /// How long after the close of polls blocks may carry votes.
    pub grace_ms: u64,
}

impl Account {
    /// Everything that is wrong, in sentences that name what it is about. Empty if all promises were kept.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(self.all_converge());
        wrong.extend(self.nothing_final_reverts());
        wrong.extend(self.nobody_counts_twice());
        wrong.extend(self.every_audit_agrees());
        wrong.extend(self.nothing_acknowledged_is_lost());
        wrong
    }

    /// The chain that counts: that of the first node. The others' have to be the same.
    fn chain(&self) -> &[Block] {
        self.endings
            .first()
            .map_or(&[], |ending| ending.chain.as_slice())
    }

    /// One chain, all of it final, and one result of every election, final too.
    fn all_converge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let chain = self.chain();
        let counts = self.recount();
        let mut parent = 0;
        for block in chain {
            if block.height != parent + 1 {
                wrong.push(format!("block {} is at height {}", block.id, block.height));
            }
            parent = block.height;
        }
        for (node, ending) in self.endings.iter().enumerate() {
            if ending.chain != chain {
                let tip = ending.chain.last().map(|block| (&block.id, block.height));
                wrong.push(format!("node {node} holds another chain: {tip:?}"));
            }
            let (number, block, height) = &ending.checkpoint;
            if ending.checkpoint != self.endings[0].checkpoint {
                wrong.push(format!(
                    "node {node} ends with another checkpoint: {number}"
                ));
            }
            if chain.last().map(|tip| (&tip.id, tip.height)) != Some((block, *height)) {
                wrong.push(format!(
                    "node {node}: checkpoint {number}, block {block}, is not the end of the chain"
                ));
            }
            if ending.convictions > 0 {
                wrong.push(format!("node {node}: a finaliser was convicted"));
            }
            if ending.results.keys().ne(counts.keys()) {
                wrong.push(format!("node {node} tells results of other elections"));
            }
            for (election, told) in &ending.results {
                if !told.is_final {
                    wrong.push(format!("node {node}: {election} is not final"));
                }
                if counts.get(election).is_some_and(|count| count != told) {
                    wrong.push(format!(
                        "node {node}: {election} came out as {told:?}, counted again {:?}",
                        counts[election]
                    ));
                }
            }
        }
        wrong
    }

    /// A checkpoint is the same wherever and whenever it is named, is in the chain at the end, and no node goes back
    /// behind one; what was said to be final is where it was said to be.
    fn nothing_final_reverts(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let blocks: BTreeMap<u64, &str> = self
            .chain()
            .iter()
            .map(|block| (block.height, block.id.as_str()))
            .collect();
        let places = self.places();
        let mut named: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        for Entry { node, event, .. } in &self.history {
            match event {
                Event::Checkpoint {
                    number,
                    block,
                    height,
                } => {
                    let here = (block.as_str(), *height);
                    let first = *named.entry(*number).or_insert(here);
                    if first != here {
                        wrong.push(format!(
                            "checkpoint {number} is {here:?} at node {node}, and {first:?} elsewhere"
                        ));
                    }
                    let before = last.entry(*node).or_default();
                    if number < before {
                        wrong.push(format!(
                            "node {node} went back from checkpoint {before} to {number}"
                        ));
                    }
                    *before = *number;
                }
                Event::Seen {
                    tx,
                    state: State::Final { block },
                } if places.get(tx.as_str()).map(|block| block.id.as_str()) != Some(block) => {
                    wrong.push(format!(
                        "{tx} was final in {block} at node {node} and is not there any more"
                    ));
                }
                _ => {}
            }
        }
        for (number, (block, height)) in &named {
            // The genesis is checkpoint 0.
            if *number > 0 && blocks.get(height) != Some(block) {
                wrong.push(format!(
                    "checkpoint {number}, block {block}, is not in the chain"
                ));
            }
        }
        let heights: Vec<u64> = named.values().map(|(_, height)| *height).collect();
        if heights.windows(2).any(|pair| pair[0] >= pair[1]) {
            wrong.push("checkpoints do not rise".to_owned());
        }
        wrong
    }

    /// Nobody is on the roll twice or votes twice in one election; nothing is in the chain twice; nobody votes who is
    /// not on the roll.
    fn nobody_counts_twice(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut ids, mut used, mut roll) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (tx, what) in self.chain().iter().flat_map(|block| &block.transactions) {
            if !ids.insert(tx) {
                wrong.push(format!("{tx} is in the chain twice"));
            }
            if !used.insert(claim(what)) {
                wrong.push(format!("{tx} counts a second time: {what:?}"));
            }
            match what {
                What::Registration { voter } => drop(roll.insert(voter)),
                What::Vote { voter, .. } if !roll.contains(voter) => {
                    wrong.push(format!("{tx} is a vote of somebody who is not on the roll"));
                }
                What::Vote { .. } | What::Election { .. } => {}
            }
        }
        wrong
    }

    /// The exported chain passes an audit with the results that were counted again here.
    fn every_audit_agrees(&self) -> Vec<String> {
        let counts = self.recount();
        let mut wrong = Vec::new();
        for (node, ending) in self.endings.iter().enumerate() {
            match &ending.audit {
                Err(why) => wrong.push(format!("the audit of node {node}'s chain: {why}")),
                Ok(found) if *found != counts => wrong.push(format!(
                    "the audit of node {node}'s chain counts {found:?}, counted again {counts:?}"
                )),
                Ok(_) => {}
            }
        }
        wrong
    }

    /// Whatever a node acknowledged is in the chain, or something else that uses up the same is, or nodes said why it
    /// can not be.
    fn nothing_acknowledged_is_lost(&self) -> Vec<String> {
        let fates = self.fates().into_iter();
        fates
            .filter_map(|(tx, fate)| match fate {
                Fate::Lost(why) => Some(format!("{tx} was acknowledged and is lost: {why}")),
                _ => None,
            })
            .collect()
    }

    /// What became of everything that a node acknowledged.
    pub fn fates(&self) -> BTreeMap<&str, Fate> {
        let places = self.places();
        let used: BTreeSet<_> = self
            .chain()
            .iter()
            .flat_map(|block| &block.transactions)
            .map(|(_, what)| claim(what))
            .collect();
        let acknowledged = self.stories().into_iter().filter_map(|(tx, story)| {
            let what = story.what.filter(|_| !story.holders.is_empty())?;
            Some((tx, what, story))
        });
        acknowledged
            .map(|(tx, what, story)| {
                let fate = if places.contains_key(tx) {
                    Fate::Included
                } else if used.contains(&claim(what)) {
                    Fate::Displaced
                } else {
                    self.fate_off_the_chain(what, &story)
                };
                (tx, fate)
            })
            .collect()
    }

    /// What the history says of each transaction.
    fn stories(&self) -> BTreeMap<&str, Story<'_>> {
        let mut stories: BTreeMap<&str, Story<'_>> = BTreeMap::new();
        for entry in &self.history {
            match &entry.event {
                Event::Answered { tx, what, answer } => {
                    let story = stories.entry(tx).or_default();
                    story.what = Some(what);
                    if matches!(answer, Answer::Accepted | Answer::Duplicate) {
                        story.held(entry);
                    }
                }
                Event::Seen { tx, state } => {
                    let story = stories.entry(tx).or_default();
                    match state {
                        State::Pending | State::Included { .. } | State::Final { .. } => {
                            story.held(entry);
                        }
                        State::Dropped { reason } => story.dropped = Some(reason),
                        State::Unknown => {}
                    }
                }
                Event::Checkpoint { .. } | Event::Ended => {}
            }
        }
        stories
    }

    /// Whether the network said why something that it held came into no block.
    fn fate_off_the_chain(&self, what: &What, story: &Story<'_>) -> Fate {
        // There is no such thing as a registration that comes too late for the roll.
        if let What::Registration { .. } = what {
            return Fate::Lost(format!("{what:?}: {:?}", story.dropped));
        }
        match story.dropped {
            // The words of both rules for what comes when polls are over.
            Some(reason) if reason.contains("polls") && reason.contains("close") => Fate::Late,
            Some(reason) => Fate::Lost(format!("{what:?} was dropped, but {reason}")),
            // Nodes keep their reasons over restarts: an end excuses nobody.
            None => Fate::Lost(format!("{what:?}, nobody said why: {:?}", story.holders)),
        }
    }

    /// The block that each transaction of the chain is in.
    fn places(&self) -> BTreeMap<&str, &Block> {
        self.chain()
            .iter()
            .flat_map(|block| {
                block
                    .transactions
                    .iter()
                    .map(move |(tx, _)| (tx.as_str(), block))
            })
            .collect()
    }

    /// Every election of the chain, counted with nothing but the blocks.
    fn recount(&self) -> BTreeMap<String, Outcome> {
        let chain = self.chain();
        let all = || chain.iter().flat_map(|block| &block.transactions);
        let mut counts = BTreeMap::new();
        for (_, what) in all() {
            let What::Election {
                election,
                closes_at_ms,
            } = what
            else {
                continue;
            };
            let is_after = |block: &&Block| block.timestamp_ms >= closes_at_ms + self.grace_ms;
            let closing = chain.iter().find(is_after);
            let mut totals = vec![0; OPTIONS];
            for block in chain.iter().take_while(|block| !is_after(block)) {
                for (_, what) in &block.transactions {
                    match what {
                        What::Vote {
                            election: of,
                            choice,
                            ..
                        } if of == election => totals[usize::from(*choice)] += 1,
                        _ => {}
                    }
                }
            }
            let outcome = Outcome {
                closing_block: closing.map(|block| block.id.clone()),
                is_final: closing.is_some(),
                votes: totals.iter().sum(),
                totals,
            };
            counts.insert(election.clone(), outcome);
        }
        counts
    }
}

/// What became of something that a node acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the chain.
    Included,
    /// Something else that uses up the same is: the voter's other vote, or other papers of theirs.
    Displaced,
    /// A node said that it came too late.
    Late,
    /// It is gone, for this reason or none.
    Lost(String),
}

/// What is known of one transaction.
#[derive(Default)]
struct Story<'a> {
    what: Option<&'a What>,
    /// Nodes that said that they have it, and when they last did.
    holders: BTreeMap<usize, u64>,
    dropped: Option<&'a str>,
}

impl Story<'_> {
    fn held(&mut self, entry: &Entry) {
        let last_ms = self.holders.entry(entry.node).or_default();
        *last_ms = entry.at_ms.max(*last_ms);
    }
}

/// What a transaction uses up, of which there is one.
fn claim(what: &What) -> (&str, &str) {
    match what {
        What::Registration { voter } => ("registration", voter),
        What::Election { election, .. } => ("election", election),
        What::Vote {
            voter, election, ..
        } => (voter, election),
    }
}
