//! Streams that do not wait: a slow network, one that fails, a live source that does what live sources do.

#[path = "../common/mod.rs"]
mod common;

mod behaviour;
mod lookahead;
mod order;
mod races;
mod stream;
