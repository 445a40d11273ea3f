//! Commands that ask the running node over its control socket.

use std::path::Path;

use serde_json::Value;

use super::args::BanArguments;
use super::output::{duration, print, print_either, print_json, table};
use super::{Exit, Failure};
use crate::chain::transaction::Transaction;
use crate::control::{Client, ClientError, Request};
use crate::protocol::transaction_file::to_hex;
use crate::wire;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NoNode { .. } => Exit::NoNode,
            ClientError::Refused { code, .. } if code == "bad_request" => Exit::Usage,
            ClientError::Refused { .. } => Exit::Refused,
            ClientError::Forbidden { .. } | ClientError::Io(_) | ClientError::Malformed(_) => {
                Exit::Failed
            }
        };
        Self::new(exit, error)
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Value, Failure> {
    Ok(Client::connect(socket)?.ask(request)?)
}

/// A transaction that the node refused: the number of the rule that it breaks, and the rule in words.
pub type Refusal = (u64, String);

/// Hands transactions to the node, all of them even if some are refused.
pub fn submit(socket: &Path, transactions: &[Transaction]) -> Result<Vec<Refusal>, Failure> {
    let mut client = Client::connect(socket)?;
    let mut refusals = Vec::new();
    // One at a time: each may be as long as a message to a node can be.
    for transaction in transactions {
        let request = Request::Submit {
            transactions: vec![to_hex(&wire::encode(transaction))],
        };
        let outcomes = client.ask(&request)?;
        let outcome = &outcomes[0];
        match outcome["outcome"].as_str() {
            Some("accepted" | "duplicate") => {}
            Some("rejected") => {
                let reason = &outcome["reason"];
                let words = reason["message"].as_str().unwrap_or("for no reason");
                refusals.push((reason["code"].as_u64().unwrap_or(0), words.to_owned()));
            }
            _ => {
                return Err(Failure::new(
                    Exit::Refused,
                    "the node is busy: hand the file in again with `ballot submit`, which does no harm",
                ));
            }
        }
    }
    Ok(refusals)
}

/// Runs `votenode status`.
pub fn status(socket: &Path, json: bool) -> Result<(), Failure> {
    let status = ask(socket, &Request::Status)?;
    print_either(json, &status, &describe(&status))
}

/// Runs `votenode peers`.
pub fn peers(socket: &Path, json: bool) -> Result<(), Failure> {
    let peers = ask(socket, &Request::Peers)?;
    if json {
        return print_json(&peers);
    }
    let rows: Vec<_> = peers
        .as_array()
        .into_iter()
        .flatten()
        .map(|peer| {
            let text = |name: &str| peer[name].as_str().unwrap_or("-").to_owned();
            let round_trip = peer["round_trip_ms"].as_u64();
            vec![
                text("peer_id"),
                if peer["outbound"] == true {
                    "out"
                } else {
                    "in"
                }
                .to_owned(),
                round_trip.map_or("-".to_owned(), |ms| format!("{ms} ms")),
                duration(peer["connected_ms"].as_u64().unwrap_or(0)),
                text("agent"),
                peer["addresses"][0].as_str().unwrap_or("-").to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return print("No peers. A node alone is normal; it looks for others on.\n");
    }
    print(&table(
        &["peer", "way", "round trip", "since", "program", "address"],
        &rows,
    ))
}

/// Runs `votenode ban`.
pub fn ban(socket: &Path, arguments: BanArguments) -> Result<(), Failure> {
    let peer = arguments.peer;
    let (request, done, already) = if arguments.lift {
        (
            Request::Unban { peer },
            "The ban is lifted.",
            "There was no ban.",
        )
    } else {
        (
            Request::Ban { peer },
            "The peer is banned.",
            "The peer was banned already.",
        )
    };
    changed(socket, &request, arguments.json, done, already)
}

/// Runs `votenode release-pin`.
pub fn release_pin(socket: &Path, json: bool) -> Result<(), Failure> {
    changed(
        socket,
        &Request::ReleasePin,
        json,
        "The node follows the chain with the most work now.",
        "There was nothing to release.",
    )
}

/// Runs `votenode stop`.
pub fn stop(socket: &Path) -> Result<(), Failure> {
    ask(socket, &Request::Stop)?;
    print("The node is stopping.\n")
}

fn changed(
    socket: &Path,
    request: &Request,
    json: bool,
    done: &str,
    already: &str,
) -> Result<(), Failure> {
    let reply = ask(socket, request)?;
    let text = if reply["changed"] == true {
        done
    } else {
        already
    };
    print_either(json, &reply, &format!("{text}\n"))
}

/// The node's picture in a few lines. What an older or newer node does not say is left out.
fn describe(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let now = number(&status["now_ms"]);
    let tip = &status["tip"];
    let mut lines = vec![
        (
            "network",
            format!(
                "{} ({})",
                text(&status["network_name"]),
                text(&status["network"])
            ),
        ),
        ("peer id", text(&status["peer_id"])),
        (
            "version",
            format!(
                "{}, up {}",
                text(&status["version"]),
                duration(now.saturating_sub(number(&status["started_at_ms"])))
            ),
        ),
        ("peers", number(&status["peers"]).to_string()),
        (
            "tip",
            format!(
                "block {} of {} ago, {} registered",
                number(&tip["height"]),
                duration(now.saturating_sub(number(&tip["timestamp_ms"]))),
                number(&tip["roll_size"])
            ),
        ),
        (
            "mempool",
            counts(&status["mempool"]["transactions"], "nothing waits"),
        ),
        ("mining", mining(&status["mining"])),
    ];
    if status["finality"].is_object() {
        lines.push((
            "finality",
            finality(&status["finality"], number(&tip["height"])),
        ));
    }
    if status["syncing"] == true {
        lines.push((
            "catching up",
            format!("to block {}", number(&status["best_header_height"])),
        ));
    }
    if let Some(offset) = status["clock_offset_ms"].as_i64() {
        lines.push(("clock", format!("{offset} ms from the peers'")));
    }
    let others = status["mining_states"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for state in &others {
        let miner: String = text(&state["miner"]).chars().take(8).collect();
        let what = format!("{miner} is {}", at_work(&text(&state["phase"]), state));
        lines.push(("elsewhere", what));
    }
    if status["competing"].is_object() {
        lines.push((
            "competing",
            format!(
                "a chain of {} blocks with more work forks off at block {}; see votenode release-pin --help",
                number(&status["competing"]["height"]),
                number(&status["competing"]["forks_at_height"])
            ),
        ));
    }
    for warning in status["warnings"].as_array().into_iter().flatten() {
        lines.push(("warning", text(warning)));
    }
    lines
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect()
}

/// The last checkpoint, how far it lies below the tip, and who is there to decide the next.
fn finality(finality: &Value, tip: u64) -> String {
    let number = |name: &str| finality[name].as_u64().unwrap_or(0);
    let finalisers = finality["finalisers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let checkpoint = match number("checkpoint") {
        0 => "no checkpoint yet".to_owned(),
        checkpoint => format!("checkpoint {checkpoint} at block {}", number("height")),
    };
    let below = match tip.saturating_sub(number("height")) {
        0 => "all is final".to_owned(),
        1 => "1 block above it is not final".to_owned(),
        blocks => format!("{blocks} blocks above it are not final"),
    };
    let heard: Vec<&Value> = finalisers
        .iter()
        .filter(|one| one["heard"] == true)
        .collect();
    let heard_power: u64 = heard.iter().filter_map(|one| one["power"].as_u64()).sum();
    let present = match finality["round"].as_u64() {
        None => format!("{} finalisers, nothing to decide", finalisers.len()),
        Some(_) => format!(
            "{} of {} finalisers heard, with {heard_power} of {} votes",
            heard.len(),
            finalisers.len(),
            number("total_power")
        ),
    };
    let own = match finality["own_key"].is_string() {
        true => "; this node finalises",
        false => "",
    };
    format!(
        "{checkpoint}, {below}; set {}: {present}{own}",
        number("set")
    )
}

fn counts(counts: &Value, none: &str) -> String {
    let parts: Vec<_> = counts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(kind, count)| {
            let plural = if count.as_u64() == Some(1) { "" } else { "s" };
            format!("{count} {}{plural}", kind.replace('_', " "))
        })
        .collect();
    if parts.is_empty() {
        none.to_owned()
    } else {
        parts.join(", ")
    }
}

fn mining(mining: &Value) -> String {
    if mining["enabled"] != true {
        return "off".to_owned();
    }
    if let Some(reason) = mining["paused"].as_str() {
        return format!("paused: {reason}");
    }
    match mining["phase"].as_str() {
        // The line is called mining already.
        Some(phase) => {
            let work = at_work(phase, mining);
            work.strip_prefix("mining ").unwrap_or(&work).to_owned()
        }
        None => "at rest".to_owned(),
    }
}

/// What a miner is at, on which block, with what.
fn at_work(phase: &str, state: &Value) -> String {
    let block = match state["height"].as_u64() {
        Some(height) => format!(" on block {height}"),
        None => String::new(),
    };
    format!(
        "{}{block}: {}",
        phase.replace('_', " "),
        counts(&state["counts"], "an empty block")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_a_node_the_failure_says_where_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let failure = status(&dir.path().join("control.sock"), false).unwrap_err();
        assert_eq!(failure.exit, Exit::NoNode);
        assert!(failure.message.contains(dir.path().to_str().unwrap()));
    }

    #[test]
    fn a_miner_is_at_rest_only_without_a_phase_and_no_word_comes_twice() {
        let told = |phase: Value, height: Value, votes: u64| {
            mining(&serde_json::json!({
                "enabled": true, "phase": phase, "height": height, "counts": { "vote": votes }
            }))
        };
        assert_eq!(told(Value::Null, Value::Null, 0), "at rest");
        assert_eq!(told("mining".into(), 1.into(), 1), "on block 1: 1 vote");
        let waiting = told("waiting".into(), 1.into(), 2);
        assert_eq!(waiting, "waiting on block 1: 2 votes");
        assert_eq!(told("waiting".into(), Value::Null, 2), "waiting: 2 votes");
    }

    #[test]
    fn a_picture_is_told_in_words() {
        let text = describe(&serde_json::json!({
            "network_name": "club", "network": "ab", "now_ms": 10_000, "started_at_ms": 4_000,
            "tip": { "height": 7, "timestamp_ms": 9_000, "roll_size": 3 },
            "mempool": { "transactions": { "vote": 2, "registration": 0 } },
            "mining": { "enabled": true, "phase": "standing_by", "height": 8, "counts": {} },
            "finality": {
                "checkpoint": 3, "height": 5, "set": 1, "round": 0, "total_power": 4, "own_key": "ab",
                "finalisers": [
                    { "power": 3, "heard": true }, { "power": 1, "heard": false },
                ],
            },
            "warnings": ["the disk is full"],
        }));
        for part in [
            "club (ab)",
            "up 6 s",
            "block 7 of 1 s ago, 3 registered",
            "2 votes\n",
            "standing by on block 8: an empty block",
            "checkpoint 3 at block 5, 2 blocks above it are not final",
            "set 1: 1 of 2 finalisers heard, with 3 of 4 votes; this node finalises",
            "the disk is full",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
