//! What the tool tries when it was started to answer a [`probe`](crate::probe).

use super::{formats, speed};
use crate::probe::Probe;
use crate::{Failure, print};
use gst::prelude::*;
use gstbgremove::auto::{BEST, Figure, Trial};
use gstbgremove::frame::{Color, Format, Frame, Plane};
use gstbgremove::matte::Matting;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Cancel, Provider, Target};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Does what was asked for, and prints it.
pub fn answer(probe: Probe, with: &str) -> Result<(), Failure> {
    let told = match probe {
        Probe::Plugin => plugin(),
        Probe::Runtime => open(with),
        Probe::Devices => devices(with),
        Probe::Provider => provider(with),
        Probe::Input => formats::input(),
        Probe::Format => formats::answer(with),
        Probe::Speed => speed::answer(with),
        Probe::Pace => pace(with),
        Probe::Known => known(with),
        Probe::Race => ranking(with, true),
        Probe::Ranking => ranking(with, false),
    };
    print(&format!("{}\n", told.map_err(Failure::Failed)?));
    Ok(())
}

const FILE: &str = "libgstbgremove.so";

fn plugin() -> Result<Value, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    if let Some(factory) = gst::ElementFactory::find("bgremove") {
        let plugin = factory.plugin().ok_or("the element bgremove belongs to no plugin")?;
        // The registry may remember a file that does not load any more.
        let made = factory.create().build().map_err(|e| e.to_string());
        let path = plugin.filename().unwrap_or_default();
        return Ok(json!({
            "path": path.display().to_string(), "version": plugin.version().as_str(), "by_pipelines": true,
            "error": made.err().unwrap_or_default(),
        }));
    }
    for folder in folders() {
        let path = folder.join(FILE);
        if !path.is_file() {
            continue;
        }
        let told = match gst::Plugin::load_file(&path) {
            Ok(plugin) => json!({ "version": plugin.version().as_str(), "error": "" }),
            Err(e) => json!({ "version": "", "error": e.message() }),
        };
        return Ok(json!({
            "path": path.display().to_string(), "version": told["version"], "by_pipelines": false,
            "error": told["error"],
        }));
    }
    let looked: Vec<String> = folders().iter().map(|f| format!("\n{}", f.display())).collect();
    Ok(json!({ "path": "", "error": format!(". Looked at:{}", looked.concat()) }))
}

/// Where a plugin may be: what GStreamer's variables name, the user's and the system's folder, beside the tool.
fn folders() -> Vec<PathBuf> {
    let mut list = Vec::new();
    for name in
        ["GST_PLUGIN_PATH_1_0", "GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH_1_0", "GST_PLUGIN_SYSTEM_PATH"]
    {
        list.extend(std::env::var_os(name).iter().flat_map(std::env::split_paths));
    }
    list.push(glib::user_data_dir().join("gstreamer-1.0/plugins"));
    // The folder of GStreamer's own plugins.
    let core = gst::Registry::get().find_plugin("coreelements").and_then(|p| p.filename());
    list.extend(core.as_deref().and_then(Path::parent).map(Path::to_path_buf));
    list.extend(std::env::current_exe().ok().as_deref().and_then(Path::parent).map(Path::to_path_buf));
    list.retain(|p| !p.as_os_str().is_empty());
    list.dedup();
    list
}

fn library(folder: &str) -> Result<&'static runtime::Runtime, String> {
    let beside = Some(Path::new(folder)).filter(|p| !p.as_os_str().is_empty());
    runtime::open(beside).map_err(|e| e.to_string())
}

fn open(folder: &str) -> Result<Value, String> {
    let found = library(folder)?;
    let path = opened().unwrap_or_else(|| found.path.clone());
    let providers: Vec<&str> =
        Provider::ALL.into_iter().filter(|p| p.is_available()).map(Provider::name).collect();
    let named = if found.path.components().count() > 1 { &found.path } else { &path };
    Ok(json!({ "path": named.display().to_string(), "version": found.version(), "providers": providers }))
}

/// The file that the process has opened, whatever name it was found by.
fn opened() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|l| l.contains("libonnxruntime.so"))?;
    Some(line[line.find('/')?..].into())
}

/// A provider by its name.
fn named(name: &str) -> Result<Provider, String> {
    let found = Provider::ALL.into_iter().find(|p| p.name() == name);
    found.ok_or_else(|| format!("there is no provider '{name}'"))
}

fn devices(with: &str) -> Result<Value, String> {
    let (name, folder) = with.split_once('\n').unwrap_or((with, ""));
    let found = library(folder)?;
    Ok(json!({ "devices": runtime::devices(found, named(name)?)? }))
}

/// Frames that count.
const RUNS: usize = 3;

fn provider(with: &str) -> Result<Value, String> {
    let mut lines = with.split('\n');
    let provider = named(lines.next().unwrap_or_default())?;
    let (folder, device) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let found = library(folder)?;
    let choice = models::resolve("light", None).map_err(|e| e.to_string())?;
    let target = Target { provider: Some(provider), device: device.to_string() };
    let network = Network::load(found, &choice, &target, 0, false).map_err(|e| e.to_string())?;
    let (place, software) = (network.session.place(), network.session.device.software);
    let (width, height) = (256, 256);
    let data = vec![128u8; width * height * 3];
    let none = Plane { data: &[][..], stride: 0 };
    let planes = [Plane { data: &data[..], stride: width * 3 }, none, none, none];
    let frame = Frame { format: Format::Rgb, color: Color::BT709, width, height, planes };
    let mut matting = Matting::new(network, 0, false);
    let mut best = None;
    // The first run makes ready what the others find. Software takes seconds for each.
    for _ in 0..=if software { 1 } else { RUNS } {
        let begin = Instant::now();
        matting.run(&frame, None, &Cancel::default()).map_err(|e| format!("{place}: {e}"))?;
        best = Some(begin.elapsed()).filter(|_| best.is_none_or(|b| begin.elapsed() < b)).or(best);
    }
    let ms = best.unwrap_or_default().as_secs_f64() * 1e3;
    Ok(json!({ "place": place, "software": software, "milliseconds": ms }))
}

/// Measures what a run of the best network takes, for the live streams to come: of 16:9, and of what is not as wide.
fn pace(folder: &str) -> Result<Value, String> {
    let usual = best(folder)?;
    let figure = usual.run_anew().map_err(|e| e.to_string())?;
    Trial { aspect: 4.0 / 3.0, ..usual }.run_anew().map_err(|e| e.to_string())?;
    Ok(told(&figure))
}

fn known(folder: &str) -> Result<Value, String> {
    // The library is the one that the plugin would find.
    let folder = match folder {
        "" => plugin()?["path"].as_str().and_then(|p| Path::new(p).parent()?.to_str().map(String::from)),
        folder => Some(folder.to_string()),
    };
    let trial = best(&folder.unwrap_or_default())?;
    Ok(trial.known().map_or(json!({}), |figure| told(&figure)))
}

fn best(folder: &str) -> Result<Trial, String> {
    Trial::usual(library(folder)?, BEST).map_err(|e| e.to_string())
}

fn told(figure: &Figure) -> Value {
    json!({
        "nanoseconds": figure.run.as_nanos() as u64, "provider": figure.provider, "beside": figure.beside,
    })
}

/// Empty where there is nothing to choose from, or where it was not measured before.
fn ranking(with: &str, anew: bool) -> Result<Value, String> {
    let (preset, folder) = with.split_once('\n').unwrap_or((with, ""));
    let trial = Trial::usual(library(folder)?, preset).map_err(|e| e.to_string())?;
    let figure = match trial.is_open() {
        true if anew => Some(trial.run_anew().map_err(|e| e.to_string())?),
        true => trial.known(),
        false => return Ok(json!({})),
    };
    let line = figure.map_or_else(
        || "it is not known yet what a run takes on which provider: the first stream measures it".to_string(),
        |figure| figure.line(),
    );
    Ok(json!({ "line": line }))
}
