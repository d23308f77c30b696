//! The commands of README.md and docs/pipelines.md run as they stand. The README says which of its own do not.
#![cfg(feature = "cli")]

mod common;

use std::path::{Path, PathBuf};

/// The commands of a page's indented blocks, those of several lines put together.
fn commands(page: &str) -> Vec<String> {
    let lines = page.lines().filter_map(|l| l.strip_prefix("    ")).map(str::trim);
    let text = lines.filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n");
    text.replace("\\\n", "").lines().map(str::to_string).collect()
}

/// A folder with what the pages' commands name: `in.mp4` with sound and long enough for `--start 1:05`, at a frame every three
/// seconds (of sound, queues hold four), `beach.mp4` and `beach.jpg`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| common::shell(folder.path(), line);
    let portrait = common::clip("astronaut.png");
    run(&format!(
        "ffmpeg -v error -loop 1 -r 1/3 -i '{}' -f lavfi -i sine -t 70 -vf scale=64:64 -pix_fmt yuv420p in.mp4",
        portrait.display()
    ));
    let clip = common::clip("carphone_pristine.mp4");
    run(&format!("ffmpeg -v error -i '{}' -t 0.3 -an beach.mp4", clip.display()));
    run("ffmpeg -v error -i beach.mp4 -frames:v 1 -update 1 beach.jpg");
    folder
}

/// A place for a user's data with the runtimes that are here, and without a network: `auto` takes `light` there, and not `human`,
/// which takes six times as long.
fn shelf(folder: &Path) -> PathBuf {
    let (here, shelf) = (gstbgremove::runtime::data_folder(), folder.join("data"));
    std::fs::create_dir_all(shelf.join("bgremove")).unwrap();
    for runtime in ["runtime", "runtime-openvino", "runtime-webgpu"].iter().filter(|r| here.join(r).exists())
    {
        std::os::unix::fs::symlink(here.join(runtime), shelf.join("bgremove").join(runtime)).unwrap();
    }
    shelf
}

fn size(folder: &Path, name: &str) -> u64 {
    std::fs::metadata(folder.join(name)).map_or(0, |m| m.len())
}

#[test]
fn each_command_of_the_readme_runs_or_is_named_as_one_that_does_not() {
    let folder = folder();
    let data = tempfile::tempdir().unwrap();
    let shelf = shelf(data.path());
    // The first conversion is with what is installed.
    let (mut run, mut place) = (0, String::new());
    for line in commands(include_str!("../README.md")) {
        match line.split(' ').take(2).collect::<Vec<_>>()[..] {
            // The README names these: they set up a machine; tests/doctor.rs has the page in a place of its own.
            ["make", _] | ["bgremove", "doctor"] => {}
            // What `shell` does.
            ["export", _] => {}
            // A picture of a pipeline, not a command.
            ["…", _] => {}
            ["bgremove", "convert"] => {
                common::shell(folder.path(), &format!("{place}{line}"));
                place = format!("XDG_DATA_HOME={} ", shelf.display());
                run += 1;
            }
            ["bgremove" | "gst-launch-1.0", _] => {
                common::shell(folder.path(), &line);
                run += 1;
            }
            _ => panic!("'{line}' is neither run nor named as a command that is not"),
        }
    }
    assert!(run >= 9, "{run}");
    for name in ["out.webm", "out.mp4", "out.gif", "matte.mp4", "cut/in.mov", "cut/beach.mov"] {
        assert!(size(folder.path(), name) > 500, "{name}");
    }
}

#[test]
fn the_readme_is_a_first_page() {
    assert!(include_str!("../README.md").lines().count() <= 200);
}

#[test]
fn each_pipeline_of_the_page_runs() {
    let folder = folder();
    for line in commands(include_str!("../docs/pipelines.md")) {
        assert!(line.starts_with("gst-launch-1.0 "), "{line}");
        common::shell(folder.path(), &line);
    }
    for name in ["out.webm", "out.mov", "out.mp4", "out.gif", "out.webp", "frame-00022.png", "matte.mp4"] {
        assert!(size(folder.path(), name) > 500, "{name}");
    }
}
