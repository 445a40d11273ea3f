//! `genesis/1`: a newcomer that knows an address asks which network it is. The request is empty; the reply is the
//! canonical encoding of the [`Genesis`].

use crate::chain::genesis::Genesis;
use crate::wire::Message;

/// Longest request: there is nothing to say.
pub const MAX_REQUEST_BYTES: usize = 0;
/// Longest reply.
pub const MAX_REPLY_BYTES: usize = Genesis::MAX_BYTES;
