//! What the `background` property's text means.

use super::Image;
use crate::error::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is put behind the subject.
#[derive(Clone, Debug, PartialEq)]
pub enum Background {
    /// Nothing: the frame gets alpha.
    Transparent,
    /// One colour, R, G, B.
    Color([u8; 3]),
    /// The frame's own background, blurred. Standard deviation in percent of the frame's height.
    Blur(f32),
    /// A picture.
    Image(Arc<Image>),
}

impl Background {
    /// Whether frames keep alpha.
    pub fn is_transparent(&self) -> bool {
        *self == Background::Transparent
    }
}

/// The least blur, in percent of the frame's height. Looked at: with 2 %, capitals a twentieth of the frame high can
/// still be made out, with 3 % they cannot.
pub const LEAST_BLUR: f32 = 3.0;

/// The most blur, in percent of the frame's height.
pub const MOST_BLUR: f32 = 50.0;

/// The strength of a plain `blur`, in percent of the frame's height: the background stays as clear as is safe.
pub const BLUR: f32 = LEAST_BLUR;

/// What a text means before any file has been read.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// All of it.
    Known(Background),
    /// A picture, to be read from this file.
    Picture(PathBuf),
}

/// Reads the value of a `background` property: `transparent`, a colour, `blur`, `blur:PERCENT`, or
/// the path or `file://` URI of a PNG, JPEG or WebP, which is opened and decoded.
///
/// # Errors
/// [`ErrorKind::Setting`] that names the value and what would do.
pub fn parse(text: &str) -> Result<Background> {
    match meaning(text)? {
        Meaning::Known(background) => Ok(background),
        Meaning::Picture(path) => open(text, &path),
    }
}

/// Decodes the picture that [`meaning`] has found in a text. However large it is and whatever its decoder does: a panic
/// there is an error.
///
/// # Errors
/// As [`parse`].
pub fn open(text: &str, path: &Path) -> Result<Background> {
    let read = || {
        #[cfg(test)]
        hook::run(path);
        Image::open(path)
    };
    let image = std::panic::catch_unwind(read)
        .unwrap_or_else(|_| Err("its decoder panicked; please report this".to_string()))
        .map_err(|why| refusal(text, &why))?;
    Ok(Background::Image(Arc::new(image)))
}

fn refusal(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Setting, format!("background '{}' cannot be used: {why}", text.trim()))
}

/// What the value of a `background` property means; a picture is looked for, but not read.
///
/// # Errors
/// As [`parse`].
pub fn meaning(text: &str) -> Result<Meaning> {
    let text = text.trim();
    let refuse = |why: &str| refusal(text, why);
    if text.contains('\0') {
        return Err(refuse("there is a NUL in it"));
    }
    if text.eq_ignore_ascii_case("transparent") {
        return Ok(Meaning::Known(Background::Transparent));
    }
    if text == "blur" {
        return Ok(Meaning::Known(Background::Blur(BLUR)));
    }
    if let Some(percent) = text.strip_prefix("blur:") {
        return match percent.trim_end_matches('%').parse::<f32>() {
            Ok(p) if (LEAST_BLUR..=MOST_BLUR).contains(&p) => Ok(Meaning::Known(Background::Blur(p))),
            _ => Err(refuse(&format!(
                "the strength is a percentage of the frame's height, {LEAST_BLUR} to {MOST_BLUR}, as in blur:5; less \
                 would leave what is written on a wall to be read"
            ))),
        };
    }
    if let Some(color) = color(text) {
        return color.map(|c| Meaning::Known(Background::Color(c))).map_err(|why| refuse(&why));
    }
    let path = if text.starts_with("file:") {
        glib::filename_from_uri(text).map_err(|e| refuse(e.message()))?.0
    } else {
        PathBuf::from(text)
    };
    if !path.exists() {
        let like_a_path = text.contains('/') || Path::new(text).extension().is_some();
        return Err(refuse(if like_a_path {
            "there is no such file"
        } else {
            "it is neither transparent, blur, blur:PERCENT, a colour (#RRGGBB, 0xRRGGBB, rgb(r,g,b) or a CSS name) \
             nor a picture file"
        }));
    }
    Ok(Meaning::Picture(path))
}

/// A colour if it looks like one; the inner result tells what is wrong with it.
fn color(text: &str) -> Option<std::result::Result<[u8; 3], String>> {
    let css = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.len() == 6 => format!("#{hex}"),
        Some(_) => return Some(Err("0x wants six hexadecimal digits, RRGGBB".into())),
        None => text.to_string(),
    };
    let looks = css.starts_with('#') || (css.contains('(') && css.ends_with(')'));
    // The parser takes bare hexadecimal digits, too; a file may well be called `cafe`.
    let name = css.chars().all(|c| c.is_ascii_alphabetic()) && !css.chars().all(|c| c.is_ascii_hexdigit());
    if !looks && !name {
        return None;
    }
    match csscolorparser::parse(&css) {
        Ok(c) if c.a < 1.0 => Some(Err("a background colour must be opaque".into())),
        Ok(c) => {
            let [r, g, b, _] = c.to_rgba8();
            Some(Ok([r, g, b]))
        }
        Err(_) if looks => {
            Some(Err("it is no colour; colours are #RRGGBB, 0xRRGGBB, rgb(r,g,b) or CSS names".into()))
        }
        Err(_) => None,
    }
}

/// What tests want to happen when a picture is decoded.
#[cfg(test)]
pub(crate) mod hook {
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    type Hook = Arc<dyn Fn() + Send + Sync>;
    static HOOKS: Mutex<Vec<(PathBuf, Hook)>> = Mutex::new(Vec::new());

    /// For one file.
    pub fn set(path: &Path, hook: impl Fn() + Send + Sync + 'static) {
        HOOKS.lock().unwrap().push((path.into(), Arc::new(hook)));
    }

    pub fn run(path: &Path) {
        let hook = HOOKS.lock().unwrap().iter().find(|(p, _)| p == path).map(|(_, hook)| Arc::clone(hook));
        hook.inspect(|hook| hook());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, want) in [
            ("transparent", Background::Transparent),
            ("#00b140", Background::Color([0, 0xb1, 0x40])),
            ("0x00B140", Background::Color([0, 0xb1, 0x40])),
            ("rgb(1,2,3)", Background::Color([1, 2, 3])),
            ("rebeccapurple", Background::Color([0x66, 0x33, 0x99])),
            ("white", Background::Color([255; 3])),
            ("blur", Background::Blur(BLUR)),
            ("blur:7.5", Background::Blur(7.5)),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn a_panic_in_a_decoder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panics.png");
        std::fs::write(&path, "x").unwrap();
        hook::set(&path, || panic!("as a decoder may"));
        let e = parse(path.to_str().unwrap()).unwrap_err();
        assert!(e.text.contains("panics.png") && e.text.contains("panicked"), "{e}");
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, why) in [
            ("", "neither"),
            ("nocolour", "neither"),
            ("cafe", "neither"),
            ("#12", "no colour"),
            ("0x12", "six"),
            ("rgb(1,2)", "no colour"),
            ("rgba(1,2,3,0.5)", "opaque"),
            ("#12345678", "opaque"),
            ("blur:0", "percentage"),
            ("blur:0.01", "3 to 50"),
            ("blur:2.9", "percentage"),
            ("blur:NaN", "percentage"),
            ("blur:x", "percentage"),
            ("/no/such/picture.png", "no such file"),
            ("file:///no/such/picture.png", "no such file"),
            ("picture.png", "no such file"),
            ("/", "folder"),
            ("file://", ""),
        ] {
            let e = parse(text).unwrap_err();
            assert!(e.text.contains(why) && e.text.contains(text), "{text}: {e}");
        }
    }
}
