//! A Rust program that pushes frames of its own through bgremove and takes the results back.
//!
//!     cargo run --release --example embed -- picture.png
//!
//! It stands for an application whose frames come from somewhere else: a picture, 30 times a second, a little further
//! to the left each time. After 20 frames the background changes, after 40 the model; it ends when the new model has
//! served for a while. embed.py and embed.c do the same, in Python and in C.

use gst::prelude::*;
use gst_video::prelude::*;

type Error = Box<dyn std::error::Error>;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
/// The other model has to come within so many.
const MOST: u64 = 1000;

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).ok_or("which picture?")?;
    gst::init()?;
    // Other programs load the plugin from GST_PLUGIN_PATH; this one has it built in.
    gstbgremove::plugin_register_static()?;

    let picture = load(&path)?;
    let pipeline = gst::parse::launch(
        "appsrc name=in format=time ! bgremove name=bg ! video/x-raw,format=RGBA ! appsink name=out sync=false",
    )?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "no pipeline")?;
    let result = run(&pipeline, &picture);
    // A pipeline has to be stopped before it is dropped.
    pipeline.set_state(gst::State::Null)?;
    result
}

fn run(pipeline: &gst::Pipeline, picture: &[u8]) -> Result<(), Error> {
    let named = |name: &str| pipeline.by_name(name).ok_or("an element without its name");
    let input = named("in")?.downcast::<gst_app::AppSrc>().map_err(|_| "no appsrc")?;
    let output = named("out")?.downcast::<gst_app::AppSink>().map_err(|_| "no appsink")?;
    let bgremove = named("bg")?;
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgba, WIDTH, HEIGHT)
        .fps(gst::Fraction::new(30, 1))
        .build()?;
    input.set_caps(Some(&info.to_caps()?));
    if pipeline.set_state(gst::State::Playing).is_err() {
        messages(pipeline, gst::ClockTime::ZERO)?;
        return Err("the pipeline does not start".into());
    }

    // The first network is known by its size, from the first frame on.
    let mut network = 0;
    let mut left = None;
    for n in 0..MOST {
        match n {
            20 => bgremove.set_property("background", "#ff0000"),
            // It loads beside the running one, which serves until then.
            40 => bgremove.set_property("model", "original"),
            _ => {}
        }
        let mut frame = gst::Buffer::from_slice(shifted(picture, n as usize % 40));
        {
            let frame = frame.get_mut().ok_or("the frame is shared")?;
            frame.set_pts(n * gst::ClockTime::SECOND / 30);
            frame.set_duration(gst::ClockTime::SECOND / 30);
        }
        // An error downstream ends the stream: what it was stands on the bus.
        let sample = input.push_buffer(frame).ok().and_then(|_| output.pull_sample().ok());
        messages(pipeline, gst::ClockTime::ZERO)?;
        let sample = sample.ok_or("the stream has ended")?;

        let stats = bgremove.property::<gst::Structure>("stats");
        let bytes = stats.get::<u64>("network-bytes")?;
        if n == 0 {
            network = bytes;
        } else if bytes != network && left.is_none() {
            println!("another network serves");
            left = Some(5);
        }
        if n == 19 || n == 39 || left == Some(0) {
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(
                sample.buffer().ok_or("a sample without a buffer")?,
                &gst_video::VideoInfo::from_caps(sample.caps().ok_or("a sample without caps")?)?,
            )?;
            let (data, stride) = (frame.plane_data(0)?, frame.plane_stride()[0] as usize);
            let at = |x: usize, y: usize| &data[y * stride + 4 * x..][..4];
            println!("corner {:?}, middle {:?}", at(WIDTH as usize - 10, 10), at(270, 180));
        }
        if left == Some(0) {
            input.end_of_stream()?;
            return Ok(());
        }
        left = left.map(|l| l - 1);
        std::thread::sleep(std::time::Duration::from_millis(33));
    }
    Err("the other network did not come".into())
}

/// What the elements say. Warnings leave the stream running; an error is its end.
fn messages(pipeline: &gst::Pipeline, wait: gst::ClockTime) -> Result<(), Error> {
    let bus = pipeline.bus().ok_or("no bus")?;
    while let Some(message) = bus.timed_pop(wait) {
        match message.view() {
            gst::MessageView::Error(e) => return Err(e.error().to_string().into()),
            gst::MessageView::Warning(w) => eprintln!("warning: {}", w.error()),
            _ => {}
        }
    }
    Ok(())
}

/// A picture as RGBA of WIDTH×HEIGHT.
fn load(path: &str) -> Result<Vec<u8>, Error> {
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=file ! decodebin ! videoconvert ! videoscale ! \
         video/x-raw,format=RGBA,width={WIDTH},height={HEIGHT},pixel-aspect-ratio=1/1 ! appsink name=out sync=false"
    ))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "no pipeline")?;
    pipeline.by_name("file").ok_or("no source")?.set_property("location", path);
    let output = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().ok_or("no appsink")?;
    let _ = pipeline.set_state(gst::State::Paused);
    // Either the first frame is there, or an error.
    let (result, _, _) = pipeline.state(gst::ClockTime::NONE);
    let sample = result.is_ok().then(|| output.pull_preroll());
    // What has failed says why, if not in the same moment.
    let wait = if result.is_ok() { gst::ClockTime::ZERO } else { gst::ClockTime::SECOND };
    let told = messages(&pipeline, wait);
    pipeline.set_state(gst::State::Null)?;
    told?;
    let sample = sample.ok_or("no picture")??;
    Ok(sample.buffer().ok_or("no picture")?.map_readable()?.to_vec())
}

fn shifted(picture: &[u8], by: usize) -> Vec<u8> {
    let row = 4 * WIDTH as usize;
    let mut out = picture.to_vec();
    for line in out.chunks_exact_mut(row) {
        line.rotate_left(4 * by);
    }
    out
}
