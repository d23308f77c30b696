//! The thread itself: one job after the other, also after a panic.

use super::{Job, JobResult, Running, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::matte::{Matting, Times};
use crate::runtime::{self, Cancel};
use crate::subjects::Asked;
use crate::sync::{lock, wait};
use crate::video;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Starts thread `number`, which is the newest from now on.
pub fn spawn(shared: &Arc<Shared>, number: u64) -> Result<JoinHandle<()>> {
    let own = Arc::clone(shared);
    std::thread::Builder::new()
        .name("bgremove-network".into())
        .spawn(move || {
            let end = ThreadEnd { shared: &own, number };
            own.run_jobs(number);
            drop(end);
        })
        .map_err(|e| Error::new(ErrorKind::Inference, format!("no thread for the network: {e}")))
}

/// Tells whoever waits that the thread has ended, also by a panic.
struct ThreadEnd<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for ThreadEnd<'_> {
    fn drop(&mut self) {
        let mut slot = lock(&self.shared.slot);
        let newest = slot.threads == self.number;
        slot.ended |= newest;
        let mut dropped = VecDeque::new();
        if std::thread::panicking() {
            slot.dead = true;
            let running = slot.running.take().filter(|r| !r.abandoned);
            if let Some(running) = running {
                slot.done.push_back(JobResult {
                    number: running.number,
                    time: None,
                    mask: Err(dead_error()),
                    asked: Asked::default(),
                    found: None,
                    times: Times::default(),
                    fallback: None,
                });
            }
            dropped = std::mem::take(&mut slot.pending);
            slot.done.extend(dropped.iter().map(|job| JobResult::failed(job, dead_error())));
        }
        drop(slot);
        self.shared.changed.notify_all();
        drop(dropped);
    }
}

pub fn dead_error() -> Error {
    Error::new(ErrorKind::Inference, "the network's thread has ended by a panic; please report this")
}

impl JobResult {
    /// Of a job that has failed.
    pub fn failed(job: &Job, why: Error) -> Self {
        JobResult {
            number: job.number,
            time: job.buffer.pts(),
            mask: Err(why),
            asked: job.asked.clone(),
            found: None,
            times: Times::default(),
            fallback: None,
        }
    }
}

impl Shared {
    fn run_jobs(&self, number: u64) {
        let mut slot = lock(&self.slot);
        let mut lowered = None;
        loop {
            if slot.quit || slot.threads != number {
                return;
            }
            // The thread before this one may still be in its last run.
            let ready = !slot.pending.is_empty() && slot.running.is_none();
            let Some(mut matting) = slot.matting.take_if(|_| ready) else {
                slot = wait(&self.changed, slot);
                continue;
            };
            let Some(mut job) = slot.pending.pop_front() else { continue };
            job.breaks_history |= std::mem::take(&mut slot.breaks_history);
            job.cut |= std::mem::take(&mut slot.cut);
            let (epoch, networks, cancel) = (slot.epoch, slot.networks, Cancel::default());
            let since = Instant::now();
            slot.running = Some(Running {
                number: job.number,
                since,
                cancel: cancel.clone(),
                abandoned: false,
                stuck: false,
            });
            slot.waiting = (!slot.pending.is_empty()).then_some(since);
            let low_priority = slot.low_priority;
            drop(slot);
            if low_priority && lowered != Some(networks) {
                lowered = Some(networks);
                runtime::lower_own_priority();
            }

            #[cfg(test)]
            let job = {
                let mut job = job;
                job.probe.take().into_iter().for_each(|probe| probe());
                job
            };
            let done = catch_unwind(AssertUnwindSafe(|| infer(&mut matting, &job, &cancel)));
            let done = done.unwrap_or_else(|_| {
                // Its buffers may be half written.
                matting.renew();
                let why = "the network's thread panicked; please report this";
                JobResult::failed(&job, Error::new(ErrorKind::Inference, why))
            });
            drop(job);

            slot = lock(&self.slot);
            let abandoned = slot.running.take().is_none_or(|r| r.abandoned);
            let mut spare = None;
            if slot.networks == networks {
                if slot.epoch != epoch {
                    matting.reset();
                }
                slot.matting = Some(matting);
            } else {
                if let Some(new) = &mut slot.matting {
                    new.adopt(&mut matting);
                }
                spare = Some(matting);
            }
            if !abandoned {
                if done.mask.is_ok() {
                    let took = done.times.total();
                    slot.usual = Some(slot.usual.map_or(took, |u| (u * 7 + took) / 8));
                }
                slot.done.push_back(done);
            }
            self.changed.notify_all();
            if spare.is_some() {
                // Dropping a network takes long: not under the lock.
                drop(slot);
                drop(spare);
                slot = lock(&self.slot);
            }
        }
    }
}

/// What a network that remembers is shown before a frame that begins a scene: the frame and those after it, forwards and back. It
/// sees worst what it sees first, and remembers it: begun at the last of them, its mistakes there lasted into the scene.
fn rehearsal(job: &Job) -> impl Iterator<Item = &gst::Buffer> {
    let back = job.ahead.iter().rev().skip(1);
    job.ahead.first().map(|_| &job.buffer).into_iter().chain(&job.ahead).chain(back)
}

/// Runs the network on a frame; where its provider fails, once more on the CPU.
fn infer(matting: &mut Matting, job: &Job, cancel: &Cancel) -> JobResult {
    let mut done = JobResult::failed(job, Error::unreadable("the incoming buffer"));
    match (job.cut, job.breaks_history) {
        (true, _) => matting.reset(),
        (false, true) => matting.interrupt(),
        (false, false) => {}
    }
    for buffer in rehearsal(job) {
        let shown = video::view(buffer, &job.info, |frame| matting.run(frame, None, cancel).map(drop));
        if !matches!(shown, Some(Ok(()))) {
            // The frame's own run says what is wrong, if it still is.
            matting.reset();
            break;
        }
    }
    video::view(&job.buffer, &job.info, |frame| {
        done.mask = matting.run(frame, Some(&job.asked), cancel).map(std::mem::take);
        if let Err(e) = &done.mask
            && matches!(e.kind, ErrorKind::Inference | ErrorKind::Unsuited)
            // It is open: a network has been loaded.
            && let Ok(runtime) = runtime::open(None)
            && let Some(Ok(network)) = matting.network().on_cpu(runtime)
        {
            let (why, unsuited, before) =
                (e.text.clone(), e.kind == ErrorKind::Unsuited, matting.network().clone());
            matting.replace(network.clone());
            done.mask = matting.run(frame, Some(&job.asked), cancel).map(std::mem::take);
            if unsuited && done.mask.is_err() {
                // It fails on the CPU too, so the provider is not to blame.
                matting.replace(before);
            } else {
                done.fallback = Some((network, why));
            }
        }
        done.times = matting.times();
        done.found = matting.take_found();
    });
    done
}
