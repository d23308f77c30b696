//! `bgremove compare`: two settings of the element on the very same decoded frames, as one HTML page.

mod moments;
mod page;
mod play;
mod truth;
mod verdict;

use gstbgremove::measure::{self, Size, Steady, SteadyFrame, Truth, TruthFrame};
use moments::Moments;
use play::{Decoder, Remover, Setting};
use std::path::{Path, PathBuf};
use std::time::Duration;
use truth::Mattes;

/// What is compared on what.
#[derive(clap::Args)]
pub struct Args {
    /// Properties of the first bgremove element, as in gst-launch-1.0: 'model=light'
    #[arg(long, value_name = "PROPERTIES")]
    a: String,
    /// Properties of the second
    #[arg(long, value_name = "PROPERTIES")]
    b: String,
    /// Video files
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
    /// True mattes: a video, or a folder of 8-bit PNG files, one a frame, in the order of their names; once
    /// for each clip, in the clips' order
    #[arg(long, value_name = "FOLDER_OR_CLIP")]
    truth: Vec<PathBuf>,
    /// The page to write
    #[arg(long, short, default_value = "compare.html", value_name = "FILE")]
    output: PathBuf,
    /// At most so many frames of each clip
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frames: Option<u32>,
}

/// What one side gave on a clip.
#[derive(Default)]
struct Side {
    steady: Vec<SteadyFrame>,
    steady_mean: SteadyFrame,
    truth: Vec<TruthFrame>,
    truth_mean: Option<TruthFrame>,
    /// Time from a frame's going in to its coming out.
    times: Vec<Duration>,
}

impl Side {
    /// Milliseconds a frame, the first (which loads and warms up) left out where there are others.
    fn milliseconds(&self) -> f64 {
        let times = if self.times.len() > 1 { &self.times[1..] } else { &self.times[..] };
        let sum: f64 = times.iter().map(Duration::as_secs_f64).sum();
        sum / times.len().max(1) as f64 * 1e3
    }
}

/// What was found on a clip.
struct Outcome {
    path: PathBuf,
    sha256: String,
    size: Size,
    rate: String,
    /// Frames a second, to name moments by their time; 0 if the file does not say.
    fps: f64,
    sides: [Side; 2],
    /// Mean |alpha of A − alpha of B| of each frame, ×10³.
    differences: Vec<f64>,
    moments: Moments,
    /// Share of the frames' pixels that either side calls foreground at all.
    coverage: [f64; 2],
}

/// Compares and writes the page.
///
/// # Errors
/// A text that names what was wrong and what to do.
pub fn run(args: &Args) -> Result<(), String> {
    if !args.truth.is_empty() && args.truth.len() != args.clips.len() {
        return Err(format!(
            "{} clips but {} --truth: give --truth once for each clip, in the same order",
            args.clips.len(),
            args.truth.len()
        ));
    }
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    gstbgremove::plugin_register_static().map_err(|e| format!("the bgremove element: {e}"))?;
    let settings = [Setting::parse("--a", &args.a)?, Setting::parse("--b", &args.b)?];
    let limit = args.frames.map_or(usize::MAX, |n| n as usize);
    let mut outcomes = Vec::new();
    for (i, clip) in args.clips.iter().enumerate() {
        outcomes.push(watch(clip, args.truth.get(i), &settings, limit)?);
    }
    let verdicts = verdict::verdicts(&outcomes);
    let html = page::page(&settings, &outcomes, &verdicts, !args.truth.is_empty())?;
    write(&args.output, &html).map_err(|e| {
        format!("{} cannot be written: {e}. Name another file with --output.", args.output.display())
    })?;
    for line in &verdicts {
        println!("{line}");
    }
    println!("{}", args.output.display());
    Ok(())
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A pipe or a terminal is not to be replaced.
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        return std::fs::write(path, text);
    }
    gstbgremove::draft::write(path, ".compare-", text.as_bytes())
}

/// One clip through both settings, frame by frame.
fn watch(
    clip: &std::path::Path,
    truth: Option<&PathBuf>,
    settings: &[Setting; 2],
    limit: usize,
) -> Result<Outcome, String> {
    let sha256 = play::hash_file(clip)?;
    let mut decoder = Decoder::open(clip)?;
    let mut mattes = truth.map(|t| Mattes::open(t)).transpose()?;
    let first = decoder.next()?.ok_or_else(|| {
        format!("{} has no video frame: give a file that has a video in it", clip.display())
    })?;
    let size = first.size();
    let caps = first.info.clone();
    let fps = caps.fps();
    let mut removers = [Remover::start(&settings[0], &caps)?, Remover::start(&settings[1], &caps)?];
    let mut steady = [Steady::new(size), Steady::new(size)];
    let mut truths = [Truth::new(size), Truth::new(size)];
    let mut outcome = Outcome {
        path: clip.to_path_buf(),
        sha256,
        size,
        rate: if fps.numer() > 0 { format!("{}/{}", fps.numer(), fps.denom()) } else { "not said".into() },
        fps: if fps.numer() > 0 { f64::from(fps.numer()) / f64::from(fps.denom()) } else { 0.0 },
        sides: Default::default(),
        differences: Vec::new(),
        moments: Moments::default(),
        coverage: [0.0; 2],
    };
    let wrong = |e: measure::WrongSize| format!("{}: {e}", clip.display());
    let mut next = Some(first);
    while let Some(frame) = next {
        let n = outcome.differences.len();
        if frame.size() != size {
            return Err(format!(
                "{}: frame {n} has another size than the first; cut the clip where its size changes",
                clip.display()
            ));
        }
        let luma = frame.luma();
        let mut removed = [None, None];
        // Turn about, so that neither always has the warmer cache.
        for side in [n % 2, 1 - n % 2] {
            let (rgba, time) = removers[side].remove_background(&frame)?;
            outcome.sides[side].times.push(time);
            removed[side] = Some(rgba);
        }
        let [Some(a), Some(b)] = removed else { return Err("a side gave no frame".into()) };
        let alphas = [a.alpha(), b.alpha()];
        let truth = mattes.as_mut().map(|m| m.next(n, size)).transpose()?;
        let mut worst = 0.0f64;
        for side in 0..2 {
            let seen = steady[side].add(&luma, &alphas[side]).map_err(wrong)?;
            worst = worst.max(seen.flicker.unwrap_or(0.0) * 1e-6);
            let sum: f64 = alphas[side].iter().map(|a| f64::from(*a)).sum();
            outcome.coverage[side] += sum / size.pixels() as f64;
            if let Some(truth) = &truth {
                worst = worst.max(truths[side].add(&alphas[side], truth).map_err(wrong)?.mad);
            }
        }
        let difference = measure::difference(&alphas[0], &alphas[1]);
        outcome.differences.push(difference);
        if truth.is_none() {
            worst += difference;
        }
        outcome.moments.offer(n, worst, &frame, [&a, &b], &alphas)?;
        next = if n + 1 < limit { decoder.next()? } else { None };
    }
    for (side, (steady, truth)) in outcome.sides.iter_mut().zip(steady.iter().zip(&truths)) {
        side.steady = steady.frames().to_vec();
        side.steady_mean = steady.mean();
        side.truth = truth.frames().to_vec();
        side.truth_mean = truth.mean();
    }
    outcome.coverage.iter_mut().for_each(|c| *c /= outcome.differences.len() as f64);
    Ok(outcome)
}
