//! Which caps go with which: what the element offers on one pad for caps on the other.

use super::settings::OutputKind;
use crate::video::{SINK_FORMATS, alpha_formats};
use gst_video::{VideoColorMatrix, VideoColorRange, VideoColorimetry, VideoFormat, VideoInfo};
use std::sync::LazyLock;

/// The colorimetry of a matte in I420: full range, so that luma is the alpha itself.
pub const MATTE_COLORIMETRY: &str = "1:4:0:0";

/// Of mixed streams, the frames that are progressive; the flags of a buffer say which those are.
fn template(formats: impl IntoIterator<Item = VideoFormat>) -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format_list(formats)
        .width_range(16..=8192)
        .height_range(16..=8192)
        .field("interlace-mode", gst::List::new(["progressive", "mixed"]))
        .build()
}

pub static SINK: LazyLock<gst::Caps> = LazyLock::new(|| template(SINK_FORMATS));
pub static SRC: LazyLock<gst::Caps> =
    LazyLock::new(|| template(SINK_FORMATS.into_iter().chain([VideoFormat::Gray8])));

/// The formats that a structure names.
fn formats(s: &gst::StructureRef) -> Vec<VideoFormat> {
    let parse = |name: &str| name.parse().unwrap_or(VideoFormat::Unknown);
    match s.value("format") {
        Ok(value) => match (value.get::<&str>(), value.get::<gst::ListRef>()) {
            (Ok(one), _) => vec![parse(one)],
            (_, Ok(list)) => list.iter().filter_map(|v| v.get::<&str>().ok()).map(parse).collect(),
            _ => Vec::new(),
        },
        // No format: any.
        Err(_) => SINK_FORMATS.into_iter().chain([VideoFormat::Gray8]).collect(),
    }
}

fn with_formats(s: &gst::StructureRef, formats: &[VideoFormat]) -> gst::Structure {
    let mut s = s.to_owned();
    match formats {
        [one] => s.set("format", one.to_str()),
        many => s.set("format", gst::List::new(many.iter().map(|f| f.to_str()))),
    }
    s
}

/// Whether downstream takes a matte that it describes so.
fn takes_matte(s: &gst::StructureRef, formats: &[VideoFormat]) -> bool {
    let full_range = match s.value("colorimetry") {
        Ok(value) => match (value.get::<&str>(), value.get::<gst::ListRef>()) {
            (Ok(one), _) => one == MATTE_COLORIMETRY,
            (_, Ok(list)) => list.iter().any(|v| v.get::<&str>() == Ok(MATTE_COLORIMETRY)),
            _ => false,
        },
        Err(_) => true,
    };
    formats.contains(&VideoFormat::Gray8) || (formats.contains(&VideoFormat::I420) && full_range)
}

/// Caps on the other pad for caps on this one.
pub fn transform(direction: gst::PadDirection, caps: &gst::CapsRef, kind: OutputKind) -> gst::Caps {
    let mut out = gst::Caps::new_empty();
    let list = out.make_mut();
    for (s, features) in caps.iter_with_features() {
        // Frames in memory of another kind cannot be read.
        if !features.is_any() && !features.is_equal(&gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY) {
            continue;
        }
        let here = formats(s);
        let mut plain = s.to_owned();
        plain.remove_fields(["colorimetry", "chroma-site"]);
        let mut add = |s: gst::Structure| {
            if !list.is_subset_structure(&s) {
                list.append_structure(s);
            }
        };
        match (kind, direction) {
            (OutputKind::Opaque, _) => {
                let kept: Vec<_> = here.into_iter().filter(|f| SINK_FORMATS.contains(f)).collect();
                if !kept.is_empty() {
                    add(with_formats(s, &kept));
                }
            }
            (OutputKind::Transparent, gst::PadDirection::Sink) => {
                for from in here.into_iter().filter(|f| SINK_FORMATS.contains(f)) {
                    let [nearest, rest @ ..] = alpha_formats(from);
                    // The same colour model keeps its colorimetry, the others get their own.
                    let same: Vec<_> =
                        std::iter::once(nearest).chain(rest).filter(|f| is_yuv(*f) == is_yuv(from)).collect();
                    let other: Vec<_> = rest.into_iter().filter(|f| is_yuv(*f) != is_yuv(from)).collect();
                    add(with_formats(s, &same));
                    add(with_formats(&plain, &other));
                }
            }
            (OutputKind::Matte, gst::PadDirection::Sink) => {
                add(with_formats(&plain, &[VideoFormat::Gray8]));
                let mut luma = with_formats(&plain, &[VideoFormat::I420]);
                luma.set("colorimetry", MATTE_COLORIMETRY);
                add(luma);
            }
            (OutputKind::Transparent, _) => {
                if here.iter().any(|f| alpha_formats(*f).contains(f)) {
                    add(with_formats(&plain, &SINK_FORMATS));
                }
            }
            (OutputKind::Matte, _) => {
                if takes_matte(s, &here) {
                    add(with_formats(&plain, &SINK_FORMATS));
                }
            }
        }
    }
    out
}

/// Why downstream cannot take what a kind of output gives, and what to do.
pub fn refusal(kind: OutputKind, input: &gst::CapsRef, peer: &gst::Caps) -> String {
    let names = |caps: &gst::CapsRef| {
        let mut names: Vec<String> = Vec::new();
        for format in caps.iter().filter(|s| s.has_field("format")).flat_map(formats) {
            let name = format.to_string();
            if format != VideoFormat::Unknown && !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    };
    let taken = match names(peer) {
        n if n.is_empty() => String::new(),
        n => format!(" (it takes {n})"),
    };
    match kind {
        OutputKind::Transparent => format!(
            "background=transparent gives frames with alpha, and what follows bgremove takes none{taken}. Choose a \
             background (a colour, blur or a picture), or follow with an encoder that keeps alpha (vp9alphaenc, \
             pngenc, video/x-raw,format=A444_10LE ! avenc_prores_ks, …)."
        ),
        OutputKind::Opaque => format!(
            "with this background frames keep the format they come in ({}), and what follows bgremove does not take \
             it{taken}. Put `videoconvert` after bgremove.",
            names(input)
        ),
        OutputKind::Matte => format!(
            "output=matte gives GRAY8 or full-range I420, and what follows bgremove takes neither{taken}. Put \
             `videoconvert` after bgremove."
        ),
    }
}

fn is_yuv(format: VideoFormat) -> bool {
    gst_video::VideoFormatInfo::from_format(format).is_yuv()
}

/// Chooses, of the caps that downstream takes, those nearest to the input's.
pub fn fixate(input: &gst::CapsRef, mut others: gst::Caps, kind: OutputKind) -> gst::Caps {
    let Ok(info) = VideoInfo::from_caps(input) else { return others };
    let preferred: Vec<VideoFormat> = match kind {
        OutputKind::Transparent => alpha_formats(info.format()).to_vec(),
        OutputKind::Matte => vec![VideoFormat::Gray8, VideoFormat::I420],
        OutputKind::Opaque => vec![info.format()],
    };
    for format in preferred {
        let Some(s) = others.iter().find(|s| formats(s).contains(&format)) else { continue };
        let mut s = with_formats(s, &[format]);
        // A new colour model has a new matrix and range; transfer and primaries stay what they were.
        if kind == OutputKind::Transparent && !s.has_field("colorimetry") && is_yuv(format) != info.is_yuv() {
            let from = info.colorimetry();
            let (range, matrix) = if is_yuv(format) {
                let matrix =
                    if info.height() > 576 { VideoColorMatrix::Bt709 } else { VideoColorMatrix::Bt601 };
                (VideoColorRange::Range16_235, matrix)
            } else {
                (VideoColorRange::Range0_255, VideoColorMatrix::Rgb)
            };
            s.set(
                "colorimetry",
                VideoColorimetry::new(range, matrix, from.transfer(), from.primaries()).to_string(),
            );
        }
        others = gst::Caps::builder_full().structure(s).build();
        break;
    }
    others.fixate();
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(format: VideoFormat) -> gst::Caps {
        gst_video::VideoCapsBuilder::new()
            .format(format)
            .width(64)
            .height(48)
            .framerate(gst::Fraction::new(30, 1))
            .field("colorimetry", if is_yuv(format) { "bt709" } else { "sRGB" })
            .build()
    }

    #[test]
    fn transparent_output_is_nearest_first() {
        gst::init().unwrap();
        for (from, to) in [
            (VideoFormat::I420, VideoFormat::A420),
            (VideoFormat::Yuy2, VideoFormat::Ayuv),
            (VideoFormat::Bgrx, VideoFormat::Bgra),
            (VideoFormat::Rgb, VideoFormat::Rgba),
            (VideoFormat::Abgr, VideoFormat::Abgr),
        ] {
            let input = caps(from);
            let out = transform(gst::PadDirection::Sink, &input, OutputKind::Transparent);
            let info = VideoInfo::from_caps(&fixate(&input, out, OutputKind::Transparent)).unwrap();
            assert_eq!(info.format(), to);
            assert_eq!(info.colorimetry(), VideoInfo::from_caps(&input).unwrap().colorimetry());
        }
    }

    #[test]
    fn another_colour_model_gets_its_own_matrix() {
        gst::init().unwrap();
        let input = caps(VideoFormat::I420);
        let mut out = transform(gst::PadDirection::Sink, &input, OutputKind::Transparent);
        out = out.intersect(&gst_video::VideoCapsBuilder::new().format(VideoFormat::Rgba).build());
        let info = VideoInfo::from_caps(&fixate(&input, out, OutputKind::Transparent)).unwrap();
        assert_eq!(info.format(), VideoFormat::Rgba);
        assert_eq!(info.colorimetry().matrix(), VideoColorMatrix::Rgb);
        assert_eq!(info.colorimetry().range(), VideoColorRange::Range0_255);
    }

    #[test]
    fn opaque_output_is_the_input() {
        gst::init().unwrap();
        for from in SINK_FORMATS {
            let input = caps(from);
            assert_eq!(transform(gst::PadDirection::Sink, &input, OutputKind::Opaque), input);
        }
    }

    #[test]
    fn the_matte_is_full_range() {
        gst::init().unwrap();
        let out = transform(gst::PadDirection::Sink, &caps(VideoFormat::Rgba), OutputKind::Matte);
        let grey = fixate(&caps(VideoFormat::Rgba), out.clone(), OutputKind::Matte);
        assert_eq!(VideoInfo::from_caps(&grey).unwrap().format(), VideoFormat::Gray8);
        let luma = out.intersect(&gst_video::VideoCapsBuilder::new().format(VideoFormat::I420).build());
        let info = VideoInfo::from_caps(&fixate(&caps(VideoFormat::Rgba), luma, OutputKind::Matte)).unwrap();
        assert_eq!(info.colorimetry().range(), VideoColorRange::Range0_255);
    }
}
