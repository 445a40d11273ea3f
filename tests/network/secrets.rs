//! A whole election by real processes that log all they can, and then a search for every secret in everything that they
//! wrote.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use votenode::chain::genesis::{Finaliser, Organiser};
use votenode::crypto::{Role, RoleKey, RolePublicKey, VoterId};
use votenode::genesis::Parameters;
use votenode::wire::Text;

use crate::harness::node::Node;
use crate::harness::process::{Ended, Process};
use crate::harness::scene::{Place, Scene, quick};
use crate::harness::secrets::{Secrets, base64};
use crate::harness::{DEADLINE, until};

/// Everything, of the libraries too: a bare level would be about the program itself.
const LOG: &str = "trace,votenode=trace";
const PASSPHRASE: &str = "Zwölf Boxkämpfer jagen Eva";

/// Makes a key as an operator does, and gives its public half.
fn key(scene: &Scene, role: &str, path: &Path) -> RolePublicKey {
    let path = path.to_str().unwrap();
    let made = scene.votenode("office", &["key", "new", role, "--out", path, "--json"]);
    let public = made.expect(0).json()["public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let role = match role {
        "organiser" => Role::Organiser,
        _ => Role::Finaliser,
    };
    RolePublicKey::parse(role, &public).unwrap()
}

/// People who use `ballot`, and log everything.
struct People<'s> {
    scene: &'s Scene,
    network: PathBuf,
    node: String,
}

impl People<'_> {
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.scene.command(&Place::Here, name, "ballot");
        command
            .env("VOTENODE_LOG", LOG)
            .env("VOTENODE_NETWORK", &self.network)
            .env("VOTENODE_BOOTSTRAP", &self.node)
            .env("VOTENODE_NO_MDNS", "true")
            .env("VOTENODE_TIMEOUT", DEADLINE.as_secs().to_string())
            .args(arguments);
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        self.scene.run(self.command(name, arguments))
    }

    fn does(&self, name: &str, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.run(name, &arguments).expect(0).json()
    }

    fn voter_file(&self, name: &str) -> PathBuf {
        self.scene.home(name).join(".local/share/votenode/voter")
    }
}

/// What the system tells everybody about a process.
fn shown(process: &Process, name: &str) -> Vec<u8> {
    let proc = Path::new("/proc").join(process.id().to_string());
    // Without privileges nobody reads the variables of a process that keeps its memory to itself.
    fs::read(proc.join(name)).unwrap_or_default()
}

/// Everything that HTTP serves without an argument.
fn saves_http(scene: &Scene, node: &Node<'_>) {
    let address = fs::read_to_string(node.data_dir().join("http.addr")).unwrap();
    for path in [
        "/",
        "/openapi.json",
        "/metrics",
        "/api/v1/status",
        "/api/v1/peers",
        "/api/v1/mining",
        "/api/v1/mempool",
        "/api/v1/blocks",
        "/api/v1/blocks/1",
        "/api/v1/finality",
        "/api/v1/checkpoints/1",
        "/api/v1/elections",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
        scene.file(&format!("http{}", path.replace('/', "-")), answer);
    }
}

#[test]
fn nothing_that_the_processes_of_an_election_write_holds_a_secret() {
    let scene = Scene::new();
    let mut secrets = Secrets::default();
    let path = |name: &str| scene.path(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();

    // The office: keys, a network, invitations.
    let (ada, decider) = (path("ada.key"), path("decider.key"));
    let organiser = key(&scene, "organiser", &ada);
    let finaliser = key(&scene, "finaliser", &decider);
    let hidden = RoleKey::generate(Role::Finaliser).unwrap();
    secrets.role_key(&ada);
    secrets.role_key(&decider);
    secrets.role("the finaliser's key in a variable", &hidden);
    let name = |text: &str| Text::new(text).unwrap();
    let member = |key, label: &str| Finaliser {
        key,
        power: 1,
        name: name(label),
    };
    let network = scene.network(
        "club",
        Parameters {
            organisers: vec![Organiser {
                key: organiser.key(),
                permissions: Organiser::INVITE | Organiser::OPEN_ELECTIONS,
                name: name("Ada"),
            }],
            finalisers: vec![
                member(finaliser.key(), "first"),
                member(hidden.public().key(), "second"),
            ],
            open_stamp_bits: Some(4),
            ..quick("club")
        },
    );
    let (genesis, invitations) = (text(&network), path("invitations"));
    scene
        .votenode("office", &["key", "show", &text(&ada), "--json"])
        .expect(0);
    scene
        .votenode(
            "office",
            &[
                "invite",
                "--count",
                "3",
                "--group",
                "members",
                "--network",
                &genesis,
                "--organiser-key",
                &text(&ada),
                "--out",
                &text(&invitations),
                "--json",
            ],
        )
        .expect(0);
    secrets.private(&invitations.join("slips-1.html"));
    let codes = secrets.private(&invitations.join("codes.txt"));
    let codes: Vec<&str> = codes
        .lines()
        .filter(|line| line.starts_with("invite1"))
        .collect();
    assert_eq!(codes.len(), 3);
    for (number, code) in codes.iter().enumerate() {
        secrets.invitation(&format!("invitation {number}"), code);
    }
    secrets.text("the passphrase", PASSPHRASE);

    // Two nodes that finalise: one has its key in a file, the other in a variable.
    let trace = ["--log", LOG, "--finaliser-key", &text(&decider)];
    let mut first = Node::on_loopback(&scene, "first", &network, &[], &trace);
    let mut command = scene.command(&Place::Here, "second", "votenode");
    command
        .env("VOTENODE_FINALISER_SECRET", hidden.to_text().as_str())
        .args([
            "--no-mdns",
            "--http",
            "off",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ])
        .args([
            "--network",
            &genesis,
            "--bootstrap",
            &first.address(),
            "--log",
            LOG,
        ]);
    let mut second = scene.start(command, "second");
    first.until_peers(1);
    let people = People {
        scene: &scene,
        network: network.clone(),
        node: first.address(),
    };
    people.does(
        "clerk",
        &["submit", &text(&invitations.join("transactions.txt"))],
    );

    // Four voters: a code in a file, in a variable and typed in; nobody's invitation and a passphrase.
    let code = scene.secret("code.txt", codes[0]);
    secrets.private(&code);
    people.does("grace", &["register", "--invitation-file", &text(&code)]);
    let mut command = people.command("mary", &["register", "--json"]);
    command.env("VOTENODE_INVITATION", codes[1]);
    scene.run(command).expect(0);
    let typing = people.command("joan", &["register", "--invitation", "-", "--json"]);
    let mut typing = scene.start_with_stdin(typing, "joan-register", Stdio::piped());
    typing.types(codes[2]);
    typing.wait().expect(0);
    let passphrase = scene.secret("passphrase.txt", PASSPHRASE);
    secrets.private(&passphrase);
    let passphrase = text(&passphrase);
    people.does(
        "emmy",
        &["register", "--passphrase", "--passphrase-file", &passphrase],
    );
    for name in ["grace", "mary", "joan"] {
        let file = people.voter_file(name);
        let code = fs::read_to_string(&file).unwrap();
        let id: VoterId = code.lines().last().unwrap().trim().parse().unwrap();
        secrets.voter(&file, &id);
    }
    secrets.private(&people.voter_file("emmy"));

    // Mistakes: a secret where none belongs.
    let voter = fs::read_to_string(people.voter_file("grace")).unwrap();
    let voter = voter.lines().last().unwrap();
    for (program, wrong) in [
        ("ballot", vec!["register", codes[0]]),
        ("ballot", vec!["register", "--invitation", voter]),
        ("ballot", vec!["register", "--invitation-file", codes[0]]),
        ("ballot", vec!["status", "--voter", voter]),
        ("ballot", vec!["register", "--voter", voter]),
        ("ballot", vec!["cast", voter, "Ada"]),
        ("ballot", vec!["results", codes[1]]),
        ("votenode", vec!["key", "show", voter]),
        ("votenode", vec!["--finaliser-key", voter]),
        ("votenode", vec!["network", "show", codes[2]]),
        ("votenode", vec![voter]),
    ] {
        match program {
            "ballot" => people.run("grace", &wrong),
            _ => scene.votenode("office", &wrong),
        };
    }

    // The election, to its end.
    let file = scene.election("chair", "groups = [\"members\", \"open\"]");
    let opening = [
        "open",
        &text(&file),
        "--organiser-key",
        &text(&ada),
        "--closes-in",
        "45s",
    ];
    let opened = people.does("clerk", &opening);
    let election = opened["election"].as_str().unwrap();
    let cast = people.does("grace", &["cast", election, "Ada"]);
    let receipt = cast["receipt"]["file"].as_str().unwrap();
    people.does(
        "emmy",
        &["cast", election, "Grace", "--passphrase-file", &passphrase],
    );
    let vote = path("vote.txt");
    people.does("mary", &["elections", election]);
    people.does(
        "mary",
        &["cast", election, "Mary", "--offline", &text(&vote)],
    );
    people.does("clerk", &["submit", &text(&vote)]);
    let last = people.command("joan", &["cast", election, "--blank", "--json"]);
    scene.run(last).expect(0);
    people.does("grace", &["receipt", "verify", receipt]);
    for arguments in [
        &["status"][..],
        &["voter", "show"],
        &["receipt", "show"],
        &["elections"],
    ] {
        people.does("grace", arguments);
        people.run("grace", arguments).expect(0);
    }
    let result = until("the result", || {
        let result = people.does("clerk", &["results", election]);
        (result["phase"] == "final")
            .then(|| result.clone())
            .ok_or(result.to_string())
    });
    assert_eq!(result["votes"], 4);

    // What operators and everybody else may ask.
    saves_http(&scene, &first);
    for arguments in [
        &["status"][..],
        &["peers"],
        &["status", "--json"],
        &["peers", "--json"],
    ] {
        first.ask(arguments).expect(0);
    }
    let chain = text(&path("club.votechain"));
    first.ask(&["export", &chain]).expect(0);
    scene
        .votenode("office", &["audit", &chain, "--json"])
        .expect(0);
    for data in [
        first.data_dir(),
        scene.home("second").join(".local/share/votenode"),
    ] {
        secrets.node_key(&data.join("node.key"));
        secrets.role_key(&data.join("miner.key"));
    }
    let waiting = people.begins_waiting();
    let mut seen = Vec::new();
    for process in [first.process(), &second, &waiting] {
        seen.extend(shown(process, "cmdline"));
        seen.extend(shown(process, "status"));
        let limits = String::from_utf8(shown(process, "limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = core.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
    }
    seen.extend(shown(first.process(), "environ"));
    assert_eq!(secrets.found_in(&seen), [""; 0]);
    drop(waiting);
    first.terminate().expect(0);
    second.signal("TERM");
    second.wait().expect(0);

    let (found, looked) = secrets.found_below(&path(""));
    println!("{} secrets, {looked} bytes", secrets.len());
    assert_eq!(found, [""; 0]);
    assert!(secrets.len() >= 20 && looked > 1_000_000);
    let log = fs::read_to_string(path("logs/first.err")).unwrap();
    assert!(
        log.contains("TRACE"),
        "the node did not log at the level that was asked for"
    );
    planted_secrets_are_found(&scene, &secrets, &hidden);
}

impl People<'_> {
    /// Somebody who waits for nodes that do not come, so that there is time to look at the process.
    fn begins_waiting(&self) -> Process {
        let mut command = self.command("grace", &["cast", "nothing", "Ada"]);
        command.env("VOTENODE_BOOTSTRAP", "/ip4/127.0.0.1/tcp/1");
        let process = self.scene.start(command, "grace-waiting");
        let limits = Path::new("/proc")
            .join(process.id().to_string())
            .join("limits");
        until("the process to forbid dumps", || {
            let limits = fs::read_to_string(&limits).unwrap();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core file size"));
            let core = core.unwrap_or_default().to_owned();
            let set = core.split_whitespace().nth(5) == Some("0");
            set.then_some(()).ok_or(core)
        });
        process
    }
}

/// A search that finds nothing proves nothing unless it can find something.
fn planted_secrets_are_found(scene: &Scene, secrets: &Secrets, key: &RoleKey) {
    let seed = *key.signing_key().seed();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let code = key.to_text();
    let planted: [&[u8]; 11] = [
        &seed,
        &seed[..16],
        hex.as_bytes(),
        hex.to_uppercase().as_bytes(),
        &hex.as_bytes()[32..],
        format!("{seed:?}").as_bytes(),
        serde_json::to_string(&seed).unwrap().as_bytes(),
        base64(&seed, *b"+/").as_bytes(),
        base64(&[b"x".as_slice(), &seed].concat(), *b"-_").as_bytes(),
        code.as_bytes(),
        code.to_uppercase().as_bytes(),
    ]
    .map(|planted| Box::leak(planted.to_vec().into_boxed_slice()) as &[u8]);
    let folder = scene.path("planted");
    fs::create_dir(&folder).unwrap();
    let found = |text: &[u8]| {
        fs::write(folder.join("node.err"), text).unwrap();
        secrets.found_below(&folder).0
    };
    for (number, planted) in planted.into_iter().enumerate() {
        let text = [b"2027-03-01 DEBUG signs with ".as_slice(), planted, b"\n"].concat();
        let found = found(&text);
        assert!(
            !found.is_empty() && found.iter().all(|what| what.contains("in a variable")),
            "form {number}: {found:?}"
        );
    }
    assert!(!found(format!("opened with {PASSPHRASE}").as_bytes()).is_empty());
    assert_eq!(found(b"signs with nothing in particular"), [""; 0]);
}

/// Somebody else on the same machine, who may look into the directories.
#[test]
fn another_user_reaches_neither_the_socket_nor_a_key() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let node = Node::on_loopback(&scene, "node", &network, &[], &[]);
    let data = node.data_dir();
    let mut folder = data.as_path();
    while folder != std::env::temp_dir() {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder, open).unwrap();
        folder = folder.parent().unwrap();
    }
    let other = |arguments: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
    };
    // Only root can be somebody else.
    let able = other(&["true"]).is_ok_and(|output| output.status.success());
    if !able {
        assert!(
            std::env::var_os(crate::harness::isolate::NO_SKIP).is_none(),
            "not to be skipped, but setpriv does not work here"
        );
        let _ = writeln!(
            std::io::stderr(),
            "\nSKIPPED: another_user_reaches_neither_the_socket_nor_a_key: it needs root and setpriv"
        );
        return;
    }
    for name in ["node.key", "miner.key", "votenode.redb", "http.addr"] {
        let file = data.join(name);
        let read = other(&["cat", file.to_str().unwrap()]).unwrap();
        let words = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(words.contains("Permission denied"), "{name}: {words}");
    }
    // The program itself may lie where only this user gets.
    let program = scene.path("votenode");
    fs::copy(crate::harness::program("votenode"), &program).unwrap();
    let asking = ["status", "--data-dir", data.to_str().unwrap()];
    let refused = other(&[&[program.to_str().unwrap()][..], &asking].concat()).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("belongs to another user"), "{words}");
    // The same question is answered for the owner, so that it is the owner that matters.
    scene.votenode("office", &asking).expect(0);
}
