//! The pipeline around the element: its elements, and one downstream that drops the alpha.

use super::imp::BgRemove;
use super::settings::OutputKind;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::{VideoFormatInfo, VideoInfo};

impl BgRemove {
    /// New caps: elements downstream may have changed, so they are checked again.
    pub(super) fn recheck_downstream_alpha(&self) {
        lock(&self.journal).alpha_checked = false;
    }

    /// Warns, once frames with alpha have gone out, of an element downstream that drops it.
    pub(super) fn check_downstream_alpha(&self) {
        if std::mem::replace(&mut lock(&self.journal).alpha_checked, true) {
            return;
        }
        let src = self.obj().src_pad().clone();
        // On a background, a format with alpha is opaque, and its alpha may be dropped.
        if self.settings().kind() != OutputKind::Transparent
            || !src.current_caps().is_some_and(|c| has_alpha(&c))
        {
            return;
        }
        if let Some((element, caps)) = alpha_dropped_by(&src, 0) {
            self.warn(
                "alpha-dropped",
                |s| s.field("element", &element).field("caps", caps.to_string()),
                |_| {
                    format!(
                        "{element} drops the alpha: its output is {caps}. Name a format that keeps it after {element} \
                         (video/x-raw,format=A444_10LE, RGBA, …), or choose a background"
                    )
                },
            );
        }
    }

    /// The elements of the pipeline, as `factory name`.
    pub(super) fn pipeline(&self) -> Vec<String> {
        let mut top = self.obj().clone().upcast::<gst::Object>();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        top.downcast::<gst::Bin>().map(|bin| elements_of(&bin)).unwrap_or_default()
    }
}

/// The elements in a pipeline, at any depth, as `factory name`, the first ones first.
pub fn elements_of(bin: &gst::Bin) -> Vec<String> {
    let name = |e: gst::Element| {
        let factory = e.factory().map_or_else(|| "?".to_string(), |f| f.name().to_string());
        format!("{factory} {}", e.name())
    };
    // The iterator ends early if the pipeline changes meanwhile.
    let mut elements: Vec<String> =
        bin.iterate_recurse().into_iter().map_while(Result::ok).map(name).collect();
    elements.reverse();
    elements
}

/// Whether raw video of these caps has alpha.
fn has_alpha(caps: &gst::CapsRef) -> bool {
    VideoInfo::from_caps(caps).is_ok_and(|i| VideoFormatInfo::from_format(i.format()).has_alpha())
}

/// The first element downstream that takes raw video with alpha and gives raw video without: its name, and its caps. The search
/// ends at mixers and encoders.
fn alpha_dropped_by(src: &gst::Pad, depth: usize) -> Option<(String, gst::Caps)> {
    /// A longer chain is taken for a loop.
    const DEEPEST: usize = 64;
    let mut sink = src.peer().filter(|_| depth < DEEPEST)?;
    // Into a bin.
    while let Some(ghost) = sink.downcast_ref::<gst::GhostPad>() {
        sink = ghost.target()?;
    }
    let element = sink.parent_element();
    let Some(element) = element else {
        // Out of a bin: the peer is the inner half of a ghost pad.
        let outer = sink.parent()?.downcast::<gst::Pad>().ok()?;
        return alpha_dropped_by(&outer, depth + 1);
    };
    let mixes = sink.pad_template().is_some_and(|t| t.presence() == gst::PadPresence::Request);
    // Ours that give none are meant to: a frame on a background, or another layer of it.
    const MEANT: [&str; 3] = ["videobackdrop", "layerextract", "alphaextract"];
    let meant = element.factory().is_some_and(|f| MEANT.contains(&f.name().as_str()));
    if mixes || meant || element.sink_pads().len() != 1 {
        return None;
    }
    let pads = element.src_pads();
    // An element with several source pads may give the alpha on another one.
    let alone = pads.len() == 1;
    pads.into_iter().find_map(|pad| {
        let caps = pad.current_caps()?;
        if caps.structure(0).is_none_or(|s| s.name() != "video/x-raw") {
            return None;
        }
        if has_alpha(&caps) {
            return alpha_dropped_by(&pad, depth + 1);
        }
        // A canvas of a colour is meant to have none.
        let canvas = element.factory().is_some_and(|f| f.name() == "videocanvas");
        (alone && !canvas).then(|| (element.name().to_string(), caps))
    })
}
