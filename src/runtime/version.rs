//! Which ONNX Runtime a library is.

use std::ffi::{CStr, c_char};
use std::path::Path;

/// What `OrtGetApiBase` gives (onnxruntime_c_api.h).
#[repr(C)]
struct ApiBase {
    _get_api: *const (),
    get_version: unsafe extern "C" fn() -> *const c_char,
}

/// The version of a library that the process has opened, as it says itself; `None` if it is none.
pub fn version(path: &Path) -> Option<String> {
    // SAFETY: the library is open in this process already, so its initialisers have run; this counts one more
    // user of it.
    let library = unsafe { libloading::Library::new(path) }.ok()?;
    // SAFETY: `OrtGetApiBase` has had this type since ONNX Runtime 1.0; ort calls it in the same way.
    let base = unsafe { library.get::<unsafe extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase").ok()?() };
    // SAFETY: it gives a static struct, or null.
    let base = unsafe { base.as_ref() }?;
    // SAFETY: the function gives a static text that ends with NUL.
    let text = unsafe { CStr::from_ptr((base.get_version)()) };
    Some(text.to_string_lossy().into_owned())
}

/// Why a library does not open, in the system's words.
pub fn cause(e: &libloading::Error) -> String {
    std::error::Error::source(e).map_or_else(|| e.to_string(), |source| source.to_string())
}
