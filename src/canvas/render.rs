//! A frame on the canvas: scaled and placed, then blended.

use super::Crop;
use super::framing::{Framing, find};
use super::place::Placing;
use super::resample::Resampler;
use super::settings::{Meant, Settings};
use crate::compose::{self, Fit};
use crate::frame::{Frame, FrameMut, Plane, PlaneMut};
use crate::paint::Prepared;
use crate::refine::{Colors, Foreground};
use crate::video;
use gst_video::VideoInfo;

/// Between caps and the end of the stream.
pub(super) struct State {
    input: VideoInfo,
    output: VideoInfo,
    aspect: f64,
    framing: Framing,
    resampler: Resampler,
    foreground: Foreground,
    /// None where it is transparent.
    prepared: Option<Prepared>,
    /// The placed frame's planes, and its alpha.
    planes: [Vec<u8>; 4],
    alpha: Vec<u8>,
}

impl State {
    pub fn new(input: VideoInfo, output: VideoInfo) -> Self {
        let par = input.par();
        Self {
            aspect: f64::from(par.numer()) / f64::from(par.denom().max(1)),
            input,
            output,
            framing: Framing::default(),
            resampler: Resampler::default(),
            foreground: Foreground::new(),
            prepared: None,
            planes: Default::default(),
            alpha: Vec::new(),
        }
    }

    /// Forgets where the subject was.
    pub fn reset(&mut self) {
        self.framing.reset();
    }

    /// Puts a frame on the canvas; `None` if a buffer does not hold what its caps say.
    pub fn put(
        &mut self,
        settings: &Settings,
        meant: &Meant,
        time: Option<gst::ClockTime>,
        input: &gst::BufferRef,
        output: &mut gst::BufferRef,
    ) -> Option<()> {
        video::view(input, &self.input, |frame| {
            let size = (frame.width, frame.height);
            let own = self.resampler.alpha_of(frame);
            let region = match settings.crop {
                Crop::None => [0.0, 0.0, size.0 as f64, size.1 as f64],
                Crop::Subject => self.framing.follow(find(own, size.0), size, settings.margin, time),
            };
            let placing = Placing {
                width: self.output.width(),
                height: self.output.height(),
                anchor: settings.anchor,
                scale: settings.scale,
                offset: meant.offset,
            };
            let mapping = placing.map(region, self.aspect);
            video::fill(output, &self.output, |out| {
                self.resampler.place(frame, mapping, &mut canvas(&mut self.planes, out), &mut self.alpha);
                let colors = placed(&self.planes, out);
                if meant.background.is_transparent() {
                    // So that no rim shows where the result is scaled again, or an encoder mixes neighbours.
                    let beyond = self.foreground.prepare(&colors, &self.alpha, Colors::Shared, true);
                    compose::transparent(&beyond, &beyond, out, &self.alpha);
                } else {
                    let prepared = self
                        .prepared
                        .get_or_insert_with(|| Prepared::new(&meant.background, Fit::Cover, 1.0, out));
                    let backdrop = prepared.look(&colors, &self.alpha);
                    compose::composite(&colors, out, &self.alpha, backdrop);
                }
            })
        })?
    }
}

/// Our own memory for a frame like `out`.
fn canvas<'a>(planes: &'a mut [Vec<u8>; 4], out: &FrameMut<'_>) -> FrameMut<'a> {
    for (n, plane) in planes.iter_mut().enumerate() {
        let (bytes, rows) = compose::extent(out.format, n, out.width, out.height);
        plane.resize(bytes * rows, 0);
    }
    let sizes = [0, 1, 2, 3].map(|n| compose::extent(out.format, n, out.width, out.height).0);
    let mut sizes = sizes.into_iter();
    let planes = planes.each_mut().map(|data| PlaneMut { data, stride: sizes.next().unwrap_or(0) });
    FrameMut { format: out.format, color: out.color, width: out.width, height: out.height, planes }
}

/// The same to read.
fn placed<'a>(planes: &'a [Vec<u8>; 4], out: &FrameMut<'_>) -> Frame<'a> {
    let mut sizes = [0, 1, 2, 3].map(|n| compose::extent(out.format, n, out.width, out.height).0).into_iter();
    let planes = planes.each_ref().map(|data| Plane { data, stride: sizes.next().unwrap_or(0) });
    Frame { format: out.format, color: out.color, width: out.width, height: out.height, planes }
}
