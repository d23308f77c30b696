//! Whether the frames of a file are unevenly spaced, found without decoding them.

use super::fault::Fault;
use super::packets::look_through;
use super::watchdog::Watchdog;
use gstbgremove::sync::lock;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// So many frames are looked at.
const FRAMES: usize = 1000;

/// Whether a gap between neighbouring frames at the file's start is half as long again as another. A file that
/// cannot be looked at counts as even: whoever opens it next will say what is wrong with it.
pub fn uneven(path: &Path, watchdog: &Watchdog) -> bool {
    times(path, watchdog).is_ok_and(|mut times| {
        times.sort_unstable();
        let gaps = times.windows(2).map(|w| w[1] - w[0]);
        let (least, most) = (gaps.clone().min().unwrap_or(0), gaps.max().unwrap_or(0));
        most * 2 > least * 3
    })
}

/// The time stamps of the first frames, in the order of the file.
fn times(path: &Path, watchdog: &Watchdog) -> Result<Vec<u64>, Fault> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&times);
    look_through(path, watchdog, move |packet| {
        if !packet.is_video {
            return ControlFlow::Continue(());
        }
        let mut times = lock(&into);
        times.push(packet.pts.nseconds());
        if times.len() >= FRAMES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let mut times = std::mem::take(&mut *lock(&times));
    // Around the place where it was broken off, frames of the future are there and those between are not.
    if times.len() >= FRAMES {
        times.sort_unstable();
        times.truncate(FRAMES - 20);
    }
    Ok(times)
}
