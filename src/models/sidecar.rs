//! What a user says of a network: a sidecar file beside it, or the element's `model-options`.
//!
//! The sidecar of `x.onnx` is `x.onnx.modelinfo`, the key file that GStreamer's inference elements
//! document (GstAnalyticsModelInfo): a group a tensor with `dir`, `type`, `dims` and, for inputs,
//! `ranges`, the minimum and maximum that 0 and 255 become, a pair a channel. What that format has no
//! word for stands in a group `[bgremove]`, with the keys of `models/manifest.ini`.

use super::{Hints, hint_keys};
use crate::error::{Error, ErrorKind, Result};
use glib::KeyFile;
use std::path::{Path, PathBuf};

const GROUP: &str = "bgremove";

/// A sidecar's greatest length in bytes.
const LONGEST: u64 = 1 << 20;

/// The sidecar's path for a model's.
fn path_of(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".modelinfo");
    name.into()
}

/// Reads the sidecar of a model; without one, nothing is said.
///
/// # Errors
/// [`ErrorKind::ModelInvalid`] when there is one and it cannot be understood.
pub fn read(model: &Path) -> Result<Hints> {
    let path = path_of(model);
    if !path.exists() {
        return Ok(Hints::default());
    }
    let refuse = |why: &str| {
        Error::new(ErrorKind::ModelInvalid, format!("the sidecar {} cannot be used: {why}", path.display()))
    };
    // Neither a pipe, which would wait for a writer, nor a file of gigabytes.
    let kind = path.metadata().map_err(|e| refuse(&e.to_string()))?;
    if !kind.is_file() || kind.len() > LONGEST {
        return Err(refuse("it is no text file, or longer than a megabyte"));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| refuse(&e.to_string()))?;
    parse(&text).map_err(|why| refuse(&why))
}

pub(crate) fn parse(text: &str) -> std::result::Result<Hints, String> {
    let file = hint_keys::key_file(text).map_err(|e| e.message().to_string())?;
    let ours = if file.has_group(GROUP) {
        hint_keys::hints(&file, GROUP).map_err(|e| e.message().to_string())?
    } else {
        Hints::default()
    };
    let mut tensors = Hints::default();
    let mut outputs = Vec::new();
    for group in file.groups().iter().map(|g| g.to_string()) {
        let value = |key: &str| file.string(&group, key).ok();
        match value("dir").as_deref() {
            Some("input") => {
                if let Some(ranges) = value("ranges") {
                    let (mean, std) =
                        normalisation(&ranges).map_err(|why| format!("[{group}] ranges: {why}"))?;
                    (tensors.mean, tensors.std) = (Some(mean), Some(std));
                    tensors.input = Some(group);
                }
            }
            Some("output") => outputs.push(group),
            _ => {}
        }
    }
    // Several outputs may be described; which one is the matte then has to be said.
    if let [one] = &outputs[..] {
        tensors.output = Some(one.clone());
    }
    Ok(ours.or(tensors))
}

/// Mean and deviation, of 0..1, that give each channel its range.
fn normalisation(ranges: &str) -> std::result::Result<([f32; 3], [f32; 3]), String> {
    let pairs: Vec<(f32, f32)> = ranges
        .split(';')
        .filter(|p| !p.trim().is_empty())
        .map(|pair| {
            let (lo, hi) = pair.split_once(',')?;
            let (lo, hi) = (lo.trim().parse().ok()?, hi.trim().parse().ok()?);
            (hi > lo).then_some((lo, hi))
        })
        .collect::<Option<_>>()
        .ok_or("pairs of minimum,maximum are wanted, separated by semicolons")?;
    let [r, g, b] = match pairs[..] {
        [one] => [one; 3],
        [r, g, b] => [r, g, b],
        _ => return Err(format!("{} pairs; one or three are wanted", pairs.len())),
    };
    // lo + v·(hi − lo) = (v − mean) ∕ std
    let std = [r, g, b].map(|(lo, hi)| 1.0 / (hi - lo));
    let mean = [r, g, b].map(|(lo, hi)| -lo / (hi - lo));
    Ok((mean, std))
}

/// Reads the element's `model-options`: the keys of the manifest as the fields of a structure.
///
/// # Errors
/// [`ErrorKind::Setting`] for a value that cannot be understood, and for a field that is not known.
pub fn from_structure(structure: &gst::StructureRef) -> Result<Hints> {
    const KEYS: [&str; 22] = [
        "mean",
        "std",
        "divide-by-max",
        "bgr",
        "input",
        "fit",
        "short-side",
        "multiple",
        "output",
        "class",
        "activation",
        "min-max",
        "recurrent",
        "decoder",
        "link",
        "scores",
        "prompt-points",
        "prompt-box",
        "prompt-mask",
        "prompt-size",
        "prompt-embedding",
        "points",
    ];
    let refuse = |why: String| Error::new(ErrorKind::Setting, format!("model-options cannot be used: {why}"));
    let file = KeyFile::new();
    file.set_string(GROUP, "version", "1");
    for (name, value) in structure.iter() {
        if !KEYS.contains(&name.as_str()) {
            return Err(refuse(format!("'{name}' is not known; known are {}", KEYS.join(", "))));
        }
        let text = match value.get::<gst::ArrayRef>() {
            Ok(array) => array.iter().filter_map(text).collect::<Vec<_>>().join(";"),
            Err(_) => text(value).ok_or_else(|| refuse(format!("'{name}' has a type that is not known")))?,
        };
        file.set_value(GROUP, name.as_str(), &text);
    }
    hint_keys::hints(&file, GROUP).map_err(|e| refuse(e.message().to_string()))
}

fn text(value: &glib::SendValue) -> Option<String> {
    value.get::<String>().ok().or_else(|| value.transform::<String>().ok()?.get::<String>().ok()).map(|s| {
        // GLib writes booleans of structures in capitals.
        match s.as_str() {
            "TRUE" | "FALSE" => s.to_lowercase(),
            _ => s,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Activation;

    #[test]
    fn reads_gstreamers_groups_and_ours() {
        let hints = parse(
            "[modelinfo]\nversion=1.0\n\
             [src]\nid=src\ntype=float32\ndims=1,3,-1,-1\ndir=input\nranges=-1.0,1.0;-1.0,1.0;-1.0,1.0\n\
             [matte]\ntype=float32\ndims=1,1,-1,-1\ndir=output\n\
             [bgremove]\nactivation=sigmoid\nshort-side=512\nmultiple=32\nrecurrent=a:b;c:d\nbgr=true\n",
        )
        .unwrap();
        assert_eq!((hints.mean, hints.std), (Some([0.5; 3]), Some([0.5; 3])));
        assert_eq!((hints.input.as_deref(), hints.output.as_deref()), (Some("src"), Some("matte")));
        assert_eq!((hints.activation, hints.bgr), (Some(Activation::Sigmoid), Some(true)));
        assert_eq!((hints.short_side, hints.multiple), (Some(512), Some(32)));
        assert_eq!(hints.recurrent.unwrap(), [("a".into(), "b".into()), ("c".into(), "d".into())]);
    }

    #[test]
    fn reads_how_a_network_is_told_whom_to_keep() {
        let hints = parse(
            "[bgremove]\ndecoder=second.onnx\nlink=a:b\nscores=iou\nprompt-points=places:labels\nprompt-box=box\n\
             prompt-mask=last\nprompt-size=size\nprompt-embedding=text:red jacket.npy\npoints=0.25,0.5;1,0,0\n",
        )
        .unwrap();
        assert_eq!((hints.decoder, hints.scores), (Some("second.onnx".into()), Some("iou".into())));
        assert_eq!(hints.prompt_points, Some(("places".into(), Some("labels".into()))));
        assert_eq!((hints.prompt_box.as_deref(), hints.prompt_size.as_deref()), (Some("box"), Some("size")));
        assert_eq!(hints.prompt_mask, Some(("last".into(), None)));
        assert_eq!(hints.prompt_embedding, Some(("text".into(), "red jacket.npy".into())));
        assert_eq!(hints.points, Some(vec![[0.25, 0.5, 1.0], [1.0, 0.0, 0.0]]));
        assert_eq!(hints.link, Some(vec![("a".into(), "b".into())]));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for text in [
            "no key file",
            "[x]\ndir=input\nranges=1",
            "[x]\ndir=input\nranges=1,0",
            "[x]\ndir=input\nranges=0,1;0,1",
            "[bgremove]\nactivation=relu\n",
            "[bgremove]\nmean=1;2\n",
            "[bgremove]\nshort-side=-5\n",
            "[bgremove]\nrecurrent=a\n",
            "[bgremove]\nprompt-embedding=text\n",
            "[bgremove]\npoints=0.5\n",
            "[bgremove]\npoints=0.5,1.5\n",
            "[bgremove]\npoints=0.5,0.5,7\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_are_the_same_keys() {
        gst::init().unwrap();
        let s: gst::Structure =
            "options,mean=(float)<0.5,0.5,0.5>,std=\"0.5;0.5;0.5\",min-max=true,short-side=320,activation=softmax"
                .parse()
                .unwrap();
        let hints = from_structure(&s).unwrap();
        assert_eq!((hints.mean, hints.std), (Some([0.5; 3]), Some([0.5; 3])));
        assert_eq!((hints.min_max, hints.short_side), (Some(true), Some(320)));
        let bad: gst::Structure = "options,men=1".parse().unwrap();
        assert!(from_structure(&bad).unwrap_err().text.contains("men"));
    }
}
