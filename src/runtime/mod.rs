//! ONNX Runtime: find the shared library, open it once for the process, load and run networks.
//!
//! Nothing here happens before an element goes to READY: the plugin loads without the library.

mod cache;
mod exit;
pub mod onnx;
mod provider;
mod run;
mod session;
mod threads;
mod version;

pub(crate) use cache::processor;
pub use provider::Provider;
pub(crate) use provider::cache_folder;
pub use session::{Cancel, Element, Input, Port, Session, Source, State, View, threads_of_a_run};
pub use threads::step_back_here;

use crate::error::{Error, Kind, Result};
use once_cell::sync::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The file name of the library on this system.
const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else if cfg!(windows) {
    "onnxruntime.dll"
} else {
    "libonnxruntime.so"
};

/// The opened library; there is at most one in a process.
pub struct Runtime {
    pub(crate) environment: ort::environment::Environment,
    /// Where it was found; a bare name means the system loader.
    pub path: PathBuf,
}

impl Runtime {
    /// The library's version, as in `1.32.0`.
    pub fn version(&self) -> Option<String> {
        version::version(&self.path)
    }

    /// The error of asking for a provider that the library does not have.
    pub fn lacks(&self, provider: Provider) -> Error {
        let remedy = match provider {
            Provider::OpenVino => "Install one that has with `make runtime-openvino`",
            _ => "Set ORT_DYLIB_PATH to a library that has it",
        };
        let text = format!(
            "execution-provider={} is asked for, and the ONNX Runtime at {} does not have it. {remedy}, or take \
             execution-provider=auto.",
            provider.name(),
            self.path.display()
        );
        Error::new(Kind::Runtime, text)
    }
}

static RUNTIME: OnceCell<Runtime> = OnceCell::new();
// Opening is tried again after a failure, by one thread at a time.
static OPENING: Mutex<()> = Mutex::new(());

/// The folder of this user's runtimes and models, `$XDG_DATA_HOME/bgremove`.
pub fn data_folder() -> PathBuf {
    // Read at each call: GLib's own cache is made at the first use and would miss a later change.
    std::env::var_os("XDG_DATA_HOME")
        .filter(|v| Path::new(v).is_absolute())
        .map_or_else(|| glib::home_dir().join(".local/share"), PathBuf::from)
        .join("bgremove")
}

/// Where the library is looked for, in order. A set `ORT_DYLIB_PATH` is the only place then: a
/// runtime that somebody named and that is not there must not be replaced by another in silence.
fn candidates(beside: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()) {
        return vec![path.into()];
    }
    let mut list = Vec::new();
    list.extend(beside.map(|folder| folder.join(LIBRARY)));
    // The faster build first, where the user has installed it.
    list.push(data_folder().join("runtime-openvino").join(LIBRARY));
    list.push(data_folder().join("runtime").join(LIBRARY));
    list.extend(packaged(beside).into_iter().map(|folder| folder.join(LIBRARY)));
    list.push(LIBRARY.into());
    list
}

/// The folders where a package puts what only bgremove uses, as far as they are there: `LIB/bgremove`, where the
/// plugin is in `LIB/gstreamer-1.0` and a program in `bin` beside `LIB`.
fn packaged(beside: Option<&Path>) -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let prefix = program.as_deref().and_then(|p| p.parent()?.parent());
    let triple = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let libs = beside.and_then(|p| p.parent()).map(Path::to_path_buf).into_iter();
    let mut list: Vec<PathBuf> =
        libs.chain(prefix.into_iter().flat_map(|p| [p.join(&triple), p.join("lib")])).collect();
    list.iter_mut().for_each(|lib| lib.push("bgremove"));
    list.retain(|p| p.is_dir());
    list.dedup();
    list
}

/// Opens ONNX Runtime, or gives the one that is open.
///
/// `beside` is the folder of the plugin's own file. Looks at `ORT_DYLIB_PATH`, beside the plugin, in
/// [`data_folder`]`/runtime-openvino` and `/runtime`, where a package puts it, and asks the system loader, in this
/// order.
///
/// # Errors
/// [`Kind::Runtime`] with every place that was tried and why it did not serve.
pub fn open(beside: Option<&Path>) -> Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _one = OPENING.lock().unwrap_or_else(|e| e.into_inner());
    RUNTIME.get_or_try_init(|| {
        let mut tried = String::new();
        for path in candidates(beside) {
            let by_loader = path.components().count() == 1;
            let reason = if !by_loader && !path.exists() {
                "no such file".to_string()
            } else {
                match open_at(&path) {
                    Ok(environment) => {
                        exit::wait_at_exit();
                        return Ok(Runtime { environment, path });
                    }
                    Err(reason) => reason,
                }
            };
            let place = if by_loader {
                format!("the system loader ({})", path.display())
            } else {
                path.display().to_string()
            };
            tried += &format!("\n  {place}: {reason}");
        }
        Err(Error::new(
            Kind::Runtime,
            format!(
                "ONNX Runtime (1.{} or newer) was not found. Looked at:{tried}\nInstall it with `make runtime` in \
                 bgremove's source folder, or set ORT_DYLIB_PATH to the full path of {LIBRARY}.",
                ort::MINOR_VERSION
            ),
        ))
    })
}

fn open_at(path: &Path) -> std::result::Result<ort::environment::Environment, String> {
    ort::init_from(path)
        .map_err(|e| e.to_string())?
        .with_name("bgremove")
        .with_telemetry(false)
        .build()
        .map_err(|e| e.to_string())
}
