//! What colours somebody has.

use super::cells::{COLORS, Cells, STEPS};

/// How frequent each colour is.
#[derive(Clone, Debug)]
pub struct Colors(Box<[f32; COLORS]>);

impl Colors {
    pub fn of(cells: &Cells, these: &[u32]) -> Self {
        // Not at the outline, where they are mixed with what is beside; of what is nothing but outline all.
        let inner = |c: &u32| cells.beside(*c as usize).all(|other| cells.is_solid(other));
        let inside: Vec<u32> = these.iter().copied().filter(inner).collect();
        let these = if inside.is_empty() { these } else { &inside };
        let mut counts = Box::new([0.0; COLORS]);
        let each = 1.0 / these.len().max(1) as f32;
        these.iter().for_each(|c| counts[cells.color[*c as usize] as usize] += each);
        Self(counts)
    }

    pub fn blend(&mut self, other: &Self, part: f32) {
        self.0.iter_mut().zip(&*other.0).for_each(|(v, o)| *v += (o - *v) * part);
    }

    /// The logarithm of how likely a colour is.
    pub fn likely(&self, color: u8) -> f32 {
        (self.0[color as usize] + 0.1 / COLORS as f32).ln()
    }

    /// How well they explain others, as the mean of the logarithms.
    pub fn explains(&self, others: &Self) -> f32 {
        others.0.iter().enumerate().map(|(c, v)| v * self.likely(c as u8)).sum()
    }

    /// How much they have in common with others, 0 to 1: the intersection of the histograms (Swain & Ballard: Color indexing,
    /// IJCV 7 (1), 1991), each of which is blurred, since light changes.
    pub fn common(&self, others: &Self) -> f32 {
        self.blurred().iter().zip(others.blurred()).map(|(a, b)| a.min(b)).sum()
    }

    /// A half of each count goes to the six colours beside it.
    fn blurred(&self) -> [f32; COLORS] {
        let mut blurred = [0.0; COLORS];
        for (at, count) in self.0.iter().enumerate().filter(|(_, v)| **v > 0.0) {
            let place = [at / (STEPS * STEPS), at / STEPS % STEPS, at % STEPS];
            let mut kept = *count;
            for (i, step) in [STEPS * STEPS, STEPS, 1].into_iter().enumerate() {
                let below = (place[i] > 0).then(|| at - step);
                let above = (place[i] + 1 < STEPS).then(|| at + step);
                for to in below.into_iter().chain(above) {
                    blurred[to] += count / 12.0;
                    kept -= count / 12.0;
                }
            }
            blurred[at] += kept;
        }
        blurred
    }
}
