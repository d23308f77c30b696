//! What happened: counts and times of a stream, for whoever looks after it.

mod stats;

pub use stats::{Histogram, Stats};
