//! What a file says of its colours, where GStreamer 1.22 hears or tells it wrongly.

use gst::prelude::*;
use gst_video::VideoTransferFunction as Transfer;
use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoInfo};
use gstbgremove::sync::lock;
use std::sync::{Arc, Mutex};

/// Lets H.264 and H.265 say themselves which range their samples have. qtdemux takes an MP4's box for the whole truth,
/// which knows no range, and the parser then believes the container: full range came out with too much contrast.
pub fn hear_range(decoder: &gst::Element) {
    let Some(bin) = decoder.downcast_ref::<gst::Bin>() else { return };
    bin.connect_deep_element_added(|_, _, element| {
        let name = element.factory().map(|f| f.name());
        if !matches!(name.as_deref(), Some("h264parse" | "h265parse")) {
            return;
        }
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
        let told: Arc<Mutex<Option<String>>> = Arc::default();
        let keep = Arc::clone(&told);
        rewrite_caps(&sink, move |caps| {
            let said = caps.structure(0)?.get::<String>("colorimetry").ok();
            let mut kept = lock(&keep);
            kept.clone_from(&said);
            said?;
            let mut caps = caps.copy();
            caps.get_mut()?.structure_mut(0)?.remove_field("colorimetry");
            Some(caps)
        });
        rewrite_caps(&src, move |caps| {
            let container = lock(&told).clone()?;
            let stream = caps.structure(0)?.get::<String>("colorimetry").ok();
            let colorimetry = both(&container, stream.as_deref());
            if stream.as_deref() == Some(colorimetry.as_str()) {
                return None;
            }
            let mut caps = caps.copy();
            caps.get_mut()?.structure_mut(0)?.set("colorimetry", colorimetry);
            Some(caps)
        });
    });
}

/// What container and stream say together: the range is the stream's, if it says one, and so is what the container
/// leaves open.
fn both(container: &str, stream: Option<&str>) -> String {
    let parse = |text: &str| text.parse::<VideoColorimetry>().ok();
    let (Some(outer), Some(inner)) = (parse(container), stream.and_then(parse)) else {
        return container.to_string();
    };
    let range = if inner.range() == VideoColorRange::Unknown { outer.range() } else { inner.range() };
    let matrix = if outer.matrix() == VideoColorMatrix::Unknown { inner.matrix() } else { outer.matrix() };
    let transfer = if outer.transfer() == Transfer::Unknown { inner.transfer() } else { outer.transfer() };
    let primaries = match outer.primaries() {
        VideoColorPrimaries::Unknown => inner.primaries(),
        known => known,
    };
    VideoColorimetry::new(range, matrix, transfer, primaries).to_string()
}

/// Puts other caps in the place of those that pass a pad.
fn rewrite_caps(pad: &gst::Pad, other: impl Fn(&gst::Caps) -> Option<gst::Caps> + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(caps) = other(&caps.caps_owned())
        {
            let event = gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build();
            info.data = Some(gst::PadProbeData::Event(event));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Completes what a decoder says of its colours, where videoconvert would guess wrongly.
pub fn complete(pad: &gst::Pad) {
    rewrite_caps(pad, |caps| {
        let info = VideoInfo::from_caps(caps).ok()?;
        let whole = completed(&info)?.to_string();
        let mut caps = caps.copy();
        caps.get_mut()?.structure_mut(0)?.set("colorimetry", whole);
        Some(caps)
    });
}

/// Grey pictures without a matrix (avdec_ffv1) get one: their grey would be taken for red. And Y'CbCr whose range nobody says
/// (avdec_dnxhd of 1.26) has the limited one, as players take it, and not the full one.
fn completed(info: &VideoInfo) -> Option<VideoColorimetry> {
    let c = info.colorimetry();
    let lacks_matrix = info.format_info().is_gray()
        && matches!(c.matrix(), VideoColorMatrix::Unknown | VideoColorMatrix::Rgb);
    let lacks_range = info.is_yuv() && c.range() == VideoColorRange::Unknown;
    let matrix = if lacks_matrix { VideoColorMatrix::Bt601 } else { c.matrix() };
    let range = if lacks_range { VideoColorRange::Range16_235 } else { c.range() };
    (lacks_matrix || lacks_range).then(|| VideoColorimetry::new(range, matrix, c.transfer(), c.primaries()))
}

/// The colorimetry of full-range YUV in limited range; none of what is so already, and of RGB.
pub fn narrow(info: &VideoInfo) -> Option<String> {
    let c = info.colorimetry();
    (info.is_yuv() && c.range() == VideoColorRange::Range0_255).then(|| {
        VideoColorimetry::new(VideoColorRange::Range16_235, c.matrix(), c.transfer(), c.primaries())
            .to_string()
    })
}

/// Writes into encoded frames what colours their samples are, where the encoder of 1.22 leaves it unspecified and readers
/// believe the frame before the container: all of it into ProRes, BT.2020 into VP9.
pub fn tell(encoder: &gst::Element) {
    let name = encoder.factory().map(|f| f.name()).unwrap_or_default();
    let prores = match name.as_str() {
        "avenc_prores_ks" => true,
        "vp9enc" | "vp9alphaenc" => false,
        _ => return,
    };
    let (Some(sink), Some(src)) = (encoder.static_pad("sink"), encoder.static_pad("src")) else { return };
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let colorimetry = sink
            .current_caps()
            .and_then(|caps| VideoInfo::from_caps(&caps).ok())
            .map(|info| info.colorimetry());
        let wanted = colorimetry.filter(|c| prores || c.matrix() == VideoColorMatrix::Bt2020);
        if let (Some(c), Some(buffer)) = (wanted, info.buffer_mut())
            && let Ok(mut map) = buffer.make_mut().map_writable()
        {
            match prores {
                true => {
                    tag_prores(&mut map, [c.primaries().to_iso(), c.transfer().to_iso(), c.matrix().to_iso()])
                }
                false => tag_vp9(&mut map),
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// BT.2020 in a key frame of VP9's profile 0 that says no colour space (VP9 Bitstream & Decoding Process Specification
/// 0.6, 6.2 and 7.2.2).
fn tag_vp9(frame: &mut [u8]) {
    const BT2020: u8 = 5;
    // Marker 2, profile 0, no repetition, a key frame; then the sync code; then three bits of colour space.
    let key = frame.first().is_some_and(|b| b & 0b1111_1100 == 0b1000_0000);
    if key && frame.get(1..4) == Some(&[0x49, 0x83, 0x42]) && frame.get(4).is_some_and(|b| b >> 5 == 0) {
        frame[4] |= BT2020 << 5;
    }
}

/// The three bytes of a ProRes frame that hold primaries, transfer and matrix (SMPTE RDD 36, 5.1.1); codes that do not
/// fit leave it as it is.
fn tag_prores(frame: &mut [u8], codes: [u32; 3]) {
    // Size and 'icpf' of the frame; then of its header size, version, encoder, width, height, flags, aspect and rate.
    const AT: usize = 8 + 14;
    let header = frame.get(8..10).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    if frame.get(4..8) != Some(b"icpf") || header < 17 {
        return;
    }
    for (to, code) in frame.iter_mut().skip(AT).zip(codes) {
        *to = u8::try_from(code).unwrap_or(*to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_the_streams_and_the_rest_the_containers() {
        gst::init().unwrap();
        assert_eq!(both("bt709", None), "bt709");
        assert_eq!(both("bt709", Some("1:3:5:1")), "1:3:5:1");
        assert_eq!(both("bt601", Some("1:0:0:0")), both("1:4:16:4", None));
        assert_eq!(both("nonsense", Some("bt709")), "nonsense");
    }

    #[test]
    fn only_key_frames_of_vp9_without_a_colour_space_are_tagged() {
        let tagged = |mut frame: Vec<u8>| {
            tag_vp9(&mut frame);
            frame
        };
        assert_eq!(tagged(vec![0x82, 0x49, 0x83, 0x42, 0x00, 1]), [0x82, 0x49, 0x83, 0x42, 0xa0, 1]);
        for left in [vec![], vec![0x82, 0x49, 0x83, 0x42], vec![0x86; 9], vec![0x82, 0x49, 0x83, 0x42, 0x40]]
        {
            assert_eq!(tagged(left.clone()), left);
        }
    }

    #[test]
    fn what_a_decoder_leaves_open_is_what_players_take() {
        let after = |format: &str, colorimetry: &str| {
            gst::init().unwrap();
            let caps = gst::Caps::builder("video/x-raw")
                .field("format", format)
                .field("width", 64)
                .field("height", 64);
            let caps = caps.field("colorimetry", colorimetry).build();
            completed(&VideoInfo::from_caps(&caps).unwrap()).map(|c| c.to_string())
        };
        assert_eq!(after("Y42B", "0:3:0:0").as_deref(), Some("2:3:0:0"));
        assert_eq!(after("Y42B", "1:3:0:0"), None);
        assert_eq!(after("I420", "bt709"), None);
        assert_eq!(after("RGB", "0:1:0:0"), None);
        assert_eq!(after("GRAY8", "1:0:0:0").as_deref(), Some("1:4:0:0"));
    }

    #[test]
    fn only_frames_are_tagged() {
        let mut frame = vec![0u8; 64];
        tag_prores(&mut frame, [1, 1, 1]);
        assert!(frame.iter().all(|b| *b == 0));
        frame[4..8].copy_from_slice(b"icpf");
        frame[9] = 148;
        tag_prores(&mut frame, [9, 14, 9]);
        assert_eq!(frame[21..26], [0, 9, 14, 9, 0]);
        tag_prores(&mut frame[..23], [1, 1, 1]);
        tag_prores(&mut [], [1, 1, 1]);
    }
}
