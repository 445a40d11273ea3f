#![allow(clippy::unwrap_used)]

mod faults;
mod liar;
mod ordinary;
mod rules;
mod sim;
