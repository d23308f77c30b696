//! The clip for `model=key`: the tests' painted scene before a green screen with folds, which moves a little.

#[path = "../../tests/key/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the scenes' frames are, where they are not coded.
pub const CAPS: &str = "video/x-raw,format=I420,width=1920,height=1080,framerate=30/1,colorimetry=bt709,interlace-mode=progressive";

/// Scenes, and how often each is shown.
const SCENES: usize = 4;
const TIMES: usize = 31;

/// Writes a frame of each scene into `folder`, unless it is there; gives their names as multifilesrc has them.
pub fn frames(folder: &Path) -> Result<String, String> {
    for n in 0..SCENES {
        let path = folder.join(format!("screen-1080p-{n}.i420"));
        if !path.is_file() {
            std::fs::write(path, frame(n)).map_err(|e| e.to_string())?;
        }
    }
    let location = folder.join("screen-1080p-%d.i420");
    Ok(format!("location={} stop-index={} loop=true", location.display(), SCENES - 1))
}

fn frame(n: usize) -> Vec<u8> {
    scene::i420(&scene::scene(&scene::SETUPS[2], 1920, 1080, n as u32 + 1, 0.01 * n as f32))
}

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
        let frame = frame(n);
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
