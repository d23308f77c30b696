//! How a session is made of a network's file: what is read, how the runtime is set up, and what helps where a provider does not start.

use super::run::first_line;
use super::threads::Threads;
use super::{Device, Provider, Runtime, cache};
use crate::error::{Error, ErrorKind, Result};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What to load.
#[derive(Clone, Copy, Debug)]
pub enum ModelSource<'a> {
    Memory(&'a [u8]),
    File(&'a Path),
}

/// A network file's contents.
pub(super) struct Contents<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub sha256: Option<String>,
}

impl Contents<'_> {
    /// Reads a file, and finds its sum while it is at hand: who asks for it at the end of a stream does not wait.
    pub fn read(path: &Path) -> Result<Contents<'static>> {
        /// What protocol buffers can hold.
        const LONGEST: u64 = 1 << 31;
        let refuse = |why: String| Error::new(ErrorKind::ModelInvalid, why);
        let unreadable = |e: io::Error| refuse(format!("{} cannot be read: {e}", path.display()));
        let mut bytes = Vec::new();
        File::open(path).map_err(unreadable)?.take(LONGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 == LONGEST {
            return Err(refuse(format!("{} is longer than an ONNX file can be", path.display())));
        }
        let sha256 = Some(sha256(&bytes));
        Ok(Contents { bytes: Cow::Owned(bytes), sha256 })
    }
}

/// The SHA-256 of a network's file, in hexadecimal.
///
/// # Errors
/// [`ErrorKind::ModelInvalid`] when it cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    Ok(Contents::read(path)?.sha256.unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn invalid(e: &ort::Error) -> Error {
    Error::new(ErrorKind::ModelInvalid, first_line(e))
}

/// How a session is built.
pub(super) struct How<'a> {
    pub runtime: &'a Runtime,
    pub provider: Provider,
    pub device: &'a Device,
    pub count: usize,
    pub threads: Threads,
    pub exact: bool,
}

impl How<'_> {
    /// The options that every session has, and the provider's own.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] when the provider does not start.
    pub fn build(&self, level: GraphOptimizationLevel, optimized: Option<&Path>) -> Result<SessionBuilder> {
        let build = || -> ort::Result<SessionBuilder> {
            let mut builder = ort::session::Session::builder(&self.runtime.environment)?
                .with_optimization_level(level)?
                .with_thread_manager(self.threads)?
                .with_intra_threads(self.count)?
                // Threads that spin between frames take the cores from the decoder and the encoder.
                .with_intra_op_spinning(false)?
                // One block planned for all of a run beside those of the first run: up to 40 percent more memory for
                // a few percent of the time.
                .with_memory_pattern(false)?
                // What fails comes back as an error, which is told once and in full.
                .with_log_level(ort::logging::LogLevel::Fatal)?;
            if let Some(path) = optimized {
                builder = builder.with_optimized_model_path(path)?;
            }
            Ok(builder)
        };
        let builder = build().map_err(|e| invalid(&e))?;
        match self.provider.dispatch(self.device, self.count, self.exact) {
            None => Ok(builder),
            Some(dispatch) => builder
                .with_execution_providers([dispatch.error_on_failure()])
                .map_err(|e| self.unusable(&first_line(&e))),
        }
    }

    /// The library has the provider, and that does not start: what is missing is named.
    fn unusable(&self, why: &str) -> Error {
        let name = self.provider.name();
        let mut text = format!("execution-provider={name} cannot be used: {why}");
        // The runtime may not say which file it is about.
        let file = format!("libonnxruntime_providers_{name}.so");
        if let Some(library) =
            self.runtime.path.parent().map(|f| f.join(&file)).filter(|_| !why.contains(&file))
        {
            // SAFETY: it is the library that the runtime has just tried to open itself.
            match unsafe { libloading::Library::new(&library) } {
                Ok(library) => std::mem::forget(library),
                Err(e) => text += &format!(" ({})", super::version::cause(&e)),
            }
        }
        text += &remedy(self.provider, &text, super::devices(self.runtime, self.provider).err());
        text += &format!("; `bgremove doctor` tells more. (ONNX Runtime: {})", self.runtime.path.display());
        Error::new(ErrorKind::Runtime, text)
    }

    /// Loads a file with its graph optimised; what comes of that is kept on disk for the next time.
    pub fn open_cached(&self, contents: &Contents<'_>) -> Result<ort::session::Session> {
        let all = |optimized: Option<&Path>| self.build(GraphOptimizationLevel::All, optimized);
        let bytes: &[u8] = &contents.bytes;
        let sum = contents.sha256.as_deref();
        let Some(slot) = sum.and_then(|sum| cache::slot(self.runtime, bytes.len() as u64, sum)) else {
            return all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e));
        };
        if let Some(kept) = slot.sound() {
            match self.build(GraphOptimizationLevel::Disable, None)?.commit_from_file(kept) {
                Ok(session) => return Ok(session),
                Err(_) => slot.discard(),
            }
        }
        let Some(draft) = slot.draft() else {
            return all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e));
        };
        match all(Some(draft.path()))?.commit_from_memory(bytes) {
            Ok(session) => {
                slot.keep(draft);
                Ok(session)
            }
            // The folder may be full or not writable: the network itself may still be good.
            Err(_) => {
                slot.discard();
                all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e))
            }
        }
    }
}

/// What helps where a provider does not start. `driver`: what is wrong with the GPU's, if anything is.
fn remedy(provider: Provider, why: &str, driver: Option<String>) -> String {
    let tensorrt =
        provider == Provider::TensorRt && ["nvinfer", "nvonnxparser"].iter().any(|n| why.contains(n));
    let library = match provider.folder() {
        Some(folder) if tensorrt => {
            format!(
                ". `make {folder}` does not bring TensorRT 10: install NVIDIA's own where the system's loader finds it"
            )
        }
        // Its libraries are there, and want the driver.
        Some(_) if driver.is_some() => String::new(),
        Some(folder) => format!(". `make {folder}` installs its libraries anew"),
        None => String::new(),
    };
    driver.map_or_else(String::new, |driver| format!("; {driver}")) + &library
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_what_is_missing() {
        let driver = || Some("NVIDIA's driver is not there".to_string());
        let no_driver = remedy(Provider::Cuda, "libcuda.so.1: cannot open", driver());
        assert!(no_driver.contains("driver is not there") && !no_driver.contains("make"), "{no_driver}");
        let no_library = remedy(Provider::Cuda, "libcublas.so.13: cannot open", None);
        assert!(no_library.contains("make runtime-cuda` installs"), "{no_library}");
        let no_tensorrt = remedy(Provider::TensorRt, "libnvinfer.so.10: cannot open", driver());
        assert!(no_tensorrt.contains("does not bring TensorRT"), "{no_tensorrt}");
        assert_eq!(remedy(Provider::CoreMl, "it fails", None), "");
    }
}
