//! Key files: the keys that `models/manifest.ini` and sidecars have for a network.

use super::{Activation, Hints, InputFit};
use glib::KeyFile;
use std::path::PathBuf;

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

fn wrong(group: &str, key: &str, what: &str) -> glib::Error {
    glib::Error::new(glib::KeyFileError::InvalidValue, &format!("[{group}] {key}: {what}"))
}

/// A number above 0, if the group has one by that name.
pub fn number(file: &KeyFile, group: &str, key: &str) -> std::result::Result<Option<usize>, glib::Error> {
    if !file.has_key(group, key).unwrap_or(false) {
        return Ok(None);
    }
    let n = file.integer(group, key)?;
    let above = usize::try_from(n).ok().filter(|n| *n > 0);
    above.map(Some).ok_or_else(|| wrong(group, key, &format!("'{n}' is not known")))
}

/// What a group says of a network.
pub fn hints(file: &KeyFile, group: &str) -> std::result::Result<Hints, glib::Error> {
    let has = |key: &str| file.has_key(group, key).unwrap_or(false);
    let wrong = |key: &str, what: &str| wrong(group, key, what);
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
    let number = |key: &str| number(file, group, key);
    let flag = |key: &str| if has(key) { file.boolean(group, key).map(Some) } else { Ok(None) };
    let text = |key: &str| {
        if has(key) { file.string(group, key).map(|s| Some(s.to_string())) } else { Ok(None) }
    };
    let pairs = |key: &str| {
        if !has(key) {
            return Ok(None);
        }
        let list = file.string_list(group, key)?;
        let pair = |s: &glib::GStringPtr| {
            let (i, o) = s.split_once(':').ok_or_else(|| bad(key, s))?;
            Ok((i.trim().to_string(), o.trim().to_string()))
        };
        list.iter().map(pair).collect::<std::result::Result<Vec<_>, glib::Error>>().map(Some)
    };
    // A name, and after a colon a second one.
    let names = |key: &str| {
        Ok::<_, glib::Error>(text(key)?.map(|v| match v.split_once(':') {
            Some((first, second)) => (first.trim().to_string(), Some(second.trim().to_string())),
            None => (v.trim().to_string(), None),
        }))
    };
    let embedding = || match names("prompt-embedding")? {
        None => Ok(None),
        Some((input, Some(path))) if !path.is_empty() => Ok(Some((input, PathBuf::from(path)))),
        Some(_) => Err(wrong(
            "prompt-embedding",
            "the input's name and a file are wanted, as in text_embed:red-jacket.npy",
        )),
    };
    let points = || {
        let what = "X,Y or X,Y,LABEL is wanted, in parts of the frame and 1 (the subject) or 0, as in 0.3,0.5;0.8,0.1,0";
        let point = |s: &glib::GStringPtr| {
            let numbers: Vec<f32> = s.split(',').map(|v| v.trim().parse().ok()).collect::<Option<_>>()?;
            let [x, y, kind] = match numbers[..] {
                [x, y] => [x, y, 1.0],
                [x, y, kind] => [x, y, kind],
                _ => return None,
            };
            let inside = (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
            (inside && (kind == 0.0 || kind == 1.0)).then_some([x, y, kind])
        };
        if !has("points") {
            return Ok(None);
        }
        let list = file.string_list(group, "points")?;
        list.iter().map(point).collect::<Option<Vec<_>>>().map(Some).ok_or_else(|| wrong("points", what))
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
            Some("stretch") => Some(InputFit::Stretch),
            Some("letterbox") => Some(InputFit::Letterbox),
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
        recurrent: pairs("recurrent")?,
        decoder: text("decoder")?.map(PathBuf::from),
        link: pairs("link")?,
        scores: text("scores")?,
        prompt_points: names("prompt-points")?,
        prompt_box: text("prompt-box")?,
        prompt_mask: names("prompt-mask")?,
        prompt_size: text("prompt-size")?,
        prompt_embedding: embedding()?,
        points: points()?,
    })
}
