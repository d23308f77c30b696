//! Takes A420 apart into two I420 streams without copying: the colour, and the alpha as luma.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::VideoColorimetry;

use super::key_frames::{KeyFrames, Request};
use crate::sync::lock;
use crate::video;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("alphaencsplit", gst::DebugColorFlags::empty(), Some("A420 to colour and alpha"))
});

/// Everything that the caps and the segment decide.
struct State {
    info: gst_video::VideoInfo,
    /// Grey chroma for every alpha frame, read by both its chroma planes.
    chroma: gst::Memory,
    chroma_stride: usize,
    /// Frames since the last key frame; `None` before the first.
    since_key: Option<u32>,
}

pub(crate) struct Split {
    sink: gst::Pad,
    colour: gst::Pad,
    alpha: gst::Pad,
    keys: Mutex<Arc<KeyFrames>>,
    segment: Mutex<Option<gst::FormattedSegment<gst::ClockTime>>>,
    state: Mutex<Option<State>>,
}

impl Split {
    pub(super) fn set_keys(&self, keys: Arc<KeyFrames>) {
        *lock(&self.keys) = keys;
    }

    fn set_caps(&self, caps: &gst::CapsRef, seqnum: gst::Seqnum) -> bool {
        let info = match gst_video::VideoInfo::from_caps(caps) {
            Ok(info) if info.format() == gst_video::VideoFormat::A420 => info,
            _ => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("the alpha encoder takes A420, not {caps}; put videoconvert before it")
                );
                return false;
            }
        };
        // Rows of 16 bytes suit every vector unit.
        let stride = (info.width() as usize).div_ceil(2).next_multiple_of(16);
        let rows = (info.height() as usize).div_ceil(2);
        let chroma = gst::Memory::from_slice(vec![128u8; stride * rows]);

        let mut i420 = caps.to_owned();
        i420.make_mut().set("format", gst_video::VideoFormat::I420.to_str());
        i420.make_mut().set("colorimetry", completed(info.colorimetry()).to_string());
        *lock(&self.state) = Some(State { info, chroma, chroma_stride: stride, since_key: None });
        let event = gst::event::Caps::builder(&i420).seqnum(seqnum).build();
        let alpha = self.alpha.push_event(event.clone());
        self.colour.push_event(event) && alpha
    }

    /// The colour and the alpha of a frame, each as an I420 buffer over the same memory.
    fn split(state: &State, buffer: &gst::Buffer) -> Result<(gst::Buffer, gst::Buffer), String> {
        let (width, height) = (state.info.width(), state.info.height());
        let (offsets, strides): (Vec<usize>, Vec<i32>) = match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => (meta.offset().to_vec(), meta.stride().to_vec()),
            None => (state.info.offset().to_vec(), state.info.stride().to_vec()),
        };
        if offsets.len() != 4 || strides.len() != 4 {
            return Err(format!("the buffer has {} planes, A420 has 4", offsets.len()));
        }
        let flags =
            gst::BufferCopyFlags::MEMORY | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS;
        let failed = |error: glib::BoolError| format!("the frame cannot be shared: {error}");
        let none = gst_video::VideoFrameFlags::empty();
        let i420 = gst_video::VideoFormat::I420;
        // The encoders map each plane of what they get by its first byte: it has to lie in one piece.
        let joined = match buffer.n_memory() {
            0 | 1 => None,
            _ => {
                let mut one = buffer.copy_region(flags | gst::BufferCopyFlags::MERGE, ..).map_err(failed)?;
                // What a meta says of the memory does not come along by itself.
                if let Some(meta) = buffer.meta::<gst_video::VideoMeta>() {
                    let (format, w, h) = (meta.format(), meta.width(), meta.height());
                    gst_video::VideoMeta::add_full(one.make_mut(), none, format, w, h, &offsets, &strides)
                        .map_err(failed)?;
                }
                Some(one)
            }
        };
        let buffer = joined.as_ref().unwrap_or(buffer);
        if video::view(buffer, &state.info, |_| ()).is_none() {
            return Err(format!(
                "the buffer holds {} bytes, which is less than its caps and its meta say, or is stored upside down",
                buffer.size()
            ));
        }

        let mut colour = buffer.copy_region(flags, ..).map_err(failed)?;
        let view = colour.make_mut();
        gst_video::VideoMeta::add_full(view, none, i420, width, height, &offsets[..3], &strides[..3])
            .map_err(failed)?;

        let start = offsets[3];
        let size = strides[3] as usize * (height as usize - 1) + width as usize;
        let mut alpha = buffer.copy_region(flags, start..start + size).map_err(failed)?;
        let view = alpha.make_mut();
        // A part of a buffer has no times of its own.
        view.set_pts(buffer.pts());
        view.set_dts(buffer.dts());
        view.set_duration(buffer.duration());
        view.append_memory(state.chroma.clone());
        let chroma = state.chroma_stride as i32;
        let strides = [strides[3], chroma, chroma];
        gst_video::VideoMeta::add_full(view, none, i420, width, height, &[0, size, size], &strides)
            .map_err(failed)?;
        Ok((colour, alpha))
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let running_time =
            lock(&self.segment).as_ref().and_then(|segment| segment.to_running_time(buffer.pts()));
        let (parts, key) = {
            let mut guard = lock(&self.state);
            let state = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let key = lock(&self.keys).due(running_time, state.since_key);
            state.since_key = match key {
                Some(_) => Some(1),
                None => state.since_key.map(|since| since.saturating_add(1)),
            };
            (Self::split(state, &buffer), key)
        };
        let (colour, alpha) = parts.map_err(|what| {
            gst::element_imp_error!(self, gst::StreamError::Format, ("A420 frame: {what}"));
            gst::FlowError::Error
        })?;
        if let Some(Request { all_headers, count, seqnum, .. }) = key {
            gst::log!(CAT, imp = self, "key frame at {}", running_time.display());
            // Without a running time: the next frame, whatever its time.
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .all_headers(all_headers)
                .count(count)
                .seqnum_if_some(seqnum)
                .build();
            self.alpha.push_event(event.clone());
            self.colour.push_event(event);
        }
        // Alpha first: behind it is a queue, so that both encoders work at once.
        self.alpha.push(alpha)?;
        self.colour.push(colour)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        lock(&self.keys).numbers.comes(&event);
        match event.view() {
            gst::EventView::Caps(caps) => return self.set_caps(caps.caps(), event.seqnum()),
            gst::EventView::Segment(segment) => {
                let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ("the alpha encoder needs frames with times; the segment has none")
                    );
                    return false;
                };
                *lock(&self.segment) = Some(segment.clone());
            }
            gst::EventView::FlushStop(_) => {
                *lock(&self.segment) = None;
                lock(&self.keys).clear();
                if let Some(state) = lock(&self.state).as_mut() {
                    state.since_key = None;
                }
            }
            gst::EventView::CustomDownstream(_) => {
                if let Ok(wish) = gst_video::DownstreamForceKeyUnitEvent::parse(&event) {
                    lock(&self.keys).request(Request {
                        running_time: wish.running_time,
                        all_headers: wish.all_headers,
                        count: wish.count,
                        seqnum: Some(event.seqnum()),
                    });
                    return true;
                }
            }
            _ => {}
        }
        if event.type_() == gst::EventType::FlushStart {
            // The queue before the alpha encoder waits for its thread, and that may wait for
            // downstream, which the event sets free by way of the colour.
            let colour = self.colour.push_event(event.clone());
            return self.alpha.push_event(event) && colour;
        }
        let alpha = self.alpha.push_event(event.clone());
        self.colour.push_event(event) && alpha
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Allocation(allocation) => {
                // Strides and offsets may be anything.
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                true
            }
            gst::QueryViewMut::Caps(caps) => {
                // What the colour encoder, and those after it, can take, but as A420.
                let mut can = self.colour.peer_query_caps(None);
                for structure in can.make_mut().iter_mut() {
                    structure.set("format", gst_video::VideoFormat::A420.to_str());
                }
                let mut can = can.intersect(&self.sink.pad_template_caps());
                if let Some(filter) = caps.filter() {
                    can = filter.intersect_with_mode(&can, gst::CapsIntersectMode::First);
                }
                caps.set_result(&can);
                true
            }
            gst::QueryViewMut::AcceptCaps(accept) => {
                let template = self.sink.pad_template_caps();
                let accepts = template.can_intersect(&accept.caps_owned());
                accept.set_result(accepts);
                true
            }
            _ => self.colour.peer_query(query),
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Split {
    const NAME: &'static str = "GstBgAlphaEncSplit";
    type Type = super::Split;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("made in pad_templates()");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(query))
            })
            .build();
        let src = |name| gst::Pad::builder_from_template(&template(name));
        let colour = src("colour")
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink.push_event(event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| match query.view() {
                        gst::QueryView::Caps(_) | gst::QueryView::AcceptCaps(_) => {
                            gst::Pad::query_default(pad, Some(&*this.obj()), query)
                        }
                        _ => this.sink.peer_query(query),
                    },
                )
            })
            .build();
        // What the alpha encoder asks for, the colour encoder asks for too.
        let alpha = src("alpha").event_function(|_, _, _| true).build();
        Self {
            sink,
            colour,
            alpha,
            keys: Mutex::default(),
            segment: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for Split {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [&self.sink, &self.colour, &self.alpha] {
            if obj.add_pad(pad).is_err() {
                gst::error!(CAT, imp = self, "pad {} is there already", pad.name());
            }
        }
    }
}

impl GstObjectImpl for Split {}

impl ElementImpl for Split {
    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = |format| gst_video::VideoCapsBuilder::new().format(format).build();
            let make = |name, direction, format| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps(format))
            };
            let (a420, i420) = (gst_video::VideoFormat::A420, gst_video::VideoFormat::I420);
            [
                make("sink", gst::PadDirection::Sink, a420),
                make("colour", gst::PadDirection::Src, i420),
                make("alpha", gst::PadDirection::Src, i420),
            ]
            .into_iter()
            .filter_map(Result::ok)
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let result = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.state) = None;
            *lock(&self.segment) = None;
            lock(&self.keys).clear();
        }
        Ok(result)
    }
}

/// What of a colorimetry is not known, as it goes with its matrix. The encoders write a matrix only where they know all of
/// it, and players take BT.601 where none is written.
fn completed(colorimetry: VideoColorimetry) -> VideoColorimetry {
    use gst_video::{
        VideoColorMatrix as Matrix, VideoColorPrimaries as Primaries, VideoTransferFunction as Transfer,
    };
    let matrix = colorimetry.matrix();
    let (transfer, primaries) = match matrix {
        Matrix::Bt709 => (Transfer::Bt709, Primaries::Bt709),
        Matrix::Bt601 => (Transfer::Bt601, Primaries::Smpte170m),
        Matrix::Bt2020 => (Transfer::Bt202012, Primaries::Bt2020),
        _ => return colorimetry,
    };
    VideoColorimetry::new(
        colorimetry.range(),
        matrix,
        Some(colorimetry.transfer()).filter(|t| *t != Transfer::Unknown).unwrap_or(transfer),
        Some(colorimetry.primaries()).filter(|p| *p != Primaries::Unknown).unwrap_or(primaries),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_matrix_goes_with_is_filled_in_and_what_is_known_stays() {
        gst::init().unwrap();
        for (given, want) in [
            ("2:3:0:0", "bt709"),
            ("1:3:0:0", "1:3:5:1"),
            ("2:4:0:0", "bt601"),
            ("2:6:0:0", "bt2020"),
            ("2:3:7:0", "2:3:7:1"),
            ("2:3:0:4", "2:3:5:4"),
            ("2:0:0:0", "2:0:0:0"),
            ("sRGB", "sRGB"),
        ] {
            let [given, want] = [given, want].map(|c| c.parse::<VideoColorimetry>().unwrap());
            assert!(completed(given) == want, "{given}: {}, not {want}", completed(given));
        }
    }
}
