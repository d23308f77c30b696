//! `--keep`, and the picture of those who can be kept: the first frame, each of them outlined and with a number.

use super::Settings;
use super::fault::Fault;
use super::input::{Input, Range};
use super::plan::Plan;
use super::raw;
use super::watchdog::Watchdog;
use gst::prelude::*;
use gstbgremove::draft;
use gstbgremove::matte::Matting;
use gstbgremove::models::Network;
use gstbgremove::runtime::{self, Cancel};
use gstbgremove::subjects::{Asked, Found, Subjects, Wanted};
use gstbgremove::video;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Reads `--keep`; gives what the element's `subject` takes.
pub fn keep(text: &str) -> Result<String, String> {
    let text = text.trim();
    let full = match text.split(',').count() {
        _ if text.contains(':') => text.to_string(),
        2 => format!("nearest:{text}"),
        4 => format!("box:{text}"),
        _ => text.to_string(),
    };
    let wanted = Wanted::parse(&full).map_err(|e| {
        let takes = "--keep takes largest, a place X,Y as --preview-subjects prints it, or a box X,Y,WIDTH,HEIGHT, in parts of the \
                     frame, 0 to 1";
        match e.text.contains("not in the frame") {
            true => format!("{takes}: the box is not in the frame"),
            false => format!("{takes}, and not '{text}'"),
        }
    })?;
    match wanted {
        Wanted::Meta(_) => {
            Err("--keep meta needs a detector, which files do not have: it is for pipelines".into())
        }
        wanted => Ok(wanted.to_string()),
    }
}

/// Writes the first frame of an input with the outlines and numbers of those who are seen in it, and gives a line for each
/// that says how they are kept.
///
/// # Errors
/// The input cannot be read, there is no such network, or the picture cannot be written.
pub fn preview(
    settings: &Settings,
    input: &Path,
    output: &Path,
    watchdog: &Watchdog,
) -> Result<String, Fault> {
    let start = settings.start;
    let range = (start > gst::ClockTime::ZERO).then_some(Range {
        start,
        stop: settings.duration.map(|d| start + d),
        standing: None,
        exact: None,
    });
    let input = Input::open(&raw::input(input), settings, range, watchdog)?;
    // What would be done to its frames: turned, with square pixels.
    let plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
    let sample = first_frame(&input, &plan, watchdog)?;
    let odd = || Fault::damaged("its first frame is not what it says it is");
    let info = sample.caps().and_then(|c| gst_video::VideoInfo::from_caps(c).ok()).ok_or_else(odd)?;
    let buffer = sample.buffer().ok_or_else(odd)?;
    let picture = video::view(buffer, &info, |frame| {
        RgbImage::from_fn(info.width(), info.height(), |x, y| {
            let row = &frame.planes[0].row(y as usize)[x as usize * 3..];
            Rgb([row[0], row[1], row[2]])
        })
    });
    let picture = picture.ok_or_else(odd)?;

    let unusable = |e: gstbgremove::error::Error| Fault::settings(e.text);
    let aspect = f64::from(info.width()) / f64::from(info.height());
    let choice = settings.network(Some(aspect)).map_err(unusable)?;
    let runtime = runtime::open(None).map_err(unusable)?;
    let network =
        Network::load(runtime, &choice, &runtime::Provider::Cpu.into(), 0, false).map_err(unusable)?;
    let said = settings.property("resolution").and_then(|said| said.parse().ok());
    let side = said.or(settings.files_resolution((info.width(), info.height()))).unwrap_or(0);
    let mut matting = Matting::new(network, side, true);
    let asked = Asked { wanted: Wanted::Largest, ..Asked::default() };
    let ran =
        video::view(buffer, &info, |frame| matting.run(frame, Some(&asked), &Cancel::default()).map(drop));
    ran.ok_or_else(odd)?.map_err(unusable)?;
    let found = matting.take_found().unwrap_or_default();
    if found.seen.is_empty() {
        return Err(Fault::input(format!(
            "the network {} finds nobody in its first frame: take another one (--start), or another network",
            choice.name
        )));
    }
    let picture = draw(picture, &found, matting.subjects());
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).map_err(|e| Fault::output(e.to_string()))?;
    draft::write(output, ".bgremove-preview-", png.get_ref())
        .map_err(|e| Fault::output(format!("{} cannot be written: {e}", output.display())))?;
    let line = |s: &gstbgremove::subjects::Seen| {
        let [x, y] = matting.subjects().place(s.number).unwrap_or_default();
        let [left, top, right, bottom] = s.bounds;
        format!(
            "{}: --keep {x:.3},{y:.3}  ({:.1} % of the frame, x {left:.2} to {right:.2}, y {top:.2} to {bottom:.2})\n",
            s.number,
            s.area * 100.0
        )
    };
    Ok(found.seen.iter().map(line).collect())
}

/// The first frame as it would come to bgremove, in RGB.
fn first_frame(input: &Input, plan: &Plan, watchdog: &Watchdog) -> Result<gst::Sample, Fault> {
    let odd = |e: &dyn std::fmt::Display| Fault::from(format!("the pipeline cannot be put together: {e}"));
    let mut line = super::LaunchLine::new(true);
    line.start("queue").name("video");
    plan.steps(&mut line);
    line.then("videoconvert").then("video/x-raw,format=RGB").then("appsink").name("out");
    line.set("sync", "false").set("max-buffers", "1");
    let output_bin = line.launch()?.downcast::<gst::Bin>().map_err(|_| odd(&"it is but one element"))?;
    let sink = output_bin.by_name("out").and_downcast::<gst_app::AppSink>().ok_or_else(|| odd(&"no sink"))?;
    let pipeline = &input.pipeline.0;
    pipeline.add(&output_bin).map_err(|e| odd(&e))?;
    let told = || watchdog.failure(pipeline).unwrap_or_else(|| odd(&"GStreamer does not say why"));
    output_bin.sync_state_with_parent().map_err(|_| told())?;
    input.release(&output_bin)?;
    pipeline.set_state(gst::State::Playing).map_err(|_| told())?;
    loop {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(50)) {
            return Ok(sample);
        }
        if sink.is_eos() {
            return Err(Fault::damaged("not a single frame came out of it"));
        }
        if let Some(message) = watchdog.next(pipeline)?
            && let gst::MessageView::Error(e) = message.view()
        {
            return Err(e.into());
        }
    }
}

/// Colours of outlines, one after the other.
const COLORS: [[u8; 3]; 6] =
    [[255, 196, 0], [0, 200, 255], [255, 80, 160], [120, 230, 60], [255, 120, 40], [180, 130, 255]];

/// Digits, three dots wide and five high, a row after the other.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// Outlines and numbers.
fn draw(mut picture: RgbImage, found: &Found, subjects: &Subjects) -> RgbImage {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (map, across) = subjects.map();
    let down = map.len() / across.max(1);
    let thick = (height / 240).max(1);
    for seen in &found.seen {
        let color = Rgb(COLORS[seen.number as usize % COLORS.len()]);
        // Cells are coarse: between their middles it is as much theirs as the four around are.
        let is_own = |x: usize, y: usize| {
            let at = |v: usize, n: usize, cells: usize| {
                let v = ((v as f32 + 0.5) * cells as f32 / n as f32 - 0.5).clamp(0.0, cells as f32 - 1.0);
                (v as usize, (v as usize + 1).min(cells - 1), v.fract())
            };
            let ((x0, x1, fx), (y0, y1, fy)) = (at(x, width, across), at(y, height, down));
            let own = |x: usize, y: usize| f32::from(u8::from(map[y * across + x] == seen.number));
            let row = |y: usize| own(x0, y) * (1.0 - fx) + own(x1, y) * fx;
            row(y0) * (1.0 - fy) + row(y1) * fy >= 0.5
        };
        let own: Vec<bool> = (0..width * height).map(|i| is_own(i % width, i / width)).collect();
        for y in 0..height {
            for x in 0..width {
                if !own[y * width + x] {
                    continue;
                }
                let (left, right) = (x.saturating_sub(thick), (x + thick).min(width - 1));
                let (top, bottom) = (y.saturating_sub(thick), (y + thick).min(height - 1));
                let edge =
                    [(left, y), (right, y), (x, top), (x, bottom)].iter().any(|(x, y)| !own[y * width + x]);
                if edge {
                    picture.put_pixel(x as u32, y as u32, color);
                }
            }
        }
    }
    for seen in &found.seen {
        let Some([x, y]) = subjects.place(seen.number) else { continue };
        let color = Rgb(COLORS[seen.number as usize % COLORS.len()]);
        number(&mut picture, seen.number, (x * width as f32, y * height as f32), color);
    }
    picture
}

/// A number on a plate, in the middle of which is `at`.
fn number(picture: &mut RgbImage, number: u32, at: (f32, f32), color: Rgb<u8>) {
    let dot = (picture.height() as i64 / 120).max(2);
    let digits: Vec<u16> = number.to_string().bytes().map(|b| DIGITS[usize::from(b - b'0')]).collect();
    let (w, h) = ((digits.len() as i64 * 4 + 1) * dot, 7 * dot);
    let (left, top) = (at.0 as i64 - w / 2, at.1 as i64 - h / 2);
    for y in 0..h {
        for x in 0..w {
            let (column, row) = (x / dot - 1, y / dot - 1);
            let digit = (column >= 0).then(|| digits.get(column as usize / 4)).flatten();
            let (column, inside) = (column % 4, (0..5).contains(&row));
            let is_set =
                digit.is_some_and(|d| inside && column < 3 && d >> (14 - (row * 3 + column)) & 1 == 1);
            let (x, y) = (left + x, top + y);
            if (0..i64::from(picture.width())).contains(&x) && (0..i64::from(picture.height())).contains(&y) {
                picture.put_pixel(x as u32, y as u32, if is_set { Rgb([0; 3]) } else { color });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_said_in_short() {
        assert_eq!(keep("largest").as_deref(), Ok("largest"));
        assert_eq!(keep("0.25,0.5").as_deref(), Ok("nearest:0.25,0.5"));
        assert_eq!(keep("0.1, 0.2, 0.3, 0.4").as_deref(), Ok("box:0.1,0.2,0.3,0.4"));
        assert_eq!(keep("box:0.1,0.2,0.3,0.4").as_deref(), Ok("box:0.1,0.2,0.3,0.4"));
        assert!(keep("meta:person").is_err_and(|e| e.contains("detector")));
        assert!(keep("0.9,0.2,0.3,0.4").is_err_and(|e| e.contains("not in the frame")));
        assert!(keep("smallest").is_err_and(|e| e.contains("X,Y")));
    }
}
