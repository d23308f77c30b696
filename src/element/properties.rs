//! The properties as `gst-inspect-1.0` shows them.

use super::settings::*;
use crate::compose::{LEAST_BLUR, MOST_BLUR};
use crate::layers::Layers;
use gst::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

/// Longest time, in ns, that frames can be held back.
pub const MAX_MATTE_DELAY: u64 = 10_000_000_000;

/// Most frames that are held back for the network to run ahead.
pub const MAX_LOOKAHEAD: u32 = 16;

/// All properties of the element, in the order of a settings dialog; what takes more than a sentence is in
/// `docs/properties.md`. Controllable are only those that are applied when a frame leaves: the network may have been asked for
/// its mask many frames before, so a controller's value would come too late for that.
pub static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let defaults = Settings::default();
    vec![
        // What is put out.
        glib::ParamSpecEnum::builder_with_default("output", defaults.output)
            .nick("Output")
            .blurb("What is put out: the video, the matte alone, or the room without the subject")
            .mutable_playing()
            .build(),
        glib::ParamSpecFlags::builder::<Layers>("layers")
            .nick("Layers")
            .blurb("Layers that are hung on each frame, for layerextract to take off behind a tee")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("subject")
            .nick("Subject")
            .blurb(
                "Who is kept of those that the network finds: all, largest, nearest:X,Y, \
                 box:X,Y,WIDTH,HEIGHT, meta, meta:CLASS or meta:ID",
            )
            .default_value(DEFAULT_SUBJECT)
            .mutable_playing()
            .build(),
        // What stands behind.
        glib::ParamSpecString::builder("background")
            .nick("Background")
            .blurb(
                "What stands behind the subject: transparent, a colour, color, blur, blur:PERCENT, or the \
                 path of a PNG, JPEG or WebP picture",
            )
            .default_value(DEFAULT_BACKGROUND)
            .mutable_playing()
            .controllable()
            .build(),
        glib::ParamSpecUInt::builder("background-color")
            .nick("Background colour")
            .blurb("The colour of background=color, 0xAARRGGBB; it is opaque, whatever AA says")
            .default_value(DEFAULT_COLOR)
            .mutable_playing()
            .controllable()
            .build(),
        float(
            "background-blur",
            "Background blur",
            "How much background=blur blurs: standard deviation in percent of the frame's height",
            (LEAST_BLUR, MOST_BLUR, defaults.blur),
        ),
        glib::ParamSpecEnum::builder_with_default("background-fit", defaults.fit)
            .nick("Background fit")
            .blurb("How a picture meets a frame of another shape")
            .mutable_playing()
            .controllable()
            .build(),
        // The matte's edges.
        glib::ParamSpecEnum::builder_with_default("refine", defaults.refine)
            .nick("Refine")
            .blurb("How the network's mask becomes a matte with the frame's own edges")
            .mutable_playing()
            .build(),
        float(
            "edge-shift",
            "Edge shift",
            "Chokes (negative) or spreads (positive) the matte, in pixels of a frame 1080 pixels high",
            (-20.0, 20.0, defaults.controls.edge_shift),
        ),
        float(
            "edge-softness",
            "Edge softness",
            "Feathers the edge, inward and outward alike, in pixels of a frame 1080 pixels high",
            (0.0, 64.0, defaults.controls.edge_softness),
        ),
        float(
            "black-point",
            "Black point",
            "Alpha up to here becomes 0",
            (0.0, 1.0, defaults.controls.black_point),
        ),
        float(
            "white-point",
            "White point",
            "Alpha from here on becomes 1",
            (0.0, 1.0, defaults.controls.white_point),
        ),
        glib::ParamSpecBoolean::builder("decontaminate")
            .nick("Decontaminate")
            .blurb("At the edge, hand on the foreground's own colours instead of its mix with the old background")
            .default_value(defaults.decontaminate)
            .mutable_playing()
            .controllable()
            .build(),
        // From frame to frame.
        float(
            "temporal-smoothing",
            "Temporal smoothing",
            "How much the matte is steadied from frame to frame (0 = not at all)",
            (0.0, 1.0, defaults.temporal_smoothing),
        ),
        glib::ParamSpecBoolean::builder("remember-background")
            .nick("Remember background")
            .blurb(
                "Where the camera stands still, remember what is behind the subject, and find the subject \
                 and its edges by it",
            )
            .default_value(defaults.remember_background)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("scene-detection")
            .nick("Scene detection")
            .blurb("Forget earlier frames at a hard cut")
            .default_value(defaults.scene_detection)
            .mutable_playing()
            .build(),
        // When the network runs, and what goes out while it does not.
        glib::ParamSpecEnum::builder_with_default("inference-mode", defaults.mode)
            .nick("Inference mode")
            .blurb("Whether a frame waits for its own matte, or leaves on time with the newest one carried to it")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("inference-interval")
            .nick("Inference interval")
            .blurb("Infer each n-th frame only; the mask is carried to those between")
            .minimum(1)
            .maximum(1000)
            .default_value(defaults.interval)
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("max-inference-rate")
            .nick("Maximum inference rate")
            .blurb("Inferences a second at most; the mask is carried to the frames between (0 = no limit)")
            .minimum(0.0)
            .maximum(1000.0)
            .default_value(defaults.max_rate)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("reuse-threshold")
            .nick("Reuse threshold")
            .blurb(
                "Change of the picture since the last inference, in parts of full scale, up to which its \
                 mask serves again (0 = never)",
            )
            .minimum(0.0)
            .maximum(1.0)
            .default_value(defaults.reuse_threshold)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("lookahead")
            .nick("Lookahead")
            .blurb(
                "In sync mode, hold so many frames back, whose masks are made while earlier frames are \
                 finished and steady those (3 is best); part of the latency",
            )
            .maximum(MAX_LOOKAHEAD)
            .default_value(defaults.lookahead)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("matte-delay")
            .nick("Matte delay")
            .blurb(
                "In async mode, hold frames back by up to this much (ns) so that they meet their own \
                 matte or a newer one; part of the latency",
            )
            .maximum(MAX_MATTE_DELAY)
            .default_value(nanoseconds(Some(defaults.matte_delay)))
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("max-mask-age")
            .nick("Maximum mask age")
            .blurb(
                "How long (ns) a mask may serve for later frames while a newer one is awaited (0 = three \
                 inferences, and at least half a second)",
            )
            .default_value(nanoseconds(defaults.max_mask_age))
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("inference-timeout")
            .nick("Inference timeout")
            .blurb("An inference that takes longer (ns) has failed, see on-error (0 = wait for ever)")
            .default_value(nanoseconds(defaults.timeout))
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-error", defaults.on_error)
            .nick("On error")
            .blurb("What goes out when an inference fails or takes too long")
            .mutable_playing()
            .build(),
        // The network, and what it runs on.
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(
                "The network that finds the subject: a preset (light, human, original, pro), auto, the \
                 path of an .onnx file, or key for none of them but a green or blue screen's colour",
            )
            .default_value(DEFAULT_MODEL)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("model-options")
            .nick("Model options")
            .blurb(
                "What an .onnx file does not say of itself, as in 'options,activation=sigmoid', or for \
                 model=key the screen's colour, as in 'key,color=\"#00b140\"'",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("resolution")
            .nick("Resolution")
            .blurb(
                "Short side of the network's input in pixels, for networks that take any size (0 = the \
                 network's own choice)",
            )
            .maximum(4096)
            .default_value(defaults.resolution)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("follow-subject")
            .nick("Follow subject")
            .blurb(
                "Run the network on a region around a subject that is small in the frame, and follow it \
                 (not for recurrent networks)",
            )
            .default_value(defaults.follow_subject)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("execution-provider", defaults.provider)
            .nick("Execution provider")
            .blurb("What ONNX Runtime computes on; one that is asked for and not there is an error")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("device")
            .nick("Device")
            .blurb(
                "Which of the devices of execution-provider: a number, or a name or a part of one (empty \
                 = the provider's own choice)",
            )
            .default_value(defaults.device.as_str())
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("active-execution-provider")
            .nick("Active execution provider")
            .blurb(
                "What the loaded network runs on, with the device in brackets where the provider has \
                 several (empty while none is loaded)",
            )
            .default_value("")
            .read_only()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of one inference (0 = as many as the machine has cores, one for small networks)")
            .maximum(256)
            .default_value(defaults.threads)
            .mutable_ready()
            .build(),
        // What is told of it.
        #[cfg(feature = "analytics")]
        glib::ParamSpecBoolean::builder("segmentation-meta")
            .nick("Segmentation metadata")
            .blurb(
                "Put the matte on each buffer as analytics metadata, too: a segmentation that is 1 where \
                 alpha is 50 % or more, and 0 elsewhere",
            )
            .default_value(defaults.segmentation_meta)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("write-tags")
            .nick("Write tags")
            .blurb("Tag the stream with this application's name and the model's, without its folders")
            .default_value(defaults.write_tags)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("job-id")
            .nick("Job ID")
            .blurb("Stands in messages, logs and the report; made up for each run when empty")
            .default_value(defaults.job_id.as_str())
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("report-location")
            .nick("Report location")
            .blurb(
                "File for a record of the stream in JSON, written at its end, at an error or when it is \
                 stopped",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts and times since the stream started")
            .read_only()
            .build(),
        glib::ParamSpecUInt64::builder("stats-interval")
            .nick("Statistics interval")
            .blurb("Post the element message bgremove-stats so often (ns, 0 = not)")
            .default_value(nanoseconds(defaults.stats_interval))
            .mutable_playing()
            .build(),
    ]
});

/// A time as properties have it; `None` is 0.
pub fn nanoseconds(time: Option<Duration>) -> u64 {
    time.map_or(0, |t| t.as_nanos() as u64)
}

/// A number that may change from frame to frame, also by a controller: least, most, default.
fn float(
    name: &'static str,
    nick: &str,
    blurb: &str,
    (least, most, default): (f32, f32, f32),
) -> glib::ParamSpec {
    glib::ParamSpecFloat::builder(name)
        .nick(nick)
        .blurb(blurb)
        .minimum(least)
        .maximum(most)
        .default_value(default)
        .mutable_playing()
        .controllable()
        .build()
}
