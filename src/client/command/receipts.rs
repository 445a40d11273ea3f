//! `ballot receipt show|verify|get`.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::chain::network::Network;
use crate::chain::transaction::{Payload, Transaction, TxId};
use crate::client::command::args::ReceiptCommand;
use crate::client::command::context::Context;
use crate::client::command::failure::Failure;
use crate::client::command::output::{Outcome, Table};
use crate::client::exchange::words;
use crate::client::exit::Exit;
use crate::client::home::read_bytes;
use crate::client::proof::check_inclusion;
use crate::client::receipt::{self, Proved};
use crate::client::session::Session;
use crate::client::submission::Included;
use crate::client::time::{local_and_relative, now_ms, rfc3339};
use crate::protocol::receipt::Receipt;
use crate::protocol::submit::TxStatus;
use crate::wire::{self, Message as _};

/// Most receipts listed.
const MAX_LISTED: usize = 1_000;

/// `ballot receipt …`.
pub async fn receipts(context: &mut Context, command: ReceiptCommand) -> Result<Outcome, Failure> {
    match command {
        ReceiptCommand::Show { file: Some(file) } => show(&file),
        ReceiptCommand::Show { file: None } => list(context),
        ReceiptCommand::Verify { file } => {
            let network = context.known_network()?;
            verify(&network, &file)
        }
        ReceiptCommand::Get { transaction } => get(context, transaction).await,
    }
}

fn read(path: &Path) -> Result<Receipt, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Unverified, format!("{}: {error}", path.display()))
    };
    let bytes = read_bytes(path, Receipt::MAX_BYTES)?
        .ok_or_else(|| Failure::usage(format!("there is no file {}", path.display())))?;
    wire::decode(&bytes).map_err(|error| wrong(&format!("this is no receipt: {error}")))
}

/// What is in a receipt, unchecked.
fn show(path: &Path) -> Result<Outcome, Failure> {
    let receipt = read(path)?;
    let header = &receipt.inclusion.header;
    let anchored = !receipt.certificate.is_empty();
    Ok(Outcome::done(
        format!(
            "{}\ntransaction {}\nnetwork     {}\nblock       {} at height {}\ntime        {}\nheaders     {} on top\n{}\nnot checked: `ballot receipt verify` does that",
            describe(&receipt.transaction),
            receipt.transaction.id(),
            receipt.network,
            header.id(),
            header.height,
            local_and_relative(header.timestamp_ms, now_ms()),
            receipt.headers.len(),
            anchor_text(anchored),
        ),
        json!({
            "what": describe(&receipt.transaction),
            "transaction": receipt.transaction.id(),
            "network": receipt.network,
            "block": header.id(),
            "height": header.height,
            "block_time": rfc3339(header.timestamp_ms),
            "headers": receipt.headers.len(),
            "anchored": anchored,
        }),
    ))
}

fn list(context: &Context) -> Result<Outcome, Failure> {
    let directory = context.home.receipts();
    let mut table = Table::new(["WHAT", "HEIGHT", "FILE"]);
    let mut json = Vec::new();
    let mut paths: Vec<_> = match std::fs::read_dir(&directory) {
        Ok(entries) => entries
            .take(MAX_LISTED)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        // No directory: no receipts yet.
        Err(_) => Vec::new(),
    };
    paths.sort();
    for path in paths {
        let Ok(receipt) = read(&path) else {
            table.row(["damaged".into(), String::new(), path.display().to_string()]);
            continue;
        };
        let height = receipt.inclusion.header.height;
        table.row([
            describe(&receipt.transaction),
            height.to_string(),
            path.display().to_string(),
        ]);
        json.push(json!({
            "what": describe(&receipt.transaction),
            "transaction": receipt.transaction.id(),
            "height": height,
            "anchored": !receipt.certificate.is_empty(),
            "file": path.display().to_string(),
        }));
    }
    let text = match json.is_empty() {
        true => format!("there are no receipts in {}", directory.display()),
        false => table.render(),
    };
    Ok(Outcome::done(text, json!({ "receipts": json })))
}

fn verify(network: &Arc<Network>, path: &Path) -> Result<Outcome, Failure> {
    let receipt = read(path)?;
    let proved = receipt::verify(network, &receipt)
        .map_err(|error| Failure::new(Exit::Unverified, format!("{}: {error}", path.display())))?;
    Ok(Outcome::done(
        format!("valid: {}", proved_text(&receipt, &proved)),
        proved_json(&receipt, &proved),
    ))
}

fn proved_text(receipt: &Receipt, proved: &Proved) -> String {
    format!(
        "{}\ntransaction {}\nin block    {} at height {}, {}\nwork        checked, with {} more blocks on top\n{}",
        describe(&receipt.transaction),
        proved.transaction,
        proved.block,
        proved.height,
        local_and_relative(proved.timestamp_ms, now_ms()),
        proved.depth,
        match proved.checkpoint {
            Some(checkpoint) => format!(
                "anchored    in checkpoint {checkpoint}, decided by set {} of finalisers: final",
                proved.set.unwrap_or(0)
            ),
            None => anchor_text(false).to_owned(),
        }
    )
}

fn proved_json(receipt: &Receipt, proved: &Proved) -> Value {
    json!({
        "valid": true,
        "what": describe(&receipt.transaction),
        "transaction": proved.transaction,
        "block": proved.block,
        "height": proved.height,
        "block_time": rfc3339(proved.timestamp_ms),
        "depth": proved.depth,
        "anchored": proved.checkpoint.is_some(),
        "checkpoint": proved.checkpoint,
        "finaliser_set": proved.set,
    })
}

fn anchor_text(anchored: bool) -> &'static str {
    match anchored {
        true => "anchored    in a checkpoint",
        false => {
            "unanchored  no checkpoint vouches for it: it proves work, not that everybody went on with this chain"
        }
    }
}

fn describe(transaction: &Transaction) -> String {
    match &transaction.payload {
        Payload::Registration { registration } => format!("registration of {}", registration.voter),
        Payload::Vote { vote } => format!("vote in election {}", vote.election),
        Payload::Election { election } => format!("election \"{}\"", election.terms.title),
        _ => transaction.kind().name().replace('_', " "),
    }
}

async fn get(context: &mut Context, transaction: Option<String>) -> Result<Outcome, Failure> {
    let wanted: Option<TxId> = transaction
        .map(|text| text.trim().parse())
        .transpose()
        .map_err(|error| Failure::usage(format!("that is no transaction id: {error}")))?;
    let session = context.join().await?;
    let network = session.network().id();
    let ids: Vec<TxId> = match wanted {
        Some(id) => vec![id],
        None => context
            .home
            .sent()?
            .iter()
            .filter(|sent| sent.network == network)
            .map(|sent| sent.transaction.id())
            .collect(),
    };
    let mut lines = Vec::new();
    let mut json = Vec::new();
    let mut exit = Exit::Done;
    for id in ids {
        match fetch(context, &session, id).await? {
            Ok((path, proved)) => {
                let label = match proved.checkpoint {
                    Some(checkpoint) => format!("final, in checkpoint {checkpoint}"),
                    None => "unanchored".to_owned(),
                };
                lines.push(format!("{}  {path}  {label}", id.short()));
                json.push(json!({
                    "transaction": id,
                    "file": path,
                    "anchored": proved.checkpoint.is_some(),
                    "checkpoint": proved.checkpoint,
                }));
            }
            Err(why) => {
                exit = Exit::Unknown;
                lines.push(format!("{}  no receipt: {why}", id.short()));
                json.push(json!({ "transaction": id, "file": null, "why": why }));
            }
        }
    }
    session.close().await;
    if lines.is_empty() {
        lines.push("nothing was handed in".to_owned());
    }
    Ok(Outcome::new(
        exit,
        lines.join("\n"),
        json!({ "receipts": json }),
    ))
}

/// Fetches, checks and keeps a receipt; the inner error says why there is none.
async fn fetch(
    context: &Context,
    session: &Session,
    id: TxId,
) -> Result<Result<(String, Proved), String>, Failure> {
    let (inclusion, depth, certificate) = match session.status(id).await?.value {
        TxStatus::Included { inclusion, depth } => (inclusion, depth, None),
        TxStatus::Final {
            inclusion,
            certificate,
        } => (inclusion, 0, Some(certificate)),
        TxStatus::Pending {} => return Ok(Err("it waits for a block".to_owned())),
        TxStatus::Unknown {} => return Ok(Err("no node has heard of it".to_owned())),
        TxStatus::Dropped { reason } => return Ok(Err(words(&reason))),
    };
    let Some(transaction) = session.transaction(id).await? else {
        return Ok(Err("no node gave the transaction".to_owned()));
    };
    let block = check_inclusion(session.network(), &id, &inclusion)
        .map_err(|error| Failure::new(Exit::Unverified, error))?;
    let included = Included {
        inclusion,
        block,
        depth,
        settled: certificate.is_some(),
        certificate,
    };
    let receipt = receipt::make(session, transaction, &included).await;
    let proved = receipt::verify(session.network(), &receipt)
        .map_err(|error| Failure::new(Exit::Unverified, error))?;
    let path = context.home.keep_receipt(&receipt)?;
    Ok(Ok((path.display().to_string(), proved)))
}
