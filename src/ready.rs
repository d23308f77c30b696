//! Properties that an element takes in READY, and not later.

use gst::prelude::*;

/// Whether a property that is taken in READY (`mutable_ready`) is set above it, where it would hold for the next stream, or for
/// half of this one: then it stays as it is. Warns if another value than its own was set.
pub fn is_too_late(element: &impl IsA<gst::Element>, pspec: &glib::ParamSpec, value: &glib::Value) -> bool {
    let element = element.upcast_ref::<gst::Element>();
    if !pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY) || element.current_state() <= gst::State::Ready
    {
        return false;
    }
    let name = pspec.name();
    let kept = element.property_value(name);
    // A preset sets all properties, and most as they are. Nor is the default a wish: an element may tell what it has made of it.
    let same = |v: &glib::Value| value.compare(v) == Some(std::cmp::Ordering::Equal);
    let nothing = value.get::<Option<String>>().is_ok_and(|text| text.is_none());
    if !nothing && !same(&kept) && !same(pspec.default_value()) {
        let kept = kept.serialize().unwrap_or_default();
        gst::element_warning!(
            element,
            gst::ResourceError::Settings,
            ("{name} is taken in READY; it stays as it is ({kept})")
        );
    }
    true
}
