//! Changes of properties and caps, and what they set off: renegotiation, loading a picture or a network, a new state.

use super::caps;
use super::choice::{Loaded, Means, choose, read_subject};
use super::flow::frame_length;
use super::imp::{BgRemove, CAT};
use super::keying::KeyOptions;
use super::log::Log;
use super::pool;
use super::settings::*;
use super::state::State;
use super::worker::Worker;
use crate::auto;
use crate::compose::{self, Background, Meaning};
use crate::error::{Error, ErrorKind};
use crate::matte::Matting;
use crate::models::{self, Network};
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
    fn try_change(&self, f: impl FnOnce(&mut Settings)) -> bool {
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
    fn downstream_refusal(&self, kind: Kind) -> Option<String> {
        let obj = self.obj();
        obj.src_pad().current_caps()?;
        let input = obj.sink_pad().current_caps()?;
        let peer = obj.src_pad().peer_query_caps(None);
        let given = caps::transform(gst::PadDirection::Sink, &input, kind);
        (!peer.can_intersect(&given)).then(|| caps::refusal(kind, &input, &peer))
    }

    /// Sets `background`. A colour or a blur holds at once. A picture is read in another thread, and the old background stays
    /// until it is there. Before READY a picture is read on the way to READY, where a bad value fails the state change.
    pub(super) fn set_background(&self, text: String) {
        let early = self.worker().is_none();
        // A controller sets the value again with each frame: do not load again, nor warn again.
        if self.obj().control_binding("background").is_some()
            && (self.settings().background == text || lock(&self.rejected_background).as_ref() == Some(&text))
        {
            return;
        }
        *lock(&self.rejected_background) = None;
        if self.settings().elsewhere(&text).is_some() {
            return self.change(|s| {
                let backdrop = s.elsewhere(&text);
                s.put(text, backdrop);
            });
        }
        match compose::meaning(&text) {
            Ok(Meaning::Known(backdrop)) => self.change(|s| s.put(text, Some(backdrop))),
            Ok(Meaning::Picture(path)) if !early => self.load_picture(text, path),
            Ok(Meaning::Picture(_)) => self.change(|s| s.put(text, None)),
            Err(_) if early => self.change(|s| s.put(text, None)),
            Err(e) => {
                let kept = self.settings().background.clone();
                *lock(&self.rejected_background) = Some(text);
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
            }
        }
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
            s.choices += 1;
        });
    }

    fn load_picture(&self, text: String, path: PathBuf) {
        let mut number = 0;
        self.change(|s| {
            s.texts += 1;
            s.background.clone_from(&text);
            number = s.texts;
        });
        let own = self.obj().downgrade();
        let asked = self.picture_loader.request(number, move || {
            let Some(obj) = own.upgrade() else { return };
            if obj.imp().settings().texts == number {
                obj.imp().picture_loaded(number, compose::open(&text, &path));
            }
        });
        if let Err(e) = asked {
            let e = Error::new(ErrorKind::Setting, format!("no thread to read the background in: {e}."));
            self.picture_loaded(number, Err(e));
        }
    }

    /// A picture has been read, or cannot be. Does nothing if another background has been set since.
    fn picture_loaded(&self, number: u64, read: Result<Background, Error>) {
        let (picture, e) = match read {
            Ok(picture) => (Some(picture), None),
            Err(e) => (None, Some(e)),
        };
        let mut wanted = false;
        // It may be refused by downstream: then the old background stays.
        let took = picture.is_some_and(|picture| {
            self.try_change(|s| {
                wanted = s.texts == number;
                if wanted {
                    s.put(s.background.clone(), Some(picture));
                }
            })
        });
        if took {
            return;
        }
        let mut kept = String::new();
        self.change(|s| {
            wanted = s.texts == number;
            if wanted {
                *lock(&self.rejected_background) = Some(std::mem::take(&mut s.background));
                s.background.clone_from(&s.shown);
                kept.clone_from(&s.shown);
            }
        });
        if !wanted {
            return;
        }
        self.obj().notify("background");
        if let Some(e) = e {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
        }
    }

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
        let stream = (self.known_live(), lock(&self.timing).length);
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
            Ok(Loaded { means, chosen }) => {
                gst::info!(CAT, imp = self, "model '{}' takes over", wanted.model);
                if !settings.is_async(self.known_live()) {
                    // Queued frames get the old network's masks.
                    self.drain();
                }
                self.log_provider(means.any_network());
                self.install_network(&means, chosen);
                self.set_worker_network(means.network(), &wanted);
                if let Some(state) = lock(&self.state).as_mut() {
                    // Until its first mask comes, the old network's newest mask is carried.
                    state.flow.network_changed();
                    // The smoother would hold on to the old network's matte where nothing moves.
                    state.forget();
                    (state.means, state.loaded, state.behind) = (means, wanted, None);
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

    /// NULL to READY: whatever can fail before there is a stream, fails here.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings();
        // Failures have a job, too.
        *lock(&self.log) = Log::new(&settings.job_id);
        if settings.backdrop.is_none() {
            let backdrop = compose::parse(&settings.background)?;
            self.change(|s| {
                if s.texts == settings.texts {
                    s.put(s.background.clone(), Some(backdrop));
                }
            });
        }
        read_subject(&settings.subject, settings.is_key())?;
        if settings.is_key() {
            // ONNX Runtime is wanted for a garbage mask only.
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
            let behind = settings.is_async(false);
            let network = Network::load(runtime, &choice, &settings.target(), settings.threads, behind)?;
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
        if settings.backdrop.is_none() {
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
            if s.background != s.shown {
                s.put(s.background.clone(), None);
            }
        });
    }

    /// Hands a network to the worker, or takes the one away that it has.
    fn set_worker_network(&self, network: Option<&Network>, settings: &Settings) {
        if let Some(worker) = self.worker() {
            let side = settings.resolution as usize;
            worker.set_matting(network.map(|n| Matting::new(n.clone(), side, settings.follow_subject)));
        }
    }

    /// The folder that the plugin was loaded from.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let plugin = self.obj().factory()?.plugin()?;
        Some(plugin.filename()?.parent()?.to_path_buf())
    }

    /// New caps: a new [`State`], and perhaps another network for a frame of another shape.
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
                let stream = (self.query_live().unwrap_or_default(), frame_length(input.fps()));
                let wanted = self.load_request(Arc::clone(&loaded), aspect, stream);
                let interrupted = || self.worker().is_none_or(|w| w.is_interrupted());
                let Loaded { means, chosen } = match (wanted.load(false, &cancel, interrupted), &old) {
                    (Ok(loaded), _) => loaded,
                    // The network that runs is still in memory, though its file may be gone.
                    (Err(e), Some(old)) => {
                        gst::warning!(CAT, imp = self, "{e} The one that runs goes on.");
                        Loaded { means: old.means.again(), chosen: lock(&self.chosen).clone() }
                    }
                    (Err(e), None) => return Err(e),
                };
                self.log_provider(means.any_network());
                self.install_network(&means, chosen);
                self.set_worker_network(means.network(), &loaded);
                let in_force = old.as_ref().map(|old| old.in_force.clone());
                let fresh = State::new(input, output, means, loaded, in_force);
                old.into_iter().fold(fresh, State::with_room_of)
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
            match &state.means {
                Means::Network(network) => format!("network '{}' {:?}", network.name, network.spec.size),
                Means::Key(_) => "keyed".into(),
            }
        );
        state.follow(&self.settings());
        let length = state.flow.frame_length(input.fps());
        *guard = Some(state);
        drop(guard);
        self.set_frame_length(Some(length));
        if beside {
            self.load_network();
        }
        Ok(())
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
    fn log_provider(&self, network: Option<&Network>) {
        let Some(network) = network else { return };
        let place = network.session.place();
        gst::info!(CAT, imp = self, "model '{}' runs on {place}", network.name);
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

    /// Forgets earlier frames.
    pub(super) fn reset(&self) {
        if let Some(worker) = self.worker() {
            worker.reset();
        }
        lock(&self.timing).flow_error = None;
        let events = match lock(&self.state).as_mut() {
            Some(state) => {
                lock(&self.stats).resets += 1;
                state.forget();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    /// What `f` gives, unless it does not come back.
    fn soon<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(f()));
        receiver.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{what} does not come back"))
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A picture of one pixel whose decoder first does something.
    fn picture(folder: &Path, name: &str, first: impl Fn() + Send + Sync + 'static) -> String {
        let path = folder.join(name);
        image::RgbImage::new(1, 1).save(&path).unwrap();
        compose::hook::set(&path, first);
        path.to_str().unwrap().to_string()
    }

    fn warning(bus: &gst::Bus) -> Option<String> {
        match bus.pop_filtered(&[gst::MessageType::Warning])?.view() {
            gst::MessageView::Warning(w) => Some(w.error().message().to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_picture_is_read_beside_whoever_sets_it_and_the_last_text_wins() {
        gst::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let slow = picture(folder.path(), "slow.png", move || {
            let _ = wait.lock().unwrap().recv();
        });
        let bad = picture(folder.path(), "bad.png", || panic!("as a decoder may"));
        let good = picture(folder.path(), "good.png", || {});

        let bg = glib::Object::new::<element::BgRemove>();
        let bus = gst::Bus::new();
        bg.set_bus(Some(&bus));
        bg.set_state(gst::State::Ready).unwrap();
        let set = |text: &str| {
            let (bg, text) = (bg.clone(), text.to_string());
            soon("setting a background", move || bg.set_property("background", text));
        };
        let now = || (bg.property::<String>("background"), bg.imp().settings().backdrop.clone().unwrap());
        let red = Background::Color([255, 0, 0]);

        // While it is read, it is what is wanted, and what was there before is in force.
        set(&slow);
        assert_eq!(now(), (slow.clone(), Background::Transparent));
        // What is set meanwhile wins, although the picture comes after it.
        set("red");
        assert_eq!(now(), ("red".into(), red.clone()));
        release.send(()).unwrap();
        until("the picture is read", || bg.imp().picture_loader.is_idle());
        assert_eq!(now(), ("red".into(), red.clone()));
        assert_eq!(warning(&bus), None);

        // One whose decoder panics is a warning, and what was in force stays.
        set(&bad);
        until("the picture is refused", || bg.imp().picture_loader.is_idle());
        assert_eq!(now(), ("red".into(), red.clone()));
        let said = warning(&bus).expect("a warning");
        assert!(said.contains("bad.png") && said.contains("It stays 'red'"), "{said}");

        set(&good);
        until("the picture is there", || bg.imp().picture_loader.is_idle());
        let (text, shown) = now();
        assert!(text == good && matches!(shown, Background::Image(_)), "{text} {shown:?}");

        // Two pictures, the first of them slow.
        set(&slow);
        set(&good);
        release.send(()).unwrap();
        until("both are read", || bg.imp().picture_loader.is_idle());
        assert_eq!(bg.property::<String>("background"), good);
        assert_eq!(bg.imp().settings().shown, good);

        // Back in NULL while one is read: it is read anew on the way to READY.
        set(&slow);
        bg.set_state(gst::State::Null).unwrap();
        release.send(()).unwrap();
        until("the picture is read", || bg.imp().picture_loader.is_idle());
        assert_eq!(bg.property::<String>("background"), slow);
        release.send(()).unwrap();
        bg.set_state(gst::State::Ready).unwrap();
        assert_eq!(bg.imp().settings().shown, slow);
        bg.set_state(gst::State::Null).unwrap();
        // And there a bad one fails, without taking the process with it.
        set(&bad);
        assert!(bg.set_state(gst::State::Ready).is_err());
        bg.set_state(gst::State::Null).unwrap();
    }
}
