//! Headers on top of a block, fetched from a node and checked.

use votenode_p2p::PeerId;

use crate::chain::block::{BlockId, Header};
use crate::client::link::{AskError, Link};
use crate::client::proof::check_headers;
use crate::protocol::sync::{MAX_HEADERS, Reply, Request};
use crate::wire::List;

/// At most `max` headers that follow on `base` on the node's best chain, checked one by one. None if the node's best
/// chain does not hold `base`, or nothing follows there.
pub async fn headers_above(
    link: &Link,
    peer: PeerId,
    base: &Header,
    max: usize,
) -> Result<Vec<Header>, AskError> {
    let mut headers: Vec<Header> = Vec::new();
    while headers.len() < max {
        let last = headers.last().unwrap_or(base);
        let last_id: BlockId = last.id();
        let wanted = (max - headers.len()).min(MAX_HEADERS);
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
            break;
        }
        if more.len() > wanted || check_headers(link.network(), last, &more).is_err() {
            return Err(AskError::Unfit);
        }
        headers.extend(more.into_vec());
    }
    Ok(headers)
}
