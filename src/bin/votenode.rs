//! votenode
fn main() {}
