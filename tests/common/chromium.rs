//! Chromium without a window, driven by WebDriver.
#![allow(dead_code)]

use super::skip::tool;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A session; the browser and its driver end with it.
pub struct Chromium {
    driver: Child,
    agent: ureq::Agent,
    /// Address of the driver, then of the session.
    address: String,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `None`, said loudly, when there is none. `flags` are the browser's, `env` its environment beside ours.
    pub fn start(test: &str, flags: &[&str], env: &[(&str, &str)]) -> Option<Self> {
        for (program, package) in [("chromium", "chromium"), ("chromedriver", "chromium-driver")] {
            tool(test, program, package, &["--version"])?;
        }
        let mut driver = Command::new("chromedriver")
            .args(["--port=0"])
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        // "ChromeDriver was started successfully on port 12345."
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let own = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
            "--force-device-scale-factor=1",
            "--window-size=800,600",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let flags: Vec<&str> = own.into_iter().chain(flags.iter().copied()).collect();
        // What is wrong stands in the body.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false);
        let mut browser = Self {
            driver,
            agent: config.build().into(),
            address: format!("http://127.0.0.1:{}", port.expect("chromedriver")),
            _profile: profile,
        };
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": {"args": flags}});
        let answer = browser.post("session", json!({"capabilities": {"alwaysMatch": wanted}}));
        let session = answer["sessionId"].as_str().unwrap();
        browser.address = format!("{}/session/{session}", browser.address);
        Some(browser)
    }

    pub fn open(&self, page: &str) {
        self.post("url", json!({"url": page}));
    }

    pub fn title(&self) -> String {
        self.get("title").as_str().unwrap().to_string()
    }

    pub fn screenshot(&self) -> image::RgbaImage {
        let png = gst::glib::base64_decode(self.get("screenshot").as_str().unwrap());
        image::load_from_memory(&png).unwrap().to_rgba8()
    }

    /// What a function's body gives.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []}))
    }

    fn get(&self, what: &str) -> Value {
        let response = self.agent.get(format!("{}/{what}", self.address)).call();
        self.value(what, response)
    }

    fn post(&self, what: &str, body: Value) -> Value {
        let request = self.agent.post(format!("{}/{what}", self.address));
        self.value(what, request.content_type("application/json").send(body.to_string()))
    }

    fn value(&self, what: &str, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
        let text = response.unwrap().body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["value"]["error"].is_null(), "{what}: {text:.500}");
        answer["value"].take()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser goes with the session, and would not with the driver.
        if self.address.contains("/session/") {
            let _ = self.agent.delete(&self.address).call();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
