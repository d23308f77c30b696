//! From caps to tracks, and from GStreamer's tags to Matroska's.

use std::str::FromStr;

use crate::webm::writer::{
    Audio, Codec, Colour, Tag, Track, TrackKind, Video, opus_head, read_opus_head, vorbis_private,
};

/// SeekPreRoll that RFC 7845 section 4.6 recommends for Opus, in nanoseconds.
const OPUS_PRE_ROLL: u64 = 80_000_000;
/// What most Opus encoders put before the sound, in samples at 48 kHz; where nothing says it.
const OPUS_PRE_SKIP: u16 = 312;

/// The track that caps describe; `alpha` is whether the first frame carries alpha.
pub(super) fn track(caps: &gst::CapsRef, alpha: bool) -> Result<Track, String> {
    let structure = caps.structure(0).ok_or("the caps are empty")?;
    match structure.name().as_str() {
        "video/x-vp8" => video(structure, Codec::Vp8, alpha),
        "video/x-vp9" => video(structure, Codec::Vp9, alpha),
        "audio/x-opus" => opus(structure),
        "audio/x-vorbis" => vorbis(structure),
        name => Err(format!("WebM holds VP8, VP9, Opus and Vorbis, not {name}")),
    }
}

fn bytes(buffer: &gst::BufferRef) -> Result<Vec<u8>, String> {
    let map = buffer.map_readable().map_err(|_| "codec data cannot be read")?;
    Ok(map.to_vec())
}

fn video(structure: &gst::StructureRef, codec: Codec, alpha: bool) -> Result<Track, String> {
    let size = |name| {
        structure
            .get::<i32>(name)
            .ok()
            .and_then(|size| u32::try_from(size).ok())
            .ok_or_else(|| format!("the caps say no {name}; put a parser before the muxer"))
    };
    let fraction = |name| {
        let fraction = structure.get::<gst::Fraction>(name).ok()?;
        let (n, d) = (u32::try_from(fraction.numer()).ok()?, u32::try_from(fraction.denom()).ok()?);
        (n > 0 && d > 0).then_some((n, d))
    };
    let colour = structure
        .get::<&str>("colorimetry")
        .ok()
        .and_then(|text| gst_video::VideoColorimetry::from_str(text).ok())
        .map(|colorimetry| Colour {
            matrix: colorimetry.matrix().to_iso().try_into().unwrap_or(2),
            transfer: colorimetry.transfer().to_iso().try_into().unwrap_or(2),
            primaries: colorimetry.primaries().to_iso().try_into().unwrap_or(2),
            range: match colorimetry.range() {
                gst_video::VideoColorRange::Range16_235 => 1,
                gst_video::VideoColorRange::Range0_255 => 2,
                _ => 0,
            },
        });
    let video = Video {
        width: size("width")?,
        height: size("height")?,
        crop: [0; 4],
        pixel_aspect: fraction("pixel-aspect-ratio").unwrap_or((1, 1)),
        alpha: alpha || structure.get::<bool>("codec-alpha").unwrap_or(false),
        colour,
        frame_rate: fraction("framerate"),
    };
    Ok(Track::new(codec, TrackKind::Video(video)))
}

/// The `number`th header of the stream, from caps.
fn header(structure: &gst::StructureRef, number: usize) -> Option<gst::Buffer> {
    let headers = structure.get::<gst::ArrayRef>("streamheader").ok()?;
    headers.as_slice().get(number)?.get().ok()
}

fn opus(structure: &gst::StructureRef) -> Result<Track, String> {
    let channels = structure.get::<i32>("channels").ok().and_then(|count| u8::try_from(count).ok());
    let rate = structure.get::<i32>("rate").ok().and_then(|rate| u32::try_from(rate).ok());
    let head = match header(structure, 0) {
        Some(head) => bytes(&head)?,
        None => match channels {
            Some(channels @ 1..=2) => opus_head(channels, OPUS_PRE_SKIP, rate.unwrap_or(48_000)),
            _ => {
                return Err("Opus with more than two channels needs its header in the caps \
                            (streamheader); put opusparse before the muxer"
                    .into());
            }
        },
    };
    let (channels, delay) = read_opus_head(&head)
        .ok_or("the Opus header in the caps (streamheader) is not one; put opusparse before")?;
    // Opus always decodes to 48 kHz.
    let audio = Audio { rate: 48_000, channels: channels.into() };
    let mut track = Track::new(Codec::Opus, TrackKind::Audio(audio));
    track.codec_private = head;
    track.codec_delay = delay;
    track.seek_pre_roll = OPUS_PRE_ROLL;
    Ok(track)
}

fn vorbis(structure: &gst::StructureRef) -> Result<Track, String> {
    let mut headers = Vec::new();
    for number in 0..3 {
        let header = header(structure, number).ok_or(
            "Vorbis needs its three headers in the caps (streamheader); put vorbisparse before \
             the muxer",
        )?;
        headers.push(bytes(&header)?);
    }
    // Identification header: channels and rate (Vorbis I section 4.2.2).
    let (channels, rate) = match headers[0].as_slice() {
        [1, b'v', b'o', b'r', b'b', b'i', b's', _, _, _, _, channels, a, b, c, d, ..] => {
            (u32::from(*channels), u32::from_le_bytes([*a, *b, *c, *d]))
        }
        _ => return Err("the first Vorbis header in the caps (streamheader) is not one".into()),
    };
    let mut track = Track::new(Codec::Vorbis, TrackKind::Audio(Audio { rate, channels }));
    track.codec_private = vorbis_private([&headers[0], &headers[1], &headers[2]]);
    Ok(track)
}

/// GStreamer's names and Matroska's (matroska.org, "Tags official names").
const NAMES: &[(&str, &str)] = &[
    ("title", "TITLE"),
    ("artist", "ARTIST"),
    ("album", "ALBUM"),
    ("composer", "COMPOSER"),
    ("performer", "PERFORMER"),
    ("publisher", "PUBLISHER"),
    ("genre", "GENRE"),
    ("keywords", "KEYWORDS"),
    ("description", "DESCRIPTION"),
    ("comment", "COMMENT"),
    ("lyrics", "LYRICS"),
    ("copyright", "COPYRIGHT"),
    ("license", "LICENSE"),
    ("license-uri", "TERMS_OF_USE"),
    ("location", "URL"),
    ("isrc", "ISRC"),
    ("beats-per-minute", "BPM"),
    ("date", "DATE_RECORDED"),
    ("datetime", "DATE_RECORDED"),
    ("encoder", "ENCODER"),
    ("encoder-version", "ENCODER_VERSION"),
    ("encoded-by", "ENCODED_BY"),
    ("application-name", "WRITTEN_BY_APPLICATION"),
];

/// Adds the tags of a list that Matroska has names for, about one track or the file.
///
/// A tag that is there already stays as it is.
pub(super) fn add_tags(out: &mut Vec<Tag>, list: &gst::TagListRef, track: Option<usize>) {
    for (gst_name, name) in NAMES {
        if out.iter().any(|tag| tag.track == track && tag.name == *name) {
            continue;
        }
        for value in list.iter_generic().filter(|(found, _)| found == gst_name) {
            for value in value.1 {
                let text = text(value);
                // Where something lies on this machine is nobody's business who gets the file.
                let told = |text: &String| *gst_name != "location" || is_public(text);
                if let Some(value) = text.filter(|text| !text.is_empty() && told(text)) {
                    out.push(Tag { track, name: (*name).into(), value });
                }
            }
        }
    }
}

/// Whether a location is an address rather than the place of a file.
fn is_public(location: &str) -> bool {
    let scheme = location.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("file"))
}

fn text(value: &gst::glib::SendValue) -> Option<String> {
    if let Ok(text) = value.get::<String>() {
        return Some(text);
    }
    if let Ok(date) = value.get::<gst::DateTime>() {
        return date.to_iso8601_string().ok().map(Into::into);
    }
    if let Ok(date) = value.get::<gst::glib::Date>() {
        let month: u32 = date.month().into_glib_month();
        return Some(format!("{:04}-{month:02}-{:02}", date.year(), date.day()));
    }
    if let Ok(number) = value.get::<f64>() {
        return Some(number.to_string());
    }
    value.get::<u32>().ok().map(|number| number.to_string())
}

trait Month {
    fn into_glib_month(self) -> u32;
}

impl Month for gst::glib::DateMonth {
    fn into_glib_month(self) -> u32 {
        use gst::glib::DateMonth::*;
        let months = [
            January, February, March, April, May, June, July, August, September, October, November, December,
        ];
        months.iter().position(|month| *month == self).map_or(0, |index| index as u32 + 1)
    }
}

/// The language of a stream, where the tag is an ISO 639-2 code.
pub(super) fn language(list: &gst::TagListRef) -> Option<String> {
    let code = list.get::<gst::tags::LanguageCode>()?;
    let code = code.get();
    (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase())).then(|| code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        gst::Caps::from_str(text).unwrap()
    }

    #[test]
    fn video_caps_become_a_track() {
        let caps = caps(
            "video/x-vp9,width=720,height=576,framerate=25/1,pixel-aspect-ratio=16/15,\
             colorimetry=bt709,codec-alpha=true",
        );
        let track = track(&caps, false).unwrap();
        let TrackKind::Video(video) = &track.kind else { panic!() };
        assert!(video.alpha);
        assert_eq!(video.display_size(), (768, 576));
        assert_eq!(video.frame_duration(), Some(40_000_000));
        let colour = Colour { matrix: 1, transfer: 1, primaries: 1, range: 1 };
        assert_eq!(video.colour, Some(colour));
    }

    #[test]
    fn opus_without_a_header_gets_one() {
        let track = track(&caps("audio/x-opus,channels=2,rate=48000"), false).unwrap();
        assert_eq!(track.codec_delay, 6_500_000);
        assert!(super::track(&caps("audio/x-opus,channels=6"), false).is_err());
        assert!(super::track(&caps("audio/x-vorbis"), false).is_err());
        assert!(super::track(&caps("video/x-h264,width=1,height=1"), false).is_err());
    }

    #[test]
    fn tags_become_matroska_tags() {
        gst::init().unwrap();
        let mut list = gst::TagList::new();
        let tags = list.make_mut();
        tags.add::<gst::tags::Title>(&"a film", gst::TagMergeMode::Append);
        tags.add::<gst::tags::LanguageCode>(&"eng", gst::TagMergeMode::Append);
        let mut out = Vec::new();
        add_tags(&mut out, &list, None);
        add_tags(&mut out, &list, None);
        assert_eq!(out, [Tag { track: None, name: "TITLE".into(), value: "a film".into() }]);
        assert_eq!(language(&list).as_deref(), Some("eng"));
    }

    #[test]
    fn no_place_on_this_machine_gets_into_a_file() {
        gst::init().unwrap();
        let mut list = gst::TagList::new();
        let tags = list.make_mut();
        let public = "https://example.org/film";
        for place in
            ["/home/jane/film.mp4", "file:///home/jane/film.mp4", "FILE:///home/jane", "film.mp4", public]
        {
            tags.add::<gst::tags::Location>(&place, gst::TagMergeMode::Append);
        }
        let mut out = Vec::new();
        add_tags(&mut out, &list, None);
        assert_eq!(out, [Tag { track: None, name: "URL".into(), value: public.into() }]);
    }
}
