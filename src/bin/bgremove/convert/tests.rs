//! Plans, without a pipeline.

use super::format::Format;
use super::input::Facts;
use super::plan::Plan;
use super::{Background, Settings, into_folder};
use std::path::{Path, PathBuf};

/// What is asked for, if nothing is said but the format.
pub fn settings(format: Format) -> Settings {
    Settings::new(format)
}

fn facts(width: u32, height: u32) -> Facts {
    Facts { width, height, pixel_aspect: 1.0, rate: 30.0, channels: Some(2), ..Facts::default() }
}

fn line(settings: &Settings, facts: &Facts) -> String {
    let plan = Plan::new(settings, facts).unwrap();
    plan.print(settings, Path::new("in.mp4"), Path::new("out")).unwrap()
}

#[test]
fn sizes_keep_the_shape_and_suit_the_format() {
    let size = |format, size, facts: &Facts| {
        let plan = Plan::new(&Settings { size, ..settings(format) }, facts).unwrap();
        (plan.width, plan.height)
    };
    let wide = facts(1280, 720);
    assert_eq!(size(Format::Webm, None, &wide), (1280, 720));
    assert_eq!(size(Format::Webm, Some((640, 640)), &wide), (640, 360));
    assert_eq!(size(Format::Webm, Some((2560, 720)), &wide), (1280, 720));
    // Anamorphic: 720 × 576 seen as 1024 × 576.
    let pal = Facts { pixel_aspect: 64.0 / 45.0, ..facts(720, 576) };
    assert_eq!(size(Format::Webm, None, &pal), (720, 576));
    assert_eq!(size(Format::Gif, None, &pal), (1024, 576));
    assert_eq!(size(Format::Gif, Some((512, 512)), &pal), (512, 288));
    // A phone held upright.
    let phone = Facts { turned: Some("auto"), quarter: true, ..facts(1920, 1080) };
    assert_eq!(size(Format::Png, None, &phone), (1080, 1920));
    assert_eq!(size(Format::Png, Some((540, 540)), &phone), (304, 540));
    // H.264 wants even sizes: a row or column goes, nothing is bent.
    let odd = facts(101, 75);
    assert_eq!(size(Format::Mp4, None, &odd), (100, 74));
    assert!(line(&settings(Format::Mp4), &odd).contains("videocrop right=1 bottom=1"));
    assert_eq!(size(Format::Webm, None, &odd), (101, 75));
    assert!(Plan::new(&settings(Format::Webm), &facts(8, 400)).is_err_and(|e| e.contains("8×400")));
}

#[test]
fn alpha_has_a_named_format_wherever_one_without_could_be_chosen() {
    let f = facts(640, 360);
    assert!(line(&settings(Format::Mov), &f).contains("format=A444_10LE ! avenc_prores_ks"));
    assert!(line(&settings(Format::Png), &f).contains("format=RGBA ! pngenc"));
    assert!(line(&settings(Format::Webm), &f).contains("! vp9alphaenc"));
    let blur = Settings { background: Background::Text("blur".into()), ..settings(Format::Webm) };
    let opaque = line(&blur, &f);
    assert!(opaque.contains("! vp9enc") && opaque.contains("background=blur"), "{opaque}");
}

#[test]
fn a_preset_has_its_own_resolution_in_files_unless_one_is_said() {
    let words = |model: &str, set: &[(&str, &str)], (width, height): (u32, u32)| {
        let set = set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let settings = Settings { model: model.into(), set, ..settings(Format::Webm) };
        let all = line(&settings, &facts(width, height));
        let said: Vec<_> = all.split(' ').filter_map(|w| w.strip_prefix("resolution=")).collect();
        said.join(" ")
    };
    assert_eq!(words("human", &[], (1920, 1080)), "384");
    assert_eq!(words("human", &[], (1080, 1920)), "384");
    // No frame is enlarged beyond the usual 288 for it.
    assert_eq!(words("human", &[], (640, 360)), "360");
    assert_eq!(words("human", &[], (320, 180)), "");
    assert_eq!(words("human", &[("resolution", "288")], (1920, 1080)), "288");
    assert_eq!(words("human", &[("model-options", "options,short-side=320")], (1920, 1080)), "");
    assert_eq!(words("light", &[], (1920, 1080)), "");
}

#[test]
fn only_what_an_input_needs_is_done_to_it() {
    let of = |model: &str| Settings { model: model.into(), ..settings(Format::Webm) };
    let plain = line(&of("light"), &facts(640, 360));
    assert!(
        plain.contains(
            "queue ! videoconvert ! bgremove model=light refine=learned lookahead=3 inference-timeout=0 ! queue ! vp9alphaenc"
        ),
        "{plain}"
    );
    let all = Facts { interlaced: true, turned: Some("auto"), hlg: true, ..facts(640, 360) };
    let all = line(&Settings { fps: Some(10), ..settings(Format::Webm) }, &all);
    for step in ["deinterlace", "videoflip", "colorimetry=bt709", "max-rate=10"] {
        assert!(all.contains(step) && !plain.contains(step), "{step}");
    }
    let silent = Facts { channels: None, ..facts(640, 360) };
    assert!(!line(&settings(Format::Webm), &silent).contains("audio"));
    let pq = Facts { pq: true, ..facts(640, 360) };
    assert!(
        Plan::new(&settings(Format::Webm), &pq).is_err_and(|e| e.contains("HDR") && e.contains("ffmpeg"))
    );
}

#[test]
fn names_in_a_folder_do_not_meet() {
    let inputs = [PathBuf::from("a/x.mp4"), PathBuf::from("b/y.mov")];
    let tasks = into_folder(&inputs, Path::new("out"), Format::Webm, None).unwrap();
    assert_eq!(tasks[1].output, Path::new("out/y.webm"));
    assert_eq!(into_folder(&inputs, Path::new("o"), Format::Png, None).unwrap()[0].output, Path::new("o/x"));
    let same = [PathBuf::from("a/x.mp4"), PathBuf::from("b/x.mov")];
    assert!(into_folder(&same, Path::new("out"), Format::Webm, None).is_err_and(|e| e.contains("a/x.mp4")));
}
