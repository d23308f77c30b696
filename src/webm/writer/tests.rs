//! Files written from made-up frames, read back by the reader in `tests/webm/validate.rs`.

use super::*;

use validate::{Expect, validate};

fn video(alpha: bool) -> Track {
    let video = Video {
        width: 321,
        height: 180,
        pixel_aspect: (4, 3),
        alpha,
        colour: Some(Colour { matrix: 1, transfer: 1, primaries: 1, range: 1 }),
        frame_rate: Some((30_000, 1001)),
        ..Video::default()
    };
    Track::new(Codec::Vp9, TrackKind::Video(video))
}

fn opus() -> Track {
    let mut track = Track::new(Codec::Opus, TrackKind::Audio(Audio { rate: 48_000, channels: 2 }));
    track.codec_private = opus_head(2, 312, 48_000);
    track.codec_delay = 6_500_000;
    track.seek_pre_roll = 80_000_000;
    track
}

fn tag(name: &str, value: &str) -> Tag {
    Tag { track: None, name: name.into(), value: value.into() }
}

/// A file put together as a sink would: pieces in a row, then the patches.
struct Sink {
    writer: Writer,
    bytes: Vec<u8>,
}

impl Sink {
    fn new(config: Config, tracks: Vec<Track>, tags: &[Tag]) -> Self {
        let (writer, bytes) = Writer::new(config, tracks, tags).unwrap();
        Self { writer, bytes }
    }

    fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        if let Some(piece) = self.writer.write(frame)? {
            self.bytes.extend(piece.bytes);
        }
        Ok(())
    }

    fn finish(mut self, tags: &[Tag]) -> Vec<u8> {
        let end = self.writer.finish(tags);
        self.bytes.extend(end.last.map(|piece| piece.bytes).unwrap_or_default());
        self.bytes.extend(end.tail);
        for patch in end.patches {
            let at = patch.offset as usize;
            self.bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        assert_eq!(self.bytes.len() as u64, self.writer.position());
        self.bytes
    }

    /// `seconds` of video with a key frame a second, and sound of 20 ms frames.
    fn fill(&mut self, seconds: u64, alpha: bool, audio: bool) {
        let count = seconds * 30_000 / 1001;
        let mut sound = 0;
        for n in 0..count {
            let time = n * 1_001_000_000_000 / 30_000;
            while audio && sound < time {
                self.write(&frame(1, sound, true, None)).unwrap();
                sound += 20_000_000;
            }
            let pair = [n as u8, 2];
            self.write(&frame(0, time, n % 30 == 0, alpha.then_some(&pair))).unwrap();
        }
    }
}

fn frame(track: usize, time: u64, key: bool, alpha: Option<&[u8]>) -> Frame<'_> {
    let duration = (track == 1).then_some(20_000_000);
    let data = &[0x82, 7, 7, 7];
    Frame { track, time, duration, key, invisible: false, data, alpha, discard: 0 }
}

#[test]
fn an_alpha_file_with_sound_is_sound_throughout() {
    let mut sink = Sink::new(Config::default(), vec![video(true), opus()], &[tag("TITLE", "a")]);
    sink.fill(10, true, true);
    let bytes = sink.finish(&[tag("TITLE", "a")]);
    let file = validate(&bytes, Expect::Finished).unwrap();
    assert_eq!(file.tracks.len(), 2);
    assert!(file.tracks[0].alpha);
    let video = file.tracks[0].entry.get("Video").unwrap();
    assert_eq!(video.uint_of("DisplayWidth"), Some(428));
    assert_eq!(file.tracks[0].entry.uint_of("DefaultDuration"), Some(33_366_667));
    let frames = file.blocks(1);
    assert_eq!(frames.len(), 299);
    for (block, n) in frames.iter().zip(0u64..) {
        // To the millisecond, not one off by adding up rounded steps.
        assert_eq!(block.time as u64, to_ms(n * 1_001_000_000_000 / 30_000));
        assert_eq!(block.alpha.as_deref(), Some(&[n as u8, 2][..]));
        assert_eq!(block.key, n % 30 == 0);
    }
    // Durations end where the next frame starts.
    for pair in frames.windows(2) {
        assert_eq!(pair[0].time + pair[0].duration.unwrap() as i64, pair[1].time);
    }
    assert_eq!(file.clusters.len(), 10);
    assert_eq!(file.cues.len(), 10);
    assert_eq!(file.cues[1], 1001);
    assert_eq!(file.tag("TITLE"), Some("a"));
    assert_eq!(file.segment.get("Info").unwrap().get("Title").unwrap().text(), "a");
    let end = 299.0 * 1001.0 / 30.0;
    assert!((file.duration.unwrap() - end).abs() < 20.0, "{:?}", file.duration);
}

/// A stream may run for months.
#[test]
fn what_a_stream_has_sent_is_not_kept() {
    let config = Config { mode: Mode::Streamable, ..Config::default() };
    let (mut writer, _) = Writer::new(config, vec![video(false)], &[]).unwrap();
    let mut states = Vec::new();
    for n in 0..20_000u64 {
        // Each frame is a key frame, and begins a cluster.
        writer.write(&frame(0, n * 33_000_000, true, None)).unwrap().unwrap();
        if n == 10 || n == 19_999 {
            states.push(format!("{writer:?}").len());
        }
    }
    // Its numbers have a few more digits.
    assert!(states[1] < states[0] + 100, "all that it keeps, written out, has {states:?} characters");
}

#[test]
fn opaque_frames_are_simple_blocks() {
    let mut sink = Sink::new(Config::default(), vec![video(false)], &[]);
    sink.fill(3, false, false);
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    let groups = file.segment.all("Cluster").flat_map(|cluster| cluster.all("BlockGroup")).count();
    assert_eq!(groups, 0);
    assert_eq!(file.blocks(1).len(), 89);
}

#[test]
fn a_stream_has_no_sizes_and_nothing_to_go_back_to() {
    let config = Config { mode: Mode::Streamable, ..Config::default() };
    let mut sink = Sink::new(config, vec![video(true), opus()], &[]);
    let header = sink.bytes.len();
    sink.write(&frame(0, 0, true, Some(&[1]))).unwrap();
    assert!(sink.bytes.len() > header, "a stream gives each frame at once");
    sink.write(&frame(1, 0, true, None)).unwrap();
    for n in 1..100 {
        sink.write(&frame(0, n * 40_000_000, n % 25 == 0, Some(&[1]))).unwrap();
    }
    let file = validate(&sink.finish(&[]), Expect::Stream).unwrap();
    assert_eq!(file.blocks(1).len(), 100);
    assert_eq!(file.clusters.len(), 4);
}

#[test]
fn a_file_cut_anywhere_keeps_its_whole_clusters() {
    let mut sink = Sink::new(Config::default(), vec![video(true), opus()], &[]);
    let header = sink.bytes.len();
    sink.fill(4, true, true);
    let bytes = sink.bytes;
    let mut counts = Vec::new();
    for cut in header..bytes.len() {
        let file = validate(&bytes[..cut], Expect::Cut).unwrap();
        counts.push(file.clusters.len());
    }
    assert!(counts.is_sorted());
    assert_eq!((counts[0], counts.last()), (0, Some(&2)));
}

#[test]
fn late_tags_replace_the_early_ones() {
    let mut sink = Sink::new(Config::default(), vec![video(false)], &[tag("ARTIST", "x")]);
    sink.fill(2, false, false);
    let late = Tag { track: Some(0), name: "ENCODER".into(), value: "y".into() };
    let bytes = sink.finish(&[tag("ARTIST", "z"), late]);
    let file = validate(&bytes, Expect::Finished).unwrap();
    assert_eq!(file.tag("ARTIST"), Some("z"));
    assert_eq!(file.tags.len(), 2);
    assert_eq!(file.tags[1], (1, "ENCODER".into(), "y".into()));
}

#[test]
fn clusters_are_bounded_in_time_and_size() {
    let config = Config { max_cluster: 500, ..Config::default() };
    let mut sink = Sink::new(config, vec![video(false)], &[]);
    for n in 0..100 {
        sink.write(&frame(0, n * 40_000_000, n == 0, None)).unwrap();
    }
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    assert_eq!(file.clusters.len(), 8);
    assert_eq!(file.cues, [0]);

    let config = Config { max_cluster_bytes: 100, min_cluster: 1000, ..Config::default() };
    let mut sink = Sink::new(config, vec![video(false)], &[]);
    for n in 0..100 {
        sink.write(&frame(0, n * 40_000_000, true, None)).unwrap();
    }
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    assert!(file.clusters.iter().all(|cluster| cluster.blocks.len() < 15));
    assert_eq!(file.cues.len(), 100);
}

#[test]
fn a_gap_longer_than_a_block_can_say_begins_a_cluster() {
    let mut sink =
        Sink::new(Config { max_cluster: u64::MAX, ..Config::default() }, vec![video(false), opus()], &[]);
    sink.write(&frame(0, 0, true, None)).unwrap();
    sink.write(&frame(1, 3_600_000_000_000, true, None)).unwrap();
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    assert_eq!(file.blocks(2)[0].time, 3_600_000);
}

#[test]
fn steps_back_between_tracks_are_kept_and_within_one_refused() {
    let mut sink = Sink::new(Config::default(), vec![video(false), opus()], &[]);
    sink.write(&frame(0, 1_000_000_000, true, None)).unwrap();
    sink.write(&frame(1, 900_000_000, true, None)).unwrap();
    let error = sink.write(&frame(0, 990_000_000, false, None)).unwrap_err();
    assert_eq!(error, Error::WentBack { number: 1, time: 990, limit: 1000 });
    // A key frame earlier than the cluster's start begins no cluster before it.
    sink.write(&frame(0, 1_000_100_000, true, None)).unwrap();
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    assert_eq!(file.blocks(2)[0].time, 900);
}

#[test]
fn alpha_is_never_lost_in_silence() {
    let mut sink = Sink::new(Config::default(), vec![video(true)], &[]);
    let error = sink.write(&frame(0, 0, true, None)).unwrap_err();
    assert_eq!(error, Error::Alpha { number: 1, time: 0, has: false });
    let mut sink = Sink::new(Config::default(), vec![video(false)], &[]);
    assert!(sink.write(&frame(0, 0, true, Some(&[1]))).is_err());
}

#[test]
fn what_cannot_be_described_is_refused() {
    let new = |tracks| Writer::new(Config::default(), tracks, &[]).map(|_| ());
    assert_eq!(new(vec![]), Err(Error::NoTracks));
    let mut headless = opus();
    headless.codec_private.clear();
    assert!(new(vec![headless]).is_err());
    assert!(new(vec![Track::new(Codec::Opus, video(false).kind)]).is_err());
}

#[test]
fn sound_to_drop_is_said() {
    let mut sink = Sink::new(Config::default(), vec![opus()], &[]);
    sink.write(&frame(0, 0, true, None)).unwrap();
    let last = Frame { duration: Some(20_000_000), discard: 7_000_000, ..frame(0, 20_000_000, true, None) };
    sink.write(&last).unwrap();
    let file = validate(&sink.finish(&[]), Expect::Finished).unwrap();
    assert_eq!(file.blocks(1)[1].discard, 7_000_000);
    assert_eq!(file.duration, Some(26.5));
}

#[test]
fn codec_data_is_read_and_made() {
    assert_eq!(read_opus_head(&opus_head(2, 312, 48_000)), Some((2, 6_500_000)));
    assert_eq!(read_opus_head(b"OpusHead"), None);
    // CELT, 20 ms: one frame, two, three.
    assert_eq!(opus_duration(&[0xFC]), Some(20_000_000));
    assert_eq!(opus_duration(&[0xFD]), Some(40_000_000));
    assert_eq!(opus_duration(&[0xFF, 3]), Some(60_000_000));
    assert_eq!(opus_duration(&[0xFF]), None);
    let long = vec![9; 300];
    let laced = vorbis_private([&[1; 30], &long, &[5; 4]]);
    assert_eq!(laced[..4], [2, 30, 255, 45]);
    assert_eq!(laced.len(), 4 + 334);
    assert_eq!(Codec::Vp8.key_frame(&[0x10]), Some(true));
    assert_eq!(Codec::Vp8.key_frame(&[0x11]), Some(false));
    assert_eq!(Codec::Vp9.key_frame(&[0x82]), Some(true));
    assert_eq!(Codec::Vp9.key_frame(&[0x86]), Some(false));
    assert_eq!(Codec::Vp9.key_frame(&[0x8A]), Some(false));
    assert_eq!(Codec::Vp9.key_frame(&[]), None);
}
