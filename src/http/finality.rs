//! Checkpoints: who decides them, which there are, and what of the finalisers the chain holds against them.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::extract::Name;
use super::{ApiError, App};
use crate::chain::checkpoint::FinaliserSet;
use crate::chain::genesis::Finaliser;
use crate::chain::state::{Conviction, View as _};
use crate::chain::transaction::FinalityMessage;
use crate::crypto::PublicKey;
use crate::protocol::transaction_file::to_hex;
use crate::store::{Checkpoint, Snapshot};
use crate::wire;

/// Latest checkpoints in an answer.
const MAX_CHECKPOINTS: u64 = 20;
/// Latest convictions in an answer.
const MAX_CONVICTIONS: u64 = 100;

/// `GET /api/v1/finality`
pub async fn finality(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let status = serde_json::to_value(&app.node.status().finality).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        ApiError::Internal
    })?;
    let value = app
        .read(move |snapshot| {
            let last = snapshot.last_certificate()?;
            let number = last.map_or(0, |last| last.certificate.checkpoint);
            let from = number.saturating_sub(MAX_CHECKPOINTS - 1).max(1);
            let mut checkpoints = snapshot.certificates(from, MAX_CHECKPOINTS as usize)?;
            checkpoints.reverse();
            let count = snapshot.state().conviction_count()?;
            let skip = count.saturating_sub(MAX_CONVICTIONS);
            let mut convictions = snapshot
                .state()
                .convictions(skip, MAX_CONVICTIONS as usize)?;
            convictions.reverse();
            let sets = sets(snapshot)?;
            let name = |key: &PublicKey| {
                let member = sets.iter().rev().find_map(|set| set.member(key));
                member.map(|member| member.name.to_string())
            };
            Ok(json!({
                "finalises": snapshot.network().finalises(),
                "status": status,
                "checkpoints": checkpoints
                    .iter()
                    .map(|checkpoint| summary(checkpoint, &sets))
                    .collect::<Vec<_>>(),
                "convictions_total": count,
                "convictions": convictions
                    .iter()
                    .map(|conviction| convicted(conviction, name(&conviction.offence.finaliser)))
                    .collect::<Vec<_>>(),
                "changes": changes(snapshot)?,
            }))
        })
        .await?;
    Ok(Json(value))
}

/// `GET /api/v1/checkpoints/{number}`
pub async fn checkpoint(
    State(app): State<App>,
    Name(number): Name,
) -> Result<Json<Value>, ApiError> {
    let number: u64 = number.parse().map_err(|_| {
        ApiError::BadRequest("a checkpoint is named by its number, from 1 on".into())
    })?;
    let value = app
        .read(move |snapshot| {
            let checkpoint = snapshot
                .certificate(number)?
                .ok_or(ApiError::NotFound("there is no such checkpoint yet"))?;
            let sets = sets(snapshot)?;
            let certificate = &checkpoint.certificate;
            let mut value = summary(&checkpoint, &sets);
            value["timestamp_ms"] = json!(
                snapshot
                    .header(&certificate.block)?
                    .map(|header| header.timestamp_ms)
            );
            let set = set_of(&sets, certificate.set);
            value["signers"] = certificate
                .precommits
                .iter()
                .filter_map(|precommit| set?.member(&precommit.key))
                .map(member)
                .collect();
            value["certificate_hex"] = json!(to_hex(&wire::encode(certificate)));
            Ok(value)
        })
        .await?;
    Ok(Json(value))
}

/// The checkpoint that makes the block at a height of the main chain final; null if there is none.
pub fn at_or_above(snapshot: &Snapshot, height: u64) -> Result<Value, ApiError> {
    let found = snapshot.first_certificate_at_or_above(height)?;
    Ok(json!(found.map(|found| json!({
        "number": found.certificate.checkpoint,
        "id": found.certificate.block,
        "height": found.height,
    }))))
}

/// The number of that; none if there is none.
pub fn number_at_or_above(snapshot: &Snapshot, height: u64) -> Result<Option<u64>, ApiError> {
    let found = snapshot.first_certificate_at_or_above(height)?;
    Ok(found.map(|found| found.certificate.checkpoint))
}

/// All sets of finalisers so far, from set 0 on.
fn sets(snapshot: &Snapshot) -> Result<Vec<FinaliserSet>, ApiError> {
    let (state, network) = (snapshot.state(), snapshot.network());
    let numbers = 0..=state.set_changes()?;
    let sets = numbers.map(|number| state.finaliser_set(network, number));
    Ok(sets
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

fn set_of(sets: &[FinaliserSet], number: u64) -> Option<&FinaliserSet> {
    sets.iter().find(|set| set.number() == number)
}

fn summary(checkpoint: &Checkpoint, sets: &[FinaliserSet]) -> Value {
    let certificate = &checkpoint.certificate;
    let set = set_of(sets, certificate.set);
    let power = set.map(|set| -> u64 {
        let signers = certificate.precommits.iter();
        signers
            .filter_map(|precommit| set.member(&precommit.key))
            .map(|member| member.power)
            .sum()
    });
    json!({
        "number": certificate.checkpoint,
        "block": certificate.block,
        "height": checkpoint.height,
        "set": certificate.set,
        "round": certificate.round,
        "signed_power": power,
        "total_power": set.map(FinaliserSet::total),
    })
}

fn member(member: &Finaliser) -> Value {
    json!({ "key": member.key, "name": member.name.as_str(), "power": member.power })
}

fn convicted(conviction: &Conviction, name: Option<String>) -> Value {
    let offence = &conviction.offence;
    json!({
        "finaliser": offence.finaliser,
        "name": name,
        "kind": match offence.kind {
            FinalityMessage::PROPOSAL => "proposal",
            FinalityMessage::PREVOTE => "prevote",
            _ => "precommit",
        },
        "checkpoint": offence.height,
        "round": offence.round,
        "height": conviction.position.height,
    })
}

fn changes(snapshot: &Snapshot) -> Result<Vec<Value>, ApiError> {
    let state = snapshot.state();
    let mut changes = Vec::new();
    for set in (1..=state.set_changes()?).rev() {
        let Some(record) = state.set_change(set)? else {
            continue;
        };
        let change = &record.change;
        changes.push(json!({
            "set": set,
            "height": record.position.height,
            "finalisers": change.finalisers.iter().map(member).collect::<Vec<_>>(),
            "approved_by": change.approvals.iter().map(|approval| approval.key).collect::<Vec<_>>(),
        }));
    }
    Ok(changes)
}
