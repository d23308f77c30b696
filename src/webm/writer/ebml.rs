//! EBML: the element layer under Matroska (RFC 8794). Ids, variable-length integers and values.

/// Element ids, by their names in RFC 9559 section 5.1 (and RFC 8794 section 11.2 for the header).
#[allow(missing_docs)]
pub mod id {
    pub const EBML: u32 = 0x1A45DFA3;
    pub const EBML_VERSION: u32 = 0x4286;
    pub const EBML_READ_VERSION: u32 = 0x42F7;
    pub const EBML_MAX_ID_LENGTH: u32 = 0x42F2;
    pub const EBML_MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const DOC_TYPE_VERSION: u32 = 0x4287;
    pub const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub const VOID: u32 = 0xEC;

    pub const SEGMENT: u32 = 0x18538067;
    pub const SEEK_HEAD: u32 = 0x114D9B74;
    pub const SEEK: u32 = 0x4DBB;
    pub const SEEK_ID: u32 = 0x53AB;
    pub const SEEK_POSITION: u32 = 0x53AC;

    pub const INFO: u32 = 0x1549A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2AD7B1;
    pub const DURATION: u32 = 0x4489;
    pub const TITLE: u32 = 0x7BA9;
    pub const MUXING_APP: u32 = 0x4D80;
    pub const WRITING_APP: u32 = 0x5741;

    pub const TRACKS: u32 = 0x1654AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_UID: u32 = 0x73C5;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const FLAG_LACING: u32 = 0x9C;
    pub const DEFAULT_DURATION: u32 = 0x23E383;
    pub const MAX_BLOCK_ADDITION_ID: u32 = 0x55EE;
    pub const NAME: u32 = 0x536E;
    pub const LANGUAGE: u32 = 0x22B59C;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const CODEC_DELAY: u32 = 0x56AA;
    pub const SEEK_PRE_ROLL: u32 = 0x56BB;

    pub const VIDEO: u32 = 0xE0;
    pub const FLAG_INTERLACED: u32 = 0x9A;
    pub const ALPHA_MODE: u32 = 0x53C0;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const PIXEL_CROP_BOTTOM: u32 = 0x54AA;
    pub const PIXEL_CROP_TOP: u32 = 0x54BB;
    pub const PIXEL_CROP_LEFT: u32 = 0x54CC;
    pub const PIXEL_CROP_RIGHT: u32 = 0x54DD;
    pub const DISPLAY_WIDTH: u32 = 0x54B0;
    pub const DISPLAY_HEIGHT: u32 = 0x54BA;
    pub const COLOUR: u32 = 0x55B0;
    pub const MATRIX_COEFFICIENTS: u32 = 0x55B1;
    pub const RANGE: u32 = 0x55B9;
    pub const TRANSFER_CHARACTERISTICS: u32 = 0x55BA;
    pub const PRIMARIES: u32 = 0x55BB;

    pub const AUDIO: u32 = 0xE1;
    pub const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub const CHANNELS: u32 = 0x9F;

    pub const CLUSTER: u32 = 0x1F43B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const BLOCK_GROUP: u32 = 0xA0;
    pub const BLOCK: u32 = 0xA1;
    pub const BLOCK_ADDITIONS: u32 = 0x75A1;
    pub const BLOCK_MORE: u32 = 0xA6;
    pub const BLOCK_ADD_ID: u32 = 0xEE;
    pub const BLOCK_ADDITIONAL: u32 = 0xA5;
    pub const BLOCK_DURATION: u32 = 0x9B;
    pub const REFERENCE_BLOCK: u32 = 0xFB;
    pub const DISCARD_PADDING: u32 = 0x75A2;

    pub const CUES: u32 = 0x1C53BB6B;
    pub const CUE_POINT: u32 = 0xBB;
    pub const CUE_TIME: u32 = 0xB3;
    pub const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub const CUE_TRACK: u32 = 0xF7;
    pub const CUE_CLUSTER_POSITION: u32 = 0xF1;
    pub const CUE_RELATIVE_POSITION: u32 = 0xF0;

    pub const TAGS: u32 = 0x1254C367;
    pub const TAG: u32 = 0x7373;
    pub const TARGETS: u32 = 0x63C0;
    pub const TAG_TRACK_UID: u32 = 0x63C5;
    pub const SIMPLE_TAG: u32 = 0x67C8;
    pub const TAG_NAME: u32 = 0x45A3;
    pub const TAG_STRING: u32 = 0x4487;
}

/// An element data size of eight bytes that means "unknown" (RFC 8794 section 6.2).
pub const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Appends an element id as it stands: its length marker is part of it (RFC 8794 section 5).
pub fn put_id(out: &mut Vec<u8>, id: u32) {
    let skip = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&id.to_be_bytes()[skip.min(3)..]);
}

/// Appends an element data size in as few bytes as hold it (RFC 8794 section 6).
///
/// All ones in the data bits is reserved for "unknown", hence the `- 1`.
pub fn put_size(out: &mut Vec<u8>, size: u64) {
    let mut length = 1u32;
    while length < 8 && size >= (1 << (7 * length)) - 1 {
        length += 1;
    }
    let marked = size | 1 << (7 * length);
    out.extend_from_slice(&marked.to_be_bytes()[8 - length as usize..]);
}

/// An element data size in eight bytes, for sizes that are patched later (RFC 8794 section 6).
pub fn size8(size: u64) -> [u8; 8] {
    (size | 1 << 56).to_be_bytes()
}

/// Appends an unsigned integer element (RFC 8794 section 7.2).
pub fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let skip = (value.leading_zeros() as usize / 8).min(7);
    put_binary(out, id, &value.to_be_bytes()[skip..]);
}

/// Appends an unsigned integer element of eight bytes, whose size never depends on its value.
pub fn put_uint8(out: &mut Vec<u8>, id: u32, value: u64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// Appends a signed integer element, two's complement (RFC 8794 section 7.1).
pub fn put_int(out: &mut Vec<u8>, id: u32, value: i64) {
    let magnitude = if value < 0 { !value } else { value };
    let length = (64 - magnitude.leading_zeros() as usize) / 8 + 1;
    put_binary(out, id, &value.to_be_bytes()[8 - length.min(8)..]);
}

/// Appends a float element of eight bytes (RFC 8794 section 7.3).
pub fn put_float(out: &mut Vec<u8>, id: u32, value: f64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// Appends a string element, ASCII or UTF-8 (RFC 8794 sections 7.4 and 7.5).
///
/// A NUL ends a string for a reader, so it ends it here too.
pub fn put_string(out: &mut Vec<u8>, id: u32, value: &str) {
    let value = value.split('\0').next().unwrap_or_default();
    put_binary(out, id, value.as_bytes());
}

/// Appends a binary element (RFC 8794 section 7.8).
pub fn put_binary(out: &mut Vec<u8>, id: u32, value: &[u8]) {
    put_id(out, id);
    put_size(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a master element whose children `fill` appends (RFC 8794 section 7.7).
pub fn put_master(out: &mut Vec<u8>, id: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut children = Vec::new();
    fill(&mut children);
    put_binary(out, id, &children);
}

/// The start of a Void element that takes `total` bytes in all (RFC 8794 section 11.3.2).
///
/// The bytes after the start may be anything. `total` below 2 cannot be filled and gives nothing.
pub fn void_start(total: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if total < 2 {
        return out;
    }
    put_id(&mut out, id::VOID);
    if total < 10 {
        out.push(0x80 | (total - 2) as u8);
    } else {
        out.extend_from_slice(&size8(total - 9));
    }
    out
}

/// Appends a Void element that takes `total` bytes in all, with zeros inside.
pub fn put_void(out: &mut Vec<u8>, total: usize) {
    let start = out.len();
    out.extend(void_start(total as u64));
    out.resize(start + total, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(f: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        f(&mut out);
        out
    }

    #[test]
    fn sizes_take_as_few_bytes_as_hold_them() {
        for (size, expected) in [
            (0, vec![0x80]),
            (126, vec![0xFE]),
            (127, vec![0x40, 0x7F]),
            (16382, vec![0x7F, 0xFE]),
            (16383, vec![0x20, 0x3F, 0xFF]),
        ] {
            assert_eq!(bytes(|o| put_size(o, size)), expected, "{size}");
        }
        assert_eq!(size8(5), [1, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn integers_keep_their_sign() {
        for (value, expected) in [
            (0, vec![0xFB, 0x81, 0]),
            (-33, vec![0xFB, 0x81, 0xDF]),
            (127, vec![0xFB, 0x81, 0x7F]),
            (128, vec![0xFB, 0x82, 0, 0x80]),
            (-128, vec![0xFB, 0x81, 0x80]),
            (-129, vec![0xFB, 0x82, 0xFF, 0x7F]),
        ] {
            assert_eq!(bytes(|o| put_int(o, id::REFERENCE_BLOCK, value)), expected, "{value}");
        }
        assert_eq!(bytes(|o| put_int(o, 0xFB, i64::MIN)).len(), 10);
        assert_eq!(bytes(|o| put_uint(o, id::TRACK_NUMBER, 0)), [0xD7, 0x81, 0]);
        assert_eq!(bytes(|o| put_uint(o, id::TRACK_NUMBER, 256)), [0xD7, 0x82, 1, 0]);
        assert_eq!(bytes(|o| put_id(o, id::TIMESTAMP_SCALE)), [0x2A, 0xD7, 0xB1]);
    }

    #[test]
    fn a_void_takes_exactly_what_it_is_told() {
        for total in [2, 3, 9, 10, 11, 200] {
            assert_eq!(bytes(|o| put_void(o, total)).len(), total);
        }
    }

    #[test]
    fn a_string_ends_at_nul() {
        assert_eq!(bytes(|o| put_string(o, id::TAG_NAME, "ab\0c")), [0x45, 0xA3, 0x82, b'a', b'b']);
    }
}
