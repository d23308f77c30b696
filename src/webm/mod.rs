//! Transparent WebM: `vp8alphaenc` and `vp9alphaenc` make it, `webmalphamux` stores it.

pub mod enc;
pub mod mux;
pub mod writer;

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    enc::register(plugin)?;
    mux::register(plugin)
}
