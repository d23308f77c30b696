//! A portrait on a tripod, with the noise of a small camera in poor light and coded for the web: what stands still
//! stays as it is.

mod common;

use common::*;
use gst::prelude::*;
use std::process::Command;

const W: usize = 640;
const H: usize = 360;
const FRAMES: usize = 60;
/// By then the scene has come to rest.
const FROM: usize = 10;
/// The rim of the subject, in pixels to either side of where its matte crosses one half.
const RIM: isize = 6;
/// `noise`'s strength for a standard deviation of 12.
const SIGMA_12: u32 = 23;

/// Mattes of the clip, frame by frame.
fn mattes() -> Vec<Vec<u8>> {
    init();
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shimmer-{}.mp4", std::process::id()));
    let filter =
        format!("scale=1412:1412,crop=1280:720:6:2,scale={W}:{H},format=yuv420p,noise=c0s={SIGMA_12}:c0f=t");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-loop", "1", "-framerate", "30", "-i"])
        .arg(clip("astronaut.png"))
        .args(["-vf", &filter, "-frames:v", &FRAMES.to_string(), "-threads", "1"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "30"])
        .arg(&path)
        .output()
        .expect("ffmpeg (Debian package ffmpeg)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let line = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! bgremove model=light execution-provider=cpu \
         output=matte ! video/x-raw,format=GRAY8 ! appsink name=out sync=false",
        path.display()
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut all = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        all.push(Samples::new(&sample.buffer_owned().unwrap(), &info).first());
    }
    let _ = std::fs::remove_file(&path);
    assert_eq!(all.len(), FRAMES);
    all
}

/// What was seen of a pixel over time.
struct Pixel {
    mean: f64,
    deviation: f64,
    least: u8,
    crosses: usize,
}

#[test]
fn a_still_scene_does_not_shimmer() {
    let mattes = &mattes()[FROM..];
    let pixel = |i: usize| {
        let n = mattes.len() as f64;
        let mean = mattes.iter().map(|m| f64::from(m[i])).sum::<f64>() / n;
        let square = mattes.iter().map(|m| (f64::from(m[i]) - mean).powi(2)).sum::<f64>() / n;
        Pixel {
            mean,
            deviation: square.sqrt(),
            least: mattes.iter().map(|m| m[i]).min().unwrap(),
            crosses: mattes.windows(2).filter(|m| (m[0][i] < 128) != (m[1][i] < 128)).count(),
        }
    };
    let pixels: Vec<Pixel> = (0..W * H).map(pixel).collect();
    let inside = |i: usize| pixels[i].mean >= 127.5;
    // Within so many pixels of one of the other side.
    let mut rim = vec![false; W * H];
    for i in 0..W * H {
        let other =
            (i % W + 1 < W && inside(i) != inside(i + 1)) || (i + W < W * H && inside(i) != inside(i + W));
        let mut mark = |i: usize| {
            for (dx, dy) in (-RIM..=RIM).flat_map(|y| (-RIM..=RIM).map(move |x| (x, y))) {
                let (x, y) = ((i % W) as isize + dx, (i / W) as isize + dy);
                if dx * dx + dy * dy <= RIM * RIM
                    && (0..W as isize).contains(&x)
                    && (0..H as isize).contains(&y)
                {
                    rim[y as usize * W + x as usize] = true;
                }
            }
        };
        if other {
            mark(i);
            [i + 1, i + W].into_iter().filter(|&j| j < W * H && inside(j) != inside(i)).for_each(mark);
        }
    }
    let away = || (0..W * H).filter(|&i| !rim[i]);
    let unsteady = away().filter(|&i| pixels[i].deviation > 4.0).count();
    let worst = away().map(|i| pixels[i].deviation).fold(0.0, f64::max);
    let crossing = pixels.iter().filter(|p| p.crosses > 2).count();
    let body: Vec<u8> = away().filter(|&i| inside(i)).map(|i| pixels[i].least).collect();
    let thin = body.iter().filter(|&&a| a < 250).count();
    let said = format!(
        "{unsteady} pixels outside the rim with σ > 4 over time, up to {worst:.1}; {crossing} cross one half more than \
         twice; {thin} of {} of the body below 250, the least {}",
        body.len(),
        body.iter().min().unwrap()
    );
    println!("{said}");
    // Before there was a memory of the scene: 1,392, up to 25; 164; 2,154 of 62,563.
    assert!(body.len() > 50_000, "{said}");
    // None would be right; the network changes its mind slowly about the harness beside the shoulder. With the scene
    // remembered, one place beside the arm comes and goes more slowly and farther: 18 where it was 13.
    assert!(unsteady <= 260 && worst < 20.0, "{said}");
    assert!(crossing <= 20, "{said}");
    // None would be right here, too; but the network itself takes the harness for four fifths of a person, and contrast
    // there costs edges elsewhere (docs/refine.md).
    assert!(thin <= 2_050, "{said}");
}
