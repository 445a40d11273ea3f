//! Headers on top of a block, fetched from a node and checked.

use votenode_p2p::PeerId;

use crate::chain::block::{BlockId, Header};
use crate::client::link::{AskError, Link};
use crate::client::proof::check_headers;
use crate::protocol::sync::{MAX_HEADERS, Reply, Request};
use crate::wire::List;

/// Headers asked for first on the way to a block: a checkpoint is seldom far above what it makes final. Each further
/// question asks for four times as many.
const FIRST_STEP: usize = 16;

/// The headers from a block to one above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// They lead there; empty if it is the same block.
    Reached(Vec<Header>),
    /// They go on beyond the bound.
    TooFar,
    /// They end before it: the node's best chain does not hold both blocks.
    Apart,
}

/// At most `max` headers that follow on `base` on the node's best chain, checked one by one. None if the node's best
/// chain does not hold `base`, or nothing follows there.
pub async fn headers_above(
    link: &Link,
    peer: PeerId,
    base: &Header,
    max: usize,
) -> Result<Vec<Header>, AskError> {
    let mut headers = Vec::new();
    while headers.len() < max {
        let wanted = max - headers.len();
        if !extend(link, peer, base, &mut headers, wanted).await? {
            break;
        }
    }
    Ok(headers)
}

/// The headers above `base` up to and with `target`, at most `max`, checked one by one.
pub async fn headers_to(
    link: &Link,
    peer: PeerId,
    base: &Header,
    target: &BlockId,
    max: usize,
) -> Result<Way, AskError> {
    let mut headers = Vec::new();
    if base.id() == *target {
        return Ok(Way::Reached(headers));
    }
    let mut step = FIRST_STEP;
    while headers.len() < max {
        let seen = headers.len();
        let wanted = step.min(max - seen);
        if !extend(link, peer, base, &mut headers, wanted).await? {
            return Ok(Way::Apart);
        }
        let found = headers[seen..]
            .iter()
            .position(|header| header.id() == *target);
        if let Some(at) = found {
            headers.truncate(seen + at + 1);
            return Ok(Way::Reached(headers));
        }
        step = step.saturating_mul(4);
    }
    Ok(Way::TooFar)
}

/// Fetches up to `wanted` more headers; false if nothing follows on what is there.
async fn extend(
    link: &Link,
    peer: PeerId,
    base: &Header,
    headers: &mut Vec<Header>,
    wanted: usize,
) -> Result<bool, AskError> {
    let last = headers.last().unwrap_or(base);
    let last_id: BlockId = last.id();
    let wanted = wanted.min(MAX_HEADERS);
    let request = Request::Headers {
        locator: List::new(vec![last_id]).map_err(|_| AskError::Unfit)?,
        max: wanted as u64,
    };
    let Reply::Headers { headers: more } = link.ask_sync(peer, &request).await? else {
        return Err(AskError::Unfit);
    };
    // A node on another branch begins lower down: that is no answer to this question.
    let follows = more.first().is_some_and(|first| first.parent == last_id);
    if !follows {
        return Ok(false);
    }
    if more.len() > wanted || check_headers(link.network(), last, &more).is_err() {
        return Err(AskError::Unfit);
    }
    headers.extend(more.into_vec());
    Ok(true)
}
