//! `--also`: further layers of the same conversion, frame for frame in step.

use crate::media::*;
use crate::quick::quick;
use crate::record::record;
use serde_json::json;
use std::path::Path;

/// `LAYER=FOLDER/NAME`.
fn also(layer: &str, folder: &Path, name: &str) -> String {
    format!("{layer}={}", folder.join(name).display())
}

/// The grey of each frame's pixels, as it is seen.
fn grey(path: &Path) -> Vec<Vec<u8>> {
    frames(path).iter().map(|f| f.chunks_exact(4).map(|p| p[1]).collect()).collect()
}

#[test]
fn a_matte_is_black_and_white() {
    let folder = folder("black-and-white");
    for name in ["m.mp4", "m.webm", "m.mov"] {
        let path = folder.join(name);
        let more = ["--set", "output=matte", "--quality", "95", "--duration", "0.2"];
        let out = bgremove(&[&[text(&silent()), text(&path)], &more[..]].concat());
        assert!(out.status.success(), "{name}: {}", said(&out));
        let mut count = [0u32; 256];
        grey(&path)[0].iter().for_each(|v| count[usize::from(*v)] += 1);
        let most = |of: std::ops::Range<usize>| of.max_by_key(|v| count[*v]).unwrap();
        assert_eq!((most(0..128), most(128..256)), (0, 255), "{name}: {count:?}");
    }
}

#[test]
fn each_layer_is_of_the_same_frames() {
    let folder = folder("layers");
    let report = folder.join("report.json");
    let names =
        [("matte", "m.mp4"), ("background", "hole.webm"), ("background", "room.mp4"), ("plate", "plate.mov")];
    let layers: Vec<String> = names.iter().map(|(layer, name)| also(layer, &folder, name)).collect();
    let mut more: Vec<&str> = layers.iter().flat_map(|l| ["--also", l]).collect();
    more.extend(["--report", text(&report), "--json", "--quality", "95", "--duration", "0.5"]);
    let out = bgremove(&[&[text(&silent()), text(&folder.join("out.webm"))], &more[..]].concat());
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(files(&folder), ["hole.webm", "m.mp4", "out.webm", "plate.mov", "report.json", "room.mp4"]);

    let cut = frames(&folder.join("out.webm"));
    let seen = times(&folder.join("out.webm"));
    assert_eq!(cut.len(), 15);
    for (_, name) in names {
        let own = times(&folder.join(name));
        assert!(
            own.len() == 15 && own.iter().zip(&seen).all(|(a, b)| (a - b).abs() < 0.002),
            "{name}: {own:?}"
        );
    }
    let (mattes, holes) = (grey(&folder.join("m.mp4")), frames(&folder.join("hole.webm")));
    let (rooms, plates) = (frames(&folder.join("room.mp4")), frames(&folder.join("plate.mov")));
    let source = frames(&silent());
    for n in 0..15 {
        let (cut, hole) = (alpha(&cut[n]), alpha(&holes[n]));
        let inverse: Vec<u8> = cut.iter().map(|a| 255 - a).collect();
        assert!(psnr(&cut, &mattes[n]) > 38.0, "{n}: the matte is the alpha: {}", psnr(&cut, &mattes[n]));
        assert!(
            psnr(&inverse, &hole) > 38.0,
            "{n}: the hole is where the subject is: {}",
            psnr(&inverse, &hole)
        );
        for filled in [&rooms[n], &plates[n]] {
            assert!(alpha(filled).iter().all(|a| *a == 255));
            // Away from the subject it is the source; where the subject was, it is not.
            let difference = |inside: bool| {
                let pixels = filled.chunks_exact(4).zip(source[n].chunks_exact(4)).zip(&cut);
                let chosen = pixels.filter(|(_, a)| if inside { **a == 255 } else { **a == 0 });
                let (mut sum, mut count) = (0.0, 0.0);
                for ((p, q), _) in chosen {
                    sum += (0..3).map(|k| f64::from(p[k].abs_diff(q[k]))).sum::<f64>() / 3.0;
                    count += 1.0;
                }
                sum / count
            };
            assert!(
                difference(false) < 4.0 && difference(true) > 15.0,
                "{n}: {} {}",
                difference(false),
                difference(true)
            );
        }
    }
    // The record and what programs hear.
    let d = record(&report)["destination"]["layers"].clone();
    let bytes = |name: &str| json!(folder.join(name).metadata().unwrap().len());
    for (n, (layer, (_, name))) in ["matte", "background", "plate", "plate"].iter().zip(names).enumerate() {
        let place = json!(folder.join(name).to_str().unwrap());
        assert_eq!(
            (&d[n]["layer"], &d[n]["location"], &d[n]["bytes"]),
            (&json!(layer), &place, &bytes(name)),
            "{d}"
        );
        assert_eq!((&d[n]["frames"], &d[n]["alpha"]), (&json!(15), &json!(name == "hole.webm")));
    }
    let events = events(&out);
    let told = |what: &str| events.iter().filter(|e| e["event"] == what).count();
    assert_eq!((told("layer"), told("done"), told("error")), (4, 1, 0));
}

/// What decodes and encodes at its own pace does not wait in a circle: encoders that hold frames back, muxers that wait
/// for the end, frames that stand for seconds, sound.
#[test]
fn nothing_waits_for_itself() {
    let folder = folder("layers-pace");
    let long = clip("long.mp4", 8.0, LOOP, &H264);
    let every = ",loop=loop=20:size=120,fps=30,select='not(mod(n\\,240))'";
    let slides = clip("slides.mp4", 40.0, every, &[&["-vsync", "vfr"], &SILENT_H264[..]].concat());
    for (name, input, count) in [("long", &long, 240), ("slides", &slides, 5)] {
        let [a, b, c] = [("matte", "m.mp4"), ("plate", "p.mp4"), ("background", "b.png")]
            .map(|(l, f)| also(l, &folder, &format!("{name}-{f}")));
        let output = folder.join(format!("{name}.mp4"));
        let more = ["--also", &a, "--also", &b, "--also", &c, "--background", "white", "--timeout", "40"];
        convert(input, &output, &[&more[..], &quick()].concat());
        assert_eq!(has_sound(&output), name == "long");
        let seen = times(&output);
        assert_eq!(seen.len(), count, "{name}");
        for layer in ["m", "p"] {
            let own = times(&folder.join(format!("{name}-{layer}.mp4")));
            assert!(
                own.len() == count && own.iter().zip(&seen).all(|(a, b)| (a - b).abs() < 0.002),
                "{name} {layer}: {own:?} {seen:?}"
            );
        }
        assert_eq!(pictures(&folder.join(format!("{name}-b"))).len(), count);
    }
}

#[test]
fn layers_are_there_all_or_none() {
    let (folder, made) = (folder("layers-whole"), folder("layers-whole-inputs"));
    let first = [&H264[..], &["-movflags", "+faststart"]].concat();
    let six = clip("layers-six.mp4", 6.0, LOOP, &first);
    let bytes = std::fs::read(&six).unwrap();
    let broken = made.join("broken.mp4");
    std::fs::write(&broken, &bytes[..bytes.len() / 3]).unwrap();
    let (a, b) = (also("matte", &folder, "m.mp4"), also("background", &folder, "b.png"));
    let said = refuse(
        &broken,
        &folder.join("a.webm"),
        &[&quick()[..], &["--timeout", "20", "--also", &a, "--also", &b]].concat(),
        1,
    );
    assert!(said.contains("less came out"), "{said}");
    // What is there stays, each file on its own, and is replaced where that is said.
    std::fs::write(folder.join("m.mp4"), "mine").unwrap();
    let more = [&quick()[..], &["--also", &a]].concat();
    let out = bgremove(&[&[text(&silent()), text(&folder.join("a.webm"))], &more[..]].concat());
    assert!(
        !out.status.success() && crate::media::said(&out).contains("m.mp4 exists"),
        "{}",
        crate::media::said(&out)
    );
    assert_eq!(std::fs::read_to_string(folder.join("m.mp4")).unwrap(), "mine");
    assert_eq!(files(&folder), ["m.mp4"]);
    convert(&silent(), &folder.join("a.webm"), &[&more[..], &["--overwrite"]].concat());
    assert_eq!(
        (files(&folder), times(&folder.join("m.mp4")).len()),
        (vec!["a.webm".to_string(), "m.mp4".into()], 30)
    );
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let folder = folder("layers-refused");
    let output = folder.join("a.webm");
    let at = |layer: &str, name: &str| also(layer, &folder, name);
    let input = silent();
    for (more, words) in [
        (vec!["--also".to_string(), "depth=d.mp4".into()], "there is no layer 'depth'"),
        (vec!["--also".into(), "matte".into()], "LAYER=FILE"),
        (vec!["--also".into(), at("matte", "m.mkv")], "extension"),
        (vec!["--also".into(), "matte=-".into()], "pipe"),
        (vec!["--also".into(), at("matte", "a.webm")], "twice"),
        (vec!["--also".into(), at("matte", "m.mp4"), "--also".into(), at("plate", "m.mp4")], "twice"),
        (
            vec!["--also".into(), format!("matte={}", input.display()), "--overwrite".into()],
            "over what is read",
        ),
        (vec!["--also".into(), at("matte", "m.mp4"), "--set".into(), "output=matte".into()], "contradict"),
        (vec!["--also".into(), at("matte", "m.mp4"), "--part".into(), "1/2".into()], "cannot be used with"),
        (vec!["--also".into(), at("matte", "m.mp4"), "--resume".into()], "cannot be used with"),
    ] {
        let words_given: Vec<&str> = more.iter().map(String::as_str).collect();
        let said = refuse(&input, &output, &words_given, 2);
        assert!(said.contains(words), "{more:?}: {said}");
    }
    let many = bgremove(&[text(&input), text(&input), "-o", text(&folder), "--also", &at("matte", "m.mp4")]);
    assert_eq!(many.status.code(), Some(2), "{}", said(&many));
}

#[test]
fn the_printed_line_has_the_layers_too() {
    let folder = folder("layers-printed");
    let (matte, plate) = (also("matte", &folder, "m.mp4"), also("plate", &folder, "p.webm"));
    let output = folder.join("a.webm");
    let more = [&TINY[..], &["--also", &matte, "--also", &plate, "--print-pipeline"]].concat();
    let out = bgremove(&[&[text(&silent()), text(&output)], &more[..]].concat());
    let line = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && files(&folder).is_empty(), "{line}");
    assert_eq!(line.matches("bgremove ").count(), 1, "{line}");
    assert_eq!(line.matches("decodebin").count(), 1, "{line}");
    // No file waits for another to begin; what gst-launch-1.0 makes of that, docs/convert.md says.
    assert_eq!(line.matches("async=false").count(), 3, "{line}");
    for word in ["layerextract layer=matte", "layerextract layer=plate", "layers=matte+plate"] {
        assert!(line.contains(word), "{word}: {line}");
    }
}
