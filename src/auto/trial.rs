//! Runs the best network on a few frames, to find out what a run takes here.

use super::BEST;
use super::kept::{Figure, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Color, Format, Frame, Plane};
use crate::matte::Matting;
use crate::models::{self, Network};
use crate::runtime::{self, Cancel, Provider, Runtime, Target};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, mpsc};
use std::time::{Duration, Instant};

/// Rows of the frame that is tried.
const ROWS: usize = 1080;
/// Runs that count, at most; and how many do where they take longer than that together.
const RUNS: usize = 5;
const FEW: usize = 3;
const LONG: Duration = Duration::from_secs(1);
/// How often a waiter checks whether it is interrupted.
const TICK: Duration = Duration::from_millis(20);

/// The shapes that are measured, as width over height or the other way round: 4:3, 16:9, and 64:27, which is sold as
/// 21:9. A shape in between has the figure of the next longer one, which takes no less.
const SHAPES: [f64; 3] = [4.0 / 3.0, 16.0 / 9.0, 64.0 / 27.0];

/// What is tried: the best network as the element would run it.
#[derive(Clone)]
pub struct Trial {
    pub runtime: &'static Runtime,
    pub target: Target,
    /// Of one run; 0 for the machine's cores.
    pub threads: u32,
    /// Short side of the network's input; 0 for its own choice.
    pub side: u32,
    /// The frame's width over its height.
    pub aspect: f64,
}

impl Trial {
    /// The best network, at the element's defaults, on frames of 16:9.
    pub fn usual(runtime: &'static Runtime) -> Self {
        Self { runtime, target: Target::default(), threads: 0, side: 0, aspect: 16.0 / 9.0 }
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
        self.run(&Errand { anew: true, ..Errand::default() })
    }

    /// Measures beside a running stream, with which it takes longer than by itself: nothing is kept of it.
    ///
    /// # Errors
    /// When the network does not load or does not run, or `cancel` is called.
    pub fn run_beside(&self, cancel: &Cancel) -> Result<Figure> {
        let errand = Errand { cancel: cancel.clone(), passing: true, ..Errand::default() };
        errand.late.store(true, Relaxed);
        self.run(&errand)
    }

    fn run(&self, errand: &Errand) -> Result<Figure> {
        let known = || self.known().filter(|_| !errand.anew);
        let Some(_one) = turn(|| errand.cancel.is_called() || known().is_some()) else {
            return known().ok_or_else(ended);
        };
        // Found out by whoever was before us.
        if let Some(figure) = known() {
            return Ok(figure);
        }
        let network = self.load()?;
        let provider = network.session.provider.name().to_string();
        let run = measure(network, self.side, self.shape(), &errand.cancel)?;
        let figure = Figure { run, provider, beside: errand.late.load(Relaxed) };
        if let Some(place) = self.place().filter(|_| !errand.passing) {
            place.write(&figure);
        }
        Ok(figure)
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
        let (tell, told) = mpsc::channel();
        let errand = Arc::new(Errand { cancel: cancel.clone(), ..Errand::default() });
        let (trial, own, begin) = (self.clone(), Arc::clone(&errand), Instant::now());
        std::thread::Builder::new()
            .name("bgremove-trial".into())
            .spawn(move || {
                let _ = tell.send(trial.run(&own));
            })
            .map_err(|e| Unknown::Because(format!("there is no thread to measure {BEST} in: {e}")))?;
        loop {
            if interrupted() {
                cancel.call();
                return Err(Unknown::Interrupted);
            }
            if begin.elapsed() >= patience {
                break;
            }
            match told.recv_timeout(TICK) {
                Ok(run) => return run.map_err(Unknown::from),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Unknown::Because(format!("measuring {BEST} panicked; please report this")));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
        errand.late.store(true, Relaxed);
        // Somebody else may have found it out, who has begun before.
        self.known().ok_or_else(|| {
            Unknown::Because(format!(
                "what a run of {BEST} takes could not be measured within {:.0} s: it is measured beside the stream, for \
                 the next one; `bgremove doctor` measures it by itself",
                patience.as_secs_f64()
            ))
        })
    }

    fn load(&self) -> Result<Network> {
        let choice = models::resolve(BEST, Some(self.shape()))?;
        // At its usual priority, also where it is going to stand behind the stream: what counts is what the machine can do,
        // not who else wants it just now.
        Network::load(self.runtime, &choice, &self.target, self.threads, false)
    }

    /// The shape that is measured for the frame's.
    fn shape(&self) -> f64 {
        let long = self.aspect.max(1.0 / self.aspect);
        SHAPES.into_iter().find(|shape| long <= shape * 1.01).unwrap_or_else(|| long.ceil())
    }

    /// Where the figure is kept. Nothing has to be loaded to know that.
    fn place(&self) -> Option<Place> {
        let sha256 = &super::entry()?.sha256;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Place::new(format!(
            "network {sha256}\nruntime {} {}\nprovider {} {}\nthreads {} of {cores}\nside {}\nshape {:.2}\nprocessor \
             {}\n",
            self.runtime.version().unwrap_or_default(),
            self.runtime.path.display(),
            self.target.provider.map_or("auto", Provider::name),
            self.target.device,
            self.threads,
            self.side,
            self.shape(),
            runtime::processor(),
        ))
    }
}

/// How somebody measures, and what becomes of it.
#[derive(Default)]
struct Errand {
    cancel: Cancel,
    /// What is known already does not count.
    anew: bool,
    /// Nothing is kept.
    passing: bool,
    /// A stream runs beside it.
    late: AtomicBool,
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

/// What a run takes at best, on frames of this shape: others may be using the machine just now.
fn measure(network: Network, side: u32, aspect: f64, cancel: &Cancel) -> Result<Duration> {
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
    let mut matting = Matting::new(network, side as usize, false);
    // The first run makes ready what the others find, and does not count.
    matting.run(&frame, None, cancel)?;
    let mut runs: Vec<Duration> = Vec::new();
    while runs.len() < RUNS && (runs.len() < FEW || runs.iter().sum::<Duration>() < LONG) {
        matting.run(&frame, None, cancel)?;
        runs.push(matting.times().total());
    }
    // One that is called off just now may have been held up by what calls it off.
    if cancel.is_called() {
        return Err(ended());
    }
    runs.into_iter().min().ok_or_else(ended)
}

fn ended() -> Error {
    Error::new(ErrorKind::Cancelled, "nobody waits for it any more")
}
