#![allow(clippy::unwrap_used)]
use super::words::indispensable;
use super::*;
use crate::chain::genesis::Finaliser;
use crate::chain::transaction::Payload;
use crate::client::proof::follow_changes;
use crate::crypto::{Kind, RoleKey, SigningKey, code};
use crate::genesis;
use crate::wire::Text;

struct Desk {
    dir: tempfile::TempDir,
    genesis: PathBuf,
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn role_key(seed: u8) -> RoleKey {
    let text = code::encode(Kind::Secret(Role::Finaliser), &[seed; 32]);
    RoleKey::parse(Role::Finaliser, &text).unwrap()
}

fn of(seed: u8, power: u64) -> Finaliser {
    Finaliser {
        key: SigningKey::from_seed(&[seed; 32]).public_key(),
        power,
        name: Text::new(&format!("node {seed}")).unwrap(),
    }
}

/// A network with finalisers 1 to 4, and their keys in files.
fn desk() -> Desk {
    let dir = tempfile::tempdir().unwrap();
    let mut made = genesis::lan();
    made.finalisers = List::new((1..=4).map(|seed| of(seed, 1)).collect()).unwrap();
    let genesis = dir.path().join("club.toml");
    genesis::write(&genesis, &made).unwrap();
    for seed in 1..=6 {
        let path = dir.path().join(format!("{seed}.key"));
        key::write_secret(&path, &role_key(seed).to_text(), false).unwrap();
    }
    Desk { dir, genesis }
}

fn named(seed: u8) -> String {
    format!("node {seed}={}", role_key(seed).public())
}

#[test]
fn a_change_goes_from_hand_to_hand_and_becomes_a_transaction() {
    let desk = desk();
    let change = desk.path("change.txt");
    let set: Vec<String> = (2..=5).map(named).collect();
    propose(&desk.genesis, 1, &set, &change, false).unwrap();
    let copy = desk.path("copy.txt");
    fs::copy(&change, &copy).unwrap();
    let approve = |file: &Path, seed: u8| {
        let key = desk.path(&format!("{seed}.key"));
        super::approve(file, &desk.genesis, &key, None, false)
    };
    approve(&change, 1).unwrap();
    let again = approve(&change, 1).unwrap_err();
    assert!(again.message.contains("approved already"), "{again}");
    let stranger = approve(&change, 5).unwrap_err();
    assert!(stranger.message.contains("not in set 0"), "{stranger}");
    approve(&copy, 3).unwrap();
    let out = desk.path("transactions.txt");
    let files = [change.clone(), copy.clone()];
    let few = finish(&files, &desk.genesis, None, &out, false).unwrap_err();
    assert!(few.message.contains("2 of 4"), "{few}");
    assert!(!out.exists());
    approve(&copy, 1).unwrap();
    approve(&copy, 4).unwrap();
    finish(&files, &desk.genesis, None, &out, false).unwrap();

    let text = fs::read_to_string(&out).unwrap();
    let (id, transactions) = transaction_file::parse(&text).unwrap();
    let network = Network::new(network::read(&desk.genesis).unwrap()).unwrap();
    assert_eq!(id, network.id());
    let Payload::FinaliserChange { change } = &transactions[0].payload else {
        panic!("{transactions:?}");
    };
    let sets = follow_changes(&network, std::slice::from_ref(change)).unwrap();
    assert_eq!(
        sets[1].members(),
        (2..=5).map(|seed| of(seed, 1)).collect::<Vec<_>>()
    );
    let over = finish(&files, &desk.genesis, None, &out, false).unwrap_err();
    assert!(over.message.contains("not overwritten"), "{over}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let desk = desk();
    let (one, other) = (desk.path("one.txt"), desk.path("other.txt"));
    propose(&desk.genesis, 1, &[named(2)], &one, false).unwrap();
    propose(&desk.genesis, 1, &[named(3)], &other, false).unwrap();
    let out = desk.path("out.txt");
    let files = [one.clone(), other.clone()];
    let differ = finish(&files, &desk.genesis, None, &out, false).unwrap_err();
    assert!(differ.message.contains("different changes"), "{differ}");
    let nobody = finish(&files[..1], &desk.genesis, None, &out, false).unwrap_err();
    assert!(nobody.message.contains("0 of 4"), "{nobody}");
    let key = desk.path("1.key");
    approve(&one, &desk.genesis, &key, None, false).unwrap();
    let text = fs::read_to_string(&one)
        .unwrap()
        .replace(" 1 node 2", " 9 node 2");
    fs::write(&one, text).unwrap();
    let forged = finish(&files[..1], &desk.genesis, None, &out, false).unwrap_err();
    assert!(
        forged.message.contains("not signed for this change"),
        "{forged}"
    );
    let mut elsewhere = network::read(&desk.genesis).unwrap();
    elsewhere.timestamp_ms += 1;
    let genesis = desk.path("elsewhere.toml");
    genesis::write(&genesis, &elsewhere).unwrap();
    let wrong = approve(&other, &genesis, &key, None, false).unwrap_err();
    assert_eq!(wrong.exit, Exit::WrongNetwork);
    elsewhere.finalisers = List::new(vec![]).unwrap();
    let genesis = desk.path("none.toml");
    genesis::write(&genesis, &elsewhere).unwrap();
    let none = propose(&genesis, 1, &[named(2)], &out, false).unwrap_err();
    assert!(none.message.contains("nobody finalises"), "{none}");
}

#[test]
fn it_is_said_how_many_may_fail() {
    let equal = |count: u8| (1..=count).map(|seed| of(seed, 1)).collect::<Vec<_>>();
    assert!(
        describe(&equal(4)).contains("3 of them must be up")
            && describe(&equal(4)).contains("up to 1 may fail")
    );
    assert!(describe(&equal(7)).contains("5 of them"));
    for (finalisers, names) in [
        (equal(1), 1),
        (equal(3), 3),
        (equal(4), 0),
        (vec![of(1, 2), of(2, 1), of(3, 1), of(4, 1)], 1),
    ] {
        assert_eq!(indispensable(&finalisers).len(), names);
        assert_eq!(warning(&finalisers).is_some(), names > 0);
    }
    assert!(describe(&[of(1, 2), of(2, 2), of(3, 3)]).contains("with 7 votes; those with 5"));
}
