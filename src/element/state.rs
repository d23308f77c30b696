//! What happens to a frame, between caps and the end of the stream.

mod key;

use super::caps::MATTE_COLORIMETRY;
use super::choice::Means;
use super::effort::Effort;
use super::flow::Flow;
use super::frames;
use super::settings::*;
use crate::compose::{self, Backdrop, Background, Blur, Picture, Solid};
use crate::error::{Error, Kind as ErrorKind};
use crate::frame::{Format, Frame};
use crate::matte::Mask;
use crate::refine::{Colors, Foreground, Levels, Refiner};
use crate::scene::Scene;
use crate::temporal::Smoother;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFrameRef, VideoInfo};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is in force for a frame: the newest settings that the negotiated caps can carry.
#[derive(Clone, Debug)]
pub struct InForce {
    kind: Kind,
    background: Background,
    fit: BackgroundFit,
}

/// A backdrop that is ready for the negotiated format.
enum Prepared {
    Solid(Solid),
    Picture(Picture),
    Blur(Box<Blur>),
}

/// Where a frame's matte comes from.
#[derive(Debug)]
pub enum Source {
    /// The network's mask for it, smoothed in place.
    Mask(Mask),
    /// The same alpha everywhere: 0 hides the frame, 255 leaves it untouched.
    Whole(u8),
    /// The screen's colour; where there is no screen, this alpha everywhere.
    Key {
        missing: u8,
        /// Said afterwards: whether there is one.
        found: bool,
    },
}

/// What the stages of a frame took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// From the mask to a matte of the frame's size, and its levels.
    pub refine: Duration,
    /// What steadies mask and matte, and carries a mask to another frame.
    pub temporal: Duration,
    /// From the matte to the frame that goes out.
    pub compose: Duration,
}

/// Everything between caps and the end of the stream.
pub struct State {
    pub input: VideoInfo,
    output: VideoInfo,
    /// The network in use or what stands for one, and the settings that it was loaded for.
    pub means: Means,
    pub loaded: Arc<Settings>,
    /// Whether the network stood behind the stream at the last frame.
    pub behind: Option<bool>,
    /// Which frame gets which mask.
    pub flow: Flow,
    /// How fine edges are drawn where time is short.
    pub effort: Effort,
    refiner: Refiner,
    smoother: Smoother,
    scene: Scene,
    levels: Levels,
    foreground: Foreground,
    /// The colours that a frame's own alpha leaves visible.
    seen: Foreground,
    /// The matte of this frame, and with the alpha that the frame had before multiplied in.
    matte: Vec<u8>,
    alpha: Vec<u8>,
    /// What takes no part in a blurred background.
    cover: Vec<u8>,
    /// The frame's colours in the format that goes out, until it is known what of them is seen.
    scratch: Option<gst::Buffer>,
    /// The same in the format that came in, for a key.
    copy: Option<gst::Buffer>,
    /// GStreamer's own conversion, where the formats differ in more than order and alpha.
    converter: Option<VideoConverter>,
    pub in_force: InForce,
    prepared: Option<Prepared>,
}

impl State {
    pub fn new(
        input: &VideoInfo,
        output: &VideoInfo,
        means: Means,
        loaded: Arc<Settings>,
        before: Option<InForce>,
    ) -> Self {
        // What the caps can carry, until the settings are looked at.
        let fallback = || InForce {
            kind: match output.format() {
                gst_video::VideoFormat::Gray8 => Kind::Matte,
                _ if output.has_alpha() => Kind::Transparent,
                _ => Kind::Opaque,
            },
            background: if output.has_alpha() { Background::Transparent } else { Background::Color([0; 3]) },
            fit: BackgroundFit::default(),
        };
        let in_force = before.filter(|f| carries(input, output, f.kind)).unwrap_or_else(fallback);
        Self {
            input: input.clone(),
            output: output.clone(),
            means,
            loaded,
            behind: None,
            flow: Flow::default(),
            effort: Effort::default(),
            refiner: Refiner::new(),
            smoother: Smoother::new(),
            scene: Scene::new(),
            levels: Levels::new(),
            foreground: Foreground::new(),
            seen: Foreground::new(),
            matte: vec![0; input.width() as usize * input.height() as usize],
            alpha: Vec::new(),
            cover: Vec::new(),
            scratch: None,
            copy: None,
            converter: None,
            in_force,
            prepared: None,
        }
    }

    /// The same with another output format.
    pub fn with_output(self, output: &VideoInfo) -> Self {
        let fresh = Self::new(&self.input, output, self.means, self.loaded, Some(self.in_force));
        Self {
            smoother: self.smoother,
            scene: self.scene,
            flow: self.flow,
            effort: self.effort,
            behind: self.behind,
            ..fresh
        }
    }

    /// Forgets the frames that have gone out.
    pub fn forget(&mut self) {
        self.smoother.reset();
        self.scene.reset();
        if let Means::Key(keyer) = &mut self.means {
            keyer.reset();
        }
    }

    /// Takes the newest settings as far as the negotiated caps can carry them. The others wait for the
    /// renegotiation that they have asked for.
    pub fn follow(&mut self, settings: &Settings) {
        let kind = settings.kind();
        let Some(background) =
            settings.backdrop.as_ref().filter(|_| carries(&self.input, &self.output, kind))
        else {
            return;
        };
        let f = &mut self.in_force;
        if f.background != *background || f.fit != settings.fit {
            self.prepared = None;
        }
        if f.kind != kind || self.prepared.is_none() {
            *f = InForce { kind, background: background.clone(), fit: settings.fit };
        }
    }

    /// Whether the colours of the incoming frame lie as in the outgoing one, or are not wanted there.
    pub fn lies_as_it_goes_out(&self) -> bool {
        let [from, to] = [&self.input, &self.output].map(|info| frames::format(info.format()));
        let alike = |(a, b): (Format, Format)| {
            let yuv = a.is_yuv() == b.is_yuv();
            let [a, b] = [a.layout(), b.layout()];
            yuv && (a.color, a.colors) == (b.color, b.colors)
        };
        self.in_force.kind == Kind::Matte || from.zip(to).is_some_and(alike)
    }

    /// Puts the frame's colours into memory of our own, in the format that goes out, as the settings in force want
    /// them there; not needed where they lie so already and stay ([`State::needs_copy`]). Downstream's memory gets nothing that is not known to be seen.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when the buffer does not hold what its caps say.
    pub fn carry(&mut self, input: &gst::BufferRef) -> Result<(), Error> {
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.input)
            .map_err(|_| unreadable("the incoming buffer"))?;
        let frame = frames::read(&in_frame, &self.input).ok_or_else(|| unreadable("the incoming buffer"))?;
        let mut scratch =
            self.scratch.take().unwrap_or_else(|| gst::Buffer::from_mut_slice(vec![0u8; self.output.size()]));
        {
            let buffer = scratch.get_mut().ok_or_else(own)?;
            let mut mapped =
                VideoFrameRef::from_buffer_ref_writable(buffer, &self.output).map_err(|_| own())?;
            let mut colors = frames::write(&mut mapped, &self.output).ok_or_else(own)?;
            if !compose::carry(&frame, &mut colors) {
                self.convert(&in_frame, &mut mapped)?;
            }
        }
        self.scratch = Some(scratch);
        Ok(())
    }

    /// Makes of the frame's colours, which are there already or have been put there ([`State::carry`]), the frame that goes out, with edges as
    /// fine as `quality`. Each byte of `output` is written once, in its final form.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when a buffer does not hold what its caps say; `output` is as it was then.
    pub fn process(
        &mut self,
        settings: &Settings,
        quality: Refine,
        source: &mut Source,
        input: &gst::BufferRef,
        output: &mut gst::BufferRef,
    ) -> Result<Spent, Error> {
        let begin = Instant::now();
        self.key(settings, source, input)?;
        let keying = begin.elapsed();
        let scratch = self.scratch.take();
        let spent = self.make(settings, quality, source, input, scratch.as_deref(), output);
        self.scratch = scratch;
        if spent.is_ok() {
            frames::clear_rest(output, &self.output);
        }
        spent.map(|spent| Spent { refine: spent.refine + keying, ..spent })
    }

    fn make(
        &mut self,
        settings: &Settings,
        quality: Refine,
        source: &mut Source,
        input: &gst::BufferRef,
        scratch: Option<&gst::BufferRef>,
        output: &mut gst::BufferRef,
    ) -> Result<Spent, Error> {
        let (start, lies) = (Instant::now(), !self.needs_copy(settings));
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.input)
            .map_err(|_| unreadable("the incoming buffer"))?;
        let mut out_frame = VideoFrameRef::from_buffer_ref_writable(output, &self.output)
            .map_err(|_| unreadable("the outgoing buffer"))?;
        let frame = frames::read(&in_frame, &self.input).ok_or_else(|| unreadable("the incoming buffer"))?;
        let temporal = match source {
            Source::Mask(mask) => {
                let temporal = self.refine(settings, quality, mask, &frame);
                compose::clear_haze(&mut self.matte);
                temporal
            }
            Source::Whole(alpha) => {
                self.forget();
                self.matte.fill(*alpha);
                Duration::ZERO
            }
            // Made before.
            Source::Key { .. } => Duration::ZERO,
        };
        let refined = Instant::now();
        // Straight alpha that was there before hides pixels, too; it says nothing of how colours mix.
        let had_alpha = frame.format.has_alpha();
        if had_alpha {
            self.alpha.clone_from(&self.matte);
            compose::multiply_alpha(&frame, &mut self.alpha);
        }
        let mut out =
            frames::write(&mut out_frame, &self.output).ok_or_else(|| unreadable("the outgoing buffer"))?;
        let alpha = if had_alpha { &self.alpha } else { &self.matte };
        if self.in_force.kind == Kind::Matte {
            compose::matte(&mut out, alpha);
            return Ok(Spent {
                refine: (refined - start).saturating_sub(temporal),
                temporal,
                compose: refined.elapsed(),
            });
        }
        let own_colors;
        let colors = if lies {
            frame
        } else {
            let scratch = scratch.ok_or_else(own)?;
            own_colors = VideoFrameRef::from_buffer_ref_readable(scratch, &self.output).map_err(|_| own())?;
            frames::read(&own_colors, &self.output).ok_or_else(own)?
        };
        let keyed = matches!(source, Source::Key { .. });
        let which = match settings.decontaminate {
            // Cleaned already.
            true if keyed => Colors::Own,
            true => Colors::All,
            false => Colors::Shared,
        };
        match self.in_force.kind {
            Kind::Matte => {}
            Kind::Transparent => {
                // A frame that goes out untouched keeps its colours, whatever alpha it came with.
                let fades = !settings.decontaminate && !matches!(source, Source::Whole(_));
                let kept = if fades { Colors::Faded } else { Colors::Shared };
                let first = if had_alpha || settings.decontaminate { which } else { kept };
                let own_colors = self.foreground.prepare(&colors, &self.matte, first, !had_alpha);
                // Nothing of what was hidden before shows in chroma that is shared, nor is it carried.
                let seen =
                    had_alpha.then(|| self.seen.prepare(&colors, &self.alpha, kept, true).over(&own_colors));
                let own_colors = seen.as_ref().unwrap_or(&own_colors);
                compose::transparent(own_colors, own_colors, &mut out, alpha);
            }
            Kind::Opaque => {
                let prepared = self.prepared.get_or_insert_with(|| {
                    let (format, color) = (out.format, out.color);
                    match &self.in_force.background {
                        Background::Color(rgb) => {
                            let color = if format.is_yuv() { color.yuv(*rgb) } else { *rgb };
                            Prepared::Solid(Solid { format, color })
                        }
                        Background::Image(image) => {
                            let par = self.input.par();
                            let aspect = f64::from(par.numer()) / f64::from(par.denom());
                            let size = (out.width, out.height);
                            Prepared::Picture(Picture::new(
                                image,
                                (format, color),
                                size,
                                self.in_force.fit.into(),
                                aspect,
                            ))
                        }
                        Background::Blur(percent) => {
                            Prepared::Blur(Box::new(Blur::new(format, out.width, out.height, *percent)))
                        }
                        // Not reached while opaque; black shows nothing of the room.
                        Background::Transparent => {
                            Prepared::Solid(Solid { format, color: compose::black(&out) })
                        }
                    }
                });
                let backdrop: &dyn Backdrop = match prepared {
                    Prepared::Solid(s) => s,
                    Prepared::Picture(p) => p,
                    Prepared::Blur(b) => {
                        // Neither the subject nor what was hidden before takes part.
                        if had_alpha {
                            compose::cover(&frame, &self.matte, &mut self.cover);
                            b.prepare(&colors, &self.cover);
                        } else {
                            b.prepare(&colors, &self.matte);
                        }
                        &**b
                    }
                };
                // After the blur, which is made of the background's part in the same pixels.
                let own_colors = self.foreground.prepare(&colors, &self.matte, which, false);
                let seen = had_alpha.then(|| {
                    self.seen.prepare(&colors, &self.alpha, Colors::Shared, false).over(&own_colors)
                });
                compose::composite(seen.as_ref().unwrap_or(&own_colors), &mut out, alpha, backdrop);
            }
        }
        let refine = (refined - start).saturating_sub(temporal);
        Ok(Spent { refine, temporal, compose: refined.elapsed() })
    }

    /// The alpha that the last frame went out with, tight and of the frame's size.
    #[cfg(feature = "analytics")]
    pub fn alpha(&self) -> &[u8] {
        if self.input.has_alpha() { &self.alpha } else { &self.matte }
    }

    /// The network's mask as a matte of the frame's size; gives the part of the time that steadying took.
    fn refine(
        &mut self,
        settings: &Settings,
        quality: Refine,
        mask: &mut Mask,
        frame: &Frame<'_>,
    ) -> Duration {
        let begin = Instant::now();
        let strength = settings.temporal_smoothing;
        let recurrent = self.means.network().is_some_and(|n| !n.spec.states.is_empty());
        if settings.remember_background {
            self.scene.correct(frame, &mut mask.data, mask.width, mask.height);
        } else {
            self.scene.reset();
        }
        // A recurrent network has steadied its mask itself; a second time costs detail. And on frames that are
        // hardly larger than the mask, motion is not known finely enough to carry it along.
        if !recurrent && mask.width * 2 <= frame.width && mask.height * 2 <= frame.height {
            self.smoother.mask(frame, &mut mask.data, mask.width, mask.height, strength);
        }
        let mut temporal = begin.elapsed();
        let of = (frame, &mask.data[..], mask.width, mask.height);
        if !self.refiner.refine_but(of, quality.into(), self.smoother.kept(), &mut self.matte) {
            self.smoother.disturb();
        }
        let begin = Instant::now();
        if quality != Refine::None && self.scene.is_known() {
            self.smoother.restore(&mut self.matte);
            self.scene.refine(frame, &mut self.matte);
        }
        self.smoother.apply(frame, &mut self.matte, strength);
        temporal += begin.elapsed();
        self.levels.apply(&mut self.matte, frame.width, frame.height, &settings.controls);
        temporal
    }

    /// The frame's colours in the output's format, by GStreamer's converter.
    fn convert(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<(), Error> {
        let converter = match &mut self.converter {
            Some(c) => c,
            none => {
                let mut config = VideoConverterConfig::new();
                // On several threads, GStreamer 1.22 gives other chroma where the threads' lines meet, and of NV12 below.
                use gst_video::VideoFormat::{A420, Nv12};
                let alone = [A420, Nv12].contains(&self.input.format()) || self.output.format() == A420;
                config.set_threads(if alone { 1 } else { rayon::current_num_threads() as u32 });
                let made = VideoConverter::new(&self.input, &self.output, Some(config)).map_err(|e| {
                    Error::new(
                        ErrorKind::Inference,
                        format!(
                            "GStreamer cannot convert {:?} to {:?}: {e}",
                            self.input.format(),
                            self.output.format()
                        ),
                    )
                })?;
                none.insert(made)
            }
        };
        converter.frame_ref(input, output);
        Ok(())
    }
}

/// The error of our own memory, which cannot be had or read.
fn own() -> Error {
    Error::new(ErrorKind::Inference, "there is no memory for a frame")
}

/// The error of a buffer that is not what its caps say.
pub fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Inference, format!("{what} does not fit its caps"))
}

/// Whether the negotiated formats can hold what a kind of output gives.
fn carries(input: &VideoInfo, output: &VideoInfo, kind: Kind) -> bool {
    match kind {
        Kind::Transparent => output.has_alpha(),
        Kind::Opaque => output.format() == input.format() && output.colorimetry() == input.colorimetry(),
        Kind::Matte => match output.format() {
            gst_video::VideoFormat::Gray8 => true,
            gst_video::VideoFormat::I420 => output.colorimetry().to_string() == MATTE_COLORIMETRY,
            _ => false,
        },
    }
}
