//! `bgremove doctor`: is everything here that bgremove needs, does it work, and how fast is it?
//!
//! Whatever might crash or hang is tried in a process of its own ([`probe`], answered in [`answer`]), so
//! that the page is written whatever happens. What is said has been tried: a format is made and read back, a provider
//! loads a network.

mod answer;
mod check;
mod formats;
mod host;
mod page;
mod speed;

use crate::choice::{self, Here};
use crate::convert::launch_line::shell_word;
use crate::install::{self, Observer, State};
use crate::probe::{self, Probe};
use crate::{Failure, print};
use check::{Check, Mark};
use gstbgremove::auto;
use gstbgremove::key;
use gstbgremove::runtime::{Provider, data_folder};
use host::Home;
use serde_json::{Map, Value, json};

/// The version of tool and plugin.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID"));

/// Looks at the machine.
#[derive(clap::Args)]
pub struct Args {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// Leave the speed measurements out
    #[arg(long)]
    no_speed: bool,
    /// What a process of its own is to try
    #[arg(long, hide = true)]
    probe: Option<Probe>,
    /// What it is to try that with
    #[arg(long, hide = true, requires = "probe")]
    with: Option<String>,
}

/// Looks at everything and prints the page.
///
/// # Errors
/// [`Failure::Told`] when a check has failed.
pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(probe) = args.probe {
        return answer::answer(probe, args.with.as_deref().unwrap_or_default());
    }
    let home = Home::find();
    let mut checks = Vec::new();
    let plugin = plugin(&home, &mut checks);
    // In front of a command that is to find the plugin where only this tool does.
    let found = checks.iter().any(|c| c.name == "plugin" && c.mark == Mark::Good);
    let path = plugin.as_deref().filter(|_| !found);
    let path = path.map_or(String::new(), |p| format!("GST_PLUGIN_PATH={} ", shell_word(p)));
    let runs = runtime(&home, plugin.as_deref(), &mut checks);
    checks.push(host::processor());
    let presets = networks(&home, &mut checks)?;
    checks.push(auto_choice(plugin.as_deref(), runs, !args.no_speed));
    if runs {
        let folder = plugin.as_deref();
        checks.extend(presets.iter().filter_map(|name| auto_provider(name, folder, !args.no_speed)));
    }
    checks.push(input());
    let mut made = Map::new();
    for trial in formats::TABLE {
        let (check, told) = format(trial, &path);
        checks.push(check);
        made.insert(trial.format.name().into(), told);
    }
    let speeds = match (args.no_speed, runs) {
        (true, _) => Vec::new(),
        (_, false) => {
            let why = "not measured: ONNX Runtime does not run";
            checks.push(Check::note("Speed", "all", why));
            Vec::new()
        }
        _ => presets.iter().filter_map(|name| speed(name, &path, &mut checks)).collect(),
    };
    print(&if args.json { page::json(&checks, &made, &speeds) } else { page::text(&checks) });
    if checks.iter().any(|c| c.mark == Mark::Failed) { Err(Failure::Told) } else { Ok(()) }
}

/// GStreamer, and the plugin as a pipeline would find it; gives its folder.
fn plugin(home: &Home, checks: &mut Vec<Check>) -> Option<String> {
    const GROUP: &str = "GStreamer";
    let (major, minor, micro, _) = gst::version();
    checks.push(match (major, minor) {
        (1, 22..) => Check::good(GROUP, "version", format!("{major}.{minor}.{micro}")),
        _ => Check::failed(GROUP, "version", format!("{major}.{minor}.{micro}, and 1.22 or newer is needed"))
            .mend(host::apt("libgstreamer1.0-0")),
    });
    let found = match probe::ask(Probe::Plugin, "") {
        Ok(found) => found,
        Err(why) => {
            checks.push(Check::failed(GROUP, "plugin", why).mend(home.plugin()));
            return None;
        }
    };
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_string();
    let (path, version, error) = (text("path"), text("version"), text("error"));
    let folder = std::path::Path::new(&path).parent().map(|p| p.display().to_string());
    if path.is_empty() {
        let why = format!("libgstbgremove.so was not found{error}");
        checks.push(Check::failed(GROUP, "plugin", why).mend(home.plugin()));
        return None;
    }
    if !error.is_empty() {
        let why = format!("{path} does not load: {error}");
        checks.push(Check::failed(GROUP, "plugin", why).mend(home.plugin_instead_of(path.as_ref())));
        return folder;
    }
    let what = format!("{version}, {path}");
    checks.push(if version != VERSION {
        let why = format!("{what}, is of another version than this tool ({})", VERSION);
        Check::failed(GROUP, "plugin", why).mend(home.plugin_instead_of(path.as_ref()))
    } else if found["by_pipelines"] == true {
        Check::good(GROUP, "plugin", format!("{what}, loads"))
    } else {
        let folder = folder.clone().unwrap_or_default();
        Check::note(
            GROUP,
            "plugin",
            format!("{what}, loads; other programs do not find it there by themselves"),
        )
        .mend(format!("export GST_PLUGIN_PATH={}", shell_word(&folder)))
    });
    folder
}

/// Names the library, instead of all places where one is looked for.
const NAMED: &str = "ORT_DYLIB_PATH";

/// ONNX Runtime and what it can run on; whether it runs at all.
fn runtime(home: &Home, plugin: Option<&str>, checks: &mut Vec<Check>) -> bool {
    const GROUP: &str = "ONNX Runtime";
    let found = match probe::ask(Probe::Runtime, plugin.unwrap_or_default()) {
        Ok(found) => found,
        Err(why) => {
            // Where one is named, no other is looked for.
            let named = std::env::var_os(NAMED).is_some_and(|v| !v.is_empty());
            let mend = if named { format!("unset {NAMED}") } else { home.runtime() };
            checks.push(Check::failed(GROUP, "library", why).mend(mend));
            return false;
        }
    };
    let path = found["path"].as_str().unwrap_or_default();
    let version = found["version"].as_str().unwrap_or("version unknown");
    checks.push(Check::good(GROUP, "library", format!("{version}, {path}")));

    let mut runs = false;
    let mut seen: Vec<String> = Vec::new();
    let of = |found: &Value| -> Vec<String> {
        let list = found["providers"].as_array().into_iter().flatten();
        list.filter_map(|p| p.as_str().map(String::from)).collect()
    };
    for provider in of(&found) {
        runs |= provider_check(home, &provider, plugin, None, checks);
        seen.push(provider);
    }
    // Other libraries that are installed, and are opened where their provider is asked for.
    let named = std::env::var_os(NAMED).is_some_and(|v| !v.is_empty());
    for other in OTHERS.into_iter().filter(|_| !named) {
        let (name, Some(folder)) = (other.name(), other.folder()) else { continue };
        let folder = data_folder().join(folder);
        let library = folder.join("libonnxruntime.so");
        if !folder.is_dir() || std::path::Path::new(path).starts_with(&folder) {
            continue;
        }
        match probe::ask_with(Probe::Runtime, "", (NAMED, library.as_os_str())) {
            Ok(found) => {
                let version = found["version"].as_str().unwrap_or("version unknown");
                let what =
                    format!("{version}, {}, where execution-provider={name} asks for it", library.display());
                checks.push(Check::good(GROUP, format!("{name} library"), what));
                for provider in of(&found).into_iter().filter(|p| p != "cpu") {
                    if !seen.contains(&provider) {
                        provider_check(home, &provider, None, Some(library.as_os_str()), checks);
                        seen.push(provider);
                    }
                }
            }
            Err(why) => checks.push(
                Check::failed(
                    GROUP,
                    format!("{name} library"),
                    format!("{} is not used: {why}", folder.display()),
                )
                .mend(home.provider(name)),
            ),
        }
    }
    let has = |name: &str| checks.iter().any(|c| c.group == GROUP && c.name.starts_with(name));
    if cfg!(target_arch = "x86_64") && !has("openvino") {
        let what = "not in this library; with it the larger networks run several times faster";
        checks.push(Check::note(GROUP, "openvino", what).mend(home.provider("openvino")));
    }
    runs
}

/// The providers whose libraries the user may have installed; `make` has a target for each.
const OTHERS: [Provider; 3] = [Provider::OpenVino, Provider::WebGpu, Provider::Cuda];

/// A provider that a library has, on each of its devices; whether it runs a network. `library`: where it is not the one that is found by
/// itself.
fn provider_check(
    home: &Home,
    provider: &str,
    plugin: Option<&str>,
    library: Option<&std::ffi::OsStr>,
    checks: &mut Vec<Check>,
) -> bool {
    const GROUP: &str = "ONNX Runtime";
    if provider == "tensorrt" {
        checks.push(Check::note(GROUP, provider, "in the library; not tried, for it builds for minutes"));
        return false;
    }
    let plugin = plugin.unwrap_or_default();
    let ask = |probe, with: &str| match library {
        Some(library) => probe::ask_with(probe, with, (NAMED, library)),
        None => probe::ask(probe, with),
    };
    let refused = |name: String, why: String| match provider {
        // What is always there, and what was installed for this processor.
        "cpu" => Check::failed(GROUP, name, why).mend(home.runtime()),
        "openvino" => Check::failed(GROUP, name, why).mend(home.provider(provider)),
        // The library can be the right one for another machine.
        _ => Check::note(GROUP, name, format!("in the library, and does not run here: {why}")),
    };
    let devices = match ask(Probe::Devices, &format!("{provider}\n{plugin}")) {
        Ok(told) => {
            let list = told["devices"].as_array().into_iter().flatten();
            list.filter_map(|d| d.as_str().map(String::from)).collect::<Vec<_>>()
        }
        // What is missing for it to see any; the provider itself is tried all the same, and may say more.
        Err(_) => Vec::new(),
    };
    // OpenVINO's go by their kind, the others by number.
    let tries: Vec<String> = match devices.len() {
        0 | 1 => vec![String::new()],
        n if provider == "openvino" => devices[..n].to_vec(),
        n => (0..n).map(|i| i.to_string()).collect(),
    };
    let mut runs = false;
    for (at, device) in tries.iter().enumerate() {
        let name = if device.is_empty() { provider.to_string() } else { format!("{provider} {device}") };
        checks.push(match ask(Probe::Provider, &format!("{provider}\n{plugin}\n{device}")) {
            Ok(told) => {
                runs = true;
                let place = told["place"].as_str().unwrap_or_default();
                let ms = told["milliseconds"].as_f64().unwrap_or_default();
                let what = format!("runs a network on {place}: light takes {ms:.1} ms");
                match told["software"] == true {
                    true => Check::note(
                        GROUP,
                        name,
                        format!("{what}; it only stands in for a GPU, auto never takes it"),
                    ),
                    false => Check::good(GROUP, name, what),
                }
            }
            Err(why) => match devices.get(at).filter(|_| tries.len() > 1) {
                Some(called) => Check::note(GROUP, name, format!("{called}: {why}")),
                None => refused(name, why),
            },
        });
    }
    runs
}

struct Quiet;

impl Observer for Quiet {
    fn say(&self, _: &str) {}
    fn stopped(&self) -> bool {
        false
    }
}

/// The presets; gives the names of those that can be used.
fn networks(home: &Home, checks: &mut Vec<Check>) -> Result<Vec<String>, Failure> {
    const GROUP: &str = "Networks";
    let mut usable = Vec::new();
    for p in install::presets()? {
        let mend = format!("{} models install {}", home.tool(), p.name);
        let what = format!("{}, {}", p.title, p.licence);
        let check = match p.state() {
            State::Missing(_) => Check::note(GROUP, &p.name, format!("{what}: not installed")).mend(mend),
            State::Damaged(path) => {
                let why = format!("{what}: {} is not as long as it should be", path.display());
                Check::failed(GROUP, &p.name, why).mend(mend)
            }
            state => {
                let wrong = p.files.iter().find_map(|e| {
                    let (place, sum) = match e.embedded() {
                        Some(bytes) => (format!("{}.onnx, built in", e.name), Ok(install::sha256_of(bytes))),
                        None => (e.path().display().to_string(), install::sha256(&e.path(), &Quiet)),
                    };
                    match sum {
                        Ok(sum) if sum == e.sha256 => None,
                        Ok(sum) => {
                            Some(format!("{place} is damaged: its SHA-256 is {sum}, not {}", e.sha256))
                        }
                        Err(e) => Some(e.to_string()),
                    }
                });
                match wrong {
                    None => {
                        usable.push(p.name.clone());
                        Check::good(GROUP, &p.name, format!("{what}: {state}, SHA-256 is right"))
                    }
                    Some(why) if p.recipe.is_none() => Check::failed(GROUP, &p.name, why).mend(home.plugin()),
                    Some(why) => Check::failed(GROUP, &p.name, why).mend(mend),
                }
            }
        };
        checks.push(check);
    }
    let what = format!("{}: part of bgremove, nothing to install", key::TITLE);
    checks.push(Check::good(GROUP, key::NAME, what));
    Ok(usable)
}

/// What `auto` chooses here. `runs`: ONNX Runtime does. `measure`: what a run of the best network takes is measured, which
/// live streams then know.
fn auto_choice(plugin: Option<&str>, runs: bool, measure: bool) -> Check {
    const GROUP: &str = "Networks";
    let mut failed = false;
    let here = Here::look(|| {
        if !runs {
            failed = true;
            return Err("ONNX Runtime does not run".to_string());
        }
        let kind = if measure { Probe::Pace } else { Probe::Known };
        let told = probe::ask(kind, plugin.unwrap_or_default()).inspect_err(|_| failed = true)?;
        choice::figure(&told)
    });
    let mark = if failed { Mark::Note } else { Mark::Good };
    Check::new(GROUP, auto::AUTO, mark, here.line())
}

/// What `execution-provider=auto` runs a preset on; `None` where there is only one.
fn auto_provider(preset: &str, plugin: Option<&str>, measure: bool) -> Option<Check> {
    const GROUP: &str = "Networks";
    // The best one has been measured for `model=auto` just now.
    let kind = if measure && preset != auto::BEST { Probe::Race } else { Probe::Ranking };
    let name = format!("{preset} runs on");
    match probe::ask(kind, &format!("{preset}\n{}", plugin.unwrap_or_default())) {
        Ok(told) => told["line"].as_str().map(|line| Check::good(GROUP, name, line)),
        Err(why) => Some(Check::note(GROUP, name, why)),
    }
}

/// Whether files can be opened, and frames made ready.
fn input() -> Check {
    const GROUP: &str = "Formats";
    match probe::ask(Probe::Input, "") {
        Ok(_) => Check::good(
            GROUP,
            "input",
            "files are recognised, their frames turned, scaled, cropped, deinterlaced",
        ),
        Err(why) => {
            let what = "files cannot be opened, or not all of them";
            Check::refused(GROUP, "input", what, &why, "GST_DEBUG=3 gst-inspect-1.0 decodebin".into())
        }
    }
}

/// Makes a file of a format and reads it back; the second is for programs.
fn format(trial: &formats::Trial, path: &str) -> (Check, Value) {
    const GROUP: &str = "Formats";
    let (name, what) = (trial.format.name(), format!("{}: {}", trial.what, trial.keeps));
    let asked = probe::ask(Probe::Format, name);
    let made = json!({ "made": asked.is_ok(), "transparency": trial.format.has_alpha() });
    let check = match asked {
        Ok(done) if done["read"] == true => Check::good(GROUP, name, format!("{what} (made and read back)")),
        Ok(done) => {
            let why = done["unread"].as_str().unwrap_or_default();
            let check = Check::note(GROUP, name, format!("{what}; made, but not read back: {why}"));
            match done["mend"].as_str() {
                Some(mend) => check.mend(mend),
                None => check,
            }
        }
        Err(why) => {
            let what = format!("{}: cannot be made", trial.what);
            Check::refused(GROUP, name, &what, &why, format!("{path}{}", formats::line(trial)))
        }
    };
    (check, made)
}

/// Frames a second with a preset.
fn speed(preset: &str, path: &str, checks: &mut Vec<Check>) -> Option<(String, Value)> {
    const GROUP: &str = "Speed";
    match probe::ask(Probe::Speed, preset) {
        Ok(told) => {
            let rate = told["frames_per_second"].as_f64().unwrap_or(0.0);
            let provider = told["provider"].as_str().unwrap_or_default();
            let digits = if rate < 10.0 { 1 } else { 0 };
            let text = format!("{rate:.digits$} frames/s at 1080p on {provider}");
            checks.push(Check::good(GROUP, preset, text));
            Some((preset.to_string(), told))
        }
        Err(why) => {
            checks.push(Check::refused(GROUP, preset, "not measured", &why, speed::line(preset, path)));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_show_a_cause_are_pipelines() {
        crate::gstreamer::init();
        let mut lines = vec![speed::line("light", "GST_PLUGIN_PATH=/a ")];
        lines.extend(formats::TABLE.iter().map(formats::line));
        for line in lines {
            for part in line.split(" && ") {
                let (before, pipeline) = part.split_once("gst-launch-1.0 ").unwrap();
                assert!(before.contains("GST_DEBUG="), "{line}");
                gst::parse::launch(pipeline).unwrap_or_else(|e| panic!("{e}: {line}"));
            }
        }
    }
}
