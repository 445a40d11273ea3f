//! Conformance: the code, the schema, the vectors of `proto/` and an independent checker in Python hold together.
#![allow(clippy::unwrap_used)]

mod chain;
mod encoding;
mod guide;
mod keys;
mod messages;
mod properties;
mod python;
mod readme;
mod samples;
mod schema;
mod signatures;
mod transactions;
mod vectors;
