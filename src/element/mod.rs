//! The `bgremove` element: GStreamer on the outside, the other rooms inside.

#[cfg(feature = "analytics")]
mod analytics;
pub(crate) mod caps;
mod choice;
mod control;
mod effort;
mod flow;
mod imp;
mod loader;
mod messages;
mod pool;
mod properties;
mod report;
mod settings;
mod state;
mod stream;
mod worker;

use crate::report::{Outcome, Record};
use crate::video as frames;
use gst::prelude::*;
use gst::subclass::prelude::*;

pub use messages::error_code;
pub use report::elements_of;
pub use settings::{BackgroundFit, ExecutionProvider, InferenceMode, OnError, Output, Refine};

glib::wrapper! {
    /// The `bgremove` element, a [`gst_video::VideoFilter`].
    pub struct BgRemove(ObjectSubclass<imp::BgRemove>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

impl BgRemove {
    /// What `report-location` would write of the run that is under way, or of no run before the first, without
    /// the input's duration, which would have to be asked for upstream.
    pub fn record(&self, outcome: Outcome) -> Record {
        self.imp().record(outcome, None)
    }
}

/// Registers the element and its types.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    for t in [
        BackgroundFit::static_type(),
        ExecutionProvider::static_type(),
        InferenceMode::static_type(),
        OnError::static_type(),
        Output::static_type(),
        Refine::static_type(),
    ] {
        t.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "bgremove", gst::Rank::NONE, BgRemove::static_type())
}
