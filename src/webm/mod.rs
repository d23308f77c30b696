//! Transparent WebM: `vp8alphaenc` and `vp9alphaenc` make it, `webmalphamux` stores it.

pub mod writer;

pub(crate) fn register(_plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Ok(())
}
