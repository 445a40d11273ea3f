#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::{VoterId, code};
use std::os::unix::fs::symlink;

const SECRET: &str = "a secret that is not a code";

/// Costs almost nothing, for tests alone.
const CHEAP: Cost = Cost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

fn under(passphrase: &str) -> Protection<'_> {
    Protection::Passphrase {
        passphrase,
        cost: CHEAP,
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A private file with the given text.
fn file(directory: &Path, text: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join("file");
    fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
    path
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn format_error(path: &Path) -> FormatError {
    match read(path).unwrap_err() {
        SecretFileError::Format { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_written_is_read_and_private() {
    let directory = tempfile::tempdir().unwrap();
    for (name, protection, passphrase) in [
        ("plain", Protection::ModeOnly, None),
        ("sealed", under("open sesame"), Some("open sesame")),
    ] {
        let path = directory.path().join(name);
        write(&path, SECRET, protection, Existing::Keep).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        let file = read(&path).unwrap();
        assert_eq!(file.is_sealed(), passphrase.is_some());
        assert!(!format!("{file:?}").contains(SECRET));
        assert_eq!(file.open(passphrase).unwrap().as_str(), SECRET);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.contains(SECRET), passphrase.is_none());
    }
    assert_eq!(names(directory.path()), ["plain", "sealed"]);
}

#[test]
fn the_text_is_the_documented_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, SECRET, Protection::ModeOnly, Existing::Keep).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("votenode secret file 1\nprotection: none\n\n{SECRET}\n")
    );
    write(&path, SECRET, under("x"), Existing::Replace).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "votenode secret file 1");
    assert_eq!(lines[1], "protection: argon2id chacha20poly1305");
    assert_eq!(lines[2], "argon2id: 8 KiB, 1 passes, 1 lanes");
    assert_eq!(lines[3].len(), "salt: ".len() + 32);
    assert_eq!(lines[4].len(), "nonce: ".len() + 24);
    assert_eq!(lines[5], "");
    let digits: usize = lines[6..].iter().map(|line| line.len()).sum();
    assert_eq!(digits, 2 * (SECRET.len() + 16));
}

#[test]
fn an_existing_file_is_replaced_only_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, "first", Protection::ModeOnly, Existing::Keep).unwrap();
    let error = write(&path, "second", Protection::ModeOnly, Existing::Keep).unwrap_err();
    assert!(matches!(error, SecretFileError::Exists { .. }));
    assert_eq!(read(&path).unwrap().open(None).unwrap().as_str(), "first");

    // Whoever loses a race finds out at the link.
    let error = write_private(&path, 1, b"second", Existing::Keep).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(names(directory.path()), ["file"]);

    set_mode(&path, 0o644);
    write(&path, "second", Protection::ModeOnly, Existing::Replace).unwrap();
    assert_eq!(read(&path).unwrap().open(None).unwrap().as_str(), "second");
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn a_failed_write_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("place");
    fs::create_dir(&path).unwrap();
    assert!(write(&path, SECRET, Protection::ModeOnly, Existing::Replace).is_err());
    let nowhere = directory.path().join("missing/file");
    let error = write(&nowhere, SECRET, Protection::ModeOnly, Existing::Keep).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "));
    assert_eq!(names(directory.path()), ["place"]);
}

#[test]
fn files_that_others_can_reach_are_refused_with_the_cure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, SECRET, Protection::ModeOnly, Existing::Keep).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777] {
        set_mode(&path, mode);
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("chmod 600 {}", path.display())));
        assert!(message.contains(&format!("mode {mode:04o}")));
    }
    for mode in [0o600, 0o400] {
        set_mode(&path, mode);
        assert_eq!(read(&path).unwrap().open(None).unwrap().as_str(), SECRET);
    }
}

#[test]
fn links_are_followed_and_what_they_lead_to_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let (target, link) = (
        directory.path().join("target"),
        directory.path().join("link"),
    );
    symlink(&target, &link).unwrap();
    let error = write(&link, SECRET, Protection::ModeOnly, Existing::Keep).unwrap_err();
    assert!(matches!(error, SecretFileError::Exists { .. }));
    assert!(!target.exists());

    write(&target, SECRET, Protection::ModeOnly, Existing::Keep).unwrap();
    assert_eq!(read(&link).unwrap().open(None).unwrap().as_str(), SECRET);
    set_mode(&target, 0o644);
    assert!(matches!(
        read(&link).unwrap_err(),
        SecretFileError::NotPrivate { .. }
    ));
}

#[test]
fn what_is_no_secret_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert!(matches!(
        read(directory).unwrap_err(),
        SecretFileError::NotAFile { .. }
    ));
    let missing = read(&directory.join("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read "));

    let plain = "votenode secret file 1\nprotection: none\n\n";
    for (text, expected) in [
        ("", FormatError::NotASecretFile),
        ("voter1 or so", FormatError::NotASecretFile),
        ("votenode secret file 1", FormatError::NotASecretFile),
        (
            "votenode secret file 2\n",
            FormatError::Version("2".to_owned()),
        ),
        ("votenode secret file 1\n", FormatError::Header),
        (
            "votenode secret file 1\nprotection: rot13\n\nsecret\n",
            FormatError::Header,
        ),
        (plain, FormatError::Body),
        (&format!("{plain}\n"), FormatError::Body),
    ] {
        assert_eq!(format_error(&file(directory, text)), expected, "{text:?}");
    }
    let binary = file(directory, [0xff; 100]);
    assert_eq!(format_error(&binary), FormatError::NotASecretFile);
    File::options()
        .write(true)
        .open(&binary)
        .unwrap()
        .set_len(MAX_FILE_BYTES + 1)
        .unwrap();
    assert_eq!(format_error(&binary), FormatError::TooLong);
}

#[test]
fn secrets_have_a_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let longest = "x".repeat(MAX_SECRET_BYTES);
    for protection in [Protection::ModeOnly, under("p")] {
        for bad in ["", &format!("{longest}x")] {
            let error = write(&path, bad, protection, Existing::Keep).unwrap_err();
            assert!(matches!(error, SecretFileError::SecretSize(_)));
        }
        write(&path, &longest, protection, Existing::Replace).unwrap();
        let back = read(&path).unwrap().open(Some("p")).unwrap();
        assert_eq!(*back, longest);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_code_alone_is_a_secret_file() {
    let directory = tempfile::tempdir().unwrap();
    let id = VoterId::generate().unwrap();
    let path = file(directory.path(), format!("{}\n", id.to_text().as_str()));
    let secret = read(&path).unwrap().open(None).unwrap();
    assert_eq!(secret, id.to_text());
    assert!(code::decode(&secret).is_ok());
}

#[test]
fn only_the_passphrase_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, SECRET, under("Caf\u{e9}"), Existing::Keep).unwrap();
    let open = |passphrase| read(&path).unwrap().open(passphrase);
    let error = |passphrase| match open(passphrase).unwrap_err() {
        SecretFileError::Passphrase(error) => error,
        other => panic!("{other}"),
    };
    // The same word from a keyboard that composes letters.
    assert_eq!(open(Some("Cafe\u{301}")).unwrap().as_str(), SECRET);
    assert_eq!(error(Some("Cafe")), PassphraseError::Wrong(path.clone()));
    assert_eq!(error(Some("")), PassphraseError::Empty);
    assert_eq!(error(None), PassphraseError::Needed(path.clone()));
    let empty = write(&path, SECRET, under(""), Existing::Replace).unwrap_err();
    assert_eq!(empty.to_string(), "the passphrase is empty");
}

#[test]
fn the_same_secret_never_looks_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let texts: Vec<_> = ["one", "two"]
        .map(|name| {
            let path = directory.path().join(name);
            write(&path, SECRET, under("p"), Existing::Keep).unwrap();
            fs::read_to_string(path).unwrap()
        })
        .into();
    for line in [3, 4, 6] {
        assert_ne!(texts[0].lines().nth(line), texts[1].lines().nth(line));
    }
}

#[test]
fn no_change_of_a_sealed_file_goes_unnoticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, SECRET, under("p"), Existing::Keep).unwrap();
    let good = fs::read(&path).unwrap();
    let opens = |bytes: &[u8]| {
        let path = file(directory.path(), bytes);
        read(&path).is_ok_and(|file| file.open(Some("p")).is_ok())
    };
    assert!(opens(&good));
    for place in 0..good.len() {
        for mask in [1, 2, 0x20] {
            let mut bad = good.clone();
            bad[place] ^= mask;
            assert!(!opens(&bad), "byte {place} ^ {mask}");
        }
        assert!(!opens(&good[..place]));
    }
    assert!(!opens(&[good.as_slice(), b"00\n"].concat()));
    let text = String::from_utf8(good).unwrap();
    assert!(!opens(text.replacen("salt", "note: 1\nsalt", 1).as_bytes()));
}

#[test]
fn a_file_cannot_ask_for_more_than_is_admitted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, SECRET, under("p"), Existing::Keep).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for (memory_kib, passes, lanes) in [
        (4_000_000_000, 1, 1),
        (Cost::MAX.memory_kib + 1, 1, 1),
        (8, Cost::MAX.passes + 1, 1),
        (64, 1, Cost::MAX.lanes + 1),
        (0, 1, 1),
        (8, 0, 1),
        (8, 1, 0),
    ] {
        let line = format!("{memory_kib} KiB, {passes} passes, {lanes} lanes");
        let path = file(
            directory.path(),
            good.replace("8 KiB, 1 passes, 1 lanes", &line),
        );
        let error = read(&path).unwrap().open(Some("p")).unwrap_err();
        let expected = Cost {
            memory_kib,
            passes,
            lanes,
        };
        assert!(
            matches!(error, SecretFileError::Passphrase(PassphraseError::Cost(cost)) if cost == expected)
        );
    }
    let path = file(directory.path(), good.replace("8 KiB", "99999999999 KiB"));
    assert_eq!(format_error(&path), FormatError::Header);
}

#[test]
fn the_default_cost_is_admitted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let protection = Protection::Passphrase {
        passphrase: "p",
        cost: Cost::DEFAULT,
    };
    write(&path, SECRET, protection, Existing::Keep).unwrap();
    assert_eq!(
        read(&path).unwrap().open(Some("p")).unwrap().as_str(),
        SECRET
    );
}
