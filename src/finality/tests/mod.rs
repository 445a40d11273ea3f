#![allow(clippy::unwrap_used)]

mod ordinary;
mod sim;
