//! What the node is and does: its picture, its peers, who mines what, what waits.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::extract::Params;
use super::{ApiError, App};
use crate::chain::transaction::TxId;
use crate::node::handle::PeerView;
use crate::node::status::NodeStatus;

/// Most ids of waiting transactions in an answer.
const MAX_PENDING_IDS: usize = 1_000;

/// `GET /api/v1/status`
pub async fn status(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    app.node.shown_status().map(Json).map_err(unwritten)
}

/// `GET /api/v1/peers`
pub async fn peers(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let peers = app.node.peers().await?;
    let peers: Vec<PeerView> = peers.iter().map(PeerView::from).collect();
    Ok(Json(json!({ "peers": peers })))
}

/// `GET /api/v1/mining`
pub async fn mining(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let status: &NodeStatus = &app.node.status();
    Ok(Json(json!({
        "now_ms": status.now_ms,
        "miner": status.miner,
        "own": to_value(&status.mining)?,
        "others": to_value(&status.mining_states)?,
    })))
}

/// Which page of the mempool.
#[derive(Deserialize)]
pub struct MempoolPage {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/mempool`
pub async fn mempool(
    State(app): State<App>,
    Params(page): Params<MempoolPage>,
) -> Result<Json<Value>, ApiError> {
    let after = match page.after {
        None => TxId::ZERO,
        Some(id) => id
            .parse()
            .map_err(|_| ApiError::BadRequest("after: a transaction id is wanted".into()))?,
    };
    let limit = page.limit.unwrap_or(100).min(MAX_PENDING_IDS);
    let ids = app
        .read(move |snapshot| Ok(snapshot.pending_ids(&after, limit)?))
        .await?;
    let status = app.node.status();
    Ok(Json(json!({
        "transactions": to_value(&status.mempool.transactions)?,
        "bytes": status.mempool.bytes,
        "held": status.mempool.held,
        "full": status.mempool.full,
        "ids": ids,
    })))
}

/// A value whose serialisation cannot fail but by a bug.
fn to_value(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> ApiError {
    tracing::error!(%error, "an answer could not be written");
    ApiError::Internal
}
