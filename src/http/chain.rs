//! Blocks of the main chain.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Name, Params};
use super::finality;
use super::{ApiError, App};
use crate::chain::block::{BlockId, Header};
use crate::store::Snapshot;

/// Most blocks in a list.
const MAX_BLOCKS: u64 = 100;

/// Which page of the chain.
#[derive(Deserialize)]
pub struct BlocksPage {
    before: Option<u64>,
    limit: Option<u64>,
}

/// `GET /api/v1/blocks`: newest first.
pub async fn blocks(
    State(app): State<App>,
    Params(page): Params<BlocksPage>,
) -> Result<Json<Value>, ApiError> {
    let value = app
        .read(move |snapshot| {
            let tip = snapshot.tip().height;
            let end = page.before.unwrap_or(u64::MAX).min(tip + 1);
            let start = end.saturating_sub(page.limit.unwrap_or(20).min(MAX_BLOCKS));
            let blocks = (start..end)
                .rev()
                .filter_map(|height| at_height(snapshot, height).transpose())
                .collect::<Result<Vec<_>, _>>()?;
            Ok(json!({ "tip_height": tip, "blocks": blocks }))
        })
        .await?;
    Ok(Json(value))
}

/// `GET /api/v1/blocks/{block}`: by height, or by id, which may be off the main chain.
pub async fn block(State(app): State<App>, Name(name): Name) -> Result<Json<Value>, ApiError> {
    let value = app
        .read(move |snapshot| {
            let id = match (name.parse::<u64>(), name.parse::<BlockId>()) {
                // 64 digits may be an id of decimal digits alone; a height has far fewer.
                (_, Ok(id)) => Some(id),
                (Ok(height), _) => snapshot.main_id(height)?,
                _ => {
                    return Err(ApiError::BadRequest(
                        "a block is named by its height or its id of 64 hexadecimal digits".into(),
                    ));
                }
            };
            let found = match id {
                Some(id) => snapshot.header(&id)?.map(|header| (id, header)),
                None => None,
            };
            let Some((id, header)) = found else {
                return Err(ApiError::NotFound("there is no such block"));
            };
            let body = snapshot.block_body(&id)?;
            let mut value = summary(snapshot, &id, &header)?;
            value["transactions"] = json!(body.as_ref().map(|body| body.ids()));
            Ok(value)
        })
        .await?;
    Ok(Json(value))
}

fn at_height(snapshot: &Snapshot, height: u64) -> Result<Option<Value>, ApiError> {
    match snapshot.main_block(height)? {
        Some((id, header)) => summary(snapshot, &id, &header).map(Some),
        None => Ok(None),
    }
}

fn summary(snapshot: &Snapshot, id: &BlockId, header: &Header) -> Result<Value, ApiError> {
    let main = snapshot.main_id(header.height)? == Some(*id);
    let body = snapshot.block_body(id)?;
    let checkpoint = match main {
        true => finality::number_at_or_above(snapshot, header.height)?,
        false => None,
    };
    Ok(json!({
        "id": id,
        "height": header.height,
        "parent": header.parent,
        "timestamp_ms": header.timestamp_ms,
        "miner": header.miner,
        "transaction_root": header.transaction_root,
        "transaction_count": body.as_ref().map(|body| body.ids().len()),
        "body_bytes": body.as_ref().map(|body| body.bytes().len()),
        "roll_size": header.roll_size,
        "roll_root": header.roll_root,
        "main_chain": main,
        "final": checkpoint.is_some(),
        "checkpoint": checkpoint,
        "depth": main.then(|| snapshot.tip().height.saturating_sub(header.height)),
    }))
}
