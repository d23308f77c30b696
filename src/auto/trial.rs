//! Runs the best network on a few frames, to find out what a run takes here.

use super::BEST;
use super::kept::Place;
use crate::error::{Error, Kind, Result};
use crate::frame::{Color, Format, Frame, Plane};
use crate::matte::Matting;
use crate::models::{self, Network};
use crate::runtime::{self, Cancel, Provider, Runtime};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// Rows of the frame that is tried.
const ROWS: usize = 1080;
/// Runs at most.
const RUNS: usize = 6;
/// How often somebody who waits looks up, and how long it takes at most to end a run.
const TICK: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_millis(100);

/// What is tried: the best network as the element would run it.
#[derive(Clone, Copy)]
pub struct Trial {
    pub runtime: &'static Runtime,
    /// `None` for the fastest that is there.
    pub provider: Option<Provider>,
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
        Self { runtime, provider: None, threads: 0, side: 0, aspect: 16.0 / 9.0 }
    }

    /// What was found out before.
    pub fn known(&self) -> Option<Duration> {
        self.place()?.read()
    }

    /// Measures anew, and keeps what comes of it.
    ///
    /// # Errors
    /// When the network does not load or does not run.
    pub fn run_anew(&self) -> Result<Duration> {
        self.run(&Cancel::default(), |_| None, true)
    }

    /// Measures beside a running stream, with which it takes longer than by itself: nothing is kept of it.
    ///
    /// # Errors
    /// When the network does not load or does not run.
    pub fn run_beside(&self) -> Result<Duration> {
        self.run(&Cancel::default(), Self::known, false)
    }

    fn run(
        &self,
        cancel: &Cancel,
        known: impl Fn(&Self) -> Option<Duration>,
        keep: bool,
    ) -> Result<Duration> {
        // Two at once would measure each other.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        if cancel.is_called() {
            return Err(ended());
        }
        let network = self.load()?;
        // Found out by whoever was before us.
        if let Some(run) = known(self) {
            return Ok(run);
        }
        let run = measure(network, self.side, self.aspect, cancel)?;
        if let Some(place) = self.place().filter(|_| keep) {
            place.write(run);
        }
        Ok(run)
    }

    /// Measures in a thread of its own, unless it is known by then, as long as `patience` lasts and nobody is `interrupted`.
    ///
    /// # Errors
    /// In words for the user: what failed, or that it took too long.
    pub fn run_within(
        &self,
        patience: Duration,
        interrupted: impl Fn() -> bool,
    ) -> std::result::Result<Duration, String> {
        let (tell, told) = mpsc::channel();
        let cancel = Cancel::default();
        let (trial, heeds, begin) = (*self, cancel.clone(), Instant::now());
        std::thread::Builder::new()
            .name("bgremove-trial".into())
            .spawn(move || {
                let _ = tell.send(trial.run(&heeds, Self::known, true));
            })
            .map_err(|e| format!("there is no thread to measure {BEST} in: {e}"))?;
        while begin.elapsed() < patience && !interrupted() {
            match told.recv_timeout(TICK) {
                Ok(run) => return run.map_err(|e| e.text),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(format!("measuring {BEST} panicked; please report this"));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
        // The runs that there have been do. It may also be loading still, which nothing ends; that is not waited for.
        cancel.call();
        match told.recv_timeout(GRACE) {
            Ok(Ok(run)) => Ok(run),
            _ => Err(format!(
                "what a run of {BEST} takes could not be measured within {:.0} s: `bgremove doctor` measures it once \
                 and for all",
                patience.as_secs_f64()
            )),
        }
    }

    fn load(&self) -> Result<Network> {
        let choice = models::resolve(BEST, Some(self.aspect))?;
        // At its usual priority, also where it is going to stand behind the stream: what counts is what the machine can do,
        // not who else wants it just now.
        Network::load(self.runtime, &choice, self.provider, self.threads, false)
    }

    /// Where the figure is kept. Nothing has to be loaded to know that.
    fn place(&self) -> Option<Place> {
        let sha256 = &super::entry()?.sha256;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Place::new(format!(
            "network {sha256}\nruntime {} {}\nprovider {}\nthreads {} of {cores}\nside {}\naspect {:.2}\nprocessor \
             {}\n",
            self.runtime.version().unwrap_or_default(),
            self.runtime.path.display(),
            self.provider.map_or("auto", Provider::name),
            self.threads,
            self.side,
            self.aspect,
            runtime::processor(),
        ))
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
    let mut best = None;
    for _ in 0..RUNS {
        match matting.run(&frame, cancel) {
            Ok(_) => {
                let run = matting.times().total();
                best = Some(best.map_or(run, |best: Duration| best.min(run)));
            }
            // One is better than none: the next start need not wait again.
            Err(e) if e.kind == Kind::Cancelled && best.is_some() => break,
            Err(e) => return Err(e),
        }
    }
    best.ok_or_else(ended)
}

fn ended() -> Error {
    Error::new(Kind::Cancelled, "nobody waits for it any more")
}
