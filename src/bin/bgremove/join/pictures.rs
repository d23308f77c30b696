//! Folders of numbered pictures, put together into one.

use super::gather::Whole;
use crate::convert::fault::Fault;
use crate::convert::watchdog::Watchdog;
use std::fs;
use std::path::Path;

/// Puts the pictures of all parts into a folder, numbered anew; how many.
pub fn join(whole: &Whole, into: &Path, watchdog: &Watchdog) -> Result<u64, Fault> {
    let mut number = 0;
    for part in &whole.parts {
        let unread = |e: std::io::Error| Fault::input(format!("{} cannot be read: {e}", part.path.display()));
        let files = fs::read_dir(&part.path).map_err(unread)?;
        let mut files = files.map(|f| f.map(|f| f.path())).collect::<Result<Vec<_>, _>>().map_err(unread)?;
        // From a hundred thousand on, numbers are longer.
        files.sort_by_key(|f| (f.as_os_str().len(), f.clone()));
        for file in files {
            if watchdog.is_stopped() {
                return Err(Fault::interrupted());
            }
            number += 1;
            let to = into.join(format!("frame-{number:05}.png"));
            // On one disk nothing is copied.
            let put = fs::hard_link(&file, &to).or_else(|_| fs::copy(&file, &to).map(drop));
            put.map_err(|e| Fault::output(format!("{} cannot be written: {e}", to.display())))?;
        }
    }
    if number != whole.frames() {
        return Err(Fault::input(format!(
            "{number} pictures are in the parts, which say {}",
            whole.frames()
        )));
    }
    Ok(number)
}
