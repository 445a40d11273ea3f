//! Transactions that break a rule: each is refused with a reason of its own, whoever hands it in.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use votenode::chain::election::{Choices, ElectionId};
use votenode::chain::form::check_form;
use votenode::chain::genesis::NetworkId;
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::{Admission, Credential, Payload, Transaction};
use votenode::crypto::stamp::find_stamp;
use votenode::crypto::{Context, SigningKey, VoterId};
use votenode::genesis::{self, Parameters};
use votenode::protocol::transaction_file;

use crate::harness::node::Node;
use crate::harness::scene::{Scene, quick};
use crate::harness::until;
use crate::harness::voter::Voter;

/// A network with one node, a clerk who hands things in, and registered voters.
struct Office<'s> {
    scene: &'s Scene,
    network: Network,
    node: Node<'s>,
    clerk: Voter<'s>,
}

impl<'s> Office<'s> {
    fn open(scene: &'s Scene, parameters: Parameters) -> Self {
        let genesis = scene.network("club", parameters);
        let network = Network::new(genesis::read(&genesis).unwrap()).unwrap();
        let node = Node::on_loopback(scene, "node", &genesis, &[], &[]);
        let clerk = Voter::on_loopback(scene, "clerk", &genesis, &node.address());
        Self {
            scene,
            network,
            node,
            clerk,
        }
    }

    fn id(&self) -> NetworkId {
        self.network.id()
    }

    fn registration(&self, voter: &VoterId) -> Transaction {
        register(&self.id(), voter, 4)
    }

    /// Hands in one transaction and returns how `ballot` ended and its state or the name of the reason.
    fn hand_in(&self, name: &str, transaction: &Transaction) -> (i32, String) {
        let text = transaction_file::write(&self.id(), std::slice::from_ref(transaction));
        let file = self.scene.file(name, text);
        let ended = self
            .clerk
            .try_to(&["submit", file.to_str().unwrap(), "--json"]);
        let json = ended.json();
        let one = &json["transactions"][0];
        let word = one["reason"]["name"].as_str().or(one["state"].as_str());
        (ended.code, word.unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn takes(&self, name: &str, transaction: &Transaction) {
        assert_eq!(
            self.hand_in(name, transaction),
            (0, "included".to_owned()),
            "{name}"
        );
    }

    #[track_caller]
    fn refuses(&self, name: &str, transaction: &Transaction, reason: &str) {
        assert_eq!(
            self.hand_in(name, transaction),
            (4, reason.to_owned()),
            "{name}"
        );
    }

    /// Opens an election and returns its id.
    fn election(&self, title: &str, more: &str, closes_in: &str) -> ElectionId {
        let file = self.scene.election(title, more);
        self.clerk.opens(&file, closes_in).parse().unwrap()
    }
}

fn register(network: &NetworkId, voter: &VoterId, bits: u8) -> Transaction {
    let cancel = AtomicBool::new(false);
    sign::register_open(network, voter, &[0; 32], bits, &cancel).unwrap()
}

fn voter() -> VoterId {
    VoterId::generate().unwrap()
}

fn choices(indexes: &[u8]) -> Choices {
    Choices::new(indexes.to_vec()).unwrap()
}

/// With a signature that its key made over something else.
fn forged(vote: &Transaction) -> Transaction {
    let mut forged = vote.clone();
    let Payload::Vote { vote } = &mut forged.payload else {
        panic!("a vote is wanted")
    };
    let Credential::Pseudonymous { signature, .. } = &mut vote.credential else {
        panic!("a signed vote is wanted")
    };
    *signature = SigningKey::from_seed(&[7; 32]).sign(Context::SignVote, &[1; 32], b"other");
    forged
}

/// A registration under somebody else's signature, with an honest stamp.
fn forged_registration(network: &NetworkId, bits: u8) -> Transaction {
    let mut forged = register(network, &voter(), bits);
    let Payload::Registration { registration } = &mut forged.payload else {
        panic!("a registration is wanted")
    };
    registration.signature =
        SigningKey::from_seed(&[7; 32]).sign(Context::SignRegistration, &[1; 32], b"other");
    let cancel = AtomicBool::new(false);
    let stamp = find_stamp(
        Context::RegistrationStamp,
        &registration.stamp_payload(),
        bits,
        &cancel,
    );
    registration.admission = Admission::Open {
        stamp: stamp.unwrap(),
    };
    forged
}

#[test]
fn votes_that_break_a_rule_are_refused_with_reasons() {
    let scene = Scene::new();
    let office = Office::open(&scene, quick("club"));
    office.clerk.does(&["register"]);
    let (ada, stranger, late) = (voter(), voter(), voter());
    office.takes("ada", &office.registration(&ada));
    let id = office.id();
    let vote = |who: &VoterId, election, indexes: &[u8]| {
        sign::cast_vote(&id, who, election, choices(indexes))
    };

    let chair = office.election("chair", "", "10m");
    let good = vote(&ada, chair, &[1]);
    office.refuses("signature", &forged(&good), "bad_signature");
    office.refuses("option", &vote(&ada, chair, &[3]), "wrong_ballot");
    office.refuses("two", &vote(&ada, chair, &[0, 1]), "wrong_ballot");
    office.refuses("stranger", &vote(&stranger, chair, &[0]), "not_registered");
    let nowhere = ElectionId::from_bytes([9; 32]);
    office.refuses("nowhere", &vote(&ada, nowhere, &[0]), "unknown_election");
    office.takes("good", &good);
    office.refuses("second", &vote(&ada, chair, &[0]), "already_voted");
    // The very same vote again is no second one.
    office.takes("good again", &good);

    let tomorrow = "opens_at = 2100-01-01T00:00:00Z\ncloses_at = 2100-01-02T00:00:00Z";
    let file = office.scene.election("tomorrow", tomorrow);
    let opened = office.clerk.does(&["open", file.to_str().unwrap()]);
    let later: ElectionId = opened["election"].as_str().unwrap().parse().unwrap();
    office.refuses("early", &vote(&ada, later, &[0]), "too_early");

    let board = office.election("board", "groups = [\"board\"]", "10m");
    office.refuses("group", &vote(&ada, board, &[0]), "not_eligible");

    let short = office.election("short", "", "15s");
    office.clerk.waits_for_result("short");
    office.refuses("late", &vote(&ada, short, &[0]), "too_late");
    office.takes("late voter", &office.registration(&late));
    let late_vote = vote(&late, short, &[0]);
    let (code, reason) = office.hand_in("late roll", &late_vote);
    assert_eq!(code, 4);
    assert!(
        ["too_late", "registered_too_late"].contains(&reason.as_str()),
        "{reason}"
    );
    let result = office.clerk.does(&["results", "chair"]);
    assert_eq!(result["votes"], 1);
}

#[test]
fn registrations_that_break_a_rule_are_refused_with_reasons() {
    let scene = Scene::new();
    let parameters = Parameters {
        open_stamp_bits: Some(12),
        ..quick("club")
    };
    let office = Office::open(&scene, parameters);
    let ada = voter();
    let good = register(&office.id(), &ada, 12);
    office.takes("ada", &good);
    office.takes("ada again", &good);
    let other_stamp = {
        // Another ring proof gives another transaction for the same voter.
        let cancel = AtomicBool::new(false);
        sign::register_open(&office.id(), &ada, &[1; 32], 12, &cancel).unwrap()
    };
    office.refuses("ada twice", &other_stamp, "already_registered");
    let cheap = std::iter::repeat_with(|| register(&office.id(), &voter(), 0))
        .find(|cheap| check_form(&office.network, cheap).is_err())
        .unwrap();
    office.refuses("stamp", &cheap, "bad_stamp");
    office.refuses(
        "signature",
        &forged_registration(&office.id(), 12),
        "bad_signature",
    );
    let invited = sign::register_invited(
        &office.id(),
        &voter(),
        &[0; 32],
        &SigningKey::from_seed(&[3; 32]),
    );
    office.refuses("invitation", &invited, "invitation_unknown");
}

#[test]
fn what_belongs_to_another_network_is_refused() {
    let scene = Scene::new();
    let office = Office::open(&scene, quick("club"));
    let other = scene.network("other", quick("other"));
    let other = genesis::read(&other).unwrap().network_id();
    let foreign = register(&other, &voter(), 4);

    // A file that says so itself never leaves the desk.
    let file = scene.file(
        "foreign",
        transaction_file::write(&other, std::slice::from_ref(&foreign)),
    );
    office
        .clerk
        .try_to(&["submit", file.to_str().unwrap()])
        .expect(6)
        .says("is for network");
    // Signed for another network under this one's name: the signature does not fit.
    let mut disguised = foreign.clone();
    disguised.network = office.id().tag();
    let (code, reason) = office.hand_in("disguised", &disguised);
    assert_eq!(code, 4);
    assert!(
        ["bad_signature", "bad_ring_proof", "bad_stamp"].contains(&reason.as_str()),
        "{reason}"
    );
    let garbled = scene.file("garbled", "votenode transactions 1\nnetwork: 00\n\nzz\n");
    office
        .clerk
        .try_to(&["submit", garbled.to_str().unwrap()])
        .expect(2);
    assert_eq!(office.node.status()["tip"]["roll_size"], 0);
}

#[test]
fn invitations_admit_once_and_only_while_they_are_not_revoked() {
    let scene = Scene::new();
    let key = scene.path("organiser.key");
    let key = key.to_str().unwrap();
    let made = scene
        .votenode("ada", &["key", "new", "organiser", "--out", key, "--json"])
        .expect(0)
        .json();
    let public = made["public_key"].as_str().unwrap().to_owned();
    let genesis = scene.path("club.toml");
    let genesis = genesis.to_str().unwrap();
    scene
        .votenode(
            "ada",
            &[
                "network",
                "new",
                "--name",
                "Club",
                "--organiser",
                &format!("Ada={public}"),
                "--block-time-ms",
                "500",
                "--close-grace-ms",
                "2000",
                "--confirmations",
                "2",
                "--out",
                genesis,
            ],
        )
        .expect(0);
    let genesis = Path::new(genesis);
    let node = Node::on_loopback(&scene, "node", genesis, &[], &[]);
    let address = node.address();
    let person = |name| Voter::on_loopback(&scene, name, genesis, &address);
    let clerk = person("clerk");

    let out = scene.path("invitations");
    scene
        .votenode(
            "ada",
            &[
                "invite",
                "--count",
                "3",
                "--group",
                "members",
                "--network",
                genesis.to_str().unwrap(),
                "--organiser-key",
                key,
                "--out",
                out.to_str().unwrap(),
            ],
        )
        .expect(0);
    let codes = std::fs::read_to_string(out.join("codes.txt")).unwrap();
    let codes: Vec<&str> = codes
        .split_whitespace()
        .filter(|word| word.starts_with("invite1"))
        .collect();
    assert_eq!(codes.len(), 3);
    let pages: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".html"))
        .collect();
    let page = std::fs::read_to_string(out.join(&pages[0])).unwrap();
    assert!(page.contains("<svg"), "there are no QR codes to print");

    // Without an invitation, or before the invitations are in the chain, nobody gets in.
    person("eve")
        .try_to(&["register"])
        .expect(2)
        .says("invitation");
    let early = person("grace").try_to(&["register", "--invitation", codes[0]]);
    early
        .expect(4)
        .shows("no organiser has issued the invitation");
    clerk.does(&["submit", out.join("transactions.txt").to_str().unwrap()]);
    person("grace").does(&["register", "--invitation", codes[0]]);
    let spent = person("mary").try_to(&["register", "--invitation", codes[0]]);
    spent.expect(4).shows("was used already");
    let mistyped = &codes[1][..codes[1].len() - 1];
    person("mary")
        .try_to(&["register", "--invitation", mistyped])
        .expect(2);

    // Taking all back takes back those that nobody used.
    let taken_back = scene.secret("last.txt", codes[2]);
    let revoke = scene.path("revoke.txt");
    let revoke = revoke.to_str().unwrap();
    scene
        .votenode(
            "ada",
            &[
                "invite",
                "revoke",
                "--codes",
                taken_back.to_str().unwrap(),
                "--network",
                genesis.to_str().unwrap(),
                "--organiser-key",
                key,
                "--out",
                revoke,
            ],
        )
        .expect(0);
    clerk.does(&["submit", revoke]);
    let revoked = person("joan").try_to(&["register", "--invitation", codes[2]]);
    revoked.expect(4).shows("was revoked by an organiser");

    // Only the organiser opens elections here.
    let file = scene.election("chair", "groups = [\"members\"]");
    let file = file.to_str().unwrap();
    person("grace")
        .try_to(&["open", file, "--closes-in", "10m"])
        .expect(2)
        .says("organisers open elections");
    person("grace").does(&["open", file, "--closes-in", "10m", "--organiser-key", key]);
    person("grace").does(&["cast", "chair", "Ada"]);
    until("the vote", || {
        let result = person("grace").does(&["results", "chair"]);
        (result["votes"] == 1)
            .then_some(())
            .ok_or_else(|| result.to_string())
    });
}
