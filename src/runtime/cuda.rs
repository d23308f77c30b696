//! NVIDIA's GPUs, as their driver sees them.

use super::version::cause;
use libloading::Library;
use std::ffi::{CStr, c_char, c_int};
use std::path::Path;
use std::sync::Once;

/// The driver's library; it comes with the driver and from nowhere else.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// The CUDA that `make runtime-cuda` installs libraries of, as the driver counts.
const LEAST: c_int = 13_000;

/// The names of the GPUs, in the order in which CUDA counts them.
///
/// # Errors
/// What is missing, and how to have it.
pub fn devices() -> Result<Vec<String>, String> {
    // SAFETY: the driver's library, which any CUDA program opens.
    let driver = unsafe { Library::new(DRIVER) }
        .map_err(|e| format!("NVIDIA's driver is not there ({}): install theirs, 580 or newer", cause(&e)))?;
    let names = names(&driver).map_err(|why| format!("NVIDIA's driver gives no device: {why}"))?;
    if names.is_empty() { Err("NVIDIA's driver finds no GPU of theirs".into()) } else { Ok(names) }
}

/// The four calls have been the same since CUDA 2.0: all give 0 for success.
fn names(driver: &Library) -> Result<Vec<String>, String> {
    let missing = |e: libloading::Error| cause(&e);
    let failed = |what: &str, code: c_int| match code {
        0 => Ok(()),
        100 => Err("there is none (CUDA_ERROR_NO_DEVICE)".to_string()),
        code => Err(format!("{what} gives {code}")),
    };
    // SAFETY: the types are those of cuda.h; what is written to lives through each call, and the name has room for as
    // many bytes as is said.
    unsafe {
        let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit").map_err(missing)?;
        let count =
            driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDeviceGetCount").map_err(missing)?;
        let get = driver
            .get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet")
            .map_err(missing)?;
        let name = driver
            .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName")
            .map_err(missing)?;
        failed("cuInit", init(0))?;
        let version = driver
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion")
            .map_err(missing)?;
        let mut cuda = 0;
        failed("cuDriverGetVersion", version(&mut cuda))?;
        if cuda < LEAST {
            return Err(format!(
                "it is for CUDA {}.{}, and the libraries want {} or newer: that is driver 580, which Debian 12 and 13 do \
                 not package; NVIDIA's own repository does",
                cuda / 1000,
                cuda % 1000 / 10,
                LEAST / 1000
            ));
        }
        let mut n = 0;
        failed("cuDeviceGetCount", count(&mut n))?;
        let one = |i| {
            let (mut device, mut text) = (0, [0 as c_char; 256]);
            failed("cuDeviceGet", get(&mut device, i))?;
            failed("cuDeviceGetName", name(text.as_mut_ptr(), text.len() as c_int, device))?;
            text[255] = 0;
            Ok(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
        };
        (0..n).map(one).collect()
    }
}

/// Opens CUDA's libraries that lie beside the runtime at `runtime`: its provider looks for them by name only, and so
/// finds those that the process has open already. What is not there is looked for where the system's loader looks.
pub fn prepare(runtime: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(entries) = runtime.parent().and_then(|folder| folder.read_dir().ok()) else { return };
        let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        let named = |p: &Path, start: &str| {
            p.file_name().is_some_and(|n| {
                n.to_string_lossy().starts_with(start) && n.to_string_lossy().contains(".so")
            })
        };
        let wanted = ["libcudart", "libnvrtc", "libcublasLt", "libcublas", "libcurand", "libcudnn"];
        files.sort();
        for start in wanted {
            for file in files.iter().filter(|p| named(p, start)) {
                // SAFETY: they are the libraries that the provider is about to open itself.
                if let Ok(library) = unsafe { Library::new(file) } {
                    // They stay open, as the provider would keep them.
                    std::mem::forget(library);
                }
            }
        }
    });
}
