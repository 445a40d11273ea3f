//! `votenode demo` as a user runs it: what it prints, and what it leaves behind however it ends.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use votenode::datadir::DataDir;

/// Generous: what the demo waits for is bounded by the demo.
const PATIENCE: Duration = Duration::from_secs(120);

fn demo(temp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_votenode"));
    command
        .args(["demo", "--voters", "30", "--json"])
        .env("TMPDIR", temp)
        .stdin(Stdio::null());
    command
}

fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a demo and returns it with its directory once all of its nodes run.
fn start_and_wait_for_nodes(temp: &Path) -> (Child, std::path::PathBuf) {
    let mut command = demo(temp);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sockets = || {
        let directory = entries(temp).pop()?;
        let up = |number| {
            directory
                .join(format!("node-{number}/control.sock"))
                .exists()
        };
        (1..=4).all(up).then_some(directory)
    };
    wait_until("the nodes run", || sockets().is_some());
    let directory = sockets().unwrap();
    (child, directory)
}

fn wait_until_no_node_runs(directory: &Path) {
    for number in 1..=4 {
        let data = directory.join(format!("node-{number}"));
        wait_until("the data directory is free", || {
            DataDir::open(&data).is_ok()
        });
    }
}

#[test]
fn a_whole_election_is_held_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {told}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let outcome: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for (key, wanted) in [
        ("nodes", 4),
        ("voters", 30),
        ("registered", 30),
        ("votes_counted", 30),
        ("duplicates_rejected", 12),
        ("killed", 1),
    ] {
        assert_eq!(outcome[key], wanted, "{key} in {outcome}");
    }
    assert_eq!(outcome["tips_agree"], true);
    assert_eq!(outcome["audit_ok"], true);
    assert_eq!(outcome["final"], false);
    assert_eq!(outcome["finality_ms"], serde_json::Value::Null);
    assert_eq!(outcome["finalisers"], serde_json::Value::Null);
    assert!(outcome["kept_votes"].as_u64().unwrap() > 0);
    let results = outcome["results"].as_array().unwrap();
    let votes: u64 = results
        .iter()
        .map(|result| result["votes"].as_u64().unwrap())
        .sum();
    assert_eq!(votes, 30);
    assert_eq!(
        results
            .iter()
            .filter(|result| result["elected"] == true)
            .count(),
        1
    );
    assert_eq!(entries(temp.path()), [] as [std::path::PathBuf; 0]);
}

#[test]
fn finalisers_make_everything_final_and_bear_being_killed() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path())
        .args(["--finalisers", "4"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {told}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let outcome: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for (key, wanted) in [
        ("nodes", 4),
        ("registered", 30),
        ("votes_counted", 30),
        ("killed", 3),
        ("finalisers", 4),
        ("finalisers_killed", 3),
    ] {
        assert_eq!(outcome[key], wanted, "{key} in {outcome}");
    }
    for key in ["final", "tips_agree", "audit_ok"] {
        assert_eq!(outcome[key], true, "{key} in {outcome}");
    }
    let spread = &outcome["finality_ms"];
    assert!(
        spread["median"].as_u64() <= spread["p95"].as_u64(),
        "{outcome}"
    );
    // It is told who is missing while nothing becomes final.
    assert!(told.contains("nothing becomes final"), "{told}");
    assert!(told.contains("not heard: node"), "{told}");
    assert_eq!(entries(temp.path()), [] as [std::path::PathBuf; 0]);
}

#[test]
fn more_finalisers_than_nodes_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path())
        .args(["--finalisers", "5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("4 nodes cannot hold 5 finalisers"), "{told}");
    assert_eq!(entries(temp.path()), [] as [std::path::PathBuf; 0]);
}

#[test]
fn its_processes_end_when_it_is_killed() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, directory) = start_and_wait_for_nodes(temp.path());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_no_node_runs(&directory);
}

#[test]
fn interrupted_it_ends_with_130_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, _) = start_and_wait_for_nodes(temp.path());
    let signalled = Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signalled.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(entries(temp.path()), [] as [std::path::PathBuf; 0]);
}
