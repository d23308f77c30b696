//! `--keep`, and the picture that shows who can be kept.

use crate::media::*;
use crate::record::record;
use std::path::PathBuf;

/// The portrait twice, the second time mirrored and in other colours, each in a half of the frame.
fn two() -> PathBuf {
    let both = ",split[a][b];[a]crop=160:180:70:0[l];[b]crop=160:180:70:0,hflip,hue=h=120[r];[l][r]hstack";
    clip("two.mp4", 0.5, both, &[&SILENT_H264[..], &["-crf", "16"]].concat())
}

/// How many pixels of each half are seen.
fn halves(frame: &Frame) -> [usize; 2] {
    let seen = |right: bool| {
        let all = frame.chunks_exact(4).enumerate();
        all.filter(|(i, p)| (i % WIDTH >= WIDTH / 2) == right && p[3] > 128).count()
    };
    [seen(false), seen(true)]
}

#[test]
fn who_can_be_kept_is_shown_and_kept() {
    let folder = folder("keep");
    let picture = folder.join("who.png");
    let out = bgremove(&[text(&two()), "--preview-subjects", text(&picture)]);
    assert!(out.status.success(), "{}", said(&out));
    let shown = image::open(&picture).unwrap().into_rgb8();
    assert_eq!(shown.dimensions(), (WIDTH as u32, 180));
    let lines = String::from_utf8(out.stdout).unwrap();
    let places: Vec<&str> = lines
        .lines()
        .map(|l| l.split_once("--keep ").unwrap().1.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(places.len(), 2, "{lines}");
    let half = |place: &str| usize::from(place.split(',').next().unwrap().parse::<f64>().unwrap() > 0.5);
    assert_ne!(half(places[0]), half(places[1]), "{lines}");
    // Outlines of two colours that are not in the clip.
    for color in [[0, 200, 255], [255, 80, 160]] {
        assert!(shown.pixels().filter(|p| p.0 == color).count() > 100, "{color:?}");
    }
    for place in places {
        let (path, report) = (folder.join("one"), folder.join("one.json"));
        let more = ["--format", "png", "--keep", place, "--overwrite", "--report", text(&report)];
        convert(&two(), &path, &more);
        let frames = pictures(&path);
        assert_eq!(frames.len(), 15);
        let own = half(place);
        for (n, frame) in frames.iter().enumerate() {
            let seen = halves(frame);
            assert!(seen[own] > 3000 && seen[1 - own] < 100, "--keep {place} {n}: {seen:?}");
        }
        let subjects = record(&report)["subjects"].as_array().unwrap().len();
        assert!(subjects >= 2, "{subjects}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let (folder, elsewhere) = (folder("keep-refused"), folder("keep-refused-pictures"));
    let output = folder.join("a.webm");
    for (more, code, why) in [
        (&["--keep", "0.9,0.2,0.3,0.4"][..], 2, "not in the frame"),
        (&["--keep", "meta:person"], 2, "detector"),
        (&["--keep", "2"], 2, "as --preview-subjects prints it"),
        (&["--keep", "largest", "--part", "1/2"], 2, "who is kept is chosen in a clip's first frame"),
        (&["--keep", "largest", "--set", "subject=all"], 2, "contradict"),
        (&["--keep", "largest", "--model", "key"], 1, "knows the screen"),
    ] {
        let said = refuse(&two(), &output, more, code);
        assert!(said.contains(why), "{more:?}: {said}");
    }
    let nobody = clip("nobody.mp4", 0.5, ",drawbox=t=fill:c=gray", &["-an", "-c:v", "libx264"]);
    let picture = elsewhere.join("who.png");
    let out = bgremove(&[text(&nobody), "--preview-subjects", text(&picture)]);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("finds nobody"), "{}", said(&out));
    assert!(!picture.exists());
    // Neither the input nor what is there already is replaced, and a JPEG is no PNG.
    let own = elsewhere.join("own.png");
    image::RgbImage::new(64, 64).save(&own).unwrap();
    let (before, jpeg) = (std::fs::read(&own).unwrap(), elsewhere.join("who.jpg"));
    for (input, picture, why) in
        [(&own, &own, "replace itself"), (&two(), &own, "--overwrite"), (&two(), &jpeg, "PNG")]
    {
        let out = bgremove(&[text(input), "--preview-subjects", text(picture)]);
        assert!(out.status.code() == Some(2) && said(&out).contains(why), "{why}: {}", said(&out));
    }
    assert_eq!(std::fs::read(&own).unwrap(), before);
    let out = bgremove(&[text(&two()), "--preview-subjects", text(&own), "--model", "key"]);
    assert!(out.status.code() == Some(2) && said(&out).contains("knows the screen"), "{}", said(&out));
}
