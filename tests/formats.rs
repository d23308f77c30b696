//! Every format that goes in, on every kind of background: what comes out is compared with a
//! composition written straight from the definition, with the matte that the element itself gives.

mod common;

use common::*;
use gst_video::{VideoFormat, VideoInfo};
use gstbgremove::frame::Component;
use std::collections::BTreeSet;

// Odd, so that subsampled chroma has a last half sample.
const W: u32 = 161;
const H: u32 = 119;

/// The frame and the network's matte for it.
struct Case {
    info: VideoInfo,
    input: Samples,
    alpha: Vec<u8>,
    buffer: gst::Buffer,
}

fn case(format: VideoFormat) -> Case {
    case_of(format, W, H)
}

fn case_of(format: VideoFormat, width: u32, height: u32) -> Case {
    init();
    let info = info(format, width, height);
    let buffer = portrait(&info, 0);
    let (matte, out) =
        process("output=matte", "video/x-raw,format=GRAY8", &info, vec![buffer.clone()]).unwrap();
    let alpha = Samples::new(&out[0], &matte).first();
    let input = Samples::new(&buffer, &info);
    Case { info, input, alpha, buffer }
}

/// Whether pixels that are hidden share a sample with others: it is estimated then, so that nothing of the hidden ones
/// shows (tests/hidden.rs).
fn part_hidden(alphas: &[u8]) -> bool {
    alphas.contains(&0) && alphas.iter().any(|a| *a != 0)
}

/// Compares an opaque result with `back` behind the subject, for components within `tolerance`.
fn check_opaque(
    case: &Case,
    props: &str,
    tolerance: f64,
    back: impl Fn(usize, &Component, usize, usize) -> f64,
) {
    // The frame's own colours, which the reference has.
    let props = &format!("decontaminate=false {props}");
    let (out_info, out) = process(props, "video/x-raw", &case.info, vec![case.buffer.clone()]).unwrap();
    let format = case.info.format();
    assert_eq!(out_info.format(), format, "{props}: the input's own format");
    assert_eq!(out_info.colorimetry(), case.info.colorimetry());
    let out = Samples::new(&out[0], &out_info);
    assert!(out.alpha().iter().all(|a| *a == 255), "{format:?} {props} is opaque");
    let (w, h) = (out.width, out.height);
    for (i, c) in out.components.iter().enumerate() {
        for y in 0..c.height(h) {
            for x in 0..c.width(w) {
                let four = sharing(&case.alpha, w, h, c, x, y);
                if part_hidden(&four) {
                    continue;
                }
                let a = four.iter().map(|a| f64::from(*a)).sum::<f64>() / four.len() as f64 / 255.0;
                let want = f64::from(case.input.at(c, x, y)) * a + back(i, c, x, y) * (1.0 - a);
                let got = f64::from(out.at(c, x, y));
                assert!((got - want).abs() <= tolerance, "{format:?} {props} {i} {x},{y}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn every_format_that_goes_in_is_looked_at() {
    use gst::prelude::*;
    init();
    let element = gst::ElementFactory::make("bgremove").build().unwrap();
    let template = element.pad_template("sink").unwrap();
    let named = |s: &gst::StructureRef| -> Vec<String> {
        s.get::<gst::List>("format").unwrap().iter().map(|f| f.get().unwrap()).collect()
    };
    let offered: BTreeSet<String> = template.caps().iter().flat_map(named).collect();
    let looked_at: BTreeSet<String> = SINK_FORMATS.iter().map(|f| f.to_str().to_string()).collect();
    assert_eq!(offered, looked_at);
}

#[test]
fn on_a_colour_it_is_the_definition() {
    for format in SINK_FORMATS {
        let case = case(format);
        let back = numbers(&case.info, [0, 0xb1, 0x40]);
        check_opaque(&case, "background=#00b140", 1.6, |i, _, _, _| back[i]);
    }
}

#[test]
fn on_a_picture_it_is_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("back.png");
    // A slope, so that a shift of the picture shows; as large as the frame, so that none is due.
    let color = |x: usize, y: usize| [(x + 20) as u8, (y * 2) as u8, 99];
    image::RgbImage::from_fn(W, H, |x, y| image::Rgb(color(x as usize, y as usize))).save(&path).unwrap();
    for format in SINK_FORMATS {
        let case = case(format);
        let (w, h) = (W as usize, H as usize);
        check_opaque(&case, &format!("background={}", path.display()), 2.1, |i, c, x, y| {
            let (mut sum, mut n) = (0.0, 0.0);
            for py in y << c.vsub..((y + 1) << c.vsub).min(h) {
                for px in x << c.hsub..((x + 1) << c.hsub).min(w) {
                    sum += numbers(&case.info, color(px, py))[i];
                    n += 1.0;
                }
            }
            sum / n
        });
    }
}

#[test]
fn on_its_own_blur_it_is_near_the_definition() {
    let percent = 8.0;
    for format in SINK_FORMATS {
        let case = case(format);
        let sigma = percent / 100.0 * f64::from(H);
        let planes: Vec<Vec<f64>> =
            case.input.components.iter().map(|c| normalised_convolution(&case, c, sigma)).collect();
        // The element blurs at low resolution with boxes; a Gaussian it is within a few levels.
        check_opaque(&case, &format!("background=blur:{percent}"), 16.0, |i, c, x, y| {
            planes[i][y * c.width(W as usize) + x]
        });
        let (out_info, out) = process(
            &format!("background=blur:{percent}"),
            "video/x-raw",
            &case.info,
            vec![case.buffer.clone()],
        )
        .unwrap();
        let out = Samples::new(&out[0], &out_info);
        let c = &out.components[0];
        let (w, h) = (c.width(out.width), c.height(out.height));
        let hidden: Vec<usize> = (0..w * h).filter(|i| case.alpha[*i] == 0).collect();
        let error: f64 =
            hidden.iter().map(|i| (f64::from(out.at(c, i % w, i / w)) - planes[0][*i]).abs()).sum::<f64>();
        assert!(error / (hidden.len() as f64) < 2.5, "{format:?}: {}", error / hidden.len() as f64);
    }
}

/// G∗((1−α)·c) ∕ G∗(1−α), by the definition.
fn normalised_convolution(case: &Case, c: &Component, sigma: f64) -> Vec<f64> {
    let (fw, fh) = (W as usize, H as usize);
    let (w, h) = (c.width(fw), c.height(fh));
    let (sx, sy) = (sigma / f64::from(1 << c.hsub), sigma / f64::from(1 << c.vsub));
    let mut color = Vec::new();
    let mut weight = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let four = sharing(&case.alpha, fw, fh, c, x, y);
            let a = four.iter().map(|a| f64::from(*a)).sum::<f64>() / four.len() as f64 / 255.0;
            weight.push(1.0 - a);
            color.push((1.0 - a) * f64::from(case.input.at(c, x, y)));
        }
    }
    let gauss = |v: &[f64]| -> Vec<f64> {
        let kernel = |s: f64| {
            let r = (4.0 * s).ceil() as i64;
            (-r..=r).map(|d| (d, (-((d * d) as f64) / (2.0 * s * s)).exp())).collect::<Vec<_>>()
        };
        let pass = |v: &[f64], k: &[(i64, f64)], dx: i64, dy: i64| -> Vec<f64> {
            (0..w * h)
                .map(|i| {
                    let (x, y) = ((i % w) as i64, (i / w) as i64);
                    k.iter()
                        .map(|(d, g)| {
                            let (x, y) = (x + d * dx, y + d * dy);
                            let inside = x >= 0 && y >= 0 && x < w as i64 && y < h as i64;
                            if inside { v[y as usize * w + x as usize] * g } else { 0.0 }
                        })
                        .sum()
                })
                .collect()
        };
        pass(&pass(v, &kernel(sx), 1, 0), &kernel(sy), 0, 1)
    };
    let (color, weight) = (gauss(&color), gauss(&weight));
    let mean = color.iter().sum::<f64>() / weight.iter().sum::<f64>().max(1e-9);
    color.iter().zip(&weight).map(|(c, w)| if *w > 1e-6 { c / w } else { mean }).collect()
}

#[test]
fn with_transparency_every_format_with_alpha_has_the_matte_and_the_frames_colours() {
    use VideoFormat::*;
    for format in SINK_FORMATS {
        let case = case(format);
        for to in [A420, Ayuv, Rgba, Bgra, Argb, Abgr] {
            check_transparent(&case, to, 0);
        }
    }
}

/// GStreamer's converter splits frames of many lines over threads; where two of them meet, it makes the chroma of a
/// line on either side without the line beyond.
#[test]
fn large_frames_that_are_converted_on_several_cores_are_the_same_but_at_seams() {
    use VideoFormat::*;
    let seams = 2 * std::thread::available_parallelism().unwrap().get().saturating_sub(1);
    for (format, to) in [(I420, Rgba), (Yv12, Bgra), (Nv12, Argb), (Yuy2, Abgr), (I420, Ayuv), (Rgb, A420)] {
        check_transparent(&case_of(format, 321, 1083), to, seams);
    }
}

/// Compares a transparent result with the frame and the matte; so many rows may be others at the `seams`.
fn check_transparent(case: &Case, to: VideoFormat, seams: usize) {
    let format = case.info.format();
    let want = format!("video/x-raw,format={}", to.to_str());
    let (out_info, out) =
        process("decontaminate=false", &want, &case.info, vec![case.buffer.clone()]).unwrap();
    assert_eq!(out_info.format(), to);
    let out = Samples::new(&out[0], &out_info);
    assert_eq!(out.alpha(), case.alpha, "{format:?} to {to:?}: the matte is the alpha");
    // What GStreamer's own converter makes of the visible pixels. Where the colours are stored alike they stay
    // as they are: its releases differ in what they do to the chroma of NV12 on the way to A420.
    let yuv = |info: &VideoInfo| info.format_info().is_yuv();
    let shifts = |s: &Samples| s.components.iter().map(|c| (c.hsub, c.vsub)).collect::<Vec<_>>();
    let alike = yuv(&case.info) == yuv(&out_info) && shifts(&case.input) == shifts(&out);
    // Of chroma that four pixels share: by the formula, and like chroma where one of the four is hidden. GStreamer's own, for
    // these formats, is up to five levels off.
    use VideoFormat::{I420, Nv12, Yv12};
    let painted = [I420, Yv12, Nv12].contains(&format) && !yuv(&out_info);
    let (matrix, offset) = gstbgremove::video::color(&case.info).rgb_matrix();
    let formula = |i: usize, x: usize, y: usize| {
        let input = &case.input;
        let at = |k: usize| {
            let c = &input.components[k];
            f64::from(input.at(c, x >> c.hsub, y >> c.vsub)) - f64::from(offset[k])
        };
        (0..3).map(|k| f64::from(matrix[i][k]) * at(k)).sum::<f64>().clamp(0.0, 255.0)
    };
    let reference = if alike || painted { None } else { Some(convert(case, &out_info)) };
    let reference = reference.as_ref().unwrap_or(&case.input);
    let (w, h) = (out.width, out.height);
    let mut rows = BTreeSet::new();
    for (i, c) in out.components.iter().enumerate() {
        for y in 0..c.height(h) {
            for x in 0..c.width(w) {
                let got = f64::from(out.at(c, x, y));
                let four = sharing(&case.alpha, w, h, c, x, y);
                let chroma = &case.input.components[1];
                let shared =
                    painted.then(|| sharing(&case.alpha, w, h, chroma, x >> chroma.hsub, y >> chroma.vsub));
                if part_hidden(shared.as_deref().unwrap_or(&four)) {
                    continue;
                }
                // Below an alpha of 16, colours fade to what is under hidden pixels.
                let part = f64::from(four.into_iter().fold(0, u8::max).min(16)) / 16.0;
                let (least, most) = if painted {
                    // Luma fades by itself.
                    let (full, fades) = (formula(i, x, y), 300.0 * (1.0 - part));
                    (full - fades, full + fades)
                } else {
                    let full = f64::from(reference.at(&reference.components[i], x, y));
                    (full * part, full * part + 255.0 * (1.0 - part))
                };
                if got < least - 1.0 || got > most + 1.0 {
                    rows.insert(y);
                    assert!(
                        rows.len() <= seams,
                        "{format:?} to {to:?} {i} {x},{y}: {got}, not {least} to {most}"
                    );
                }
            }
        }
    }
}

fn convert(case: &Case, to: &VideoInfo) -> Samples {
    // As an element reads it: GStreamer 1.26 leaves open where chroma lies until it is read from caps.
    let info = VideoInfo::from_caps(&case.info.to_caps().unwrap()).unwrap();
    let from = gst_video::VideoFrame::from_buffer_readable(case.buffer.clone(), &info).unwrap();
    let buffer = gst::Buffer::with_size(to.size()).unwrap();
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, to).unwrap();
    gst_video::VideoConverter::new(&info, to, None).unwrap().frame(&from, &mut frame);
    Samples::new(&frame.into_buffer(), to)
}

#[test]
fn nearest_format_is_chosen() {
    use VideoFormat::*;
    for (from, to) in
        [(I420, A420), (Nv12, A420), (Yuy2, Ayuv), (Rgb, Rgba), (Bgrx, Bgra), (Xrgb, Argb), (Abgr, Abgr)]
    {
        let info = info(from, 64, 48);
        let (out, _) = process("", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
        assert_eq!(out.format(), to);
    }
}

#[test]
fn alpha_that_was_there_multiplies_in() {
    init();
    let info = info(VideoFormat::Rgba, 96, 96);
    let whole = portrait(&info, 0);
    let mut data = whole.map_readable().unwrap().to_vec();
    // The left half was hidden before, the rest half visible.
    for (i, p) in data.chunks_exact_mut(4).enumerate() {
        p[3] = if i % 96 < 48 { 0 } else { 128 };
    }
    let cut = gst::Buffer::from_mut_slice(data);
    let (_, plain) = process("", "video/x-raw,format=RGBA", &info, vec![whole]).unwrap();
    let (_, cut) = process("", "video/x-raw,format=RGBA", &info, vec![cut]).unwrap();
    let (plain, cut) = (plain[0].map_readable().unwrap(), cut[0].map_readable().unwrap());
    for (i, (p, c)) in plain.chunks_exact(4).zip(cut.chunks_exact(4)).enumerate() {
        if i % 96 < 48 {
            assert_eq!(c[3], 0);
            // Visible pixels' colours go on for a little.
            assert!(c == [0; 4] || i % 96 >= 44, "hidden pixels are gone");
        } else {
            assert!((f64::from(c[3]) - f64::from(p[3]) * 128.0 / 255.0).abs() <= 0.51);
        }
    }
}

#[test]
fn the_matte_comes_as_luma_too() {
    let case = case(VideoFormat::Nv12);
    let (info, out) =
        process("output=matte", "video/x-raw,format=I420", &case.info, vec![case.buffer.clone()]).unwrap();
    assert_eq!(info.colorimetry().range(), gst_video::VideoColorRange::Range0_255);
    let out = Samples::new(&out[0], &info);
    assert_eq!(out.first(), case.alpha);
    assert!(out.components[1..].iter().all(|c| out.at(c, 3, 3) == 128));
}

#[test]
fn sizes_at_the_limits_are_taken() {
    init();
    for (w, h) in [(16, 16), (17, 8192), (8192, 16), (1921, 1081)] {
        let info = info(VideoFormat::I420, w, h);
        let (out_info, out) =
            process("", "video/x-raw,format=A420", &info, vec![portrait(&info, 0)]).unwrap();
        assert_eq!((out_info.width(), out_info.height(), out.len()), (w, h, 1));
    }
}
