//! What the decoders and the file say of the streams that are taken.

use crate::convert::color;
use crate::convert::fault::Fault;
use gst::prelude::*;

/// What the input is.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// As stored, in pixels.
    pub width: u32,
    pub height: u32,
    /// Width of a pixel over its height.
    pub pixel_aspect: f64,
    /// Frames a second; 0 if the file does not say.
    pub rate: f64,
    /// Frames are unevenly spaced; looked at only for formats that have trouble with it.
    pub uneven: bool,
    pub interlaced: bool,
    /// The picture has to be turned or mirrored to be seen as meant: so, as `videoflip` calls it.
    pub turned: Option<&'static str>,
    /// Turned by a quarter, so that width and height change places.
    pub quarter: bool,
    /// The transfer function is that of HDR: hybrid log-gamma or perceptual quantisation.
    pub hlg: bool,
    pub pq: bool,
    /// What the colorimetry is in limited range, where it is not.
    pub narrow: Option<String>,
    /// Channels of the sound; `None` without sound.
    pub channels: Option<u32>,
}

/// What the decoder says of its streams.
pub fn facts(video: &gst::Pad, audio: Option<&gst::Pad>) -> Result<Facts, Fault> {
    let caps = video.current_caps().ok_or_else(|| Fault::damaged("no frame of it can be decoded"))?;
    let info = gst_video::VideoInfo::from_caps(&caps)
        .map_err(|e| Fault::damaged(&format!("its video format is not known ({e})")))?;
    let fraction =
        |f: gst::Fraction| if f.denom() == 0 { 0.0 } else { f64::from(f.numer()) / f64::from(f.denom()) };
    let transfer = info.colorimetry().transfer();
    let turn =
        tags(video).get::<gst::tags::ImageOrientation>().map(|v| v.get().to_string()).unwrap_or_default();
    Ok(Facts {
        width: info.width(),
        height: info.height(),
        pixel_aspect: fraction(info.par()),
        rate: fraction(info.fps()),
        uneven: false,
        interlaced: info.is_interlaced(),
        turned: (!turn.is_empty() && turn != "rotate-0").then_some("auto"),
        quarter: turn.ends_with("90") || turn.ends_with("270"),
        hlg: transfer == gst_video::VideoTransferFunction::AribStdB67,
        pq: transfer == gst_video::VideoTransferFunction::Smpte2084,
        // Of HLG the numbers are taken for those of SDR.
        narrow: color::narrow(&info).filter(|_| transfer != gst_video::VideoTransferFunction::AribStdB67),
        channels: audio.map(|pad| {
            let caps = pad.current_caps();
            let channels = caps.as_ref().and_then(|c| c.structure(0)?.get::<i32>("channels").ok());
            channels.and_then(|n| u32::try_from(n).ok()).unwrap_or(2)
        }),
    })
}

/// What the file says of itself.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    pub container: Option<String>,
    pub video: Option<String>,
    pub audio: Option<String>,
    /// Of the video, in bits a second.
    pub bitrate: Option<u32>,
}

impl Tags {
    pub fn of(video: &gst::Pad, audio: Option<&gst::Pad>) -> Self {
        let (list, sound) = (tags(video), audio.map(tags));
        Self {
            container: list.get::<gst::tags::ContainerFormat>().map(|v| v.get().to_string()),
            video: list.get::<gst::tags::VideoCodec>().map(|v| v.get().to_string()),
            audio: sound.and_then(|l| l.get::<gst::tags::AudioCodec>().map(|v| v.get().to_string())),
            bitrate: list.get::<gst::tags::Bitrate>().map(|v| v.get()),
        }
    }
}

/// All tags that have come to a pad.
pub fn tags(pad: &gst::Pad) -> gst::TagList {
    let mut all = gst::TagList::new();
    pad.sticky_events_foreach(|event| {
        if let gst::EventView::Tag(tag) = event.view() {
            all.make_mut().insert(tag.tag(), gst::TagMergeMode::Replace);
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    all
}
