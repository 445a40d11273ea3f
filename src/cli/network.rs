//! `votenode network`: genesis files.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::args::{NetworkCommand, NetworkNewArguments};
use super::output::{duration, print_either, table};
use super::{Exit, Failure, finaliser as quorum};
use crate::chain::genesis::{Finaliser, Genesis, OpenAdmission, Organiser};
use crate::crypto::{Kind, PublicKey, Role, RolePublicKey, code};
use crate::genesis::{self, GenesisFileError, Parameters};
use crate::wire::Text;

/// Runs `votenode network`.
pub fn run(command: NetworkCommand) -> Result<(), Failure> {
    match command {
        NetworkCommand::New(arguments) => new(&arguments),
        NetworkCommand::Show { file, json } => {
            let genesis = read(&file)?;
            print_either(json, &to_json(&genesis), &describe(&genesis))
        }
    }
}

/// Reads a genesis file that a command was given.
pub fn read(path: &Path) -> Result<Genesis, Failure> {
    // The network that every program knows, unless a file has that name.
    if path == Path::new(LAN) && !path.exists() {
        return Ok(genesis::lan());
    }
    genesis::read(path).map_err(|error| match error {
        GenesisFileError::Io { path, error } => Failure::file("read", &path, &error),
        error => Failure::usage(format!(
            "{}: {}",
            path.display(),
            error.to_string().trim_end()
        )),
    })
}

/// What the network for trials is called where a genesis file may stand.
const LAN: &str = "lan";

fn new(arguments: &NetworkNewArguments) -> Result<(), Failure> {
    let genesis = parameters(arguments)?
        .build(now_ms()?)
        .map_err(Failure::usage)?;
    genesis::write(&arguments.out, &genesis).map_err(|error| match error {
        GenesisFileError::Io { path, error } => Failure::file("write", &path, &error),
        error => Failure::failed(error),
    })?;
    let mut value = to_json(&genesis);
    value["file"] = json!(arguments.out);
    let file = arguments.out.display();
    let mut text = format!("Wrote {file}\n\n{}\nNext:\n", describe(&genesis));
    text += &format!(
        "  votenode --network {file}            on every machine that runs a node; give them the file\n"
    );
    if genesis.finalises() {
        text += &format!(
            "  votenode --network {file} --finaliser-key KEY    on the machine of each finaliser, with its own key\n"
        );
    }
    if matches!(genesis.open_admission, OpenAdmission::Forbidden {}) {
        text += &format!(
            "  votenode invite --count N --group GROUP --network {file} --organiser-key KEY --out DIR\n"
        );
    }
    text += "  Read the network id out loud, or print it: whoever compares it knows to be in the same network.\n";
    print_either(arguments.json, &value, &text)
}

fn parameters(arguments: &NetworkNewArguments) -> Result<Parameters, Failure> {
    let organisers = arguments
        .organiser
        .iter()
        .map(|text| organiser(text))
        .collect::<Result<Vec<_>, _>>()?;
    let finalisers = arguments
        .finaliser
        .iter()
        .map(|text| finaliser(text))
        .collect::<Result<Vec<_>, _>>()?;
    let open_stamp_bits = match arguments.open_admission.as_deref() {
        None if organisers.is_empty() => Some(16),
        None | Some("off") => None,
        Some(bits) => Some(bits.parse().map_err(|_| {
            Failure::usage(format!(
                "--open-admission: '{bits}' is neither 'off' nor a number of bits"
            ))
        })?),
    };
    let may = |permission| {
        organisers
            .iter()
            .any(|organiser| organiser.permissions & permission != 0)
    };
    if open_stamp_bits.is_none() && !may(Organiser::INVITE) {
        return Err(Failure::usage(
            "nobody could ever register: admit people with --open-admission BITS, or name an --organiser who may \
             invite them",
        ));
    }
    let elections_by_organisers = match arguments.elections_by.as_deref() {
        Some(who) => who == "organisers",
        None => may(Organiser::OPEN_ELECTIONS),
    };
    if elections_by_organisers && !may(Organiser::OPEN_ELECTIONS) {
        return Err(Failure::usage(
            "nobody could ever open an election: name an --organiser who may, or say --elections-by anyone",
        ));
    }
    Ok(Parameters {
        name: arguments.name.clone(),
        block_time_ms: arguments.block_time_ms,
        target: None,
        close_grace_ms: arguments.close_grace_ms,
        confirmations: arguments.confirmations,
        max_block_bytes: arguments.max_block_bytes,
        max_block_transactions: arguments.max_block_transactions,
        open_stamp_bits,
        vote_stamp_bits: arguments.vote_stamp_bits,
        elections_by_organisers,
        organisers,
        finalisers,
    })
}

/// `NAME=KEY[:MORE]`, in its three parts.
fn named_key<'a>(
    flag: &str,
    text: &'a str,
    role: Role,
) -> Result<(Text<1, 64>, RolePublicKey, Option<&'a str>), Failure> {
    // Somebody may have given the secret half: nobody is to read it here.
    let shown = match text.find("secret1") {
        Some(at) => format!("{}secret1…", &text[..at]),
        None => text.to_owned(),
    };
    let wrong = |what: String| Failure::usage(format!("{flag} '{shown}': {what}"));
    let (name, rest) = text
        .rsplit_once('=')
        .ok_or_else(|| wrong(format!("a name, '=' and {role}pub1… are wanted")))?;
    let (key, more) = match rest.split_once(':') {
        Some((key, more)) => (key, Some(more)),
        None => (rest, None),
    };
    let name = Text::new(name.trim()).map_err(|error| wrong(error.to_string()))?;
    let key = RolePublicKey::parse(role, key).map_err(|error| wrong(error.to_string()))?;
    Ok((name, key, more))
}

fn organiser(text: &str) -> Result<Organiser, Failure> {
    let (name, key, may) = named_key("--organiser", text, Role::Organiser)?;
    let permissions = match may {
        None => Organiser::INVITE | Organiser::OPEN_ELECTIONS,
        Some("invite") => Organiser::INVITE,
        Some("open_elections") => Organiser::OPEN_ELECTIONS,
        Some(other) => {
            return Err(Failure::usage(format!(
                "--organiser '{text}': '{other}' is neither 'invite' nor 'open_elections'"
            )));
        }
    };
    Ok(Organiser {
        key: key.key(),
        permissions,
        name,
    })
}

/// A finaliser as it is written on the command line.
pub fn finaliser(text: &str) -> Result<Finaliser, Failure> {
    let (name, key, power) = named_key("--finaliser", text, Role::Finaliser)?;
    let power = match power {
        None => 1,
        Some(power) => power.parse().map_err(|_| {
            Failure::usage(format!(
                "--finaliser '{text}': '{power}' is no voting power"
            ))
        })?,
    };
    Ok(Finaliser {
        key: key.key(),
        power,
        name,
    })
}

fn to_json(genesis: &Genesis) -> serde_json::Value {
    json!({
        "network": genesis.network_id(),
        "name": genesis.name.as_str(),
        "timestamp_ms": genesis.timestamp_ms,
        "block_time_ms": genesis.block_time_ms,
        "close_grace_ms": genesis.close_grace_ms,
        "confirmations": genesis.confirmations,
        "max_block_bytes": genesis.max_block_bytes,
        "max_block_transactions": genesis.max_block_transactions,
        "open_stamp_bits": match genesis.open_admission {
            OpenAdmission::Forbidden {} => None,
            OpenAdmission::Stamped { bits } => Some(bits),
        },
        "elections_by": if genesis.elections_by == Genesis::ORGANISERS { "organisers" } else { "anyone" },
        "organisers": genesis.organisers.iter().map(|organiser| json!({
            "name": organiser.name.as_str(),
            "key": public_code(Role::Organiser, &organiser.key),
            "may": permissions(organiser),
        })).collect::<Vec<_>>(),
        "finalisers": genesis.finalisers.iter().map(|finaliser| json!({
            "name": finaliser.name.as_str(),
            "key": public_code(Role::Finaliser, &finaliser.key),
            "power": finaliser.power,
        })).collect::<Vec<_>>(),
        "quorum_power": genesis.finalises().then(|| {
            quorum::quorum(genesis.finalisers.iter().map(|finaliser| finaliser.power).sum())
        }),
        "finaliser_warning": quorum::warning(&genesis.finalisers),
        "provisional": !genesis.finalises(),
    })
}

/// A public key as people write it.
fn public_code(role: Role, key: &PublicKey) -> String {
    code::encode(Kind::Public(role), key.as_bytes()).to_string()
}

fn permissions(organiser: &Organiser) -> Vec<&'static str> {
    [
        (Organiser::INVITE, "invite"),
        (Organiser::OPEN_ELECTIONS, "open_elections"),
    ]
    .into_iter()
    .filter(|(bit, _)| organiser.permissions & bit != 0)
    .map(|(_, name)| name)
    .collect()
}

fn describe(genesis: &Genesis) -> String {
    let admission = match genesis.open_admission {
        OpenAdmission::Forbidden {} => "by invitation only".to_owned(),
        OpenAdmission::Stamped { bits } => format!(
            "anybody, for a stamp of {bits} bits: such elections are not one person, one vote"
        ),
    };
    let rows = [
        ("network", genesis.network_id().to_string()),
        ("name", genesis.name.to_string()),
        ("registration", admission),
        (
            "elections",
            if genesis.elections_by == Genesis::ORGANISERS {
                "opened by organisers".to_owned()
            } else {
                "opened by anyone".to_owned()
            },
        ),
        ("block time", duration(genesis.block_time_ms)),
        (
            "grace",
            format!(
                "{} after the close of polls",
                duration(genesis.close_grace_ms)
            ),
        ),
        (
            "finality",
            if genesis.finalises() {
                quorum::describe(&genesis.finalisers)
            } else {
                format!(
                    "none: results stay provisional, {} blocks deep",
                    genesis.confirmations
                )
            },
        ),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        text += &format!("{name:<13} {value}\n");
    }
    if !genesis.organisers.is_empty() {
        let rows: Vec<_> = genesis
            .organisers
            .iter()
            .map(|organiser| {
                vec![
                    organiser.name.to_string(),
                    permissions(organiser).join(", "),
                    public_code(Role::Organiser, &organiser.key),
                ]
            })
            .collect();
        text += &format!("\n{}", table(&["organiser", "may", "key"], &rows));
    }
    if genesis.finalises() {
        let rows: Vec<_> = genesis
            .finalisers
            .iter()
            .map(|finaliser| {
                vec![
                    finaliser.name.to_string(),
                    finaliser.power.to_string(),
                    public_code(Role::Finaliser, &finaliser.key),
                ]
            })
            .collect();
        text += &format!("\n{}", table(&["finaliser", "votes", "key"], &rows));
        if let Some(warning) = quorum::warning(&genesis.finalisers) {
            text += &format!("\n! {warning}\n");
        }
    }
    text
}

fn now_ms() -> Result<u64, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map(|now| now.as_millis() as u64).map_err(|_| {
        Failure::new(
            Exit::Failed,
            "the clock of this machine stands before 1970: set it first",
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::super::args::{Arguments, Command};
    use super::*;
    use crate::crypto::RoleKey;

    fn made(flags: &[&str]) -> Result<Parameters, Failure> {
        let line = [
            "votenode", "network", "new", "--name", "x", "--out", "x.toml",
        ];
        let arguments = Arguments::try_parse_from(line.iter().chain(flags)).unwrap();
        let Some(Command::Network(NetworkCommand::New(arguments))) = arguments.command else {
            panic!("another command");
        };
        parameters(&arguments)
    }

    fn public(role: Role) -> String {
        RoleKey::generate(role).unwrap().public().to_string()
    }

    #[test]
    fn without_organisers_everybody_may_do_everything() {
        let parameters = made(&[]).unwrap();
        assert_eq!(parameters.open_stamp_bits, Some(16));
        assert!(!parameters.elections_by_organisers);
    }

    #[test]
    fn organisers_take_over_what_they_may() {
        let ada = format!("Ada = Countess={}", public(Role::Organiser));
        let bob = format!("Bob={}:invite", public(Role::Organiser));
        let node = format!("node 1={}:5", public(Role::Finaliser));
        let parameters = made(&[
            "--organiser",
            &ada,
            "--organiser",
            &bob,
            "--finaliser",
            &node,
        ])
        .unwrap();
        assert_eq!(parameters.open_stamp_bits, None);
        assert!(parameters.elections_by_organisers);
        assert_eq!(parameters.organisers[0].name.as_str(), "Ada = Countess");
        assert_eq!(parameters.organisers[0].permissions, 3);
        assert_eq!(parameters.organisers[1].permissions, Organiser::INVITE);
        assert_eq!(parameters.finalisers[0].power, 5);
        assert!(parameters.build(1).is_ok());
    }

    #[test]
    fn networks_in_which_nothing_can_happen_are_refused() {
        let closed = made(&["--open-admission", "off"]).unwrap_err();
        assert!(closed.message.contains("nobody could ever register"));
        let mute = format!("Bob={}:invite", public(Role::Organiser));
        let error = made(&["--organiser", &mute, "--elections-by", "organisers"]).unwrap_err();
        assert!(error.message.contains("open an election"));
    }

    #[test]
    fn wrong_keys_are_explained() {
        for (text, part) in [
            ("Ada".to_owned(), "organiserpub1"),
            (
                format!("Ada={}", public(Role::Finaliser)),
                "finaliser's public key",
            ),
            (format!("Ada={}:fly", public(Role::Organiser)), "'fly'"),
            (format!("={}", public(Role::Organiser)), "text of 0 bytes"),
        ] {
            let error = made(&["--organiser", &text]).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.contains(part), "{error}");
        }
    }
}
