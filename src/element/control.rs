//! What the application sets: settings, backgrounds, networks, and what follows for a running stream.

use super::caps;
use super::imp::{BgRemove, CAT, lock};
use super::pool;
use super::report::Log;
use super::settings::*;
use super::state::State;
use super::worker::Worker;
use crate::compose;
use crate::error::{Error, Kind as ErrorKind};
use crate::matte::Matting;
use crate::models::{self, Network};
use crate::runtime::{self, Runtime};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::VideoInfo;
use std::path::PathBuf;
use std::sync::Arc;

impl BgRemove {
    pub(super) fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    /// Changes the settings; asks for new caps downstream if they need others. In mid-stream a change that
    /// nothing downstream can take leaves things as they are, with a warning.
    pub(super) fn change(&self, f: impl FnOnce(&mut Settings)) {
        let one = lock(&self.changing);
        let old = self.settings();
        let mut new = Settings::clone(&old);
        f(&mut new);
        let kind = new.kind();
        if kind != old.kind()
            && let Some(why) = self.not_taken(kind)
        {
            // Who hears of it may want to set something else.
            drop(one);
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{why} It stays as it was."));
            return;
        }
        *lock(&self.settings) = Arc::new(new);
        if kind != old.kind() {
            self.obj().reconfigure_src();
        }
    }

    /// Changes what the latency depends on.
    pub(super) fn change_pace(&self, f: impl FnOnce(&mut Settings)) {
        self.change(f);
        if lock(&self.aspect).is_some() {
            self.tell_latency();
        }
    }

    /// Why nothing downstream takes what a kind of output gives, once caps are there.
    fn not_taken(&self, kind: Kind) -> Option<String> {
        let obj = self.obj();
        obj.src_pad().current_caps()?;
        let input = obj.sink_pad().current_caps()?;
        let peer = obj.src_pad().peer_query_caps(None);
        let given = caps::transform(gst::PadDirection::Sink, &input, kind);
        (!peer.can_intersect(&given)).then(|| caps::refusal(kind, &input, &peer))
    }

    pub(super) fn set_background(&self, text: String) {
        match compose::parse(&text) {
            Ok(backdrop) => self.change(|s| (s.background, s.backdrop) = (text, Some(backdrop))),
            // Read again on the way to READY, where a bad value fails the state change.
            Err(_) if lock(&self.ready).is_none() => {
                self.change(|s| (s.background, s.backdrop) = (text, None))
            }
            Err(e) => {
                let kept = self.settings().background.clone();
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
            }
        }
    }

    /// Changes what the network depends on. In mid-stream the new one is loaded beside the running one,
    /// in a thread of its own; [`Self::take_over`] puts it in place.
    pub(super) fn change_network(&self, f: impl FnOnce(&mut Settings)) {
        self.change(f);
        self.load_beside();
    }

    pub(super) fn load_beside(&self) {
        let Some(runtime) = *lock(&self.ready) else { return };
        let Some(aspect) = *lock(&self.aspect) else { return };
        let settings = self.settings();
        gst::info!(CAT, imp = self, "loading model '{}' beside the running one", settings.model);
        let behind = settings.is_async(self.was_live());
        self.loader.ask(Arc::clone(&settings), move || load(runtime, &settings, aspect, behind));
    }

    /// Puts a network that has been loaded beside the running one in its place, between two frames.
    pub(super) fn take_over(&self) {
        let Some((wanted, network)) = self.loader.take() else { return };
        let settings = self.settings();
        if !wanted.same_network(&settings) {
            // Changed again since; the later one is still to come.
            return;
        }
        match network {
            Ok(network) => {
                gst::info!(CAT, imp = self, "model '{}' takes over", network.name);
                self.log_provider(&network);
                *lock(&self.network) = Some(network.clone());
                self.employ(&network, &wanted);
                if let Some(state) = lock(&self.state).as_mut() {
                    // Its first mask is on its way; until then the old one's is carried on.
                    state.flow.ask_again();
                    (state.network, state.loaded, state.behind) = (network, wanted, None);
                }
            }
            Err(e) => {
                let kept = lock(&self.state).as_ref().map(|s| Arc::clone(&s.loaded));
                if let Some(kept) = kept {
                    self.keep_network(&e, &wanted, &kept);
                }
            }
        }
    }

    /// NULL to READY: everything that can be known to fail, fails here.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings();
        // Failures have a job, too.
        *lock(&self.log) = Log::new(&settings.job_id);
        if settings.backdrop.is_none() {
            let backdrop = compose::parse(&settings.background)?;
            self.change(|s| {
                if s.background == settings.background {
                    s.backdrop = Some(backdrop);
                }
            });
        }
        let runtime = runtime::open(self.folder().as_deref())?;
        gst::debug!(CAT, imp = self, "ONNX Runtime from {}", runtime.path.display());
        if let Some(provider) = settings.provider.wanted().filter(|p| !p.is_available()) {
            return Err(runtime.lacks(provider));
        }
        let choice = choose(&settings, None)?;
        // A built-in network follows the frame's shape and cannot be broken; a file is tried now.
        if let models::FileSource::File(_) = choice.source {
            // Whether the stream is live, nobody knows yet.
            let behind = settings.is_async(false);
            let network =
                Network::load(runtime, &choice, settings.provider.wanted(), settings.threads, behind)?;
            self.log_provider(&network);
            *lock(&self.network) = Some(network);
        }
        *lock(&self.worker) = Some(Arc::new(Worker::start(runtime)?));
        *lock(&self.pool) = pool::acquire();
        *lock(&self.ready) = Some(runtime);
        Ok(())
    }

    /// The end of what [`Self::prepare`] has begun.
    pub(super) fn release(&self) {
        let worker = lock(&self.worker).take();
        if let Some(worker) = worker {
            worker.stop();
        }
        *lock(&self.pool) = None;
        *lock(&self.network) = None;
        *lock(&self.ready) = None;
        self.loader.forget();
    }

    /// Gives a network to the thread that runs it.
    fn employ(&self, network: &Network, settings: &Settings) {
        if let Some(worker) = self.worker() {
            let side = settings.resolution as usize;
            worker.set(Matting::new(network.clone(), side, settings.follow_subject));
        }
    }

    /// The folder that the plugin was loaded from.
    fn folder(&self) -> Option<PathBuf> {
        let plugin = self.obj().factory()?.plugin()?;
        Some(plugin.filename()?.parent()?.to_path_buf())
    }

    /// New caps: new buffers, and for a frame of another shape perhaps another network.
    pub(super) fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Error> {
        let Some(runtime) = *lock(&self.ready) else {
            return Err(Error::new(ErrorKind::Runtime, "the element is not in READY"));
        };
        let mut guard = lock(&self.state);
        let old = guard.take();
        let mut beside = false;
        let mut state = match old {
            // What is remembered still holds; a network that was asked for meanwhile is on its way.
            Some(mut old) if same_picture(&old.input, input) => {
                old.input = input.clone();
                old.with_output(output)
            }
            old => {
                let aspect = aspect(input);
                *lock(&self.aspect) = Some(aspect);
                // What was asked for with the old shape in mind is asked for again. In this order: whoever sets
                // something from here on asks with the new shape in mind.
                self.loader.forget();
                let settings = self.settings();
                let loaded =
                    old.as_ref().map_or_else(|| Arc::clone(&settings), |old| Arc::clone(&old.loaded));
                beside = !loaded.same_network(&settings);
                let behind = settings.is_async(self.says_live().unwrap_or_default());
                let network = match (load(runtime, &loaded, aspect, behind), &old) {
                    (Ok(network), _) => network,
                    // Its file may be gone; it is in memory.
                    (Err(e), Some(old)) => {
                        gst::warning!(CAT, imp = self, "{e} The one that runs goes on.");
                        old.network.clone()
                    }
                    (Err(e), None) => return Err(e),
                };
                self.log_provider(&network);
                *lock(&self.network) = Some(network.clone());
                self.employ(&network, &loaded);
                State::new(input, output, network, loaded, old.map(|s| s.in_force))
            }
        };
        gst::debug!(
            CAT,
            imp = self,
            "{:?} {}×{} to {:?}, network '{}' {:?}",
            input.format(),
            input.width(),
            input.height(),
            output.format(),
            state.network.name,
            state.network.spec.size
        );
        state.follow(&self.settings());
        let length = state.flow.frame_length(input.fps());
        *guard = Some(state);
        drop(guard);
        self.note_length(Some(length));
        if beside {
            self.load_beside();
        }
        Ok(())
    }

    /// A model that was set in mid-stream cannot be used: sets the last good one again, unless yet another one has
    /// been set since, and says so.
    fn keep_network(&self, e: &Error, wanted: &Settings, kept: &Settings) {
        self.change(|s| {
            if s.same_network(wanted) {
                s.model = kept.model.clone();
                s.model_options = kept.model_options.clone();
                s.resolution = kept.resolution;
                s.follow_subject = kept.follow_subject;
            }
        });
        self.obj().notify("model");
        gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{}'.", kept.model));
    }

    fn log_provider(&self, network: &Network) {
        for why in &network.passed_over {
            gst::warning!(CAT, imp = self, "passed over {why}");
        }
        gst::info!(CAT, imp = self, "model '{}' runs on {}", network.name, network.session.provider.name());
    }

    /// Forgets earlier frames.
    pub(super) fn reset(&self) {
        if let Some(worker) = self.worker() {
            worker.reset();
        }
        lock(&self.pace).refused = None;
        let events = match lock(&self.state).as_mut() {
            Some(state) => {
                lock(&self.stats).resets += 1;
                state.smoother.reset();
                state.flow.reset()
            }
            None => Vec::new(),
        };
        // What stays true after a flush is not lost with the frames before it.
        for event in events.into_iter().filter(|e| e.is_sticky()) {
            let event = self.tag(event);
            let _ = self.obj().src_pad().store_sticky_event(&event);
        }
    }
}

/// Whether two formats differ in nothing but the frame rate.
fn same_picture(a: &VideoInfo, b: &VideoInfo) -> bool {
    let without_rate = |info: &VideoInfo| {
        let mut caps = info.to_caps().ok()?;
        caps.make_mut().structure_mut(0)?.remove_fields(["framerate", "max-framerate"]);
        Some(caps)
    };
    a == b || without_rate(a).is_some_and(|caps| Some(caps) == without_rate(b))
}

/// The network that the settings mean, for frames of this shape.
fn load(runtime: &'static Runtime, settings: &Settings, aspect: f64, behind: bool) -> Result<Network, Error> {
    let choice = choose(settings, Some(aspect))?;
    Network::load(runtime, &choice, settings.provider.wanted(), settings.threads, behind)
}

/// The file that the settings mean, and all that is said of it.
fn choose(settings: &Settings, aspect: Option<f64>) -> Result<models::Choice, Error> {
    let mut choice = models::resolve(&settings.model, aspect)?;
    if let Some(options) = &settings.model_options {
        choice.hints = models::from_structure(options)?.or(choice.hints);
    }
    Ok(choice)
}

/// The frame's width over its height, as it is seen.
fn aspect(info: &VideoInfo) -> f64 {
    f64::from(info.width()) * f64::from(info.par().numer())
        / (f64::from(info.height()) * f64::from(info.par().denom()))
}
