//! Counts and times of a stream.

use crate::subjects::Seen;
use std::time::Duration;

/// Steps of an octave; a value is known to a twelfth of itself.
const STEPS: usize = 8;
/// From a microsecond to two minutes.
const OCTAVES: usize = 28;

/// How often which time was seen, from a microsecond to two minutes, in memory of fixed size: 8 steps an octave, so
/// that quantiles come out within 9 %.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; STEPS * OCTAVES],
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; STEPS * OCTAVES], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn add(&mut self, time: Duration) {
        let micros = (time.as_nanos() as f64 / 1e3).max(1.0);
        let at = (micros.log2() * STEPS as f64) as usize;
        self.counts[at.min(STEPS * OCTAVES - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// The longest of them.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The time that a part `q` (0..1) of them does not exceed; zero of none.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = (q * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, &n) in self.counts.iter().enumerate() {
            seen += u64::from(n);
            if seen >= wanted {
                let micros = 2f64.powf((at as f64 + 0.5) / STEPS as f64);
                return Duration::from_nanos((micros * 1e3) as u64).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// What has happened since the stream started.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub frames_in: u64,
    pub frames_out: u64,
    /// Dropped before inference, since downstream said that they come too late (QoS).
    pub dropped: u64,
    /// Of a live stream: went out more than a frame's length after its time.
    pub late: u64,
    /// Went out with nothing of them shown, for want of a matte.
    pub hidden: u64,
    /// Went out with coarser edges than `refine` asks for, since a live stream left no time.
    pub coarser: u64,
    pub inferences: u64,
    /// Who is seen in the newest mask, where not all are wanted.
    pub subjects: Option<Vec<Seen>>,
    /// Frames that went out with the mask of an earlier one.
    pub reused: u64,
    /// Inferences that failed or took too long.
    pub failures: u64,
    pub resets: u64,
    pub cuts: u64,
    /// How old, by timestamps, the masks were that frames went out with.
    pub mask_age: Histogram,
    pub preprocess: Histogram,
    pub inference: Histogram,
    pub refine: Histogram,
    pub temporal: Histogram,
    pub compose: Histogram,
    /// From a frame's arrival to its leaving.
    pub frame: Histogram,
    /// The part of the last mask that is subject, 0..1.
    pub coverage: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near() {
        let mut h = Histogram::default();
        assert_eq!(h.quantile(0.5), Duration::ZERO);
        for n in 1..=1000u64 {
            h.add(Duration::from_micros(n * 10));
        }
        for (q, want) in [(0.5, 5000.0), (0.95, 9500.0), (0.01, 100.0)] {
            let got = h.quantile(q).as_micros() as f64;
            assert!((got / want - 1.0).abs() < 0.09, "{q}: {got} for {want}");
        }
        assert_eq!(h.max(), Duration::from_micros(10_000));
        assert_eq!(h.count, 1000);
        assert!(h.quantile(1.0) <= h.max());
    }

    #[test]
    fn the_ends_hold() {
        let mut h = Histogram::default();
        h.add(Duration::ZERO);
        h.add(Duration::from_secs(100_000));
        assert_eq!(h.quantile(0.1), Duration::from_nanos(1044));
        assert!(h.quantile(1.0) > Duration::from_secs(120));
    }
}
