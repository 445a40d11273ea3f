//! What nodes hold when everything is healed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::Value;
use votenode::chain::election::Ballot;
use votenode::chain::transaction::{Credential, Payload, Transaction};
use votenode::export::ChainReader;

use super::history::{Block, Ending, Outcome, What};
use crate::harness::http::Http;
use crate::harness::node::Node;
use crate::harness::scene::Scene;

/// Exports a node's chain, has it audited, and asks for every result.
pub fn of(scene: &Scene, genesis: &Path, node: &Node<'_>, http: Http) -> Ending {
    let file = scene.path(&format!("{}.votechain", node.name()));
    node.ask(&["export", file.to_str().unwrap()]).expect(0);
    let finality = http.read("/api/v1/finality").unwrap();
    let status = &finality["status"];
    Ending {
        chain: blocks(&file),
        checkpoint: (
            status["checkpoint"].as_u64().unwrap(),
            status["block"].as_str().unwrap().to_owned(),
            status["height"].as_u64().unwrap(),
        ),
        results: results(http),
        audit: audit(scene, genesis, &file),
        convictions: status["convictions"].as_u64().unwrap(),
    }
}

fn blocks(file: &Path) -> Vec<Block> {
    let reader = ChainReader::new(BufReader::new(File::open(file).unwrap())).unwrap();
    let blocks = reader.map(|block| block.unwrap().block);
    blocks
        .map(|block| Block {
            id: block.header.id().to_string(),
            height: block.header.height,
            timestamp_ms: block.header.timestamp_ms,
            transactions: block.transactions.iter().map(read).collect(),
        })
        .collect()
}

fn read(transaction: &Transaction) -> (String, What) {
    let what = match &transaction.payload {
        Payload::Registration { registration } => What::Registration {
            voter: registration.voter.to_string(),
        },
        Payload::Election { election } => What::Election {
            election: election.id().to_string(),
            closes_at_ms: election.terms.closes_at_ms,
        },
        Payload::Vote { vote } => match (&vote.credential, &vote.ballot) {
            (Credential::Pseudonymous { voter, .. }, Ballot::Open { choices }) => What::Vote {
                voter: voter.to_string(),
                election: vote.election.to_string(),
                choice: choices[0],
            },
            other => panic!("{other:?}"),
        },
        other => panic!("nobody handed this in: {other:?}"),
    };
    (transaction.id().to_string(), what)
}

fn results(http: Http) -> BTreeMap<String, Outcome> {
    let elections = http.read("/api/v1/elections?limit=100").unwrap();
    assert!(elections["total"].as_u64() <= Some(100), "{elections}");
    let elections = elections["elections"].as_array().unwrap();
    elections
        .iter()
        .map(|election| {
            let id = election["id"].as_str().unwrap();
            let path = format!("/api/v1/elections/{id}/results");
            (id.to_owned(), told(&http.read(&path).unwrap()))
        })
        .collect()
}

fn told(result: &Value) -> Outcome {
    Outcome {
        closing_block: result["closing_block"]["id"].as_str().map(str::to_owned),
        is_final: result["phase"] == "final",
        votes: result["votes"].as_u64().unwrap(),
        totals: totals(&result["options"]),
    }
}

fn totals(options: &Value) -> Vec<u64> {
    let options = options.as_array().unwrap().iter();
    options
        .map(|option| option["total"].as_u64().unwrap())
        .collect()
}

fn audit(scene: &Scene, genesis: &Path, file: &Path) -> Result<BTreeMap<String, Outcome>, String> {
    let [genesis, file] = [genesis, file].map(|path| path.to_str().unwrap());
    let ended = scene.votenode("auditor", &["audit", file, "--network", genesis, "--json"]);
    if ended.code != 0 {
        return Err(ended.stderr);
    }
    let report = ended.json();
    let elections = report["elections"].as_array().unwrap().iter();
    Ok(elections
        .map(|election| {
            let id = election["election"].as_str().unwrap().to_owned();
            let outcome = Outcome {
                closing_block: election["closing_block"]["id"].as_str().map(str::to_owned),
                is_final: !election["final_by_checkpoint"].is_null(),
                votes: election["votes"].as_u64().unwrap(),
                totals: totals(&election["options"]),
            };
            (id, outcome)
        })
        .collect())
}
