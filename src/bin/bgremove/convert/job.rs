//! One conversion, from the opened input to the whole file in its place.

use super::color;
use super::edits;
use super::fault::{Fault, LOOK};
use super::format::Format;
use super::input::{Input, Range};
use super::output::Output;
use super::picture;
use super::plan::Plan;
use super::premultiply;
use super::raw;
use super::record::Account;
use super::report::{Job, State};
use super::short::{Came, Part, Promise};
use super::times;
use super::ts;
use super::uneven::uneven;
use super::watch::Watch;
use super::{Settings, Task, short};
use crate::parts::mark::{self, There};
use crate::parts::{self, Slice};
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the encoder has been given so far.
#[derive(Default)]
struct Given {
    frames: AtomicU64,
    /// End of the last frame, in nanoseconds of running time.
    until: AtomicU64,
    /// Frames that were decoded, and the end of the last one.
    decoded: AtomicU64,
    decoded_until: AtomicU64,
    /// Frames that came out of the encoder, where each frame is one there.
    written: AtomicU64,
    counts: AtomicBool,
    /// Some sound has come, and when it ends.
    sound: AtomicBool,
    sound_until: AtomicU64,
    /// What is wrong with a frame.
    wrong: Mutex<Option<Fault>>,
}

impl Given {
    fn came(&self, sound: bool) -> Came {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let seconds = |n: &AtomicU64| get(n) as f64 / 1e9;
        Came {
            frames: get(&self.decoded),
            video: seconds(&self.decoded_until),
            sound: sound.then(|| seconds(&self.sound_until)),
            encoded: get(&self.frames),
            written: self.counts.load(Ordering::Relaxed).then(|| get(&self.written)),
        }
    }
}

/// What came out.
pub struct Written {
    pub frames: u64,
    pub bytes: u64,
}

/// Prints the pipeline for an input.
pub fn print(settings: &Settings, input: &Path, output: &Path, watch: &Watch) -> Result<String, Fault> {
    refuse(input)?;
    let mut opened = Input::open(input, settings, None, watch)?;
    opened.facts.uneven = settings.format == Format::Mp4 && input.is_file() && uneven(input, watch);
    Ok(Plan::new(settings, &opened.facts).map_err(Fault::settings)?.print(settings, input, output)?)
}

/// Refuses files of which GStreamer loses something without a word.
fn refuse(path: &Path) -> Result<(), Fault> {
    // What is read once cannot be looked at first.
    if path.is_file() { picture::refuse_animation(path) } else { Ok(()) }
}

/// Converts an input.
pub fn convert(
    settings: &Settings,
    task: &Task,
    watch: &Watch,
    job: &Job<'_>,
    account: &mut Account<'_>,
) -> Result<(), Fault> {
    let mut overwrite = settings.overwrite;
    if settings.resume {
        match parts::there(settings, task).map_err(Fault::output)? {
            There::Whole => {
                job.kept();
                account.kept();
                return Ok(());
            }
            There::Broken => overwrite = true,
            There::Nothing => {}
            There::Other(what) if !overwrite => {
                return Err(Fault::output(format!("{what}: give --overwrite to replace it")));
            }
            There::Other(_) => {}
        }
    }
    let begin = if settings.part.is_some() { Output::among_others } else { Output::begin };
    let result = begin(&task.output, settings.format, overwrite).map_err(Fault::output)?;
    if result.swept > 0 {
        let text = format!("{} unfinished parts of conversions that were ended are taken away", result.swept);
        note(job, account, &text);
    }
    let even = settings.format != Format::Mp4 || !task.input.is_file() || !uneven(&task.input, watch);
    let stop = settings.duration.map(|d| settings.start + d);
    let range = (settings.start > gst::ClockTime::ZERO || stop.is_some()).then_some(Range {
        start: settings.start,
        stop,
        standing: None,
        exact: None,
    });
    // A pipe is read once.
    let at_once = range.filter(|_| !task.input.is_file());
    if settings.part.is_some() && !task.input.is_file() {
        return Err(Fault::input(
            "a part of it cannot be found, since it is no file and can be read only once",
        ));
    }
    if settings.raw.is_none() {
        refuse(&task.input)?;
    }
    if std::fs::metadata(&task.input).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        let text = "it is no regular file and is read once: its header is not looked at, and what GStreamer gets wrong in \
                    it (edit lists, turned Matroska, animated pictures) is neither mended nor told";
        if settings.raw.is_none() {
            note(job, account, text);
        }
    } else if settings.raw.is_none() {
        let stop = stop.map(|t| t.nseconds() as f64 / 1e9);
        if let Some(text) = ts::check(&task.input, stop, watch)? {
            job.warning(ts::CODE, &text);
            account.warning(ts::CODE, &text);
        }
    }
    let opened = Input::open(&task.input, settings, at_once, watch);
    let mut input = opened.map_err(|fault| picture::explain(&task.input, fault))?;
    input.facts.uneven = !even;
    account.opened(&input);
    let slice = settings.part.as_ref().map(|part| part.slice(settings, &input, watch)).transpose()?;
    let range = slice.as_ref().map_or(range, Slice::range);
    let mut plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
    account.planned(&plan);
    if input.facts.hlg {
        let text = "HDR video (hybrid log-gamma) becomes ordinary video; bright parts may look flat";
        note(job, account, text);
    }
    if input.facts.channels.is_some() && settings.sound_wanted() && !settings.format.has_sound() {
        note(job, account, &format!("its sound is left out: {} holds none", settings.format.name()));
    }
    if let Some(range) = range.filter(|_| at_once.is_none()) {
        if !input.seek(range, watch)? {
            drop(input);
            input = Input::open(&task.input, settings, Some(range), watch)?;
            // A picture that stands where the part begins is only known by the one after it.
            if let Some(standing) = input.standing() {
                drop(input);
                let range = Range { standing: Some(standing), ..range };
                input = Input::open(&task.input, settings, Some(range), watch)?;
            }
            input.facts.uneven = !even;
        }
        // Its sound may be over by then.
        plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
        account.planned(&plan);
    }
    if input.header.before > 0.0 && plan.sound() {
        let text = format!(
            "it begins {:.3} s before its nought, which GStreamer takes for nought: sound may come so much later",
            input.header.before
        );
        note(job, account, &text);
    }
    input.left_out.iter().for_each(|text| note(job, account, text));
    let end = match (stop, input.duration) {
        (Some(stop), Some(length)) => Some(stop.min(length)),
        (stop, length) => stop.or(length),
    };
    let mut total = end.map(|end| end.saturating_sub(settings.start).nseconds() as f64 / 1e9);
    if let Some(slice) = &slice {
        let end = slice.end.map(gst::ClockTime::from_nseconds).or(input.duration);
        total = end.map(|end| (end.nseconds() as f64 - slice.time as f64) / 1e9);
    }
    job.started(plan.width, plan.height, total, plan.sound());

    let rest = plan.run(settings, result.path())?.launch()?;
    if settings.format == Format::Y4m
        && let Some(pad) =
            rest.downcast_ref::<gst::Bin>().and_then(|b| b.by_name("encoder")?.static_pad("sink"))
    {
        raw::pack(&pad);
    }
    let cropped = slice.as_ref().map(|slice| parts::crop(&rest, slice)).transpose()?;
    let played = play(&input, rest, &plan, (settings, total), watch, job, account);
    account.played(&input.pipeline.0);
    input.read_tags();
    account.tagged(&input);
    let rate = input.facts.rate;
    // What has stalled may hold what would be asked.
    let (state, came) = played?;
    let (mut promise, part) = promise(&input, range);
    // The file is closed before it is looked at.
    drop(input);
    if state.frames == 0 {
        return Err(Fault::damaged("not a single frame came out of it"));
    }
    promise.look(&task.input, part, &came, rate, watch)?;
    // Of a part, frames that warm up are not encoded.
    let thinned = settings.fps.is_some() || slice.is_some();
    if let Some(short) = promise.short(&came, part, rate, thinned) {
        if short.substantial {
            return Err(short.into());
        }
        job.warning(short::CODE, &short.text);
        account.warning(short::CODE, &short.text);
    }
    if settings.format == Format::Mp4 {
        let written = edits::mend(result.path());
        written.map_err(|e| Fault::output(format!("its edit lists cannot be written: {e}")))?;
    }
    if let Some(fault) = task.changed() {
        return Err(fault);
    }
    let mut old = None;
    if let (Some(part), Some(slice), Some(cropped)) = (&settings.part, &slice, &cropped) {
        // Another machine may have been quicker, and what lies beside its part is not ours to replace.
        if !overwrite && task.output.exists() {
            if settings.resume && parts::there(settings, task).map_err(Fault::output)? == There::Whole {
                job.kept();
                account.kept();
                return Ok(());
            }
            return Err(Fault::output(format!(
                "{} has come to be while its successor was made, and is kept",
                task.output.display()
            )));
        }
        old = Some(mark::Old::of(&task.output).map_err(Fault::output)?);
        let made = parts::Made { settings, task, slice, stream: account.stream() };
        if let Some(text) = part.mark(&made, cropped, result.path()).map_err(Fault::output)? {
            job.warning(parts::CODE, &text);
            account.warning(parts::CODE, &text);
        }
    }
    let bytes = result.finish().map_err(|text| {
        // What lies beside goes with what is there.
        let back = old.map_or(Ok(()), mark::Old::put_back);
        Fault::output(match back {
            Ok(()) => text,
            Err(e) => format!("{text}; {e}"),
        })
    })?;
    if bytes == Some(0) {
        return Err(Fault::output(format!("nothing was written to {}", task.output.display())));
    }
    let bytes = bytes.unwrap_or(0);
    account.written(&Written { frames: state.frames, bytes });
    job.done(&state, bytes);
    Ok(())
}

/// What the input says is in the part of it that is asked for.
fn promise(input: &Input, range: Option<Range>) -> (Promise, Part) {
    let seconds = |t: gst::ClockTime| t.nseconds() as f64 / 1e9;
    let part = Part {
        start: range.map_or(0.0, |r| seconds(r.start)),
        stop: range.and_then(|r| r.stop).map_or(f64::INFINITY, seconds),
    };
    (Promise::new(input, part), part)
}

/// Tells the user, and keeps it for the record.
fn note(job: &Job<'_>, account: &mut Account<'_>, text: &str) {
    job.note(text);
    account.note(text);
}

/// Plays the input through the rest of the pipeline, to the end.
fn play(
    input: &Input,
    rest: gst::Element,
    plan: &Plan,
    (settings, total): (&Settings, Option<f64>),
    watch: &Watch,
    job: &Job<'_>,
    account: &mut Account<'_>,
) -> Result<(State, Came), Fault> {
    let odd = |text: String| Fault::from(text);
    let rest = rest.downcast::<gst::Bin>().map_err(|_| odd("the pipeline is but one element".into()))?;
    let given = Arc::new(Given::default());
    let still = input.facts.rate == 0.0 && input.tags.container.is_none();
    look(&rest, plan, still, &given, watch)?;
    follow(&rest, plan, input.facts.rate, &given)?;
    let video = rest.by_name("video").and_then(|e| e.static_pad("sink"));
    let wrong = Arc::clone(&given);
    let times = video.map(|pad| {
        times::mend(&pad, settings.fps, move |fault| {
            lock(&wrong.wrong).get_or_insert(fault);
        })
    });
    let pipeline = &input.pipeline.0;
    pipeline.add(&rest).map_err(|e| odd(e.to_string()))?;
    // Awake before the first frame is let go, else that would be refused.
    let unfit = || {
        let told = watch.failure(pipeline);
        told.unwrap_or_else(|| odd(format!("it cannot be converted, and GStreamer does not say why: {LOOK}")))
    };
    rest.sync_state_with_parent().map_err(|_| unfit())?;
    input.release(&rest)?;
    watch.touch();
    pipeline.set_state(gst::State::Playing).map_err(|_| unfit())?;
    let began = Instant::now();
    let state = || State {
        frames: given.frames.load(Ordering::Relaxed),
        seconds: given.until.load(Ordering::Relaxed) as f64 / 1e9,
        total,
        worked: began.elapsed().as_secs_f64(),
    };
    loop {
        let message = watch.next(pipeline)?;
        // Before the message is: an error, and even the end, may follow from it.
        if let Some(wrong) = lock(&given.wrong).take() {
            return Err(wrong);
        }
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            Some(gst::MessageView::Warning(w)) => {
                let ours = w.details().is_some_and(|d| d.name() == "bgremove-warning");
                job.note(w.error().message());
                // Those of bgremove are in its own part of the record.
                if !ours {
                    account.note(w.error().message());
                }
            }
            // What was said before the work turned out otherwise.
            Some(gst::MessageView::Info(i)) => {
                let model = i.details().and_then(|d| d.get::<String>("model").ok());
                if model.is_some() && model.as_deref() != settings.chosen().map(|c| c.model) {
                    note(job, account, i.error().message());
                }
            }
            Some(gst::MessageView::Eos(_)) => {
                // Of such a track mp4mux makes a file that cannot be read.
                if plan.sound() && !given.sound.load(Ordering::Relaxed) {
                    return Err(Fault::input(
                        "nothing of its sound could be decoded: --audio drop leaves it out",
                    ));
                }
                job.progress(&state());
                let notes = times.map(|t| t.mended().notes()).unwrap_or_default();
                notes.iter().for_each(|text| note(job, account, text));
                return Ok((state(), given.came(plan.sound())));
            }
            _ => {}
        }
        job.progress(&state());
    }
}

/// Frames a second of what is a picture and says none.
const STILL: gst::Fraction = gst::Fraction::new_raw(30, 1);

/// A picture lasts no time for GStreamer: of its frame nothing is to be seen in an MP4 file (h264parse takes its
/// length from the rate), and videorate 1.22 aborts the process. Here it lasts a thirtieth of a second.
fn lasting(pad: &gst::Pad) {
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(what, |_, info| {
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) if buffer.duration().is_none() => {
                buffer.make_mut().set_duration(gst::ClockTime::SECOND / STILL.numer() as u64);
            }
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    let mut caps = caps.caps_owned();
                    caps.make_mut().set("framerate", STILL);
                    *event = gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build();
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Tells of each buffer on its way through a pad when it ends, in running time; without a length of its own it lasts as
/// long as is said.
fn ends(pad: &gst::Pad, length: gst::ClockTime, each: impl Fn(gst::ClockTime) + Send + Sync + 'static) {
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(what, move |_, info| {
        let current = || lock(&segment);
        match &info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(s) = event.view()
                    && let Some(s) = s.segment().downcast_ref::<gst::ClockTime>()
                {
                    *current() = s.clone();
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let begin = current().to_running_time(buffer.pts()).unwrap_or_default();
                each(begin + buffer.duration().unwrap_or(length));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Counts what comes in, and what goes into the file.
fn follow(rest: &gst::Bin, plan: &Plan, rate: f64, given: &Arc<Given>) -> Result<(), String> {
    let pad = |element: &str, pad: &str| rest.by_name(element).and_then(|e| e.static_pad(pad));
    let missing = |name: &str| format!("the pipeline has no element '{name}'");
    let frame = if rate > 0.0 { 1.0 / rate } else { 0.0 };
    let frame = gst::ClockTime::from_seconds_f64(frame.min(3600.0));
    let own = Arc::clone(given);
    ends(&pad("video", "sink").ok_or_else(|| missing("video"))?, frame, move |end| {
        own.decoded.fetch_add(1, Ordering::Relaxed);
        own.decoded_until.fetch_max(end.nseconds(), Ordering::Relaxed);
    });
    if plan.sound() {
        let own = Arc::clone(given);
        ends(&pad("audio", "sink").ok_or_else(|| missing("audio"))?, gst::ClockTime::ZERO, move |end| {
            own.sound_until.fetch_max(end.nseconds(), Ordering::Relaxed);
        });
    }
    let out = match plan.counts_frames() {
        Some((element, name)) => pad(element, name),
        None => None,
    };
    if let Some(out) = out {
        given.counts.store(true, Ordering::Relaxed);
        let own = Arc::clone(given);
        out.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
            let n = match &info.data {
                Some(gst::PadProbeData::BufferList(list)) => list.len() as u64,
                _ => 1,
            };
            own.written.fetch_add(n, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
    Ok(())
}

/// Takes gaps past `audiorate`, which would fill them at once: demuxers tell of one also where sound only comes late, behind
/// a long frame, and what comes then would be dropped.
fn pass_gaps(rest: &gst::Bin) {
    let Some(element) = rest.by_name("rate") else { return };
    let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| match &info.data {
        Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Gap => {
            src.push_event(event.clone());
            // GStreamer would free once more what is dropped.
            gst::PadProbeReturn::Handled
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

/// A file has one size. Some encoders and muxers go on with another in silence, and what comes out cannot be played.
fn another_shape(first: &gst_video::VideoInfo, now: &gst_video::VideoInfo) -> Option<Fault> {
    let shape = |i: &gst_video::VideoInfo| (i.width(), i.height(), i.par());
    let words = |i: &gst_video::VideoInfo| {
        let pixels = if i.par() == gst::Fraction::new(1, 1) {
            String::new()
        } else {
            format!(" (pixels {})", i.par())
        };
        format!("{}x{}{pixels}", i.width(), i.height())
    };
    (shape(first) != shape(now)).then(|| {
        let text = format!(
            "its frames change in the middle, from {} to {}, and a file has one size: give --size {}x{}, to which all \
             are brought",
            words(first),
            words(now),
            first.width(),
            first.height()
        );
        Fault::new("convert/size-changed", text)
    })
}

/// Watches what goes to the encoder and to the file.
fn look(rest: &gst::Bin, plan: &Plan, still: bool, given: &Arc<Given>, watch: &Watch) -> Result<(), String> {
    let pad = |name: &str| {
        let pad = rest.by_name(name).and_then(|e| e.static_pad("sink"));
        pad.ok_or_else(|| format!("the pipeline has no element '{name}'"))
    };
    watch.listen(&pad("video")?);
    pass_gaps(rest);
    if still {
        lasting(&pad("video")?);
    }
    watch.listen(&pad("file")?);
    if plan.sound() {
        let given = Arc::clone(given);
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad("audio")?.add_probe(what, move |_, _| {
            given.sound.store(true, Ordering::Relaxed);
            gst::PadProbeReturn::Remove
        });
    }
    let encoder = pad("encoder")?;
    encoder.parent_element().inspect(color::tell);
    if plan.premultiplied {
        encoder.parent_element().inspect(premultiply::each_frame);
    }
    let (alpha, given, watch) = (plan.alpha(), Arc::clone(given), watch.clone());
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let shape = Mutex::new(None);
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    encoder.add_probe(what, move |_, info| {
        let current = || lock(&segment);
        match &info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Segment(s) => {
                    if let Some(s) = s.segment().downcast_ref::<gst::ClockTime>() {
                        *current() = s.clone();
                    }
                }
                // However it came about: frames without alpha must not pass for transparent ones.
                gst::EventView::Caps(caps) => {
                    let Ok(now) = gst_video::VideoInfo::from_caps(caps.caps()) else {
                        return gst::PadProbeReturn::Ok;
                    };
                    let wrong = if alpha && !now.has_alpha() {
                        let text =
                            format!("the alpha was lost before the encoder, which would get {}", caps.caps());
                        Some(Fault::new("convert/alpha-lost", text))
                    } else {
                        let mut shape = lock(&shape);
                        // Before the first frame nothing is settled.
                        match &*shape {
                            Some(first) if given.frames.load(Ordering::Relaxed) > 0 => {
                                another_shape(first, &now)
                            }
                            _ => {
                                *shape = Some(now);
                                None
                            }
                        }
                    };
                    if wrong.is_some() {
                        *lock(&given.wrong) = wrong;
                    }
                }
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                watch.touch();
                given.frames.fetch_add(1, Ordering::Relaxed);
                if let Some(time) = current().to_running_time(buffer.pts()) {
                    let end = time + buffer.duration().unwrap_or_default();
                    given.until.fetch_max(end.nseconds(), Ordering::Relaxed);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::input::Running;
    use crate::convert::plan::Facts;

    /// What the tool's own lines never do: between bgremove and an encoder that takes both, videoconvert may
    /// choose a format without alpha.
    #[test]
    fn alpha_that_is_lost_on_the_way_is_an_error() {
        crate::gstreamer::init();
        let settings = crate::convert::tests::settings(Format::Mov);
        let facts = Facts { width: 64, height: 48, pixel_aspect: 1.0, rate: 25.0, ..Facts::default() };
        let plan = Plan::new(&settings, &facts).unwrap();
        for (format, lost) in [("Y444", true), ("AYUV", false)] {
            let line = format!(
                "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! queue name=video ! videoconvert ! \
                 bgremove ! videoconvert ! video/x-raw,format={format} ! identity name=encoder ! fakesink name=file"
            );
            let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
            let watch = Watch::new(Arc::default(), Some(std::time::Duration::from_secs(30)));
            let given = Arc::new(Given::default());
            look(pipeline.0.upcast_ref(), &plan, false, &given, &watch).unwrap();
            pipeline.0.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.0.bus().unwrap();
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends).expect("an end");
            let wrong = lock(&given.wrong).take();
            assert_eq!(
                wrong.as_ref().is_some_and(|w| w.text.contains("alpha was lost")),
                lost,
                "{format}: {wrong:?}"
            );
        }
    }
}
