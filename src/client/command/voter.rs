//! `ballot voter` and `ballot register`: the secret, and joining the roll with it.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use crate::chain::transaction::{Admission as SignedAdmission, Payload, Transaction};
use crate::client::command::args::{Code, Register, VoterCommand};
use crate::client::command::context::Context;
use crate::client::command::failure::Failure;
use crate::client::command::output::Outcome;
use crate::client::command::transact;
use crate::client::home::{HomeError, Sent};
use crate::client::make::{self, Admission};
use crate::client::session::Session;
use crate::client::time::now_ms;
use crate::crypto::{Invitation, VoterId, secret_file};

/// Longest code read from standard input, in bytes.
const MAX_CODE_BYTES: u64 = 1_024;

/// `ballot voter …`.
pub fn voter(context: &mut Context, command: VoterCommand) -> Result<Outcome, Failure> {
    match command {
        VoterCommand::New {
            passphrase,
            show_voter_id,
        } => {
            let id = VoterId::generate().map_err(Failure::failed)?;
            write(context, &id, passphrase)?;
            Ok(shown(context, &id, show_voter_id, "made"))
        }
        VoterCommand::Show { show_voter_id } => {
            let id = context.voter()?;
            Ok(shown(context, &id, show_voter_id, "there"))
        }
        VoterCommand::Restore { passphrase } => {
            if context.home.has_voter() {
                return Err(Failure::usage(format!(
                    "{} exists already and is not overwritten; name another file with --voter",
                    context.home.voter_file().display()
                )));
            }
            let text = read_code("voter_id (voter1…): ")?;
            let id = text
                .parse()
                .map_err(|error| Failure::usage(format!("that is no voter_id: {error}")))?;
            write(context, &id, passphrase)?;
            Ok(shown(context, &id, false, "restored"))
        }
    }
}

fn write(context: &Context, id: &VoterId, passphrase: bool) -> Result<(), Failure> {
    let passphrase = context.new_passphrase(passphrase)?;
    let text = passphrase.as_ref().map(|text| text.as_str());
    Ok(context.home.write_voter(id, text)?)
}

fn shown(context: &Context, id: &VoterId, show_voter_id: bool, what: &str) -> Outcome {
    let path = context.home.voter_file().display().to_string();
    let key = id.signing_key().public_key();
    let mut text = format!("voter file {what}: {path}\nvoter key: {key}");
    let mut json = json!({ "voter_file": path, "voter_key": key });
    if show_voter_id {
        text.push_str(&format!("\nvoter_id: {}", id.to_text().as_str()));
        json["voter_id"] = json!(id.to_text().as_str());
    } else {
        text.push_str(
            "\nkeep a copy of the file: whoever has it can vote for you, and without it you cannot",
        );
    }
    Outcome::done(text, json)
}

/// A code typed in without being shown, or the first line of standard input.
fn read_code(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(Failure::failed);
    }
    // A line, not all there is: who writes into a pipe may keep it open.
    let mut text = Zeroizing::new(String::with_capacity(MAX_CODE_BYTES as usize));
    std::io::stdin()
        .lock()
        .take(MAX_CODE_BYTES)
        .read_line(&mut text)
        .map_err(Failure::failed)?;
    let first = text.lines().next().unwrap_or_default().trim();
    Ok(Zeroizing::new(first.to_owned()))
}

/// `ballot register`.
pub async fn register(context: &mut Context, args: Register) -> Result<Outcome, Failure> {
    let admission = admission(&args)?;
    let made = !context.home.has_voter();
    let id = if made {
        let id = VoterId::generate().map_err(Failure::failed)?;
        write(context, &id, args.passphrase)?;
        context.note(format!(
            "your voter_id is in {}\nkeep a copy of that file in a safe place: whoever has it can vote for you, and without it you cannot",
            context.home.voter_file().display()
        ));
        id
    } else {
        context.voter()?
    };

    let session = context.join().await?;
    let key = id.signing_key().public_key();
    let transaction = registration(context, &session, &id, &admission).await?;
    let mut outcome = transact::hand_in(context, &session, transaction, "registration").await?;
    outcome.json.insert("voter_key".into(), json!(key));
    outcome.json.insert(
        "voter_file".into(),
        json!(context.home.voter_file().display().to_string()),
    );
    if args.show_voter_id {
        outcome
            .text
            .push_str(&format!("\nvoter_id: {}", id.to_text().as_str()));
        outcome
            .json
            .insert("voter_id".into(), json!(id.to_text().as_str()));
    }
    session.close().await;
    Ok(outcome)
}

/// What lets the voter onto the roll.
fn admission(args: &Register) -> Result<Admission, Failure> {
    let (code, named) = match (&args.invitation, &args.invitation_file) {
        (Some(Code(code)), _) if code.as_str() == "-" => (
            read_code("Invitation (invite1…): ")?,
            "--invitation".to_owned(),
        ),
        (Some(Code(code)), _) => (code.clone(), "--invitation".to_owned()),
        (None, Some(path)) => {
            let file = secret_file::read(path).map_err(HomeError::from)?;
            let code = file.open(None).map_err(HomeError::from)?;
            (code, path.display().to_string())
        }
        (None, None) => return Ok(Admission::Open),
    };
    let invitation: Invitation = code
        .parse()
        .map_err(|error| Failure::usage(format!("{named}: {error}")))?;
    Ok(Admission::Invited(Box::new(invitation)))
}

/// The registration to hand in: the one that was made before, the one in the chain, or a new one.
async fn registration(
    context: &mut Context,
    session: &Session,
    id: &VoterId,
    admission: &Admission,
) -> Result<Transaction, Failure> {
    let key = id.signing_key().public_key();
    let network = session.network().id();
    let wanted_invitation = match admission {
        Admission::Open => None,
        Admission::Invited(invitation) => Some(invitation.public_key()),
    };
    let earlier = context.home.sent()?.into_iter().rev().find(|sent| {
        let Payload::Registration { registration } = &sent.transaction.payload else {
            return false;
        };
        let invitation = match &registration.admission {
            SignedAdmission::Open { .. } => None,
            SignedAdmission::Invited { invitation, .. } => Some(*invitation),
        };
        sent.network == network && registration.voter == key && invitation == wanted_invitation
    });
    // What the chain holds goes first: a voter who restored the voter_id is registered already.
    if let Some(info) = session.voter(key).await?.value
        && let Some(transaction) = session.transaction(info.transaction).await?
    {
        context.note("this voter is registered already");
        return Ok(transaction);
    }
    if let Some(earlier) = earlier {
        return Ok(earlier.transaction);
    }
    context.working("computing the stamp of the registration");
    let voters = vec![(id.clone(), admission.clone())];
    let made = make::registrations(Arc::clone(session.network()), voters).await;
    context.rest();
    let transaction = made?
        .pop()
        .ok_or_else(|| Failure::failed("no registration was made"))?;
    context.home.keep_sent(&Sent {
        network,
        at_ms: now_ms(),
        transaction: transaction.clone(),
    })?;
    Ok(transaction)
}
