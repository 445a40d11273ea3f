//! The API over real loopback connections, with a fabricated node behind it.

#![allow(clippy::unwrap_used)]

mod document;
mod refused;

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::document::{document, documented};
use super::*;
use crate::node::handle::Command;
use crate::node::testing::{Fabricated, fabricate, fabricate_final};
use crate::protocol::submit::{Outcome, Reason};
use crate::protocol::transaction_file::to_hex;
use crate::wire::{self, Text};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

struct Site {
    address: SocketAddr,
    _server: Server,
}

impl Site {
    fn new(node: NodeHandle) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self {
            address: listener.address(),
            _server: listener.serve(node, Vec::new()).unwrap(),
        }
    }

    async fn send(&self, request: String) -> Answer {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let host = self.address;
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn post(&self, headers: &str, body: &str) -> Answer {
        let (host, length) = (self.address, body.len());
        self.send(format!(
            "POST /api/v1/transactions HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
        .await
    }
}

/// Answers what a node would: one peer-less list, and one outcome of each kind in turn.
fn answer_commands(mut commands: tokio::sync::mpsc::Receiver<Command>) {
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Peers { reply } => drop(reply.send(vec![peer()])),
                Command::Submit {
                    transactions,
                    reply,
                } => {
                    let reason = Reason {
                        code: 7,
                        text: Text::new("the voter is not registered").unwrap(),
                    };
                    let kinds = [Outcome::Accepted {}, Outcome::Rejected { reason }];
                    let outcomes = kinds.into_iter().cycle().take(transactions.len());
                    drop(reply.send(outcomes.collect()));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

fn peer() -> votenode_p2p::PeerInfo {
    votenode_p2p::PeerInfo {
        peer: votenode_p2p::Keypair::generate().peer_id(),
        addrs: vec!["/ip4/192.0.2.1/tcp/7117".parse().unwrap()],
        agent: None,
        outbound: true,
        rtt_ms: Some(3),
        score: 0.5,
        topics: vec!["a".into()],
        connected_since: std::time::Instant::now(),
    }
}

#[test]
fn the_document_and_the_router_name_the_same_routes() {
    let document = document();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods
                .map(|method| (method.clone(), path.clone()))
                .collect::<Vec<_>>()
        })
        .collect();
    let routed: BTreeSet<(String, String)> = routes()
        .into_iter()
        .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(documented, routed);
}

#[tokio::test]
async fn answers_have_the_documented_shape_and_say_what_is_so() {
    let Fabricated {
        handle,
        commands,
        election,
        registration,
        waiting,
        network,
        _store,
        _status,
    } = fabricate();
    answer_commands(commands);
    let site = Site::new(handle);
    let read = async |template: &str, path: String| {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        documented("get", template, &answer)
    };
    let plain = async |path: &'static str| read(path, path.to_owned()).await;

    let status = plain("/api/v1/status").await;
    assert_eq!(status["network"], json!(network.id()));
    assert!(status["now_ms"].as_u64().unwrap() > 2_000);
    let peers = plain("/api/v1/peers").await;
    assert_eq!(peers["peers"][0]["round_trip_ms"], 3);
    let mining = plain("/api/v1/mining").await;
    assert_eq!(mining["own"]["phase"], "mining");
    assert_eq!(mining["others"][0]["phase"], "standing_by");
    let mempool = plain("/api/v1/mempool").await;
    assert_eq!(mempool["ids"], json!([waiting.id()]));

    let blocks = plain("/api/v1/blocks").await;
    let heights: Vec<_> = blocks["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["height"])
        .collect();
    assert_eq!(heights, [3, 2, 1, 0]);
    let page = read("/api/v1/blocks", "/api/v1/blocks?before=2&limit=1".into()).await;
    assert_eq!(page["blocks"][0]["height"], 1);
    assert_eq!(page["blocks"].as_array().unwrap().len(), 1);
    let by_height = read("/api/v1/blocks/{block}", "/api/v1/blocks/1".into()).await;
    assert_eq!(by_height["transactions"].as_array().unwrap().len(), 3);
    let id = by_height["id"].as_str().unwrap();
    let by_id = read("/api/v1/blocks/{block}", format!("/api/v1/blocks/{id}")).await;
    assert_eq!(by_id, by_height);

    let path = "/api/v1/transactions/{id}";
    let included = read(path, format!("/api/v1/transactions/{registration}")).await;
    assert_eq!(included["status"], "included");
    assert_eq!(included["depth"], 2);
    assert_eq!(included["inclusion"]["height"], 1);
    let pending = read(path, format!("/api/v1/transactions/{}", waiting.id())).await;
    assert_eq!(pending["status"], "pending");
    assert_eq!(pending["encoded_hex"], to_hex(&wire::encode(&waiting)));

    let elections = plain("/api/v1/elections").await;
    assert_eq!(elections["total"], 1);
    assert_eq!(elections["elections"][0]["id"], json!(election));
    let one = read(
        "/api/v1/elections/{id}",
        format!("/api/v1/elections/{election}"),
    )
    .await;
    assert_eq!(one, elections["elections"][0]);
    let results = "/api/v1/elections/{id}/results";
    let counted = read(results, format!("/api/v1/elections/{election}/results")).await;
    assert_eq!(counted["votes"], 2);
    assert_eq!(counted["eligible"], 3);
    let totals: Vec<_> = counted["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["total"])
        .collect();
    assert_eq!(totals, [1, 1, 0]);
    assert!(counted["notes"].to_string().contains("provisional"));
    let again = read(results, format!("/api/v1/elections/{election}/results")).await;
    assert_eq!(again, counted);
}

#[tokio::test]
async fn checkpoints_are_shown_with_who_decides_them() {
    let made = fabricate_final();
    answer_commands(made.commands);
    let site = Site::new(made.handle);
    let read = async |template: &str, path: String| {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        documented("get", template, &answer)
    };
    let status = read("/api/v1/status", "/api/v1/status".into()).await;
    assert_eq!(status["finality"]["checkpoint"], 2);
    assert_eq!(status["finality"]["finalisers"][3]["heard"], false);
    let finality = read("/api/v1/finality", "/api/v1/finality".into()).await;
    assert_eq!(finality["status"], status["finality"]);
    let numbers: Vec<_> = finality["checkpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["number"], &one["height"], &one["signed_power"]))
        .collect();
    assert_eq!(json!(numbers), json!([[2, 4, 3], [1, 2, 3]]));
    assert_eq!(finality["convictions_total"], 1);
    assert_eq!(finality["convictions"][0]["name"], "finaliser 4");
    assert_eq!(finality["convictions"][0]["kind"], "prevote");
    assert_eq!(finality["changes"][0]["set"], 1);
    assert_eq!(
        finality["changes"][0]["finalisers"][3]["name"],
        "finaliser 5"
    );

    let template = "/api/v1/checkpoints/{number}";
    let one = read(template, "/api/v1/checkpoints/2".into()).await;
    assert_eq!(one["signers"].as_array().unwrap().len(), 3);
    for (path, status) in [("3", 404), ("0", 404), ("x", 400)] {
        let answer = site.get(&format!("/api/v1/checkpoints/{path}")).await;
        assert_eq!(answer.status, status);
        documented("get", template, &answer);
    }

    let block = read("/api/v1/blocks/{block}", "/api/v1/blocks/3".into()).await;
    assert_eq!(
        (&block["final"], &block["checkpoint"]),
        (&json!(true), &json!(2))
    );
    let (path, id) = ("/api/v1/transactions/{id}", made.registration);
    let transaction = read(path, format!("/api/v1/transactions/{id}")).await;
    assert_eq!(transaction["status"], "final");
    assert_eq!(transaction["checkpoint"]["number"], 1);
    let (path, id) = ("/api/v1/elections/{id}", made.election);
    let election = read(path, format!("/api/v1/elections/{id}")).await;
    assert_eq!(election["phase"], "final");
    assert_eq!(election["checkpoint"]["number"], 2);
    let path = "/api/v1/elections/{id}/results";
    let results = read(path, format!("/api/v1/elections/{id}/results")).await;
    assert_eq!(results["phase"], "final");
    assert_eq!(results["checkpoint"], election["checkpoint"]);
    assert!(!results["notes"].to_string().contains("provisional"));

    let metrics = site.get("/metrics").await.body;
    for line in [
        "votenode_checkpoint 2",
        "votenode_checkpoint_height 4",
        "votenode_finaliser_power_heard 3",
        "votenode_equivocations 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test]
async fn submissions_are_taken_in_json_and_in_text() {
    let made = fabricate();
    answer_commands(made.commands);
    let site = Site::new(made.handle);
    let hex = to_hex(&wire::encode(&made.waiting));
    let body = json!({ "transactions": [hex, hex] }).to_string();
    let answer = site.post("Content-Type: application/json\r\n", &body).await;
    let value = documented("post", "/api/v1/transactions", &answer);
    assert_eq!(value["outcomes"][0]["outcome"], "accepted");
    assert_eq!(value["outcomes"][0]["id"], json!(made.waiting.id()));
    assert_eq!(value["outcomes"][1]["outcome"], "rejected");
    assert_eq!(
        value["outcomes"][1]["reason"]["message"],
        "the voter is not registered"
    );
    let answer = site
        .post("Content-Type: text/plain\r\n", &format!("{hex}\n{hex}\n"))
        .await;
    assert_eq!(answer.json()["outcomes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_dropped_transaction_is_told_with_its_reason() {
    let made = fabricate();
    let id = crate::chain::transaction::TxId::from_bytes([7; 32]);
    let reason = Reason::from(&crate::chain::invalid::Invalid::AlreadyVoted);
    made.handle.dropped().add(id, reason);
    let site = Site::new(made.handle);
    let answer = site.get(&format!("/api/v1/transactions/{id}")).await;
    assert_eq!(answer.status, 410);
    assert_eq!(answer.error_code(), "dropped");
    assert!(answer.body.contains("voted in this election already"));
    documented("get", "/api/v1/transactions/{id}", &answer);
}

#[tokio::test]
async fn the_page_stands_by_itself_and_metrics_are_metrics() {
    let made = fabricate();
    answer_commands(made.commands);
    let site = Site::new(made.handle);
    let page = site.get("/").await;
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'")
    );
    assert!(page.head.contains("x-content-type-options: nosniff"));
    for outside in ["src=\"", "http://", "https://", "@import", "innerHTML"] {
        let own = page
            .body
            .replace("http://www.w3.org/2000/svg", "")
            .replace("'http://", "");
        assert!(!own.contains(outside), "{outside}");
    }
    let metrics = site.get("/metrics").await.body;
    for line in [
        "votenode_tip_height 3",
        "votenode_mempool_transactions{kind=\"registration\"} 1",
        "votenode_transactions_accepted_total{kind=\"registration\"} 1",
        "votenode_blocks_mined_total 4",
        "votenode_clock_offset_ms -3",
        "votenode_peers_outbound 1",
        "# EOF",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_node_that_has_ended_is_told_from_a_busy_one() {
    let made = fabricate();
    drop(made.commands);
    let site = Site::new(made.handle);
    assert_eq!(site.get("/api/v1/peers").await.error_code(), "stopped");
    assert_eq!(site.get("/api/v1/status").await.status, 200);
    let made = fabricate();
    let site = Site::new(made.handle.clone());
    // Nobody takes commands, so the queue fills up.
    for _ in 0..crate::node::handle::COMMAND_QUEUE {
        let node = made.handle.clone();
        tokio::spawn(async move { node.release_pin().await });
    }
    while made.commands.len() < crate::node::handle::COMMAND_QUEUE {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.get("/api/v1/peers").await.error_code(), "busy");
}
