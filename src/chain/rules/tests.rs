#![allow(clippy::unwrap_used)]

mod block;
mod history;
mod refusal;
