//! The file from its header to its cues.

use super::{Config, End, Error, Frame, MAX_CLUSTER, Mode, Patch, Piece, Tag, Track, ebml::*, to_ms};

/// Bytes of one Seek entry: every position takes eight bytes.
const SEEK_ENTRY: usize = 21;
/// Bytes kept for the seek head: Info, Tracks, Tags and Cues.
const SEEK_HEAD: usize = 5 + 4 * SEEK_ENTRY;
/// Bytes of the Duration element.
const DURATION: usize = 11;

/// Writes one file; see the module's words.
#[derive(Debug)]
pub struct Writer {
    config: Config,
    tracks: Vec<Track>,
    /// Index of the track whose key frames begin clusters: the first video, else the first.
    lead: usize,
    /// Bytes given out so far.
    position: u64,
    /// Where the segment's data starts.
    segment: u64,
    /// Position and size of the elements before the clusters, from the segment's data.
    info: u64,
    tracks_at: u64,
    tags_at: Option<(u64, u64)>,
    /// Where the Duration goes, from the start of the file.
    duration_at: u64,
    cluster: Option<Cluster>,
    cues: Vec<Cue>,
    /// End of the latest frame in nanoseconds.
    end: u64,
    /// Time of the last frame of each track in milliseconds.
    last: Vec<Option<u64>>,
    tags: Vec<Tag>,
}

/// The cluster being written.
#[derive(Debug)]
struct Cluster {
    /// Timestamp in milliseconds.
    time: u64,
    /// The same in nanoseconds, not rounded.
    time_ns: u64,
    /// Where it begins, from the segment's data.
    at: u64,
    /// Whether it begins with a key frame of the leading track.
    sync: bool,
    /// Bytes of its data so far.
    size: usize,
    /// Its data so far; empty when streamable, for there it is given out at once.
    data: Vec<u8>,
}

/// One entry of the index.
#[derive(Debug)]
struct Cue {
    time: u64,
    cluster: u64,
    relative: u64,
}

impl Writer {
    /// A writer and the header: everything before the first cluster.
    ///
    /// EBML header (RFC 8794 section 11.2), Segment with unknown size (RFC 9559 section 5.1),
    /// SeekHead, Info, Tracks, and Tags when there are any.
    pub fn new(config: Config, tracks: Vec<Track>, tags: &[Tag]) -> Result<(Self, Vec<u8>), Error> {
        if tracks.is_empty() {
            return Err(Error::NoTracks);
        }
        for (track, number) in tracks.iter().zip(1..) {
            track.check(number)?;
        }
        let mut writer = Self {
            lead: tracks.iter().position(Track::is_video).unwrap_or(0),
            last: vec![None; tracks.len()],
            config,
            tracks,
            position: 0,
            segment: 0,
            info: 0,
            tracks_at: 0,
            tags_at: None,
            duration_at: 0,
            cluster: None,
            cues: Vec::new(),
            end: 0,
            tags: tags.to_vec(),
        };
        let header = writer.header();
        writer.position = header.len() as u64;
        Ok((writer, header))
    }

    /// Bytes given out so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Time of a track's last frame in nanoseconds, to the millisecond.
    pub fn last_time(&self, track: usize) -> Option<u64> {
        self.last.get(track).copied().flatten().map(|time| time.saturating_mul(1_000_000))
    }

    /// The tracks, in the order of their numbers.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn seekable(&self) -> bool {
        self.config.mode == Mode::Seekable
    }

    fn header(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        put_master(&mut out, id::EBML, |out| {
            put_uint(out, id::EBML_VERSION, 1);
            put_uint(out, id::EBML_READ_VERSION, 1);
            put_uint(out, id::EBML_MAX_ID_LENGTH, 4);
            put_uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
            put_string(out, id::DOC_TYPE, "webm");
            // Version 4 has Colour, CodecDelay and SeekPreRoll; to read, SimpleBlock (2) is enough.
            put_uint(out, id::DOC_TYPE_VERSION, 4);
            put_uint(out, id::DOC_TYPE_READ_VERSION, 2);
        });
        put_id(&mut out, id::SEGMENT);
        out.extend(UNKNOWN_SIZE);
        self.segment = out.len() as u64;
        let segment = out.len();
        if self.seekable() {
            out.resize(segment + SEEK_HEAD, 0);
        }

        self.info = (out.len() - segment) as u64;
        self.put_info(&mut out);

        self.tracks_at = (out.len() - segment) as u64;
        put_master(&mut out, id::TRACKS, |out| {
            for (track, number) in self.tracks.iter().zip(1..) {
                track.put_entry(out, number);
            }
        });
        if !self.tags.is_empty() {
            let at = out.len();
            put_tags(&mut out, &self.tags);
            self.tags_at = Some(((at - segment) as u64, (out.len() - at) as u64));
        }
        if self.seekable() {
            let head = self.seek_head(self.tags_at.map(|(at, _)| at), None);
            out[segment..segment + SEEK_HEAD].copy_from_slice(&head);
        }
        out
    }

    /// Appends Info (RFC 9559 section 5.1.2). A Void keeps the place of the Duration.
    fn put_info(&mut self, out: &mut Vec<u8>) {
        let title = self.tags.iter().find(|tag| tag.track.is_none() && tag.name == "TITLE");
        let mut info = Vec::new();
        put_uint(&mut info, id::TIMESTAMP_SCALE, 1_000_000);
        let duration = info.len();
        if self.seekable() {
            put_void(&mut info, DURATION);
        }
        if let Some(title) = title {
            put_string(&mut info, id::TITLE, &title.value);
        }
        put_string(&mut info, id::MUXING_APP, &self.config.muxing_app);
        put_string(&mut info, id::WRITING_APP, &self.config.writing_app);
        let size = info.len();
        put_binary(out, id::INFO, &info);
        self.duration_at = (out.len() - size + duration) as u64;
    }

    /// The SeekHead (RFC 9559 section 5.1.1), and a Void for the entries that are not there.
    fn seek_head(&self, tags: Option<u64>, cues: Option<u64>) -> Vec<u8> {
        let entries = [
            (id::INFO, Some(self.info)),
            (id::TRACKS, Some(self.tracks_at)),
            (id::TAGS, tags),
            (id::CUES, cues),
        ];
        let mut out = Vec::with_capacity(SEEK_HEAD);
        put_master(&mut out, id::SEEK_HEAD, |out| {
            for (id, at) in entries {
                if let Some(at) = at {
                    put_master(out, id::SEEK, |out| {
                        put_binary(out, id::SEEK_ID, &id.to_be_bytes());
                        put_uint8(out, id::SEEK_POSITION, at);
                    });
                }
            }
        });
        let rest = SEEK_HEAD - out.len();
        put_void(&mut out, rest);
        out
    }

    /// Takes one frame; gives what there is to write now, if anything.
    ///
    /// Frames come in the order of their times over all tracks. Small steps back between tracks,
    /// as a live stream makes, are kept in the running cluster.
    pub fn write(&mut self, frame: &Frame) -> Result<Option<Piece>, Error> {
        let track = self.tracks.get(frame.track).ok_or(Error::NoSuchTrack(frame.track))?;
        let number = frame.track as u64 + 1;
        let time = to_ms(frame.time);
        if track.alpha() != frame.alpha.is_some() {
            return Err(Error::Alpha { number, time, has: frame.alpha.is_some() });
        }
        if frame.data.is_empty() || frame.alpha.is_some_and(<[u8]>::is_empty) {
            return Err(Error::Empty { number, time });
        }
        if let Some(limit) = self.last[frame.track].filter(|last| time < *last) {
            return Err(Error::WentBack { number, time, limit });
        }
        let duration = frame.duration.or(track.default_duration());
        let end = frame
            .time
            .saturating_add(duration.unwrap_or(0))
            .saturating_sub(frame.discard)
            .saturating_sub(track.codec_delay);
        let leads = frame.key && frame.track == self.lead;
        let is_video = track.is_video();

        let mut done = None;
        let begin = match &self.cluster {
            None => true,
            Some(cluster) => match time.checked_sub(cluster.time) {
                None => {
                    if cluster.time - time > 0x8000 {
                        let limit = cluster.time - 0x8000;
                        return Err(Error::WentBack { number, time, limit });
                    }
                    false
                }
                Some(length) => {
                    leads && is_video && length >= self.config.min_cluster
                        || length >= self.config.max_cluster.min(MAX_CLUSTER)
                        || cluster.size >= self.config.max_cluster_bytes
                }
            },
        };
        let mut streamed = Vec::new();
        if begin {
            done = self.close_cluster();
            streamed = self.open_cluster(time, frame.time, leads);
        }
        let Some(cluster) = &mut self.cluster else {
            // A cluster was opened just above.
            return Ok(done);
        };
        // Where nothing can be put at the end there is no end to wait for with them.
        if leads && (begin || is_video) && self.config.mode == Mode::Seekable {
            let relative = cluster.size as u64;
            self.cues.push(Cue { time, cluster: cluster.at, relative });
        }
        let relative = (time as i64 - cluster.time as i64) as i16;
        let reference = self.last[frame.track].map_or(0, |last| last as i64 - time as i64);
        let mut block = Vec::with_capacity(frame.data.len() + 64);
        put_frame(
            &mut block,
            frame,
            relative,
            (!frame.key).then_some(reference),
            duration.map(|duration| to_ms(frame.time.saturating_add(duration)) - time),
        );
        cluster.size += block.len();
        let piece = if self.config.mode == Mode::Streamable {
            streamed.extend(block);
            self.position += streamed.len() as u64;
            Some(Piece { bytes: streamed, time: frame.time, sync: begin && leads })
        } else {
            cluster.data.extend(block);
            done
        };
        self.end = self.end.max(end);
        self.last[frame.track] = Some(time);
        Ok(piece)
    }

    /// Begins a cluster (RFC 9559 section 5.1.3); when streamable, gives its first bytes.
    fn open_cluster(&mut self, time: u64, time_ns: u64, sync: bool) -> Vec<u8> {
        let mut data = Vec::new();
        put_uint(&mut data, id::TIMESTAMP, time);
        let size = data.len();
        let at = self.position - self.segment;
        let mut out = Vec::new();
        if self.config.mode == Mode::Streamable {
            put_id(&mut out, id::CLUSTER);
            out.extend(UNKNOWN_SIZE);
            out.append(&mut data);
        }
        self.cluster = Some(Cluster { time, time_ns, at, sync, size, data });
        out
    }

    /// Ends the cluster; gives it whole, with its size, unless it was given bit by bit.
    fn close_cluster(&mut self) -> Option<Piece> {
        let cluster = self.cluster.take()?;
        if self.config.mode == Mode::Streamable {
            return None;
        }
        let mut bytes = Vec::with_capacity(cluster.data.len() + 12);
        put_id(&mut bytes, id::CLUSTER);
        bytes.extend(size8(cluster.data.len() as u64));
        bytes.extend(cluster.data);
        self.position += bytes.len() as u64;
        Some(Piece { bytes, time: cluster.time_ns, sync: cluster.sync })
    }

    /// Ends the file; `tags` are those known by now, those given at the start included.
    ///
    /// Cues (RFC 9559 section 5.1.5) and Tags go at the end, if the tags changed; the Segment's
    /// size, the SeekHead and the Duration are patched. A stream ends as it is.
    pub fn finish(&mut self, tags: &[Tag]) -> End {
        let last = self.close_cluster();
        if !self.seekable() {
            return End { last, tail: Vec::new(), patches: Vec::new() };
        }
        let mut tail = Vec::new();
        let mut patches = Vec::new();
        let at = self.position - self.segment;
        let cues = (!self.cues.is_empty()).then_some(at);
        if cues.is_some() {
            self.put_cues(&mut tail);
        }
        let mut tags_at = self.tags_at.map(|(at, _)| at);
        if tags != self.tags && !tags.is_empty() {
            if let Some((at, size)) = self.tags_at {
                patches.push(Patch { offset: self.segment + at, bytes: void_start(size) });
            }
            tags_at = Some(at + tail.len() as u64);
            put_tags(&mut tail, tags);
        }
        let segment_end = self.position + tail.len() as u64;
        self.position = segment_end;
        patches.push(Patch { offset: self.segment - 8, bytes: size8(segment_end - self.segment).to_vec() });
        patches.push(Patch { offset: self.segment, bytes: self.seek_head(tags_at, cues) });
        let mut duration = Vec::with_capacity(DURATION);
        put_float(&mut duration, id::DURATION, self.end as f64 / 1e6);
        patches.push(Patch { offset: self.duration_at, bytes: duration });
        patches.sort_by_key(|patch| patch.offset);
        End { last, tail, patches }
    }

    /// Appends the Cues: one for each key frame of the leading track (RFC 9559 section 5.1.5.1).
    fn put_cues(&self, out: &mut Vec<u8>) {
        put_master(out, id::CUES, |out| {
            for cue in &self.cues {
                put_master(out, id::CUE_POINT, |out| {
                    put_uint(out, id::CUE_TIME, cue.time);
                    put_master(out, id::CUE_TRACK_POSITIONS, |out| {
                        put_uint(out, id::CUE_TRACK, self.lead as u64 + 1);
                        put_uint(out, id::CUE_CLUSTER_POSITION, cue.cluster);
                        put_uint(out, id::CUE_RELATIVE_POSITION, cue.relative);
                    });
                });
            }
        });
    }
}

/// Appends a frame: a SimpleBlock (RFC 9559 section 5.1.3.4), or a BlockGroup (5.1.3.5) when it has
/// alpha or sound to drop, which a SimpleBlock cannot say.
///
/// `reference` is the time of the frame before less this one's, in milliseconds, for a frame that
/// needs others (ReferenceBlock, 5.1.3.5.5); `duration` is in milliseconds (5.1.3.5.3).
fn put_frame(out: &mut Vec<u8>, frame: &Frame, relative: i16, reference: Option<i64>, duration: Option<u64>) {
    let number = frame.track as u64 + 1;
    if frame.alpha.is_none() && frame.discard == 0 {
        let flags = u8::from(frame.key) << 7 | u8::from(frame.invisible) << 3;
        put_block(out, id::SIMPLE_BLOCK, number, relative, flags, frame.data);
        return;
    }
    let flags = u8::from(frame.invisible) << 3;
    put_master(out, id::BLOCK_GROUP, |out| {
        put_block(out, id::BLOCK, number, relative, flags, frame.data);
        if let Some(alpha) = frame.alpha {
            put_master(out, id::BLOCK_ADDITIONS, |out| {
                put_master(out, id::BLOCK_MORE, |out| {
                    put_uint(out, id::BLOCK_ADD_ID, 1);
                    put_binary(out, id::BLOCK_ADDITIONAL, alpha);
                });
            });
        }
        if let Some(duration) = duration {
            put_uint(out, id::BLOCK_DURATION, duration);
        }
        if let Some(reference) = reference {
            put_int(out, id::REFERENCE_BLOCK, reference);
        }
        if frame.discard > 0 {
            let discard = i64::try_from(frame.discard).unwrap_or(i64::MAX);
            put_int(out, id::DISCARD_PADDING, discard);
        }
    });
}

/// Appends a Block or SimpleBlock: track number, time in the cluster, flags, frame, no lacing
/// (RFC 9559 section 10.1 and 10.2).
fn put_block(out: &mut Vec<u8>, id: u32, number: u64, relative: i16, flags: u8, data: &[u8]) {
    let mut start = Vec::with_capacity(12);
    put_size(&mut start, number);
    start.extend(relative.to_be_bytes());
    start.push(flags);
    put_id(out, id);
    put_size(out, (start.len() + data.len()) as u64);
    out.extend(start);
    out.extend_from_slice(data);
}

/// Appends Tags: one Tag for the file and one for each track that has any (RFC 9559 section 5.1.8).
fn put_tags(out: &mut Vec<u8>, tags: &[Tag]) {
    let mut targets: Vec<_> = tags.iter().map(|tag| tag.track).collect();
    targets.sort_unstable();
    targets.dedup();
    put_master(out, id::TAGS, |out| {
        for target in targets {
            put_master(out, id::TAG, |out| {
                put_master(out, id::TARGETS, |out| {
                    if let Some(track) = target {
                        put_uint(out, id::TAG_TRACK_UID, track as u64 + 1);
                    }
                });
                for tag in tags.iter().filter(|tag| tag.track == target) {
                    put_master(out, id::SIMPLE_TAG, |out| {
                        put_string(out, id::TAG_NAME, &tag.name);
                        put_string(out, id::TAG_STRING, &tag.value);
                    });
                }
            });
        }
    });
}
