//! Tests of the store against a naive model: the same blocks in plain maps.

#![allow(clippy::unwrap_used)]

mod check;
mod crash;
mod damage;
mod finality;
mod full;
mod model;
mod power;
mod random;
mod reading;
