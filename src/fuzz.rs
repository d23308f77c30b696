//! The bodies of the fuzz targets under `fuzz/`. Each takes any bytes and has to come back.
//!
//! What a run has found lies in `fuzz/regressions/TARGET/`, and the seeds in `fuzz/seeds/TARGET/`; the tests
//! below run both. This is built for tests and for `cargo fuzz` only.

use crate::compose::{self, Backdrop as _, Background, Blur, Image, Picture, Solid};
use crate::frame::{Format, FrameMut};
use crate::mask::Mask;
use crate::models::{self, Hints, Spec};
use crate::refine::{Adjuster, Colors, Controls, Foreground, Quality, Refiner};
use crate::runtime::{Element, Port, Value, View, onnx};
use crate::sample::Sampler;
use crate::scene::Scene;
use crate::temporal::{CutDetector, Smoother};
use crate::webm::writer::{
    self, Audio, Codec, Colour, Config, Mode, Tag, Track, TrackKind, Video, Writer, validate,
};
use crate::{matte, video, webm};
use gst_video::{VideoFrameRef, VideoInfo};
use std::io::Cursor;

/// Numbers out of bytes; zeros when they have run out.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        now
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u64(&mut self) -> u64 {
        (0..4).fold(0, |v, _| v << 16 | u64::from(self.u16()))
    }

    fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.u8()) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Mostly small, sometimes anything.
    fn number(&mut self) -> u64 {
        match self.u8() {
            0..=199 => self.u8().into(),
            200..=239 => self.u16().into(),
            240..=249 => 1 << (self.u8() & 63),
            _ => self.u64(),
        }
    }

    fn text(&mut self) -> String {
        let n = self.below(24);
        // GStreamer's tags are never empty.
        format!("x{}", String::from_utf8_lossy(self.take(n)))
    }
}

/// The `background` property.
pub fn background(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Pictures have a target of their own, and nobody's files are to be read here.
    if text.contains(['/', '%']) {
        return;
    }
    match compose::parse(text) {
        Ok(Background::Blur(p)) => assert!(p > 0.0 && p <= 50.0),
        Ok(_) => {}
        Err(e) => assert!(e.text.contains(text.trim())),
    }
}

/// A picture as a background, brought to a frame.
pub fn picture(data: &[u8]) {
    let Ok(image) = Image::read(Cursor::new(data)) else { return };
    let mut bytes = Bytes(&data[data.len().saturating_sub(4)..]);
    let fit = bytes.pick(&[compose::Fit::Cover, compose::Fit::Contain, compose::Fit::Stretch]);
    let format = bytes.pick(&[Format::I420, Format::Rgba, Format::Yuy2, Format::Nv12]);
    let color = crate::frame::Color::BT709;
    let size = (1 + bytes.below(70), 1 + bytes.below(70));
    let _ = Picture::new(&image, (format, color), size, fit, 1.0);
}

/// The sidecar of a network, and with it the network's description.
pub fn modelinfo(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(hints) = models::parse_sidecar(text) else { return };
    for shape in [vec![1, 3, 32, 32], vec![-1, 3, -1, -1], vec![1, -1, -1, 3]] {
        let out = vec![1, 1, shape[2], shape[3]];
        let port = |name: &str, shape: &[i64]| Port {
            name: name.into(),
            element: Element::F32,
            shape: shape.into(),
            described: String::new(),
        };
        if let Ok(spec) = Spec::new(&[port("x", &shape)], &[port("y", &out)], &hints) {
            sane(&spec, &mut Bytes(data));
        }
    }
}

/// An array that a network is told whom to keep with.
pub fn npy(data: &[u8]) {
    let Ok(array) = models::parse_npy(data) else { return };
    assert!(array.numbers.len() <= data.len());
    let mut b = Bytes(data);
    let wanted: Vec<i64> = (0..b.below(6)).map(|_| b.pick(&[-1, 0, 1, 2, 3, 77])).collect();
    if let Some(shape) = array.shape_for(&wanted) {
        assert_eq!(shape.iter().product::<i64>(), array.numbers.len() as i64);
    }
}

/// The manifest, which is ours, but should not fall over when it is mended by hand.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = models::parse_manifest(text);
}

/// Whether a network's input can be made for every frame that the element takes.
fn sane(spec: &Spec, bytes: &mut Bytes<'_>) {
    let side = |b: &mut Bytes<'_>| 16 + usize::from(b.u16()) % (8192 - 15);
    let (w, h) = (side(bytes), side(bytes));
    let wanted = usize::from(bytes.u16() % 4097);
    let (width, height) = spec.input_size(w, h, wanted);
    assert!(width > 0 && height > 0, "{w}×{h}: {width}×{height}");
    assert!(width.saturating_mul(height) <= 4 * 4096 * 4096, "{w}×{h}: {width}×{height}");
    let _ = spec.input_shape(width, height);
}

/// An ONNX file's own words: first the file, then what ONNX Runtime would tell of it, then its output.
pub fn network(data: &[u8]) {
    if let Ok(locations) = onnx::locations(Cursor::new(data), data.len() as u64) {
        assert!(locations.iter().map(String::len).sum::<usize>() <= data.len());
    }
    let mut b = Bytes(data);
    let port = |b: &mut Bytes<'_>| Port {
        name: b
            .pick(&[
                "x",
                "y",
                "src",
                "r1i",
                "r1o",
                "r2i",
                "r2o",
                "pha",
                "downsample_ratio",
                "",
                "point_coords",
                "point_labels",
                "input_boxes",
                "mask_input",
                "has_mask_input",
                "iou_scores",
            ])
            .into(),
        element: b.pick(&[Element::F32, Element::F16, Element::U8, Element::I64, Element::Other]),
        shape: {
            let n = b.below(6);
            (0..n).map(|_| b.pick(&[-1, 0, 1, 2, 3, 4, 16, 32, 9000, i64::MAX, -2])).collect()
        },
        described: "?".into(),
    };
    let (inputs, outputs) = (1 + b.below(4), 1 + b.below(4));
    let inputs: Vec<Port> = (0..inputs).map(|_| port(&mut b)).collect();
    let outputs: Vec<Port> = (0..outputs).map(|_| port(&mut b)).collect();
    let hints = Hints {
        class: b.flag().then(|| b.number() as usize),
        min_max: b.flag().then_some(true),
        short_side: b.flag().then(|| 1 + b.number() as usize % (1 << 31)),
        multiple: b.flag().then(|| 1 + b.number() as usize % (1 << 31)),
        activation: b.pick(&[
            None,
            Some(models::Activation::None),
            Some(models::Activation::Sigmoid),
            Some(models::Activation::Softmax),
        ]),
        ..Hints::default()
    };
    let Ok(spec) = Spec::new(&inputs, &outputs, &hints) else { return };
    sane(&spec, &mut b);
    for port in spec.prompt.iter().flat_map(models::Prompt::ports) {
        assert!(
            Value::length(&port.least_shape()).is_some_and(|n| n <= 1 << 24),
            "refused before memory is asked for"
        );
    }
    for (port, _) in &spec.states {
        // Refused before memory is asked for.
        assert!(Value::length(&port.least_shape()).is_none_or(|n| n <= 1 << 28));
    }
    let mut mask = Mask::default();
    let mut known = matte::Known::default();
    for _ in 0..3 {
        let shape: Vec<i64> = {
            let n = b.below(6);
            (0..n).map(|_| b.pick(&[-1, 0, 1, 1, 2, 3, 4, 5, 7, 16, 1 << 40])).collect()
        };
        let size = shape.iter().try_fold(1i64, |n, d| n.checked_mul(*d));
        // The runtime gives as many numbers as the shape says; here perhaps not.
        let n = match (b.u8(), size) {
            (0, _) => usize::from(b.u8()),
            (_, Some(n @ 0..=100_000)) => n as usize,
            _ => 0,
        };
        let values: Vec<f32> = (0..n)
            .map(|_| match b.u8() {
                250 => f32::NAN,
                251 => f32::INFINITY,
                252 => f32::NEG_INFINITY,
                253 => f32::MAX,
                v => f32::from(v) / 128.0 - 0.5,
            })
            .collect();
        let input = (1 + b.below(64), 1 + b.below(64));
        let frame = (16 + b.below(100), 16 + b.below(100));
        let view = View { shape, data: values.into() };
        if matte::read_view(&view, &spec, input, frame, &mut known, &mut mask).is_ok() {
            assert_eq!(mask.data.len(), mask.width * mask.height);
            assert!(!mask.data.is_empty() && mask.data.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}

/// The WebM writer: any frames in, a file out that breaks no rule.
pub fn webm(data: &[u8]) {
    let mut b = Bytes(data);
    // Times that no clock gives make durations that no reader expects.
    let tame = b.flag();
    let streamable = b.flag();
    let config = Config {
        mode: if streamable { Mode::Streamable } else { Mode::Seekable },
        min_cluster: b.number(),
        max_cluster: b.number(),
        max_cluster_bytes: b.number() as usize,
        muxing_app: b.text(),
        writing_app: b.text(),
    };
    let tracks: Vec<Track> = (0..b.below(4)).map(|_| track(&mut b, tame)).collect();
    let tags = |b: &mut Bytes<'_>| -> Vec<Tag> {
        (0..b.below(3))
            .map(|_| Tag { track: b.flag().then_some(0), name: b.text(), value: b.text() })
            .collect()
    };
    let early = tags(&mut b);
    let Ok((mut writer, mut file)) = Writer::new(config, tracks.clone(), &early) else { return };
    let mut time = 0u64;
    let mut written = 0;
    while !b.0.is_empty() {
        time = if tame {
            time.saturating_add(u64::from(b.u16()) * 10_000)
        } else {
            b.number().wrapping_mul(b.number())
        };
        let index = b.below(tracks.len() + 1);
        let length = b.below(40);
        let alpha = tracks.get(index).is_some_and(Track::alpha) != (b.u8() == 255);
        let frame = writer::Frame {
            track: index,
            time,
            duration: b.flag().then(|| if tame { u64::from(b.u16()) * 1000 } else { b.number() }),
            key: b.flag(),
            invisible: b.u8() == 7,
            data: b.take(length),
            alpha: alpha.then_some(if length == 39 { &[] } else { &[1, 2, 3] }),
            discard: if b.u8() == 9 { if tame { 1_000_000 } else { b.number() } } else { 0 },
        };
        // What decoding needs first: a key frame.
        let frame = writer::Frame { key: frame.key || writer.last_time(index).is_none(), ..frame };
        if let Ok(piece) = writer.write(&frame) {
            written += 1;
            file.extend(piece.into_iter().flat_map(|p| p.bytes));
        }
    }
    let late = if b.flag() { early } else { tags(&mut b) };
    let end = writer.finish(&late);
    file.extend(end.last.into_iter().flat_map(|p| p.bytes));
    file.extend(end.tail);
    for patch in end.patches {
        let at = patch.offset as usize;
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    let expect = if streamable { validate::Expect::Stream } else { validate::Expect::Finished };
    match validate::validate(&file, expect) {
        Ok(read) => {
            let blocks: usize = read.clusters.iter().map(|c| c.blocks.len()).sum();
            assert_eq!(blocks, written);
        }
        Err(e) => assert!(!tame && e.starts_with("Duration"), "{e}"),
    }
}

fn track(b: &mut Bytes<'_>, tame: bool) -> Track {
    let video = b.flag();
    let kind = if video {
        TrackKind::Video(Video {
            width: b.number() as u32,
            height: b.number() as u32,
            crop: if b.u8() < 20 { [0; 4].map(|_| b.number() as u32) } else { [0; 4] },
            pixel_aspect: (b.number() as u32, b.number() as u32),
            alpha: b.flag(),
            colour: b.flag().then(|| Colour {
                matrix: b.u8(),
                transfer: b.u8(),
                primaries: b.u8(),
                range: b.u8(),
            }),
            frame_rate: match (b.flag(), tame) {
                (false, _) => None,
                (true, true) => Some(b.pick(&[(25, 1), (30_000, 1001), (0, 1), (1, 0), (1, 2)])),
                (true, false) => Some((b.number() as u32, b.number() as u32)),
            },
        })
    } else {
        TrackKind::Audio(Audio { rate: b.number() as u32, channels: b.number() as u32 })
    };
    let codec = if video { b.pick(&[Codec::Vp8, Codec::Vp9]) } else { b.pick(&[Codec::Opus, Codec::Vorbis]) };
    let mut track = Track::new(codec, kind);
    if !video {
        let private = b.below(20);
        track.codec_private = b.take(private).to_vec();
        track.codec_delay = u64::from(b.u16()) * 500;
        track.seek_pre_roll = if codec == Codec::Opus { 80_000_000 } else { 0 };
        // What else is read out of a stream's first bytes.
        let _ = webm::writer::read_opus_head(&track.codec_private);
        let _ = webm::writer::opus_duration(&track.codec_private);
    }
    track.language = b.flag().then(|| b.text());
    track.name = b.flag().then(|| b.text());
    track
}

/// A buffer whose meta may say anything, through everything that happens to a frame but the network.
pub fn frames(data: &[u8]) {
    quiet();
    if data.is_empty() {
        return;
    }
    let mut b = Bytes(data);
    let formats = crate::video::SINK_FORMATS;
    let (from, to) = (b.pick(&formats), b.pick(&formats));
    let (w, h) = (16 + u32::from(b.u8()) % 80, 16 + u32::from(b.u8()) % 80);
    let info = |format| VideoInfo::builder(format, w, h).build();
    let (Ok(from), Ok(to)) = (info(from), info(to)) else { return };
    let input = hostile(&mut b, &from);
    let mut output = hostile(&mut b, &to);
    let Ok(in_frame) = VideoFrameRef::from_buffer_ref_readable(&input, &from) else { return };
    let Some(frame) = video::read(&in_frame, &from) else { return };
    let (mw, mh) = (1 + b.below(64), 1 + b.below(64));
    let mut mask: Vec<f32> = (0..mw * mh).map(|i| f32::from(data[i % data.len()]) / 255.0).collect();
    let mut matte = vec![0; (w * h) as usize];
    let (mut smoother, mut scene) = (Smoother::new(), Scene::new());
    let _ = CutDetector::new().is_cut(&frame);
    let _ = Sampler::default().sample(&frame, mw, mh);
    let controls = Controls {
        black_point: f32::from(b.u8()) / 255.0,
        white_point: f32::from(b.u8()) / 255.0,
        edge_shift: f32::from(b.u8()) / 6.4 - 20.0,
        edge_softness: f32::from(b.u8()) / 4.0,
    };
    for _ in 0..2 {
        scene.correct(&frame, &mut mask, mw, mh);
        smoother.smooth_mask(&frame, &mut mask, mw, mh, 0.6);
        let quality = b.pick(&[Quality::None, Quality::Fast, Quality::Best]);
        Refiner::new().refine(&frame, &mask, mw, mh, quality, &mut matte);
        scene.refine(&frame, b.flag(), &mut matte);
        smoother.smooth_matte(&frame, &mut matte, 0.6);
        Adjuster::new().apply(&mut matte, frame.width, frame.height, &controls);
    }
    let mut alpha = matte.clone();
    compose::multiply_alpha(&frame, &mut alpha);
    let Some(output) = output.get_mut() else { return };
    let Ok(mut out_frame) = VideoFrameRef::from_buffer_ref_writable(output, &to) else { return };
    let Some(mut out) = video::write(&mut out_frame, &to) else { return };
    let mut own = gst::Buffer::from_mut_slice(vec![0u8; to.size()]);
    let Some(own) = own.get_mut() else { return };
    let Ok(mut own) = VideoFrameRef::from_buffer_ref_writable(own, &to) else { return };
    let Some(mut colors) = video::write(&mut own, &to) else { return };
    let _ = compose::copy_colors(&frame, &mut colors);
    cut_out(&mut b, &colors, &mut out, &matte, &alpha);
    drop(out_frame);
    video::clear_rest(output, &to);
}

fn cut_out(b: &mut Bytes<'_>, colors: &FrameMut<'_>, out: &mut FrameMut<'_>, matte: &[u8], alpha: &[u8]) {
    let (format, w, h) = (out.format, out.width, out.height);
    let (frame, mut foreground) = (colors.as_ref(), Foreground::new());
    let colors =
        foreground.prepare(&frame, matte, b.pick(&[Colors::All, Colors::Shared, Colors::Faded]), b.flag());
    match b.below(4) {
        0 => compose::composite(&colors, out, alpha, &Solid { format, color: [1, 2, 3] }),
        1 => {
            let mut blur = Blur::new(format, w, h, 0.5 + f32::from(b.u8()) / 6.0);
            blur.prepare(&frame, matte);
            compose::composite(&colors, out, alpha, &blur);
        }
        2 if format.has_alpha() => {
            compose::transparent(&colors, &colors, out, alpha);
            // Nothing is left where nothing is seen.
            let layout = format.layout();
            let Some(a) = layout.alpha else { return };
            let shown = out.as_ref();
            for (i, v) in alpha.iter().enumerate() {
                let (x, y) = (i % w, i / w);
                let at = y * shown.planes[a.plane].stride + a.offset + x * a.step;
                assert_eq!(shown.planes[a.plane].data[at], *v);
            }
        }
        _ => {
            let solid = Solid { format, color: [0; 3] };
            let mut row = vec![0; w * 4];
            solid.row(0, 0, &mut row[..w]);
            compose::composite(&colors, out, alpha, &solid);
        }
    }
}

/// A buffer of any length with a meta of any numbers.
fn hostile(b: &mut Bytes<'_>, info: &VideoInfo) -> gst::Buffer {
    let honest = b.u8() < 100;
    let size = if honest { info.size() } else { b.number() as usize % (1 << 17) };
    let mut buffer = gst::Buffer::from_mut_slice(vec![b.u8(); size]);
    let Some(buffer_mut) = buffer.get_mut() else { return buffer };
    if b.u8() < 40 {
        // In pieces, as network sources give them.
        buffer_mut.append_memory(gst::Memory::from_mut_slice(vec![b.u8(); usize::from(b.u8())]));
    }
    if honest && b.flag() {
        return buffer;
    }
    let planes = if b.u8() < 230 { info.n_planes() as usize } else { 1 + b.below(4) };
    let mut offsets = [0; 4];
    let mut strides = [0; 4];
    for i in 0..planes {
        let good = i < info.n_planes() as usize;
        offsets[i] = match b.u8() {
            0..=99 if good => info.offset()[i],
            _ => b.number() as usize,
        };
        strides[i] = match b.u8() {
            0..=99 if good => info.stride()[i],
            100..=240 => i32::from(b.u16()),
            _ => b.number() as i32,
        };
    }
    let format = if b.u8() < 240 { info.format() } else { b.pick(&crate::video::SINK_FORMATS) };
    let side = |b: &mut Bytes<'_>, n: u32| if b.u8() < 200 { n } else { b.number() as u32 };
    let (w, h) = (side(b, info.width()), side(b, info.height()));
    let flags = gst_video::VideoFrameFlags::empty();
    // GStreamer may refuse it; then the buffer goes without.
    let _ = gst_video::VideoMeta::add_full(
        buffer_mut,
        flags,
        format,
        w,
        h,
        &offsets[..planes],
        &strides[..planes],
    );
    buffer
}

/// GStreamer starts, and says nothing of the metas that it does not like.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap_or_else(|e| panic!("{e}"));
        glib::log_set_default_handler(|_, _, _| {});
    });
}

/// What a target does with its bytes.
type Body = fn(&[u8]);

/// Names and bodies of the targets.
pub const TARGETS: [(&str, Body); 8] = [
    ("background", background),
    ("picture", picture),
    ("modelinfo", modelinfo),
    ("npy", npy),
    ("manifest", manifest),
    ("network", network),
    ("webm", webm),
    ("frames", frames),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Everything that was ever found, and the seeds.
    #[test]
    fn what_fuzzing_has_found_stays_mended() {
        for (name, target) in TARGETS {
            let mut seen = 0;
            for kind in ["regressions", "seeds"] {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(name);
                for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    println!("{}", file.path().display());
                    target(&std::fs::read(file.path()).unwrap());
                    seen += 1;
                }
            }
            assert!(seen > 0, "no seeds for {name}");
        }
    }

    /// A little of what `make fuzz` does, without its guidance: bytes of a fixed generator.
    #[test]
    fn noise() {
        for (name, target) in TARGETS {
            let mut state = 88_172_645_463_325_252u64;
            for round in 0..300 {
                let length = round % 400;
                let bytes: Vec<u8> = (0..length)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        (state >> 32) as u8
                    })
                    .collect();
                if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                    panic!("{name}, round {round}");
                }
            }
        }
    }
}
