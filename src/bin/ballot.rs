//! ballot
fn main() {}
