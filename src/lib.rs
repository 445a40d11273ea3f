//! votenode.
