//! The element: properties, pads and what the base class asks for.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::write::{Next, State, running_time};
use crate::ready::is_too_late;
use crate::sync::lock;
use crate::webm::writer::MAX_CLUSTER;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("webmalphamux", gst::DebugColorFlags::empty(), Some("WebM muxer with alpha"))
});

const DEFAULT_MIN_CLUSTER: gst::ClockTime = gst::ClockTime::ZERO;
const DEFAULT_MAX_CLUSTER: gst::ClockTime = gst::ClockTime::from_seconds(5);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub streamable: bool,
    pub writing_app: Option<String>,
    pub min_cluster: gst::ClockTime,
    pub max_cluster: gst::ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streamable: false,
            writing_app: None,
            min_cluster: DEFAULT_MIN_CLUSTER,
            max_cluster: DEFAULT_MAX_CLUSTER,
        }
    }
}

#[derive(Default)]
pub struct WebmAlphaMux {
    pub(super) settings: Mutex<Settings>,
    pub(super) state: Mutex<Option<State>>,
    /// Tags by pad, from tag events; those about the stream and those about its file apart.
    pub(super) tags: Mutex<HashMap<(String, gst::TagScope), gst::TagList>>,
    /// Set when the caps of a stream changed to what the file cannot say.
    pub(super) failed: Mutex<bool>,
}

#[glib::object_subclass]
impl ObjectSubclass for WebmAlphaMux {
    const NAME: &'static str = "GstBgWebmAlphaMux";
    type Type = super::WebmAlphaMux;
    type ParentType = gst_base::Aggregator;
    type Interfaces = (gst::TagSetter,);
}

impl ObjectImpl for WebmAlphaMux {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoolean::builder("streamable")
                    .nick("Streamable")
                    .blurb(
                        "Write for a pipe or the network: each frame at once, sizes unknown, no cues \
                         and no duration (always so where downstream cannot seek)",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("writing-app")
                    .nick("Writing application")
                    .blurb("Name of the application, for the file's WritingApp (unset = bgremove)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("min-cluster-duration")
                    .nick("Minimum cluster duration")
                    .blurb(
                        "A key frame begins no new cluster before the last one is this long, in \
                         nanoseconds (0 = every key frame begins one)",
                    )
                    .maximum(MAX_CLUSTER * 1_000_000)
                    .default_value(DEFAULT_MIN_CLUSTER.nseconds())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("max-cluster-duration")
                    .nick("Maximum cluster duration")
                    .blurb(
                        "A cluster ends when it is this long, in nanoseconds; what is not in a \
                         finished cluster is lost when the pipeline is killed",
                    )
                    .minimum(1_000_000)
                    .maximum(MAX_CLUSTER * 1_000_000)
                    .default_value(DEFAULT_MAX_CLUSTER.nseconds())
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if is_too_late(&*self.obj(), pspec, value) {
            return;
        }
        let mut settings = lock(&self.settings);
        let time = || gst::ClockTime::from_nseconds(value.get::<u64>().unwrap_or_default());
        match pspec.name() {
            "streamable" => settings.streamable = value.get().unwrap_or_default(),
            "writing-app" => settings.writing_app = value.get().unwrap_or_default(),
            "min-cluster-duration" => settings.min_cluster = time(),
            "max-cluster-duration" => settings.max_cluster = time(),
            name => gst::warning!(CAT, imp = self, "no property {name}"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "streamable" => settings.streamable.to_value(),
            "writing-app" => settings.writing_app.to_value(),
            "min-cluster-duration" => settings.min_cluster.nseconds().to_value(),
            "max-cluster-duration" => settings.max_cluster.nseconds().to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for WebmAlphaMux {}
impl TagSetterImpl for WebmAlphaMux {}

impl ElementImpl for WebmAlphaMux {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "WebM Alpha Muxer",
                "Codec/Muxer",
                "Muxes VP8 and VP9, with or without alpha, Opus and Vorbis to WebM",
                "The bgremove authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let size = |caps: gst::caps::Builder<gst::caps::NoFeature>| {
                caps.field("width", gst::IntRange::new(1, i32::MAX))
                    .field("height", gst::IntRange::new(1, i32::MAX))
                    .build()
            };
            let mut video = size(gst::Caps::builder("video/x-vp9"));
            video.make_mut().append(size(gst::Caps::builder("video/x-vp8")));
            let audio: gst::Caps = ["audio/x-opus", "audio/x-vorbis"]
                .map(|name| gst::Structure::builder(name).build())
                .into_iter()
                .collect();
            let src: gst::Caps = ["video/webm", "audio/webm"]
                .map(|name| gst::Structure::builder(name).build())
                .into_iter()
                .collect();
            let request = |name, caps: &gst::Caps| {
                gst::PadTemplate::with_gtype(
                    name,
                    gst::PadDirection::Sink,
                    gst::PadPresence::Request,
                    caps,
                    gst_base::AggregatorPad::static_type(),
                )
            };
            [
                request("video_%u", &video),
                request("audio_%u", &audio),
                gst::PadTemplate::with_gtype(
                    "src",
                    gst::PadDirection::Src,
                    gst::PadPresence::Always,
                    &src,
                    gst_base::AggregatorPad::static_type(),
                ),
            ]
            .into_iter()
            .filter_map(Result::ok)
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn request_new_pad(
        &self,
        templ: &gst::PadTemplate,
        name: Option<&str>,
        caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        if lock(&self.state).is_some() {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Mux,
                ("no stream can be added to a WebM file once it has begun; link all streams before")
            );
            return None;
        }
        self.parent_request_new_pad(templ, name, caps)
    }
}

impl AggregatorImpl for WebmAlphaMux {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        *lock(&self.failed) = false;
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        lock(&self.tags).clear();
        Ok(())
    }

    fn flush(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::debug!(CAT, imp = self, "flushed: the file begins anew, as filesink's does");
        *lock(&self.state) = None;
        self.parent_flush()
    }

    fn create_new_pad(
        &self,
        templ: &gst::PadTemplate,
        req_name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst_base::AggregatorPad> {
        // The base class would call every pad sink_0, sink_1 and so on.
        let prefix = templ.name_template().trim_end_matches("%u");
        let obj = self.obj();
        let name = match req_name.filter(|name| !name.contains('%')) {
            Some(name) => name.to_string(),
            None => (0u32..)
                .map(|number| format!("{prefix}{number}"))
                .find(|name| obj.static_pad(name).is_none())?,
        };
        if obj.static_pad(&name).is_some() {
            gst::warning!(CAT, imp = self, "there is a pad {name} already");
            return None;
        }
        let pad = gst::PadBuilder::<gst_base::AggregatorPad>::from_template(templ).name(name).build();
        // SAFETY: the pad is ours alone. GstAggregator adds what it gets to the element, which takes over a floating
        // reference only; with one that is not (as of gst-base 0.25) each pad would be left for ever.
        unsafe { glib::gobject_ffi::g_object_force_floating(pad.as_ptr().cast()) };
        Some(pad)
    }

    fn next_time(&self) -> Option<gst::ClockTime> {
        // Live: the earliest frame that is there is written when its time has come, whether or not
        // the others have one. The file cannot begin before all have.
        lock(&self.state).as_ref()?;
        let heads = self.pads().into_iter().filter_map(|pad| {
            let buffer = pad.peek_buffer()?;
            running_time(&pad, &buffer).ok().map(|time| time.unwrap_or(0))
        });
        heads.min().map(gst::ClockTime::from_nseconds)
    }

    fn sink_event(&self, pad: &gst_base::AggregatorPad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Tag(tag) => {
                let key = (pad.name().to_string(), tag.tag().scope());
                let mut tags = lock(&self.tags);
                match tags.get_mut(&key) {
                    Some(list) => {
                        list.make_mut().insert(tag.tag(), gst::TagMergeMode::Replace);
                    }
                    None => {
                        tags.insert(key, tag.tag_owned());
                    }
                }
            }
            gst::EventView::Caps(caps) => {
                if let Err(what) = self.caps_fit(pad, caps.caps()) {
                    let _error = self.refuse(&what);
                    return false;
                }
            }
            _ => {}
        }
        self.parent_sink_event(pad, event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Seek {
            gst::debug!(CAT, imp = self, "a file being written cannot be seeked");
            return false;
        }
        self.parent_src_event(event)
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Seeking(seeking) = query.view_mut() {
            let format = seeking.format();
            seeking.set(
                false,
                gst::GenericFormattedValue::none_for_format(format),
                gst::GenericFormattedValue::none_for_format(format),
            );
            return true;
        }
        self.parent_src_query(query)
    }

    fn aggregate(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        if *lock(&self.failed) {
            return Err(gst::FlowError::Error);
        }
        if lock(&self.state).is_none() {
            let Some((state, out)) = self.begin()? else {
                return Err(gst_base::AGGREGATOR_FLOW_NEED_DATA);
            };
            *lock(&self.state) = Some(state);
            self.send(out)?;
        }
        let (out, end) = {
            let mut guard = lock(&self.state);
            let Some(state) = guard.as_mut() else { return Err(gst::FlowError::Flushing) };
            match self.next(state, timeout)? {
                Next::Need => return Err(gst_base::AGGREGATOR_FLOW_NEED_DATA),
                Next::Skip(index) => {
                    state.streams[index].pad.drop_buffer();
                    (Vec::new(), false)
                }
                Next::Frame(index, time) => {
                    let buffer = state.streams[index].pad.pop_buffer();
                    let Some(buffer) = buffer else { return Err(gst::FlowError::Flushing) };
                    (self.frame(state, index, time, &buffer)?.into_iter().collect(), false)
                }
                Next::End => (self.end(state), true),
            }
        };
        self.send(out)?;
        if end { Err(gst::FlowError::Eos) } else { Ok(gst::FlowSuccess::Ok) }
    }
}
