//! The table in `docs/attacks.md` names every test here, and no other; and the files that it names exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn table() -> Vec<[String; 3]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/attacks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let cells: [&str; 3] = cells.try_into().unwrap();
        cells.map(str::to_owned)
    })
    .collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_table_names_every_attack_and_nothing_else() {
    let listed = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let here: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| !name.starts_with("table::") && !name.starts_with("harness::"))
        .collect();
    let table = table();
    let named: Vec<&str> = table.iter().flat_map(|row| quoted(&row[2])).collect();
    let unique: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(unique.len(), named.len(), "a test is named twice");
    assert_eq!(unique, here);
}

#[test]
fn every_defence_is_where_the_table_says() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for [attack, defence, _] in table() {
        let mut places = quoted(&defence)
            .filter(|place| place.contains('/'))
            .peekable();
        assert!(places.peek().is_some(), "{attack}: no place is named");
        for place in places {
            assert!(
                src.join(place).exists(),
                "{attack}: there is no src/{place}"
            );
        }
    }
}
