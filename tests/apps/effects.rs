//! The effects for camera programs (tools/deb/effects), in the format of gnome-video-effects, made as Cheese makes them.

use crate::common::{Running, clip, init};
use gst::glib;
use gst::prelude::*;
use std::path::Path;

fn files() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/deb/effects");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.iter().all(|f| f.extension().is_some_and(|e| e == "effect")), "{files:?}");
    files
}

#[test]
fn effects_of_camera_programs_hide_the_room() {
    init();
    let all = files();
    assert!(all.len() >= 2);
    for file in all {
        let keys = glib::KeyFile::new();
        keys.load_from_file(&file, glib::KeyFileFlags::NONE).unwrap();
        let get = |key: &str| keys.string("Effect", key).unwrap().to_string();
        assert!(!get("Name").is_empty() && !get("Comment").is_empty());
        let effect = get("PipelineDescription");
        // A bin between converters, in the middle of what the camera gives.
        let bin = format!("videoconvert ! {effect} ! videoconvert");
        let bin = gst::parse::bin_from_description(&bin, true).unwrap();
        let line = format!(
            "filesrc location={} ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=320,height=320 ! \
             identity name=here ! appsink name=out sync=false caps=video/x-raw,format=RGB",
            clip("astronaut.png").display()
        );
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let pipeline = Running(pipeline);
        let (here, out) = (pipeline.by_name("here").unwrap(), pipeline.by_name("out").unwrap());
        here.unlink(&out);
        pipeline.add(&bin).unwrap();
        gst::Element::link_many([&here, bin.upcast_ref(), &out]).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = out.downcast::<gst_app::AppSink>().unwrap().pull_sample().unwrap();
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        let at = |x: usize, y: usize| {
            let start = y * info.stride()[0] as usize + x * 3;
            [map[start], map[start + 1], map[start + 2]].map(i32::from)
        };
        let original = image::open(clip("astronaut.png")).unwrap();
        let original = original.resize_exact(320, 320, image::imageops::FilterType::Triangle).into_rgb8();
        let before = |x: u32, y: u32| original.get_pixel(x, y).0.map(i32::from);
        let apart = |a: [i32; 3], b: [i32; 3]| (0..3).map(|c| (a[c] - b[c]).abs()).max().unwrap();
        // The forehead stays; of the room nothing sharp is left.
        assert!(
            apart(at(144, 64), before(144, 64)) < 24,
            "{effect}: {:?} {:?}",
            at(144, 64),
            before(144, 64)
        );
        let steps = |at: &dyn Fn(usize, usize) -> [i32; 3]| -> i32 {
            (0..100)
                .flat_map(|y| (0..60).map(move |x| (x, y)))
                .map(|(x, y)| apart(at(x, y), at(x + 1, y)))
                .sum()
        };
        let (left, was) = (steps(&at), steps(&|x, y| before(x as u32, y as u32)));
        assert!(left * 2 < was, "{effect}: {left} of {was} in the room's edges are left");
    }
}
