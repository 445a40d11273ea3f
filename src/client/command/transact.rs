//! Handing in one transaction or a file of them, and keeping the receipts.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::chain::network::Network;
use crate::chain::transaction::{Kind, Transaction, TxId};
use crate::client::command::args::Submit;
use crate::client::command::context::Context;
use crate::client::command::failure::Failure;
use crate::client::command::output::{
    Outcome, Table, agreement_text, count, fate_exit, fate_json, fate_text,
};
use crate::client::exit::Exit;
use crate::client::home::read_bytes;
use crate::client::receipt;
use crate::client::session::Session;
use crate::client::submission::{Fate, Submitted};
use crate::protocol::transaction_file;

/// Most transactions of a file that are printed one by one.
const MAX_SHOWN: usize = 20;

/// Hands in a transaction of the voter, follows it, and keeps its receipt.
pub async fn hand_in(
    context: &mut Context,
    session: &Session,
    transaction: Transaction,
    what: &str,
) -> Result<Outcome, Failure> {
    let confirmations = session.network().confirmations;
    let submitted = context
        .submit(session, vec![transaction.clone()])
        .await
        .pop()
        .ok_or_else(|| Failure::failed("nothing was handed in"))?;
    let mut text = format!("{what}: {}", fate_text(&submitted, confirmations));
    let agreement = agreement_text(&submitted.agreement);
    if matches!(submitted.fate, Fate::Included(_)) && !agreement.is_empty() {
        text.push_str(&format!("\n{agreement}"));
    }
    text.push_str(&format!("\ntransaction: {}", submitted.id));
    if let Some(refuted) = &submitted.refuted {
        text.push_str(&format!("\nA PROOF DID NOT HOLD: {refuted}"));
    }
    let mut json = fate_json(&submitted);
    match &submitted.fate {
        Fate::Included(_) => {
            let (line, value) = keep_receipt(context, session, transaction, &submitted).await?;
            text.push_str(&line);
            json["receipt"] = value;
            if !submitted.is_reached() {
                text.push_str(&format!("\n{}", not_final(session.network())));
            }
        }
        // The same bytes will not be tried again: what was refused may be made anew.
        Fate::Rejected { .. } => context.home.forget_sent(&submitted.id)?,
        Fate::Held { .. } | Fate::Unknown { .. } => {
            text.push_str("\nit may still get into the chain: look with `ballot status`, or repeat the command, which does no harm");
        }
    }
    Ok(Outcome::new(fate_exit(&submitted), text, json))
}

/// Why what is in a block may not be final when the time is up, and what to do.
fn not_final(network: &Network) -> String {
    if !network.finalises() {
        return format!(
            "it is in the chain, and fewer than {} blocks are on top of it: look again with `ballot status`",
            network.confirmations
        );
    }
    "it is in the chain and not final yet: that takes finalisers with more than two thirds of the voting power, and it may \
     be that fewer of them can be reached; nodes say in `votenode status` whom they hear. It becomes final without your \
     doing anything. Look with `ballot status`; `ballot receipt get` fetches the receipt with the checkpoint then"
        .to_owned()
}

async fn keep_receipt(
    context: &mut Context,
    session: &Session,
    transaction: Transaction,
    submitted: &Submitted,
) -> Result<(String, Value), Failure> {
    let Fate::Included(included) = &submitted.fate else {
        return Ok((String::new(), Value::Null));
    };
    let receipt = receipt::make(session, transaction, included).await;
    let proved = receipt::verify(session.network(), &receipt)
        .map_err(|error| Failure::new(Exit::Unverified, error))?;
    let path = context.home.keep_receipt(&receipt)?;
    let label = match proved.checkpoint {
        Some(checkpoint) => format!("anchored in checkpoint {checkpoint}"),
        None => "unanchored: no checkpoint vouches for it".to_owned(),
    };
    Ok((
        format!("\nreceipt: {} ({label})", path.display()),
        json!({
            "file": path.display().to_string(),
            "anchored": proved.checkpoint.is_some(),
            "checkpoint": proved.checkpoint,
        }),
    ))
}

/// `ballot submit FILE`.
pub async fn submit(context: &mut Context, args: Submit) -> Result<Outcome, Failure> {
    let (network, transactions) = read(&args.file)?;
    let session = context.join().await?;
    if session.network().id() != network {
        return Err(Failure::new(
            Exit::Unverified,
            format!(
                "{} is for network {network}, and this is network {}",
                args.file.display(),
                session.network().id()
            ),
        ));
    }
    let total = transactions.len();
    let kinds: BTreeMap<TxId, Kind> = transactions
        .iter()
        .map(|transaction| (transaction.id(), transaction.kind()))
        .collect();
    let network_of = session.network().clone();
    let outcomes = context.submit(&session, transactions).await;
    session.close().await;

    let number = |fits: fn(&Fate) -> bool| outcomes.iter().filter(|one| fits(&one.fate)).count();
    let included = number(|fate| matches!(fate, Fate::Included(_)));
    let rejected = number(|fate| matches!(fate, Fate::Rejected { .. }));
    let settled = outcomes
        .iter()
        .filter(|one| one.is_included() && one.is_reached())
        .count();
    let mut text = format!(
        "{} in the file: {included} included, {rejected} refused, {} unknown",
        count(total as u64, "transaction", "transactions"),
        outcomes.len() - included - rejected
    );
    if settled < included {
        text.push_str(&format!(
            "\n{} of the included are not final; {}",
            included - settled,
            not_final(&network_of)
        ));
    }
    let mut table = Table::default();
    for submitted in outcomes.iter().take(MAX_SHOWN) {
        let kind = kinds.get(&submitted.id).map_or("", |kind| kind.name());
        table.row([
            submitted.id.short(),
            kind.to_owned(),
            fate_text(submitted, 0),
        ]);
    }
    text.push_str(&format!("\n{}", table.render()));
    if outcomes.len() > MAX_SHOWN {
        text.push_str("\n… (all of them with --json)");
    }
    // The worst that happened decides: a refusal before a proof that does not hold, and that before what is unknown.
    let exit = outcomes
        .iter()
        .map(fate_exit)
        .fold(Exit::Done, |worst, exit| match (worst, exit) {
            (Exit::Rejected, _) | (_, Exit::Rejected) => Exit::Rejected,
            (Exit::Unverified, _) | (_, Exit::Unverified) => Exit::Unverified,
            (Exit::Unknown, _) | (_, Exit::Unknown) => Exit::Unknown,
            _ => Exit::Done,
        });
    let json = json!({
        "transactions": outcomes.iter().map(fate_json).collect::<Vec<_>>(),
        "included": included,
        "final": outcomes.iter().filter(|one| matches!(&one.fate, Fate::Included(included) if included.certificate.is_some())).count(),
        "rejected": rejected,
    });
    Ok(Outcome::new(exit, text, json))
}

/// Reads a file of signed transactions.
pub fn read(path: &Path) -> Result<(crate::chain::genesis::NetworkId, Vec<Transaction>), Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let bytes = read_bytes(path, transaction_file::MAX_FILE_BYTES)?
        .ok_or_else(|| wrong(&"there is no such file"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"this is not a text file"))?;
    let (network, transactions) = transaction_file::parse(&text).map_err(|error| wrong(&error))?;
    if transactions.is_empty() {
        return Err(wrong(&"there is no transaction in it"));
    }
    Ok((network, transactions))
}
