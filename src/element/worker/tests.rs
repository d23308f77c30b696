use super::*;
use crate::runtime;

fn job(number: u64) -> Job {
    let info = VideoInfo::builder(gst_video::VideoFormat::Rgb, 16, 16).build().unwrap();
    Job {
        number,
        buffer: gst::Buffer::new(),
        info,
        asked: Asked::default(),
        breaks_history: false,
        cut: false,
        ahead: Vec::new(),
        probe: None,
    }
}

#[test]
fn the_end_of_a_flush_is_not_the_end_of_a_stop() {
    gst::init().unwrap();
    let worker = Worker::start().unwrap();
    let soon = || Some(Instant::now() + Duration::from_millis(5));
    // Nobody has given it a network: the job waits.
    worker.submit(job(0), true);
    assert_eq!(worker.wait(0, soon()), Waited::TimedOut);
    worker.flush_start();
    assert_eq!(worker.wait(0, soon()), Waited::Interrupted);
    worker.flush_stop();
    assert_eq!(worker.wait(0, soon()), Waited::Done, "forgotten");
    worker.submit(job(1), true);
    // A seek is under way while the stream ends.
    worker.flush_start();
    worker.halt();
    worker.flush_stop();
    worker.submit(job(2), true);
    assert_eq!(worker.wait(2, None), Waited::Interrupted);
    worker.resume();
    worker.submit(job(3), true);
    assert_eq!(worker.wait(3, soon()), Waited::TimedOut);
}

/// A worker with a network that is there.
fn with_network() -> Worker {
    gst::init().unwrap();
    let runtime = runtime::open(None).unwrap();
    let choice = crate::models::resolve("light", None).unwrap();
    let network = Network::load(runtime, &choice, &runtime::Provider::Cpu.into(), 1, false).unwrap();
    let worker = Worker::start().unwrap();
    worker.set_matting(Some(Matting::new(network, 0, false)));
    worker
}

fn until_it_runs(worker: &Worker) {
    while lock(&worker.shared.slot).running.is_none() {
        std::thread::yield_now();
    }
}

fn probed(number: u64, probe: impl FnOnce() + Send + 'static) -> Job {
    Job { probe: Some(Box::new(probe)), ..job(number) }
}

#[test]
fn a_result_that_has_just_come_is_not_given_up() {
    let worker = with_network();
    worker.submit(job(0), true);
    assert_eq!(worker.wait(0, None), Waited::Done);
    // Between the end of a wait and giving up, the result may come; here it is there.
    assert!(!worker.time_out(0));
    assert_eq!(worker.take(0).len(), 1);
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    worker.submit(probed(1, move || assert!(rx.recv().is_err())), true);
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(worker.wait(1, Some(soon)), Waited::TimedOut);
    assert!(worker.time_out(1), "nothing has come");
    drop(tx);
}

#[test]
fn jobs_are_done_in_line_unless_one_replaces_them() {
    let worker = with_network();
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    worker.submit(probed(0, move || assert!(rx.recv().is_err())), false);
    (1..4).for_each(|n| worker.submit(job(n), false));
    assert_eq!(worker.pending_frames(), [0, 1, 2, 3]);
    drop(tx);
    assert_eq!(worker.wait(3, None), Waited::Done);
    assert_eq!(worker.take(3).iter().map(|d| d.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    worker.submit(probed(4, move || assert!(rx.recv().is_err())), false);
    until_it_runs(&worker);
    worker.submit(Job { breaks_history: true, ..job(5) }, false);
    worker.submit(job(6), true);
    assert_eq!(worker.pending_frames(), [4, 6]);
    assert!(
        lock(&worker.shared.slot).breaks_history,
        "what was before the one that it replaces is not forgotten"
    );
    drop(tx);
    assert_eq!(worker.wait(6, None), Waited::Done);
    assert!(!lock(&worker.shared.slot).breaks_history, "it has been heeded");
    // One that is given up before its turn is not run, nor is what it was to forget kept.
    worker.take(6);
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    worker.submit(probed(7, move || assert!(rx.recv().is_err())), false);
    until_it_runs(&worker);
    worker.submit(Job { breaks_history: true, ..job(8) }, false);
    worker.submit(job(9), false);
    assert!(worker.time_out(8));
    assert!(lock(&worker.shared.slot).breaks_history);
    drop(tx);
    assert_eq!(worker.wait(9, None), Waited::Done);
    assert_eq!(worker.take(9).iter().map(|d| d.number).collect::<Vec<_>>(), [9]);
    assert!(!lock(&worker.shared.slot).breaks_history && lock(&worker.shared.slot).waiting.is_none());
}

#[test]
fn a_panic_of_the_thread_leaves_nobody_waiting() {
    let worker = with_network();
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    worker.submit(
        probed(0, move || {
            let _ = rx.recv();
            panic!("a test wants it");
        }),
        true,
    );
    until_it_runs(&worker);
    // One that waits for its turn, too.
    worker.submit(job(1), true);
    drop(tx);
    let limit = Some(Instant::now() + Duration::from_secs(30));
    assert_eq!(worker.wait(1, limit), Waited::Done);
    // And one that comes after.
    worker.submit(job(2), true);
    assert_eq!(worker.wait(2, limit), Waited::Done);
    let done = worker.take(2);
    assert_eq!(done.iter().map(|d| d.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(done.iter().all(|d| d.mask.as_ref().is_err_and(|e| e.text.contains("panic"))));
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_steps_back_for_a_live_stream_and_forward_again_for_one_that_waits() {
    let worker = with_network();
    let nice = |number| {
        let (tx, rx) = std::sync::mpsc::channel();
        // SAFETY: the call takes two numbers, which mean the calling thread.
        let probe = move || tx.send(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }).unwrap();
        worker.submit(probed(number, probe), true);
        assert_eq!(worker.wait(number, None), Waited::Done);
        rx.recv().unwrap()
    };
    let before = nice(0);
    worker.set_low_priority(true);
    assert!(nice(1) > before);
    worker.set_low_priority(false);
    assert_eq!(nice(2), before);
    worker.set_low_priority(true);
    assert!(nice(3) > before);
}

#[test]
fn what_waits_too_long_is_told_once_for_each_limit() {
    gst::init().unwrap();
    let worker = Worker::start().unwrap();
    let limit = Duration::from_millis(20);
    assert!(!worker.time_out_after(limit));
    worker.submit(job(0), true);
    std::thread::sleep(limit * 2);
    // A newer job in its place waits as long.
    worker.submit(job(1), true);
    assert!(worker.time_out_after(limit));
    assert!(!worker.time_out_after(Duration::from_secs(60)));
}
