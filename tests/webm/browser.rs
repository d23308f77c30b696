//! (i) Browsers play the file over stripes: the page in `examples/web`, seen as a screenshot.

use gst::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::chromium::Chromium;
use crate::firefox::Firefox;
use crate::media::*;

/// What is asked of a browser.
pub trait Browser {
    /// Goes to an address.
    fn open(&self, page: &str);

    /// The page's title.
    fn title(&self) -> String;

    fn screenshot(&self) -> image::RgbaImage;

    /// The page with a file, standing at a second, and what more its address says.
    fn show(&self, file: &Path, time: f64, more: &str) -> image::RgbaImage {
        self.open(&page(file, &format!("&time={time}{more}")));
        let start = Instant::now();
        loop {
            let title = self.title();
            if title == "ready" {
                break;
            }
            assert!(!title.contains("error"), "{title}");
            assert!(start.elapsed() < Duration::from_secs(30), "no frame within 30 s: {title}");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.screenshot()
    }
}

/// The address of the page with a file.
fn page(file: &Path, more: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web/index.html");
    format!("file://{}?src=file://{}{more}", page.display(), file.display())
}

impl Browser for Chromium {
    fn open(&self, page: &str) {
        self.open(page);
    }

    fn title(&self) -> String {
        self.title()
    }

    fn screenshot(&self) -> image::RgbaImage {
        self.screenshot()
    }
}

#[test]
fn chromium_shows_stripes_where_the_alpha_is_none() {
    init();
    if let Some(browser) = Chromium::start("chromium_shows_stripes_where_the_alpha_is_none", &[], &[]) {
        check(&browser, "chromium");
    }
}

#[test]
fn firefox_shows_stripes_where_the_alpha_is_none() {
    init();
    if let Some(browser) = Firefox::start("firefox") {
        check(&browser, "firefox");
    }
}

/// Stripes where alpha is 0, the picture where it is 255, a mixture between.
fn check(browser: &dyn Browser, name: &str) {
    for codec in ["vp9", "vp8"] {
        let file = path(&format!("{name}-{codec}.webm"));
        write(&format!("{codec}alphaenc keyframe-max-dist=25"), 90, true, &file);
        for frame in [60u64, 7] {
            let time = (time_of(frame) + 16_000_000) as f64 / 1e9;
            let screen = browser.show(&file, time, "&background=stripes");
            let alpha = alpha_of(frame);
            let stripe = |x: usize| if (x / 40).is_multiple_of(2) { 0.0 } else { 255.0 };
            // What the page shows at a pixel, in green; and how far off the mixture it is.
            let (mut clear, mut solid, mut edge) = (0, 0, 0);
            let mut worst: f64 = 0.0;
            let luma = luma_of(frame);
            for y in 20..HEIGHT {
                for x in 0..WIDTH {
                    // Within a stripe, away from its borders.
                    if !(3..37).contains(&(x % 40)) {
                        continue;
                    }
                    let shown = screen.get_pixel(x as u32, y as u32).0;
                    let a = f64::from(alpha[y * WIDTH + x]) / 255.0;
                    let colour = rgb(luma[y * WIDTH + x]);
                    let off = (0..3)
                        .map(|c| a * colour[c] + (1.0 - a) * stripe(x) - f64::from(shown[c]))
                        .fold(0.0, |worst: f64, off| worst.max(off.abs()));
                    match alpha[y * WIDTH + x] {
                        0 => {
                            assert!(off < 12.0, "{codec} {frame}: {x},{y} shows {shown:?}");
                            clear += 1;
                        }
                        255 => {
                            assert!(off < 20.0, "{codec} {frame}: {x},{y} {shown:?} {colour:?}");
                            solid += 1;
                        }
                        _ => edge += 1,
                    }
                    if alpha[y * WIDTH + x] != 255 {
                        worst = worst.max(off);
                    }
                }
            }
            println!(
                "{name} {codec} frame {frame}: {clear} clear, {solid} solid, {edge} edge, worst off {worst:.0}"
            );
            assert!(clear > 10_000 && solid > 5_000 && edge > 2_000);
            assert!(worst < 60.0, "{codec} frame {frame}: the edge is off by {worst}");
        }
    }
}

/// A disc that came with alpha, before a room that is dark in green; the disc and the page are bright in it.
#[test]
fn chromium_shows_no_rim_where_it_scales() {
    init();
    let Some(browser) = Chromium::start("chromium_shows_no_rim_where_it_scales", &[], &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let network = crate::common::onnx::Onnx::constant(1.0, 64, 48).save(folder.path(), "x.onnx");
    let (w, h) = (320, 240);
    let inside = |x: usize, y: usize| (x as f32 - 160.0).hypot(y as f32 - 120.0) < 80.0;
    let pixel = |i: usize| if inside(i % w, i / w) { [210, 250, 40, 255] } else { [60, 0, 230, 0] };
    let frame: Vec<u8> = (0..w * h).flat_map(pixel).collect();
    for codec in ["vp9", "vp8"] {
        let file = path(&format!("rim-{codec}.webm"));
        let pipeline = launch(&format!(
            "appsrc name=v format=time caps=video/x-raw,format=RGBA,width={w},height={h},framerate=30/1 ! \
             bgremove model={} refine=none follow-subject=false model-options=options,activation=none ! \
             {codec}alphaenc ! webmalphamux ! filesink location={}",
            network.display(),
            file.display()
        ));
        let source = pipeline.by_name("v").unwrap();
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for n in 0..15 {
            let mut buffer = gst::Buffer::from_mut_slice(frame.clone());
            let b = buffer.get_mut().unwrap();
            b.set_pts(gst::ClockTime::from_nseconds(time_of(n)));
            b.set_duration(gst::ClockTime::from_mseconds(33));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        run(&pipeline).unwrap();
        let screen = browser.show(&file, 0.35, "&background=white&zoom=1.5");
        let (mut subject, mut edge, mut least) = (0, 0, 255);
        for (x, y, shown) in screen.enumerate_pixels().filter(|(x, y, _)| *x < 480 && *y < 360) {
            let far = (x as f32 / 1.5 - 160.0).hypot(y as f32 / 1.5 - 120.0);
            subject += usize::from(far < 70.0 && shown.0[2] < 80);
            if (70.0..100.0).contains(&far) {
                edge += 1;
                least = least.min(shown.0[1]);
            }
        }
        assert!(
            subject > 30_000 && edge > 30_000,
            "{codec}: {subject} pixels of the disc, {edge} about its edge"
        );
        println!("{codec}: at least {least} of 250 in green at the edge");
        assert!(least >= 250 - 6, "{codec}: a rim of {} levels", 250 - i32::from(least));
    }
}

#[test]
fn chromium_plays_a_stream_without_sizes() {
    init();
    let Some(browser) = Chromium::start("chromium_plays_a_stream_without_sizes", &[], &[]) else { return };
    let file = path("browser-stream.webm");
    let pipeline = launch(&format!(
        "appsrc name=v ! vp9alphaenc ! webmalphamux name=m streamable=true ! filesink location={} \
         appsrc name=s ! opusenc ! m.",
        file.display()
    ));
    feed_video(&gst::prelude::GstBinExt::by_name(&pipeline, "v").unwrap(), 0..90);
    feed_sound(&gst::prelude::GstBinExt::by_name(&pipeline, "s").unwrap(), 3);
    run(&pipeline).unwrap();
    browser.open(&page(&file, "&background=stripes"));
    let script = "const v = document.getElementById('video'); return v.error ? 'error ' + v.error.message : \
                  v.currentTime > 1 ? 'played' : 'wait'";
    let start = Instant::now();
    loop {
        let answer = browser.run(script);
        if answer == "played" {
            break;
        }
        assert_eq!(answer, "wait");
        assert!(start.elapsed() < Duration::from_secs(30), "it does not play");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The colour of a test frame's pixel: BT.709, chroma 64 and 180.
fn rgb(luma: u8) -> [f64; 3] {
    let y = (f64::from(luma) - 16.0) * 255.0 / 219.0;
    let (u, v) = ((64.0 - 128.0) * 255.0 / 224.0, (180.0 - 128.0) * 255.0 / 224.0);
    [y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u].map(|c| c.clamp(0.0, 255.0))
}
