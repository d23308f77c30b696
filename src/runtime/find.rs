//! Where ONNX Runtime is looked for.

use super::provider::{CUDA, OPENVINO, Provider, WEBGPU};
use super::{cuda, vulkan};
use std::path::{Path, PathBuf};

/// The file name of the library on this system.
pub const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else if cfg!(windows) {
    "onnxruntime.dll"
} else {
    "libonnxruntime.so"
};

/// Names the library, instead of all places where one is looked for.
pub const NAMED: &str = "ORT_DYLIB_PATH";

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
pub fn candidates(beside: Option<&Path>, wanted: Option<Provider>) -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os(NAMED).filter(|v| !v.is_empty()) {
        return vec![path.into()];
    }
    let mut list = Vec::new();
    // The one that has what is asked for goes before what lies beside the plugin.
    let own = wanted.and_then(Provider::folder).map(|folder| data_folder().join(folder).join(LIBRARY));
    list.extend(own.filter(|path| path.exists()));
    list.extend(beside.map(|folder| folder.join(LIBRARY)));
    for path in installed(wanted) {
        if !list.contains(&path) {
            list.push(path);
        }
    }
    list.extend(packaged(beside).into_iter().map(|folder| folder.join(LIBRARY)));
    list.push(LIBRARY.into());
    list
}

/// The libraries that the user has installed, as far as they are to be looked at: the one with the provider that is
/// asked for first. A GPU's is taken unasked where such a GPU is there, and never where its provider would find none:
/// the other ones compute faster then.
fn installed(wanted: Option<Provider>) -> Vec<PathBuf> {
    let data = data_folder();
    let library = |folder: &str| data.join(folder).join(LIBRARY);
    let own = wanted.and_then(Provider::folder);
    let mut folders: Vec<&str> = own.into_iter().collect();
    if wanted.is_none() {
        let there = |folder: &str| library(folder).exists();
        folders.extend(Some(CUDA).filter(|f| there(f) && cuda::devices().is_ok_and(|d| !d.is_empty())));
        let hardware = || vulkan::adapters().is_ok_and(|list| list.iter().any(|a| !a.is_software()));
        folders.extend(Some(WEBGPU).filter(|f| there(f) && hardware()));
    }
    // The faster build first, where the user has installed it.
    folders.extend([OPENVINO, PLAIN].into_iter().filter(|f| own != Some(f)));
    folders.into_iter().map(library).collect()
}

/// The folder below [`data_folder`] of the library with no more than the CPU.
const PLAIN: &str = "runtime";

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
