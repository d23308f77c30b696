//! Refines a live stream's edges only as finely as its time allows.
//!
//! Where the network is undecided all over, the whole frame is an edge, and refining it takes longer than the frame lasts. The
//! quality is then lowered until there is time again.

use super::settings::Refine;
use std::time::Duration;

/// The part of a frame's duration that its own work may take; the rest belongs to decoders, encoders and the network.
const BUDGET: f64 = 0.6;
/// Below this part there is headroom for a finer step, which may cost several times as much.
const HEADROOM: f64 = 0.2;
/// Frames within the budget but without headroom count so many times less towards a finer step.
const LITTLE_HEADROOM: u32 = 8;
/// Frames over the budget in a row before the quality is lowered; one that takes longer than it lasts counts twice.
const STRIKES: u32 = 3;
/// Frames with headroom before a finer step is tried, at first and at most: twice as many after each try that failed.
const CALM: (u32, u32) = (30, 960);

/// Chooses how fine edges are, frame by frame.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Steps below the quality that is asked for.
    steps: u8,
    strikes: u32,
    /// Frames within the budget, in a row; one with headroom counts [`LITTLE_HEADROOM`] times.
    calm: u32,
    patience: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { steps: 0, strikes: 0, calm: 0, patience: CALM.0 }
    }
}

fn coarser(quality: Refine) -> Option<Refine> {
    match quality {
        Refine::Learned => Some(Refine::Best),
        Refine::Best => Some(Refine::Fast),
        Refine::Fast => Some(Refine::None),
        Refine::None => None,
    }
}

impl Effort {
    /// The quality to use where this one is asked for.
    pub fn quality(&self, asked: Refine) -> Refine {
        (0..self.steps).fold(asked, |quality, _| coarser(quality).unwrap_or(quality))
    }

    /// Takes the processing time of a frame and its duration; returns whether the quality has changed.
    pub fn update(&mut self, took: Duration, duration: Duration, asked: Refine) -> bool {
        let before = self.quality(asked);
        let part = took.as_secs_f64() / duration.as_secs_f64().max(1e-6);
        (self.strikes, self.calm) = match part {
            p if p > 1.0 => (self.strikes + 2, 0),
            p if p > BUDGET => (self.strikes + 1, 0),
            p if p < HEADROOM => (0, self.calm.saturating_add(LITTLE_HEADROOM)),
            _ => (0, self.calm.saturating_add(1)),
        };
        if self.strikes >= STRIKES && coarser(before).is_some() {
            if self.steps > 0 || self.patience > CALM.0 {
                self.patience = (self.patience * 2).min(CALM.1);
            }
            (self.steps, self.strikes) = (self.steps + 1, 0);
        } else if self.steps > 0 && self.calm >= self.patience * LITTLE_HEADROOM {
            (self.steps, self.calm) = (self.steps - 1, 0);
            self.patience = (self.patience * 2).min(CALM.1);
        } else if self.steps == 0 && self.calm >= CALM.1 * LITTLE_HEADROOM {
            self.patience = CALM.0;
        }
        self.quality(asked) != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(33);

    /// Notes frames of a cost that depends on what is done; gives what was done for each.
    fn play(effort: &mut Effort, frames: usize, cost: impl Fn(Refine) -> u64) -> Vec<Refine> {
        (0..frames)
            .map(|_| {
                let quality = effort.quality(Refine::Best);
                effort.update(Duration::from_millis(cost(quality)), LENGTH, Refine::Best);
                quality
            })
            .collect()
    }

    fn heavy(quality: Refine) -> u64 {
        match quality {
            Refine::Best | Refine::Learned => 60,
            Refine::Fast => 25,
            Refine::None => 4,
        }
    }

    #[test]
    fn a_stream_that_has_time_stays_as_it_is() {
        let mut effort = Effort::default();
        assert!(play(&mut effort, 2000, |_| 15).iter().all(|q| *q == Refine::Best));
        // One slow frame in a while is an accident.
        let mut n = 0;
        for _ in 0..200 {
            n += 1;
            effort.update(Duration::from_millis(if n % 3 == 0 { 50 } else { 10 }), LENGTH, Refine::Best);
            assert_eq!(effort.quality(Refine::Best), Refine::Best);
        }
    }

    #[test]
    fn one_that_has_none_is_eased_at_once_and_seldom_tries_again() {
        let mut effort = Effort::default();
        let done = play(&mut effort, 3000, heavy);
        use Refine::*;
        assert_eq!(done[..6], [Best, Best, Fast, Fast, Fast, None]);
        assert_eq!(effort.quality(Learned), Fast);
        let slow = done.iter().filter(|q| **q != None).count();
        assert!(slow < 60, "{slow} of 3000 frames are too slow");
    }

    #[test]
    fn it_comes_back_when_there_is_time() {
        let mut effort = Effort::default();
        play(&mut effort, 10, heavy);
        assert_eq!(effort.quality(Refine::Best), Refine::None);
        let done = play(&mut effort, 400, |_| 4);
        assert_eq!(done.last(), Some(&Refine::Best));
        // Also where there is not plenty of it: what was too long was an accident.
        let usual = |quality| match quality {
            Refine::Best | Refine::Learned => 16,
            Refine::Fast => 10,
            Refine::None => 8,
        };
        let mut effort = Effort::default();
        play(&mut effort, 2, |_| 50);
        assert_eq!(effort.quality(Refine::Best), Refine::Fast);
        let done = play(&mut effort, 600, usual);
        assert_eq!(done.last(), Some(&Refine::Best));
        // What is asked for is never exceeded.
        assert_eq!(effort.quality(Refine::None), Refine::None);
        assert_eq!(effort.quality(Refine::Fast), Refine::Fast);
    }
}
