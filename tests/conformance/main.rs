//! Conformance: the code, the schema, the vectors of `proto/` and an independent checker in Python hold together.
#![allow(clippy::unwrap_used)]

mod encoding;
mod keys;
mod messages;
mod samples;
mod schema;
mod signatures;
mod vectors;
