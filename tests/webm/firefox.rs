//! Firefox, driven by its own protocol (Marionette: JSON over a local socket), which needs no second program.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::media::*;

/// A session; the browser ends with it.
pub struct Firefox {
    browser: Child,
    profile: PathBuf,
    socket: RefCell<BufReader<TcpStream>>,
    count: Cell<u32>,
}

const PREFERENCES: &str = r#"
user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
"#;

impl Firefox {
    /// `None`, said loudly, when there is none.
    pub fn start(test: &str) -> Option<Self> {
        tool(test, "firefox-esr", "firefox-esr", &["--version"])?;
        let profile = path(&format!("firefox-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&profile).unwrap();
        std::fs::write(profile.join("user.js"), PREFERENCES).unwrap();
        let browser = Command::new("firefox-esr")
            .args([
                "--headless",
                "--no-remote",
                "--marionette",
                "--width",
                "800",
                "--height",
                "700",
                "--profile",
            ])
            .arg(&profile)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It writes down which port it has taken.
        let start = Instant::now();
        let port: u16 = loop {
            let text = std::fs::read_to_string(profile.join("MarionetteActivePort")).unwrap_or_default();
            if let Ok(port) = text.trim().parse() {
                break port;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "Firefox does not come up");
            std::thread::sleep(Duration::from_millis(50));
        };
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let firefox =
            Self { browser, profile, socket: RefCell::new(BufReader::new(socket)), count: Cell::new(0) };
        firefox.read();
        firefox.ask("WebDriver:NewSession", "{}");
        Some(firefox)
    }

    /// A message: its length, a colon, and JSON.
    fn read(&self) -> String {
        let mut socket = self.socket.borrow_mut();
        let mut length = Vec::new();
        socket.read_until(b':', &mut length).unwrap();
        let length: usize = String::from_utf8(length).unwrap().trim_end_matches(':').parse().unwrap();
        let mut text = vec![0; length];
        socket.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The `value` of what comes back, if it is a text.
    fn ask(&self, command: &str, parameters: &str) -> String {
        self.count.set(self.count.get() + 1);
        let message = format!("[0,{},\"{command}\",{parameters}]", self.count.get());
        write!(self.socket.borrow_mut().get_mut(), "{}:{message}", message.len()).unwrap();
        let answer = self.read();
        // [1, number, error, result]
        assert!(answer.starts_with(&format!("[1,{},null,", self.count.get())), "{command}: {answer:.500}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer[3]["value"].as_str().unwrap_or_default().to_string()
    }
}

impl crate::browser::Browser for Firefox {
    fn open(&self, page: &str) {
        self.ask("WebDriver:Navigate", &format!("{{\"url\":\"{page}\"}}"));
    }

    fn title(&self) -> String {
        self.ask("WebDriver:GetTitle", "{}")
    }

    fn screenshot(&self) -> image::RgbaImage {
        let png = gst::glib::base64_decode(&self.ask("WebDriver:TakeScreenshot", "{\"full\":false}"));
        image::load_from_memory(&png).unwrap().to_rgba8()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        let _ = std::fs::remove_dir_all(Path::new(&self.profile));
    }
}
