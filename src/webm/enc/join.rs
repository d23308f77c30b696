//! Puts each colour frame together with its alpha frame.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::glib::translate::IntoGlibPtr;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::key_frames::{KeyFrames, Request};
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "alphaencjoin",
        gst::DebugColorFlags::empty(),
        Some("colour and alpha to one stream"),
    )
});

/// Frames that one encoder may be ahead of the other. The queue before the alpha encoder holds two,
/// and neither encoder keeps any back.
const AHEAD: usize = 16;

/// What comes from the colour encoder, in its order.
enum Item {
    Frame(gst::Buffer),
    Event(gst::Event),
    Eos(gst::Event),
}

/// What to do next.
enum Step {
    Pair(gst::Buffer, gst::Buffer),
    Event(gst::Event),
    Wait,
}

#[derive(Default)]
struct State {
    colour: VecDeque<Item>,
    alpha: VecDeque<gst::Buffer>,
    alpha_eos: bool,
    /// Whether a pair of key frames has gone out since the start or the last flush.
    started: bool,
    /// Set from flush start to flush stop, for each pad.
    flushing: [bool; 2],
    /// Why nothing more will go out.
    ended: Option<gst::FlowError>,
}

impl State {
    fn next(&mut self) -> Result<Step, String> {
        match (self.colour.front(), self.alpha.front()) {
            (Some(Item::Frame(colour)), Some(alpha)) => {
                let (at, alpha_at) = (colour.pts(), alpha.pts());
                if at != alpha_at {
                    let missing = if at < alpha_at { "alpha" } else { "colour" };
                    return Err(format!(
                        "the {missing} encoder dropped a frame: colour is at {}, alpha at {}",
                        at.display(),
                        alpha_at.display()
                    ));
                }
            }
            (Some(Item::Frame(colour)), None) if self.alpha_eos => {
                return Err(format!(
                    "the alpha encoder ended without a frame for the colour at {}",
                    colour.pts().display()
                ));
            }
            (Some(Item::Eos(_)), Some(alpha)) => {
                return Err(format!(
                    "the colour encoder ended without a frame for the alpha at {}",
                    alpha.pts().display()
                ));
            }
            (Some(Item::Eos(_)), None) if !self.alpha_eos => return Ok(Step::Wait),
            _ => {}
        }
        let frames = self.colour.iter().filter(|item| matches!(item, Item::Frame(_))).count();
        if frames > AHEAD || self.alpha.len() > AHEAD {
            return Err(format!(
                "one encoder is {AHEAD} frames behind the other ({frames} of colour, {} of alpha wait)",
                self.alpha.len()
            ));
        }
        Ok(match self.colour.pop_front() {
            Some(Item::Event(event) | Item::Eos(event)) => Step::Event(event),
            Some(Item::Frame(colour)) => match self.alpha.pop_front() {
                Some(alpha) => Step::Pair(colour, alpha),
                None => {
                    self.colour.push_front(Item::Frame(colour));
                    Step::Wait
                }
            },
            None => Step::Wait,
        })
    }

    fn reset(&mut self) {
        *self = Self { flushing: self.flushing, ..Self::default() };
    }
}

pub(crate) struct Join {
    colour: gst::Pad,
    alpha: gst::Pad,
    src: gst::Pad,
    keys: Mutex<Arc<KeyFrames>>,
    state: Mutex<State>,
    /// Held while something goes downstream, so that two threads keep one order.
    pushing: Mutex<()>,
}

impl Join {
    pub(super) fn set_keys(&self, keys: Arc<KeyFrames>) {
        *lock(&self.keys) = keys;
    }

    fn fail(&self, what: &str) -> gst::FlowError {
        lock(&self.state).ended = Some(gst::FlowError::Error);
        gst::element_imp_error!(
            self,
            gst::StreamError::Encode,
            ("colour and alpha fell out of step: {what}")
        );
        gst::FlowError::Error
    }

    /// Sends downstream whatever is complete.
    fn drain(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let _order = lock(&self.pushing);
        loop {
            let step = {
                let mut state = lock(&self.state);
                if state.flushing != [false; 2] {
                    return Err(gst::FlowError::Flushing);
                }
                if let Some(ended) = state.ended {
                    return Err(ended);
                }
                state.next()
            };
            match step.map_err(|what| self.fail(&what))? {
                Step::Wait => return Ok(gst::FlowSuccess::Ok),
                Step::Event(event) => {
                    self.src.push_event(event);
                }
                Step::Pair(colour, alpha) => {
                    let buffer = self.pair(colour, alpha)?;
                    if let Err(error) = self.src.push(buffer) {
                        if error != gst::FlowError::Flushing {
                            lock(&self.state).ended = Some(error);
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    fn pair(&self, colour: gst::Buffer, alpha: gst::Buffer) -> Result<gst::Buffer, gst::FlowError> {
        let at = colour.pts();
        if colour.size() == 0 || alpha.size() == 0 {
            return Err(self.fail(&format!("an encoder gave an empty frame at {}", at.display())));
        }
        let delta = |buffer: &gst::Buffer| buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let stale = !delta(&colour) && delta(&alpha);
        let key = !delta(&colour) && !delta(&alpha);
        let started = {
            let mut state = lock(&self.state);
            state.started |= key;
            state.started
        };
        if !started {
            return Err(self.fail(&format!("no key frame of both at the start ({})", at.display())));
        }
        let mut buffer = colour;
        let buffer_ref = buffer.make_mut();
        if stale {
            // Decoding could start here in colour but not in alpha: nobody may seek to it.
            gst::warning!(CAT, imp = self, "only colour has a key frame at {}", at.display());
            buffer_ref.set_flags(gst::BufferFlags::DELTA_UNIT);
            lock(&self.keys).request(Request::OWN);
        }
        // SAFETY: the buffer is writable, and the function takes the reference to the alpha buffer
        // (transfer full), which gst_video::VideoCodecAlphaMeta::add() 0.25 does not give it.
        unsafe {
            gst_video::ffi::gst_buffer_add_video_codec_alpha_meta(
                buffer_ref.as_mut_ptr(),
                alpha.into_glib_ptr(),
            );
        }
        Ok(buffer)
    }

    fn chain(&self, item: Result<gst::Buffer, gst::Buffer>) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut state = lock(&self.state);
            match item {
                Ok(colour) => state.colour.push_back(Item::Frame(colour)),
                Err(alpha) => state.alpha.push_back(alpha),
            }
        }
        self.drain()
    }

    fn colour_event(&self, event: gst::Event) -> bool {
        let event = lock(&self.keys).numbers.goes(event);
        match event.view() {
            gst::EventView::FlushStart(_) => {
                lock(&self.state).flushing[0] = true;
                return self.src.push_event(event);
            }
            gst::EventView::FlushStop(_) => {
                // Nobody pushes any more when this lock is had.
                let _order = lock(&self.pushing);
                let mut state = lock(&self.state);
                state.reset();
                state.flushing[0] = false;
                drop(state);
                return self.src.push_event(event);
            }
            _ => {}
        }
        let item = match event.view() {
            gst::EventView::Eos(_) => Item::Eos(event),
            gst::EventView::Caps(caps) => {
                let mut caps = caps.caps_owned();
                let caps_ref = caps.make_mut();
                caps_ref.set("codec-alpha", true);
                if caps_ref.structure(0).is_some_and(|s| s.name() == "video/x-vp9") {
                    // No hidden frames: each buffer is one whole super frame.
                    caps_ref.set("alignment", "super-frame");
                }
                Item::Event(gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build())
            }
            _ => Item::Event(event),
        };
        lock(&self.state).colour.push_back(item);
        self.drain().is_ok()
    }

    fn alpha_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStart(_) => lock(&self.state).flushing[1] = true,
            gst::EventView::FlushStop(_) => {
                let _order = lock(&self.pushing);
                let mut state = lock(&self.state);
                state.alpha.clear();
                state.alpha_eos = false;
                state.flushing[1] = false;
            }
            gst::EventView::Eos(_) => {
                lock(&self.state).alpha_eos = true;
                return self.drain().is_ok();
            }
            gst::EventView::StreamStart(_) => lock(&self.state).alpha_eos = false,
            // The colour stream tells all the rest.
            _ => {}
        }
        true
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let Ok(wish) = gst_video::UpstreamForceKeyUnitEvent::parse(&event) {
            gst::debug!(CAT, imp = self, "asked for a key frame: {wish:?}");
            lock(&self.keys).request(Request {
                running_time: wish.running_time,
                all_headers: wish.all_headers,
                count: wish.count,
                seqnum: Some(event.seqnum()),
            });
            return true;
        }
        // Once, not by both ways.
        self.colour.push_event(event)
    }

    /// What may leave the encoder: what downstream takes, less the fields that only the pair has.
    fn colour_caps(&self, query: &mut gst::query::Caps<gst::QueryRef>) {
        let mut can = self.src.peer_query_caps(None);
        for structure in can.make_mut().iter_mut() {
            structure.remove_fields(["codec-alpha", "alignment"]);
        }
        let mut can = can.intersect(&self.colour.pad_template_caps());
        if let Some(filter) = query.filter() {
            can = filter.intersect_with_mode(&can, gst::CapsIntersectMode::First);
        }
        query.set_result(&can);
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Join {
    const NAME: &'static str = "GstBgAlphaEncJoin";
    type Type = super::Join;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("made in pad_templates()");
        let error = || Err(gst::FlowError::Error);
        let colour = gst::Pad::builder_from_template(&template("colour"))
            .chain_function(move |_, parent, buffer| {
                Self::catch_panic_pad_function(parent, error, |this| this.chain(Ok(buffer)))
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.colour_event(event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| match query.view_mut() {
                        gst::QueryViewMut::Caps(caps) => {
                            this.colour_caps(caps);
                            true
                        }
                        gst::QueryViewMut::AcceptCaps(_) => {
                            gst::Pad::query_default(pad, Some(&*this.obj()), query)
                        }
                        _ => this.src.peer_query(query),
                    },
                )
            })
            .build();
        let alpha = gst::Pad::builder_from_template(&template("alpha"))
            .chain_function(move |_, parent, buffer| {
                Self::catch_panic_pad_function(parent, error, |this| this.chain(Err(buffer)))
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.alpha_event(event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| match query.view_mut() {
                        gst::QueryViewMut::Caps(caps) => {
                            this.colour_caps(caps);
                            true
                        }
                        _ => gst::Pad::query_default(pad, Some(&*this.obj()), query),
                    },
                )
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(event))
            })
            .build();
        Self {
            colour,
            alpha,
            src,
            keys: Mutex::default(),
            state: Mutex::default(),
            pushing: Mutex::default(),
        }
    }
}

impl ObjectImpl for Join {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [&self.colour, &self.alpha, &self.src] {
            if obj.add_pad(pad).is_err() {
                gst::error!(CAT, imp = self, "pad {} is there already", pad.name());
            }
        }
    }
}

impl GstObjectImpl for Join {}

impl ElementImpl for Join {
    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps: gst::Caps = ["video/x-vp8", "video/x-vp9"]
                .map(|name| gst::Structure::builder(name).build())
                .into_iter()
                .collect();
            let make =
                |name, direction| gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps);
            [
                make("colour", gst::PadDirection::Sink),
                make("alpha", gst::PadDirection::Sink),
                make("src", gst::PadDirection::Src),
            ]
            .into_iter()
            .filter_map(Result::ok)
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let result = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.state) = State::default();
        }
        Ok(result)
    }
}
