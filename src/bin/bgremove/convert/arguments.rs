//! The command line of `bgremove convert`.

use super::also::{self, Also};
use super::canvas;
use super::format::{Codec, Format};
use super::parts::{self, Ask, PartChoice, Share};
use super::raw::{self, Raw};
use super::subjects;
use super::tracks::TrackChoice;
use super::values::{at_least_one, property, range, seconds, size, time};
use super::{Background, Settings, Task, background, into_folder, output, record};
use crate::inbox;
use gstbgremove::auto;
use gstbgremove::key;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it failed: bad input, a stall, a full disk, less came out than the input promises, …; with several inputs: at least one failed
  2    the command line was not understood, or asks for what cannot be
  130  interrupted (Ctrl-C); what was under way is gone, what was whole is kept

Examples:
  bgremove convert in.mp4 out.webm
  bgremove convert in.mp4 out.mp4 --background beach.jpg --model human
  bgremove convert in.mp4 out.webm --also matte=matte.mp4 --also plate=room.mp4
  bgremove convert in.mp4 out.mp4 --layout talking-head --background slides.png
  bgremove convert in.mp4 out.gif --size 480x480 --fps 15 --start 1:05 --duration 3
  bgremove convert *.mp4 -o cut/ --format mov --jobs 2";

/// What is converted to what.
#[derive(clap::Args)]
pub struct Args {
    /// The input, and the file to write; - is standard input, - or out:- standard output; with --output-folder: inputs only
    #[arg(required_unless_present = "watch", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The network: light, human, original, pro, or an ONNX file; auto takes human if it is installed, else light, and
    /// says so
    #[arg(long, default_value = auto::AUTO, value_name = "NAME")]
    model: String,
    /// transparent; a colour (#00b140, white, …); blur or blur:PERCENT; a picture; a video, which plays
    /// round and round
    #[arg(long, default_value = "transparent", value_name = "WHAT")]
    background: String,
    /// The format; without it the output's extension tells
    #[arg(long)]
    format: Option<Format>,
    /// The codec in a WebM file
    #[arg(long, default_value = "vp9")]
    codec: Codec,
    /// Alpha as it is, or multiplied into the colours as some programs want a MOV file
    #[arg(long, default_value = "straight", value_name = "HOW")]
    alpha: Alpha,
    /// 0 (smallest) to 100 (best), 75 if nothing is said; for gif how many colours there are and how much is dithered.
    /// Not for png, which is exact
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    quality: Option<u32>,
    /// The input is nothing but frames: how large, how many a second, and their pixel format as ffmpeg calls it
    #[arg(long, value_name = "WIDTHxHEIGHT@RATE,FORMAT", conflicts_with_all = ["part", "range", "print_pipeline"])]
    raw: Option<Raw>,
    /// Begin here: seconds, MINUTES:SECONDS or HOURS:MINUTES:SECONDS
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<gst::ClockTime>,
    /// Convert only so much
    #[arg(long, value_name = "TIME", value_parser = time)]
    duration: Option<gst::ClockTime>,
    /// Only the Kth of N parts of about equal length, into a file with that number in its name; `bgremove join` puts them
    /// together. auto/N takes K from the environment of an array job (Kubernetes, Slurm, AWS Batch), auto N as well
    #[arg(long, value_name = "K/N", conflicts_with_all = ["start", "duration", "fps", "range", "print_pipeline"])]
    part: Option<Share>,
    /// Only these frames (120..240, counted from 0) or that time (4s..8s, 0:04..0:08), as a part for `bgremove join`
    #[arg(long, value_name = "START..END", value_parser = range,
        conflicts_with_all = ["start", "duration", "fps", "print_pipeline"])]
    range: Option<(String, Ask)>,
    /// So many frames before a part are inferred and not written, so that no seam is seen; 60 if nothing is said, 150
    /// for networks that remember earlier frames
    #[arg(long, value_name = "FRAMES")]
    warm_up: Option<u64>,
    /// What is there already and whole is not made again
    #[arg(long, conflicts_with = "print_pipeline")]
    resume: bool,
    /// As large as fits into so many pixels; the shape stays
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: Option<(u32, u32)>,
    #[command(flatten)]
    canvas: canvas::Options,
    /// At most so many frames a second; frames are left out, the others keep their times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: Option<u32>,
    /// What becomes of the sound; kept where the format holds sound, if nothing is said
    #[arg(long)]
    audio: Option<Audio>,
    /// Which of several sound tracks: a number from 1, or a language as in the file (eng); else the file's default, or
    /// the first
    #[arg(long, value_name = "N|LANGUAGE")]
    audio_track: Option<TrackChoice>,
    /// Which of several videos in the file
    #[arg(long, value_name = "N|LANGUAGE")]
    video_track: Option<TrackChoice>,
    /// Who is kept of those that are seen: largest; a place X,Y (0.25,0.5) or a box X,Y,WIDTH,HEIGHT in parts of the frame,
    /// from the left and the top; each keeps who is there in the first frame. The others become background
    #[arg(long, value_name = "WHO", value_parser = subjects::keep)]
    keep: Option<String>,
    /// Write the first frame as a picture, with everybody who can be kept outlined and numbered, print what --keep takes
    /// for each, and convert nothing
    #[arg(long, value_name = "FILE.png", conflicts_with_all = ["output_folder", "watch", "part", "range", "also",
        "print_pipeline", "keep", "report", "json", "resume"])]
    pub preview_subjects: Option<PathBuf>,
    /// A property of the bgremove element (gst-inspect-1.0 bgremove lists them): --set refine=fast
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    set: Vec<(String, String)>,
    /// Write another layer of the same frames, too, of the one inference: matte (the alpha as grey), background (the room; a
    /// hole where the subject is, or in a format without alpha what plate is) or plate (the room without the subject). Its
    /// format is the extension's. Any number of times
    #[arg(long, value_name = "LAYER=FILE", conflicts_with_all = ["output_folder", "watch", "part", "range", "resume"])]
    also: Vec<Also>,
    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,
    /// Put the results into this folder, named after the inputs
    #[arg(long, short, value_name = "FOLDER")]
    pub output_folder: Option<PathBuf>,
    /// Convert what comes into this folder, each file once when it is whole, until Ctrl-C; what cannot be converted goes
    /// into failed/ in it, with a record
    #[arg(long, value_name = "FOLDER", requires = "output_folder",
        conflicts_with_all = ["files", "part", "range", "overwrite", "resume", "print_pipeline"])]
    pub watch: Option<PathBuf>,
    /// Convert so many inputs at the same time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    pub jobs: usize,
    /// Give up after so many seconds in which nothing comes in or out; 0 never
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,
    /// Tell of the work as JSON, an object a line: model, start, progress, note, warning, done, error, summary
    #[arg(long)]
    pub json: bool,
    /// Write a record of the conversion in JSON (docs/report.schema.json), also when it fails: model, settings,
    /// source, result, statistics, warnings, what went wrong. With --output-folder: a folder of records
    #[arg(long, value_name = "FILE.json", conflicts_with = "print_pipeline")]
    report: Option<PathBuf>,
    /// Print the pipeline as a line for gst-launch-1.0, and do nothing
    #[arg(long)]
    pub print_pipeline: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Audio {
    Keep,
    Drop,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Alpha {
    Straight,
    Premultiplied,
}

impl Args {
    /// How long nothing may happen.
    pub fn timeout(&self) -> Option<Duration> {
        (self.timeout > 0.0).then(|| Duration::from_secs_f64(self.timeout))
    }

    /// The folder that records of many inputs go to.
    pub fn report_folder(&self) -> Option<&PathBuf> {
        self.report.as_ref().filter(|_| self.output_folder.is_some())
    }

    /// What is asked for where only a picture of the subjects is: the input, and what tells how it is opened.
    pub(super) fn read_preview(&self) -> Result<(Settings, PathBuf), String> {
        let [input] = self.files.as_slice() else {
            return Err("--preview-subjects takes one input, and no output but its own picture".into());
        };
        if self.model == key::NAME {
            return Err(
                "--preview-subjects needs a network: model=key knows the screen, and not who is before it"
                    .into(),
            );
        }
        if let Some(picture) = &self.preview_subjects {
            if !picture.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
                return Err(format!(
                    "--preview-subjects writes a PNG picture: name {} so",
                    picture.display()
                ));
            }
            if output::same_file(picture, input) {
                return Err(format!("{} would replace itself: choose another name", input.display()));
            }
            if picture.exists() && !self.overwrite {
                return Err(format!("{} exists: give --overwrite to replace it", picture.display()));
            }
        }
        let settings = Settings {
            model: self.model.clone(),
            set: self.set.clone(),
            start: self.start.unwrap_or_default(),
            duration: self.duration,
            sound: false,
            drop_sound: true,
            video_track: self.video_track.clone(),
            raw: self.raw.clone(),
            ..Settings::new(Format::Png)
        };
        Ok((settings, input.clone()))
    }

    /// What is asked for, looked at as far as it can be without opening an input.
    pub(super) fn read(&self) -> Result<(Settings, Vec<Task>), String> {
        let background = background(&self.background)?;
        self.check_set()?;
        let (inputs, output) = self.inputs_and_output()?;
        let output = output.as_deref();
        let format = self.output_format(output, background != Background::Transparent)?;
        let settings = self.settings(background, format)?;
        self.check(&settings, output)?;
        let tasks = self.tasks(&settings, &inputs, output)?;
        Ok((settings, tasks))
    }

    /// Refuses properties that another option sets.
    fn check_set(&self) -> Result<(), String> {
        if let Some((name, _)) = self.set.iter().find(|(n, _)| n == "background" || n == "model") {
            return Err(format!("--set {name}=… would contradict --{name}: use that"));
        }
        if self.keep.is_some() && self.set.iter().any(|(n, _)| n == "subject") {
            return Err("--set subject=… would contradict --keep: use that".into());
        }
        Ok(())
    }

    /// The inputs, and the output where it is not a folder of many.
    fn inputs_and_output(&self) -> Result<(Vec<PathBuf>, Option<PathBuf>), String> {
        let (inputs, output) = match (&self.output_folder, self.files.as_slice()) {
            (Some(_), inputs) => (inputs, None),
            (None, [input, output]) => (std::slice::from_ref(input), Some(output)),
            (None, [_]) => return Err("where to? Name the output, or a folder with --output-folder".into()),
            (None, _) => return Err("several inputs need --output-folder FOLDER".into()),
        };
        let inputs = inputs.iter().map(|path| raw::input(path)).collect();
        Ok((inputs, output.map(|path| raw::output(path))))
    }

    /// The format of the result: as it is named, else by the output's extension, else by whether it is `opaque`.
    fn output_format(&self, output: Option<&Path>, opaque: bool) -> Result<Format, String> {
        Ok(match (self.format, output) {
            (Some(format), _) => format,
            (None, Some(path)) if raw::is_pipe(path) => {
                // Y4M has no alpha.
                let matte = self.set.iter().any(|(n, v)| n == "output" && (v == "matte" || v == "1"));
                if opaque || matte { Format::Y4m } else { Format::Raw }
            }
            (None, Some(path)) => Format::of(path).ok_or_else(|| {
                format!(
                    "{}: the extension tells no format that can be written ({}): choose one, or give --format",
                    path.display(),
                    Format::names(|_| true)
                )
            })?,
            (None, None) => if opaque { Format::Mp4 } else { Format::Webm },
        })
    }

    /// What is to be done to every input, as far as the format takes it.
    fn settings(&self, background: Background, format: Format) -> Result<Settings, String> {
        if self.audio == Some(Audio::Keep) && !format.has_sound() {
            return Err(format!(
                "{} holds no sound, which --audio keep asks for; these do: {}",
                format.name(),
                Format::names(Format::has_sound)
            ));
        }
        if self.quality.is_some() && !format.has_quality() {
            return Err(format!(
                "{} keeps every pixel exactly, so --quality has nothing to choose: leave it out, or take one of {}",
                format.name(),
                Format::names(Format::has_quality)
            ));
        }
        let part = self.part(format)?;
        let chooses =
            self.keep.is_some() || self.set.iter().any(|(n, v)| n == "subject" && v.trim() != "all");
        if part.is_some() && chooses {
            return Err("who is kept is chosen in a clip's first frame, which other parts do not have: make parts with everybody \
                        in them, or convert it in one piece"
                .into());
        }
        Ok(Settings {
            format,
            codec: self.codec,
            quality: self.quality.unwrap_or(75),
            model: self.model.clone(),
            background,
            set: self
                .keep
                .iter()
                .map(|who| ("subject".into(), who.clone()))
                .chain(self.set.clone())
                .collect(),
            start: self.start.unwrap_or_default(),
            duration: self.duration,
            size: self.size,
            fps: self.fps,
            // Of parts the sound is laid over the whole.
            sound: self.audio != Some(Audio::Drop) && format.has_sound() && part.is_none(),
            drop_sound: self.audio == Some(Audio::Drop),
            video_track: self.video_track.clone(),
            audio_track: self.audio_track.clone(),
            overwrite: self.overwrite,
            premultiplied: self.alpha == Alpha::Premultiplied,
            raw: self.raw.clone(),
            part,
            resume: self.resume,
            also: self.also.clone(),
            canvas: self.canvas.read()?,
        })
    }

    /// Refuses settings that contradict each other, the format or the output.
    fn check(&self, settings: &Settings, output: Option<&Path>) -> Result<(), String> {
        let (format, opaque) = (settings.format, settings.background != Background::Transparent);
        if let Some(canvas) = &settings.canvas {
            canvas.check(settings)?;
        }
        if settings.premultiplied && format != Format::Mov {
            return Err(format!(
                "{} has straight alpha by its own rules, or none: --alpha premultiplied is for mov",
                format.name()
            ));
        }
        if settings.premultiplied && !settings.alpha() {
            return Err("--alpha premultiplied needs a result with alpha: leave out --background".into());
        }
        if settings.audio_track.is_some() && (settings.drop_sound || !format.has_sound()) {
            return Err("--audio-track chooses a sound, and the result has none: leave it out".into());
        }
        if settings.matte() && opaque {
            return Err(
                "--set output=matte gives the matte alone, which has no background: leave out --background"
                    .into(),
            );
        }
        if settings.alpha() && !format.has_alpha() {
            return Err(format!(
                "{} has no transparency. Choose a background (--background '#00b140', blur, a picture or a video), or \
                 a format that has it: {}",
                format.name(),
                Format::names(Format::has_alpha)
            ));
        }
        if settings.part.is_some() && matches!(settings.background, Background::Clip(_)) {
            return Err("a video behind would begin anew with every part: make parts that are transparent, join them, and put \
                        the joined file on the video"
                .into());
        }
        if let Some(path) = output.filter(|path| raw::is_pipe(path)) {
            if !format.is_streamable() {
                return Err(format!(
                    "{} cannot be written to a pipe: webm, y4m and raw can; or name a file",
                    format.name()
                ));
            }
            if settings.part.is_some() || settings.resume {
                return Err(format!(
                    "{} is no file, which --part, --range and --resume need",
                    path.display()
                ));
            }
        }
        if let Some(watched) = &self.watch {
            let into = [("--output-folder", &self.output_folder), ("--report", &self.report)];
            for (option, folder) in into.into_iter().filter_map(|(option, f)| Some((option, f.as_ref()?))) {
                if output::same_file(watched, folder)
                    || output::same_file(&watched.join(inbox::FAILED), folder)
                {
                    return Err(format!(
                        "{option} {} is the folder that is watched, or where failures go: choose another one",
                        folder.display()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Each input and where it goes.
    fn tasks(
        &self,
        settings: &Settings,
        inputs: &[PathBuf],
        output: Option<&Path>,
    ) -> Result<Vec<Task>, String> {
        let format = settings.format;
        let mut tasks = match (&self.output_folder, output) {
            (Some(folder), _) => into_folder(inputs, folder, format, self.report.as_deref())?,
            (None, Some(path)) => {
                let (input, output) = (inputs[0].clone(), output::target(path, format));
                vec![Task { input, output, report: self.report.clone(), seen: None }]
            }
            (None, None) => Vec::new(),
        };
        // Before the name becomes that of a part: what is joined has this one.
        if let Some(task) = tasks.iter().find(|task| output::same_file(&task.input, &task.output)) {
            return Err(format!("{} would replace itself: choose another name", task.input.display()));
        }
        if let Some(share) = self.part {
            tasks.iter_mut().for_each(|task| task.output = parts::name(&task.output, share));
        }
        for task in &tasks {
            if output::same_file(&task.input, &task.output) {
                return Err(format!("{} would replace itself: choose another name", task.input.display()));
            }
            if let Some(report) = &task.report {
                if [&task.input, &task.output].iter().any(|p| *p == report || output::same_file(p, report)) {
                    return Err(format!(
                        "--report {} would replace it: choose another name",
                        report.display()
                    ));
                }
                record::check(report)?;
            }
            let others: Vec<_> = task.report.iter().chain([&task.output]).map(PathBuf::as_path).collect();
            also::check(settings, &task.input, &others)?;
            // One that is in the way of many is told of with the others, in its turn.
            if tasks.len() == 1 && !self.print_pipeline && !self.resume && !raw::is_pipe(&task.output) {
                output::check(&task.output, format, self.overwrite)?;
            }
            for also in settings.also.iter().filter(|_| !self.print_pipeline) {
                output::check(&also.path, also.format, self.overwrite)?;
            }
        }
        Ok(tasks)
    }

    /// The part that is asked for, if it is not the whole.
    fn part(&self, format: Format) -> Result<Option<PartChoice>, String> {
        let (ask, asked) = match (self.part, &self.range) {
            (Some(share), _) => (Ask::Share(share), format!("{}/{}", share.number, share.of)),
            (None, Some((asked, ask))) => (*ask, asked.clone()),
            (None, None) if self.warm_up.is_some() => {
                return Err("--warm-up is for a part: give --part or --range with it".into());
            }
            (None, None) => return Ok(None),
        };
        if matches!(format, Format::Gif | Format::Webp) {
            return Err(format!(
                "{} cannot be put together from parts, since what it writes of a frame hangs on those before: take one of {}",
                format.name(),
                Format::names(|f| !matches!(f, Format::Gif | Format::Webp | Format::Y4m | Format::Raw))
            ));
        }
        if matches!(format, Format::Y4m | Format::Raw) {
            return Err(format!(
                "{} has no parts, since join does not know it: take webm, mov, mp4 or png",
                format.name()
            ));
        }
        Ok(Some(PartChoice { ask, asked, warm_up: self.warm_up }))
    }
}
