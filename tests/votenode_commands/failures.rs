//! What `--json` prints when a command fails: one object, as `ballot` does.

use std::fs;

use serde_json::Value;

use super::{Home, exported_chain};

/// Runs a command that has to end with this code, and gives the one object that it printed.
fn fails(home: &Home, code: i32, line: &str) -> Value {
    let output = home.run(line);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 1, "{line}: {printed}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value["ok"], false, "{line}: {printed}");
    assert_eq!(value["exit_code"], code, "{line}: {printed}");
    let message = value["error"]["message"].as_str().unwrap();
    assert!(said.contains(message), "{line}: {said}");
    value
}

#[test]
fn every_command_with_json_prints_an_object_when_it_fails() {
    let home = Home::new();
    home.succeeds("network new --name x --out x.toml");
    home.succeeds("key new organiser --out ada.key");
    fs::write(home.path("garbage"), "garbage").unwrap();
    let finaliser = "finaliserpub1x";
    let lines = [
        (9, "status --data-dir none --json".to_owned()),
        (9, "peers --data-dir none --json".to_owned()),
        (9, "ban x --data-dir none --json".to_owned()),
        (9, "release-pin --data-dir none --json".to_owned()),
        (2, "network new --name x --out x.toml --json".to_owned()),
        (1, "network show none.toml --json".to_owned()),
        (2, "network show garbage --json".to_owned()),
        (2, "key new organiser --out ada.key --json".to_owned()),
        (1, "key show none.key --json".to_owned()),
        (
            2,
            "invite --count 1 --group g --network x.toml --organiser-key ada.key --out i --json"
                .to_owned(),
        ),
        (
            2,
            "invite revoke --network x.toml --organiser-key ada.key --codes garbage --out r --json"
                .to_owned(),
        ),
        (1, "audit none --json".to_owned()),
        (1, "import none --data-dir new --json".to_owned()),
        (2, "import garbage --data-dir new --json".to_owned()),
        (2, "export x.toml --data-dir none --json".to_owned()),
        (2, "demo --nodes 2 --finalisers 3 --json".to_owned()),
        (
            2,
            format!(
                "finaliser propose --network x.toml --set 1 --finaliser A={finaliser} --out c --json"
            ),
        ),
        (
            2,
            "finaliser approve garbage --network x.toml --finaliser-key ada.key --json".to_owned(),
        ),
        (
            2,
            "finaliser finish garbage --network x.toml --out t --json".to_owned(),
        ),
    ];
    for (code, line) in &lines {
        fails(&home, *code, line);
        // Without it there is nothing on stdout.
        let plain = home.run(&line.replace(" --json", ""));
        assert_eq!(plain.status.code(), Some(*code), "{line}");
        assert!(plain.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_failed_audit_names_the_rule_and_secrets_are_left_out() {
    let home = Home::new();
    let mut chain = fs::read(exported_chain()).unwrap();
    let last = chain.len() - 1;
    chain[last] ^= 1;
    fs::write(home.path("broken.votechain"), chain).unwrap();
    let value = fails(&home, 8, "audit broken.votechain --json");
    assert_eq!(value["exit"], "audit_failed");
    assert!(value["error"]["rule"].is_string(), "{value}");

    home.succeeds("key new organiser --out ada.key");
    let text = fs::read_to_string(home.path("ada.key")).unwrap();
    let secret = text
        .split_whitespace()
        .find(|word| word.contains("secret1"));
    let secret = secret.unwrap();
    let value = fails(&home, 1, &format!("key show {secret} --json"));
    assert!(!value.to_string().contains(secret), "{value}");
    assert!(value.to_string().contains("organisersecret1…"), "{value}");
}
