//! `ballot cast`: with a network, or into a file without one.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::chain::ballot::check_choices;
use crate::chain::election::{Choices, Election, ElectionId};
use crate::chain::network::Network;
use crate::chain::sign;
use crate::chain::transaction::{Payload, Transaction};
use crate::chain::verify::Verifier;
use crate::client::command::args::Cast;
use crate::client::command::context::Context;
use crate::client::command::elections::find;
use crate::client::command::failure::Failure;
use crate::client::command::output::Outcome;
use crate::client::command::transact;
use crate::client::exit::Exit;
use crate::client::home::{Sent, write_new_file};
use crate::client::select;
use crate::client::time::{local_and_relative, now_ms};
use crate::crypto::VoterId;
use crate::protocol::submit::ElectionPhase;
use crate::protocol::transaction_file;

/// `ballot cast ELECTION CHOICE…`.
pub async fn cast(context: &mut Context, args: Cast) -> Result<Outcome, Failure> {
    match &args.offline {
        Some(path) => {
            let path = path.clone();
            offline(context, &args, &path)
        }
        None => online(context, &args).await,
    }
}

async fn online(context: &mut Context, args: &Cast) -> Result<Outcome, Failure> {
    let voter = context.voter()?;
    let session = context.join().await?;
    let view = find(context, &session, &args.election).await?;
    let terms = &view.info.election.terms;
    match view.phase {
        ElectionPhase::Open => {}
        ElectionPhase::Scheduled => context.note(format!(
            "polls open {}; nodes take no vote before",
            local_and_relative(terms.opens_at_ms, now_ms())
        )),
        _ => context.note(format!(
            "polls closed {}",
            local_and_relative(terms.closes_at_ms, now_ms())
        )),
    }
    let transaction = vote(session.network(), &voter, &view.info.election, args)?;
    context.home.keep_sent(&Sent {
        network: session.network().id(),
        at_ms: now_ms(),
        transaction: transaction.clone(),
    })?;
    let mut outcome = transact::hand_in(context, &session, transaction, "vote").await?;
    session.close().await;
    let chosen = chosen(&view.info.election, args)?;
    outcome.text = format!("{} – {}\n{}", terms.title, chosen.join(", "), outcome.text);
    outcome.json.insert("election".into(), json!(view.id));
    outcome.json.insert("choices".into(), json!(chosen));
    Ok(outcome)
}

fn offline(context: &mut Context, args: &Cast, path: &Path) -> Result<Outcome, Failure> {
    let voter = context.voter()?;
    let network = context.known_network()?;
    let (id, election) = match &args.election_file {
        Some(file) => from_file(&network, file, &args.election)?,
        None => {
            let kept = context.home.elections()?;
            let names = kept
                .iter()
                .map(|(id, election)| (*id, election.terms.title.as_str()));
            let id = select::election(names, &args.election).map_err(|error| {
                Failure::usage(format!(
                    "{error}\nwithout a network only elections that were seen before can be named; otherwise bring one in a file (`ballot elections ELECTION --save FILE`) and give --election-file"
                ))
            })?;
            let election = kept.into_iter().find(|(other, _)| *other == id);
            election.ok_or_else(|| Failure::failed("the election is gone"))?
        }
    };
    let transaction = vote(&network, &voter, &election, args)?;
    let tx_id = transaction.id();
    let text = transaction_file::write(&network.id(), std::slice::from_ref(&transaction));
    write_new_file(path, text.as_bytes())?;
    context.home.keep_sent(&Sent {
        network: network.id(),
        at_ms: now_ms(),
        transaction,
    })?;
    let terms = &election.terms;
    let chosen = chosen(&election, args)?;
    Ok(Outcome::done(
        format!(
            "{} – {}\nsigned vote written to {}\nanybody may hand it in with `ballot submit`, before polls close {}\ntransaction: {tx_id}",
            terms.title,
            chosen.join(", "),
            path.display(),
            local_and_relative(terms.closes_at_ms, now_ms()),
        ),
        json!({
            "state": "offline",
            "file": path.display().to_string(),
            "transaction": tx_id,
            "election": id,
            "network": network.id(),
            "choices": chosen,
        }),
    ))
}

/// An election out of a file of transactions, verified.
fn from_file(
    network: &Arc<Network>,
    file: &Path,
    text: &str,
) -> Result<(ElectionId, Election), Failure> {
    let (id, transactions) = transact::read(file)?;
    if id != network.id() {
        return Err(Failure::new(
            Exit::Unverified,
            format!(
                "{} is for network {id}, and this is network {}; name the network with --network",
                file.display(),
                network.id()
            ),
        ));
    }
    // Verdicts do not depend on the seed; nobody aims at a single file.
    let verdicts = Verifier::new(Arc::clone(network), [0; 32]).verify(transactions);
    let mut elections = Vec::new();
    for verdict in verdicts {
        let verified = verdict.map_err(|error| {
            Failure::new(Exit::Unverified, format!("{}: {error}", file.display()))
        })?;
        if let Payload::Election { election } = &verified.payload {
            elections.push((election.id(), election.clone()));
        }
    }
    let names = elections
        .iter()
        .map(|(id, election)| (*id, election.terms.title.as_str()));
    let wanted = select::election(names, text)?;
    elections
        .into_iter()
        .find(|(id, _)| *id == wanted)
        .ok_or_else(|| Failure::failed("the election is gone"))
}

/// The signed vote.
fn vote(
    network: &Network,
    voter: &VoterId,
    election: &Election,
    args: &Cast,
) -> Result<Transaction, Failure> {
    let choices: Choices = select::choices(&election.terms, &args.choices, args.blank)?;
    check_choices(&election.terms, &choices).map_err(Failure::usage)?;
    Ok(sign::cast_vote(
        &network.id(),
        voter,
        election.id(),
        choices,
    ))
}

/// What was chosen, in the election's own words.
fn chosen(election: &Election, args: &Cast) -> Result<Vec<String>, Failure> {
    let choices = select::choices(&election.terms, &args.choices, args.blank)?;
    if choices.is_empty() {
        return Ok(vec!["blank".to_owned()]);
    }
    Ok(choices
        .iter()
        .filter_map(|choice| election.terms.options.get(usize::from(*choice)))
        .map(|option| option.to_string())
        .collect())
}
