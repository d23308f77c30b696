//! ONNX Runtime: find the shared library, open it once for the process, load and run networks.
//!
//! Nothing here happens before an element goes to READY: the plugin loads without the library.

mod build;
mod cache;
mod cuda;
mod device;
pub(crate) mod exit;
mod find;
pub(crate) mod onnx;
mod provider;
mod run;
mod session;
mod tensor;
mod threads;
mod version;
mod vulkan;

pub(crate) use build::{ModelSource, sha256_of};
pub(crate) use cache::processor;
pub use device::devices;
pub(crate) use device::only_software;
pub use find::data_folder;
pub(crate) use provider::Device;
pub(crate) use provider::cache_folder;
pub use provider::{Provider, Target};
pub use run::Cancel;
pub use session::Session;
pub(crate) use session::threads_of_a_run;
pub(crate) use tensor::{Element, View};
pub use tensor::{Input, Port, Value};
pub(crate) use threads::lower_own_priority;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use find::{LIBRARY, candidates};
use once_cell::sync::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

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
        let own = provider.folder().map(|folder| data_folder().join(folder).join(LIBRARY));
        let remedy = match (provider.folder(), own) {
            // There, and yet another one was opened: by an element before, or because it lies where it is found first.
            (Some(_), Some(own)) if own.exists() && own != self.path => format!(
                "{} may have it: set ORT_DYLIB_PATH to that; a process opens one ONNX Runtime and keeps it",
                own.display()
            ),
            (Some(folder), _) => format!("Install one that has with `make {folder}`"),
            (None, _) => "Set ORT_DYLIB_PATH to a library that has it".to_string(),
        };
        let text = format!(
            "execution-provider={} is asked for, and the ONNX Runtime at {} does not have it. {remedy}, or take \
             execution-provider=auto.",
            provider.name(),
            self.path.display()
        );
        Error::new(ErrorKind::Runtime, text)
    }
}

static RUNTIME: OnceCell<Runtime> = OnceCell::new();
// Opening is tried again after a failure, by one thread at a time.
static OPENING: Mutex<()> = Mutex::new(());

/// Opens ONNX Runtime, or gives the one that is open.
///
/// `beside` is the folder of the plugin's own file, `wanted` the provider that is asked for, whose own library comes
/// first of those that the user has installed. Looks at `ORT_DYLIB_PATH`, beside the plugin, in [`data_folder`]`/runtime-…`
/// and `/runtime`, where a package puts it, and asks the system loader, in this order.
///
/// # Errors
/// [`ErrorKind::Runtime`] with every place that was tried and why it did not serve.
pub fn open_for(beside: Option<&Path>, wanted: Option<Provider>) -> Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    exit::wait_in_main_thread();
    let _one = lock(&OPENING);
    RUNTIME.get_or_try_init(|| {
        let mut tried = String::new();
        for path in candidates(beside, wanted) {
            let by_loader = path.components().count() == 1;
            let reason = if !by_loader && !path.exists() {
                "no such file".to_string()
            } else {
                match open_at(&path) {
                    Ok(environment) => return Ok(Runtime { environment, path }),
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
            ErrorKind::Runtime,
            format!(
                "ONNX Runtime (1.{} or newer) was not found. Looked at:{tried}\nInstall it with `make runtime` in \
                 bgremove's source folder, or set ORT_DYLIB_PATH to the full path of {LIBRARY}.",
                ort::MINOR_VERSION
            ),
        ))
    })
}

/// [`open_for`] no provider in particular.
///
/// # Errors
/// As for [`open_for`].
pub fn open(beside: Option<&Path>) -> Result<&'static Runtime> {
    open_for(beside, None)
}

fn open_at(path: &Path) -> std::result::Result<ort::environment::Environment, String> {
    let _working = exit::Working::new();
    let environment = ort::init_from(path)
        .map_err(|e| e.to_string())?
        .with_name("bgremove")
        .with_telemetry(false)
        .build()
        .map_err(|e| e.to_string())?;
    exit::wait_at_exit();
    Ok(environment)
}
