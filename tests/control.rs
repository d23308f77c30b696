//! What editors do with the element: key frames and presets. tests/examples.rs renders a timeline.

mod common;

use common::{Running, Samples, info, init, portrait};
use gst::prelude::*;
use gst_controller::prelude::*;
use gst_controller::{ARGBControlBinding, DirectControlBinding, InterpolationControlSource};
use gst_video::{VideoFormat, VideoInfo};

const WIDTH: u32 = 320;
const FRAMES: u64 = 12;
/// A matte of one frame alone, so that it can be held against that of another run.
const ALONE: &str = "temporal-smoothing=0 follow-subject=false scene-detection=false";

/// Pushes the portrait's frames through the element, whose properties `set` may put under control.
fn run(props: &str, set: impl Fn(&gst::Element)) -> (VideoInfo, Vec<gst::Buffer>) {
    let input = info(VideoFormat::Rgba, WIDTH, WIDTH);
    let line = format!(
        "appsrc name=in format=time ! bgremove name=bg {ALONE} {props} ! video/x-raw,format=RGBA ! \
         appsink name=out sync=false"
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    set(&pipeline.by_name("bg").unwrap());
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    src.set_caps(Some(&input.to_caps().unwrap()));
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..FRAMES {
        src.push_buffer(portrait(&input, n)).unwrap();
    }
    src.end_of_stream().unwrap();
    let mut out = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        out.push(sample.buffer_owned().unwrap());
    }
    assert_eq!(out.len() as u64, FRAMES);
    (input, out)
}

/// A value at the first frame's time and one at the last one's, and even steps between.
fn ramp(from: f64, to: f64) -> InterpolationControlSource {
    let source = InterpolationControlSource::new();
    source.set_mode(gst_controller::InterpolationMode::Linear);
    source.set(gst::ClockTime::ZERO, from);
    source.set(gst::ClockTime::SECOND * (FRAMES - 1) / 30, to);
    source
}

fn bind(element: &gst::Element, property: &str, source: &InterpolationControlSource) {
    let binding = DirectControlBinding::new_absolute(element, property, source);
    element.add_control_binding(&binding).unwrap();
}

fn alphas(info: &VideoInfo, frames: &[gst::Buffer]) -> Vec<Vec<u8>> {
    frames.iter().map(|b| Samples::new(b, info).alpha()).collect()
}

#[test]
fn a_key_framed_edge_is_each_frames_own_also_where_frames_are_held_back() {
    init();
    let last = FRAMES as f64 - 1.0;
    let fixed = |n: u64| {
        let softness = 22.0 * n as f64 / last;
        let (info, frames) = run(&format!("edge-softness={softness}"), |_| {});
        alphas(&info, &frames)[n as usize].clone()
    };
    let wanted = [0, 5, FRAMES - 1].map(|n| (n as usize, fixed(n)));
    assert_ne!(wanted[0].1, wanted[1].1);
    assert_ne!(wanted[1].1, wanted[2].1);
    for props in ["", "lookahead=4"] {
        let (info, frames) = run(props, |bg| bind(bg, "edge-softness", &ramp(0.0, 22.0)));
        let got = alphas(&info, &frames);
        for (n, wanted) in &wanted {
            // The controller rounds its own way.
            let far = got[*n].iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(far <= Some(1), "{props} frame {n}: {far:?}");
        }
    }
}

#[test]
fn a_key_framed_colour_fades() {
    init();
    let (from, to) = ([1.0, 0.0, 0.7, 0.2], [1.0, 1.0, 0.1, 0.2]);
    for props in ["background=color", "background=color lookahead=3"] {
        let (info, frames) = run(props, |bg| {
            let [a, r, g, b] = [0, 1, 2, 3].map(|i| ramp(from[i], to[i]));
            let binding = ARGBControlBinding::new(bg, "background-color", &a, &r, &g, &b);
            bg.add_control_binding(&binding).unwrap();
        });
        for (n, frame) in frames.iter().enumerate() {
            let samples = Samples::new(frame, &info);
            for c in 0..3 {
                let part = n as f64 / (FRAMES - 1) as f64;
                let wanted = 255.0 * (from[c + 1] * (1.0 - part) + to[c + 1] * part);
                let got = f64::from(samples.at(&samples.components[c], WIDTH as usize - 6, 6));
                assert!((got - wanted).abs() <= 1.5, "{props} frame {n}, {c}: {got} for {wanted}");
            }
        }
    }
}

#[test]
fn a_key_framed_blur_grows() {
    init();
    // How far neighbours differ in a part of the picture where nobody is.
    let rough = |info: &VideoInfo, frame: &gst::Buffer| {
        let samples = Samples::new(frame, info);
        let at = |x, y| f64::from(samples.at(&samples.components[0], x, y));
        let corner = (1..60).flat_map(|y| (250..WIDTH as usize).map(move |x| (x, y)));
        corner.map(|(x, y)| (at(x, y) - at(x, y - 1)).abs()).sum::<f64>()
    };
    let (info, frames) = run("background=blur", |bg| bind(bg, "background-blur", &ramp(3.0, 30.0)));
    let (first, last) = (rough(&info, &frames[0]), rough(&info, frames.last().unwrap()));
    assert!(last < first * 0.5, "{first} to {last}");
    // The word stands for what the other property says.
    let (_, plain) = run("background=blur:30", |_| {});
    let (_, word) = run("background=blur background-blur=30", |_| {});
    assert_eq!(Samples::new(&plain[0], &info).first(), Samples::new(&word[0], &info).first());
}

#[test]
fn what_may_be_key_framed_says_so_and_the_rest_does_not() {
    init();
    let bg = gst::ElementFactory::make("bgremove").build().unwrap();
    let controllable: Vec<_> = bg
        .list_properties()
        .iter()
        .filter(|p| p.flags().contains(gst::PARAM_FLAG_CONTROLLABLE))
        .map(|p| p.name().to_string())
        .collect();
    assert_eq!(
        controllable,
        [
            "background",
            "background-color",
            "background-blur",
            "background-fit",
            "edge-shift",
            "edge-softness",
            "black-point",
            "white-point",
            "decontaminate",
            "temporal-smoothing",
        ]
    );
    // GES offers what has Effect and Video in its class.
    let klass = bg.factory().unwrap().klass().to_string();
    assert_eq!(klass, "Filter/Effect/Video");
}

#[test]
fn each_preset_says_all_that_it_is_about() {
    init();
    gst::Preset::set_app_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/presets")).unwrap();
    let bg = gst::ElementFactory::make("bgremove").build().unwrap();
    let presets = bg.dynamic_cast_ref::<gst::Preset>().unwrap();
    let names: Vec<_> = presets.preset_names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["cut-out", "soft hair", "webcam blur"]);
    let look = ["refine", "edge-shift", "edge-softness", "black-point", "white-point", "decontaminate"];
    let all = || look.map(|name| bg.property_value(name).serialize().unwrap().to_string());
    for name in &names {
        assert!(presets.meta(name, "comment").is_some_and(|c| !c.is_empty()), "{name}");
        // Whatever was set before, the same comes of it.
        presets.load_preset(name).unwrap();
        let fresh = all();
        for property in look {
            bg.set_property_from_str(property, if property == "edge-shift" { "-9" } else { "0" });
        }
        presets.load_preset(name).unwrap();
        assert_eq!(all(), fresh, "{name}");
    }
    presets.load_preset("cut-out").unwrap();
    assert_eq!(bg.property::<String>("background"), "transparent");
    presets.load_preset("webcam blur").unwrap();
    assert_eq!(bg.property::<String>("background"), "blur");
    assert_eq!(bg.property::<f32>("background-blur"), 5.0);
    // Only the edges: the background stays as it was.
    bg.set_property("background", "#102030");
    presets.load_preset("soft hair").unwrap();
    assert_eq!(bg.property::<String>("background"), "#102030");
}
