//! Transparent WebM through GStreamer, with real libvpx, read by others.
//!
//! Tools that are not there make a test skip, or fail where none may. Debian packages: ffmpeg, mkvtoolnix,
//! chromium, firefox-esr, gstreamer1.0-plugins-{base,good,bad}.

#[path = "../common/chromium.rs"]
mod chromium;
#[path = "../common/mod.rs"]
mod common;
use common::skip;

mod browser;
mod encoder;
mod files;
mod firefox;
mod media;
mod muxer;
mod validate;
