//! What happened: counts and times of a stream, what may be wrong with its mattes, a record to keep.

mod monitor;
mod record;
mod stats;

pub(crate) use monitor::{MaskSummary, MatteMonitor, blockiness};
pub use record::{Incident, Outcome, Record, save, utc};
pub(crate) use stats::Stats;
