//! Transparent WebM through GStreamer, with real libvpx, read by others.
//!
//! Tools that are not there make a test print SKIPPED and why. Debian packages: ffmpeg, mkvtoolnix,
//! chromium, firefox-esr, gstreamer1.0-plugins-{base,good,bad}.

mod browser;
mod encoder;
mod files;
mod firefox;
mod media;
mod muxer;
mod validate;
