//! Probes on the way to the encoder and to the file: what comes through is counted, and what an encoder would make a bad file
//! of is an error.

use super::color;
use super::fault::Fault;
use super::plan::Plan;
use super::premultiply;
use super::shortfall::Delivered;
use super::watchdog::Watchdog;
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What the encoder has been given so far.
#[derive(Default)]
pub struct EncoderCounters {
    pub frames: AtomicU64,
    /// End of the last frame, in nanoseconds of running time.
    pub until: AtomicU64,
    /// Frames that were decoded, and the end of the last one.
    pub decoded: AtomicU64,
    pub decoded_until: AtomicU64,
    /// Of them, those that the decoder holds for damaged.
    pub broken: AtomicU64,
    /// Frames that came out of the encoder, where each frame is one there.
    pub written: AtomicU64,
    pub counts: AtomicBool,
    /// Some sound has come, and when it ends.
    pub sound: AtomicBool,
    pub sound_until: AtomicU64,
    /// What is wrong with a frame.
    pub wrong: Mutex<Option<Fault>>,
}

impl EncoderCounters {
    pub fn delivered(&self, sound: bool) -> Delivered {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let seconds = |n: &AtomicU64| get(n) as f64 / 1e9;
        Delivered {
            frames: get(&self.decoded),
            video: seconds(&self.decoded_until),
            broken: get(&self.broken),
            sound: sound.then(|| seconds(&self.sound_until)),
            encoded: get(&self.frames),
            written: self.counts.load(Ordering::Relaxed).then(|| get(&self.written)),
        }
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

/// h264parse takes the lengths of frames from the rate alone, and without one they have none, or a nanosecond. mp4mux counts
/// from each to the next, so that a frame that stays the only one would be seen for no time: the first keeps the length that
/// it came with.
pub fn keep_first_length(output_bin: &gst::Bin) {
    let elements = output_bin.iterate_recurse().into_iter().map_while(Result::ok);
    for parser in elements.filter(|e| e.factory().is_some_and(|f| f.name() == "h264parse")) {
        let (Some(sink), Some(src)) = (parser.static_pad("sink"), parser.static_pad("src")) else { continue };
        let length = Arc::new(Mutex::new(None));
        let first = Arc::clone(&length);
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            *lock(&first) = info.buffer().and_then(|b| b.duration());
            gst::PadProbeReturn::Remove
        });
        src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let (Some(buffer), Some(length)) = (info.buffer_mut(), *lock(&length)) {
                buffer.make_mut().set_duration(length);
            }
            gst::PadProbeReturn::Remove
        });
    }
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
pub fn count_frames(
    output_bin: &gst::Bin,
    plan: &Plan,
    rate: f64,
    counters: &Arc<EncoderCounters>,
) -> Result<(), String> {
    let pad = |element: &str, pad: &str| output_bin.by_name(element).and_then(|e| e.static_pad(pad));
    let missing = |name: &str| format!("the pipeline has no element '{name}'");
    let frame = if rate > 0.0 { 1.0 / rate } else { 0.0 };
    let frame = gst::ClockTime::from_seconds_f64(frame.min(3600.0));
    let own = Arc::clone(counters);
    ends(&pad("video", "sink").ok_or_else(|| missing("video"))?, frame, move |end| {
        own.decoded.fetch_add(1, Ordering::Relaxed);
        own.decoded_until.fetch_max(end.nseconds(), Ordering::Relaxed);
    });
    let own = Arc::clone(counters);
    pad("video", "sink").ok_or_else(|| missing("video"))?.add_probe(
        gst::PadProbeType::BUFFER,
        move |_, info| {
            let is_broken = info.buffer().is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED));
            own.broken.fetch_add(u64::from(is_broken), Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        },
    );
    if plan.sound() {
        let own = Arc::clone(counters);
        ends(&pad("audio", "sink").ok_or_else(|| missing("audio"))?, gst::ClockTime::ZERO, move |end| {
            own.sound_until.fetch_max(end.nseconds(), Ordering::Relaxed);
        });
    }
    let out = match plan.encoding().counts_frames() {
        Some((element, name)) => pad(element, name),
        None => None,
    };
    if let Some(out) = out {
        counters.counts.store(true, Ordering::Relaxed);
        let own = Arc::clone(counters);
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
fn pass_gaps(output_bin: &gst::Bin) {
    let Some(element) = output_bin.by_name("rate") else { return };
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
pub fn check_frames(
    output_bin: &gst::Bin,
    plan: &Plan,
    still: bool,
    counters: &Arc<EncoderCounters>,
    watchdog: &Watchdog,
) -> Result<(), String> {
    let pad = |name: &str| {
        let pad = output_bin.by_name(name).and_then(|e| e.static_pad("sink"));
        pad.ok_or_else(|| format!("the pipeline has no element '{name}'"))
    };
    watchdog.listen(&pad("video")?);
    pass_gaps(output_bin);
    if still {
        lasting(&pad("video")?);
    }
    watchdog.listen(&pad("file")?);
    if plan.sound() {
        let counters = Arc::clone(counters);
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad("audio")?.add_probe(what, move |_, _| {
            counters.sound.store(true, Ordering::Relaxed);
            gst::PadProbeReturn::Remove
        });
    }
    let encoder = pad("encoder")?;
    encoder.parent_element().inspect(color::tell);
    if plan.premultiplied {
        encoder.parent_element().inspect(premultiply::each_frame);
    }
    let (alpha, counters, watchdog) = (plan.alpha(), Arc::clone(counters), watchdog.clone());
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
                            Some(first) if counters.frames.load(Ordering::Relaxed) > 0 => {
                                another_shape(first, &now)
                            }
                            _ => {
                                *shape = Some(now);
                                None
                            }
                        }
                    };
                    if wrong.is_some() {
                        *lock(&counters.wrong) = wrong;
                    }
                }
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                watchdog.touch();
                counters.frames.fetch_add(1, Ordering::Relaxed);
                if let Some(time) = current().to_running_time(buffer.pts()) {
                    let end = time + buffer.duration().unwrap_or_default();
                    counters.until.fetch_max(end.nseconds(), Ordering::Relaxed);
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
    use crate::convert::format::Format;
    use crate::convert::input::Facts;
    use crate::gstreamer::Running;

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
            let watchdog = Watchdog::new(Arc::default(), Some(std::time::Duration::from_secs(30)));
            let counters = Arc::new(EncoderCounters::default());
            check_frames(pipeline.0.upcast_ref(), &plan, false, &counters, &watchdog).unwrap();
            pipeline.0.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.0.bus().unwrap();
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends).expect("an end");
            let wrong = lock(&counters.wrong).take();
            assert_eq!(
                wrong.as_ref().is_some_and(|w| w.text.contains("alpha was lost")),
                lost,
                "{format}: {wrong:?}"
            );
        }
    }
}
