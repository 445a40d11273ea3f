//! Elections and their results.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Name, Params};
use super::finality;
use super::{ApiError, App};
use crate::chain::block::BlockId;
use crate::chain::election::{Election, ElectionId, Privacy, Secrecy};
use crate::chain::genesis::{Genesis, OPEN_GROUP, OpenAdmission};
use crate::chain::state::ElectionRecord;
use crate::node::results;
use crate::protocol::submit::{ElectionPhase, ElectionResult, Round};
use crate::store::Snapshot;

/// Most elections in a list.
const MAX_ELECTIONS: usize = 100;

/// Which page of the elections.
#[derive(Deserialize)]
pub struct ElectionsPage {
    skip: Option<u64>,
    limit: Option<usize>,
}

/// `GET /api/v1/elections`: newest first.
pub async fn elections(
    State(app): State<App>,
    Params(page): Params<ElectionsPage>,
) -> Result<Json<Value>, ApiError> {
    let now_ms = now_ms();
    let value = app
        .read(move |snapshot| {
            let limit = page.limit.unwrap_or(20).min(MAX_ELECTIONS);
            let elections = snapshot
                .elections(page.skip.unwrap_or(0), limit)?
                .iter()
                .map(|record| shown(snapshot, record, now_ms))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(json!({ "total": snapshot.counts().elections, "elections": elections }))
        })
        .await?;
    Ok(Json(value))
}

/// `GET /api/v1/elections/{id}`
pub async fn election(State(app): State<App>, Name(id): Name) -> Result<Json<Value>, ApiError> {
    let id = parse(&id)?;
    let now_ms = now_ms();
    let value = app
        .read(move |snapshot| shown(snapshot, &*find(snapshot, &id)?, now_ms))
        .await?;
    Ok(Json(value))
}

/// `GET /api/v1/elections/{id}/results`
pub async fn results(State(app): State<App>, Name(id): Name) -> Result<Json<Value>, ApiError> {
    let id = parse(&id)?;
    let now_ms = now_ms();
    let tallies = app.tallies.clone();
    let value = app
        .read(move |snapshot| {
            let record = find(snapshot, &id)?;
            let network = snapshot.network();
            let tip = snapshot.tip().id;
            let result = tallies
                .result(snapshot, network, &id, now_ms)?
                .ok_or(ApiError::NotFound(UNKNOWN))?;
            let phase = results::phase(
                &record,
                result.closing_block.first(),
                result.checkpoint.first(),
                now_ms,
            );
            let mut value = told(network.genesis(), &record.election, &result, phase, tip);
            value["checkpoint"] = match result.closing_block.first() {
                Some(closing) => finality::at_or_above(snapshot, closing.height)?,
                None => Value::Null,
            };
            Ok(value)
        })
        .await?;
    Ok(Json(value))
}

const UNKNOWN: &str = "there is no such election on this node's chain";

fn parse(id: &str) -> Result<ElectionId, ApiError> {
    id.parse()
        .map_err(|_| ApiError::BadRequest("an election id has 64 hexadecimal digits".into()))
}

fn find(snapshot: &Snapshot, id: &ElectionId) -> Result<Arc<ElectionRecord>, ApiError> {
    snapshot.election(id)?.ok_or(ApiError::NotFound(UNKNOWN))
}

fn shown(snapshot: &Snapshot, record: &ElectionRecord, now_ms: u64) -> Result<Value, ApiError> {
    let closing = results::closing_block(snapshot, snapshot.network(), record)?;
    let checkpoint = results::final_since(snapshot, closing.as_ref())?;
    let phase = results::phase(record, closing.as_ref(), checkpoint.as_ref(), now_ms);
    let final_by = match &closing {
        Some(closing) => finality::at_or_above(snapshot, closing.height)?,
        None => Value::Null,
    };
    let election = &record.election;
    let terms = &election.terms;
    Ok(json!({
        "id": record.id,
        "transaction": record.transaction,
        "height": record.position.height,
        "included_at_ms": record.included_at_ms,
        "title": terms.title.as_str(),
        "question": terms.question.as_str(),
        "options": terms.options.iter().map(|option| option.as_str()).collect::<Vec<_>>(),
        "method": election.method().map(|method| method.name()),
        "seats": terms.seats,
        "score_maximum": terms.score_maximum,
        "opens_at_ms": terms.opens_at_ms,
        "closes_at_ms": terms.closes_at_ms,
        "roll_closes_at_ms": terms.roll_closes_at_ms,
        "groups": terms.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(),
        "privacy": match Privacy::from_number(terms.privacy) {
            Some(Privacy::Anonymous) => "anonymous",
            _ => "pseudonymous",
        },
        "secrecy": match election.secrecy {
            Secrecy::Open {} => "open",
            Secrecy::Sealed { .. } => "sealed",
        },
        "organiser": election.organiser,
        "votes": snapshot.vote_count(&record.id)?,
        "phase": phase,
        "checkpoint": final_by,
    }))
}

fn told(
    genesis: &Genesis,
    election: &Election,
    result: &ElectionResult,
    phase: ElectionPhase,
    as_of: BlockId,
) -> Value {
    let tally = &result.tally;
    let options: Vec<_> = election
        .terms
        .options
        .iter()
        .enumerate()
        .map(|(index, option)| {
            json!({
                "index": index,
                "text": option.as_str(),
                "total": tally.totals.get(index),
                "winner": tally.winners.iter().any(|winner| usize::from(*winner) == index),
            })
        })
        .collect();
    let block = |block: &crate::protocol::submit::BlockAt| json!({ "id": block.id, "height": block.height });
    json!({
        "election": result.election,
        "title": election.terms.title.as_str(),
        "method": election.method().map(|method| method.name()),
        "seats": election.terms.seats,
        "phase": phase,
        "as_of_block": as_of,
        "closing_block": result.closing_block.first().map(block),
        "eligible": result.eligible,
        "votes": tally.votes,
        "blank": tally.blank,
        "spoiled": tally.spoiled,
        "options": options,
        "winners": &tally.winners[..],
        "by_lot": tally.by_lot(),
        "rounds": tally.rounds.iter().map(round).collect::<Vec<_>>(),
        "pairwise": &tally.pairwise[..],
        "notes": notes(genesis, election, phase),
    })
}

fn round(round: &Round) -> Value {
    json!({
        "counts_e5": &round.counts[..],
        "exhausted_e5": round.exhausted,
        "elected": &round.elected[..],
        "excluded": &round.excluded[..],
    })
}

/// What a reader of the result has to know to make of it what it is worth.
fn notes(genesis: &Genesis, election: &Election, phase: ElectionPhase) -> Vec<&'static str> {
    let open = matches!(genesis.open_admission, OpenAdmission::Stamped { .. })
        && election
            .terms
            .groups
            .iter()
            .any(|group| group.as_str() == OPEN_GROUP);
    let lines = [
        (
            phase != ElectionPhase::Provisional && phase != ElectionPhase::Final,
            "Polls are not over: the count changes with every block.",
        ),
        (
            genesis.finalises() && phase == ElectionPhase::Provisional,
            "The closing block is not final yet: the result is provisional until finalisers decide a checkpoint above it.",
        ),
        (
            !genesis.finalises(),
            "Nobody finalises this network: the result is provisional, and a longer chain could replace it.",
        ),
        (
            open,
            "Anybody could register as often as they liked: this is not one person, one vote.",
        ),
        (
            crate::genesis::is_lan(&genesis.network_id()),
            "This is the network for trials.",
        ),
    ];
    lines
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, line)| line)
        .collect()
}

/// The clock; before 1970 it is 1970.
fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
