//! Transactions: where one is, with the proof, and taking signed ones.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::Name;
use super::finality;
use super::{ApiError, App};
use crate::chain::election::Ballot;
use crate::chain::transaction::{Admission, Credential, Payload, Transaction, TxId};
use crate::node::handle::{MAX_SUBMISSION, OutcomeView};
use crate::protocol::transaction_file::{from_hex, to_hex};
use crate::wire::{self, Message as _};

/// `GET /api/v1/transactions/{id}`
pub async fn transaction(State(app): State<App>, Name(id): Name) -> Result<Json<Value>, ApiError> {
    let id: TxId = id
        .parse()
        .map_err(|_| ApiError::BadRequest("a transaction id has 64 hexadecimal digits".into()))?;
    let dropped = app.node.dropped();
    let value = app
        .read(move |snapshot| {
            if let Some(found) = snapshot.inclusion(&id)? {
                let height = found.header.height;
                let mut value = shown(&id, &found.transaction)?;
                let checkpoint = finality::at_or_above(snapshot, height)?;
                let state = match checkpoint.is_null() {
                    true => "included",
                    false => "final",
                };
                value["status"] = json!(state);
                value["checkpoint"] = checkpoint;
                value["depth"] = json!(snapshot.tip().height.saturating_sub(height));
                value["inclusion"] = json!({
                    "block": found.block,
                    "height": height,
                    "timestamp_ms": found.header.timestamp_ms,
                    "header_hex": to_hex(&wire::encode(&found.header)),
                    "index": found.proof.index,
                    "count": found.proof.count,
                    "path": found.proof.path,
                });
                return Ok(value);
            }
            let Some(encoded) = snapshot.pending(&id)? else {
                if let Some(reason) = dropped.reason(&id) {
                    return Err(ApiError::Dropped(reason.text.to_string()));
                }
                return Err(ApiError::NotFound(
                    "this node does not hold such a transaction",
                ));
            };
            let mut value = shown(&id, &encoded)?;
            value["status"] = json!("pending");
            value["checkpoint"] = Value::Null;
            value["depth"] = Value::Null;
            value["inclusion"] = Value::Null;
            Ok(value)
        })
        .await?;
    Ok(Json(value))
}

fn shown(id: &TxId, encoded: &[u8]) -> Result<Value, ApiError> {
    let transaction: Transaction = wire::decode(encoded).map_err(|error| {
        tracing::error!(%id, %error, "the store holds a transaction that cannot be read");
        ApiError::Internal
    })?;
    Ok(json!({
        "id": id,
        "kind": transaction.kind().name(),
        "bytes": encoded.len(),
        "content": content(&transaction.payload),
        "encoded_hex": to_hex(encoded),
    }))
}

/// What a transaction says, without signatures and proofs, which `encoded_hex` holds.
fn content(payload: &Payload) -> Value {
    match payload {
        Payload::Registration { registration } => json!({
            "voter": registration.voter,
            "ring_key": registration.ring_key,
            "admission": match &registration.admission {
                Admission::Open { .. } => "open",
                Admission::Invited { .. } => "invited",
            },
            "invitation": match &registration.admission {
                Admission::Open { .. } => None,
                Admission::Invited { invitation, .. } => Some(invitation),
            },
        }),
        Payload::InvitationBatch { batch } => json!({
            "group": batch.group.as_str(),
            "keys": &batch.keys[..],
            "organiser": batch.organiser,
        }),
        Payload::InvitationRevoke { revoke } => json!({
            "keys": &revoke.keys[..],
            "organiser": revoke.organiser,
        }),
        Payload::Election { election } => json!({
            "election": election.id(),
            "title": election.terms.title.as_str(),
            "organiser": election.organiser,
        }),
        Payload::Vote { vote } => json!({
            "election": vote.election,
            "choices": match &vote.ballot {
                Ballot::Open { choices } => Some(choices.to_vec()),
                Ballot::Sealed { .. } => None,
            },
            "voter": match &vote.credential {
                Credential::Pseudonymous { voter, .. } => Some(voter),
                Credential::Anonymous { .. } => None,
            },
            "linking_tag": match &vote.credential {
                Credential::Pseudonymous { .. } => None,
                Credential::Anonymous { tag, .. } => Some(tag),
            },
        }),
        Payload::Reveal { reveal } => json!({
            "election": reveal.election,
            "closing_block": reveal.closing_block,
            "trustee": reveal.trustee,
        }),
        Payload::FinaliserChange { change } => json!({ "set": change.set }),
        Payload::Equivocation { equivocation } => json!({ "finaliser": equivocation.finaliser }),
    }
}

/// A submission in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    transactions: Vec<String>,
}

/// `POST /api/v1/transactions`: JSON, or text with one encoding in hexadecimal a line.
pub async fn submit(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let body = body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ApiError::TooLarge,
        _ => ApiError::BadRequest("the body cannot be read".into()),
    })?;
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    let transactions = read_submission(is_json, &body).map_err(ApiError::BadRequest)?;
    let ids: Vec<TxId> = transactions.iter().map(Transaction::id).collect();
    let outcomes = app.node.submit(transactions).await?;
    let outcomes: Vec<_> = ids
        .iter()
        .zip(&outcomes)
        .map(|(id, outcome)| {
            let OutcomeView { outcome, reason } = outcome.into();
            json!({ "id": id, "outcome": outcome, "reason": reason })
        })
        .collect();
    Ok(Json(json!({ "outcomes": outcomes })))
}

/// The transactions in the body of a submission, or what is wrong with it.
pub(crate) fn read_submission(is_json: bool, body: &[u8]) -> Result<Vec<Transaction>, String> {
    let encoded: Vec<String> = if is_json {
        let submission: Submission =
            serde_json::from_slice(body).map_err(|error| format!("the body: {error}"))?;
        submission.transactions
    } else {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not text")?;
        text.split_whitespace().map(str::to_owned).collect()
    };
    if !(1..=MAX_SUBMISSION).contains(&encoded.len()) {
        return Err(format!(
            "from 1 to {MAX_SUBMISSION} transactions can be submitted at once"
        ));
    }
    decode(&encoded)
}

fn decode(encoded: &[String]) -> Result<Vec<Transaction>, String> {
    encoded
        .iter()
        .enumerate()
        .map(|(index, digits)| {
            let bytes = from_hex(digits, Transaction::MAX_BYTES)
                .ok_or_else(|| format!("transaction {index}: not hexadecimal, or too long"))?;
            wire::decode(&bytes).map_err(|error| format!("transaction {index}: {error}"))
        })
        .collect()
}
