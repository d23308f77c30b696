//! Transparent WebM: `vp8alphaenc` and `vp9alphaenc` make it, `webmalphamux` stores it.

pub mod enc;
pub mod mux;
pub mod writer;

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    enc::register(plugin)?;
    mux::register(plugin)
}

/// The threads of an encoder, `vp8enc` or `vp9enc`, where nobody says how many. libvpx's of VP8 wait for each other at full speed: beside
/// a decoder and a network, as many as there are processors take tens of times the time of one.
pub fn encoder_threads(factory: &str) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let part = if factory == "vp8enc" { processors / 4 } else { processors };
    part.clamp(1, 16) as u32
}
