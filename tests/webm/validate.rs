//! A reader of its own for WebM files: walks a whole file and refuses whatever breaks the rules.
//!
//! It shares nothing with the writer. Every element must be in the table, in its parent, as often
//! as RFC 9559 allows; sizes must add up; the seek head, cues and cluster times must be true.

#![allow(dead_code)]

/// A type of value (RFC 8794 section 7).
#[derive(Clone, Copy, PartialEq, Debug)]
enum T {
    Master,
    Uint,
    Int,
    Float,
    Str,
    Bin,
}
use T::*;

/// Id, name, parent (0 is the top), type, least and most times in the parent.
type Row = (u32, &'static str, u32, T, usize, usize);

const MANY: usize = usize::MAX;
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (0x1A45DFA3, "EBML", 0, Master, 1, 1),
    (0x4286, "EBMLVersion", 0x1A45DFA3, Uint, 1, 1),
    (0x42F7, "EBMLReadVersion", 0x1A45DFA3, Uint, 1, 1),
    (0x42F2, "EBMLMaxIDLength", 0x1A45DFA3, Uint, 1, 1),
    (0x42F3, "EBMLMaxSizeLength", 0x1A45DFA3, Uint, 1, 1),
    (0x4282, "DocType", 0x1A45DFA3, Str, 1, 1),
    (0x4287, "DocTypeVersion", 0x1A45DFA3, Uint, 1, 1),
    (0x4285, "DocTypeReadVersion", 0x1A45DFA3, Uint, 1, 1),
    (0x18538067, "Segment", 0, Master, 1, 1),
    (0x114D9B74, "SeekHead", 0x18538067, Master, 0, 2),
    (0x4DBB, "Seek", 0x114D9B74, Master, 1, MANY),
    (0x53AB, "SeekID", 0x4DBB, Bin, 1, 1),
    (0x53AC, "SeekPosition", 0x4DBB, Uint, 1, 1),
    (0x1549A966, "Info", 0x18538067, Master, 1, 1),
    (0x2AD7B1, "TimestampScale", 0x1549A966, Uint, 1, 1),
    (0x4489, "Duration", 0x1549A966, Float, 0, 1),
    (0x7BA9, "Title", 0x1549A966, Str, 0, 1),
    (0x4D80, "MuxingApp", 0x1549A966, Str, 1, 1),
    (0x5741, "WritingApp", 0x1549A966, Str, 1, 1),
    (0x1654AE6B, "Tracks", 0x18538067, Master, 1, 1),
    (0xAE, "TrackEntry", 0x1654AE6B, Master, 1, MANY),
    (0xD7, "TrackNumber", 0xAE, Uint, 1, 1),
    (0x73C5, "TrackUID", 0xAE, Uint, 1, 1),
    (0x83, "TrackType", 0xAE, Uint, 1, 1),
    (0x9C, "FlagLacing", 0xAE, Uint, 1, 1),
    (0x23E383, "DefaultDuration", 0xAE, Uint, 0, 1),
    (0x55EE, "MaxBlockAdditionID", 0xAE, Uint, 0, 1),
    (0x536E, "Name", 0xAE, Str, 0, 1),
    (0x22B59C, "Language", 0xAE, Str, 0, 1),
    (0x86, "CodecID", 0xAE, Str, 1, 1),
    (0x63A2, "CodecPrivate", 0xAE, Bin, 0, 1),
    (0x56AA, "CodecDelay", 0xAE, Uint, 0, 1),
    (0x56BB, "SeekPreRoll", 0xAE, Uint, 0, 1),
    (0xE0, "Video", 0xAE, Master, 0, 1),
    (0x9A, "FlagInterlaced", 0xE0, Uint, 0, 1),
    (0x53C0, "AlphaMode", 0xE0, Uint, 0, 1),
    (0xB0, "PixelWidth", 0xE0, Uint, 1, 1),
    (0xBA, "PixelHeight", 0xE0, Uint, 1, 1),
    (0x54AA, "PixelCropBottom", 0xE0, Uint, 0, 1),
    (0x54BB, "PixelCropTop", 0xE0, Uint, 0, 1),
    (0x54CC, "PixelCropLeft", 0xE0, Uint, 0, 1),
    (0x54DD, "PixelCropRight", 0xE0, Uint, 0, 1),
    (0x54B0, "DisplayWidth", 0xE0, Uint, 0, 1),
    (0x54BA, "DisplayHeight", 0xE0, Uint, 0, 1),
    (0x55B0, "Colour", 0xE0, Master, 0, 1),
    (0x55B1, "MatrixCoefficients", 0x55B0, Uint, 0, 1),
    (0x55B9, "Range", 0x55B0, Uint, 0, 1),
    (0x55BA, "TransferCharacteristics", 0x55B0, Uint, 0, 1),
    (0x55BB, "Primaries", 0x55B0, Uint, 0, 1),
    (0xE1, "Audio", 0xAE, Master, 0, 1),
    (0xB5, "SamplingFrequency", 0xE1, Float, 1, 1),
    (0x9F, "Channels", 0xE1, Uint, 1, 1),
    (0x1F43B675, "Cluster", 0x18538067, Master, 0, MANY),
    (0xE7, "Timestamp", 0x1F43B675, Uint, 1, 1),
    (0xA3, "SimpleBlock", 0x1F43B675, Bin, 0, MANY),
    (0xA0, "BlockGroup", 0x1F43B675, Master, 0, MANY),
    (0xA1, "Block", 0xA0, Bin, 1, 1),
    (0x75A1, "BlockAdditions", 0xA0, Master, 0, 1),
    (0xA6, "BlockMore", 0x75A1, Master, 1, MANY),
    (0xEE, "BlockAddID", 0xA6, Uint, 1, 1),
    (0xA5, "BlockAdditional", 0xA6, Bin, 1, 1),
    (0x9B, "BlockDuration", 0xA0, Uint, 0, 1),
    (0xFB, "ReferenceBlock", 0xA0, Int, 0, MANY),
    (0x75A2, "DiscardPadding", 0xA0, Int, 0, 1),
    (0x1C53BB6B, "Cues", 0x18538067, Master, 0, 1),
    (0xBB, "CuePoint", 0x1C53BB6B, Master, 1, MANY),
    (0xB3, "CueTime", 0xBB, Uint, 1, 1),
    (0xB7, "CueTrackPositions", 0xBB, Master, 1, MANY),
    (0xF7, "CueTrack", 0xB7, Uint, 1, 1),
    (0xF1, "CueClusterPosition", 0xB7, Uint, 1, 1),
    (0xF0, "CueRelativePosition", 0xB7, Uint, 0, 1),
    (0x1254C367, "Tags", 0x18538067, Master, 0, MANY),
    (0x7373, "Tag", 0x1254C367, Master, 1, MANY),
    (0x63C0, "Targets", 0x7373, Master, 1, 1),
    (0x63C5, "TagTrackUID", 0x63C0, Uint, 0, MANY),
    (0x67C8, "SimpleTag", 0x7373, Master, 1, MANY),
    (0x45A3, "TagName", 0x67C8, Str, 1, 1),
    (0x4487, "TagString", 0x67C8, Str, 0, 1),
];
const VOID: u32 = 0xEC;
const SEGMENT: u32 = 0x18538067;
const CLUSTER: u32 = 0x1F43B675;

/// One element and what is in it.
#[derive(Debug, Clone)]
pub struct Element {
    pub name: &'static str,
    pub id: u32,
    /// Where its id starts, and where its data starts, in bytes from the start of the file.
    pub start: usize,
    pub data_start: usize,
    pub end: usize,
    pub unknown_size: bool,
    pub data: Vec<u8>,
    pub children: Vec<Element>,
}

impl Element {
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
    pub fn get(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
    pub fn uint(&self) -> u64 {
        self.data.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
    pub fn int(&self) -> i64 {
        let first = if self.data.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
        self.data.iter().fold(first, |value, byte| value << 8 | i64::from(*byte))
    }
    pub fn float(&self) -> f64 {
        match self.data.as_slice() {
            [] => 0.0,
            data if data.len() == 4 => f32::from_be_bytes(data.try_into().unwrap()).into(),
            data => f64::from_be_bytes(data.try_into().unwrap()),
        }
    }
    pub fn text(&self) -> String {
        String::from_utf8(self.data.clone()).unwrap()
    }
    pub fn uint_of(&self, name: &str) -> Option<u64> {
        self.get(name).map(Element::uint)
    }
}

#[derive(Debug, Clone)]
pub struct Track {
    pub number: u64,
    pub codec: String,
    pub video: bool,
    pub alpha: bool,
    pub entry: Element,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub track: u64,
    /// Milliseconds.
    pub time: i64,
    pub key: bool,
    pub duration: Option<u64>,
    pub discard: i64,
    pub data: Vec<u8>,
    pub alpha: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct Cluster {
    pub time: u64,
    pub start: usize,
    pub unknown_size: bool,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
pub struct File {
    pub segment: Element,
    /// Milliseconds.
    pub duration: Option<f64>,
    pub tracks: Vec<Track>,
    pub clusters: Vec<Cluster>,
    /// Milliseconds.
    pub cues: Vec<u64>,
    /// Track UID (0 for the file), name, value.
    pub tags: Vec<(u64, String, String)>,
    /// Whether the file ends within a cluster.
    pub cut: bool,
}

impl File {
    pub fn blocks(&self, track: u64) -> Vec<&Block> {
        let all = self.clusters.iter().flat_map(|cluster| &cluster.blocks);
        all.filter(|block| block.track == track).collect()
    }
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.0 == 0 && tag.1 == name).map(|tag| tag.2.as_str())
    }
}

/// What kind of file to expect.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expect {
    /// Finished on a sink that can seek: known sizes, seek head, cues and duration.
    Finished,
    /// Written to a pipe: unknown sizes, no cues.
    Stream,
    /// Cut short: the last cluster may be broken off.
    Cut,
}

/// Walks the file; the error says where and which rule.
pub fn validate(bytes: &[u8], expect: Expect) -> Result<File, String> {
    let mut reader = Reader { bytes, cut: false, may_be_cut: expect == Expect::Cut };
    let top = reader.children(0, 0, bytes.len())?;
    let [header, segment] = top.as_slice() else {
        return Err(format!("{} top elements instead of EBML and Segment", top.len()));
    };
    if header.name != "EBML" || segment.name != "Segment" {
        return Err("the file does not start with EBML, then Segment".into());
    }
    let text = header.get("DocType").map(Element::text);
    if text.as_deref() != Some("webm") {
        return Err(format!("DocType is {text:?}"));
    }
    let finished = expect == Expect::Finished;
    if segment.unknown_size == finished {
        return Err(format!("{expect:?}, but segment size unknown is {}", segment.unknown_size));
    }
    let info = segment.get("Info").ok_or("no Info")?;
    if info.uint_of("TimestampScale") != Some(1_000_000) {
        return Err("TimestampScale is not 1 ms".into());
    }
    let duration = info.get("Duration").map(Element::float);
    if duration.is_some() != finished {
        return Err(format!("{expect:?}, but Duration is {duration:?}"));
    }
    check_seek_head(segment, finished)?;
    let tracks = tracks(segment)?;
    let clusters = clusters(segment, &tracks, expect)?;
    let cues = cues(segment, &tracks, &clusters, finished)?;
    let mut tags = Vec::new();
    for tag in segment.all("Tags").flat_map(|tags| tags.all("Tag")) {
        let uid = tag.get("Targets").and_then(|targets| targets.uint_of("TagTrackUID"));
        for simple in tag.all("SimpleTag") {
            let value = simple.get("TagString").map(Element::text).unwrap_or_default();
            tags.push((uid.unwrap_or(0), simple.get("TagName").unwrap().text(), value));
        }
    }
    if let (Some(duration), true) = (duration, finished) {
        let last = clusters.iter().flat_map(|c| &c.blocks).map(|b| b.time).max().unwrap_or(0);
        if duration + 100.0 < last as f64 || duration > last as f64 + 10_000.0 {
            return Err(format!("Duration {duration} does not go with last block at {last} ms"));
        }
    }
    let segment = segment.clone();
    Ok(File { segment, duration, tracks, clusters, cues, tags, cut: reader.cut })
}

fn tracks(segment: &Element) -> Result<Vec<Track>, String> {
    let mut out: Vec<Track> = Vec::new();
    for entry in segment.get("Tracks").ok_or("no Tracks")?.all("TrackEntry") {
        let number = entry.uint_of("TrackNumber").unwrap_or(0);
        let codec = entry.get("CodecID").map(Element::text).unwrap_or_default();
        let video = entry.uint_of("TrackType") == Some(1);
        if number == 0 || entry.uint_of("TrackUID") == Some(0) {
            return Err("a track with number or UID 0".into());
        }
        if out.iter().any(|track| track.number == number) {
            return Err(format!("track {number} twice"));
        }
        if entry.uint_of("FlagLacing") != Some(0) {
            return Err("WebM allows lacing for no codec here: FlagLacing must be 0".into());
        }
        if video != entry.get("Video").is_some() || video == entry.get("Audio").is_some() {
            return Err(format!("track {number}: type and settings differ"));
        }
        if !["V_VP8", "V_VP9", "V_AV1", "A_OPUS", "A_VORBIS"].contains(&codec.as_str()) {
            return Err(format!("codec {codec} is not one of WebM's"));
        }
        if ["A_OPUS", "A_VORBIS", "V_AV1"].contains(&codec.as_str()) && entry.get("CodecPrivate").is_none() {
            return Err(format!("{codec} without CodecPrivate"));
        }
        if codec == "A_OPUS" && entry.uint_of("SeekPreRoll") != Some(80_000_000) {
            return Err("Opus without SeekPreRoll of 80 ms".into());
        }
        let alpha = entry.get("Video").and_then(|video| video.uint_of("AlphaMode")) == Some(1);
        if alpha != (entry.uint_of("MaxBlockAdditionID").unwrap_or(0) > 0) {
            return Err(format!("track {number}: AlphaMode and MaxBlockAdditionID differ"));
        }
        out.push(Track { number, codec, video, alpha, entry: entry.clone() });
    }
    Ok(out)
}

fn check_seek_head(segment: &Element, finished: bool) -> Result<(), String> {
    let mut seen = Vec::new();
    for seek in segment.all("SeekHead").flat_map(|head| head.all("Seek")) {
        let id = seek.get("SeekID").map(Element::uint).unwrap_or(0);
        let at = seek.get("SeekPosition").map(Element::uint).unwrap_or(0) as usize;
        let found = segment.children.iter().find(|e| e.start == segment.data_start + at);
        if found.is_none_or(|e| u64::from(e.id) != id) {
            return Err(format!("SeekHead says {id:X} is at {at}, where there is {found:?}"));
        }
        seen.push(id as u32);
    }
    for child in &segment.children {
        let wanted = ["Info", "Tracks", "Cues", "Tags"].contains(&child.name);
        if finished && wanted && !seen.contains(&child.id) {
            return Err(format!("SeekHead does not name {}", child.name));
        }
    }
    Ok(())
}

fn clusters(segment: &Element, tracks: &[Track], expect: Expect) -> Result<Vec<Cluster>, String> {
    let mut out: Vec<Cluster> = Vec::new();
    let mut last = std::collections::HashMap::new();
    for element in segment.all("Cluster") {
        if element.children.first().is_none_or(|first| first.name != "Timestamp") {
            return Err(format!("the cluster at {} does not start with Timestamp", element.start));
        }
        let time = element.uint_of("Timestamp").unwrap_or(0);
        if out.last().is_some_and(|before| before.time > time) {
            return Err(format!("cluster timestamps go back to {time}"));
        }
        if element.unknown_size != (expect == Expect::Stream) {
            return Err(format!("{expect:?}, but the cluster at {} differs", element.start));
        }
        let mut blocks = Vec::new();
        for child in &element.children {
            let block = match child.name {
                "SimpleBlock" => block(child, None, time)?,
                "BlockGroup" => block(child.get("Block").unwrap(), Some(child), time)?,
                _ => continue,
            };
            let track = tracks.iter().find(|track| track.number == block.track);
            let track = track.ok_or(format!("a block of track {}, unheard of", block.track))?;
            if track.alpha != block.alpha.is_some() {
                return Err(format!("track {}: alpha missing at {}", block.track, block.time));
            }
            if child.name == "BlockGroup"
                && block.duration.is_none()
                && track.entry.get("DefaultDuration").is_some()
            {
                return Err(format!("no BlockDuration at {}, but DefaultDuration", block.time));
            }
            match last.insert(block.track, block.time) {
                None if !block.key => return Err("a track starts with no key frame".into()),
                Some(before) if before > block.time => {
                    return Err(format!("track {} goes back to {}", block.track, block.time));
                }
                _ => {}
            }
            blocks.push(block);
        }
        if blocks.is_empty() && expect != Expect::Cut {
            return Err(format!("an empty cluster at {}", element.start));
        }
        out.push(Cluster { time, start: element.start, unknown_size: element.unknown_size, blocks });
    }
    Ok(out)
}

fn block(element: &Element, group: Option<&Element>, cluster: u64) -> Result<Block, String> {
    let data = &element.data;
    if data.len() < 5 || data[0] & 0x80 == 0 {
        return Err(format!("the block at {} is too short", element.start));
    }
    let flags = data[3];
    if flags & 0x06 != 0 {
        return Err(format!("the block at {} is laced", element.start));
    }
    let mut alpha = None;
    if let Some(more) = group.and_then(|group| group.get("BlockAdditions")) {
        for more in more.all("BlockMore") {
            if more.uint_of("BlockAddID") == Some(1) {
                alpha = more.get("BlockAdditional").map(|more| more.data.clone());
            }
        }
        if alpha.as_ref().is_none_or(Vec::is_empty) {
            return Err(format!("the block at {} has an empty addition", element.start));
        }
    }
    Ok(Block {
        track: u64::from(data[0] & 0x7F),
        time: cluster as i64 + i64::from(i16::from_be_bytes([data[1], data[2]])),
        key: group.map_or(flags & 0x80 != 0, |group| group.get("ReferenceBlock").is_none()),
        duration: group.and_then(|group| group.uint_of("BlockDuration")),
        discard: group.and_then(|g| g.get("DiscardPadding")).map_or(0, Element::int),
        data: data[4..].to_vec(),
        alpha,
    })
}

fn cues(
    segment: &Element,
    tracks: &[Track],
    clusters: &[Cluster],
    finished: bool,
) -> Result<Vec<u64>, String> {
    let mut out = Vec::new();
    for point in segment.all("Cues").flat_map(|cues| cues.all("CuePoint")) {
        let time = point.uint_of("CueTime").unwrap_or(0);
        for position in point.all("CueTrackPositions") {
            let track = position.uint_of("CueTrack").unwrap_or(0);
            let at = position.uint_of("CueClusterPosition").unwrap_or(0) as usize;
            let start = segment.data_start + at;
            let cluster = segment.all("Cluster").find(|cluster| cluster.start == start);
            let cluster = cluster.ok_or(format!("cue {time}: no cluster at {at}"))?;
            let relative = position.uint_of("CueRelativePosition").unwrap_or(0) as usize;
            let target = cluster.data_start + relative;
            let target = cluster.children.iter().find(|element| element.start == target);
            let element = target.ok_or(format!("cue {time}: no block at {at} + {relative}"))?;
            let cluster_time = cluster.uint_of("Timestamp").unwrap_or(0);
            let block = match element.name {
                "SimpleBlock" => block(element, None, cluster_time)?,
                "BlockGroup" => block(element.get("Block").unwrap(), Some(element), cluster_time)?,
                name => return Err(format!("cue {time} points at {name}")),
            };
            if !block.key || block.track != track || block.time != time as i64 {
                return Err(format!("cue {time} of track {track} points at {block:?}"));
            }
        }
        if out.last().is_some_and(|before| *before > time) {
            return Err(format!("cues go back to {time}"));
        }
        out.push(time);
    }
    let video = tracks.iter().find(|track| track.video);
    if let (Some(video), true) = (video, finished) {
        let blocks = clusters.iter().flat_map(|cluster| &cluster.blocks);
        let keys = blocks.filter(|block| block.track == video.number && block.key).count();
        if keys != out.len() {
            return Err(format!("{keys} key frames, {} cues", out.len()));
        }
    }
    Ok(out)
}

struct Reader<'a> {
    bytes: &'a [u8],
    cut: bool,
    may_be_cut: bool,
}

impl Reader<'_> {
    /// A variable-length integer and its length; the marker stays in when `keep` is set.
    fn vint(&self, at: usize, end: usize, keep: bool) -> Option<(u64, usize)> {
        let first = *self.bytes[..end].get(at)?;
        let length = first.leading_zeros() as usize + 1;
        if length > 8 || at + length > end {
            return None;
        }
        let mask = if keep { 0xFF } else { (0xFFu16 >> length) as u8 };
        let rest = &self.bytes[at + 1..at + length];
        let start = u64::from(first & mask);
        Some((rest.iter().fold(start, |value, byte| value << 8 | u64::from(*byte)), length))
    }

    /// The elements from `at` to `end`; stops before one that belongs higher up.
    fn children(&mut self, parent: u32, at: usize, end: usize) -> Result<Vec<Element>, String> {
        let mut out: Vec<Element> = Vec::new();
        let mut at = at;
        while at < end {
            let broken = |what: &str| format!("{what} at {at} (in {parent:X}, which ends at {end})");
            let Some((id, id_length)) = self.vint(at, end, true) else {
                if self.may_be_cut && end == self.bytes.len() {
                    self.cut = true;
                    break;
                }
                return Err(broken("no element id"));
            };
            let id = id as u32;
            let Some((size, size_length)) = self.vint(at + id_length, end, false) else {
                if self.may_be_cut && end == self.bytes.len() {
                    self.cut = true;
                    break;
                }
                return Err(broken("no element size"));
            };
            let data_start = at + id_length + size_length;
            let unknown = size == (1 << (7 * size_length)) - 1;
            if id == VOID {
                let after = data_start + size as usize;
                if after > end {
                    return Err(broken("a Void goes past the end of what it is in,"));
                }
                at = after;
                continue;
            }
            let row = TABLE.iter().find(|row| row.0 == id);
            let row = row.ok_or_else(|| broken(&format!("unknown element {id:X}")))?;
            if row.2 != parent {
                return Err(broken(&format!("{} does not belong", row.1)));
            }
            let mut data_end = data_start + size as usize;
            if unknown {
                if id != SEGMENT && id != CLUSTER {
                    return Err(broken(&format!("{} of unknown size", row.1)));
                }
                data_end = end;
                if id == CLUSTER {
                    // It ends where the next starts.
                    data_end = self.cluster_end(data_start, end);
                }
            } else if data_end > end {
                if self.may_be_cut && end == self.bytes.len() {
                    self.cut = true;
                    break;
                }
                return Err(broken(&format!("{} goes past the end of what it is in,", row.1)));
            }
            let mut element = Element {
                name: row.1,
                id,
                start: at,
                data_start,
                end: data_end,
                unknown_size: unknown,
                data: Vec::new(),
                children: Vec::new(),
            };
            if row.3 == Master {
                element.children = self.children(id, data_start, data_end)?;
            } else {
                element.data = self.bytes[data_start..data_end].to_vec();
                let length = element.data.len();
                let good = match row.3 {
                    Uint | Int => (1..=8).contains(&length),
                    Float => length == 4 || length == 8,
                    Str => std::str::from_utf8(&element.data).is_ok() && length > 0,
                    _ => true,
                };
                if !good {
                    return Err(broken(&format!("{} of {length} bytes", row.1)));
                }
            }
            out.push(element);
            at = data_end;
        }
        for row in TABLE.iter().filter(|row| row.2 == parent) {
            let count = out.iter().filter(|element| element.id == row.0).count();
            if count < row.4 || count > row.5 {
                return Err(format!("{} appears {count} times in {parent:X}", row.1));
            }
        }
        Ok(out)
    }

    fn cluster_end(&self, from: usize, end: usize) -> usize {
        let mut at = from;
        while at < end {
            let Some((id, id_length)) = self.vint(at, end, true) else { return end };
            let parent = TABLE.iter().find(|row| row.0 == id as u32).map(|row| row.2);
            if parent == Some(SEGMENT) {
                return at;
            }
            let Some((size, length)) = self.vint(at + id_length, end, false) else { return end };
            at += id_length + length + size as usize;
        }
        end
    }
}
