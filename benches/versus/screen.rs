//! The clip for `model=key`: the tests' painted scene before a green screen with folds, which moves a little.

#[path = "../../tests/key/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Scenes, and how often each is shown.
const SCENES: usize = 4;
const TIMES: usize = 31;

/// Makes the clip in `folder`, unless it is there: 1080p, H.264.
pub fn clip(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("screen-1080p.mp4");
    if path.is_file() {
        return Ok(path);
    }
    let draft = folder.join("screen-1080p.draft.mp4");
    let mut child = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            "1920x1080",
            "-r",
            "30",
            "-i",
            "-",
        ])
        .args(["-c:v", "libx264", "-crf", "20", "-preset", "veryfast", "-pix_fmt", "yuv420p"])
        .args([
            "-colorspace",
            "bt709",
            "-color_primaries",
            "bt709",
            "-color_trc",
            "bt709",
            "-color_range",
            "tv",
        ])
        .arg(&draft)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ffmpeg: {e}"))?;
    let mut input = child.stdin.take().ok_or("ffmpeg takes nothing")?;
    for n in 0..SCENES {
        let painted = scene::scene(&scene::SETUPS[2], 1920, 1080, n as u32 + 1, 0.01 * n as f32);
        let frame = scene::i420(&painted);
        for _ in 0..TIMES {
            input.write_all(&frame).map_err(|e| format!("ffmpeg: {e}"))?;
        }
    }
    drop(input);
    let done = child.wait().map_err(|e| e.to_string())?;
    if !done.success() {
        return Err(format!("ffmpeg: {done}"));
    }
    std::fs::rename(&draft, &path).map_err(|e| e.to_string())?;
    Ok(path)
}
