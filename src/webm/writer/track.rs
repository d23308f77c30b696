//! Tracks: what a stream is, and its TrackEntry (RFC 9559 section 5.1.4.1).

use super::{Error, ebml::*};

/// Codecs that WebM allows (webmproject.org/docs/container, "Codec IDs").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// VP8, with or without an alpha stream.
    Vp8,
    /// VP9, with or without an alpha stream.
    Vp9,
    /// Opus.
    Opus,
    /// Vorbis.
    Vorbis,
}

impl Codec {
    /// The CodecID string (RFC 9559 section 5.1.4.1.21; draft-ietf-cellar-codec).
    pub const fn id(self) -> &'static str {
        match self {
            Self::Vp8 => "V_VP8",
            Self::Vp9 => "V_VP9",
            Self::Opus => "A_OPUS",
            Self::Vorbis => "A_VORBIS",
        }
    }

    /// Whether a frame of a track in this codec is a key frame on its own word.
    ///
    /// `None` when the first bytes do not say it or `frame` is empty. VP8: RFC 6386 section 9.1;
    /// VP9: bitstream specification section 6.2, `uncompressed_header`.
    pub fn key_frame(self, frame: &[u8]) -> Option<bool> {
        let first = *frame.first()?;
        match self {
            Self::Vp8 => Some(first & 1 == 0),
            Self::Vp9 => {
                // frame_marker(2) profile_low profile_high [reserved if profile 3]
                // show_existing_frame frame_type
                let profile3 = first & 0x30 == 0x30;
                let existing = if profile3 { first & 0x04 } else { first & 0x08 } != 0;
                let inter = if profile3 { first & 0x02 } else { first & 0x04 } != 0;
                (first >> 6 == 2).then_some(!existing && !inter)
            }
            Self::Opus | Self::Vorbis => Some(true),
        }
    }
}

/// What the samples of a video track mean (RFC 9559 section 5.1.4.1.28.16, numbers of ITU-T H.273).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colour {
    /// MatrixCoefficients; 2 is unspecified.
    pub matrix: u8,
    /// TransferCharacteristics; 2 is unspecified.
    pub transfer: u8,
    /// Primaries; 2 is unspecified.
    pub primaries: u8,
    /// Range: 0 unspecified, 1 broadcast (16 to 235), 2 full (0 to 255).
    pub range: u8,
}

/// The picture of a video track (RFC 9559 section 5.1.4.1.28).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Video {
    /// Width of the coded picture in pixels.
    pub width: u32,
    /// Height of the coded picture in pixels.
    pub height: u32,
    /// Pixels to hide at the top, bottom, left and right.
    pub crop: [u32; 4],
    /// Pixel aspect ratio; (1, 1) is square.
    pub pixel_aspect: (u32, u32),
    /// Whether each frame carries an alpha frame.
    pub alpha: bool,
    /// Colour, where it is known.
    pub colour: Option<Colour>,
    /// Frames a second as a fraction, where the rate is constant and known.
    pub frame_rate: Option<(u32, u32)>,
}

impl Video {
    /// Nanoseconds from one frame to the next, rounded.
    pub fn frame_duration(&self) -> Option<u64> {
        let (numerator, denominator) = self.frame_rate?;
        let (n, d) = (u64::from(numerator), u64::from(denominator));
        (n > 0 && d > 0).then(|| (d * 1_000_000_000 + n / 2) / n)
    }

    /// Display size in pixels: the cropped picture, stretched where its pixels are not square.
    pub fn display_size(&self) -> (u64, u64) {
        let [top, bottom, left, right] = self.crop.map(u64::from);
        let width = u64::from(self.width).saturating_sub(left + right);
        let height = u64::from(self.height).saturating_sub(top + bottom);
        let (n, d) = (u64::from(self.pixel_aspect.0), u64::from(self.pixel_aspect.1));
        match (n, d) {
            (0, _) | (_, 0) => (width, height),
            _ if n >= d => ((width * n + d / 2) / d, height),
            _ => (width, (height * d + n / 2) / n),
        }
    }
}

/// The sound of an audio track (RFC 9559 section 5.1.4.1.29).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audio {
    /// Samples a second.
    pub rate: u32,
    /// Number of channels.
    pub channels: u32,
}

/// Picture or sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// TrackType 1.
    Video(Video),
    /// TrackType 2.
    Audio(Audio),
}

/// One stream of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Codec.
    pub codec: Codec,
    /// Picture or sound.
    pub kind: TrackKind,
    /// CodecPrivate: OpusHead, the three Vorbis headers laced; empty for VP8 and VP9.
    pub codec_private: Vec<u8>,
    /// CodecDelay in nanoseconds: sound that the decoder makes before the first that counts.
    pub codec_delay: u64,
    /// SeekPreRoll in nanoseconds: sound to decode and drop after a seek.
    pub seek_pre_roll: u64,
    /// ISO 639-2 language; `None` is written as `und`.
    pub language: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

impl Track {
    /// A track without anything optional.
    pub fn new(codec: Codec, kind: TrackKind) -> Self {
        Self {
            codec,
            kind,
            codec_private: Vec::new(),
            codec_delay: 0,
            seek_pre_roll: 0,
            language: None,
            name: None,
        }
    }

    /// Whether each frame carries an alpha frame.
    pub fn alpha(&self) -> bool {
        matches!(&self.kind, TrackKind::Video(video) if video.alpha)
    }

    /// Whether this is a video track.
    pub fn is_video(&self) -> bool {
        matches!(self.kind, TrackKind::Video(_))
    }

    /// Nanoseconds from one frame to the next, where that is constant and known.
    pub fn default_duration(&self) -> Option<u64> {
        match &self.kind {
            TrackKind::Video(video) => video.frame_duration(),
            TrackKind::Audio(_) => None,
        }
    }

    pub(super) fn check(&self, number: u64) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Track { number, what: what.into() });
        match (&self.kind, self.codec) {
            (TrackKind::Video(video), Codec::Vp8 | Codec::Vp9) => {
                let [top, bottom, left, right] = video.crop.map(u64::from);
                if video.width == 0 || video.height == 0 {
                    return wrong("the picture has no width or no height");
                }
                if left + right >= u64::from(video.width) || top + bottom >= u64::from(video.height) {
                    return wrong("the crop leaves nothing of the picture");
                }
            }
            (TrackKind::Audio(audio), Codec::Opus | Codec::Vorbis) => {
                if audio.rate == 0 || audio.channels == 0 {
                    return wrong("the sound has no sample rate or no channels");
                }
                if self.codec_private.is_empty() {
                    return wrong("Opus and Vorbis need their headers as codec data");
                }
            }
            _ => return wrong("the codec and the kind of stream do not go together"),
        }
        Ok(())
    }

    /// Appends the TrackEntry (RFC 9559 section 5.1.4.1; AlphaMode: section 5.1.4.1.28.4).
    ///
    /// The UID is the track number: unique within the file, and the same file comes out each time.
    pub(super) fn put_entry(&self, out: &mut Vec<u8>, number: u64) {
        put_master(out, id::TRACK_ENTRY, |out| {
            put_uint(out, id::TRACK_NUMBER, number);
            put_uint(out, id::TRACK_UID, number);
            put_uint(out, id::TRACK_TYPE, if self.is_video() { 1 } else { 2 });
            put_uint(out, id::FLAG_LACING, 0);
            // Absent means English.
            put_string(out, id::LANGUAGE, self.language.as_deref().unwrap_or("und"));
            if let Some(name) = &self.name {
                put_string(out, id::NAME, name);
            }
            put_string(out, id::CODEC_ID, self.codec.id());
            if !self.codec_private.is_empty() {
                put_binary(out, id::CODEC_PRIVATE, &self.codec_private);
            }
            if self.codec_delay > 0 {
                put_uint(out, id::CODEC_DELAY, self.codec_delay);
            }
            if self.seek_pre_roll > 0 {
                put_uint(out, id::SEEK_PRE_ROLL, self.seek_pre_roll);
            }
            if let Some(duration) = self.default_duration() {
                put_uint(out, id::DEFAULT_DURATION, duration);
            }
            match &self.kind {
                TrackKind::Video(video) => {
                    if video.alpha {
                        put_uint(out, id::MAX_BLOCK_ADDITION_ID, 1);
                    }
                    put_video(out, video);
                }
                TrackKind::Audio(audio) => put_master(out, id::AUDIO, |out| {
                    put_float(out, id::SAMPLING_FREQUENCY, audio.rate.into());
                    put_uint(out, id::CHANNELS, audio.channels.into());
                }),
            }
        });
    }
}

/// Appends the Video element (RFC 9559 section 5.1.4.1.28).
fn put_video(out: &mut Vec<u8>, video: &Video) {
    put_master(out, id::VIDEO, |out| {
        put_uint(out, id::FLAG_INTERLACED, 2);
        if video.alpha {
            put_uint(out, id::ALPHA_MODE, 1);
        }
        put_uint(out, id::PIXEL_WIDTH, video.width.into());
        put_uint(out, id::PIXEL_HEIGHT, video.height.into());
        let ids = [id::PIXEL_CROP_TOP, id::PIXEL_CROP_BOTTOM, id::PIXEL_CROP_LEFT, id::PIXEL_CROP_RIGHT];
        for (id, crop) in ids.into_iter().zip(video.crop) {
            if crop > 0 {
                put_uint(out, id, crop.into());
            }
        }
        let (width, height) = video.display_size();
        put_uint(out, id::DISPLAY_WIDTH, width);
        put_uint(out, id::DISPLAY_HEIGHT, height);
        if let Some(colour) = video.colour {
            put_master(out, id::COLOUR, |out| {
                put_uint(out, id::MATRIX_COEFFICIENTS, colour.matrix.into());
                put_uint(out, id::RANGE, colour.range.into());
                put_uint(out, id::TRANSFER_CHARACTERISTICS, colour.transfer.into());
                put_uint(out, id::PRIMARIES, colour.primaries.into());
            });
        }
    });
}

/// CodecPrivate for Vorbis: the three headers, Xiph-laced (draft-ietf-cellar-codec, A_VORBIS).
pub fn vorbis_private(headers: [&[u8]; 3]) -> Vec<u8> {
    let mut out = vec![2];
    for header in &headers[..2] {
        let mut left = header.len();
        while left >= 255 {
            out.push(255);
            left -= 255;
        }
        out.push(left as u8);
    }
    out.extend(headers.concat());
    out
}

/// An OpusHead for mono or stereo (RFC 7845 section 5.1); `pre_skip` in samples at 48 kHz.
pub fn opus_head(channels: u8, pre_skip: u16, rate: u32) -> Vec<u8> {
    let mut out = b"OpusHead\x01".to_vec();
    out.push(channels);
    out.extend(pre_skip.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend([0, 0, 0]);
    out
}

/// Nanoseconds of sound in an Opus packet, by its first bytes (RFC 6716 section 3.1 and 3.2).
pub fn opus_duration(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    // Microseconds of one frame.
    let frame = match config {
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        12..=15 => [10_000, 20_000][usize::from(config & 1)],
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3F),
    };
    Some(frame * count * 1000)
}

/// Channels and CodecDelay in nanoseconds that an OpusHead states (RFC 7845 section 5.1).
pub fn read_opus_head(head: &[u8]) -> Option<(u8, u64)> {
    let rest = head.strip_prefix(b"OpusHead")?;
    let (channels, pre_skip) = match rest {
        [_, channels, low, high, _, _, _, _, _, _, _, ..] => {
            (*channels, u64::from(u16::from_le_bytes([*low, *high])))
        }
        _ => return None,
    };
    Some((channels, (pre_skip * 1_000_000_000 + 24_000) / 48_000))
}
