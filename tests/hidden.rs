//! What docs/security.md promises of hidden pixels: nothing of the room is in memory that is not the element's own, and
//! nothing of it can be brought back from what goes out.

mod common;

use common::onnx::{Onnx, Type, network};
use common::*;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a pool's memory holds before anybody has written to it.
const MARK: u8 = 0xA7;

mod imp {
    use super::*;

    /// A pool whose memory can be looked at, whoever has its buffers.
    #[derive(Default)]
    pub struct Watched {
        /// Address and length of what it has lent.
        pub memory: Mutex<Vec<(usize, usize)>>,
        /// Lends frames of this kind whose rows, planes and ends are padded.
        pub padded: Mutex<Option<VideoInfo>>,
        size: Mutex<usize>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Watched {
        const NAME: &'static str = "TestWatchedPool";
        type Type = super::Watched;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for Watched {}
    impl GstObjectImpl for Watched {}
    impl BufferPoolImpl for Watched {
        fn set_config(&self, config: &mut gst::BufferPoolConfigRef) -> bool {
            *self.size.lock().unwrap() = config.params().map_or(0, |p| p.1 as usize);
            self.parent_set_config(config)
        }

        fn alloc_buffer(
            &self,
            _params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            let padded = self.padded.lock().unwrap().clone().map(|info| padded(&info));
            let bytes = padded.as_ref().map_or(*self.size.lock().unwrap(), |p| p.bytes);
            // Never given back: a test may look at any time.
            let memory: &'static mut [u8] = Box::leak(vec![MARK; bytes].into_boxed_slice());
            self.memory.lock().unwrap().push((memory.as_ptr() as usize, bytes));
            let mut buffer = gst::Buffer::from_mut_slice(memory);
            if let Some(Padded { info, offsets, strides, .. }) = padded {
                let (flags, format) = (gst_video::VideoFrameFlags::empty(), info.format());
                let (b, w, h) = (buffer.get_mut().unwrap(), info.width(), info.height());
                gst_video::VideoMeta::add_full(b, flags, format, w, h, &offsets, &strides).unwrap();
            }
            Ok(buffer)
        }
    }
}

glib::wrapper! {
    pub struct Watched(ObjectSubclass<imp::Watched>) @extends gst::BufferPool, gst::Object;
}

/// How a padded frame lies in its memory.
struct Padded {
    info: VideoInfo,
    offsets: Vec<usize>,
    strides: Vec<i32>,
    bytes: usize,
}

fn padded(info: &VideoInfo) -> Padded {
    let strides: Vec<i32> = info.stride().iter().map(|s| s + 24).collect();
    let (mut offsets, mut at) = (Vec::new(), 8);
    for stride in &strides {
        offsets.push(at);
        at += *stride as usize * (info.height() as usize + 3) + 5;
    }
    Padded { info: info.clone(), offsets, strides, bytes: at }
}

impl Watched {
    /// What its memory holds now.
    fn contents(&self) -> Vec<Vec<u8>> {
        let memory = self.imp().memory.lock().unwrap().clone();
        // SAFETY: the memory is never given back. Where the element writes at the same time, a byte may be an old or a
        // new one, which is all that is asked.
        memory
            .iter()
            .map(|(at, n)| unsafe { std::slice::from_raw_parts(*at as *const u8, *n) }.to_vec())
            .collect()
    }
}

/// Has downstream offer a pool that can be looked at.
fn watch(element: &gst::Element, is_padded: bool) -> Arc<Mutex<Option<Watched>>> {
    let lent = Arc::new(Mutex::new(None));
    let own = lent.clone();
    let src = element.static_pad("src").unwrap();
    src.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, move |_, info| {
        let Some(query) = info.query_mut() else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Allocation(q) = query.view_mut() else { return gst::PadProbeReturn::Ok };
        let caps = q.get_owned().0.unwrap();
        let info = VideoInfo::from_caps(&caps).unwrap();
        let pool: Watched = glib::Object::new();
        let size = if is_padded { padded(&info).bytes } else { info.size() } as u32;
        *pool.imp().padded.lock().unwrap() = is_padded.then_some(info);
        let mut config = pool.config();
        config.set_params(Some(&caps), size, 2, 0);
        pool.set_config(config).unwrap();
        q.add_allocation_pool(Some(&pool), size, 2, 0);
        q.add_allocation_meta::<gst_video::VideoMeta>(None);
        *own.lock().unwrap() = Some(pool);
        gst::PadProbeReturn::Handled
    });
    lent
}

/// Fails as it runs.
fn failing() -> Onnx {
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "mask")
        .op("ReduceMax", "x", "most")
        .scalar("seven", 7.0)
        .op("Add", "most seven", "beyond")
        .node("Cast", "beyond", "index", &[("to", common::onnx::Attr::Int(7))])
        .f32s("table", &[1], &[0.0])
        .op("Gather", "table index", "none")
        .op("Add", "mask none", "y")
        .output("y", Type::F32, &[1, 1, 36, 64])
}

const PLAIN: &str = "temporal-smoothing=0 follow-subject=false execution-provider=cpu \
                     model-options=\"options,fit=stretch,activation=none\"";

/// A value that only the room has.
const ROOM: u8 = 201;

/// A frame whose left half is subject, the rest room.
fn scene(info: &VideoInfo) -> gst::Buffer {
    let mut data = vec![0; info.size()];
    for row in data.chunks_exact_mut(info.stride()[0] as usize) {
        for (x, pixel) in row.chunks_exact_mut(3).take(info.width() as usize).enumerate() {
            let subject = x < info.width() as usize / 2;
            pixel.copy_from_slice(&if subject { [60, 255, 60] } else { [ROOM, 0, ROOM] });
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    buffer
}

fn clean(lent: &Mutex<Option<Watched>>, when: &str) {
    let pool = lent.lock().unwrap().clone().expect("its pool is in use");
    for (n, buffer) in pool.contents().iter().enumerate() {
        assert!(!buffer.contains(&ROOM), "{when}: the room is in buffer {n}");
    }
}

/// A frame that is on its way when something comes between.
#[test]
fn no_hidden_pixel_is_in_downstreams_memory_whatever_comes_between() {
    init();
    let folder = tempfile::tempdir().unwrap();
    // Ten seconds and more, in few steps, which are loaded soon.
    let slow = network(1024, 300).save(folder.path(), "slow.onnx").display().to_string();
    let fails = failing().save(folder.path(), "fails.onnx").display().to_string();
    let info = info(VideoFormat::Rgb, 160, 90);
    for background in ["transparent", "red", "blur"] {
        let start = |model: &str, more: &str| {
            let line = format!("bgremove model={model} {PLAIN} {more} threads=1 background={background}");
            let mut harness = Harness::new_parse(&line);
            let element = harness.element().unwrap();
            let bin = element.downcast_ref::<gst::Bin>();
            let element = bin.map_or(element.clone(), |b| b.children()[0].clone());
            let lent = watch(&element, false);
            harness.set_live(false);
            harness.set_src_caps(info.to_caps().unwrap());
            (harness, element, lent)
        };
        for flush in [true, false] {
            let (mut harness, element, lent) = start(&slow, "inference-timeout=0");
            std::thread::scope(|scope| {
                let pusher = scope.spawn(|| harness.push(scene(&info)));
                std::thread::sleep(Duration::from_millis(300));
                clean(&lent, &format!("{background}: while the network runs"));
                if flush {
                    element.static_pad("sink").unwrap().send_event(gst::event::FlushStart::new());
                } else {
                    element.set_state(gst::State::Null).unwrap();
                }
                assert!(pusher.join().unwrap().is_err());
            });
            clean(&lent, &format!("{background}: after a flush or stop"));
        }
        let (mut harness, _, lent) = start(&fails, "");
        assert_eq!(harness.push(scene(&info)), Err(gst::FlowError::Error));
        clean(&lent, &format!("{background}: after an error"));
        let (mut harness, _, lent) = start(&slow, "inference-timeout=50000000 on-error=hide");
        for _ in 0..2 {
            harness.push(scene(&info)).unwrap();
        }
        if background != "blur" {
            clean(&lent, &format!("{background}: after a time-out"));
        }
        assert_eq!(lent.lock().unwrap().as_ref().unwrap().contents().len(), 2, "hidden frames went out");
    }
}

/// As long as a frame is made, nobody who looks at its memory sees more of the room than in the end.
#[test]
fn no_hidden_pixel_is_in_downstreams_memory_even_for_a_moment() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = network(512, 0).save(folder.path(), "x.onnx").display().to_string();
    let info = info(VideoFormat::Rgb, 1920, 1080);
    let mut harness = Harness::new_parse(&format!("bgremove model={path} {PLAIN} refine=none"));
    let element = harness.element().unwrap();
    let bin = element.downcast_ref::<gst::Bin>();
    let lent = watch(&bin.map_or(element.clone(), |b| b.children()[0].clone()), false);
    harness.set_live(false);
    harness.set_src_caps(info.to_caps().unwrap());
    let frame = scene(&info);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let Some(pool) = lent.lock().unwrap().clone() else { continue };
                let memory = pool.imp().memory.lock().unwrap().clone();
                for (at, n) in memory {
                    // SAFETY: as in `contents`.
                    let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, n) };
                    // A column of the right half.
                    let seen = bytes.chunks_exact(1920 * 4).any(|row| row[1600 * 4] == ROOM);
                    assert!(!seen, "the room was there");
                }
                looks += 1;
            }
            looks
        });
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            harness.push(frame.clone()).unwrap();
            drop(harness.pull().unwrap());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 100);
    });
}

/// A soft disc before a room of stripes in red and blue, which are the other way round in the other room. The mask is
/// the green channel.
fn soft(info: &VideoInfo, other: bool) -> gst::Buffer {
    let (w, h) = (info.width() as usize, info.height() as usize);
    let mut data = vec![0; info.size()];
    for y in 0..h {
        for x in 0..w {
            let far = (x as f32 - w as f32 / 2.0).hypot(y as f32 - h as f32 / 2.0);
            let a = (0.5 + (h as f32 / 4.0 - far) / 24.0).clamp(0.0, 1.0);
            let room = if (x / 8 % 2 == 0) != other { 255.0 } else { 0.0 };
            let mix = |front: f32, back: f32| (front * a + back * (1.0 - a) + 0.5) as u8;
            let pixel = [mix(90.0, room), (a * 255.0 + 0.5) as u8, mix(40.0, 255.0 - room)];
            data[y * info.stride()[0] as usize + 3 * x..][..3].copy_from_slice(&pixel);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    buffer
}

/// What can be told of two rooms apart from what goes out is bounded by the alpha: nothing where that is 0, little where
/// it is little.
#[test]
fn what_is_left_of_the_room_fades_with_alpha() {
    let folder = tempfile::tempdir().unwrap();
    let path = network(512, 0).save(folder.path(), "x.onnx").display().to_string();
    let info = info(VideoFormat::Rgb, 161, 91);
    // Soft mattes, and hard ones, whose edges run through blocks of chroma.
    for (to, refine, (clean, hard)) in ["A420", "AYUV", "RGBA", "BGRA", "ARGB", "ABGR"]
        .into_iter()
        .flat_map(|to| ["none", "best"].map(|refine| (to, refine)))
        .flat_map(|(to, refine)| {
            [(false, false), (false, true), (true, false), (true, true)].map(|how| (to, refine, how))
        })
    {
        let of = |other: bool| {
            let levels = if hard { "black-point=0.49 white-point=0.51" } else { "" };
            let props = format!("model={path} {PLAIN} refine={refine} decontaminate={clean} {levels}");
            let want = format!("video/x-raw,format={to}");
            let (info, out) = process(&props, &want, &info, vec![soft(&info, other)]).unwrap();
            (Samples::new(&out[0], &info), numbers(&info, [0; 3]))
        };
        let ((one, black), (two, _)) = (of(false), of(true));
        let (w, h) = (one.width, one.height);
        // Of two mattes, what shows more.
        let alphas = [one.alpha(), two.alpha()];
        let alpha: Vec<u8> = alphas[0].iter().zip(&alphas[1]).map(|(a, b)| *a.max(b)).collect();
        assert!(refine == "best" || alphas[0] == alphas[1], "the mattes are the same");
        assert!(hard || alpha.iter().filter(|a| (1..9).contains(*a)).count() > 20, "the matte is not soft");
        let mut shared = 0;
        for (i, c) in one.components.iter().enumerate() {
            for y in 0..c.height(h) {
                for x in 0..c.width(w) {
                    let pixels = sharing(&alpha, w, h, c, x, y);
                    let [a, b] = alphas.each_ref().map(|alpha| sharing(alpha, w, h, c, x, y));
                    if a.iter().zip(&b).any(|(a, b)| (*a == 0) != (*b == 0)) {
                        // One is black and the other the foreground's: that tells nothing of the room.
                        continue;
                    }
                    let most = f64::from(pixels.iter().copied().max().unwrap()) / 255.0;
                    let mean =
                        pixels.iter().map(|a| f64::from(*a)).sum::<f64>() / pixels.len() as f64 / 255.0;
                    let part_hidden = pixels.contains(&0) && most > 0.0;
                    shared += usize::from(part_hidden && mean > 0.2);
                    // Of a hard matte nobody knows how much of the room a pixel that is seen was mixed with.
                    let room = if hard { 1.0 } else { 1.0 - mean };
                    if clean && mean >= 0.25 && !part_hidden {
                        // From a quarter on it is seen for what it is.
                        continue;
                    }
                    let far = || {
                        let near = |v: usize, most: usize| v.saturating_sub(6)..(v + 7).min(most);
                        let (px, py) = (x << c.hsub, y << c.vsub);
                        near(py, h).all(|y| near(px, w).all(|x| alpha[y * w + x] == 0))
                    };
                    // Where the mattes differ, so does where colours end; black tells nothing.
                    let ends = [&one, &two].iter().any(|s| f64::from(s.at(c, x, y)) == black[i]);
                    if most == 0.0 && ends && !far() {
                        continue;
                    }
                    let bound = if most == 0.0 && far() {
                        0.0
                    } else if most == 0.0 {
                        // What is carried from visible pixels, which show it already; half the room is in those of a
                        // hard edge.
                        if hard { 128.0 } else { 30.0 }
                    } else if clean || part_hidden {
                        // What foreground and background around do not explain, and how well these are known: less well
                        // where pixels count as foreground that the room is mixed into.
                        255.0 * mean * (4.0 * mean).min(1.0) * room
                            + if hard { 75.0 } else { 30.0 + 40.0 * (4.0 * mean).min(1.0) }
                    } else {
                        let part = (most * 255.0 / 16.0).min(1.0);
                        255.0 * part * room + 12.0 + 30.0 * (1.0 - part)
                    };
                    let off = f64::from(one.at(c, x, y).abs_diff(two.at(c, x, y)));
                    assert!(
                        off <= bound,
                        "{to} refine={refine} decontaminate={clean} hard={hard} {i} {x},{y}: {off} levels, alpha {pixels:?}"
                    );
                }
            }
        }
        assert!(to != "A420" || !hard || shared > 20, "no chroma is shared with hidden pixels");
    }
}

/// The bytes of a padded buffer that belong to its frame.
fn covered(layout: &gstbgremove::frame::Layout, p: &Padded) -> Vec<bool> {
    let mut covered = vec![false; p.bytes];
    let (w, h) = (p.info.width() as usize, p.info.height() as usize);
    for c in layout.color[..layout.colors].iter().chain(layout.alpha.as_ref()) {
        for y in 0..c.height(h) {
            let row = p.offsets[c.plane] + y * p.strides[c.plane] as usize;
            covered[row..row + c.width(w) * c.step].fill(true);
        }
    }
    covered
}

#[test]
fn padding_is_handed_on_empty() {
    init();
    let cases = SINK_FORMATS
        .map(|f| (f, "background=red", "video/x-raw"))
        .into_iter()
        .chain(["A420", "AYUV", "RGBA", "BGRA", "ARGB", "ABGR"].map(|to| (VideoFormat::I420, "", to)))
        .chain(["GRAY8", "I420"].map(|to| (VideoFormat::Rgb, "output=matte", to)));
    for (format, props, to) in cases {
        for (w, h) in [(161, 91), (160, 90)] {
            let input = info(format, w, h);
            let want = if to == "video/x-raw" { to.to_string() } else { format!("video/x-raw,format={to}") };
            let mut harness =
                Harness::new_parse(&format!("bgremove name=bg {props} ! capsfilter caps={want}"));
            let bin = harness.element().unwrap().downcast::<gst::Bin>().unwrap();
            let lent = watch(&bin.by_name("bg").unwrap(), true);
            harness.set_live(false);
            harness.set_src_caps(input.to_caps().unwrap());
            harness.push(portrait(&input, 0)).unwrap();
            let out = harness.pull().unwrap();
            let pool = lent.lock().unwrap().clone().expect("a pool");
            let info = pool.imp().padded.lock().unwrap().clone().unwrap();
            let p = padded(&info);
            let covered = covered(&layout(info.format()), &p);
            let bytes = out.map_readable().unwrap();
            assert_eq!(bytes.len(), p.bytes, "it is the pool's");
            let left = bytes.iter().zip(&covered).position(|(b, c)| !c && *b != 0);
            assert_eq!(left, None, "{format:?} {props} to {:?} {w}x{h}", info.format());
            assert!(bytes.iter().zip(&covered).any(|(b, c)| *c && *b != MARK && *b != 0), "a frame is there");
        }
    }
}

/// Frames that differ only in what their own alpha hides come out the same there.
#[test]
fn what_the_input_hid_is_nowhere_in_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = Onnx::constant(1.0, 64, 36).save(folder.path(), "one.onnx");
    let (w, h) = (161, 91);
    for (format, to, clean) in [
        (VideoFormat::Rgba, "RGBA", true),
        (VideoFormat::Rgba, "BGRA", false),
        (VideoFormat::A420, "A420", true),
        (VideoFormat::A420, "A420", false),
        (VideoFormat::Ayuv, "AYUV", true),
    ] {
        let info = info(format, w as u32, h as u32);
        let far = |x: usize, y: usize| (x as f32 - 80.0).hypot(y as f32 - 45.0);
        let alpha: Vec<u8> =
            (0..w * h).map(|i| (255.0 - 12.0 * (far(i % w, i / w) - 20.0)).clamp(0.0, 255.0) as u8).collect();
        let layout = layout(format);
        let frame = |hidden: u8| {
            let mut data = vec![0; info.size()];
            for c in layout.color.iter().chain(&layout.alpha) {
                for y in 0..c.height(h) {
                    for x in 0..c.width(w) {
                        let own = sharing(&alpha, w, h, c, x, y);
                        let at = info.offset()[c.plane] + y * info.stride()[c.plane] as usize;
                        data[at + c.offset + x * c.step] = match () {
                            () if Some(*c) == layout.alpha => own[0],
                            () if own.iter().all(|a| *a == 0) => hidden.wrapping_add((7 * x + 3 * y) as u8),
                            () => (60 + x) as u8,
                        };
                    }
                }
            }
            let mut buffer = gst::Buffer::from_mut_slice(data);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
            buffer
        };
        let props = format!("model={} {PLAIN} refine=none decontaminate={clean}", path.display());
        let [one, two] = [3, 130].map(|hidden| {
            let (info, out) =
                process(&props, &format!("video/x-raw,format={to}"), &info, vec![frame(hidden)]).unwrap();
            Samples::new(&out[0], &info)
        });
        assert!(one.alpha() == alpha, "{format:?}: the alpha is the input's");
        let (mut hidden, mut carried) = (0, 0);
        for (i, c) in one.components.iter().enumerate() {
            let black = one.at(c, 0, 0);
            for y in 0..c.height(h) {
                for x in 0..c.width(w) {
                    if sharing(&alpha, w, h, c, x, y).iter().any(|a| *a != 0) {
                        continue;
                    }
                    let [a, b] = [&one, &two].map(|s| s.at(c, x, y));
                    assert_eq!(a, b, "{format:?} decontaminate={clean} {i} {x},{y}");
                    hidden += 1;
                    carried += usize::from(a != black);
                }
            }
        }
        assert!(hidden > 10_000 && carried > 500, "{format:?}: {carried} of {hidden} are carried");
    }
}

/// A hard disc of one colour before a room of another. A sample that pixels share is their mean.
fn disc(info: &VideoInfo) -> gst::Buffer {
    let (w, h) = (info.width() as usize, info.height() as usize);
    let is_inside =
        |x: usize, y: usize| (x as f32 - w as f32 / 2.0).hypot(y as f32 - h as f32 / 2.0) < h as f32 / 3.0;
    let inside: Vec<u8> = (0..w * h).map(|i| u8::from(is_inside(i % w, i / w))).collect();
    let mut data = vec![0; info.size()];
    let [subject, room] = [SUBJECT, [60, 0, 230]].map(|c| numbers(info, c));
    for (k, c) in layout(info.format()).color.iter().enumerate() {
        for y in 0..c.height(h) {
            for x in 0..c.width(w) {
                let pixels = sharing(&inside, w, h, c, x, y);
                let part = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64;
                let at = info.offset()[c.plane] + y * info.stride()[c.plane] as usize + c.offset + x * c.step;
                data[at] = (subject[k] * part + room[k] * (1.0 - part)).round() as u8;
            }
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    buffer
}

const SUBJECT: [u8; 3] = [210, 255, 40];

/// Whoever scales a frame with straight alpha component by component, as browsers, editors and GStreamer's own scaler
/// do, mixes colours under alpha 0 into the edge.
#[test]
fn no_rim_shows_where_a_result_is_scaled() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let (w, h) = (320, 180);
    let path = Onnx::new()
        .input("x", Type::F32, &[1, 3, h, w])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "y")
        .output("y", Type::F32, &[1, 1, h, w])
        .save(folder.path(), "x.onnx");
    let (to_w, to_h) = (w as usize * 3 / 2, h as usize * 3 / 2);
    let cases = [
        (VideoFormat::I420, "A420"),
        (VideoFormat::Rgb, "RGBA"),
        (VideoFormat::Rgb, "AYUV"),
        (VideoFormat::Rgb, "A420"),
    ];
    for ((from, format), clean) in cases.into_iter().flat_map(|c| [(c, true), (c, false)]) {
        let info = info(from, w as u32, h as u32);
        let props = format!(
            "model={} {PLAIN} refine=none decontaminate={clean} black-point=0.49 white-point=0.51",
            path.display()
        );
        let want = format!(
            "video/x-raw,format={format} ! videoscale method=bilinear ! video/x-raw,width={to_w},height={to_h} ! \
             videoconvert ! video/x-raw,format=RGBA"
        );
        let (_, out) = process(&props, &want, &info, vec![disc(&info)]).unwrap();
        let bytes = out[0].map_readable().unwrap();
        let (mut edge, mut most) = (0, 0.0f64);
        for pixel in bytes.chunks_exact(4).filter(|p| (1..255).contains(&p[3])) {
            edge += 1;
            let a = f64::from(pixel[3]) / 255.0;
            for (got, want) in pixel.iter().zip(SUBJECT) {
                // On any background.
                most = most.max(a * (f64::from(*got) - f64::from(want)).abs());
            }
        }
        assert!(edge > 500, "{format}: the edge has {edge} pixels");
        assert!(most <= 6.0, "{format} decontaminate={clean}: a rim of {most:.1} levels");
    }
}
