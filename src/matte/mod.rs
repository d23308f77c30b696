//! From a frame to the network's mask: sample, normalise, run, read.

mod output;
mod prompt;
mod region;

use crate::error::Result;
use crate::frame::Frame;
use crate::mask::Mask;
use crate::models::{InputFit, Network, Spec};
use crate::runtime::{Cancel, Element, Input, Value};
use crate::sample::Sampler;
use crate::subjects::{Asked, Found, Subjects, Wanted};
pub(crate) use output::Known;
use prompt::Prompter;
use region::{Look, Region, Tracker};
use std::time::{Duration, Instant};

/// Runs a network on frames and keeps what it remembers from one to the next.
#[derive(Debug)]
pub struct Matting {
    network: Network,
    sampler: Sampler,
    tensor: Vec<f32>,
    half: Vec<half::f16>,
    bytes: Vec<u8>,
    states: Vec<Value>,
    mask: Mask,
    /// Frame width, height, and the network's input size that goes with them.
    sizes: [usize; 4],
    /// The short side that is asked of networks without a size of their own; 0 for the model's choice.
    short_side: usize,
    /// A small subject is followed; not by recurrent networks, whose state belongs to one place, nor by one that is told whom
    /// to keep.
    follow: bool,
    tracker: Option<Tracker>,
    /// The mask of a part of the frame.
    part: Mask,
    known: Known,
    /// Who is who, where not all are wanted; and what is known of the last mask then.
    subjects: Subjects,
    found: Option<Found>,
    /// Tells the network whom to keep, if it wants to be told.
    prompter: Prompter,
    /// Ends the run that is under way.
    cancel: Cancel,
    times: Times,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// From the frame to the network's input.
    pub preprocess: Duration,
    /// The network, and reading what it gives.
    pub inference: Duration,
}

impl Times {
    /// The whole run.
    pub fn total(&self) -> Duration {
        self.preprocess + self.inference
    }
}

/// Where the frame lies in the network's input, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Placement {
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
        let follow = follow && network.spec.states.is_empty() && network.spec.prompt.is_none();
        Self {
            follow,
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
            known: Known::default(),
            subjects: Subjects::default(),
            found: None,
            prompter: Prompter::default(),
            cancel: Cancel::default(),
            times: Times::default(),
        }
    }

    /// The network that runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Forgets what earlier frames left behind: after a flush, a seek, a cut, or a change of size.
    pub fn reset(&mut self) {
        self.interrupt();
        self.subjects.reset();
        self.prompter.reset();
    }

    /// Frames are missing: forgets the same, but not who is who.
    pub fn interrupt(&mut self) {
        self.states.clear();
        self.subjects.interrupt();
        self.prompter.interrupt();
        if let Some(tracker) = &mut self.tracker {
            tracker.reset();
        }
    }

    /// As it was when it was made.
    pub fn renew(&mut self) {
        *self = Self::new(self.network.clone(), self.short_side, self.follow);
    }

    /// The same network on another provider takes over. What is remembered stays with the old one.
    pub fn replace(&mut self, network: Network) {
        self.network = network;
        self.states.clear();
    }

    /// What the last run took.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Who is in the last mask, where not all were wanted.
    pub fn take_found(&mut self) -> Option<Found> {
        self.found.take()
    }

    /// Takes over who is who, and who is kept, from another network's.
    pub fn adopt(&mut self, old: &mut Self) {
        std::mem::swap(&mut self.subjects, &mut old.subjects);
        std::mem::swap(&mut self.prompter, &mut old.prompter);
        let told = |matting: &Self| matting.network.spec.prompt.is_some();
        if told(self) != told(old) {
            // While one needs not to be told, nobody looks at where they are.
            self.prompter.interrupt();
        }
        if told(self) && !told(old) {
            self.prompter.take_over(&self.subjects);
        }
    }

    /// Who is where in the last mask, where not all were wanted.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Runs the network on a frame, unless `cancel` is called. `asked`: who of those in it is left in the mask; `None` for
    /// all of them.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`](crate::error::ErrorKind) when the runtime fails or what comes out is no mask,
    /// [`ErrorKind::Cancelled`](crate::error::ErrorKind).
    pub fn run(&mut self, frame: &Frame<'_>, asked: Option<&Asked>, cancel: &Cancel) -> Result<&mut Mask> {
        self.cancel = cancel.clone();
        self.times = Times::default();
        self.found = None;
        if asked.is_some_and(|a| a.wanted == Wanted::All) {
            // Whoever was chosen before is not, when one is chosen again.
            self.subjects.reset();
        }
        self.prompter.aim(asked);
        let asked = asked.filter(|a| a.wanted != Wanted::All);
        let Some(mut tracker) = self.tracker.take() else {
            self.infer(frame)?;
            self.choose(frame, asked, None);
            if self.network.spec.prompt.is_some() {
                self.prompter.see(&self.subjects, self.found.as_ref(), &self.mask);
            }
            return Ok(&mut self.mask);
        };
        let done = self.run_where(&mut tracker, frame, asked);
        self.tracker = Some(tracker);
        done?;
        Ok(&mut self.mask)
    }

    /// Runs the network where the tracker looks. Leaves the mask of the whole frame.
    fn run_where(&mut self, tracker: &mut Tracker, frame: &Frame<'_>, asked: Option<&Asked>) -> Result<()> {
        let size = (frame.width, frame.height);
        let (region, around) = match tracker.look(frame.width, frame.height) {
            Look::At(region) => (region, false),
            Look::AtAndAround(region) => (region, true),
            Look::Whole => {
                self.infer(frame)?;
                self.choose(frame, asked, None);
                let found = match tracker.saw_whole(&self.mask) {
                    Some(region) => Some(region),
                    // They are seen, and none of them is wanted.
                    None if self.found.as_ref().is_some_and(|f| !f.seen.is_empty()) => None,
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
            self.choose(frame, asked, None);
            if tracker.saw_around(&self.mask, region) {
                return Ok(());
            }
        }
        self.infer_part(frame, region)?;
        region::paste(&self.part, region, size, &mut self.mask);
        if asked.is_some() {
            self.choose(frame, asked, Some(region));
            tracker.saw_region(&self.mask, Region::whole(size), region);
        } else {
            tracker.saw_region(&self.part, region, region);
        }
        Ok(())
    }

    /// Leaves of the mask who is asked for. `region`: only there the network has looked.
    fn choose(&mut self, frame: &Frame<'_>, asked: Option<&Asked>, region: Option<Region>) {
        let Some(asked) = asked else { return };
        let again = self.found.is_some();
        let visible = region.map(|r| {
            let part = |v: usize, n: usize| v as f32 / n as f32;
            [
                part(r.x, frame.width),
                part(r.y, frame.height),
                part(r.x + r.width, frame.width),
                part(r.y + r.height, frame.height),
            ]
        });
        let start = Instant::now();
        self.found = Some(self.subjects.keep(&mut self.mask, frame, asked, again, visible));
        self.times.inference += start.elapsed();
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
        let placement = match spec.fit {
            InputFit::Stretch => Placement { x: 0, y: 0, width, height },
            InputFit::Letterbox => letterbox(frame.width, frame.height, width, height),
        };
        let start = Instant::now();
        self.fill(spec, frame, width, height, placement);
        let filled = Instant::now();
        self.times.preprocess += filled - start;
        let fresh = self.states.len() != spec.states.len();
        if fresh {
            self.states = spec
                .states
                .iter()
                .map(|(port, _)| Value::zeros(port.element, &port.least_shape()))
                .collect::<Result<_>>()?;
        }
        let shape = spec.input_shape(width, height);
        let input = match spec.element {
            Element::F16 => Input::F16(&self.half),
            Element::U8 => Input::U8(&self.bytes),
            _ => Input::F32(&self.tensor),
        };
        let mut inputs = vec![(spec.input.as_str(), &shape[..], input)];
        // What the first part gives, and which part gives the mask.
        let (mut given, mut last) = (Vec::new(), &network.session);
        if let Some(decoder) = &network.decoder {
            let names: Vec<&str> = spec.links.iter().map(|(from, _)| from.as_str()).collect();
            given = network.session.values(&self.cancel, &inputs, &names)?;
            inputs.clear();
            last = decoder;
        }
        for ((_, to), value) in spec.links.iter().zip(&given) {
            inputs.push((to, &[], Input::Value(value)));
        }
        if let Some((name, shape)) = &spec.ratio {
            inputs.push((name, shape, Input::F32(&[1.0])));
        }
        let prompts = match &spec.prompt {
            Some(prompt) => {
                let embedding = network.embedding.as_deref();
                let logits = self.known.gives_logits(spec);
                self.prompter.fill(prompt, embedding, (placement, (width, height)), logits)?
            }
            None => Vec::new(),
        };
        for (name, value) in &prompts {
            inputs.push((name, &[], Input::Value(value)));
        }
        let mut states: Vec<(&str, &str, &mut Value)> = spec
            .states
            .iter()
            .zip(&mut self.states)
            .map(|((port, out), state)| (port.name.as_str(), out.as_str(), state))
            .collect();
        let wanted: Vec<&str> = [&spec.output].into_iter().chain(&spec.scores).map(String::as_str).collect();
        let (mask, known) = (&mut self.mask, &mut self.known);
        // A network that remembers sees its first frame twice: it was 3 % (MAD) to 7 % (Grad) better then.
        for inputs in std::iter::repeat_n(&inputs, if fresh && !states.is_empty() { 2 } else { 1 }) {
            last.run_unless(&self.cancel, inputs, &mut states, &wanted, |views| {
                output::read(views, spec, (width, height), placement, known, mask)
            })?;
        }
        self.times.inference += filled.elapsed();
        Ok(())
    }

    /// The frame as the network's input tensor.
    fn fill(&mut self, spec: &Spec, frame: &Frame<'_>, width: usize, height: usize, placement: Placement) {
        let rgb = self.sampler.sample(frame, placement.width, placement.height);
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
            for (y, row) in samples.chunks_exact(placement.width).enumerate() {
                let at = channel * plane + ((y + placement.y) * width + placement.x) * step;
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

/// [`output::read`] with the placement of a frame of this size, for the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_view(
    view: &crate::runtime::View<'_>,
    spec: &Spec,
    input: (usize, usize),
    frame: (usize, usize),
    known: &mut Known,
    mask: &mut Mask,
) -> Result<()> {
    let placement = match spec.fit {
        InputFit::Stretch => Placement { x: 0, y: 0, width: input.0, height: input.1 },
        InputFit::Letterbox => letterbox(frame.0, frame.1, input.0, input.1),
    };
    output::read(std::slice::from_ref(view), spec, input, placement, known, mask)
}

/// The largest rectangle of the frame's shape in the middle of the input.
fn letterbox(frame_width: usize, frame_height: usize, width: usize, height: usize) -> Placement {
    let scale = (width as f64 / frame_width as f64).min(height as f64 / frame_height as f64);
    let fit = |n: usize, most: usize| ((n as f64 * scale).round() as usize).clamp(1, most);
    let (w, h) = (fit(frame_width, width), fit(frame_height, height));
    Placement { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letterboxes_in_the_middle() {
        assert_eq!(letterbox(1080, 1920, 256, 256), Placement { x: 56, y: 0, width: 144, height: 256 });
        assert_eq!(letterbox(16, 8192, 256, 256), Placement { x: 127, y: 0, width: 1, height: 256 });
    }
}
