#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::Hash;

const NOW: u64 = 1_800_000_000_000;

fn genesis(open_admission: OpenAdmission) -> Genesis {
    Genesis {
        version: 1,
        name: Text::new("test").unwrap(),
        timestamp_ms: 1,
        block_time_ms: 500,
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 1_000,
        confirmations: 2,
        max_block_bytes: 1 << 20,
        max_block_transactions: 1_000,
        open_admission,
        vote_stamp_bits: 0,
        elections_by: 0,
        organisers: List::new(vec![]).unwrap(),
        finalisers: List::new(vec![]).unwrap(),
    }
}

fn with(lines: &str, timing: Timing) -> Result<Terms, ElectionFileError> {
    let file =
        format!("title = \"T\"\nquestion = \"Q?\"\noptions = [\"A\", \"B\", \"C\"]\n{lines}");
    ElectionFile::parse(&file)?.terms(&genesis(OpenAdmission::Stamped { bits: 8 }), timing, NOW)
}

fn in_a_minute() -> Timing {
    Timing {
        opens_in: None,
        closes_in: Some(Duration::from_secs(60)),
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let terms = with("", in_a_minute()).unwrap();
    assert_eq!((terms.opens_at_ms, terms.closes_at_ms), (NOW, NOW + 60_000));
    assert_eq!(terms.roll_closes_at_ms, terms.closes_at_ms);
    assert_eq!((terms.method, terms.seats, terms.privacy), (0, 1, 0));
    assert_eq!(terms.groups[0].as_str(), "open");
}

#[test]
fn times_are_read_in_both_forms() {
    let terms = with(
        "opens_at = 2027-03-01T18:00:00+01:00\ncloses_at = \"2027-03-01T18:00:00Z\"\nroll_closes_at = 2027-03-01T17:30:00Z",
        Timing::default(),
    )
    .unwrap();
    assert_eq!(terms.closes_at_ms - terms.opens_at_ms, 3_600_000);
    assert_eq!(terms.closes_at_ms - terms.roll_closes_at_ms, 1_800_000);
}

#[test]
fn every_mistake_is_named_by_its_key() {
    for (lines, expected) in [
        ("colour = 1", "colour"),
        ("seats = 3", "seats:"),
        ("seats = 0", "seats:"),
        ("seats = -1", "seats"),
        ("method = \"irv\"", "'irv' is not supported by this release"),
        ("method = \"dice\"", "there is no method 'dice'"),
        (
            "privacy = \"anonymous\"",
            "privacy: 'anonymous' is not supported",
        ),
        ("secrecy = \"sealed\"", "secrecy: 'sealed' is not supported"),
        ("privacy = \"x\"", "privacy:"),
        ("secrecy = \"x\"", "secrecy:"),
        ("groups = []", "groups:"),
        ("groups = [\"a\", \"a\"]", "groups:"),
        ("groups = [\"\"]", "groups[1]:"),
        ("opens_at = 5", "opens_at:"),
        ("opens_at = 2027-03-01", "opens_at:"),
        (
            "opens_at = 2099-03-01T00:00:00Z",
            "closes_at: has to be after",
        ),
    ] {
        let error = with(lines, in_a_minute()).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    for (lines, expected) in [
        ("", "--closes-in"),
        (
            "closes_at = 2020-01-01T00:00:00Z",
            "closes_at: has to be after",
        ),
        (
            "opens_at = 2019-01-01T00:00:00Z\ncloses_at = 2020-01-01T00:00:00Z",
            "closes_at: has passed",
        ),
        (
            "closes_at = 2098-01-01T00:00:00Z\nroll_closes_at = 2099-01-01T00:00:00Z",
            "roll_closes_at:",
        ),
    ] {
        let error = with(lines, Timing::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn options_differ_and_are_text() {
    for (options, expected) in [
        ("[\"A\"]", "options:"),
        ("[\"A\", \"A\"]", "'A' stands there twice"),
        ("[\"A\", \" A \"]", "'A' stands there twice"),
        ("[\"A\", \"\"]", "options[2]:"),
        ("[\"A\", \"B\\u0000\"]", "options[2]:"),
        ("[1, 2]", "options"),
    ] {
        let text = format!("title = \"T\"\nquestion = \"Q?\"\noptions = {options}");
        let error = ElectionFile::parse(&text)
            .and_then(|file| {
                file.terms(
                    &genesis(OpenAdmission::Stamped { bits: 8 }),
                    in_a_minute(),
                    NOW,
                )
            })
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{options}: {error}");
    }
}

#[test]
fn where_everybody_is_invited_groups_must_be_named() {
    let file =
        ElectionFile::parse("title = \"T\"\nquestion = \"Q?\"\noptions = [\"A\", \"B\"]").unwrap();
    let error = file
        .terms(&genesis(OpenAdmission::Forbidden {}), in_a_minute(), NOW)
        .unwrap_err();
    assert!(error.to_string().starts_with("groups: is missing"));
}

#[test]
fn the_example_that_comes_with_the_program_is_an_election() {
    let example = include_str!("../../../config/election-example.toml");
    let file = ElectionFile::parse(example).unwrap();
    let genesis = genesis(OpenAdmission::Stamped { bits: 8 });
    let terms = file.terms(&genesis, in_a_minute(), NOW).unwrap();
    assert_eq!(terms.closes_at_ms, NOW + 60_000);
}
