#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::crypto::SigningKey;

fn key(seed: u8) -> crate::crypto::PublicKey {
    SigningKey::from_seed(&[seed; 32]).public_key()
}

fn full() -> Parameters {
    Parameters {
        name: "club \"2026\"\\".to_owned(),
        elections_by_organisers: true,
        open_stamp_bits: None,
        organisers: vec![
            Organiser {
                key: key(1),
                permissions: 3,
                name: Text::new("Ada, \u{e9}lue").unwrap(),
            },
            Organiser {
                key: key(2),
                permissions: Organiser::OPEN_ELECTIONS,
                name: Text::new("Bob # not a comment").unwrap(),
            },
        ],
        finalisers: vec![Finaliser {
            key: key(3),
            power: 7,
            name: Text::new("'''").unwrap(),
        }],
        ..Parameters::default()
    }
}

fn refused(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_lan_network_never_changes() {
    let id = "b36ce59c5793a37a6966a6e6b2b0e0dbdd27323a54b1904ab6bd85cec2dd5ed2";
    assert_eq!(lan().network_id().to_string(), id);
    assert!(is_lan(&lan().network_id()));
    assert!(!is_lan(&full().build(0).unwrap().network_id()));
}

#[test]
fn text_and_cbor_are_the_same_genesis() {
    for genesis in [
        lan(),
        full().build(5).unwrap(),
        Parameters::demo().build(6).unwrap(),
    ] {
        let text = to_toml(&genesis);
        assert_eq!(parse(text.as_bytes()).unwrap(), genesis);
        assert_eq!(parse(&wire::encode(&genesis)).unwrap(), genesis);
        assert!(text.contains(&genesis.network_id().to_string()));
    }
}

#[test]
fn a_block_takes_a_twentieth_of_the_block_time() {
    // 2^256 / hashes, by 64 leading bits.
    for (block_time_ms, hashes) in [
        (2_000, 400_000u64),
        (500, 100_000),
        (3_600_000, 720_000_000),
    ] {
        let target = target_for(block_time_ms);
        let top = u64::from_be_bytes(target.as_bytes()[..8].try_into().unwrap());
        assert_eq!(top, u64::MAX / hashes);
    }
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let text = to_toml(&lan());
    assert!(refused(&format!("{text}\nspeed = 3\n")).contains("`speed`"));
    assert!(refused(&text.replace("confirmations = 3", "")).contains("`confirmations`"));
    assert!(refused(&text.replace("open_stamp_bits = 16", "")).contains("open_stamp_bits"));
    assert!(refused(&text.replace("\"stamped\"\n", "\"forbidden\"\n")).contains("open_stamp_bits"));
    assert!(refused(&text.replace("\"anyone\"\n", "\"nobody\"\n")).contains("nobody"));
}

#[test]
fn bad_values_are_refused_where_they_stand() {
    let text = to_toml(&full().build(5).unwrap());
    let second = "may = [\"open_elections\"]";
    assert!(refused(&text.replace(second, "may = []")).starts_with("organisers[1].may"));
    let twice = "may = [\"invite\", \"invite\"]";
    assert!(refused(&text.replace(second, twice)).starts_with("organisers[1].may"));
    let wrong_role = text.replace("finaliserpub1", "organiserpub1");
    assert!(refused(&wrong_role).starts_with("finalisers[0].key"));
    let zero = text.replace("block_time_ms = 2000", "block_time_ms = 0");
    assert!(refused(&zero).starts_with("block_time_ms"));
    let huge = text.replace("timestamp_ms = 5", "timestamp_ms = 9007199254740992");
    assert!(refused(&huge).starts_with("timestamp_ms"));
    let target = text.replace("target = \"", "target = \"0");
    assert!(refused(&target).starts_with("target"));
    assert!(matches!(
        full().build(wire::MAX_UINT + 1),
        Err(GenesisFileError::Field(_))
    ));
}

#[test]
fn garbage_is_refused() {
    assert!(matches!(parse(&[]), Err(GenesisFileError::Toml(_))));
    assert!(matches!(
        parse(&[0xff, 0xfe]),
        Err(GenesisFileError::NotText)
    ));
    assert!(matches!(
        parse(&[0x8e, 0x00]),
        Err(GenesisFileError::Decode(_))
    ));
    let long = vec![b'#'; MAX_FILE_BYTES as usize + 1];
    assert!(matches!(parse(&long), Err(GenesisFileError::TooLong)));
}

#[test]
fn files_are_written_once_and_chosen_by_path_or_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("club.toml");
    let genesis = full().build(5).unwrap();
    write(&path, &genesis).unwrap();
    assert!(matches!(
        write(&path, &lan()),
        Err(GenesisFileError::Io { .. })
    ));
    let chosen = NetworkChoice::read(path.to_str().unwrap()).unwrap();
    assert_eq!(chosen, NetworkChoice::Genesis(Box::new(genesis.clone())));
    let id = genesis.network_id();
    assert_eq!(
        NetworkChoice::read(&id.to_string()).unwrap(),
        NetworkChoice::Id(id)
    );
    assert_eq!(chosen.network_id(), id);
    let missing = NetworkChoice::read("no/such/file").unwrap_err().to_string();
    assert!(missing.contains("no/such/file"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn every_genesis_survives_its_text(
        name in "[^\\p{C}\\p{Zl}\\p{Zp}]{1,16}",
        numbers in (0u64..=wire::MAX_UINT, 100u64..=3_600_000, 0u64..=86_400_000, 1u64..=1_000),
        bits in prop::option::of(0u8..=32),
        powers in prop::collection::vec(1u64..=1_000_000_000, 0..5),
        permissions in prop::collection::vec(1u8..=3, 0..5),
    ) {
        let (timestamp_ms, block_time_ms, close_grace_ms, confirmations) = numbers;
        let name = Text::new(&name);
        prop_assume!(name.is_ok());
        let name: Text<1, 64> = name.unwrap();
        let genesis = Parameters {
            name: name.to_string(),
            block_time_ms,
            close_grace_ms,
            confirmations,
            open_stamp_bits: bits,
            finalisers: powers.iter().zip(1..).map(|(power, seed)| Finaliser { key: key(seed), power: *power, name: name.clone() }).collect(),
            organisers: permissions.iter().zip(1..).map(|(permissions, seed)| Organiser { key: key(seed), permissions: *permissions, name: name.clone() }).collect(),
            ..Parameters::default()
        }
        .build(timestamp_ms)
        .unwrap();
        prop_assert_eq!(parse(to_toml(&genesis).as_bytes()).unwrap(), genesis);
    }
}
