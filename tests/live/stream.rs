//! The element alone in a live stream, with networks that take as long as a test wants.
//!
//! The networks are small files made here: their mask is a weighted sum of the pixel's colour, and on the way to it
//! they multiply large matrices.

pub use crate::common::onnx::network;
use crate::common::onnx::{self, Onnx, Type};
use crate::common::*;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};

/// Fails at run time on a frame whose mean is above a half, on OpenVINO as well: a convolution of one channel is given
/// two.
pub fn fragile() -> Onnx {
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "mask")
        .op("ReduceMean", "x", "mean")
        .op("Round", "mean", "rounded")
        .node("Cast", "rounded", "whole", &[("to", onnx::Attr::Int(7))])
        .i64s("one", &[1], &[1])
        .op("Reshape", "whole one", "more")
        .op("Add", "more one", "channels")
        .i64s("side", &[2], &[3, 3])
        .node("Concat", "one channels side", "shape", &[("axis", onnx::Attr::Int(0))])
        .f32s("zero", &[1, 1, 1, 1], &[0.0])
        .op("Expand", "zero shape", "few")
        .op("Conv", "few zero", "zeros")
        .node("ReduceSum", "zeros", "none", &[("keepdims", onnx::Attr::Int(0))])
        .op("Add", "mask none", "y")
        .output("y", Type::F32, &[1, 1, 36, 64])
}

/// The element alone, live, with plain mattes: nothing but the network's mask, stretched.
pub struct Stream {
    pub harness: Harness,
    pub element: gst::Element,
    pub bus: gst::Bus,
    pub info: VideoInfo,
    pub n: u64,
    _folder: tempfile::TempDir,
}

const PLAIN: [(&str, &str); 5] = [
    ("refine", "none"),
    ("temporal-smoothing", "0"),
    ("decontaminate", "false"),
    ("follow-subject", "false"),
    ("model-options", "options,fit=stretch,activation=none"),
];

impl Stream {
    pub fn new(network: &Onnx, props: &[(&str, &str)]) -> Self {
        init();
        let folder = tempfile::tempdir().unwrap();
        let path = network.save(folder.path(), "x.onnx");
        let mut element = gst::ElementFactory::make("bgremove")
            .property("model", path.display().to_string())
            .property_from_str("execution-provider", "cpu")
            .property("threads", 1u32);
        for (name, value) in PLAIN.iter().chain(props) {
            element = element.property_from_str(name, value);
        }
        let element = element.build().unwrap();
        let bus = gst::Bus::new();
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        element.set_bus(Some(&bus));
        let info = info(VideoFormat::Rgb, 320, 180);
        harness.set_src_caps(info.to_caps().unwrap());
        Self { harness, element, bus, info, n: 0, _folder: folder }
    }

    /// The same as a file would be: not live.
    pub fn file(network: &Onnx, props: &[(&str, &str)]) -> Self {
        let mut stream = Self::new(network, props);
        stream.harness.set_live(false);
        stream
    }

    /// A frame that is green where `subject` says so, with fine stripes in it that motion can be seen by.
    pub fn frame(&mut self, subject: impl Fn(f32, f32) -> bool) -> gst::Buffer {
        let (w, h) = (self.info.width() as usize, self.info.height() as usize);
        let stride = self.info.stride()[0] as usize;
        let mut data = vec![0; self.info.size()];
        for y in 0..h {
            for x in 0..w {
                let green = if subject(x as f32, y as f32) { 255 } else { 0 };
                let stripes = ((x * 7 + y * 13) % 50) as u8;
                data[y * stride + 3 * x..][..3].copy_from_slice(&[stripes, green, 20]);
            }
        }
        self.stamp(data)
    }

    pub fn stamp(&mut self, data: Vec<u8>) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(data);
        let b = buffer.get_mut().unwrap();
        b.set_pts(gst::ClockTime::SECOND * self.n / 30);
        b.set_duration(gst::ClockTime::SECOND / 30);
        self.n += 1;
        buffer
    }

    /// A frame whose left half is subject.
    pub fn half(&mut self) -> gst::Buffer {
        self.frame(|x, _| x < 160.0)
    }

    /// Pushes a frame and takes what comes out; alpha at the left and at the right.
    pub fn through(&mut self, frame: gst::Buffer) -> [u8; 2] {
        let pts = frame.pts();
        self.harness.push(frame).unwrap();
        let out = self.harness.pull().unwrap();
        assert_eq!(out.pts(), pts);
        self.sides(&out)
    }

    pub fn sides(&self, out: &gst::Buffer) -> [u8; 2] {
        let map = out.map_readable().unwrap();
        let at = |x: usize| map[(90 * 320 + x) * 4 + 3];
        [at(40), at(280)]
    }

    pub fn stat(&self, name: &str) -> u64 {
        self.element.property::<gst::Structure>("stats").get(name).unwrap()
    }

    pub fn latency(&mut self) -> gst::ClockTime {
        let mut query = gst::query::Latency::new();
        assert!(self.element.static_pad("src").unwrap().query(&mut query));
        query.result().1
    }

    /// The codes of the warnings on the bus.
    pub fn warnings(&self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.bus.pop_filtered(&[gst::MessageType::Warning]))
            .filter_map(|m| match m.view() {
                gst::MessageView::Warning(w) => {
                    let code = w.details().and_then(|d| d.get::<String>("code").ok()).unwrap_or_default();
                    Some((code, w.error().message().to_string()))
                }
                _ => None,
            })
            .collect()
    }
}

/// Pushes a frame in a thread of its own, and comes back when that thread waits in the element.
pub fn push_and_wait<'s>(
    scope: &'s Scope<'s, '_>,
    stream: &'s mut Stream,
) -> ScopedJoinHandle<'s, Result<gst::FlowSuccess, gst::FlowError>> {
    let (frame, element) = (stream.half(), stream.element.clone());
    let (tell, told) = mpsc::channel();
    let pusher = scope.spawn(move || {
        tell.send(this_thread()).unwrap();
        stream.harness.push(frame)
    });
    until_it_waits(&element, told.recv().unwrap());
    assert!(!pusher.is_finished(), "it does not wait");
    pusher
}

/// A run of some seconds, in steps.
pub fn slow() -> Onnx {
    network(512, 1000)
}

/// A run of a second and more that cannot be ended: one operator.
pub fn endless() -> Onnx {
    network(4000, 1)
}
