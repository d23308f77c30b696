//! Watches a stream for what its user would otherwise write to support about.

use crate::frame::Frame;
use crate::mask::Mask;
use std::time::Duration;

/// Less of the frame than this is no subject.
const NOBODY: f32 = 0.002;
/// How long the subject may be missing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long anything else has to last before it is noted.
const LASTING: Duration = Duration::from_secs(3);
/// Pulsing, in ‰ of the coverage, that a viewer sees: steady clips stay below 10.
const PULSING: f32 = 40.0;
/// Rows of the mask that a subject takes at least; with fewer, hands and hair are a sample or two.
const ROWS: f32 = 40.0;
/// The part of the subject's samples that are neither here nor there, from which the network does not know.
const UNDECIDED: f32 = 0.6;

/// Something about the mattes that a user may want to change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// The subject has been missing for so long.
    SubjectNotFound(Duration),
    /// The matte grows and shrinks from frame to frame, by so many ‰ of the subject.
    MattePulsing(f32),
    /// The subject takes only so many rows of the network's mask.
    EdgeDetailLimited(f32),
    /// The network cannot decide about so large a part of what it sees.
    NetworkUnsuited(f32),
}

impl Note {
    /// The name that programs know it by.
    pub fn code(&self) -> &'static str {
        match self {
            Note::SubjectNotFound(_) => "subject-not-found",
            Note::MattePulsing(_) => "matte-pulsing",
            Note::EdgeDetailLimited(_) => "edge-detail-limited",
            Note::NetworkUnsuited(_) => "network-unsuited",
        }
    }

    /// What is the matter and what to do.
    pub fn text(&self) -> String {
        match self {
            Note::SubjectNotFound(time) => format!(
                "no subject has been found for {} s: all of the frame is hidden. Check the source, or take a network \
                 that finds it (model=original or pro for what is no person)",
                time.as_secs()
            ),
            Note::MattePulsing(permille) => format!(
                "the matte pulses: it changes by {:.0} % of the subject from frame to frame. Raise \
                 temporal-smoothing, or take model=human, which remembers",
                permille / 10.0
            ),
            Note::EdgeDetailLimited(rows) => format!(
                "the subject takes only {rows:.0} rows of the network's mask, so fine edges are lost. Set \
                 follow-subject=true, raise resolution (model=human), or take model=pro"
            ),
            Note::NetworkUnsuited(part) => format!(
                "the network cannot decide about {:.0} % of what it takes for the subject: it may not be made for \
                 this content. Try another model",
                part * 100.0
            ),
        }
    }
}

/// What a mask looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaskSummary {
    /// The mean of the mask, 0..1.
    pub coverage: f32,
    /// Of the samples above 0.2, those below 0.8, 0..1.
    pub undecided: f32,
    /// Rows from the first to the last sample above a half.
    pub rows: f32,
}

impl MaskSummary {
    /// Looks at a mask.
    pub fn at(mask: &Mask) -> Self {
        let (mut sum, mut some, mut sure) = (0.0, 0u32, 0u32);
        let (mut first, mut last) = (usize::MAX, 0);
        for (y, row) in mask.data.chunks_exact(mask.width.max(1)).enumerate() {
            let mut here = false;
            for &v in row {
                sum += v;
                some += u32::from(v > 0.2);
                sure += u32::from(v > 0.8);
                here |= v > 0.5;
            }
            if here {
                (first, last) = (first.min(y), y + 1);
            }
        }
        MaskSummary {
            coverage: sum / mask.data.len().max(1) as f32,
            undecided: (some - sure) as f32 / some.max(1) as f32,
            rows: last.saturating_sub(first.min(last)) as f32,
        }
    }
}

/// Checks each mask of a stream, and notes each fault once.
#[derive(Debug, Default)]
pub struct MatteMonitor {
    seen_at: Option<Duration>,
    /// The last two coverages, the older first.
    before: [Option<f32>; 2],
    pulsing: Lasting,
    small: Lasting,
    undecided: Lasting,
    said: Vec<&'static str>,
}

/// A value that decays, and since when it has been too much.
#[derive(Debug, Default)]
struct Lasting {
    mean: f32,
    since: Option<Duration>,
}

impl Lasting {
    fn see(&mut self, value: f32, bad: impl Fn(f32) -> bool, time: Duration) -> bool {
        self.mean += (value - self.mean) * 0.05;
        if !bad(self.mean) {
            self.since = None;
            return false;
        }
        time.saturating_sub(*self.since.get_or_insert(time)) >= LASTING
    }
}

impl MatteMonitor {
    /// A frame does not follow on the one before: what changes from here to there is no fault.
    pub fn break_history(&mut self) {
        self.before = [None, None];
    }

    /// That nobody is seen at `time` is told elsewhere.
    pub fn excuse(&mut self, time: Duration) {
        self.seen_at = Some(time);
    }

    /// Takes the summary of a frame's mask; returns what is wrong with it, if that is new.
    pub fn see(&mut self, look: &MaskSummary, time: Duration) -> Option<Note> {
        if look.coverage >= NOBODY {
            self.seen_at = Some(time);
        }
        let seen = *self.seen_at.get_or_insert(time);
        let nobody = time.saturating_sub(seen);
        let mut note = (nobody >= PATIENCE).then_some(Note::SubjectNotFound(nobody));
        let [older, old] = self.before;
        self.before = [old, Some(look.coverage)];
        if look.coverage >= NOBODY {
            if let (Some(older), Some(old)) = (older, old)
                && old > NOBODY
            {
                // As the measure of `bgremove compare`.
                let bend = (older - 2.0 * old + look.coverage).abs() / 2.0 / old * 1e3;
                if self.pulsing.see(bend, |m| m > PULSING, time) {
                    note = Some(Note::MattePulsing(self.pulsing.mean));
                }
            }
            if self.small.mean == 0.0 {
                self.small.mean = look.rows;
            }
            if self.small.see(look.rows, |m| m < ROWS, time) {
                note = Some(Note::EdgeDetailLimited(self.small.mean));
            }
            if self.undecided.see(look.undecided, |m| m > UNDECIDED, time) {
                note = Some(Note::NetworkUnsuited(self.undecided.mean));
            }
        }
        let note = note.filter(|n| !self.said.contains(&n.code()))?;
        self.said.push(note.code());
        Some(note)
    }
}

/// How much stronger the steps between 8×8 blocks are than those inside them, over the whole luma (or green): about
/// 1 without blocks, above 2 where a picture has been compressed heavily. 0 for frames that are too small or flat.
/// In the manner of Wang, Bovik & Evans: Blind measurement of blocking artifacts in images, ICIP 2000.
pub fn blockiness(frame: &Frame<'_>) -> f32 {
    let layout = frame.format.layout();
    let c = layout.color[if frame.format.is_yuv() || layout.colors == 1 { 0 } else { 1 }];
    if frame.width < 64 || frame.height < 64 {
        return 0.0;
    }
    let (mut edge, mut inner) = (0u64, 0u64);
    for y in (4..frame.height - 4).step_by(8) {
        let row = &frame.planes[c.plane].row(y)[c.offset..];
        let at = |x: usize| row[x * c.step];
        for x in (7..frame.width - 8).step_by(8) {
            edge += u64::from(at(x).abs_diff(at(x + 1)));
            inner += u64::from(at(x + 4).abs_diff(at(x + 5)));
        }
    }
    let steps = ((frame.height / 8) * (frame.width / 8)) as u64;
    // Steps of less than one level are no blocks that anybody sees.
    if edge < steps { 0.0 } else { edge as f32 / (inner + steps / 4) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Color, Format, Plane};

    fn run(frames: usize, mut look: impl FnMut(usize) -> MaskSummary) -> Vec<Note> {
        let mut monitor = MatteMonitor::default();
        (0..frames).filter_map(|n| monitor.see(&look(n), Duration::from_millis(n as u64 * 33))).collect()
    }

    const GOOD: MaskSummary = MaskSummary { coverage: 0.3, undecided: 0.1, rows: 100.0 };

    #[test]
    fn a_good_stream_is_left_alone() {
        assert_eq!(run(1000, |n| MaskSummary { coverage: 0.3 + 0.1 * (n as f32 * 0.02).sin(), ..GOOD }), []);
        // Somebody goes out of the picture for a while.
        assert_eq!(run(400, |n| if n % 200 < 100 { GOOD } else { MaskSummary::default() }), []);
    }

    #[test]
    fn each_fault_is_told_once() {
        let code = |notes: Vec<Note>| notes.iter().map(Note::code).collect::<Vec<_>>();
        assert_eq!(code(run(1000, |_| MaskSummary::default())), ["subject-not-found"]);
        assert_eq!(
            code(run(500, |n| MaskSummary { coverage: if n % 2 == 0 { 0.3 } else { 0.24 }, ..GOOD })),
            ["matte-pulsing"]
        );
        assert_eq!(code(run(500, |_| MaskSummary { rows: 12.0, ..GOOD })), ["edge-detail-limited"]);
        assert_eq!(code(run(500, |_| MaskSummary { undecided: 0.9, ..GOOD })), ["network-unsuited"]);
        // Not before it has lasted.
        assert_eq!(run(60, |_| MaskSummary { rows: 12.0, ..GOOD }), []);
    }

    #[test]
    fn looks_are_right() {
        let mut data = vec![0.0; 40];
        data[10..20].fill(1.0);
        data[20..25].fill(0.6);
        let look = MaskSummary::at(&Mask { width: 10, height: 4, data });
        assert_eq!((look.rows, look.undecided), (2.0, 5.0 / 15.0));
        assert!((look.coverage - 13.0 / 40.0).abs() < 1e-6);
        assert_eq!(MaskSummary::at(&Mask::default()), MaskSummary::default());
    }

    #[test]
    fn blocks_are_seen() {
        // Noise over a slope, and the same with each block at its mean.
        let (w, h) = (320, 240);
        let mut plain = vec![0u8; w * h];
        let mut seed = 1u32;
        for (i, v) in plain.iter_mut().enumerate() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *v = (i % w / 2 + i / w / 3) as u8 + (seed >> 29) as u8;
        }
        let mut blocky = plain.clone();
        for y in 0..h {
            for x in 0..w {
                blocky[y * w + x] = ((x / 8 * 8 + 4) / 2 + (y / 8 * 8 + 4) / 3) as u8;
            }
        }
        let of = |data: &[u8]| {
            let empty = Plane { data: &[], stride: 0 };
            let planes = [Plane { data, stride: w }, empty, empty, empty];
            blockiness(&Frame { format: Format::Gray8, color: Color::BT709, width: w, height: h, planes })
        };
        assert!(of(&plain) < 1.3, "{}", of(&plain));
        assert!(of(&blocky) > 4.0, "{}", of(&blocky));
        assert_eq!(of(&vec![9; w * h]), 0.0);
    }
}
