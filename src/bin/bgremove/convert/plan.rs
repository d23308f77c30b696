//! From what is asked for and what the input is, to the pipeline.

use super::also::Also;
use super::format::{Encoding, Format};
use super::input::Facts;
use super::launch_line::{LaunchLine, text};
use super::{Background, Settings};
use gstbgremove::layers::Layer;
use std::path::{Path, PathBuf};

/// A matte to what the encoders of YUV take. GStreamer 1.22 leaves grey of full range as it is, which a file does not say and
/// players do not believe, or makes 18 and 237 of its black and white; from RGB it becomes 16 and 235.
fn by_way_of_rgb(line: &mut LaunchLine, format: Format) {
    // Ten bits of grey become what they should, and 254 of RGB's white.
    if !format.is_rgb() && format != Format::Mov {
        line.then("videoconvert").then("video/x-raw,format=RGBx");
    }
}

/// Smallest and largest side of a frame that bgremove takes.
const SIDES: std::ops::RangeInclusive<u32> = 16..=8192;

/// What is to be done to an input.
#[derive(Clone, Debug)]
pub struct Plan {
    steps: Vec<Step>,
    encoding: Encoding,
    /// Of the layers besides.
    layers: Vec<Encoding>,
    sound: bool,
    /// Whether alpha is to be multiplied into the frames for the encoder.
    pub premultiplied: bool,
    /// Size of the frames that bgremove has.
    frame: (u32, u32),
    /// Size of the frames that come out.
    pub width: u32,
    pub height: u32,
}

/// Something to do to frames before bgremove.
#[derive(Clone, Debug)]
enum Step {
    Deinterlace,
    Turn(&'static str),
    /// The numbers of HLG taken for those of SDR, which it was made to allow.
    Plain,
    /// At most so many frames a second.
    Rate(u32),
    /// To a size in square pixels.
    Scale(u32, u32),
    /// Pixels off the right and the bottom.
    Crop(u32, u32),
}

impl Plan {
    /// # Errors
    /// Why this input cannot be converted as asked, and what to do.
    pub fn new(settings: &Settings, facts: &Facts) -> Result<Self, String> {
        if facts.pq {
            return Err("it is HDR video (perceptual quantisation, as in HDR10), which would come out dark and pale; \
                        make SDR of it first: ffmpeg -i IN -vf zscale=t=linear:npl=200,format=gbrpf32le,zscale=p=bt709,\
                        tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p -c:a copy SDR.mp4"
                .into());
        }
        let format = settings.format;
        let formats = || settings.also.iter().map(|a| a.format).chain([format]);
        let mut steps = Vec::new();
        if facts.interlaced {
            steps.push(Step::Deinterlace);
        }
        if let Some(how) = facts.turned {
            steps.push(Step::Turn(how));
        }
        if facts.hlg {
            steps.push(Step::Plain);
        }
        if let Some(rate) = settings.fps {
            steps.push(Step::Rate(rate));
        }
        let (mut width, mut height, mut aspect) = (facts.width, facts.height, facts.pixel_aspect);
        if facts.quarter {
            (width, height, aspect) = (height, width, 1.0 / aspect);
        }
        let step = formats().map(Format::step).max().unwrap_or(1);
        let even = |v: f64| ((v / f64::from(step)).round() as u32 * step).max(step);
        if let Some((w, h)) = settings.size {
            // As large as fits, in the shape that it is seen in.
            let seen = f64::from(width) * aspect;
            let by = (f64::from(w) / seen).min(f64::from(h) / f64::from(height));
            (width, height) =
                (even(seen * by).min(w.max(step)), even(f64::from(height) * by).min(h.max(step)));
            steps.push(Step::Scale(width, height));
        } else if (aspect - 1.0).abs() > 1e-6 && !formats().all(Format::has_pixel_aspect) {
            width = even(f64::from(width) * aspect);
            steps.push(Step::Scale(width, height));
        }
        let (right, bottom) = (width % step, height % step);
        if right + bottom > 0 {
            (width, height) = (width - right, height - bottom);
            steps.push(Step::Crop(right, bottom));
        }
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            return Err(format!(
                "its frames are {width}×{height}; {} to {} pixels a side are taken. Choose another with --size.",
                SIDES.start(),
                SIDES.end()
            ));
        }
        // What the encoder gets; layers are of the frame.
        let frame = (width, height);
        if let Some(canvas) = &settings.canvas {
            let square = steps.iter().any(|s| matches!(s, Step::Scale(..)));
            let aspect = if square { 1.0 } else { aspect };
            (width, height) = canvas.size(frame, aspect, step)?;
        }
        let sound = settings.sound && facts.channels.is_some();
        if let (Some(most), Some(channels)) = (format.most_channels().filter(|_| sound), facts.channels)
            && channels > most
        {
            return Err(format!(
                "its sound has {channels} channels, and {} takes {most} at most: --audio drop leaves it out, or mix it \
                 first: ffmpeg -i IN -c:v copy -ac 2 OUT.mkv",
                format.name()
            ));
        }
        let rate = if facts.rate > 0.0 { facts.rate } else { 30.0 };
        let pixel_rate = |(w, h): (u32, u32)| f64::from(w) * f64::from(h) * rate;
        let encoding = Encoding {
            format,
            codec: settings.codec,
            quality: settings.quality,
            alpha: settings.alpha(),
            pixel_rate: pixel_rate((width, height)),
            channels: facts.channels.unwrap_or(0),
            uneven: facts.uneven,
            narrow: facts.narrow.clone(),
            number: (!settings.also.is_empty()).then_some(0),
        };
        let layer = |(number, also): (usize, &Also)| Encoding {
            format: also.format,
            alpha: also.has_alpha(),
            channels: 0,
            pixel_rate: pixel_rate(frame),
            number: Some(number + 1),
            ..encoding.clone()
        };
        let layers = settings.also.iter().enumerate().map(layer).collect();
        Ok(Self {
            steps,
            encoding,
            layers,
            sound,
            premultiplied: settings.premultiplied,
            frame,
            width,
            height,
        })
    }

    /// Whether sound comes along.
    pub fn sound(&self) -> bool {
        self.sound
    }

    /// How the first file is made.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// How the file of a layer is made, counted from 0.
    pub fn layer(&self, number: usize) -> &Encoding {
        &self.layers[number]
    }

    /// Whether every frame that reaches the encoder has to have alpha.
    pub fn alpha(&self) -> bool {
        self.encoding.alpha
    }

    /// The part from decoded streams to the file. Its first elements are called `video` and `audio`, the
    /// encoder `encoder` and the last one `file`.
    pub fn run(&self, settings: &Settings, output: &Path, layers: &[PathBuf]) -> Result<LaunchLine, String> {
        let mut line = LaunchLine::new(true);
        self.chains(&mut line, settings, (output, layers), &|line, name| {
            line.start("queue").name(name);
        })?;
        Ok(line)
    }

    /// The whole pipeline, to be printed.
    pub fn print(&self, settings: &Settings, input: &Path, output: &Path) -> Result<String, String> {
        let mut line = LaunchLine::new(false);
        line.start("filesrc").set("location", text(input)?).then("decodebin").words(&["name=in"]);
        let layers: Vec<_> = settings.also.iter().map(|a| a.path.clone()).collect();
        self.chains(&mut line, settings, (output, &layers), &|line, _| {
            line.start("in.").then("queue");
        })?;
        Ok(line.shell())
    }

    fn chains(
        &self,
        line: &mut LaunchLine,
        settings: &Settings,
        (output, layers): (&Path, &[PathBuf]),
        begin: &dyn Fn(&mut LaunchLine, &str),
    ) -> Result<(), String> {
        let video = |line: &mut LaunchLine| {
            begin(line, "video");
            self.frames(line, settings)
        };
        let sound = |line: &mut LaunchLine| begin(line, "audio");
        self.encoding.pipeline(line, output, video, self.sound.then_some(sound))?;
        for ((encoding, also), path) in self.layers.iter().zip(&settings.also).zip(layers) {
            let video = |line: &mut LaunchLine| {
                waiting(line.start("layers.").then("queue"));
                line.then("layerextract").set("layer", also.layer.nick());
                if also.layer == Layer::Matte {
                    by_way_of_rgb(line, also.format);
                }
                // Each works beside the others.
                line.then("queue");
                Ok(())
            };
            encoding.pipeline(line, path, video, None::<fn(&mut LaunchLine)>)?;
        }
        Ok(())
    }

    /// From decoded frames to those that bgremove gets: upright, and as large and as many as they are to be.
    pub fn steps(&self, line: &mut LaunchLine) {
        line.then("videoconvert");
        for step in &self.steps {
            match step {
                // One frame for each frame; the other field would double the rate. The plain method: of 1.22's finer
                // ones greedyh and tomsmocomp garble I420, and yadif gives two frames the same time.
                Step::Deinterlace => line.then("deinterlace").set("method", "linear").set("fields", "top"),
                Step::Turn(how) => line.then("videoflip").set("video-direction", how),
                Step::Plain => line.then("video/x-raw,colorimetry=bt709"),
                Step::Rate(rate) => {
                    line.then("videorate").set("drop-only", "true").set("max-rate", &rate.to_string())
                }
                Step::Scale(w, h) => line
                    .then("videoscale")
                    .then(&format!("video/x-raw,width={w},height={h},pixel-aspect-ratio=1/1")),
                Step::Crop(right, bottom) => {
                    line.then("videocrop").set("right", &right.to_string()).set("bottom", &bottom.to_string())
                }
            };
        }
    }

    /// From decoded frames to what the encoder is to have.
    fn frames(&self, line: &mut LaunchLine, settings: &Settings) -> Result<(), String> {
        self.steps(line);
        // Where pictures of red, green and blue come out, the background is to be the colour that was asked for: on the
        // way there from limited-range YUV, GStreamer makes 253 of white.
        if settings.format.is_rgb() && settings.is_opaque_still() {
            line.then("videoconvert").then("video/x-raw,format=RGBx");
        }
        settings.element(line.then("bgremove"));
        if let Some(side) = settings.files_resolution(self.frame) {
            line.set("resolution", &side.to_string());
        }
        if settings.matte() {
            by_way_of_rgb(line, settings.format);
        }
        if !self.layers.is_empty() {
            line.then("tee").words(&["name=layers"]);
            waiting(line.then("queue"));
        }
        if let Some(canvas) = &settings.canvas {
            canvas.element(line, &settings.background);
        }
        if let Background::Clip(path) = &settings.background {
            line.then("queue").then("videobackdrop").set("location", text(path)?);
        }
        // The network and the encoder work side by side.
        line.then("queue");
        Ok(())
    }
}

/// A queue behind the tee: some frames, however long they stand and however large they are.
fn waiting(queue: &mut LaunchLine) {
    queue.set("max-size-buffers", "4").set("max-size-bytes", "0").set("max-size-time", "0");
}
