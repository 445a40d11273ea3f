#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::chain::sign;
use crate::client::fake;
use crate::crypto::SigningKey;
use crate::wire::List;

fn home() -> (tempfile::TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::new(Some(directory.path().join("deep").join("voter"))).unwrap();
    (directory, home)
}

fn read(home: &Home, passphrase: Option<&str>) -> Result<VoterId, HomeError> {
    home.read_voter(|| Ok(passphrase.map(|text| Zeroizing::new(text.to_owned()))))
}

#[test]
fn the_voter_file_is_private_and_never_overwritten() {
    let (_directory, home) = home();
    assert!(!home.has_voter());
    let id = VoterId::generate().unwrap();
    home.write_voter(&id, None).unwrap();
    let mode = fs::metadata(home.voter_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(read(&home, None).unwrap().to_text(), id.to_text());
    let other = VoterId::generate().unwrap();
    assert!(matches!(
        home.write_voter(&other, None),
        Err(HomeError::Secret(SecretFileError::Exists { .. }))
    ));
    assert_eq!(read(&home, None).unwrap().to_text(), id.to_text());
}

#[test]
fn a_passphrase_is_asked_for_only_where_there_is_one() {
    let (_directory, home) = home();
    let id = VoterId::generate().unwrap();
    home.write_voter(&id, Some("open sesame")).unwrap();
    assert!(home.is_sealed().unwrap());
    assert!(read(&home, None).is_err());
    assert!(read(&home, Some("wrong")).is_err());
    assert_eq!(
        read(&home, Some("open sesame")).unwrap().to_text(),
        id.to_text()
    );
}

#[test]
fn another_code_in_the_voter_file_is_named() {
    let (_directory, home) = home();
    fs::create_dir_all(home.voter_file().parent().unwrap()).unwrap();
    let invitation = crate::crypto::Invitation::generate().unwrap();
    secret_file::write(
        home.voter_file(),
        &invitation.to_text(),
        Protection::ModeOnly,
        Existing::Keep,
    )
    .unwrap();
    let error = read(&home, None).unwrap_err().to_string();
    assert!(error.contains("this is an invitation"), "{error}");
}

#[test]
fn what_is_kept_is_found_again() {
    let (_directory, home) = home();
    assert_eq!(home.sent().unwrap().len(), 0);
    assert_eq!(home.network().unwrap(), None);
    let network = fake::network();
    let addr: Multiaddr = "/ip4/192.0.2.7/tcp/7117".parse().unwrap();
    home.remember(network.genesis(), std::slice::from_ref(&addr))
        .unwrap();
    assert_eq!(home.network().unwrap().as_ref(), Some(network.genesis()));
    assert_eq!(home.bootstrap().unwrap(), [addr]);

    let keys = List::new(vec![SigningKey::from_seed(&[2; 32]).public_key()]).unwrap();
    let organiser = SigningKey::from_seed(&[1; 32]);
    let transaction = sign::revoke_invitations(&network.id(), &organiser, keys);
    let id = transaction.id();
    let sent = Sent {
        network: network.id(),
        at_ms: 5,
        transaction,
    };
    home.keep_sent(&sent).unwrap();
    home.keep_sent(&sent).unwrap();
    assert_eq!(home.sent().unwrap(), [sent]);
    home.forget_sent(&id).unwrap();
    home.forget_sent(&id).unwrap();
    assert_eq!(home.sent().unwrap(), []);
}

#[test]
fn damaged_files_are_named() {
    let (_directory, home) = home();
    home.remember(fake::network().genesis(), &[]).unwrap();
    fs::write(home.directory.join("network"), b"garbage").unwrap();
    let error = home.network().unwrap_err().to_string();
    assert!(error.contains("network is damaged"), "{error}");
    fs::write(home.directory.join("bootstrap"), b"not an address\n").unwrap();
    assert!(matches!(home.bootstrap(), Err(HomeError::Address { .. })));
}

#[test]
fn a_file_that_somebody_names_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vote.txt");
    write_new_file(&path, b"one").unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = write_new_file(&path, b"two").unwrap_err();
    assert!(matches!(&again, HomeError::Exists { path: named } if *named == path));
    assert!(again.to_string().contains("name another file"), "{again}");
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_voter_id_is_not_taken_for_a_file() {
    let id = VoterId::generate().unwrap();
    let given = Path::new("/tmp").join(id.to_text().as_str());
    let error = Home::new(Some(given)).unwrap_err();
    assert!(matches!(error, HomeError::NotAFile));
    assert!(error.to_string().contains("ballot voter restore"));
}
