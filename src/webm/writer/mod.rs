//! Writes WebM: the part of Matroska (RFC 9559) that browsers play, with the alpha extension.
//!
//! It knows no GStreamer types and does no input or output: give [`Writer`] frames in the order of
//! their times and put the [`Piece`]s it returns one after another. On a sink that can seek,
//! [`Writer::finish`] also returns [`Patch`]es for what was not known at the start.
//!
//! How alpha is stored (webmproject.org, "VP8 Alpha Encode"; RFC 9559 sections 5.1.3.5.2 and
//! 5.1.4.1.28.4): the track says AlphaMode 1; each frame is a BlockGroup, whose Block holds the
//! colour frame and whose BlockAdditions holds, with BlockAddID 1, a frame of the same codec with
//! the alpha plane as its luma.

pub mod ebml;
mod file;
mod track;

#[cfg(test)]
mod tests;
/// A reader that shares nothing with the writer.
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/webm/validate.rs"]
pub(crate) mod validate;

use std::fmt;

pub use file::Writer;
pub use track::{
    Audio, Codec, Colour, Track, TrackKind, Video, opus_duration, opus_head, read_opus_head, vorbis_private,
};

/// How the file will be read while it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To a sink that can seek: clusters of known size, cues, duration and seek head at the end.
    ///
    /// A file cut short plays to its last whole cluster.
    Seekable,
    /// To a pipe or the network: sizes unknown, nothing to go back to, each frame given at once.
    Streamable,
}

/// A name and a value about the file or one of its tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Index of the track that it is about; `None` for the whole file.
    pub track: Option<usize>,
    /// TagName, upper case (matroska.org, "Tags official names").
    pub name: String,
    /// TagString.
    pub value: String,
}

/// What does not belong to one track.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the file will be read while it is written.
    pub mode: Mode,
    /// MuxingApp: the library that writes.
    pub muxing_app: String,
    /// WritingApp: the application.
    pub writing_app: String,
    /// A key frame begins no new cluster before the last one is this long, in milliseconds.
    pub min_cluster: u64,
    /// A cluster ends when it is this long, in milliseconds; at most [`MAX_CLUSTER`].
    pub max_cluster: u64,
    /// A cluster ends when it holds this many bytes.
    pub max_cluster_bytes: usize,
}

/// Longest cluster in milliseconds: a block's time in its cluster is a signed 16-bit number.
pub const MAX_CLUSTER: u64 = 32_000;

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Seekable,
            muxing_app: concat!("bgremove ", env!("CARGO_PKG_VERSION")).into(),
            writing_app: concat!("bgremove ", env!("CARGO_PKG_VERSION")).into(),
            min_cluster: 0,
            max_cluster: 5_000,
            max_cluster_bytes: 8 << 20,
        }
    }
}

/// One frame of one track.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Index of the track.
    pub track: usize,
    /// Time in nanoseconds from the start of the file.
    pub time: u64,
    /// Duration in nanoseconds, where it is known.
    pub duration: Option<u64>,
    /// Whether decoding, of colour and alpha, can start here.
    pub key: bool,
    /// Whether the frame is decoded but not shown.
    pub invisible: bool,
    /// The coded frame.
    pub data: &'a [u8],
    /// The coded alpha frame; tracks with alpha need one for every frame.
    pub alpha: Option<&'a [u8]>,
    /// Nanoseconds of sound to drop from the end of this frame.
    pub discard: u64,
}

/// Bytes that go after all bytes before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Time of the first frame in nanoseconds.
    pub time: u64,
    /// Whether a reader who joins a stream can start here: it begins a cluster with a key frame.
    pub sync: bool,
}

/// Bytes that replace others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What ends a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The last cluster, if one is open.
    pub last: Option<Piece>,
    /// Bytes to append after it; may be empty.
    pub tail: Vec<u8>,
    /// Bytes to replace; none when streamable.
    pub patches: Vec<Patch>,
}

/// Why something cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no track.
    NoTracks,
    /// A frame names a track that there is none of.
    NoSuchTrack(usize),
    /// A track cannot be described.
    Track {
        /// Track number, from 1.
        number: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A frame is earlier than one that is written already.
    WentBack {
        /// Track number, from 1.
        number: u64,
        /// The frame's time in milliseconds.
        time: u64,
        /// The time before which nothing can be written, in milliseconds.
        limit: u64,
    },
    /// A frame, or its alpha, holds no byte.
    Empty {
        /// Track number, from 1.
        number: u64,
        /// The frame's time in milliseconds.
        time: u64,
    },
    /// A frame of a track with alpha has none, or one of a track without alpha has.
    Alpha {
        /// Track number, from 1.
        number: u64,
        /// The frame's time in milliseconds.
        time: u64,
        /// Whether the frame has alpha.
        has: bool,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTracks => write!(f, "a WebM file needs at least one track; link a stream"),
            Self::NoSuchTrack(index) => write!(f, "no track has index {index}"),
            Self::Track { number, what } => write!(f, "track {number}: {what}"),
            Self::WentBack { number, time, limit } => write!(
                f,
                "track {number}: a frame at {time} ms came after {limit} ms was written; \
                 frames must come in the order of their times"
            ),
            Self::Empty { number, time } => write!(
                f,
                "track {number}: the frame at {time} ms, or its alpha, is empty; the encoder before the muxer is \
                 at fault"
            ),
            Self::Alpha { number, time, has: false } => write!(
                f,
                "track {number}: the frame at {time} ms has no alpha, but the track has; make \
                 every frame with the same alpha encoder"
            ),
            Self::Alpha { number, time, has: true } => write!(
                f,
                "track {number}: the frame at {time} ms has alpha, but the track began without; \
                 make every frame with the same alpha encoder"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Nanoseconds to milliseconds, the unit of the file (TimestampScale 1 000 000), rounded.
pub const fn to_ms(ns: u64) -> u64 {
    ns / 1_000_000 + (ns % 1_000_000 >= 500_000) as u64
}
