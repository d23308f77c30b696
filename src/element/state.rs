//! What happens to a frame, between caps and the end of the stream.

mod key;
mod painting;

use super::caps::MATTE_COLORIMETRY;
use super::convert::{FormatConverter, lie_alike, no_memory};
use super::effort::Effort;
use super::engine::MatteEngine;
use super::flow::Flow;
use super::layers::{LayerColors, LayerSource, Layering};
use super::mattes::Mattes;
use super::settings::*;
use crate::compose::{self, Background};
use crate::error::Error;
use crate::frame::Frame;
use crate::layers::Layers;
use crate::mask::Mask;
use crate::paint::{Painter, Prepared};
use crate::refine::{self, Adjuster, Colors, EdgeCorrector, Refiner};
use crate::runtime::{self, Cancel};
use crate::scene::Scene;
use crate::siting::Siting;
use crate::subjects::{Asked, Region, Wanted};
use crate::temporal::{FrameWindow, Smoother};
use crate::video;
use gst_video::{VideoFrameRef, VideoInfo};
use painting::Painting;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is in force for a frame: the newest settings whose output the negotiated caps can hold.
#[derive(Clone, Debug)]
pub struct InForce {
    kind: OutputKind,
    /// The frame's own background is shown, and not the subject.
    inverse: bool,
    background: Background,
    fit: BackgroundFit,
}

/// Where a frame's matte comes from.
#[derive(Debug)]
pub enum MatteSource {
    /// The number of the frame, and the network's mask for it, smoothed in place.
    Mask(u64, Mask),
    /// The same alpha everywhere: 0 hides the frame, 255 leaves it untouched.
    Uniform(u8),
    /// The screen's colour; where there is no screen, this alpha everywhere.
    Key {
        missing: u8,
        /// Said afterwards: whether there is one.
        found: bool,
        /// A garbage matte that fails leaves the last one in force, and does not hide or show the whole frame.
        holds: bool,
        /// Ends its run.
        cancel: Cancel,
        /// Said afterwards: why it has failed.
        failure: Option<Error>,
    },
}

/// What the stages of a frame took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// From the mask to a matte of the frame's size, and what its controls make of it.
    pub refine: Duration,
    /// What steadies mask and matte, and carries a mask to another frame.
    pub temporal: Duration,
    /// From the matte to the frame that goes out.
    pub compose: Duration,
}

/// Everything between caps and the end of the stream.
pub struct StreamState {
    pub input: VideoInfo,
    output: VideoInfo,
    /// The network in use or what stands for one, and the settings that it was loaded for.
    pub engine: MatteEngine,
    pub loaded: Arc<Settings>,
    /// Whether the network was to run at a low priority at the last frame.
    pub low_priority: Option<bool>,
    /// Who was wanted in the newest mask.
    pub wanted: Wanted,
    /// What upstream has found since the last frame that the network was asked about.
    regions: Vec<Region>,
    /// Which frame gets which mask.
    pub flow: Flow,
    /// How fine edges are drawn where time is short.
    pub effort: Effort,
    siting: Siting,
    refiner: Refiner,
    edges: EdgeCorrector,
    /// The frames about the one that leaves, where later ones are there.
    pub window: FrameWindow,
    smoother: Smoother,
    scene: Scene,
    adjuster: Adjuster,
    painter: Painter,
    mattes: Mattes,
    /// The frame's colours in the format that goes out.
    converter: FormatConverter,
    /// A frame's colours in the format that came in, for a key.
    copy: Option<gst::Buffer>,
    pub in_force: InForce,
    prepared: Option<Prepared>,
    layering: Layering,
}

impl StreamState {
    pub fn new(
        input: &VideoInfo,
        output: &VideoInfo,
        engine: MatteEngine,
        loaded: Arc<Settings>,
        before: Option<InForce>,
    ) -> Self {
        // What the caps can hold, until the settings are looked at.
        let fallback = || InForce {
            kind: match output.format() {
                gst_video::VideoFormat::Gray8 => OutputKind::Matte,
                _ if output.has_alpha() => OutputKind::Transparent,
                _ => OutputKind::Opaque,
            },
            inverse: loaded.output == Output::Background,
            background: if output.has_alpha() { Background::Transparent } else { Background::Color([0; 3]) },
            fit: BackgroundFit::default(),
        };
        let in_force = before.filter(|f| caps_hold(input, output, f.kind)).unwrap_or_else(fallback);
        Self {
            input: input.clone(),
            output: output.clone(),
            engine,
            loaded,
            low_priority: None,
            wanted: Wanted::All,
            regions: Vec::new(),
            flow: Flow::default(),
            effort: Effort::default(),
            siting: Siting::default(),
            refiner: Refiner::new(),
            edges: EdgeCorrector::new(),
            window: FrameWindow::new(),
            smoother: Smoother::new(),
            scene: Scene::new(),
            adjuster: Adjuster::new(),
            painter: Painter::default(),
            mattes: Mattes::new(input.width() as usize, input.height() as usize, input.has_alpha()),
            converter: FormatConverter::new(input, output),
            copy: None,
            in_force,
            prepared: None,
            layering: Layering::default(),
        }
    }

    /// The same with another output format.
    pub fn with_output(self, output: &VideoInfo) -> Self {
        let new = Self::new(&self.input, output, self.engine, self.loaded, Some(self.in_force));
        Self {
            siting: self.siting,
            window: self.window,
            smoother: self.smoother,
            scene: self.scene,
            flow: self.flow,
            effort: self.effort,
            low_priority: self.low_priority,
            wanted: self.wanted,
            regions: self.regions,
            ..new
        }
    }

    /// The same with the buffers of an older state, whose frames are forgotten: new buffers for each of several sizes that come and
    /// go would fill the heap.
    pub fn with_buffers_of(self, old: Self) -> Self {
        let mut state = Self {
            siting: old.siting,
            refiner: old.refiner,
            edges: old.edges,
            window: old.window,
            smoother: old.smoother,
            scene: old.scene,
            adjuster: old.adjuster,
            painter: old.painter,
            ..self
        };
        state.restart();
        state
    }

    /// Forgets the frames that have gone out.
    pub fn forget(&mut self) {
        self.window.reset();
        self.smoother.reset();
        self.scene.reset();
        if let MatteEngine::Key(keying) = &mut self.engine {
            keying.reset();
        }
    }

    /// Another stream begins, or another place in it.
    pub fn restart(&mut self) {
        self.siting.restart();
        self.forget();
    }

    /// Stores the regions that upstream has found in a frame, if it has found any.
    pub fn store_regions(&mut self, regions: Vec<Region>) {
        if !regions.is_empty() {
            self.regions = regions;
        }
    }

    /// Whom the network is asked to keep in a frame; takes the stored regions.
    pub fn take_request(&mut self, settings: &Settings) -> Asked {
        let regions = std::mem::take(&mut self.regions);
        Asked { wanted: settings.wanted.clone(), number: settings.subject_serial, regions }
    }

    /// Adds a frame and the network's mask of it to the window, unless it is there.
    pub fn add_to_window(&mut self, number: u64, buffer: &gst::BufferRef, mask: &Mask) {
        if self.window.knows(number) {
            return;
        }
        let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, &self.input);
        let frame = mapped.as_ref().ok().and_then(|mapped| video::read(mapped, &self.input));
        if let Some(frame) = frame {
            self.window.add(number, &frame, (&mask.data, mask.width, mask.height));
        }
    }

    /// Applies the newest settings as far as the negotiated caps can hold what they give. The others wait for the
    /// renegotiation that they have asked for.
    pub fn apply_settings(&mut self, settings: &Settings) {
        let kind = settings.kind();
        let Some(background) =
            settings.active_background.as_ref().filter(|_| caps_hold(&self.input, &self.output, kind))
        else {
            return;
        };
        let f = &mut self.in_force;
        if f.background != *background || f.fit != settings.fit {
            self.prepared = None;
        }
        let inverse = settings.output == Output::Background;
        if (f.kind, f.inverse) != (kind, inverse) || self.prepared.is_none() {
            *f = InForce { kind, inverse, background: background.clone(), fit: settings.fit };
        }
    }

    /// Whether the colours of the incoming frame lie as in the outgoing one, or are not wanted there.
    pub fn lies_as_it_goes_out(&self) -> bool {
        self.in_force.kind == OutputKind::Matte || lie_alike(&self.input, &self.output)
    }

    /// Whether the frame's colours are brought to the outgoing format as it is painted.
    fn paints_in_rgb(&self, settings: &Settings) -> bool {
        self.in_force.kind == OutputKind::Transparent
            && settings.layers.is_empty()
            // Which is what RGB always has, but for a few.
            && self.output.colorimetry().range() != gst_video::VideoColorRange::Range16_235
            && video::format(self.input.format())
                .zip(video::format(self.output.format()))
                .is_some_and(|(from, to)| compose::rgb::takes(from, to))
    }

    /// Converts the frame's colours into private scratch memory, in the format that goes out, as the settings in force want
    /// them there; not needed where they lie so already and stay ([`StreamState::needs_copy`]).
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Inference`] when the buffer does not hold what its caps say.
    pub fn convert(&mut self, input: &gst::BufferRef) -> Result<(), Error> {
        self.converter.convert(input)
    }

    /// Makes of the frame's colours, which are there already or have been put there ([`StreamState::convert`]), the
    /// frame that goes out, with edges as fine as `quality`. Each byte of `output` is written once, in its final form.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Inference`] when a buffer does not hold what its caps say; those of ONNX Runtime when the network of
    /// `refine=learned` cannot be loaded or run. `output` is as it was then.
    pub fn process(
        &mut self,
        settings: &Settings,
        quality: Refine,
        source: &mut MatteSource,
        input: &gst::BufferRef,
        output: &mut gst::BufferRef,
    ) -> Result<Spent, Error> {
        let start = Instant::now();
        self.key(settings, source, input)?;
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.input)
            .map_err(|_| Error::unreadable("the incoming buffer"))?;
        let frame =
            video::read(&in_frame, &self.input).ok_or_else(|| Error::unreadable("the incoming buffer"))?;
        let temporal = self.find_mattes(settings, quality, source, &frame)?;
        let refined = Instant::now();
        let uniform = matches!(source, MatteSource::Uniform(_));
        let own_colors;
        let colors = if !self.needs_copy(settings) {
            frame
        } else if self.paints_in_rgb(settings) {
            let cleaned = self.copy.as_deref().ok_or_else(no_memory)?;
            own_colors =
                VideoFrameRef::from_buffer_ref_readable(cleaned, &self.input).map_err(|_| no_memory())?;
            video::read(&own_colors, &self.input).ok_or_else(no_memory)?
        } else {
            let scratch = self.converter.converted().ok_or_else(no_memory)?;
            own_colors =
                VideoFrameRef::from_buffer_ref_readable(scratch, &self.output).map_err(|_| no_memory())?;
            video::read(&own_colors, &self.output).ok_or_else(no_memory)?
        };
        let mut out_frame = VideoFrameRef::from_buffer_ref_writable(output, &self.output)
            .map_err(|_| Error::unreadable("the outgoing buffer"))?;
        let mut out = video::write(&mut out_frame, &self.output)
            .ok_or_else(|| Error::unreadable("the outgoing buffer"))?;
        let (cleans, lies) = (self.cleans(settings), self.lies_as_it_goes_out());
        let par = self.input.par();
        let painting = Painting {
            in_force: &self.in_force,
            aspect: f64::from(par.numer()) / f64::from(par.denom()),
            decontaminate: settings.decontaminate,
            which: match settings.decontaminate {
                // Cleaned already.
                true if cleans => Colors::Own,
                true => Colors::All,
                false => Colors::Shared,
            },
            // A frame that goes out untouched keeps its colours, whatever alpha it came with.
            kept: if settings.decontaminate || uniform { Colors::Shared } else { Colors::Faded },
            painter: &mut self.painter,
            mattes: &mut self.mattes,
            scene: &mut self.scene,
            prepared: &mut self.prepared,
        };
        painting.paint(&frame, &colors, &mut out);
        drop(out_frame);
        video::clear_rest(output, &self.output);
        if !settings.layers.is_empty() {
            if settings.layers.contains(Layers::PLATE) {
                self.mattes.find_clear(&frame);
            }
            let source = LayerSource {
                input,
                frame: &frame,
                colors: match self.in_force.kind {
                    OutputKind::Matte => LayerColors::Missing,
                    // The background's colours are the frame's, not those that a key has cleaned.
                    _ if !cleans => LayerColors::Given(&colors),
                    _ if lies => LayerColors::Given(&frame),
                    _ => LayerColors::Converted,
                },
                input_info: &self.input,
                output_info: &self.output,
                mattes: &self.mattes,
                scene: &mut self.scene,
            };
            self.layering.attach(settings.layers, source, output)?;
        }
        let refine = (refined - start).saturating_sub(temporal);
        Ok(Spent { refine, temporal, compose: refined.elapsed() })
    }

    /// What of a frame is the subject, and what its background where that is wanted; gives the part of the time that steadying took.
    fn find_mattes(
        &mut self,
        settings: &Settings,
        quality: Refine,
        source: &mut MatteSource,
        frame: &Frame<'_>,
    ) -> Result<Duration, Error> {
        let temporal = match source {
            MatteSource::Mask(number, mask) => {
                let temporal = self.refine(settings, quality, (*number, mask), frame)?;
                compose::clear_haze(self.mattes.matte_mut());
                temporal
            }
            MatteSource::Uniform(alpha) => {
                self.forget();
                self.mattes.matte_mut().fill(*alpha);
                Duration::ZERO
            }
            // Made before.
            MatteSource::Key { .. } => Duration::ZERO,
        };
        self.mattes.finish(frame);
        if self.in_force.inverse || !settings.layers.is_empty() {
            let uniform = match source {
                MatteSource::Mask(..) | MatteSource::Key { found: true, .. } => None,
                MatteSource::Uniform(a) | MatteSource::Key { missing: a, .. } => Some(*a),
            };
            self.mattes.find_background(frame, uniform);
        }
        Ok(temporal)
    }

    /// The alpha that the last frame went out with, tight and of the frame's size.
    #[cfg(feature = "analytics")]
    pub fn alpha(&self) -> &[u8] {
        self.mattes.subject().alpha
    }

    /// The network's mask as a matte of the frame's size; gives the part of the time that steadying took.
    fn refine(
        &mut self,
        settings: &Settings,
        quality: Refine,
        (number, mask): (u64, &mut Mask),
        frame: &Frame<'_>,
    ) -> Result<Duration, Error> {
        let begin = Instant::now();
        let strength = settings.temporal_smoothing;
        let recurrent = self.engine.network().is_some_and(|n| !n.spec.states.is_empty());
        // A recurrent network has steadied its mask itself; a second time costs detail. And on frames that are
        // hardly larger than the mask, motion is not known finely enough to carry it along.
        let steadies = !recurrent && mask.width * 2 <= frame.width && mask.height * 2 <= frame.height;
        let seen = self.window.view(number);
        let steps = if steadies { self.smoother.begin_frame(frame, seen, strength) } else { None };
        let ahead = self.window.blend(number, &mut mask.data, steps);
        self.smoother.set_ahead(ahead);
        // Not where only some people are kept: the others differ from the remembered background, which would put them back into
        // the mask.
        if settings.remember_background && self.wanted == Wanted::All {
            self.scene.correct(frame, &mut mask.data, mask.width, mask.height);
        } else {
            self.scene.reset();
        }
        if steadies {
            self.smoother.smooth_mask(frame, &mut mask.data, mask.width, mask.height, strength);
        }
        let mut temporal = begin.elapsed();
        let centred = self.siting.centred(frame);
        let of = (&centred, &mask.data[..], mask.width, mask.height);
        if !self.refiner.refine_partly(of, quality.into(), self.smoother.kept(), self.mattes.matte_mut()) {
            self.smoother.keep_nothing();
        }
        let fine = mask.width.min(mask.height) >= refine::LEAST_MASK;
        let corrects = quality == Refine::Learned && fine && !self.refiner.is_crowded();
        let solves = quality != Refine::None && self.scene.is_known();
        if corrects || solves {
            self.smoother.restore(self.mattes.matte_mut());
        }
        if corrects {
            let (behind, kept) = (self.scene.behind(frame), self.smoother.kept());
            self.edges.correct(runtime::open(None)?, &centred, behind, kept, self.mattes.matte_mut())?;
        }
        let begin = Instant::now();
        if solves {
            self.scene.refine(frame, corrects, self.mattes.matte_mut());
        }
        self.smoother.smooth_matte(frame, self.mattes.matte_mut(), strength);
        temporal += begin.elapsed();
        self.adjuster.apply(self.mattes.matte_mut(), frame.width, frame.height, &settings.controls);
        Ok(temporal)
    }
}

/// Whether the negotiated formats can hold what a kind of output gives.
fn caps_hold(input: &VideoInfo, output: &VideoInfo, kind: OutputKind) -> bool {
    match kind {
        OutputKind::Transparent => output.has_alpha(),
        OutputKind::Opaque => {
            output.format() == input.format() && output.colorimetry() == input.colorimetry()
        }
        OutputKind::Matte => match output.format() {
            gst_video::VideoFormat::Gray8 => true,
            gst_video::VideoFormat::I420 => output.colorimetry().to_string() == MATTE_COLORIMETRY,
            _ => false,
        },
    }
}
