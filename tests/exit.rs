//! A program may return from `main` while networks load in threads that nobody waits for: it ends, and does not crash.
//!
//! Without the test harness, which runs tests in threads of its own: `main` is what this is about.

use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Provider};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the program goes on that ends in the midst of its work.
const AFTER_MS: &str = "BGREMOVE_TEST_EXIT_AFTER_MS";

fn main() {
    match std::env::var(AFTER_MS) {
        Ok(after) => load_until(Duration::from_millis(after.parse().unwrap())),
        // As the harness would be asked.
        Err(_) if std::env::args().any(|a| a == "--list") => println!("exit: test"),
        Err(_) => a_program_ends_while_networks_load(),
    }
}

/// Networks come and go in threads of their own.
fn load_until(after: Duration) {
    gst::init().unwrap();
    gstbgremove::plugin_register_static().unwrap();
    for threads in 1..4 {
        // Sessions of one kind would be shared.
        std::thread::spawn(move || {
            // The library is opened by the first of them.
            let runtime = runtime::open(None).unwrap();
            let choice = models::resolve("light", None).unwrap();
            loop {
                Network::load(runtime, &choice, &Provider::Cpu.into(), threads, false).unwrap();
            }
        });
    }
    std::thread::sleep(after);
}

fn a_program_ends_while_networks_load() {
    for after in (0..30).map(|n| 13 * n) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(AFTER_MS, after.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("it does not end, {after} ms after its start");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{after} ms after its start: {:?} {:?}", status.code(), status.signal());
    }
    println!("test a_program_ends_while_networks_load ... ok");
}
