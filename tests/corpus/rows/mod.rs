//! The kinds, a row each.

mod alpha;
mod codecs;
mod containers;
mod streams;
mod times;
mod turned;

use crate::kinds::Kind;

pub fn all() -> Vec<Kind> {
    let rooms = [containers::rows, codecs::rows, turned::rows, times::rows, streams::rows, alpha::rows];
    rooms.iter().flat_map(|rows| rows()).collect()
}
