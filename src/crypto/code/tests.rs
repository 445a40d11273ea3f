#![allow(clippy::unwrap_used)]

use super::*;
use bech32::Bech32;
use proptest::prelude::*;

const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

fn bech32m(prefix: &str, bytes: &[u8]) -> String {
    bech32::encode::<Bech32m>(Hrp::parse(prefix).unwrap(), bytes).unwrap()
}

#[test]
fn every_kind_is_its_own_text_in_either_case() {
    for kind in Kind::ALL {
        let text = encode(kind, &[0xa5; 32]);
        assert!(text.starts_with(&format!("{}1", kind.prefix())));
        assert!(text.len() <= MAX_LEN);
        for form in [
            text.to_string(),
            text.to_uppercase(),
            format!(" \t{}\r\n", text.as_str()),
        ] {
            let (got, bytes) = decode(&form).unwrap();
            assert_eq!((got, *bytes), (kind, [0xa5; 32]));
        }
    }
}

#[test]
fn the_prefixes_are_distinct_and_frozen() {
    let prefixes: Vec<_> = Kind::ALL.iter().map(|kind| kind.prefix()).collect();
    assert_eq!(
        prefixes.join(" "),
        "voter invite organisersecret finalisersecret trusteesecret minersecret organiserpub finaliserpub \
         trusteepub minerpub"
    );
    let text = encode(Kind::VoterId, &[0; 32]);
    assert_eq!(text.as_str(), bech32m("voter", &[0; 32]));
}

#[test]
fn every_single_typo_is_noticed() {
    let text = encode(Kind::VoterId, &[0x3c; 32]).to_string();
    for place in "voter1".len()..text.len() {
        for letter in ALPHABET {
            let mut typo = text.clone().into_bytes();
            if typo[place] == *letter {
                continue;
            }
            typo[place] = *letter;
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(decode(&typo).unwrap_err(), CodeError::Checksum);
        }
        let mut missing = text.clone();
        missing.remove(place);
        assert!(decode(&missing).is_err());
        let mut swapped = text.clone().into_bytes();
        swapped.swap(place, place - 1);
        if swapped != text.as_bytes() {
            assert!(decode(&String::from_utf8(swapped).unwrap()).is_err());
        }
    }
}

#[test]
fn another_kind_is_refused_by_name() {
    let finaliser = RoleKey::generate(Role::Finaliser).unwrap();
    let error = RoleKey::parse(Role::Organiser, &finaliser.to_text()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a finaliser's secret key; an organiser's secret key is wanted"
    );
    let public = finaliser.public().to_string();
    let error = public.parse::<super::super::VoterId>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a finaliser's public key; a voter_id is wanted"
    );
    for wanted in Kind::ALL {
        for got in Kind::ALL {
            let result = decode_as(wanted, &encode(got, &[1; 32]));
            assert_eq!(result.is_ok(), wanted == got);
        }
    }
}

#[test]
fn only_one_form_is_a_code() {
    let text = encode(Kind::VoterId, &[9; 32]).to_string();
    let mixed = format!("V{}", &text[1..]);
    assert_eq!(decode(&mixed).unwrap_err(), CodeError::NotACode);
    let old = bech32::encode::<Bech32>(Hrp::parse("voter").unwrap(), &[9; 32]).unwrap();
    assert_eq!(decode(&old).unwrap_err(), CodeError::Checksum);
    for len in [0, 1, 31, 33, 40] {
        let other = bech32m("voter", &vec![9; len]);
        assert_eq!(decode(&other).unwrap_err(), CodeError::Length);
    }
    assert_eq!(
        decode(&bech32m("vote", &[9; 32])).unwrap_err(),
        CodeError::UnknownPrefix("vote".to_owned())
    );
    for garbage in [
        "",
        "1",
        "voter",
        "voter1",
        "not a code",
        "é1",
        &"q".repeat(10_000),
    ] {
        assert!(decode(garbage).is_err());
    }
}

#[test]
fn spare_bits_must_be_zero() {
    let prefix = Hrp::parse("voter").unwrap();
    let mut letters: Vec<_> = [9u8; 32].iter().copied().bytes_to_fes().collect();
    let last = letters.last_mut().unwrap();
    *last = bech32::Fe32::try_from(last.to_u8() | 1).unwrap();
    let text: String = letters
        .into_iter()
        .with_checksum::<Bech32m>(&prefix)
        .chars()
        .collect();
    assert!(CheckedHrpstring::new::<Bech32m>(&text).is_ok());
    assert_eq!(decode(&text).unwrap_err(), CodeError::Length);
}

#[test]
fn public_keys_that_anyone_could_sign_for_are_refused() {
    for role in Role::ALL {
        let identity = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        let text = encode(Kind::Public(role), &identity);
        assert_eq!(
            RolePublicKey::parse(role, &text).unwrap_err(),
            CodeError::Key(KeyError::SmallOrder)
        );
        let key = RoleKey::generate(role).unwrap();
        let again = RolePublicKey::parse(role, &key.public().to_string()).unwrap();
        assert_eq!(again, key.public());
        let secret = RoleKey::parse(role, &key.to_text()).unwrap();
        assert_eq!(secret.public(), key.public());
    }
}

#[test]
fn an_invitation_is_its_key_and_shows_no_secret() {
    let invitation = Invitation::generate().unwrap();
    let text = invitation.to_text();
    let again: Invitation = text.parse().unwrap();
    assert_eq!(again.public_key(), invitation.public_key());
    let shown = format!("{invitation:?}");
    let seed: String = invitation
        .signing_key()
        .seed()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert!(!shown.contains(&seed) && !shown.contains(text.as_str()));
}

proptest! {
    #[test]
    fn up_to_four_typos_are_noticed(
        bytes in any::<[u8; 32]>(),
        typos in prop::collection::btree_map(0usize..58, 1usize..32, 1..5),
    ) {
        let mut text = encode(Kind::Invitation, &bytes).to_string().into_bytes();
        let start = text.len() - 58;
        for (place, shift) in typos {
            let letter = &mut text[start + place];
            let index = ALPHABET.iter().position(|l| l == letter).unwrap();
            *letter = ALPHABET[(index + shift) % 32];
        }
        prop_assert_eq!(decode(std::str::from_utf8(&text).unwrap()).unwrap_err(), CodeError::Checksum);
    }

    #[test]
    fn no_text_panics(text in ".{0,120}") {
        let _ = decode(&text);
    }
}

#[test]
fn secret_codes_are_cut_out_of_messages_and_public_ones_are_not() {
    let key = RoleKey::generate(Role::Organiser).unwrap();
    let invitation = Invitation::generate().unwrap();
    let (secret, code) = (key.to_text(), invitation.to_text());
    let text = format!(
        "--organiser 'Ada={}:invite', {}; {} voter1 – invite1…",
        secret.as_str(),
        code.to_uppercase(),
        key.public()
    );
    let shown = redact(&text);
    let wanted = format!(
        "--organiser 'Ada=organisersecret1…:invite', INVITE1…; {} voter1 – invite1…",
        key.public()
    );
    assert_eq!(shown, wanted);
    assert!(matches!(redact(&wanted), Cow::Borrowed(_)));
}

#[test]
fn an_invitation_is_read_as_slips_show_it() {
    let code = Invitation::generate().unwrap().to_text();
    let grouped: Vec<String> = code
        .as_bytes()
        .chunks(5)
        .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
        .collect();
    let read: Invitation = grouped.join(" ").parse().unwrap();
    assert_eq!(*read.to_text(), *code);
}
