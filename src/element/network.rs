//! Which network runs: loaded beside the running one when a property asks for another, and installed between two frames.

use super::engine::Loaded;
use super::imp::{BgRemove, CAT};
use super::settings::{DEFAULT_SUBJECT, Settings};
use crate::error::Error;
use crate::matte::Matting;
use crate::models::Network;
use crate::subjects::Wanted;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::Arc;

impl BgRemove {
    /// Changes what the network depends on. In a running stream the new one is loaded in another thread;
    /// [`Self::switch_network`] installs it between two frames.
    pub(super) fn change_network(&self, f: impl FnOnce(&mut Settings)) {
        self.change(f);
        self.load_network();
    }

    pub(super) fn load_network(&self) {
        if self.worker().is_none() {
            return;
        }
        let Some(aspect) = *lock(&self.aspect) else { return };
        let settings = self.settings();
        gst::info!(CAT, imp = self, "loading model '{}' beside the running one", settings.model);
        let stream = (self.known_live(), lock(&self.timing).duration);
        let wanted = self.load_request(Arc::clone(&settings), aspect, stream);
        self.network_loader.request(settings, move |cancel| wanted.load(true, cancel, || false));
    }

    /// Installs a network that has been loaded in the meantime. To be called between two frames.
    pub(super) fn switch_network(&self) {
        let Some((wanted, network)) = self.network_loader.take() else { return };
        let settings = self.settings();
        if !wanted.same_network(&settings) {
            // Changed again since; the later one is still to come.
            return;
        }
        match network {
            Ok(Loaded { engine, chosen }) => {
                gst::info!(CAT, imp = self, "model '{}' takes over", wanted.model);
                if !settings.is_async(self.known_live()) {
                    // Queued frames get the old network's masks.
                    self.drain();
                }
                self.log_provider(engine.any_network());
                self.install_network(&engine, chosen);
                self.set_worker_network(engine.network(), &wanted);
                if let Some(state) = lock(&self.state).as_mut() {
                    // Until its first mask comes, the old network's newest mask is carried.
                    state.flow.network_changed();
                    // The smoother would hold on to the old network's matte where nothing moves.
                    state.forget();
                    (state.engine, state.loaded, state.low_priority) = (engine, wanted, None);
                }
            }
            Err(e) => {
                let kept = lock(&self.state).as_ref().map(|s| Arc::clone(&s.loaded));
                if let Some(kept) = kept {
                    self.revert_network(&e, &wanted, &kept);
                }
            }
        }
    }

    /// Hands a network to the worker, or takes the one away that it has.
    pub(super) fn set_worker_network(&self, network: Option<&Network>, settings: &Settings) {
        if let Some(worker) = self.worker() {
            let side = settings.resolution as usize;
            worker.set_matting(network.map(|n| Matting::new(n.clone(), side, settings.follow_subject)));
        }
    }

    /// A model that was set in a running stream cannot be used: sets the last good one again, with a warning, unless another
    /// has been set since.
    fn revert_network(&self, e: &Error, wanted: &Settings, kept: &Settings) {
        self.change(|s| {
            if s.same_network(wanted) {
                s.model = kept.model.clone();
                s.model_options = kept.model_options.clone();
                s.resolution = kept.resolution;
                s.follow_subject = kept.follow_subject;
                if s.is_key() {
                    // It knows nobody.
                    (s.subject, s.wanted) = (DEFAULT_SUBJECT.into(), Wanted::All);
                }
            }
        });
        self.obj().notify("model");
        gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{}'.", kept.model));
    }

    /// Logs the provider of a network; warns once of each provider that `auto` had to skip.
    pub(super) fn log_provider(&self, network: Option<&Network>) {
        let Some(network) = network else { return };
        let place = network.session.place();
        gst::info!(CAT, imp = self, "model '{}' runs on {place}: {}", network.name, network.reason);
        let told = lock(&self.skipped_providers).clone();
        let news: Vec<String> =
            network.passed_over.iter().filter(|why| !told.contains(why)).cloned().collect();
        if news.is_empty() {
            return;
        }
        let why = news.join("\n");
        let posted = self.warn(
            "provider-failed",
            |s| {
                let provider = why.split(':').next().unwrap_or_default();
                s.field("provider", provider).field("reason", &why)
            },
            |_| {
                format!("execution-provider=auto runs model '{}' on {place}, for want of {why}", network.name)
            },
        );
        if posted {
            lock(&self.skipped_providers).extend(news);
        }
    }

    /// Sets the network in use, or none; notifies `active-execution-provider` if it changes.
    pub(super) fn set_network(&self, network: Option<Network>) {
        let place = |n: &Option<Network>| n.as_ref().map_or_else(String::new, |n| n.session.place());
        let now = place(&network);
        let before = std::mem::replace(&mut *lock(&self.network), network);
        if place(&before) != now {
            self.obj().notify("active-execution-provider");
        }
    }
}
