//! Programs that run beside a test, and end with it.

use crate::common::clip;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// An example, which `cargo test` builds.
pub fn example(name: &str) -> Command {
    let path = built().with_file_name("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    Command::new(path)
}

/// Where the plugin is that belongs to this test.
pub fn plugins() -> PathBuf {
    assert!(built().join("libgstbgremove.so").exists(), "the plugin is missing: run `cargo build`");
    built()
}

/// One at a time: each of these tests keeps a machine of two cores busy.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The portrait's clip at a third of its size: what is tested is not speed, and browsers decode beside it.
pub fn small_clip() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("astronaut-small.mp4");
        let ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(clip("astronaut.mp4"))
            .args(["-vf", "scale=426:240", "-preset", "ultrafast"])
            .arg(&path)
            .status();
        assert!(ffmpeg.unwrap().success());
        path
    };
    MADE.get_or_init(make).clone()
}

fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

/// A program that runs until this is dropped.
pub struct Program {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// What it prints, and what it complains of, is kept.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let said = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().unwrap(), said.clone());
        keep(child.stderr.take().unwrap(), said.clone());
        Self { child, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// What follows a text in the first line that has it.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// The same for a line further on.
    pub fn wait_for_nth(&mut self, text: &str, n: usize) -> String {
        let start = Instant::now();
        loop {
            let lines = self.said.lock().unwrap().clone();
            if let Some((_, rest)) = lines.iter().filter_map(|l| l.split_once(text)).nth(n - 1) {
                return rest.trim().to_string();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended ({ended:?}) without {text:?}: {}", self.said());
            assert!(start.elapsed() < Duration::from_secs(60), "no {text:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        // SAFETY: the child is not waited for yet, so the number is still its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it does not stop: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(from: impl std::io::Read + Send + 'static, said: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            said.lock().unwrap().push(line);
        }
    });
}
