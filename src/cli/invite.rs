//! `votenode invite`: invitations into files, and the transactions that make them valid or take them back.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{InviteArguments, InviteCommand, SignerArguments};
use super::output::print_either;
use super::{Exit, Failure, ask, key, network};
use crate::chain::genesis::{Genesis, Group, Organiser};
use crate::chain::invalid::RULES;
use crate::chain::transaction::{MAX_INVITATION_KEYS, Transaction};
use crate::crypto::{Invitation, PublicKey, Role, RoleKey};
use crate::invite::{self, page};
use crate::protocol::transaction_file;
use crate::wire::Text;

/// Runs `votenode invite`; `socket` finds the control socket of the node that transactions are handed to.
pub fn run(
    arguments: InviteArguments,
    socket: impl FnOnce() -> Result<PathBuf, Failure>,
) -> Result<(), Failure> {
    match arguments {
        InviteArguments {
            command:
                Some(InviteCommand::Revoke {
                    codes,
                    signer,
                    out,
                    submit,
                    json,
                }),
            ..
        } => revoke(&codes, &signer, &out, submit.then_some(socket), json),
        InviteArguments {
            command: None,
            count: Some(count),
            group: Some(group),
            out: Some(out),
            signer: Some(signer),
            submit,
            passphrase,
            json,
        } => {
            let order = Order {
                count,
                group: &group,
                out: &out,
                passphrase,
                json,
            };
            make(&order, &signer, submit.then_some(socket))
        }
        _ => Err(Failure::usage(
            "--count, --group, --out, --network and --organiser-key are wanted; see votenode invite --help",
        )),
    }
}

/// What to make.
struct Order<'a> {
    count: u32,
    group: &'a str,
    out: &'a Path,
    passphrase: bool,
    json: bool,
}

fn make(
    order: &Order<'_>,
    signer: &SignerArguments,
    socket: Option<impl FnOnce() -> Result<PathBuf, Failure>>,
) -> Result<(), Failure> {
    let (genesis, organiser) = organiser(signer)?;
    let network = genesis.network_id();
    let group: Group = Text::new(order.group.trim())
        .map_err(|error| Failure::usage(format!("--group: {error}")))?;
    let made = invite::make(&network, &group, order.count, organiser.signing_key())
        .map_err(Failure::usage)?;
    DirBuilder::new()
        .mode(0o700)
        .create(order.out)
        .map_err(|error| Failure::file("make the directory", order.out, &error))?;
    let codes = order.out.join("codes.txt");
    let text = codes_text(&made.invitations);
    key::write_secret(&codes, &text, order.passphrase)?;
    // Where it lies here is of no use to those who vote.
    let file = signer.genesis.file_name().unwrap_or_default();
    let file = file.to_string_lossy();
    let heading = page::Heading {
        network_name: &genesis.name,
        network,
        file: &file,
        group: &group,
    };
    let mut slips = Vec::new();
    for (index, chunk) in made.invitations.chunks(MAX_INVITATION_KEYS).enumerate() {
        let path = order.out.join(format!("slips-{}.html", index + 1));
        let html = page::slips(&heading, chunk).map_err(Failure::failed)?;
        write_private(&path, html.as_bytes())?;
        slips.push(path);
    }
    let transactions = order.out.join("transactions.txt");
    let text = transaction_file::write(&network, &made.transactions);
    write_private(&transactions, text.as_bytes())?;
    let submitted = hand_in(&made.transactions, socket, &[])?.is_some();
    let mut text = format!(
        "{} invitations for group {group} of {}\n\n  {}   the codes: secret\n",
        order.count,
        genesis.name,
        codes.display(),
    );
    for path in &slips {
        text += &format!("  {}   to print and cut: secret\n", path.display());
    }
    text += &format!("  {}   signed: not secret\n\n", transactions.display());
    text += &if submitted {
        "The node has the transactions. The invitations work once they are in the chain.\n"
            .to_owned()
    } else {
        format!(
            "The invitations work once `ballot submit {}` brought them into the chain.\n",
            transactions.display()
        )
    };
    text += &format!(
        "Give everybody who votes the network's file too. A code is used with: {}\n",
        page::command(&file)
    );
    print_either(
        order.json,
        &json!({
            "network": network,
            "group": group.as_str(),
            "count": order.count,
            "codes": codes,
            "slips": slips,
            "transactions": transactions,
            "transaction_ids": ids(&made.transactions),
            "submitted": submitted,
        }),
        &text,
    )
}

fn revoke(
    files: &[PathBuf],
    signer: &SignerArguments,
    out: &Path,
    socket: Option<impl FnOnce() -> Result<PathBuf, Failure>>,
    json: bool,
) -> Result<(), Failure> {
    let (genesis, organiser) = organiser(signer)?;
    let network = genesis.network_id();
    let mut keys = Vec::new();
    for path in files {
        keys.extend(read_codes(path)?);
    }
    if keys.len() > invite::MAX_COUNT as usize {
        return Err(Failure::usage(format!(
            "at most {} invitations can be taken back at once",
            invite::MAX_COUNT
        )));
    }
    let transactions = invite::revoke(&network, &keys, organiser.signing_key());
    let text = transaction_file::write(&network, &transactions);
    write_private(out, text.as_bytes())?;
    let too_late = hand_in(
        &transactions,
        socket,
        &["invitation_spent", "invitation_revoked"],
    )?;
    let next = match too_late {
        None => format!(
            "{} invitations are taken back by {}, those that were used before excepted. Hand it in with `ballot submit \
             {}`.\n",
            transactions.len(),
            out.display(),
            out.display()
        ),
        Some(too_late) => format!(
            "The node takes back {} of {} invitations; {too_late} were used or taken back before.\n",
            transactions.len() - too_late,
            transactions.len()
        ),
    };
    print_either(
        json,
        &json!({
            "network": network,
            "count": transactions.len(),
            "transactions": out,
            "transaction_ids": ids(&transactions),
            "submitted": too_late.is_some(),
            "too_late": too_late,
        }),
        &next,
    )
}

/// The network and the key, if the genesis says that the key may invite.
fn organiser(signer: &SignerArguments) -> Result<(Genesis, RoleKey), Failure> {
    let genesis = network::read(&signer.genesis)?;
    let key = key::read_key(&signer.organiser_key, Role::Organiser)?;
    if genesis
        .organiser(&key.public().key(), Organiser::INVITE)
        .is_none()
    {
        return Err(Failure::usage(format!(
            "{}: this key may not invite in the network '{}'; `votenode network show {}` lists the keys that may",
            signer.organiser_key.display(),
            genesis.name,
            signer.genesis.display()
        )));
    }
    Ok((genesis, key))
}

fn codes_text(invitations: &[Invitation]) -> zeroize::Zeroizing<String> {
    // Room for every code at once, so that growing leaves no copy behind.
    let mut text = zeroize::Zeroizing::new(String::with_capacity(invitations.len() * 80));
    for invitation in invitations {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&invitation.to_text());
    }
    text
}

fn read_codes(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    parse_codes(path, &key::read_secret(path)?)
}

/// The public keys of the codes in a text, one code a line. `path` names the text in errors.
pub(crate) fn parse_codes(path: &Path, text: &str) -> Result<Vec<PublicKey>, Failure> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            line.parse::<Invitation>()
                .map(|invitation| invitation.public_key())
                .map_err(|error| {
                    Failure::usage(format!("{}: code {}: {error}", path.display(), index + 1))
                })
        })
        .collect()
}

fn ids(transactions: &[Transaction]) -> Vec<String> {
    transactions
        .iter()
        .map(|transaction| transaction.id().to_string())
        .collect()
}

/// Hands in where that was asked for. Refusals that break one of the rules `passed_over` are counted, any other is a
/// failure.
fn hand_in(
    transactions: &[Transaction],
    socket: Option<impl FnOnce() -> Result<PathBuf, Failure>>,
    passed_over: &[&str],
) -> Result<Option<usize>, Failure> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    let refusals = ask::submit(&socket()?, transactions)?;
    let is_passed_over = |code: u64| {
        let rule = RULES.iter().find(|(rule, _)| *rule == code);
        rule.is_some_and(|(_, name)| passed_over.contains(name))
    };
    match refusals.iter().find(|(code, _)| !is_passed_over(*code)) {
        Some((_, words)) => Err(Failure::new(
            Exit::Refused,
            format!("the node refused: {words}"),
        )),
        None => Ok(Some(refusals.len())),
    }
}

/// Half a file is worse than none: what cannot be written whole is removed.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failure = |error| Failure::file("write", path, &error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failure)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            failure(error)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::super::args::{Arguments, Command};
    use super::*;
    use crate::genesis::{self, Parameters};

    /// A directory with a key of `permissions` and its network.
    fn prepared(permissions: u8) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let key = RoleKey::generate(Role::Organiser).unwrap();
        key::write_secret(&dir.path().join("ada.key"), &key.to_text(), false).unwrap();
        let parameters = Parameters {
            organisers: vec![Organiser {
                key: key.public().key(),
                permissions,
                name: Text::new("Ada").unwrap(),
            }],
            ..Parameters::default()
        };
        genesis::write(&dir.path().join("club.toml"), &parameters.build(1).unwrap()).unwrap();
        dir
    }

    fn invite(dir: &Path, flags: &[&str]) -> Result<(), Failure> {
        let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let mut line = vec!["votenode".to_owned(), "invite".to_owned()];
        line.extend(flags.iter().map(|flag| flag.replace("@", &at(""))));
        line.extend(["--organiser-key".to_owned(), at("ada.key")]);
        line.extend(["--network".to_owned(), at("club.toml")]);
        let arguments = Arguments::try_parse_from(line).unwrap();
        let Some(Command::Invite(arguments)) = arguments.command else {
            panic!("another command");
        };
        run(arguments, || Err(Failure::failed("no node is asked")))
    }

    #[test]
    fn codes_slips_and_transactions_belong_together_and_secrets_are_private() {
        let dir = prepared(Organiser::INVITE);
        invite(
            dir.path(),
            &["--count", "3", "--group", "members", "--out", "@out"],
        )
        .unwrap();
        let out = dir.path().join("out");
        for name in ["codes.txt", "slips-1.html", "transactions.txt"] {
            let mode = fs::metadata(out.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let keys = read_codes(&out.join("codes.txt")).unwrap();
        assert_eq!(keys.len(), 3);
        let text = fs::read_to_string(out.join("transactions.txt")).unwrap();
        let (_, transactions) = transaction_file::parse(&text).unwrap();
        let crate::chain::transaction::Payload::InvitationBatch { batch } =
            &transactions[0].payload
        else {
            panic!("another kind");
        };
        assert_eq!(batch.keys.to_vec(), keys);
        let again = invite(
            dir.path(),
            &["--count", "3", "--group", "members", "--out", "@out"],
        );
        assert!(again.unwrap_err().message.contains("exists already"));

        invite(
            dir.path(),
            &[
                "revoke",
                "--codes",
                "@out/codes.txt",
                "--out",
                "@revoke.txt",
            ],
        )
        .unwrap();
        let text = fs::read_to_string(dir.path().join("revoke.txt")).unwrap();
        assert_eq!(transaction_file::parse(&text).unwrap().1.len(), 3);
    }

    #[test]
    fn a_key_that_may_not_invite_is_told_so_before_anything_is_written() {
        let dir = prepared(Organiser::OPEN_ELECTIONS);
        let error = invite(
            dir.path(),
            &["--count", "3", "--group", "members", "--out", "@out"],
        )
        .unwrap_err();
        assert!(error.message.contains("may not invite"), "{error}");
        assert!(!dir.path().join("out").exists());
    }
}
