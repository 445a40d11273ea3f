//! `votenode` as a program: exit codes, messages, files, and a node that is asked while it runs.

#![allow(clippy::unwrap_used)]

mod failures;
mod finaliser;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for a busy machine and an unoptimised build.
const DEADLINE: Duration = Duration::from_secs(120);

/// A HOME of its own, so that nothing of this machine's plays a part.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_votenode"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("VOTENODE_") || text.starts_with("XDG_") {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .stdin(Stdio::null())
            .args(line.split_whitespace());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that has to end with this code, and gives what it said on stderr.
    fn fails(&self, code: i32, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.succeeds(line)).unwrap()
    }
}

/// A node in a process of its own, ended with the test.
struct Node(Child);

impl Node {
    /// Starts a node on free ports and waits for its control socket.
    fn start(home: &Home, flags: &str) -> Self {
        let mut command = home.command(&format!(
            "--no-mdns --listen /ip4/127.0.0.1/tcp/0 --http 127.0.0.1:0 --data-dir node {flags}"
        ));
        let node = Self(command.stderr(Stdio::piped()).spawn().unwrap());
        let socket = home.path("node/control.sock");
        let http = home.path("node/http.addr");
        until("the node answers", || {
            UnixStream::connect(&socket).is_ok() && http.exists()
        });
        node
    }

    /// Ends it as an operator would, and gives its exit code.
    fn stop(mut self, home: &Home) -> Option<i32> {
        home.succeeds("stop --data-dir node");
        self.0.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn exported_chain() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/vectors/chain.votechain")
}

#[test]
fn garbage_on_the_command_line_and_around_it_is_named() {
    let home = Home::new();
    assert!(home.fails(2, "--nonsense").contains("--nonsense"));
    assert!(home.fails(2, "fly").contains("fly"));
    let address = home.fails(2, "--listen 10.0.0.1:7117");
    assert!(address.contains("/ip4/10.0.0.1/tcp/7117"), "{address}");
    assert!(home.fails(2, "--http nowhere").contains("127.0.0.1:7118"));
    assert!(home.fails(2, "--mempool-mib 0").contains("1..=16384"));
    assert!(home.fails(2, "--log a=b=c").contains("filter"));
    assert!(
        home.fails(1, "--network missing.toml")
            .contains("missing.toml")
    );
    assert!(
        home.fails(1, "--config missing.toml")
            .contains("missing.toml")
    );

    let mut command = home.command("status");
    let output = command.env("VOTENODE_HTTP", "nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("environment variable VOTENODE_HTTP"),
        "{said}"
    );

    fs::write(home.path("votenode.toml"), "htpp = 'off'\n").unwrap();
    let said = home.fails(2, "--config votenode.toml");
    assert!(
        said.contains("votenode.toml:1: unknown key 'htpp', did you mean 'http'?"),
        "{said}"
    );
    fs::write(home.path("bad.toml"), "name = 'x'").unwrap();
    assert!(home.fails(2, "--network bad.toml").contains("bad.toml"));
    fs::write(home.path("file"), "").unwrap();
    assert!(home.fails(1, "--data-dir file").contains("file"));
}

#[test]
fn secrets_in_the_wrong_place_are_not_repeated_and_files_in_the_way_not_overwritten() {
    let home = Home::new();
    home.succeeds("key new organiser --out ada.key");
    let text = fs::read_to_string(home.path("ada.key")).unwrap();
    let secret = text
        .split_whitespace()
        .find(|word| word.contains("secret1"));
    let secret = secret.unwrap();
    for line in [
        format!("network new --name x --out x.toml --organiser Ada={secret}"),
        format!("network new --name x --out x.toml --organiser {secret}"),
        format!("network new --name x --out x.toml {secret}"),
        format!("audit {secret} --network {secret}"),
    ] {
        let output = home.run(&line);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains(secret), "{said}");
        assert!(said.contains("organisersecret1…"), "{said}");
    }

    home.succeeds("network new --name x --out x.toml");
    for line in [
        "network new --name x --out x.toml",
        "key new organiser --out ada.key",
    ] {
        let said = home.fails(2, line);
        assert!(said.contains("exists already"), "{said}");
    }

    fs::create_dir(home.path("node")).unwrap();
    fs::copy(home.path("x.toml"), home.path("node/node.key")).unwrap();
    let chmod = Command::new("chmod")
        .arg("600")
        .arg(home.path("node/node.key"))
        .status();
    assert!(chmod.unwrap().success());
    let said = home.fails(
        1,
        "--data-dir node --no-mdns --http off --listen /ip4/127.0.0.1/tcp/0",
    );
    assert!(said.contains("move the file away"), "{said}");
}

#[test]
fn help_and_version_are_results() {
    let home = Home::new();
    let help = home.succeeds("--help");
    assert!(help.contains("Examples:") && help.contains("Exit codes:"));
    assert!(home.succeeds("--version").starts_with("votenode "));
}

#[test]
fn a_running_node_is_asked_exported_and_ended_and_its_directory_guarded() {
    let home = Home::new();
    let node = Node::start(&home, "");
    let status = home.json("status --json --data-dir node");
    assert_eq!(status["network_name"], "lan");
    assert_eq!(status["tip"]["height"], 0);
    assert!(home.succeeds("peers --data-dir node").contains("No peers"));
    let said = home.fails(2, "ban nobody --data-dir node");
    assert!(said.contains("not a peer id"), "{said}");
    let own = status["peer_id"].as_str().unwrap();
    let said = home.fails(2, &format!("ban {own} --data-dir node"));
    assert!(said.contains("itself"), "{said}");
    // The one that the help bans, which nobody has.
    let peer = "12D3KooW9yc7EUhFPZALESAwxkwyGUScib6XdaTDDi59dMAJEPdd";
    assert_eq!(
        home.json(&format!("ban {peer} --json --data-dir node"))["changed"],
        true
    );

    let said = home.fails(
        3,
        "--data-dir node --no-mdns --listen /ip4/127.0.0.1/tcp/0 --http off",
    );
    assert!(said.contains(&format!("process {}", node.0.id())), "{said}");
    assert!(
        home.fails(
            3,
            &format!("import --data-dir node {}", exported_chain().display())
        )
        .contains("process")
    );

    let http = fs::read_to_string(home.path("node/http.addr")).unwrap();
    let said = home.fails(
        6,
        &format!("--data-dir other --no-mdns --listen /ip4/127.0.0.1/tcp/0 --http {http}"),
    );
    assert!(said.contains(&http) && said.contains("--http"), "{said}");

    assert_eq!(
        home.json("export --json --data-dir node lan.votechain")["blocks"],
        0
    );
    assert_eq!(home.json("audit node --json")["ok"], true);
    assert_eq!(
        home.json("audit lan.votechain --json")["network_name"],
        "lan"
    );
    assert!(
        home.fails(2, "export --data-dir node lan.votechain")
            .contains("exists already")
    );

    assert_eq!(node.stop(&home), Some(0));
    assert!(!home.path("node/http.addr").exists());
    assert!(
        home.fails(9, "status --data-dir node")
            .contains("no node runs")
    );
    assert_eq!(home.json("audit node --json")["ok"], true);
}

#[test]
fn a_port_in_use_is_an_exit_code_of_its_own() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = home.fails(
        6,
        &format!("--no-mdns --http off --listen /ip4/127.0.0.1/tcp/{port}"),
    );
    assert!(
        said.contains(&port.to_string()) && said.contains("--listen"),
        "{said}"
    );
}

#[test]
fn signals_end_a_node_in_order() {
    let home = Home::new();
    let mut node = Node::start(&home, "--log-format json");
    let id = node.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
    let log = BufReader::new(node.0.stderr.take().unwrap());
    for line in log.lines() {
        let line = line.unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn an_exported_chain_is_audited_imported_and_guarded() {
    let home = Home::new();
    let file = exported_chain();
    let file = file.display();
    let report = home.json(&format!("audit {file} --json"));
    assert_eq!(report["ok"], true);
    let height = report["tip"]["height"].as_u64().unwrap();
    assert!(height > 0);

    let first = home.json(&format!("import {file} --json --data-dir node"));
    assert_eq!(first["blocks_imported"], height);
    let again = home.json(&format!("import {file} --json --data-dir node"));
    assert_eq!(again["blocks_imported"], 0);
    assert_eq!(again["blocks_known"], height);
    let stored = home.json("audit node --json");
    assert_eq!(stored["tip"], report["tip"]);
    assert_eq!(stored["elections"], report["elections"]);
    home.succeeds("export --data-dir node copy.votechain");
    let original = fs::read(exported_chain()).unwrap();
    assert_eq!(fs::read(home.path("copy.votechain")).unwrap(), original);

    // The last block's transactions, or what commits to them.
    let mut bytes = original.clone();
    let place = bytes.len() - 200;
    bytes[place] ^= 1;
    fs::write(home.path("changed.votechain"), &bytes).unwrap();
    let output = home.run("audit changed.votechain --json");
    assert_eq!(output.status.code(), Some(8));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    fs::write(home.path("cut.votechain"), &original[..original.len() - 10]).unwrap();
    assert!(home.fails(8, "audit cut.votechain").contains("cut off"));
    fs::write(home.path("hello"), "hello").unwrap();
    assert!(
        home.fails(8, "audit hello")
            .contains("not an exported chain")
    );

    let other = "ab".repeat(32);
    assert!(
        home.fails(5, &format!("audit {file} --network {other}"))
            .contains(&other)
    );
    let said = home.fails(
        5,
        &format!("--data-dir node --network {other} --http off --listen /ip4/127.0.0.1/tcp/0"),
    );
    assert!(said.contains("--data-dir"), "{said}");
}

#[test]
fn a_damaged_database_is_refused_with_advice() {
    let home = Home::new();
    home.succeeds(&format!(
        "import {} --data-dir node",
        exported_chain().display()
    ));
    let database = home.path("node/votenode.redb");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, "").unwrap();
    let said = home.fails(
        4,
        "--data-dir node --no-mdns --http off --listen /ip4/127.0.0.1/tcp/0",
    );
    assert!(said.contains("it is empty"), "{said}");
    fs::write(&database, whole).unwrap();
    let mut bytes = fs::read(&database).unwrap();
    for byte in bytes.iter_mut().skip(64).step_by(97) {
        *byte ^= 0x55;
    }
    fs::write(&database, &bytes).unwrap();
    for line in [
        "--data-dir node --no-mdns --http off --listen /ip4/127.0.0.1/tcp/0",
        "audit node",
        "export --data-dir node out.votechain",
    ] {
        let said = home.fails(4, line);
        assert!(
            said.contains("damaged") || said.contains("corrupt"),
            "{line}: {said}"
        );
    }
    assert!(!home.path("out.votechain").exists());
}

#[test]
fn a_network_with_invitations_is_made_and_the_batch_reaches_the_node() {
    let home = Home::new();
    let key = home.json("key new organiser --out ada.key --json");
    let public = key["public_key"].as_str().unwrap();
    assert_eq!(home.json("key show ada.key --json")["public_key"], public);
    let made = home.json(&format!(
        "network new --name Club --organiser Ada={public} --block-time-ms 200 --out club.toml --json"
    ));
    let shown = home.json("network show club.toml --json");
    assert_eq!(shown["network"], made["network"]);
    assert_eq!(shown["organisers"][0]["key"], public);
    assert!(
        home.fails(2, "network new --name Club --out club.toml")
            .contains("club.toml")
    );

    let node = Node::start(&home, "--network club.toml");
    let invited = home.json(
        "invite --count 3 --group members --network club.toml --organiser-key ada.key --out invitations --submit \
         --data-dir node --json",
    );
    assert_eq!(invited["submitted"], true);
    until("the batch is in the chain", || {
        let report = home.json("audit node --json");
        report["invitations"]
            .as_array()
            .is_some_and(|batches| batches.len() == 1)
    });
    let revoked = home.json(
        "invite revoke --network club.toml --organiser-key ada.key --codes invitations/codes.txt --out revoke.txt \
         --submit --data-dir node --json",
    );
    assert_eq!(revoked["count"], 3);
    let other = home.json("key new organiser --out bob.key --json");
    assert_ne!(other["public_key"], public);
    let said = home.fails(
        2,
        "invite --count 3 --group g --network club.toml --organiser-key bob.key --out more",
    );
    assert!(said.contains("may not invite"), "{said}");
    assert_eq!(node.stop(&home), Some(0));
}
