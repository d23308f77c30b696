//! The formats, what each can hold, and the encoders that make it.

use super::launch_line::{LaunchLine, text};
use super::raw;
use std::path::{Path, PathBuf};

/// What the name of the file ends with that a muxer keeps beside its own until that is whole.
pub const BESIDE: &str = ".tmp";

/// Where that file lies.
pub fn beside(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(BESIDE);
    name.into()
}

/// A kind of file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// VP9 or VP8 with alpha, Opus: for the web
    Webm,
    /// ProRes 4444 with alpha, PCM: for video editors
    Mov,
    /// H.264, AAC: for everything else; needs a background
    Mp4,
    /// 256 colours, alpha of one bit, no sound
    Gif,
    /// Animated WebP with alpha, no sound
    Webp,
    /// A folder of numbered pictures with alpha, no sound
    Png,
    /// Plain frames in YUV 4:2:0, no alpha, no sound: for a pipe
    Y4m,
    /// Nothing but frames in RGBA: for a pipe
    Raw,
}

use Format::*;

impl Format {
    /// Those that are files for people.
    pub const ALL: [Format; 6] = [Webm, Mov, Mp4, Gif, Webp, Png];

    /// As on the command line, and the extension of its files.
    pub fn name(self) -> &'static str {
        match self {
            Webm => "webm",
            Mov => "mov",
            Mp4 => "mp4",
            Gif => "gif",
            Webp => "webp",
            Png => "png",
            Y4m => "y4m",
            Raw => "raw",
        }
    }

    /// By the extension of a file's name.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        Self::ALL.into_iter().chain([Y4m]).find(|f| f.name() == extension)
    }

    /// Names of those that a condition holds for.
    pub fn names(which: impl Fn(Format) -> bool) -> String {
        Self::ALL.into_iter().filter(|f| which(*f)).map(Format::name).collect::<Vec<_>>().join(", ")
    }

    pub fn has_alpha(self) -> bool {
        !matches!(self, Mp4 | Y4m)
    }

    /// Whether its pixels are red, green and blue.
    pub fn is_rgb(self) -> bool {
        matches!(self, Gif | Webp | Png | Raw)
    }

    /// Whether it can be made smaller for the price of quality.
    pub fn has_quality(self) -> bool {
        !matches!(self, Png | Y4m | Raw)
    }

    pub fn has_sound(self) -> bool {
        matches!(self, Webm | Mov | Mp4)
    }

    /// Channels of sound that its encoder takes, where that is fewer than an input may have.
    pub fn most_channels(self) -> Option<u32> {
        // `opusenc` and `avenc_aac` of GStreamer 1.22.
        matches!(self, Webm | Mp4).then_some(8)
    }

    /// The names of its codecs for video and sound.
    pub fn codecs(self, codec: Codec, alpha: bool) -> (&'static str, Option<&'static str>) {
        match self {
            Webm if codec == Codec::Vp8 => ("VP8", Some("Opus")),
            Webm => ("VP9", Some("Opus")),
            Mov => (if alpha { "ProRes 4444" } else { "ProRes 422" }, Some("PCM")),
            Mp4 => ("H.264", Some("AAC")),
            Gif => ("GIF", None),
            Webp => ("WebP", None),
            Png => ("PNG", None),
            Y4m | Raw => ("raw video", None),
        }
    }

    /// Whether it can say that pixels are not square.
    pub fn has_pixel_aspect(self) -> bool {
        matches!(self, Webm | Mov | Mp4 | Y4m)
    }

    /// Whether it can be written to a pipe, where nothing that is written can be changed.
    pub fn is_streamable(self) -> bool {
        matches!(self, Webm | Y4m | Raw)
    }

    /// Width and height have to be multiples of this: 4:2:0 in H.264 has no half samples.
    pub fn step(self) -> u32 {
        if matches!(self, Mp4 | Y4m) { 2 } else { 1 }
    }
}

/// The codec in a WebM file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Codec {
    #[default]
    Vp9,
    /// For old phones; larger
    Vp8,
}

/// All that the encoders' settings follow from.
#[derive(Clone, Debug)]
pub struct Encoding {
    pub format: Format,
    pub codec: Codec,
    /// 0 to 100.
    pub quality: u32,
    /// Whether frames come with alpha.
    pub alpha: bool,
    /// Pixels a second, for the ceiling of a bitrate.
    pub pixel_rate: f64,
    /// Channels of the sound.
    pub channels: u32,
    /// Whether frames are unevenly spaced.
    pub uneven: bool,
    /// What the frames' colorimetry is in limited range, where it is not.
    pub narrow: Option<String>,
    /// Which of several files of one pipeline it is, counted from 0; `None` where there is but one.
    pub number: Option<usize>,
}

impl Encoding {
    /// What an element of its part of the pipeline is called.
    pub fn called(&self, name: &str) -> String {
        match self.number {
            None | Some(0) => name.into(),
            Some(number) => format!("{name}{number}"),
        }
    }

    /// The element and the pad through which each frame goes into the file as one buffer; none where several may
    /// become one.
    pub fn counts_frames(&self) -> Option<(&'static str, &'static str)> {
        match self.format {
            Webm | Mov | Mp4 => Some(("mux", "video_0")),
            Png | Y4m | Raw => Some(("file", "sink")),
            Gif | Webp => None,
        }
    }

    /// All from frames and sound to the file. `video` and `sound` write what stands before the encoders; the last
    /// element is called `file` where somebody asks.
    ///
    /// # Errors
    /// Those of `video`, and a name that GStreamer cannot take.
    pub fn pipeline(
        &self,
        line: &mut LaunchLine,
        output: &Path,
        video: impl FnOnce(&mut LaunchLine) -> Result<(), String>,
        sound: Option<impl FnOnce(&mut LaunchLine)>,
    ) -> Result<(), String> {
        let encoded = |line: &mut LaunchLine| {
            video(line)?;
            self.video(line);
            Ok(())
        };
        self.file(line, output, encoded, sound)
    }

    /// The same for frames that are encoded already, which `video` writes.
    ///
    /// # Errors
    /// As above.
    pub fn file(
        &self,
        line: &mut LaunchLine,
        output: &Path,
        video: impl FnOnce(&mut LaunchLine) -> Result<(), String>,
        sound: Option<impl FnOnce(&mut LaunchLine)>,
    ) -> Result<(), String> {
        let muxer = self.muxer();
        if let Some(muxer) = muxer {
            let mux = self.called("mux");
            line.words(muxer).words(&[&format!("name={mux}")]);
            if self.format == Mp4 && line.is_named() {
                // Beside the file, which has room or not: in the folder for temporary files, mp4mux of 1.22 hangs.
                line.set("faststart-file", text(&beside(output))?);
            }
            self.sink(line, output)?;
        }
        video(line)?;
        match self.format {
            // The muxer waits for both streams, so each has to be able to wait.
            _ if muxer.is_some() => {
                line.then("queue").then(&format!("{}.video_0", self.called("mux")));
            }
            Png => {
                let pattern = output.join("frame-%05d.png");
                let pattern = text(&pattern)?.replace('%', "%%").replace("%%05d.png", "%05d.png");
                line.then("multifilesink").name(&self.called("file"));
                line.set("index", "1").set("location", &pattern);
                self.unwaited(line);
            }
            _ => self.sink(line, output)?,
        }
        if let Some(sound) = sound {
            sound(line);
            self.audio(line);
            // Encoders of video hold frames back, and a network takes its time: the sound waits here, as long
            // as need be. It is small, and the input's own order bounds it.
            line.then("queue")
                .set("max-size-buffers", "0")
                .set("max-size-bytes", "0")
                .set("max-size-time", "0");
            line.then(&format!("{}.audio_0", self.called("mux")));
        }
        Ok(())
    }

    /// What writes a file, or to standard output.
    fn sink(&self, line: &mut LaunchLine, output: &Path) -> Result<(), String> {
        if raw::is_pipe(output) {
            line.then("fdsink").name(&self.called("file")).set("fd", "1");
        } else {
            line.then("filesink").name(&self.called("file")).set("location", text(output)?);
        }
        self.unwaited(line);
        Ok(())
    }

    /// Of several files none waits at its first buffer until the others have theirs: an encoder may hold back more frames
    /// than the queues between have room for, and mp4mux all of them.
    fn unwaited(&self, line: &mut LaunchLine) {
        if self.number.is_some() {
            line.set("async", "false");
        }
    }

    /// From the frames that bgremove gives to the stream for the muxer or the file. The encoder is called
    /// `encoder` where somebody asks.
    fn video(&self, line: &mut LaunchLine) {
        // Worst at 0, best at 100.
        let level = |worst: f64, best: f64| worst + (best - worst) * f64::from(self.quality) / 100.0;
        match self.format {
            Webm => self.webm(line),
            Mov => {
                // Named, since videoconvert could choose a format without alpha.
                let format = if self.alpha { "A444_10LE" } else { "I422_10LE" };
                // A ProRes frame cannot say that its range is full, and nobody reads it so. GStreamer 1.22 does not bring YUV
                // to another range unless it goes by way of RGB.
                if self.narrow.is_some() {
                    line.then("videoconvert").then("video/x-raw,format=ARGB64");
                }
                let range = self.narrow.as_ref().map_or(String::new(), |c| format!(",colorimetry={c}"));
                line.then("videoconvert").then(&format!("video/x-raw,format={format}{range}"));
                line.then("avenc_prores_ks").name(&self.called("encoder")).set("pass", "quant");
                line.set("quantizer", &format!("{:.1}", level(21.0, 1.0)));
                if self.alpha {
                    line.set("alpha-bits", "8");
                }
            }
            Mp4 => {
                line.then("videoconvert").then("video/x-raw,format=I420");
                line.then("x264enc").name(&self.called("encoder")).set("pass", "qual");
                line.set("quantizer", &format!("{:.0}", level(35.0, 15.0)));
                if self.uneven {
                    // With frames out of order, mp4mux takes the length of the file from decoding times, and where
                    // those are uneven the edit list may end before the last frame.
                    line.set("bframes", "0");
                }
                line.then("video/x-h264,profile=high").then("h264parse");
            }
            Gif => {
                line.then("videoconvert").then("gifalphaenc").name(&self.called("encoder"));
                line.set("dither", &format!("{:.2}", f64::from(self.quality) / 100.0));
                if self.quality < 75 {
                    // Eight at 0, and all of them from 75 on.
                    let colors = 8.0 * (255f64 / 8.0).powf(f64::from(self.quality) / 75.0);
                    line.set("colors", &format!("{colors:.0}"));
                }
            }
            Webp => {
                line.then("videoconvert").then("webpalphaenc").name(&self.called("encoder"));
                line.set("quality", &self.quality.to_string());
            }
            // Four bytes a pixel have no gaps between rows.
            Raw => {
                line.then("videoconvert")
                    .then("video/x-raw,format=RGBA")
                    .then("identity")
                    .name(&self.called("encoder"));
            }
            Y4m => {
                line.then("videoconvert")
                    .then("video/x-raw,format=I420")
                    .then("y4menc")
                    .name(&self.called("encoder"));
            }
            Png => {
                let format = if self.alpha { "RGBA" } else { "RGB" };
                line.then("videoconvert").then(&format!("video/x-raw,format={format}"));
                line.then("pngenc").name(&self.called("encoder"));
            }
        }
    }

    fn webm(&self, line: &mut LaunchLine) {
        let rest = 1.0 - f64::from(self.quality) / 100.0;
        // Of equal quality, as far as can be: VP8's levels are wide where they are coarse.
        let (name, level) = match self.codec {
            Codec::Vp9 => ("vp9", 12.0 + 48.0 * rest),
            Codec::Vp8 => ("vp8", 6.0 + 50.0 * rest.powf(1.5)),
        };
        let level = format!("{level:.0}");
        // Alpha that is off is seen more than colour that is: 4 at quality 75, where hardly a pixel is off by more than 8,
        // and 0 from 93 on, where VP9 keeps it exactly.
        let alpha_level = format!("{:.0}", 40.0 * rest.powf(5.0 / 3.0));
        // The quality decides, up to a bitrate that only noise comes to: from a twentieth of a bit a pixel at quality 0 to
        // eight times that at 100, and never so little that small pictures suffer. It rises all the way, so that noise has
        // its steps, too.
        let ceiling = (self.pixel_rate * 0.05).max(5e5) * 8f64.powf(f64::from(self.quality) / 100.0);
        let ceiling = format!("{:.0}", ceiling.min(1e9));
        if self.alpha {
            line.then(&format!("{name}alphaenc")).name(&self.called("encoder"));
            line.set("cq-level", &level).set("alpha-cq-level", &alpha_level);
            line.set("target-bitrate", &ceiling);
            return;
        }
        // The same settings as the alpha encoders', which take no frames without alpha.
        let encoder = format!("{name}enc");
        line.then("videoconvert").then("video/x-raw,format=I420");
        line.then(&encoder).name(&self.called("encoder")).set("deadline", "1000000").set("cpu-used", "4");
        line.set("end-usage", "cq").set("cq-level", &level);
        line.set("target-bitrate", &ceiling).set("keyframe-max-dist", "128");
        line.set("threads", &gstbgremove::encoder_threads(&encoder).to_string());
        match self.codec {
            // With frames held back, GStreamer 1.22's loses the last ones where they are large.
            Codec::Vp9 => line.set("row-mt", "true").set("lag-in-frames", "0"),
            // Else the level counts for nothing in the first 150 frames.
            Codec::Vp8 => line.set("min-quantizer", &level),
        };
    }

    /// From decoded sound to the stream for the muxer.
    fn audio(&self, line: &mut LaunchLine) {
        line.then("audioconvert").then("audioresample");
        let bitrate = |channel: u32| (channel * self.channels.max(1)).to_string();
        match self.format {
            Webm => line.then("opusenc").set("bitrate", &bitrate(64_000)),
            // qtmux has no gaps in PCM: it fails where times go on by more than the samples.
            Mov => {
                line.then("audiorate").name("rate");
                if self.channels <= 2 {
                    line.then("audio/x-raw,format=S16LE")
                } else {
                    // qtmux takes more than two only where nothing is said of their places, and two would be made of them.
                    line.then(&format!("audio/x-raw,format=S16LE,channels={}", self.channels));
                    line.then("capssetter").set("caps", "audio/x-raw,channel-mask=(bitmask)0")
                }
            }
            _ => line.then("avenc_aac").set("bitrate", &bitrate(80_000)),
        };
    }

    /// The muxer, with its properties; `None` where the encoder writes whole files.
    fn muxer(&self) -> Option<&'static [&'static str]> {
        match self.format {
            Webm => Some(&["webmalphamux"]),
            Mov => Some(&["qtmux"]),
            Mp4 => Some(&["mp4mux", "faststart=true"]),
            Gif | Webp | Png | Y4m | Raw => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells() {
        assert_eq!(Format::of(Path::new("a/b.WebM")), Some(Webm));
        assert_eq!(Format::of(Path::new("b.mkv")), None);
        assert_eq!(Format::of(Path::new("webm")), None);
        assert_eq!(Format::names(Format::has_alpha), "webm, mov, gif, webp, png");
    }
}
