//! Animated pictures for places that play no video: `gifalphaenc` and `webpalphaenc`.
//!
//! ```text
//! … ! bgremove ! videoconvert ! gifalphaenc  ! filesink location=out.gif
//! … ! bgremove ! videoconvert ! webpalphaenc ! filesink location=out.webp
//! ```
//!
//! GIF89a knows a pixel as there or not, has 256 colours and counts time in hundredths of a second. WebP
//! has whole alpha and counts milliseconds. The writers ([`gif`], [`webp`]) know no GStreamer types.

mod element;
pub mod gif;
pub mod webp;

/// A frame to write: R, G, B, A, straight alpha, rows without padding.
#[derive(Clone, Copy, Debug)]
pub struct Rgba<'a> {
    /// In pixels, at least 1.
    pub width: usize,
    /// In pixels, at least 1.
    pub height: usize,
    /// `width · height · 4` bytes.
    pub data: &'a [u8],
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    element::register(plugin)
}
