//! Which network is loaded for a stream: the one that `model` names, or the one that `auto` resolves to.

use super::engine::{Loaded, MatteEngine};
use super::imp::{BgRemove, CAT};
use super::keying::Keying;
use super::settings::Settings;
use crate::auto::{self, Best, Candidate, Chosen, Figure, Trial, Unknown};
use crate::error::{Error, ErrorKind};
use crate::models::{self, FileSource, Network};
use crate::runtime::{self, Cancel, Provider, Runtime};
use crate::subjects::Wanted;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::VideoInfo;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a live stream may wait at its start for the measurement that `auto` needs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name of the structure in the message about what `auto` resolved to.
pub(super) const MESSAGE: &str = "bgremove-model";

/// All that loading a network depends on.
#[derive(Clone)]
pub struct LoadRequest {
    /// The folder that the plugin was loaded from: ONNX Runtime may lie there.
    pub folder: Option<PathBuf>,
    pub settings: Arc<Settings>,
    /// The frame's width over its height.
    pub aspect: f64,
    /// The network runs at a lower priority than the stream.
    pub low_priority: bool,
    /// In a live stream, how long an inference may take.
    pub pace: Option<Duration>,
    /// What `auto` has resolved to before in this stream: it does not change.
    pub pinned: Option<Chosen>,
    /// What a network has run on before in this stream, which does not change either.
    pub settled: Option<Settled>,
}

/// A network's file, and the provider that it runs on.
pub type Settled = (FileSource, Provider);

impl LoadRequest {
    /// Loads it. `beside`: in a thread beside the stream, where measuring for `auto` may take its time, until `cancel` is called.
    /// Otherwise the stream waits: measuring goes on until it is `interrupted` or a moment has passed, and then in another
    /// thread until `cancel` is called.
    ///
    /// # Errors
    /// When there is no such network, or it cannot be used.
    pub fn load(
        &self,
        beside: bool,
        cancel: &Cancel,
        interrupted: impl Fn() -> bool,
    ) -> Result<Loaded, Error> {
        if self.settings.is_key() {
            read_subject(&self.settings.subject, true)?;
            let keying = Keying::load(&self.settings, self.folder.as_deref(), self.aspect)?;
            return Ok(Loaded { engine: MatteEngine::Key(Box::new(keying)), chosen: None });
        }
        let runtime = runtime::open_for(self.folder.as_deref(), self.settings.provider.wanted())?;
        NetworkRequest { runtime, of: self }.load(&Wait { beside, cancel, interrupted: &interrupted })
    }
}

/// A request that is for a network.
struct NetworkRequest<'a> {
    runtime: &'static Runtime,
    of: &'a LoadRequest,
}

impl NetworkRequest<'_> {
    fn load(&self, wait: &Wait<'_>) -> Result<Loaded, Error> {
        if self.of.settings.model != auto::AUTO {
            return Ok(Loaded { engine: self.load_named(&self.of.settings.model, wait)?, chosen: None });
        }
        if let Some(chosen) = &self.of.pinned {
            return self.load_chosen(chosen.clone(), wait);
        }
        let best = auto::look();
        if let Ok(loaded) = self.choose(&best, wait)? {
            return Ok(loaded);
        }
        match self.choose(&best, wait)? {
            Ok(loaded) => Ok(loaded),
            Err(instead) => self.load_chosen(instead, wait),
        }
    }

    /// Chooses once. `Ok(Err)`: the best network was loaded on another provider than the measured one. The measurement is
    /// forgotten; the caller tries again, and takes this choice if it happens again.
    fn choose(&self, best: &Best, wait: &Wait<'_>) -> Result<Result<Loaded, Chosen>, Error> {
        let (mut figure, mut unsettled) = (None, false);
        let chosen = match self.of.pace {
            None => auto::for_files(best),
            Some(length) => auto::for_pace(best, length, || match self.measure(wait) {
                Ok(run) => Ok(figure.insert(run).clone()),
                Err(Unknown::Because(why)) => Err(why),
                Err(Unknown::Interrupted) => {
                    unsettled = true;
                    Err(String::new())
                }
            }),
        };
        if unsettled {
            // Interrupted: this network serves until `auto` is resolved later.
            return Ok(Ok(Loaded { engine: self.load_named(chosen.model, wait)?, chosen: None }));
        }
        if chosen.model != auto::BEST {
            return self.load_chosen(chosen, wait).map(Ok);
        }
        match (self.load_by(chosen.model, figure.as_ref(), wait), figure) {
            // The figure is of another provider, and worth nothing here.
            (Ok(MatteEngine::Network(network)), Some(Figure { provider, .. }))
                if provider != network.session.provider.name() =>
            {
                // Another element may have measured it again already.
                if let Ok(trial) = self.trial(auto::BEST)
                    && trial.known().is_some_and(|now| now.provider == provider)
                {
                    trial.forget();
                }
                Ok(Err(Chosen::unsteady(&provider, network.session.provider.name())))
            }
            (Ok(engine), _) => Ok(Ok(Loaded { engine, chosen: Some(chosen) })),
            // Its file is damaged. The built-in network cannot be.
            (Err(e), _) => self.load_chosen(Chosen::unusable(&e.text), wait).map(Ok),
        }
    }

    fn load_chosen(&self, chosen: Chosen, wait: &Wait<'_>) -> Result<Loaded, Error> {
        Ok(Loaded { engine: self.load_named(chosen.model, wait)?, chosen: Some(chosen) })
    }

    fn load_named(&self, model: &str, wait: &Wait<'_>) -> Result<MatteEngine, Error> {
        self.load_by(model, None, wait)
    }

    /// `figure`: what it was chosen by, which may be kept nowhere.
    fn load_by(&self, model: &str, figure: Option<&Figure>, wait: &Wait<'_>) -> Result<MatteEngine, Error> {
        let trial = self.trial(model)?;
        let low_priority = self.of.low_priority;
        let settled = self.of.settled.as_ref().filter(|(source, _)| *source == trial.network.choice().source);
        let network = match (settled, figure) {
            (Some((_, provider)), _) => trial.load(low_priority, Some(*provider)),
            (None, Some(figure)) => trial.load_by(Some(figure), low_priority),
            (None, None) => {
                trial.load_fastest(low_priority, wait.beside, PATIENCE, wait.cancel, wait.interrupted)
            }
        };
        network.map(|network| MatteEngine::Network(Box::new(network)))
    }

    /// How long a run of the best network takes: as kept on disk, or measured.
    fn measure(&self, wait: &Wait<'_>) -> Result<Figure, Unknown> {
        let trial = self.trial(auto::BEST)?;
        match trial.known() {
            Some(run) => Ok(run),
            None if wait.beside => Ok(trial.run_beside(wait.cancel)?),
            None => trial.run_within(PATIENCE, wait.cancel, wait.interrupted),
        }
    }

    /// A network as it would be run.
    fn trial(&self, model: &str) -> Result<Trial, Error> {
        trial(&self.of.settings, self.runtime, model, self.of.aspect)
    }
}

/// How a load may hold up its thread; as for [`LoadRequest::load`].
struct Wait<'a> {
    beside: bool,
    cancel: &'a Cancel,
    interrupted: &'a dyn Fn() -> bool,
}

/// A network as it would be run with these settings.
///
/// # Errors
/// When there is no such network.
pub fn trial(
    settings: &Settings,
    runtime: &'static Runtime,
    model: &str,
    aspect: f64,
) -> Result<Trial, Error> {
    Ok(Trial {
        runtime,
        network: Candidate::new(choose(settings, model, Some(aspect))?)?,
        target: settings.target(),
        threads: settings.threads,
        side: settings.resolution,
        aspect,
    })
}

/// The file that a model's name means, and all that is said of it.
pub fn choose(settings: &Settings, model: &str, aspect: Option<f64>) -> Result<models::Choice, Error> {
    let mut choice = models::resolve(model, aspect)?;
    if let Some(options) = &settings.model_options {
        choice.hints = models::from_structure(options)?.or(choice.hints);
    }
    Ok(choice)
}

/// Who is meant by the text of `subject`. `key`: there is no network.
///
/// # Errors
/// [`ErrorKind::Setting`] for a text that means nobody, and for anybody but all where there is no network.
pub fn read_subject(text: &str, key: bool) -> Result<Wanted, Error> {
    match Wanted::parse(text)? {
        Wanted::All => Ok(Wanted::All),
        _ if key => Err(Error::new(
            ErrorKind::Setting,
            format!(
                "subject '{text}' cannot be used with model=key, which knows the screen and not who is before it"
            ),
        )),
        wanted => Ok(wanted),
    }
}

impl BgRemove {
    /// What is to be loaded for the settings, as the stream is now. `live`: as far as is known; `length`: of a frame.
    pub(super) fn load_request(
        &self,
        settings: Arc<Settings>,
        aspect: f64,
        (live, length): (bool, Option<Duration>),
    ) -> LoadRequest {
        let is_async = settings.is_async(live);
        let pace = (live || is_async).then(|| {
            let length = length.unwrap_or(auto::USUAL_FRAME).saturating_mul(settings.interval.max(1));
            let rate = settings.max_rate;
            // `max-inference-rate` leaves more time for each.
            let least =
                if rate > 0.0 { Duration::try_from_secs_f64(1.0 / rate).unwrap_or(length) } else { length };
            length.max(least)
        });
        let (pinned, settled) = (lock(&self.chosen).clone(), lock(&self.settled).clone());
        LoadRequest { folder: self.folder(), settings, aspect, low_priority: is_async, pace, pinned, settled }
    }

    /// Sets the network in use, if it is one, and why it was chosen; posts a message if that is new.
    pub(super) fn install_network(&self, engine: &MatteEngine, chosen: Option<Chosen>) {
        if engine.any_network().is_some() {
            // Opened for it, if not before.
            *lock(&self.runtime) = runtime::open(None).ok();
        }
        self.set_network(engine.any_network().cloned());
        self.settle(engine.network());
        let news = {
            let mut known = lock(&self.chosen);
            let news = chosen.as_ref().filter(|c| known.as_ref() != Some(*c)).cloned();
            *known = chosen;
            news
        };
        if let Some(chosen) = news {
            self.post_choice(&chosen);
        }
    }

    /// This network runs, and keeps its provider to the end of the stream.
    pub(super) fn settle(&self, network: Option<&Network>) {
        *lock(&self.settled) = network.map(|n| (n.source().clone(), n.session.provider));
    }

    fn post_choice(&self, chosen: &Chosen) {
        let mut text = chosen.line();
        let mut details = gst::Structure::builder(MESSAGE)
            .field("job-id", self.job_id())
            .field("model", chosen.model)
            .field("reason", &chosen.reason);
        if let Some(advice) = &chosen.advice {
            details = details.field("advice", advice);
            text += &format!("\n{advice}");
        }
        gst::info!(CAT, imp = self, "{text}");
        // gst-launch-1.0 shows only the debug part of an info message.
        let message = gst::message::Info::builder(gst::LibraryError::Settings, &text)
            .debug(&text)
            .details(details.build())
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }

    /// The model in use: as the property has it, or for `auto` what that has resolved to.
    pub(super) fn active_model(&self) -> String {
        let settings = self.settings();
        let chosen = lock(&self.chosen).as_ref().map(|c| c.model.to_string());
        // Before `auto` is resolved, the network that serves meanwhile.
        let running = || {
            let network = lock(&self.network);
            network.as_ref().filter(|_| settings.model == auto::AUTO).map(|n| n.name.clone())
        };
        chosen.or_else(running).unwrap_or_else(|| settings.model.clone())
    }

    /// Whether `auto` is still to be resolved, for a network that was loaded with these settings.
    pub(super) fn is_auto_unresolved(&self, settings: &Settings) -> bool {
        settings.model == auto::AUTO && lock(&self.chosen).is_none()
    }

    /// Resolves `auto` if a flush has interrupted that. If the flush also interrupted the caps, they are negotiated again anyway;
    /// this is for caps that were already downstream.
    ///
    /// # Errors
    /// As at new caps.
    pub(super) fn resolve_auto(&self) -> Result<(), Error> {
        let unsettled = lock(&self.state)
            .as_ref()
            .filter(|s| self.is_auto_unresolved(&s.loaded))
            .map(|s| s.input.clone());
        let caps = self.obj().src_pad().current_caps();
        let output = caps.and_then(|caps| VideoInfo::from_caps(&caps).ok());
        match unsettled.zip(output) {
            Some((input, output)) => self.configure(&input, &output),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element;

    #[test]
    fn what_was_interrupted_is_settled_before_the_next_frame() {
        gst::init().unwrap();
        let bg = glib::Object::new::<element::BgRemove>();
        bg.set_property("model", auto::AUTO);
        let bus = gst::Bus::new();
        bg.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&bg, Some("sink"), Some("src"));
        harness.set_src_caps_str("video/x-raw,format=RGBA,width=16,height=16,framerate=5/1");
        harness.play();
        let mut push = || harness.push(gst::Buffer::from_mut_slice(vec![0u8; 16 * 16 * 4])).unwrap();
        let messages = || std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Info])).count();
        push();
        let chosen = lock(&bg.imp().chosen).clone();
        assert!(chosen.is_some() && messages() == 1);
        // The caps are downstream, and nothing is settled.
        *lock(&bg.imp().chosen) = None;
        assert_eq!(bg.imp().active_model(), chosen.as_ref().unwrap().model);
        push();
        assert_eq!((lock(&bg.imp().chosen).clone(), messages()), (chosen, 1));
        push();
        assert_eq!(messages(), 0);
    }
}
