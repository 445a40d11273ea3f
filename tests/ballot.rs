//! The program `ballot` against two real nodes on loopback: what its users type, in the order in which they type it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use votenode::chain::network::Network;
use votenode::datadir::DataDir;
use votenode::genesis::{Parameters, lan};
use votenode::node::mempool::MempoolLimits;
use votenode::node::shell::{Options, Running, start};
use votenode::store::StoreConfig;
use votenode_p2p::{Limits, Multiaddr};

/// Generous: two busy cores and an unoptimised build.
const DEADLINE: Duration = Duration::from_secs(240);

fn network() -> Arc<Network> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = u64::try_from(now.unwrap().as_millis()).unwrap();
    let genesis = Parameters::demo().build(now_ms - 10_000).unwrap();
    Arc::new(Network::new(genesis).unwrap())
}

async fn node(network: &Arc<Network>, dir: &Path, bootstrap: Vec<Multiaddr>) -> Running {
    start(Options {
        network: Arc::clone(network),
        trial: false,
        dir: DataDir::open(dir).unwrap(),
        store: StoreConfig::default(),
        mempool: MempoolLimits::default(),
        mine: true,
        finaliser: None,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: Vec::new(),
        bootstrap,
        mdns: false,
        limits: Limits::default(),
    })
    .await
    .unwrap()
}

/// A voter with files of its own.
struct Voter {
    home: TempDir,
    bootstrap: String,
}

impl Voter {
    fn new(nodes: &[&Running]) -> Self {
        let addresses: Vec<String> = nodes
            .iter()
            .map(|node| node.listening()[0].to_string())
            .collect();
        Self {
            home: tempfile::tempdir().unwrap(),
            bootstrap: addresses.join(","),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a command with `--json`, and returns its exit code and object.
    async fn run(&self, args: &[&str]) -> (i32, Value) {
        self.run_at(&self.bootstrap, args).await
    }

    async fn run_at(&self, bootstrap: &str, args: &[&str]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ballot"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("VOTENODE_NO_MDNS", "true")
            .env("VOTENODE_JSON", "true")
            .env("VOTENODE_TIMEOUT", "120");
        if !bootstrap.is_empty() {
            command.env("VOTENODE_BOOTSTRAP", bootstrap);
        }
        command.args(args);
        let output = finish(command, String::new()).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        let code = output.status.code().unwrap();
        eprintln!(
            "{args:?}: {code} {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        (code, json)
    }
}

/// Runs a test, and ends with it even if it fails while nodes run.
fn run(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = runtime.block_on(async { tokio::spawn(test).await });
    runtime.shutdown_background();
    if let Err(failed) = result {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// Runs a program to its end, away from the threads that the nodes run on.
async fn finish(mut command: Command, input: String) -> Output {
    use std::io::Write as _;
    tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

#[test]
fn an_election_from_the_command_line() {
    run(an_election_body());
}

async fn an_election_body() {
    let network = network();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = node(&network, dirs[0].path(), Vec::new()).await;
    let seed = vec![first.listening()[0].clone()];
    let second = node(&network, dirs[1].path(), seed).await;
    let (ada, ben) = (Voter::new(&[&first, &second]), Voter::new(&[&second]));

    // Before there is a voter file, voting says what to do.
    let (code, json) = ada.run(&["cast", "Lunch", "Pizza"]).await;
    assert_eq!(code, 2);
    assert!(
        json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("ballot register")
    );

    // Registering makes the voter file; again, it is the same registration.
    let (code, json) = ada.run(&["register"]).await;
    assert_eq!((code, &json["state"]), (0, &Value::from("included")));
    let registered = json["transaction"].clone();
    assert!(json["voter_id"].is_null(), "never shown unasked");
    assert!(ada.file(".local/share/votenode/voter").exists());
    let (code, json) = ada.run(&["register"]).await;
    assert_eq!((code, &json["transaction"]), (0, &registered));
    assert_eq!(ben.run(&["register"]).await.0, 0);

    // A receipt holds offline, in this network alone.
    let receipt = json["receipt"]["file"].as_str().unwrap();
    let (code, json) = ada.run_at("", &["receipt", "verify", receipt]).await;
    assert_eq!((code, &json["valid"]), (0, &Value::from(true)));
    assert_eq!(json["anchored"], Value::from(false));
    let elsewhere = ["--network", "lan", "receipt", "verify", receipt];
    assert_eq!(ada.run_at("", &elsewhere).await.0, 6);

    let file = ada.file("lunch.toml");
    let text =
        "title = \"Lunch\"\nquestion = \"What?\"\noptions = [\"Pizza\", \"Pasta\", \"Soup\"]\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(ada.run(&["open", file]).await.0, 2, "no close");
    let (code, json) = ada.run(&["open", file, "--closes-in", "60s"]).await;
    assert_eq!(code, 0);
    let election = json["election"].as_str().unwrap().to_owned();

    // One vote each; the same again is the same, another is refused by the nodes.
    let (code, json) = ada.run(&["cast", "lunch", "pizza"]).await;
    assert_eq!((code, &json["choices"][0]), (0, &Value::from("Pizza")));
    let vote = json["transaction"].clone();
    let (code, json) = ada.run(&["cast", &election[..10], "1"]).await;
    assert_eq!((code, &json["transaction"]), (0, &vote));
    let (code, json) = ada.run(&["cast", "Lunch", "Pasta"]).await;
    assert_eq!((code, &json["state"]), (4, &Value::from("rejected")));
    assert_eq!(json["reason"]["name"], Value::from("already_voted"));

    // A vote made without a network, handed in by somebody else.
    let (saved, offline) = (ben.file("lunch.election"), ben.file("vote.txt"));
    let (saved, offline) = (saved.to_str().unwrap(), offline.to_str().unwrap());
    assert_eq!(ben.run(&["elections", "Lunch", "--save", saved]).await.0, 0);
    let cast = [
        "cast",
        "Lunch",
        "soup",
        "--election-file",
        saved,
        "--offline",
        offline,
    ];
    let (code, json) = ben.run_at("", &cast).await;
    assert_eq!((code, &json["state"]), (0, &Value::from("offline")));
    let (code, json) = ada.run(&["submit", offline]).await;
    assert_eq!((code, &json["included"]), (0, &Value::from(1)));

    // What the voter did is found from the voter_id alone.
    std::fs::remove_dir_all(ada.file(".local/share/votenode/voter.d/sent")).unwrap();
    let (code, json) = ada.run(&["status"]).await;
    assert_eq!(code, 0);
    let listed: Vec<&Value> = json["transactions"].as_array().unwrap().iter().collect();
    for id in [&registered, &vote] {
        assert!(listed.iter().any(|row| row["transaction"] == *id), "{json}");
    }
    let (code, json) = ada.run(&["receipt", "get", vote.as_str().unwrap()]).await;
    assert_eq!(code, 0, "{json}");

    // Results come when polls are closed and late blocks are in.
    let limit = Instant::now() + DEADLINE;
    let result = loop {
        let (code, json) = ben.run(&["results", &election]).await;
        assert_eq!(code, 0);
        if json["phase"] == "provisional" || Instant::now() > limit {
            break json;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(result["phase"], "provisional");
    assert_eq!(
        (&result["votes"], &result["eligible"]),
        (&Value::from(2), &Value::from(2))
    );
    assert_eq!(result["totals"][2]["total"], Value::from(1));
    let caveats = result["caveats"].to_string();
    assert!(caveats.contains("provisional") && caveats.contains("not one person, one vote"));
    assert_eq!(ben.run(&["cast", "Lunch", "Pasta"]).await.0, 4, "closed");

    first.handle().shutdown().await;
    second.handle().shutdown().await;
}

#[test]
fn mistakes_have_their_exit_codes() {
    run(mistakes_have_body());
}

async fn mistakes_have_body() {
    let network = network();
    let dir = tempfile::tempdir().unwrap();
    let node = node(&network, dir.path(), Vec::new()).await;
    let voter = Voter::new(&[&node]);
    let brief = ["--timeout", "3"];
    let with = |args: &[&'static str]| [&brief[..], args].concat();

    for args in [
        &["frobnicate"][..],
        &["--network", "/no/such/file", "elections"],
        &["--bootstrap", "localhost:7117", "elections"],
        &["--timeout", "soon", "elections"],
        &["register", "--invitation", "invite1qqq"],
        &["open", "/no/such/file", "--closes-in", "1m"],
        &["submit", "/no/such/file"],
        &["receipt", "verify", "/no/such/file"],
        &["receipt", "get", "xyz"],
        &["voter", "show"],
    ] {
        let (code, _) = voter.run(&with(args)).await;
        assert_eq!(code, 2, "{args:?}");
    }
    assert_eq!(
        voter.run_at("", &with(&["elections"])).await.0,
        2,
        "no way to a node"
    );

    let nobody = "/ip4/127.0.0.1/tcp/1";
    let fresh = Voter::new(&[&node]);
    assert_eq!(fresh.run_at(nobody, &with(&["elections"])).await.0, 3);

    // A pinned network that the node is not of, and a remembered one that it was replaced by.
    let lan_id = lan().network_id().to_string();
    let pinned = [
        "--timeout",
        "20",
        "--network",
        &"00".repeat(32),
        "elections",
    ];
    assert_eq!(fresh.run(&pinned).await.0, 6);
    assert_eq!(
        fresh
            .run(&["--network", &lan_id, "--timeout", "3", "elections"])
            .await
            .0,
        3
    );
    assert_eq!(fresh.run(&["elections"]).await.0, 0);
    let other = Parameters::demo().build(1_000).unwrap();
    let other = Arc::new(Network::new(other).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let stranger = self::node(&other, dir.path(), Vec::new()).await;
    let address = stranger.listening()[0].to_string();
    let (code, json) = fresh
        .run_at(&address, &["--timeout", "20", "elections"])
        .await;
    assert_eq!(code, 6);
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains(&network.id().to_string()), "{message}");
    assert!(message.contains(&other.id().to_string()), "{message}");

    let garbage = fresh.file("garbage");
    std::fs::write(&garbage, b"\xff\xfe garbage").unwrap();
    let garbage = garbage.to_str().unwrap();
    for (args, wanted) in [
        (&["submit", garbage][..], 2),
        (&["open", garbage, "--closes-in", "1m"], 2),
        (&["receipt", "verify", garbage], 6),
        (&["receipt", "show", garbage], 6),
        (&["--network", garbage, "elections"], 2),
        (&["--voter", garbage, "voter", "show"], 1),
    ] {
        assert_eq!(fresh.run(args).await.0, wanted, "{args:?}");
    }
    node.handle().shutdown().await;
    stranger.handle().shutdown().await;
}

#[test]
fn a_pipe_is_refused_and_signals_end_a_read_that_never_ends() {
    let home = tempfile::tempdir().unwrap();
    let ballot = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ballot"));
        command
            .env_clear()
            .env("HOME", home.path())
            .args(["--no-mdns", "submit"])
            .arg(file)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let pipe = home.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let output = ballot(&pipe).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not a regular file"), "{said}");

    let mut child = ballot(Path::new("/dev/stdin")).spawn().unwrap();
    let _held_open = child.stdin.take().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let catches = || {
        std::fs::read_to_string(&status).is_ok_and(|status| {
            status.lines().any(|line| {
                line.strip_prefix("SigCgt:")
                    .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                    .is_some_and(|mask| mask >> 14 & 1 == 1)
            })
        })
    };
    // Elsewhere than on Linux the signal may come before anybody waits for it, and ends the program all the same.
    if cfg!(target_os = "linux") {
        let deadline = Instant::now() + DEADLINE;
        while !catches() {
            assert!(Instant::now() < deadline, "no handler for SIGTERM");
            std::thread::yield_now();
        }
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(sent.success());
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(130) | None), "{code:?}");
}

#[tokio::test]
async fn a_voter_file_is_restored_from_the_code_alone() {
    let home = tempfile::tempdir().unwrap();
    let run = async |voter: &str, args: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ballot"));
        command
            .env_clear()
            .env("VOTENODE_JSON", "true")
            .arg("--voter")
            .arg(home.path().join(voter))
            .args(args);
        let output = finish(command, input.to_owned()).await;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), json)
    };
    let (_, made) = run("one", &["voter", "new", "--show-voter-id"], "").await;
    let code = made["voter_id"].as_str().unwrap();
    assert!(code.starts_with("voter1"));

    let (_, restored) = run("two", &["voter", "restore"], &format!("{code}\n")).await;
    assert_eq!(restored["voter_key"], made["voter_key"]);
    assert!(restored["voter_id"].is_null());
    assert_eq!(
        run("two", &["voter", "new"], "").await.0,
        2,
        "never overwritten"
    );
    assert_eq!(run("two", &["voter", "restore"], code).await.0, 2);
    let typo = code.replacen(&code[6..7], if &code[6..7] == "q" { "p" } else { "q" }, 1);
    assert_eq!(run("three", &["voter", "restore"], &typo).await.0, 2);
}
