//! What the benches of the element share.

use gst_video::{VideoFormat, VideoInfo};

/// GStreamer, and the plugin as it is built here.
pub fn init() {
    gst::init().expect("GStreamer");
    gstbgremove::plugin_register_static().expect("the plugin");
}

/// An element between two pads, playing, for I420 at 30 frames a second; and a frame for it with shapes in it: what is in it does
/// not change the time.
pub fn stream(element: &gst::Element, width: u32, height: u32) -> (gst_check::Harness, gst::Buffer) {
    let info = VideoInfo::builder(VideoFormat::I420, width, height)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .expect("video info");
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.set_src_caps(info.to_caps().expect("caps"));
    harness.play();
    let mut buffer = gst::Buffer::with_size(info.size()).expect("memory for a frame");
    let mut map = buffer.get_mut().expect("a new buffer").map_writable().expect("a new buffer");
    map.iter_mut().enumerate().for_each(|(i, v)| *v = ((i / 97) ^ (i / width as usize)) as u8);
    drop(map);
    (harness, buffer)
}
