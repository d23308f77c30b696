//! Changes of properties and caps, and what they set off: renegotiation, a new state, the way to READY and back.

use super::caps;
use super::choice::{choose, read_subject, trial};
use super::engine::{Loaded, MatteEngine};
use super::flow::frame_duration;
use super::imp::{BgRemove, CAT};
use super::journal::Journal;
use super::keying::KeyOptions;
use super::pool;
use super::settings::*;
use super::state::StreamState;
use super::worker::Worker;
use crate::auto;
use crate::compose;
use crate::error::{Error, ErrorKind};
use crate::models;
use crate::runtime;
use crate::subjects::Wanted;
use crate::sync::lock;
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
        self.try_change(f);
    }

    /// As [`Self::change`]; whether it was taken.
    pub(super) fn try_change(&self, f: impl FnOnce(&mut Settings)) -> bool {
        let one = lock(&self.change_lock);
        let old = self.settings();
        let mut new = Settings::clone(&old);
        f(&mut new);
        let kind = new.kind();
        if kind != old.kind()
            && let Some(why) = self.downstream_refusal(kind)
        {
            // A handler of the message may set a property, which takes the lock.
            drop(one);
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{why} It stays as it was."));
            return false;
        }
        *lock(&self.settings) = Arc::new(new);
        if kind != old.kind() {
            self.obj().reconfigure_src();
        }
        true
    }

    /// Changes what the latency depends on.
    pub(super) fn change_latency(&self, f: impl FnOnce(&mut Settings)) {
        self.change(f);
        if lock(&self.aspect).is_some() {
            self.post_latency();
        }
    }

    /// After caps are negotiated: why downstream cannot take this kind of output, if it cannot.
    fn downstream_refusal(&self, kind: OutputKind) -> Option<String> {
        let obj = self.obj();
        obj.src_pad().current_caps()?;
        let input = obj.sink_pad().current_caps()?;
        let peer = obj.src_pad().peer_query_caps(None);
        let given = caps::transform(gst::PadDirection::Sink, &input, kind);
        (!peer.can_intersect(&given)).then(|| caps::refusal(kind, &input, &peer))
    }

    /// Sets `subject`. Before READY a bad value fails the state change; later it is a warning, and who was wanted stays.
    pub(super) fn set_subject(&self, text: String) {
        if self.worker().is_none() {
            let wanted = Wanted::parse(&text).unwrap_or_default();
            return self.choose_subject(text, wanted);
        }
        match read_subject(&text, self.settings().is_key()) {
            Ok(wanted) => self.choose_subject(text, wanted),
            Err(e) => {
                let kept = self.settings().subject.clone();
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e}. It stays '{kept}'."));
            }
        }
    }

    fn choose_subject(&self, text: String, wanted: Wanted) {
        self.change(|s| {
            (s.subject, s.wanted) = (text, wanted);
            s.subject_serial += 1;
        });
    }

    /// NULL to READY: whatever can fail before there is a stream, fails here.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings();
        // Failures have a job, too.
        *lock(&self.journal) = Journal::new(&settings.job_id);
        if settings.active_background.is_none() {
            let background = compose::parse(&settings.background)?;
            self.change(|s| {
                if s.background_serial == settings.background_serial {
                    s.activate_background(s.background.clone(), Some(background));
                }
            });
        }
        read_subject(&settings.subject, settings.is_key())?;
        if settings.is_key() {
            // ONNX Runtime is wanted for a garbage matte only.
            if KeyOptions::read(&settings)?.look_for_network()? {
                runtime::open_for(self.folder().as_deref(), settings.provider.wanted())?;
            }
            return self.start_threads();
        }
        let runtime = runtime::open_for(self.folder().as_deref(), settings.provider.wanted())?;
        gst::debug!(CAT, imp = self, "ONNX Runtime from {}", runtime.path.display());
        if let Some(provider) = settings.provider.wanted().filter(|p| !p.is_available()) {
            return Err(runtime.lacks(provider));
        }
        // `auto` is resolved at the first caps, when it is known whether the stream is live.
        let named = if settings.model == auto::AUTO { auto::LIGHT } else { settings.model.as_str() };
        let choice = choose(&settings, named, None)?;
        // A built-in network is chosen by the frame's shape, at the first caps; a file is loaded now, to find errors early.
        if let models::FileSource::File(_) = choice.source {
            // It is not known yet whether the stream is live.
            let low_priority = settings.is_async(false);
            // Nor which shape frames have: most are about as wide.
            let network = trial(&settings, runtime, named, 16.0 / 9.0)?.load(low_priority, None)?;
            self.log_provider(Some(&network));
            self.set_network(Some(network));
        }
        *lock(&self.runtime) = Some(runtime);
        self.start_threads()
    }

    fn start_threads(&self) -> Result<(), Error> {
        *lock(&self.pool) = pool::acquire();
        *lock(&self.worker) = Some(Arc::new(Worker::start()?));
        // The background may have been set meanwhile.
        let settings = self.settings();
        if settings.active_background.is_none() {
            self.set_background(settings.background.clone());
        }
        Ok(())
    }

    /// READY to NULL: undoes [`Self::prepare`].
    pub(super) fn release(&self) {
        let worker = lock(&self.worker).take();
        if let Some(worker) = worker {
            worker.stop();
        }
        *lock(&self.pool) = None;
        self.set_network(None);
        lock(&self.skipped_providers).clear();
        *lock(&self.runtime) = None;
        self.network_loader.cancel();
        // A picture that is still being read is read again on the way back to READY.
        self.change(|s| {
            if s.background != s.active_background_text {
                s.activate_background(s.background.clone(), None);
            }
        });
    }

    /// The folder that the plugin was loaded from.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let plugin = self.obj().factory()?.plugin()?;
        Some(plugin.filename()?.parent()?.to_path_buf())
    }

    /// New caps: a new [`StreamState`], and perhaps another network for a frame of another shape.
    pub(super) fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Error> {
        if self.worker().is_none() {
            return Err(Error::new(ErrorKind::Runtime, "the element is not in READY"));
        }
        let mut guard = lock(&self.state);
        let old = guard.take();
        let mut beside = false;
        let mut state = match old {
            // Only the output or the frame rate has changed: masks and history still hold.
            Some(mut old) if same_picture(&old.input, input) && !self.is_auto_unresolved(&old.loaded) => {
                old.input = input.clone();
                old.with_output(output)
            }
            old => {
                let aspect = aspect(input);
                *lock(&self.aspect) = Some(aspect);
                // A network that is being loaded for the old shape is loaded again for the new one. The order matters:
                // `aspect` is set first, so that any later request uses it.
                let cancel = self.network_loader.cancel();
                let settings = self.settings();
                let loaded =
                    old.as_ref().map_or_else(|| Arc::clone(&settings), |old| Arc::clone(&old.loaded));
                beside = !loaded.same_network(&settings);
                // If upstream does not answer, it is taken for not live, as in `is_live`.
                let stream = (self.query_live().unwrap_or_default(), frame_duration(input.fps()));
                let wanted = self.load_request(Arc::clone(&loaded), aspect, stream);
                let interrupted = || self.worker().is_none_or(|w| w.is_interrupted());
                let Loaded { engine, chosen } = match (wanted.load(false, &cancel, interrupted), &old) {
                    (Ok(loaded), _) => loaded,
                    // The network that runs is still in memory, though its file may be gone.
                    (Err(e), Some(old)) => {
                        gst::warning!(CAT, imp = self, "{e} The one that runs goes on.");
                        Loaded { engine: old.engine.again(), chosen: lock(&self.chosen).clone() }
                    }
                    (Err(e), None) => return Err(e),
                };
                self.log_provider(engine.any_network());
                self.install_network(&engine, chosen);
                self.set_worker_network(engine.network(), &loaded);
                let in_force = old.as_ref().map(|old| old.in_force.clone());
                let new = StreamState::new(input, output, engine, loaded, in_force);
                old.into_iter().fold(new, StreamState::with_buffers_of)
            }
        };
        gst::debug!(
            CAT,
            imp = self,
            "{:?} {}×{} to {:?}, {}",
            input.format(),
            input.width(),
            input.height(),
            output.format(),
            match &state.engine {
                MatteEngine::Network(network) =>
                    format!("network '{}' {:?}", network.name, network.spec.size),
                MatteEngine::Key(_) => "keyed".into(),
            }
        );
        state.apply_settings(&self.settings());
        let duration = state.flow.frame_duration(input.fps());
        *guard = Some(state);
        drop(guard);
        self.set_frame_duration(Some(duration));
        if beside {
            self.load_network();
        }
        Ok(())
    }

    /// Forgets earlier frames.
    pub(super) fn reset(&self) {
        if let Some(worker) = self.worker() {
            worker.reset();
        }
        *lock(&self.flow_error) = None;
        let events = match lock(&self.state).as_mut() {
            Some(state) => {
                lock(&self.stats).resets += 1;
                state.restart();
                state.flow.reset()
            }
            None => Vec::new(),
        };
        // Sticky events stay on the pad after a flush, also those that were still queued.
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

/// The frame's width over its height, as it is seen.
fn aspect(info: &VideoInfo) -> f64 {
    f64::from(info.width()) * f64::from(info.par().numer())
        / (f64::from(info.height()) * f64::from(info.par().denom()))
}
