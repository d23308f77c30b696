//! Frames in, in the order of their running times; bytes out.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::video_meta::VideoCodecAlphaMeta;

use super::imp::{CAT, WebmAlphaMux};
use super::streams;
use crate::sync::lock;
use crate::webm::writer::{Codec, Config, Frame, Mode, Piece, Tag, Track, TrackKind, Writer, opus_duration};

/// One pad and its track, which has the same index.
pub(super) struct Stream {
    pub pad: gst_base::AggregatorPad,
    /// Frames thrown away because no key frame has come yet; `None` once one has.
    before_key: Option<u64>,
    /// Whether it was said that only the colour has key frames.
    warned: bool,
}

pub(super) struct State {
    pub writer: Writer,
    pub streams: Vec<Stream>,
    /// Where the next bytes go.
    pub offset: u64,
}

/// What goes downstream.
pub(super) enum Out {
    /// Bytes that begin the file.
    Header(Vec<u8>),
    /// Bytes after those before.
    Piece(Piece),
    /// Bytes at a place.
    At(u64, Vec<u8>),
}

/// Which frame is next.
pub(super) enum Next {
    /// The head of a stream, with its time in nanoseconds.
    Frame(usize, u64),
    /// One that is not to be written: its buffer is to be taken away.
    Skip(usize),
    Need,
    End,
}

/// A frame's time from the start of the file; `None` when it lies before.
pub(super) fn running_time(
    pad: &gst_base::AggregatorPad,
    buffer: &gst::BufferRef,
) -> Result<Option<u64>, ()> {
    let time = buffer.pts().or(buffer.dts()).ok_or(())?;
    let segment = pad.segment();
    let segment = segment.downcast_ref::<gst::ClockTime>().ok_or(())?;
    Ok(match segment.to_running_time_full(time) {
        Some(gst::Signed::Positive(time)) => Some(time.nseconds()),
        _ => None,
    })
}

fn is_gap(buffer: &gst::BufferRef) -> bool {
    buffer.size() == 0 && buffer.flags().contains(gst::BufferFlags::GAP)
}

impl WebmAlphaMux {
    pub(super) fn pads(&self) -> Vec<gst_base::AggregatorPad> {
        let pads = self.obj().sink_pads().into_iter();
        let mut pads: Vec<_> =
            pads.filter_map(|pad| pad.downcast::<gst_base::AggregatorPad>().ok()).collect();
        // Video first, whatever was asked for first; the sort keeps the order within.
        pads.sort_by_key(|pad| !pad.name().starts_with("video"));
        pads
    }

    pub(super) fn refuse(&self, what: &str) -> gst::FlowError {
        *lock(&self.failed) = true;
        gst::element_imp_error!(self, gst::StreamError::Mux, ("cannot write WebM: {what}"));
        gst::FlowError::Error
    }

    /// All tags known by now, those of the application first.
    fn all_tags(&self, streams: &[Stream]) -> Vec<Tag> {
        let mut out = Vec::new();
        if let Some(list) = self.obj().upcast_ref::<gst::Element>().dynamic_cast_ref::<gst::TagSetter>()
            && let Some(list) = list.tag_list()
        {
            streams::add_tags(&mut out, &list, None);
        }
        let tags = lock(&self.tags);
        for (index, stream) in streams.iter().enumerate() {
            for (scope, track) in [(gst::TagScope::Global, None), (gst::TagScope::Stream, Some(index))] {
                if let Some(list) = tags.get(&(stream.pad.name().to_string(), scope)) {
                    streams::add_tags(&mut out, list, track);
                }
            }
        }
        out
    }

    /// Begins the file, once every stream has told what it is; `None` until then.
    pub(super) fn begin(&self) -> Result<Option<(State, Vec<Out>)>, gst::FlowError> {
        let mut streams = Vec::new();
        let mut tracks: Vec<Track> = Vec::new();
        for pad in self.pads() {
            let name = pad.name();
            let (Some(caps), Some(buffer)) = (pad.current_caps(), pad.peek_buffer()) else {
                if pad.is_eos() {
                    gst::warning!(CAT, imp = self, "{name} ended without a frame: left out");
                    continue;
                }
                return Ok(None);
            };
            if is_gap(&buffer) {
                // Only a frame tells whether there is alpha.
                pad.drop_buffer();
                return Ok(None);
            }
            let alpha = buffer.meta::<VideoCodecAlphaMeta>().is_some();
            let mut track =
                streams::track(&caps, alpha).map_err(|what| self.refuse(&format!("{name}: {what}")))?;
            if let Some(list) = lock(&self.tags).get(&(name.to_string(), gst::TagScope::Stream)) {
                track.language = streams::language(list);
            }
            let before_key = track.is_video().then_some(0);
            tracks.push(track);
            streams.push(Stream { pad, before_key, warned: false });
        }
        if streams.is_empty() {
            return Err(gst::FlowError::Eos);
        }
        let settings = lock(&self.settings).clone();
        let obj = self.obj();
        let mut query = gst::query::Seeking::new(gst::Format::Bytes);
        let seekable = !settings.streamable && obj.src_pad().peer_query(&mut query) && query.result().0;
        gst::info!(CAT, imp = self, "{} tracks, seekable: {seekable}", tracks.len());

        let mut config = Config {
            mode: if seekable { Mode::Seekable } else { Mode::Streamable },
            min_cluster: settings.min_cluster.mseconds(),
            max_cluster: settings.max_cluster.mseconds(),
            ..Config::default()
        };
        if let Some(app) = settings.writing_app {
            config.writing_app = app;
        }
        let only_audio = !tracks.iter().any(Track::is_video);
        let tags = self.all_tags(&streams);
        let (writer, header) =
            Writer::new(config, tracks, &tags).map_err(|error| self.refuse(&error.to_string()))?;

        let name = if only_audio { "audio/webm" } else { "video/webm" };
        let mut caps = gst::Caps::builder(name);
        if !seekable {
            // For those who join later.
            let mut start = gst::Buffer::from_slice(header.clone());
            if let Some(start) = start.get_mut() {
                start.set_flags(gst::BufferFlags::HEADER);
            }
            caps = caps.field("streamheader", gst::Array::new([start]));
        }
        obj.set_src_caps(&caps.build());
        if seekable {
            self.seek(0);
        } else {
            obj.update_segment(&gst::FormattedSegment::<gst::ClockTime>::new());
        }
        let state = State { writer, streams, offset: 0 };
        Ok(Some((state, vec![Out::Header(header)])))
    }

    /// Makes the next bytes go to `offset`.
    fn seek(&self, offset: u64) {
        let mut segment = gst::FormattedSegment::<gst::format::Bytes>::new();
        segment.set_start(gst::format::Bytes::from_u64(offset));
        segment.set_time(gst::format::Bytes::from_u64(offset));
        self.obj().update_segment(&segment);
    }

    /// Which stream has the earliest frame. On a timeout those that have none are passed over.
    pub(super) fn next(&self, state: &State, timeout: bool) -> Result<Next, gst::FlowError> {
        let mut best: Option<(usize, u64)> = None;
        let mut live = false;
        for (index, stream) in state.streams.iter().enumerate() {
            let Some(buffer) = stream.pad.peek_buffer() else {
                // A pad without a parent was released.
                if !stream.pad.is_eos() && stream.pad.parent().is_some() {
                    if !timeout {
                        return Ok(Next::Need);
                    }
                    live = true;
                }
                continue;
            };
            live = true;
            let track = &state.writer.tracks()[index];
            let header = !track.is_video() && buffer.flags().contains(gst::BufferFlags::HEADER);
            if is_gap(&buffer) || header || (buffer.size() == 0 && !track.is_video()) {
                return Ok(Next::Skip(index));
            }
            let time = running_time(&stream.pad, &buffer)
                .map_err(|()| self.refuse(&format!("{}: a frame has no time", stream.pad.name())))?;
            let Some(time) = time else {
                gst::debug!(CAT, obj = stream.pad, "a frame before the start is left out");
                return Ok(Next::Skip(index));
            };
            // GStreamer's times say when the first sample that counts is heard, Matroska's when the
            // first that is decoded would be if CodecDelay were heard too (RFC 9559 section
            // 5.1.4.1.25).
            let time = (time + track.codec_delay).saturating_sub(clipped(&buffer, track.codec).0);
            // On a tie the first stream, which is the video: its key frame begins the cluster.
            if best.is_none_or(|(_, earliest)| time < earliest) {
                best = Some((index, time));
            }
        }
        Ok(match best {
            Some((index, time)) => Next::Frame(index, time),
            None if live => Next::Need,
            None => Next::End,
        })
    }

    /// Writes one frame.
    pub(super) fn frame(
        &self,
        state: &mut State,
        index: usize,
        time: u64,
        buffer: &gst::BufferRef,
    ) -> Result<Option<Out>, gst::FlowError> {
        let track = &state.writer.tracks()[index];
        let codec = track.codec;
        let is_video = track.is_video();
        let stream = &mut state.streams[index];
        let name = stream.pad.name();
        let unreadable = |_| self.refuse(&format!("{name}: a frame cannot be read"));
        let map = buffer.map_readable().map_err(unreadable)?;
        let meta = buffer.meta::<VideoCodecAlphaMeta>();
        let alpha =
            meta.as_ref().map(|meta| meta.alpha_buffer().map_readable().map_err(unreadable)).transpose()?;
        let data: &[u8] = &map;
        if is_video && data.is_empty() {
            return Err(self.refuse(&format!("{name}: a frame is empty")));
        }
        let mut key = !is_video || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if key && is_video {
            let colour_key = codec.key_frame(data) != Some(false);
            let alpha_key = alpha.as_deref().is_none_or(|a| codec.key_frame(a) != Some(false));
            key = colour_key && alpha_key;
            if colour_key && !alpha_key && !stream.warned {
                stream.warned = true;
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Mux,
                    (
                        "{name}: the alpha has no key frame where the colour has one, at {}; players \
                         will not be able to seek there",
                        gst::ClockTime::from_nseconds(time)
                    )
                );
            }
        }
        if let Some(count) = stream.before_key {
            if !key {
                if count == 0 {
                    gst::warning!(CAT, imp = self, "{name} does not begin with a key frame: asking");
                    let ask = gst_video::UpstreamForceKeyUnitEvent::builder().build();
                    stream.pad.push_event(ask);
                }
                stream.before_key = Some(count + 1);
                return Ok(None);
            }
            if count > 0 {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Mux,
                    ("{name}: {count} frames before the first key frame were left out")
                );
            }
            stream.before_key = None;
        }
        let discard = clipped(buffer, codec).1;
        let frame = Frame {
            track: index,
            time,
            // Of what is coded, the sound to drop included.
            duration: (codec == Codec::Opus)
                .then(|| opus_duration(data))
                .flatten()
                .or(buffer.duration().map(gst::ClockTime::nseconds)),
            key,
            invisible: buffer.flags().contains(gst::BufferFlags::DECODE_ONLY),
            data,
            alpha: alpha.as_deref(),
            discard,
        };
        let last = state.writer.last_time(index);
        let frame = match last {
            // Encoders that wait for their input to settle start with a small step back.
            Some(last) if !is_video && time < last && last - time < 1_000_000_000 => {
                gst::warning!(CAT, imp = self, "{name}: a frame at {time} ns, after {last} ns");
                Frame { time: last, ..frame }
            }
            _ => frame,
        };
        let piece = state.writer.write(&frame);
        Ok(piece.map_err(|error| self.refuse(&format!("{name}: {error}")))?.map(Out::Piece))
    }

    /// Ends the file.
    pub(super) fn end(&self, state: &mut State) -> Vec<Out> {
        let tags = self.all_tags(&state.streams);
        let at = state.writer.position();
        let end = state.writer.finish(&tags);
        let mut out = Vec::new();
        let mut tail_at = at;
        if let Some(last) = end.last {
            tail_at += last.bytes.len() as u64;
            out.push(Out::Piece(last));
        }
        if !end.tail.is_empty() {
            out.push(Out::At(tail_at, end.tail));
        }
        out.extend(end.patches.into_iter().map(|patch| Out::At(patch.offset, patch.bytes)));
        gst::info!(CAT, imp = self, "file of {} bytes", state.writer.position());
        out
    }

    /// Sends bytes downstream, and keeps count of where they go.
    pub(super) fn send(&self, out: Vec<Out>) -> Result<(), gst::FlowError> {
        let obj = self.obj();
        for out in out {
            let mut offset = lock(&self.state).as_ref().map_or(0, |state| state.offset);
            let (bytes, time, flags) = match out {
                Out::Header(bytes) => (bytes, Some(0), gst::BufferFlags::HEADER),
                Out::Piece(piece) => {
                    let delta = gst::BufferFlags::DELTA_UNIT;
                    let flags = if piece.sync { gst::BufferFlags::empty() } else { delta };
                    (piece.bytes, Some(piece.time), flags)
                }
                Out::At(at, bytes) => {
                    if at != offset {
                        offset = at;
                        self.seek(at);
                    }
                    (bytes, None, gst::BufferFlags::DELTA_UNIT)
                }
            };
            let end = offset + bytes.len() as u64;
            let mut buffer = gst::Buffer::from_slice(bytes);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_offset(offset);
                buffer.set_offset_end(end);
                buffer.set_pts(time.map(gst::ClockTime::from_nseconds));
                buffer.set_flags(flags);
            }
            if let Some(state) = lock(&self.state).as_mut() {
                state.offset = end;
            }
            obj.finish_buffer(buffer)?;
        }
        Ok(())
    }

    /// Whether the file can go on with these caps; says what is wrong if not.
    pub(super) fn caps_fit(&self, pad: &gst_base::AggregatorPad, caps: &gst::CapsRef) -> Result<(), String> {
        let guard = lock(&self.state);
        let Some(state) = guard.as_ref() else { return Ok(()) };
        let Some(index) = state.streams.iter().position(|stream| stream.pad == *pad) else {
            return Ok(());
        };
        let old = &state.writer.tracks()[index];
        let mut new = streams::track(caps, old.alpha())?;
        new.language.clone_from(&old.language);
        if let (TrackKind::Video(old), TrackKind::Video(new)) = (&old.kind, &mut new.kind) {
            // A rate is a hint: each frame has its own time.
            new.frame_rate = old.frame_rate;
        }
        if new == *old {
            return Ok(());
        }
        Err(format!(
            "{} changed in the middle of the file, to {caps}; WebM says what a stream is once, at \
             the start. Convert the stream to one size and format before the encoder, or begin a \
             new file",
            pad.name()
        ))
    }
}

/// Sound to drop from the start and from the end of a frame, in nanoseconds.
fn clipped(buffer: &gst::BufferRef, codec: Codec) -> (u64, u64) {
    let Some(meta) = buffer.meta::<gst_audio::AudioClippingMeta>() else { return (0, 0) };
    if codec != Codec::Opus {
        return (0, 0);
    }
    let time = |value| match value {
        // Opus counts at 48 kHz.
        gst::GenericFormattedValue::Default(Some(samples)) => {
            ((*samples).saturating_mul(1_000_000_000) + 24_000) / 48_000
        }
        gst::GenericFormattedValue::Time(Some(time)) => time.nseconds(),
        _ => 0,
    };
    (time(meta.start()), time(meta.end()))
}
