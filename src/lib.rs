//! GStreamer plugin that removes the background from video.
//!
//! A plugin has no use for an interface of Rust's: what is public is what the tool, the tests and the benches need.

mod alphaextract;
mod animation;
pub mod auto;
mod backdrop;
pub mod canvas;
pub mod compose;
pub mod decode;
pub mod draft;
pub mod element;
pub mod error;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod key;
pub mod layers;
pub mod mask;
pub mod matte;
// For the tool, the tests and the benches.
#[cfg(any(feature = "cli", test))]
pub mod measure;
pub mod models;
mod morphology;
mod numbers;
mod paint;
mod ready;
pub mod refine;
pub mod report;
pub mod runtime;
mod sample;
mod scene;
mod simd;
#[cfg(test)]
mod simd_tests;
mod siting;
pub mod subjects;
pub mod sync;
pub mod temporal;
pub mod video;
mod webm;

pub use webm::encoder_threads;

use std::sync::atomic::{AtomicBool, Ordering};

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // GObject knows types by name in the whole process; those of another copy cannot be made anew.
    static OURS: AtomicBool = AtomicBool::new(false);
    if !OURS.load(Ordering::SeqCst) && glib::Type::from_name("GstBgRemove").is_some() {
        return Err(glib::bool_error!(
            "another copy of this plugin is loaded in this process; keep one of them"
        ));
    }
    OURS.store(true, Ordering::SeqCst);
    runtime::exit::wait_in_main_thread();
    element::register(plugin)?;
    webm::register(plugin)?;
    animation::register(plugin)?;
    backdrop::register(plugin)?;
    alphaextract::register(plugin)?;
    layers::register(plugin)?;
    canvas::register(plugin)
}

gst::plugin_define!(
    bgremove,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    // Where it can be had, of which nothing is known here yet; so GStreamer calls that.
    "Unknown package origin",
    env!("BUILD_REL_DATE")
);
