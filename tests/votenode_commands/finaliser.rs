//! `votenode finaliser`: a change of who finalises, from hand to hand.

use std::fs;

use serde_json::Value;
use votenode::chain::transaction::Payload;
use votenode::protocol::transaction_file;

use super::{Home, Node, until};

/// A home with a network of four finalisers, and keys of seven.
struct Club {
    home: Home,
    public: Vec<String>,
    network: String,
}

impl Club {
    fn new() -> Self {
        let home = Home::new();
        let public: Vec<String> = (1..=7)
            .map(|number| {
                let key = home.json(&format!("key new finaliser --out f{number}.key --json"));
                key["public_key"].as_str().unwrap().to_owned()
            })
            .collect();
        let club = Self {
            network: String::new(),
            home,
            public,
        };
        let made = club.home.json(&format!(
            "network new --name Club --block-time-ms 200 --out club.toml --json {}",
            club.named(&[1, 2, 3, 4])
        ));
        Self {
            network: made["network"].as_str().unwrap().to_owned(),
            ..club
        }
    }

    /// Flags that name these finalisers.
    fn named(&self, numbers: &[usize]) -> String {
        let flags = numbers
            .iter()
            .map(|number| format!("--finaliser F{number}={}", self.public[number - 1]));
        flags.collect::<Vec<_>>().join(" ")
    }

    fn propose(&self, set: u64, numbers: &[usize], out: &str) -> Value {
        self.home.json(&format!(
            "finaliser propose --network club.toml --set {set} {} --out {out} --json",
            self.named(numbers)
        ))
    }

    fn approve_line(file: &str, number: usize) -> String {
        format!("finaliser approve {file} --network club.toml --finaliser-key f{number}.key")
    }

    /// A copy of a proposal that this finaliser approved.
    fn approved(&self, proposal: &str, number: usize) -> String {
        let copy = format!("{proposal}.{number}");
        fs::copy(self.home.path(proposal), self.home.path(&copy)).unwrap();
        self.home.succeeds(&Self::approve_line(&copy, number));
        copy
    }
}

#[test]
fn a_change_by_more_than_two_thirds_becomes_a_transaction_that_a_chain_takes() {
    let club = Club::new();
    let home = &club.home;
    let proposed = club.propose(1, &[1, 2, 5], "change.txt");
    assert_eq!(proposed["network"], club.network.as_str());
    assert_eq!(proposed["set"], 1);
    assert_eq!(proposed["approvals"].as_array().unwrap().len(), 0);
    assert_eq!(proposed["quorum_power"], 3);
    assert!(
        proposed["warning"]
            .as_str()
            .unwrap()
            .contains("no fault is tolerated")
    );

    let copies = [1, 2, 3].map(|number| club.approved("change.txt", number));
    // A file may also go round.
    home.succeeds(&Club::approve_line("change.txt", 1));
    let twice = home.fails(2, &Club::approve_line("change.txt", 1));
    assert!(twice.contains("has approved already"), "{twice}");
    let second = home.json(&(Club::approve_line("change.txt", 2) + " --json"));
    assert_eq!(second["approvals"].as_array().unwrap().len(), 2);
    assert_eq!(second["approved_power"], 2);
    assert_eq!(second["present_power"], 4);

    let few = home.fails(
        2,
        "finaliser finish change.txt --network club.toml --out t.txt",
    );
    assert!(
        few.contains("2 of 4 votes") && few.contains("more than two thirds, 3"),
        "{few}"
    );
    assert!(!home.path("t.txt").exists());

    let finish = format!(
        "finaliser finish change.txt {} --network club.toml",
        copies.join(" ")
    );
    let made = home.json(&format!("{finish} --out t.txt --json"));
    assert_eq!(made["approved_power"], 3);
    let before = fs::read(home.path("t.txt")).unwrap();
    let over = home.fails(2, &format!("{finish} --out t.txt"));
    assert!(
        over.contains("t.txt exists already and is not overwritten"),
        "{over}"
    );
    assert_eq!(fs::read(home.path("t.txt")).unwrap(), before);

    let text = fs::read_to_string(home.path("t.txt")).unwrap();
    let (network, transactions) = transaction_file::parse(&text).unwrap();
    assert_eq!(network.to_string(), club.network);
    let [transaction] = &transactions[..] else {
        panic!("{text}");
    };
    assert_eq!(
        transaction.id().to_string(),
        made["transaction"].as_str().unwrap()
    );
    let Payload::FinaliserChange { change } = &transaction.payload else {
        panic!("{transaction:?}");
    };
    assert_eq!(
        (change.set, change.finalisers.len(), change.approvals.len()),
        (1, 3, 3)
    );
}

/// The chain says who approves set 2: the three of set 1, of whom one alone is the first three's.
#[test]
fn from_set_two_on_a_chain_says_who_approves() {
    let home = Home::new();
    let keys: Vec<String> = (1..=2)
        .map(|number| {
            let key = home.json(&format!("key new finaliser --out f{number}.key --json"));
            key["public_key"].as_str().unwrap().to_owned()
        })
        .collect();
    home.succeeds(&format!(
        "network new --name Solo --block-time-ms 200 --finaliser Ada={} --out club.toml",
        keys[0]
    ));
    let propose = |set: u64, key: &str| {
        home.succeeds(&format!(
            "finaliser propose --network club.toml --set {set} --finaliser Next={key} --out set{set}.txt"
        ));
    };
    propose(1, &keys[1]);
    home.succeeds("finaliser approve set1.txt --network club.toml --finaliser-key f1.key");
    home.succeeds("finaliser finish set1.txt --network club.toml --out t.txt");

    let node = Node::start(&home, "--network club.toml --finaliser-key f1.key");
    let address = home.json("status --data-dir node --json")["listening"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let ballot = std::process::Command::new(env!("CARGO_BIN_EXE_ballot"))
        .current_dir(home.path(""))
        .env("HOME", home.path(""))
        .args([
            "--network",
            "club.toml",
            "--no-mdns",
            "--bootstrap",
            &address,
        ])
        .args(["submit", "t.txt", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ballot.stderr).into_owned();
    assert!(ballot.status.success(), "{said}");
    until("the change is final", || {
        home.json("status --data-dir node --json")["finality"]["set"] == 1
    });

    propose(2, &keys[0]);
    // Without a chain nobody is known to be a stranger; with it the first finaliser is one.
    let stranger = home.fails(
        2,
        "finaliser approve set2.txt --network club.toml --finaliser-key f1.key --chain node",
    );
    assert!(stranger.contains("this key is not in set 1"), "{stranger}");
    let early = home.fails(
        2,
        "finaliser approve set1.txt --network club.toml --finaliser-key f1.key --chain node",
    );
    assert!(
        early.contains("the latest set of finalisers is set 1"),
        "{early}"
    );
    home.succeeds("export exported.votechain --data-dir node");
    let approved = home.json(
        "finaliser approve set2.txt --network club.toml --finaliser-key f2.key --chain exported.votechain --json",
    );
    assert_eq!(approved["approved_power"], 1);
    assert_eq!(node.stop(&home), Some(0));
    let finished =
        home.json("finaliser finish set2.txt --network club.toml --chain node --out t2.txt --json");
    assert_eq!(finished["set"], 2);
}

#[test]
fn whatever_is_wrong_with_a_change_is_named_and_nothing_is_lost() {
    let club = Club::new();
    let home = &club.home;
    club.propose(1, &[1, 2, 3, 5], "change.txt");
    let proposal = fs::read_to_string(home.path("change.txt")).unwrap();
    let unchanged = || {
        assert_eq!(
            fs::read_to_string(home.path("change.txt")).unwrap(),
            proposal
        )
    };

    // Keys.
    let stranger = home.fails(2, &Club::approve_line("change.txt", 5));
    assert!(stranger.contains("this key is not in set 0"), "{stranger}");
    home.succeeds("key new organiser --out ada.key");
    let organiser = home.fails(
        2,
        "finaliser approve change.txt --network club.toml --finaliser-key ada.key",
    );
    assert!(
        organiser.contains("a finaliser's secret key is wanted"),
        "{organiser}"
    );
    let nowhere = home.fails(
        1,
        "finaliser approve change.txt --network club.toml --finaliser-key none.key",
    );
    assert!(nowhere.contains("none.key"), "{nowhere}");
    unchanged();

    // Networks.
    home.succeeds(&format!(
        "network new --name Other {} --out other.toml",
        club.named(&[1, 2, 3, 4])
    ));
    home.succeeds("network new --name Plain --out plain.toml");
    for verb in [
        "approve change.txt --finaliser-key f1.key",
        "finish change.txt --out t.txt",
    ] {
        let other = home.fails(5, &format!("finaliser {verb} --network other.toml"));
        assert!(other.contains("change.txt is for network"), "{other}");
        let plain = home.fails(2, &format!("finaliser {verb} --network plain.toml"));
        assert!(
            plain.contains("nobody finalises in this network"),
            "{plain}"
        );
        let none = home.fails(1, &format!("finaliser {verb} --network none.toml"));
        assert!(none.contains("none.toml"), "{none}");
    }
    unchanged();

    // Sets.
    let over = home.fails(
        2,
        &format!(
            "finaliser propose --network club.toml --set 1 {} --out change.txt",
            club.named(&[1])
        ),
    );
    assert!(
        over.contains("change.txt exists already and is not overwritten"),
        "{over}"
    );
    unchanged();
    let one = &club.public[0];
    for (flags, words) in [
        (format!("--set 0 {}", club.named(&[1])), "set"),
        (
            format!("--set 1 --finaliser A={one} --finaliser B={one}"),
            "twice",
        ),
        (
            format!("--set 1 --finaliser A={one}:0"),
            "voting power has to be from 1",
        ),
        (
            "--set 1 --finaliser A=finaliserpub1nonsense".to_owned(),
            "finaliserpub1nonsense",
        ),
        ("--set 1 --finaliser nonsense".to_owned(), "nonsense"),
    ] {
        let said = home.fails(
            2,
            &format!("finaliser propose --network club.toml {flags} --out new.txt"),
        );
        assert!(said.contains(words), "{words}: {said}");
        assert!(!home.path("new.txt").exists(), "{flags}");
    }

    // Files.
    let approved = club.approved("change.txt", 1);
    let good = fs::read_to_string(home.path(&approved)).unwrap();
    let tampered = good.replace("F5", "Eve");
    assert_ne!(tampered, good);
    let cut = &good[..good.len() / 2];
    for (bytes, words) in [
        (&b""[..], "bad.txt"),
        (b"garbage", "bad.txt"),
        (b"\xff\xfe\x00", "this is not a text file"),
        (cut.as_bytes(), "bad.txt"),
        (
            tampered.as_bytes(),
            "an approval is not signed for this change",
        ),
        (&vec![b'#'; 1 << 20], "bad.txt"),
    ] {
        fs::write(home.path("bad.txt"), bytes).unwrap();
        let said = home.fails(
            2,
            "finaliser finish bad.txt --network club.toml --out t.txt",
        );
        assert!(said.contains(words), "{words}: {said}");
        let said = home.fails(2, &Club::approve_line("bad.txt", 2));
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(fs::read(home.path("bad.txt")).unwrap(), bytes);
    }
    let nowhere = home.fails(
        1,
        "finaliser finish none.txt --network club.toml --out t.txt",
    );
    assert!(nowhere.contains("none.txt"), "{nowhere}");
    club.propose(1, &[1, 2, 3, 6], "else.txt");
    let other = club.approved("else.txt", 2);
    let differ = home.fails(
        2,
        &format!("finaliser finish {approved} {other} --network club.toml --out t.txt"),
    );
    assert!(differ.contains("are about different changes"), "{differ}");

    // Chains.
    for (chain, code) in [("none.votechain", 1), ("bad.txt", 2)] {
        let said = home.fails(
            code,
            &format!("finaliser finish {approved} --network club.toml --chain {chain} --out t.txt"),
        );
        assert!(said.contains(chain), "{said}");
    }
    assert!(!home.path("t.txt").exists());
}

#[test]
fn help_shows_how_a_change_goes() {
    let home = Home::new();
    let all = home.succeeds("finaliser --help");
    for (verb, words) in [
        ("propose", "The genesis holds set 0"),
        ("approve", "--chain names an exported chain"),
        ("finish", "more than two thirds"),
    ] {
        assert!(all.contains(verb), "{all}");
        let help = home.succeeds(&format!("finaliser {verb} --help"));
        assert!(help.contains(words) && help.contains("Example"), "{help}");
        let bare = home.fails(2, &format!("finaliser {verb}"));
        assert!(bare.contains("required"), "{bare}");
    }
    home.fails(2, "finaliser");
}
