//! What people use it in: calls in browsers, virtual cameras, camera programs, GStreamer's own player of scenarios. Each
//! is the real program without a screen.

#[path = "../common/chromium.rs"]
mod chromium;
#[path = "../common/mod.rs"]
mod common;
use common::skip;

mod effects;
mod pipewire;
mod program;
mod validate;
mod webrtc;
