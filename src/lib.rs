//! GStreamer plugin that removes the background from video.

pub mod frame;
pub mod webm;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    webm::register(plugin)?;
    Ok(())
}

gst::plugin_define!(
    bgremove,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://gstreamer.freedesktop.org",
    env!("BUILD_REL_DATE")
);
