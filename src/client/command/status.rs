//! `ballot status`: the voter's registration and votes, from the voter_id alone and from what was handed in here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chain::election::ElectionId;
use crate::chain::transaction::{Payload, Transaction, TxId};
use crate::client::command::context::Context;
use crate::client::command::elections::{list, short};
use crate::client::command::failure::Failure;
use crate::client::command::output::{Outcome, Table, agreement_text, reason_json};
use crate::client::exchange::words;
use crate::client::queries::{Answer, ElectionView};
use crate::client::session::Session;
use crate::client::time::{now_ms, relative, rfc3339};
use crate::crypto::PublicKey;
use crate::protocol::submit::TxStatus;

/// Newest elections in which a voter's vote is looked for.
const MAX_ELECTIONS_SEARCHED: usize = 100;
/// Newest transactions handed in here whose state is asked.
const MAX_SENT_SHOWN: usize = 100;

/// `ballot status`.
pub async fn status(context: &mut Context) -> Result<Outcome, Failure> {
    let key = match context.home.has_voter() {
        true => Some(context.voter()?.signing_key().public_key()),
        false => None,
    };
    let session = context.join().await?;
    let elections = list(context, &session).await?.value;
    let nodes = session.node_statuses().await?;
    let mut text = String::new();
    let mut json = json!({ "network": session.network().id(), "network_name": session.network().name.as_str() });
    let best = nodes
        .iter()
        .map(|node| &node.status)
        .max_by_key(|status| status.height);
    if let Some(best) = best {
        text.push_str(&format!(
            "network \"{}\" {}, {} nodes asked, height {}, {} waiting\n",
            session.network().name,
            session.network().id(),
            nodes.len(),
            best.height,
            best.pending
        ));
        if session.network().finalises() {
            text.push_str(&match best.checkpoint_height {
                0 => "no block is final yet, as the nodes say\n".to_owned(),
                height => format!("final up to height {height}, as the nodes say\n"),
            });
            json["final_height"] = json!(best.checkpoint_height);
        }
        json["height"] = json!(best.height);
        json["pending"] = json!(best.pending);
    }
    let mut rows = Rows::default();
    match key {
        None => text.push_str(&format!(
            "there is no voter file {}: `ballot register` makes one\n",
            context.home.voter_file().display()
        )),
        Some(key) => {
            text.push_str(&format!("voter key {key}\n"));
            json["voter_key"] = json!(key);
            rows.on_chain(&session, &elections, key).await?;
        }
    }
    rows.sent(context, &session, &elections).await?;
    session.close().await;

    text.push_str(&match rows.rows.is_empty() {
        true => "\nnothing was handed in".to_owned(),
        false => format!("\n{}", rows.table.render()),
    });
    for dissent in &rows.dissent {
        text.push_str(&format!("\n{dissent}"));
    }
    json["transactions"] = Value::Array(rows.rows);
    Ok(Outcome::done(text, json))
}

struct Rows {
    table: Table,
    rows: Vec<Value>,
    dissent: Vec<String>,
    seen: BTreeMap<TxId, ()>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            table: Table::new(["WHAT", "STATE", "TRANSACTION"]),
            rows: Vec::new(),
            dissent: Vec::new(),
            seen: BTreeMap::new(),
        }
    }
}

impl Rows {
    /// What the chain holds of the voter, whether it was handed in here or elsewhere.
    async fn on_chain(
        &mut self,
        session: &Session,
        elections: &[ElectionView],
        key: PublicKey,
    ) -> Result<(), Failure> {
        if let Some(info) = session.voter(key).await?.value {
            let what = format!("registration, group {}", info.group);
            self.add(session, info.transaction, what, None).await?;
        }
        for view in elections.iter().take(MAX_ELECTIONS_SEARCHED) {
            if let Some(id) = session.vote_of(view.id, key).await?.value {
                let what = format!("vote in \"{}\"", view.info.election.terms.title);
                self.add(session, id, what, None).await?;
            }
        }
        Ok(())
    }

    /// What was handed in here.
    async fn sent(
        &mut self,
        context: &Context,
        session: &Session,
        elections: &[ElectionView],
    ) -> Result<(), Failure> {
        let network = session.network().id();
        let mut sent = context.home.sent()?;
        sent.retain(|sent| sent.network == network);
        for sent in sent.iter().rev().take(MAX_SENT_SHOWN) {
            let id = sent.transaction.id();
            if !self.seen.contains_key(&id) {
                let what = describe(&sent.transaction, elections);
                self.add(session, id, what, Some(sent.at_ms)).await?;
            }
        }
        Ok(())
    }

    async fn add(
        &mut self,
        session: &Session,
        id: TxId,
        what: String,
        sent_ms: Option<u64>,
    ) -> Result<(), Failure> {
        self.seen.insert(id, ());
        let Answer { value, agreement } = session.status(id).await?;
        let (mut state, json) = state(&value);
        if let Some(sent_ms) = sent_ms {
            state.push_str(&format!(", handed in {}", relative(sent_ms, now_ms())));
        }
        if !agreement.is_unanimous() {
            self.dissent
                .push(format!("{}: {}", id.short(), agreement_text(&agreement)));
        }
        self.rows.push(json!({
            "transaction": id,
            "what": what,
            "status": json,
            "handed_in_at": sent_ms.map(rfc3339),
        }));
        self.table.row([what, state, id.to_string()]);
        Ok(())
    }
}

fn state(status: &TxStatus) -> (String, Value) {
    match status {
        TxStatus::Unknown {} => (
            "unknown: no node has heard of it".to_owned(),
            json!({ "state": "unknown" }),
        ),
        TxStatus::Pending {} => ("pending".to_owned(), json!({ "state": "pending" })),
        TxStatus::Included { inclusion, depth } => (
            format!(
                "included at height {} (depth {depth})",
                inclusion.header.height
            ),
            json!({ "state": "included", "height": inclusion.header.height, "depth": depth }),
        ),
        TxStatus::Final {
            inclusion,
            certificate,
        } => (
            format!(
                "final, at height {}, by checkpoint {}",
                inclusion.header.height, certificate.checkpoint
            ),
            json!({
                "state": "final",
                "height": inclusion.header.height,
                "checkpoint": certificate.checkpoint,
            }),
        ),
        TxStatus::Dropped { reason } => (
            format!("dropped: {}", words(reason)),
            json!({ "state": "dropped", "reason": reason_json(reason) }),
        ),
    }
}

fn describe(transaction: &Transaction, elections: &[ElectionView]) -> String {
    let title = |id: &ElectionId| {
        elections.iter().find(|view| view.id == *id).map_or_else(
            || short(id),
            |view| view.info.election.terms.title.to_string(),
        )
    };
    match &transaction.payload {
        Payload::Vote { vote } => format!("vote in \"{}\"", title(&vote.election)),
        Payload::Election { election } => format!("election \"{}\"", election.terms.title),
        _ => transaction.kind().name().replace('_', " "),
    }
}
