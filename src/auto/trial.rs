//! Runs a network on a few frames, to find out what a run takes here; on each provider that may be taken, where that is left
//! open.

use super::kept::{Figure, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Color, Format, Frame, Plane};
use crate::matte::Matting;
use crate::models::{self, Choice, Network};
use crate::runtime::{self, Cancel, Provider, Runtime, Target};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError, mpsc};
use std::time::{Duration, Instant};

/// Rows of the frame that is tried.
const ROWS: usize = 1080;
/// Runs that count, at most.
const RUNS: usize = 5;
/// Runs that count where so many take longer than [`LONG`] together.
const FEW: usize = 3;
/// See [`FEW`].
const LONG: Duration = Duration::from_secs(1);
/// A provider on which a run takes so many times as long as on the fastest one is run no more.
const BEATEN: u32 = 2;
/// How often a waiter checks whether it is interrupted.
const TICK: Duration = Duration::from_millis(20);

/// The shapes that are measured, as width over height or the other way round: 4:3, 16:9, and 64:27, which is sold as
/// 21:9. A shape in between has the figure of the next longer one, which takes no less.
const SHAPES: [f64; 3] = [4.0 / 3.0, 16.0 / 9.0, 64.0 / 27.0];

/// The network that is tried.
#[derive(Clone, Debug)]
pub struct Candidate {
    choice: Choice,
    /// The providers that `auto` may take for it, in the usual order.
    providers: Vec<Provider>,
    /// All of it that figures depend on; of a large file it takes a moment.
    key: Arc<OnceLock<String>>,
    /// Those providers with their devices.
    machine: Arc<OnceLock<String>>,
}

impl Candidate {
    /// # Errors
    /// When its file is no ONNX file.
    pub fn new(choice: Choice) -> Result<Self> {
        let providers = choice.providers()?;
        Ok(Self { choice, providers, key: Arc::default(), machine: Arc::default() })
    }

    /// Which network it is.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    fn key(&self) -> &str {
        self.key.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            format!("{:?}", self.choice.hints).hash(&mut hasher);
            format!("{} {:016x}", self.choice.sha256().unwrap_or_default(), hasher.finish())
        })
    }

    /// With another card it is another machine.
    fn machine(&self, runtime: &Runtime) -> &str {
        self.machine.get_or_init(|| {
            let with_devices = |p: &Provider| {
                let devices = runtime::devices(runtime, *p).unwrap_or_default();
                format!("{} {}", p.name(), devices.join(", ")).trim().replace('\n', " ")
            };
            self.providers.iter().map(with_devices).collect::<Vec<_>>().join("; ")
        })
    }
}

/// What is tried: a network as the element would run it.
#[derive(Clone)]
pub struct Trial {
    pub runtime: &'static Runtime,
    pub network: Candidate,
    pub target: Target,
    /// Of one run; 0 for the machine's cores.
    pub threads: u32,
    /// Short side of the network's input; 0 for its own choice.
    pub side: u32,
    /// The frame's width over its height.
    pub aspect: f64,
}

impl Trial {
    /// A network, at the element's defaults, on frames of 16:9.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn usual(runtime: &'static Runtime, model: &str) -> Result<Self> {
        let aspect = 16.0 / 9.0;
        let network = Candidate::new(models::resolve(model, Some(aspect))?)?;
        Ok(Self { runtime, network, target: Target::default(), threads: 0, side: 0, aspect })
    }

    /// What was found out before.
    pub fn known(&self) -> Option<Figure> {
        self.place()?.read()
    }

    /// What was found out before turned out to be of other circumstances.
    pub fn forget(&self) {
        if let Some(place) = self.place() {
            place.forget();
        }
    }

    /// Measures anew, and keeps what comes of it.
    ///
    /// # Errors
    /// When the network does not load or does not run.
    pub fn run_anew(&self) -> Result<Figure> {
        Ok(self.run(&Errand { anew: true, ..Errand::default() })?.figure)
    }

    /// Measures beside a running stream, with which it takes longer than by itself: nothing is kept of it.
    ///
    /// # Errors
    /// When the network does not load or does not run, or `cancel` is called.
    pub fn run_beside(&self, cancel: &Cancel) -> Result<Figure> {
        let errand = Errand { passing: true, ..Errand::new(cancel, true) };
        Ok(self.run(&errand)?.figure)
    }

    fn run(&self, errand: &Errand) -> Result<Ran> {
        let known = || self.known().filter(|_| !errand.anew);
        let Some(_one) = turn(|| errand.cancel.is_called() || known().is_some()) else {
            return known().map(Ran::from).ok_or_else(ended);
        };
        // Found out by whoever was before us.
        if let Some(figure) = known() {
            return Ok(figure.into());
        }
        let mut runners = self.runners(&errand.cancel)?;
        let failed = race(&mut runners, self.shape(), &errand.cancel)?;
        runners.sort_by_key(|r| r.best);
        let mut times = runners.iter().filter_map(|r| Some((r.name(), r.best?)));
        let (provider, run) = times.next().ok_or_else(ended)?;
        let slower = times.collect();
        let figure = Figure { run, provider, beside: errand.late.load(Relaxed), slower, failed };
        if let Some(place) = self.place().filter(|_| !errand.passing) {
            place.write(&figure);
        }
        let winner = runners.into_iter().next().map(|r| r.matting.network().clone());
        Ok(Ran { figure, winner })
    }

    /// The network on each provider that it may be run on. Those where it does not load are left out, unless all are.
    fn runners(&self, cancel: &Cancel) -> Result<Vec<Runner>> {
        let mut runners = Vec::new();
        let mut last = None;
        for provider in self.providers() {
            if cancel.is_called() {
                return Err(ended());
            }
            match self.load_on(*provider) {
                Ok(network) => runners.push(Runner::new(Matting::new(network, self.side as usize, false))),
                Err(e) => last = Some(e),
            }
        }
        match last.filter(|_| runners.is_empty()) {
            Some(e) => Err(e),
            None => Ok(runners),
        }
    }

    /// The providers that are tried.
    fn providers(&self) -> &[Provider] {
        match &self.target.provider {
            Some(named) => std::slice::from_ref(named),
            None => &self.network.providers,
        }
    }

    /// Whether there is a provider to be chosen.
    pub fn is_open(&self) -> bool {
        self.target == Target::default() && self.network.providers.len() > 1
    }

    /// Measures in a thread of its own, unless it is known by then, and waits for it as long as `patience` lasts and
    /// nobody is `interrupted`, which ends it. When patience is over it goes on for whoever comes next, until `cancel`
    /// is called.
    ///
    /// # Errors
    /// What failed, or that it took too long, or that it was interrupted.
    pub fn run_within(
        &self,
        patience: Duration,
        cancel: &Cancel,
        interrupted: impl Fn() -> bool,
    ) -> std::result::Result<Figure, Unknown> {
        let errand = Errand::new(cancel, false);
        Ok(self.run_for(patience, errand, interrupted)?.figure)
    }

    /// The same for any errand.
    pub(super) fn run_for(
        &self,
        patience: Duration,
        errand: Errand,
        interrupted: impl Fn() -> bool,
    ) -> std::result::Result<Ran, Unknown> {
        let (tell, told) = mpsc::channel();
        let (name, errand) = (&self.network.choice.name, Arc::new(errand));
        let (trial, own, begin) = (self.clone(), Arc::clone(&errand), Instant::now());
        std::thread::Builder::new()
            .name("bgremove-trial".into())
            .spawn(move || {
                let _ = tell.send(trial.run(&own));
            })
            .map_err(|e| Unknown::Because(format!("there is no thread to measure {name} in: {e}")))?;
        loop {
            if interrupted() {
                errand.cancel.call();
                return Err(Unknown::Interrupted);
            }
            if begin.elapsed() >= patience {
                break;
            }
            match told.recv_timeout(TICK) {
                Ok(run) => return run.map_err(Unknown::from),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Unknown::Because(format!("measuring {name} panicked; please report this")));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
        errand.late.store(true, Relaxed);
        // Somebody else may have found it out, who has begun before.
        self.known().map(Ran::from).ok_or_else(|| {
            Unknown::Because(format!(
                "what a run of {name} takes could not be measured within {:.0} s: it is measured beside the stream, for \
                 the next one; `bgremove doctor` measures it by itself",
                patience.as_secs_f64()
            ))
        })
    }

    fn load_on(&self, provider: Provider) -> Result<Network> {
        let target = Target { provider: Some(provider), device: self.target.device.clone() };
        // At its usual priority, also where it is going to have a lower one than the stream: what counts is what the machine can do,
        // not who else wants it just now.
        Network::load(self.runtime, &self.network.choice, &target, self.threads, false)
    }

    /// The shape that is measured for the frame's.
    fn shape(&self) -> f64 {
        let long = self.aspect.max(1.0 / self.aspect);
        SHAPES.into_iter().find(|shape| long <= shape * 1.01).unwrap_or_else(|| long.ceil())
    }

    /// Where the figure is kept. Nothing has to be loaded to know that.
    pub(super) fn place(&self) -> Option<Place> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Place::new(format!(
            "network {}\nruntime {} {}\nproviders {}\ntarget {} {}\nthreads {} of {cores}\nside {}\nshape {:.2}\nprocessor {}\n",
            self.network.key(),
            self.runtime.version().unwrap_or_default(),
            self.runtime.path.display(),
            self.network.machine(self.runtime),
            self.target.provider.map_or("auto", Provider::name),
            self.target.device,
            self.threads,
            self.side,
            self.shape(),
            runtime::processor(),
        ))
    }
}

/// What came of it.
pub(super) struct Ran {
    pub figure: Figure,
    /// The network on the fastest provider, if it was measured just now: who loads it while this is there gets it at once.
    pub winner: Option<Network>,
}

impl From<Figure> for Ran {
    fn from(figure: Figure) -> Self {
        Self { figure, winner: None }
    }
}

/// How somebody measures, and what becomes of it.
#[derive(Default)]
pub(super) struct Errand {
    cancel: Cancel,
    /// What is known already does not count.
    anew: bool,
    /// Nothing is kept.
    passing: bool,
    /// A stream runs beside it.
    late: AtomicBool,
}

impl Errand {
    /// `beside`: a stream runs meanwhile.
    pub fn new(cancel: &Cancel, beside: bool) -> Self {
        Self { cancel: cancel.clone(), late: AtomicBool::new(beside), ..Self::default() }
    }
}

/// Why it is not known what a run takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Nobody wants to know any more.
    Interrupted,
    /// In words for the user.
    Because(String),
}

impl From<Error> for Unknown {
    fn from(e: Error) -> Self {
        if e.kind == ErrorKind::Cancelled { Self::Interrupted } else { Self::Because(e.text) }
    }
}

/// The right to measure: two at once would measure each other. `None` when there is no need any more.
fn turn(needless: impl Fn() -> bool) -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    loop {
        if needless() {
            return None;
        }
        match ONE.try_lock() {
            Ok(one) => return Some(one),
            Err(TryLockError::Poisoned(e)) => return Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TICK),
        }
    }
}

/// A network on one of the providers.
struct Runner {
    matting: Matting,
    /// What a run took at best: others may be using the machine just now.
    best: Option<Duration>,
    /// All runs that count.
    runs: usize,
    spent: Duration,
}

impl Runner {
    fn new(matting: Matting) -> Self {
        Self { matting, best: None, runs: 0, spent: Duration::ZERO }
    }

    fn run(&mut self, frame: &Frame<'_>, cancel: &Cancel) -> Result<()> {
        self.matting.run(frame, None, cancel)?;
        let took = self.matting.times().total();
        self.best = Some(self.best.map_or(took, |best| best.min(took)));
        self.spent += took;
        self.runs += 1;
        Ok(())
    }

    /// The provider's.
    fn name(&self) -> String {
        self.matting.network().session.provider.name().to_string()
    }

    fn is_done(&self) -> bool {
        self.runs >= RUNS || (self.runs >= FEW && self.spent >= LONG)
    }
}

/// Runs all in turns, so that what else the machine does meets all alike, on frames of this shape. Those on which it fails
/// are taken out, and told with the reason.
///
/// # Errors
/// When it fails on all.
fn race(runners: &mut Vec<Runner>, aspect: f64, cancel: &Cancel) -> Result<Vec<(String, String)>> {
    let width = ((ROWS as f64 * aspect / 2.0).round() as usize * 2).clamp(16, 8192);
    // The time does not depend on what is in the picture.
    let luma: Vec<u8> = (0..width * ROWS).map(|i| (i % width / 8 + i / width / 8) as u8).collect();
    let chroma = vec![128u8; (width / 2) * (ROWS / 2)];
    let plane = |data, stride| Plane { data, stride };
    let planes = [
        plane(&luma[..], width),
        plane(&chroma[..], width / 2),
        plane(&chroma[..], width / 2),
        plane(&[][..], 0),
    ];
    let frame = Frame { format: Format::I420, color: Color::BT709, width, height: ROWS, planes };
    let mut failed = Vec::new();
    let mut each = |runners: &mut Vec<Runner>, run: &dyn Fn(&mut Runner) -> Result<()>| {
        for mut runner in std::mem::take(runners) {
            let done = run(&mut runner);
            // One that is called off just now may have been held up by what calls it off.
            if cancel.is_called() {
                return Err(ended());
            }
            match done {
                Ok(()) => runners.push(runner),
                Err(e) => failed.push((runner.name(), e)),
            }
        }
        match failed.pop_if(|_| runners.is_empty()) {
            Some((_, e)) => Err(e),
            None => Ok(()),
        }
    };
    // The first run makes ready what the others find, and does not count.
    each(runners, &|r| r.matting.run(&frame, None, cancel).map(drop))?;
    loop {
        let fastest = runners.iter().filter_map(|r| r.best).min();
        let goes_on = |r: &Runner| {
            // Not by one run that something held up.
            let beaten = r.runs >= 2 && r.best.zip(fastest).is_some_and(|(own, best)| own > best * BEATEN);
            !r.is_done() && !beaten
        };
        if !runners.iter().any(goes_on) {
            break;
        }
        each(runners, &|r| if goes_on(r) { r.run(&frame, cancel) } else { Ok(()) })?;
    }
    Ok(failed.into_iter().map(|(name, e)| (name, e.text)).collect())
}

fn ended() -> Error {
    Error::new(ErrorKind::Cancelled, "nobody waits for it any more")
}
