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
    threads_on(factory, std::thread::available_parallelism().map_or(1, |n| n.get()))
}

fn threads_on(factory: &str, processors: usize) -> u32 {
    let part = if factory == "vp8enc" { processors / 4 } else { processors };
    part.clamp(1, 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_takes_a_quarter_of_the_processors_and_vp9_all_up_to_sixteen() {
        let threads = |factory| [1, 2, 8, 16, 128].map(|processors| threads_on(factory, processors));
        assert_eq!(threads("vp8enc"), [1, 1, 2, 4, 16]);
        assert_eq!(threads("vp9enc"), [1, 2, 8, 16, 16]);
    }
}
