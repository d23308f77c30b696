//! From a frame to the network's mask: sample, normalise, run, read.

mod region;
mod sample;

use crate::error::{Error, Kind, Result};
use crate::frame::Frame;
use crate::models::{Activation, Fit, Network, Spec};
use crate::runtime::{Element, Input, State, View};
use region::{Look, Region, Tracker};
pub use sample::Sampler;

/// A mask at network resolution that covers the whole frame, foreground 1, background 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    /// `width · height` values in 0..1.
    pub data: Vec<f32>,
}

/// Runs a network on frames and keeps what it remembers from one to the next.
#[derive(Debug)]
pub struct Matting {
    network: Network,
    sampler: Sampler,
    tensor: Vec<f32>,
    half: Vec<half::f16>,
    bytes: Vec<u8>,
    states: Vec<State>,
    mask: Mask,
    /// Frame width, height, and the network's input size that goes with them.
    sizes: [usize; 4],
    /// The short side that is asked of networks without a size of their own; 0 for the model's choice.
    short_side: usize,
    /// Follows a small subject; `None` for recurrent networks, whose state belongs to one place.
    tracker: Option<Tracker>,
    /// The mask of a part of the frame.
    part: Mask,
    /// Values outside 0..1 were seen in an output of which nobody said that they are logits.
    logits: bool,
}

/// Where the frame lies in the network's input, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Matting {
    /// `short_side`: of the network's input in pixels, where its file leaves that open; 0 for the
    /// model's own choice.
    /// `follow`: give a small subject the network's whole resolution.
    pub fn new(network: Network, short_side: usize, follow: bool) -> Self {
        let follow = follow && network.spec.states.is_empty();
        Self {
            tracker: follow.then(Tracker::default),
            part: Mask::default(),
            network,
            sampler: Sampler::default(),
            tensor: Vec::new(),
            half: Vec::new(),
            bytes: Vec::new(),
            states: Vec::new(),
            mask: Mask::default(),
            sizes: [0; 4],
            short_side,
            logits: false,
        }
    }

    /// The network that runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Forgets what earlier frames left behind: after a flush, a seek, a cut, or a change of size.
    pub fn reset(&mut self) {
        self.states.clear();
        if let Some(tracker) = &mut self.tracker {
            tracker.reset();
        }
    }

    /// Runs the network on a frame.
    ///
    /// # Errors
    /// [`Kind::Inference`] when the runtime fails or what comes out is no mask.
    pub fn run(&mut self, frame: &Frame<'_>) -> Result<&mut Mask> {
        let size = (frame.width, frame.height);
        let Some(mut tracker) = self.tracker.take() else {
            self.infer(frame)?;
            return Ok(&mut self.mask);
        };
        let done = self.run_where(&mut tracker, frame, size);
        self.tracker = Some(tracker);
        done?;
        Ok(&mut self.mask)
    }

    /// Runs the network where the tracker looks. Leaves the mask of the whole frame.
    fn run_where(&mut self, tracker: &mut Tracker, frame: &Frame<'_>, size: (usize, usize)) -> Result<()> {
        let (region, around) = match tracker.look(frame.width, frame.height) {
            Look::At(region) => (region, false),
            Look::AtAndAround(region) => (region, true),
            Look::Whole => {
                self.infer(frame)?;
                let found = match tracker.saw_whole(&self.mask) {
                    Some(region) => Some(region),
                    // Trying windows costs a second run a frame; only cheap networks are so coarse as to need it.
                    None => match tracker.search(&self.mask) {
                        Some(window) if self.sizes[2] * self.sizes[3] <= 256 * 256 => {
                            self.infer_part(frame, window)?;
                            tracker.found(&self.part, window)
                        }
                        _ => None,
                    },
                };
                match found {
                    Some(region) => (region, false),
                    None => return Ok(()),
                }
            }
        };
        if around {
            self.infer(frame)?;
            if tracker.saw_around(&self.mask, region) {
                return Ok(());
            }
        }
        self.infer_part(frame, region)?;
        tracker.saw_region(&self.part, region);
        region::paste(&self.part, region, size, &mut self.mask);
        Ok(())
    }

    /// Runs the network on a part of the frame; the mask is left in `part`.
    fn infer_part(&mut self, frame: &Frame<'_>, r: Region) -> Result<()> {
        std::mem::swap(&mut self.mask, &mut self.part);
        let done = self.infer(&frame.part(r.x, r.y, r.width, r.height));
        std::mem::swap(&mut self.mask, &mut self.part);
        done
    }

    /// Runs the network; the mask of what it was given is left in `mask`.
    fn infer(&mut self, frame: &Frame<'_>) -> Result<()> {
        let network = self.network.clone();
        let spec = &network.spec;
        let (width, height) = spec.input_size(frame.width, frame.height, self.short_side);
        let sizes = [frame.width, frame.height, width, height];
        if sizes != self.sizes {
            self.sizes = sizes;
            self.states.clear();
        }
        let window = match spec.fit {
            Fit::Stretch => Window { x: 0, y: 0, width, height },
            Fit::Letterbox => letterbox(frame.width, frame.height, width, height),
        };
        self.fill(spec, frame, width, height, window);
        let fresh = self.states.len() != spec.states.len();
        if fresh {
            self.states = spec
                .states
                .iter()
                .map(|(port, _)| {
                    let shape: Vec<i64> = port.shape.iter().map(|&d| d.max(1)).collect();
                    State::zeros(port.element, &shape)
                })
                .collect::<Result<_>>()?;
        }
        let shape = spec.input_shape(width, height);
        let input = match spec.element {
            Element::F16 => Input::F16(&self.half),
            Element::U8 => Input::U8(&self.bytes),
            _ => Input::F32(&self.tensor),
        };
        let mut inputs = vec![(spec.input.as_str(), &shape[..], input)];
        if let Some((name, shape)) = &spec.ratio {
            inputs.push((name, shape, Input::F32(&[1.0])));
        }
        let mut states: Vec<(&str, &str, &mut State)> = spec
            .states
            .iter()
            .zip(&mut self.states)
            .map(|((port, out), state)| (port.name.as_str(), out.as_str(), state))
            .collect();
        let (mask, logits) = (&mut self.mask, &mut self.logits);
        // A network that remembers sees its first frame twice: it was 3 % (MAD) to 7 % (Grad) better then.
        for inputs in std::iter::repeat_n(&inputs, if fresh && !states.is_empty() { 2 } else { 1 }) {
            network.session.run(inputs, &mut states, &[&spec.output], |views| {
                read(&views[0], spec, (width, height), window, logits, mask)
            })?;
        }
        Ok(())
    }

    /// The frame as the network's input tensor.
    fn fill(&mut self, spec: &Spec, frame: &Frame<'_>, width: usize, height: usize, window: Window) {
        let rgb = self.sampler.sample(frame, window.width, window.height);
        let max =
            if spec.divide_by_max { rgb.iter().flatten().fold(1.0f32, |m, v| m.max(*v)) } else { 255.0 };
        let raw = spec.element == Element::U8;
        self.tensor.clear();
        self.tensor.resize(3 * width * height, 0.0);
        let (step, plane) = match spec.order {
            crate::models::Order::Nchw => (1, width * height),
            crate::models::Order::Nhwc => (3, 1),
        };
        for (c, samples) in rgb.iter().enumerate() {
            let channel = if spec.bgr { 2 - c } else { c };
            let (scale, offset) =
                if raw { (1.0, 0.0) } else { (1.0 / (max * spec.std[c]), -spec.mean[c] / spec.std[c]) };
            for (y, row) in samples.chunks_exact(window.width).enumerate() {
                let at = channel * plane + ((y + window.y) * width + window.x) * step;
                let row_out = self.tensor[at..].iter_mut().step_by(step);
                for (out, v) in row_out.zip(row) {
                    *out = v * scale + offset;
                }
            }
        }
        match spec.element {
            Element::F16 => {
                self.half.clear();
                self.half.extend(self.tensor.iter().map(|v| half::f16::from_f32(*v)));
            }
            Element::U8 => {
                self.bytes.clear();
                self.bytes.extend(self.tensor.iter().map(|v| (v + 0.5) as u8));
            }
            _ => {}
        }
    }
}

/// The largest window of the frame's shape in the middle of the input.
fn letterbox(frame_width: usize, frame_height: usize, width: usize, height: usize) -> Window {
    let scale = (width as f64 / frame_width as f64).min(height as f64 / frame_height as f64);
    let fit = |n: usize, most: usize| ((n as f64 * scale).round() as usize).clamp(1, most);
    let (w, h) = (fit(frame_width, width), fit(frame_height, height));
    Window { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
}

/// Reads the matte out of the network's output, cropped to the window that the frame took.
fn read(
    view: &View<'_>,
    spec: &Spec,
    input: (usize, usize),
    window: Window,
    logits: &mut bool,
    mask: &mut Mask,
) -> Result<()> {
    let grid = Grid::of(&view.shape, view.data.len()).ok_or_else(|| {
        Error::new(
            Kind::Inference,
            format!(
                "the network's output '{}' of shape {:?} is no mask of one or more channels",
                spec.output, view.shape
            ),
        )
    })?;
    let columns = Span::new(window.x, window.width, input.0, grid.width);
    let rows = Span::new(window.y, window.height, input.1, grid.height);
    (mask.width, mask.height) = (columns.cells.len(), rows.cells.len());
    mask.data.clear();
    if spec.activation == Activation::Auto && !*logits {
        // float16 rounds a little past the ends.
        *logits = view.data.iter().any(|v| !(-0.01..=1.01).contains(v) && v.is_finite());
    }
    let activation = match spec.activation {
        Activation::Auto if *logits && grid.channels > 1 => Activation::Softmax,
        Activation::Auto if *logits && !spec.min_max => Activation::Sigmoid,
        Activation::Auto => Activation::None,
        known => known,
    };
    // With two classes or more the foreground is the last one, unless it is said.
    let class = spec.class.unwrap_or(grid.channels - 1).min(grid.channels - 1);
    for y in rows.cells.clone() {
        mask.data.extend(columns.cells.clone().map(|x| {
            let at = y * grid.row + x * grid.pixel;
            let raw = view.data[at + class * grid.channel];
            let v = match activation {
                Activation::Auto | Activation::None => raw,
                Activation::Sigmoid => 1.0 / (1.0 + (-raw).exp()),
                Activation::Softmax => {
                    1.0 / (0..grid.channels)
                        .map(|c| (view.data[at + c * grid.channel] - raw).exp())
                        .sum::<f32>()
                }
            };
            // What is no number stays none until the range is known: it has no part in that.
            if v.is_finite() && raw.is_finite() { v } else { f32::NAN }
        }));
    }
    if spec.min_max {
        let (lo, hi) =
            mask.data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        let k = if hi - lo > 1e-6 { 1.0 / (hi - lo) } else { 0.0 };
        mask.data.iter_mut().for_each(|v| *v = (*v - lo) * k);
    }
    mask.data.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { v.clamp(0.0, 1.0) });
    if columns.step != 1.0 || columns.first != 0.0 || rows.step != 1.0 || rows.first != 0.0 {
        mask.data = shift(&mask.data, &columns, &rows);
    }
    Ok(())
}

/// [`read`] with the window that a frame of this size takes, for the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_view(
    view: &View<'_>,
    spec: &Spec,
    input: (usize, usize),
    frame: (usize, usize),
    logits: &mut bool,
    mask: &mut Mask,
) -> Result<()> {
    let window = match spec.fit {
        Fit::Stretch => Window { x: 0, y: 0, width: input.0, height: input.1 },
        Fit::Letterbox => letterbox(frame.0, frame.1, input.0, input.1),
    };
    read(view, spec, input, window, logits, mask)
}

/// Along one axis: the cells of the output that the frame's window touches, and where between them
/// the same number of samples lies that covers the window exactly.
#[derive(Debug, PartialEq)]
struct Span {
    cells: std::ops::Range<usize>,
    /// Position of the first sample, from the first cell on, and the distance between two.
    first: f32,
    step: f32,
}

impl Span {
    /// The window is `at`, `length` of `from` input pixels; the output has `to` of its own.
    fn new(at: usize, length: usize, from: usize, to: usize) -> Self {
        let end = (at + length) * to;
        let cells = at * to / from..end.div_ceil(from);
        // An output of another size than the input need not have a cell's edge at the window's: taking
        // the nearest would shift the matte by up to half a cell.
        let step = (length * to) as f64 / (from * cells.len()) as f64;
        let first = (at * to) as f64 / from as f64 - cells.start as f64 + 0.5 * step - 0.5;
        Self { cells, first: first as f32, step: step as f32 }
    }

    /// The two cells around a sample, and the weight of the second.
    fn place(&self, i: usize) -> (usize, usize, f32) {
        let last = self.cells.len() - 1;
        let at = (self.first + i as f32 * self.step).clamp(0.0, last as f32);
        (at as usize, (at as usize + 1).min(last), at.fract())
    }
}

/// The cells of a mask brought, by bilinear sampling, to where the frame lies.
fn shift(cells: &[f32], columns: &Span, rows: &Span) -> Vec<f32> {
    let width = columns.cells.len();
    let mut out = Vec::with_capacity(cells.len());
    for y in 0..rows.cells.len() {
        let (top, bottom, fy) = rows.place(y);
        out.extend((0..width).map(|x| {
            let (left, right, fx) = columns.place(x);
            let mix = |row: usize| {
                let (l, r) = (cells[row * width + left], cells[row * width + right]);
                l + (r - l) * fx
            };
            let (t, b) = (mix(top), mix(bottom));
            t + (b - t) * fy
        }));
    }
    out
}

/// How the numbers of an output lie: its size and the distances between neighbours.
#[derive(Debug, PartialEq)]
struct Grid {
    width: usize,
    height: usize,
    channels: usize,
    row: usize,
    pixel: usize,
    channel: usize,
}

impl Grid {
    fn of(shape: &[i64], len: usize) -> Option<Grid> {
        let d: Vec<usize> = shape.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
        // Also that no product of two of them is too large below.
        let n = d.iter().try_fold(1, |n: usize, d| n.checked_mul(*d))?;
        if n == 0 || n != len {
            return None;
        }
        let planar = |channels, height, width| Grid {
            width,
            height,
            channels,
            row: width,
            pixel: 1,
            channel: width * height,
        };
        // A batch of one in front says nothing; of the three dimensions left, the channels are the
        // small one.
        let d = match &d[..] {
            [1, rest @ ..] if rest.len() >= 2 => rest,
            all => all,
        };
        Some(match *d {
            [h, w] if h > 1 && w > 1 => planar(1, h, w),
            [c, h, w] if c <= 4 && w > 4 => planar(c, h, w),
            [h, w, c] if c <= 4 => {
                Grid { width: w, height: h, channels: c, row: w * c, pixel: c, channel: 1 }
            }
            [c, h, w] => planar(c, h, w),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_of_all_shapes() {
        let g = Grid::of(&[1, 2, 6, 8], 96).unwrap();
        assert_eq!((g.width, g.height, g.channels, g.channel), (8, 6, 2, 48));
        let g = Grid::of(&[1, 6, 8, 2], 96).unwrap();
        assert_eq!((g.width, g.height, g.channels, g.pixel), (8, 6, 2, 2));
        let g = Grid::of(&[1, 6, 8], 48).unwrap();
        assert_eq!((g.width, g.height, g.channels), (8, 6, 1));
        assert_eq!(Grid::of(&[1, 1000], 1000), None);
        assert_eq!(Grid::of(&[1, 2, 6, 8], 95), None);
        assert_eq!(Grid::of(&[1, 0, 6, 8], 0), None);
        assert_eq!(Grid::of(&[7], 7), None);
    }

    #[test]
    fn the_window_is_found_in_an_output_of_any_size() {
        // The same size, twice and a half: whole cells, nothing to move.
        for (to, cells) in [(64, 14..50), (128, 28..100), (32, 7..25)] {
            assert_eq!(Span::new(14, 36, 64, to), Span { cells, first: 0.0, step: 1.0 });
        }
        // A quarter: 3.5 to 12.5.
        assert_eq!(Span::new(14, 36, 64, 16), Span { cells: 3..13, first: 0.45, step: 0.9 });
        assert_eq!(Span::new(127, 1, 256, 1).cells, 0..1);
    }

    #[test]
    fn letterboxes_in_the_middle() {
        assert_eq!(letterbox(1080, 1920, 256, 256), Window { x: 56, y: 0, width: 144, height: 256 });
        assert_eq!(letterbox(16, 8192, 256, 256), Window { x: 127, y: 0, width: 1, height: 256 });
    }
}
