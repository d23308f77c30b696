//! Key files: the keys that `models/manifest.ini` and sidecars have for a network.

use super::{Activation, Fit, Hints};
use glib::KeyFile;

/// Reads a key file.
pub fn key_file(text: &str) -> std::result::Result<KeyFile, glib::Error> {
    // GLib's binding panics at one.
    if text.contains('\0') {
        return Err(glib::Error::new(glib::KeyFileError::Parse, "there is a NUL in it"));
    }
    let file = KeyFile::new();
    file.load_from_data(text, glib::KeyFileFlags::NONE)?;
    Ok(file)
}

/// What a group says of a network.
pub fn hints(file: &KeyFile, group: &str) -> std::result::Result<Hints, glib::Error> {
    let has = |key: &str| file.has_key(group, key).unwrap_or(false);
    let wrong = |key: &str, what: &str| {
        glib::Error::new(glib::KeyFileError::InvalidValue, &format!("[{group}] {key}: {what}"))
    };
    let bad = |key: &str, value: &str| wrong(key, &format!("'{value}' is not known"));
    let triple = |key: &str| -> std::result::Result<Option<[f32; 3]>, glib::Error> {
        if !has(key) {
            return Ok(None);
        }
        let list = file.double_list(group, key)?;
        match list[..] {
            [r, g, b] => Ok(Some([r as f32, g as f32, b as f32])),
            _ => Err(wrong(
                key,
                &format!(
                    "three numbers are wanted, separated by semicolons (in model-options the list stands in quotes: \
                     {key}=\"0.5;0.5;0.5\"), not {}",
                    list.len()
                ),
            )),
        }
    };
    let number = |key: &str| -> std::result::Result<Option<usize>, glib::Error> {
        if !has(key) {
            return Ok(None);
        }
        let n = file.integer(group, key)?;
        usize::try_from(n).ok().filter(|n| *n > 0).map(Some).ok_or_else(|| bad(key, &n.to_string()))
    };
    let flag = |key: &str| if has(key) { file.boolean(group, key).map(Some) } else { Ok(None) };
    let text = |key: &str| {
        if has(key) { file.string(group, key).map(|s| Some(s.to_string())) } else { Ok(None) }
    };
    let pairs = || {
        if !has("recurrent") {
            return Ok(None);
        }
        let list = file.string_list(group, "recurrent")?;
        let pair = |s: &glib::GStringPtr| {
            let (i, o) = s.split_once(':').ok_or_else(|| bad("recurrent", s))?;
            Ok((i.trim().to_string(), o.trim().to_string()))
        };
        list.iter().map(pair).collect::<std::result::Result<Vec<_>, glib::Error>>().map(Some)
    };
    Ok(Hints {
        mean: triple("mean")?,
        std: match triple("std")? {
            Some(std) if std.iter().any(|v| *v == 0.0 || !v.is_finite()) => {
                return Err(wrong("std", "it divides, so none of the three may be 0"));
            }
            std => std,
        },
        divide_by_max: flag("divide-by-max")?,
        bgr: flag("bgr")?,
        input: text("input")?,
        fit: match text("fit")?.as_deref() {
            None => None,
            Some("stretch") => Some(Fit::Stretch),
            Some("letterbox") => Some(Fit::Letterbox),
            Some(v) => return Err(bad("fit", v)),
        },
        short_side: number("short-side")?,
        multiple: number("multiple")?,
        output: text("output")?,
        class: match if has("class") { Some(file.integer(group, "class")?) } else { None } {
            None => None,
            Some(n) => Some(usize::try_from(n).map_err(|_| bad("class", &n.to_string()))?),
        },
        activation: match text("activation")?.as_deref() {
            None => None,
            Some("auto") => Some(Activation::Auto),
            Some("none") => Some(Activation::None),
            Some("sigmoid") => Some(Activation::Sigmoid),
            Some("softmax") => Some(Activation::Softmax),
            Some(v) => return Err(bad("activation", v)),
        },
        min_max: flag("min-max")?,
        recurrent: pairs()?,
    })
}
