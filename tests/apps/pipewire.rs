//! A virtual camera through PipeWire, in a session of its own: message bus, PipeWire, its session manager, and the
//! portal that browsers ask for cameras.

use crate::chromium::Chromium;
use crate::common::{clip, init};
use crate::program::{Program, alone, example, plugins, small_clip};
use crate::skip::tool;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pixels on a side that frames are looked at with, and where the room is then.
const SIDE: usize = 100;
const CORNER: (usize, usize) = (5, 40);

/// A session as a desktop has one. Its programs end with it, the last one first.
struct Session {
    programs: Vec<Program>,
    env: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Session {
    /// `None`, said loudly, when its programs are not there.
    fn start(test: &str) -> Option<Self> {
        for (program, package) in
            [("dbus-daemon", "dbus"), ("pipewire", "pipewire"), ("wireplumber", "wireplumber")]
        {
            tool(test, program, package, &["--version"])?;
        }
        init();
        if gst::ElementFactory::find("pipewiresink").is_none() {
            crate::skip::skip(test, "no pipewiresink (Debian package gstreamer1.0-pipewire)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let portals = folder.path().join("portals");
        std::fs::create_dir(&portals).unwrap();
        // Camera access is decided in the permission store, but without somebody to ask the portal offers no cameras.
        let backend = "[portal]\nDBusName=org.freedesktop.impl.portal.desktop.test\n\
                       Interfaces=org.freedesktop.impl.portal.Access\nUseIn=test\n";
        std::fs::write(portals.join("test.portal"), backend).unwrap();
        let at = |p: PathBuf| p.display().to_string();
        let mut session = Self {
            programs: Vec::new(),
            env: vec![
                ("XDG_RUNTIME_DIR".into(), at(folder.path().into())),
                ("HOME".into(), at(folder.path().into())),
                ("XDG_DATA_HOME".into(), data_home()),
                ("XDG_DESKTOP_PORTAL_DIR".into(), at(portals)),
                ("XDG_CURRENT_DESKTOP".into(), "test".into()),
                ("GST_PLUGIN_PATH".into(), at(plugins())),
            ],
            folder,
        };
        let bus = session.run(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address"]));
        let address = bus.wait_for("unix:");
        session.env.push(("DBUS_SESSION_BUS_ADDRESS".into(), format!("unix:{address}")));
        session.run(&mut Command::new("pipewire"));
        session.until("PipeWire", |s| s.folder.path().join("pipewire-0").exists());
        session.run(&mut Command::new("wireplumber"));
        Some(session)
    }

    /// A program of the session.
    fn run(&mut self, command: &mut Command) -> &mut Program {
        self.programs.push(Program::start(self.dress(command)));
        self.programs.last_mut().unwrap()
    }

    fn dress<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.env.iter().map(|(k, v)| (k, v)))
    }

    fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            let said: Vec<String> = self.programs.iter().map(Program::said).collect();
            assert!(start.elapsed() < Duration::from_secs(30), "no {what}: {said:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until PipeWire lists the camera.
    fn wait_for_camera(&self) {
        self.until("camera", |s| {
            let out = s.dress(&mut Command::new("pw-dump")).output().unwrap().stdout;
            let nodes: serde_json::Value = serde_json::from_slice(&out).unwrap_or_default();
            nodes.as_array().is_some_and(|nodes| {
                nodes.iter().any(|n| {
                    let p = &n["info"]["props"];
                    p["node.name"] == "bgremove"
                        && p["media.class"] == "Video/Source"
                        && p["media.role"] == "Camera"
                })
            })
        });
    }

    /// A program reads the camera, again until the face is there: before the first mask nothing of it is shown.
    fn wait_for_face(&self, face: (usize, usize)) {
        let start = Instant::now();
        loop {
            let frame = self.read(20);
            let at = |(x, y): (usize, usize)| {
                frame.as_ref().map(|f| f[(y * SIDE + x) * 3..][..3].try_into().unwrap())
            };
            if let (Some(corner), Some(face)) = (at(CORNER), at(face))
                && is_right(corner, face)
            {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{:?} {:?}", at(CORNER), at(face));
        }
    }

    /// The last of so many frames that another program reads from the camera, as RGB; nothing if it does not find the camera.
    fn read(&self, frames: usize) -> Option<Vec<u8>> {
        let line = format!(
            "gst-launch-1.0 -q pipewiresrc target-object=bgremove num-buffers={frames} ! videoconvert ! videoscale ! \
             video/x-raw,format=RGB,width={SIDE},height={SIDE} ! fdsink fd=1"
        );
        let mut command = Command::new("timeout");
        let command = command.arg("30").args(line.split(' ')).stderr(Stdio::inherit());
        let out = self.dress(command).output().unwrap();
        let size = SIDE * SIDE * 3;
        if !out.status.success() && out.stdout.is_empty() {
            return None;
        }
        assert!(out.status.success(), "{line}: {}", out.status);
        assert_eq!(out.stdout.len(), frames * size, "not all frames came");
        Some(out.stdout[(frames - 1) * size..].to_vec())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        while self.programs.pop().is_some() {}
    }
}

/// Where this user's ONNX Runtime is.
fn data_home() -> String {
    let home = || format!("{}/.local/share", std::env::var("HOME").unwrap_or_default());
    std::env::var("XDG_DATA_HOME").unwrap_or_else(|_| home())
}

/// Blue where the room was, and a face in its own colours.
fn is_right([r, g, b]: [u8; 3], [fr, _, fb]: [u8; 3]) -> bool {
    r < 40 && g < 40 && b > 215 && fr > 100 && fr > fb
}

#[test]
fn a_virtual_camera_through_pipewire() {
    let _alone = alone();
    let test = "a_virtual_camera_through_pipewire";
    let Some(mut session) = Session::start(test) else { return };
    let mut camera = example("camera");
    camera.args(["--virtual-camera", "pipewire", "--background", "#0000ff", "--model", "light", "--source"]);
    session.run(camera.arg(small_clip()));
    session.wait_for_camera();
    // Readers come and go.
    for _ in 0..2 {
        session.wait_for_face((46, 42));
    }
    in_a_browser(&mut session, test);
}

/// The line of docs/live.md for gst-launch-1.0, with a picture in the camera's place.
#[test]
fn the_line_of_the_page_makes_a_camera() {
    let _alone = alone();
    let Some(mut session) = Session::start("the_line_of_the_page_makes_a_camera") else { return };
    let page = include_str!("../../docs/live.md");
    let start = page
        .find("    gst-launch-1.0 v4l2src ! videoconvert ! bgremove background=blur ! videoconvert ! \\")
        .unwrap();
    let line =
        page[start..].split("\n    ").take_while(|l| !l.starts_with("sudo")).collect::<Vec<_>>().join("\n");
    assert!(line.contains("pipewiresink"), "{line}");
    let still = "decodebin ! imagefreeze is-live=true ! video/x-raw,framerate=30/1";
    let portrait = format!("filesrc location={} ! {still}", clip("astronaut.png").display());
    let line = line.replace("v4l2src", &portrait).replace("background=blur", "background=#0000ff");
    session.run(Command::new("sh").args(["-c", &format!("exec {}", line.trim())]));
    session.wait_for_camera();
    session.wait_for_face((45, 20));
}

/// A page sees the camera as it sees any other.
fn in_a_browser(session: &mut Session, test: &str) {
    let portal = "/usr/libexec/xdg-desktop-portal";
    if tool(test, portal, "xdg-desktop-portal", &["--version"]).is_none() {
        return;
    }
    // What the user is asked for, once.
    let store = "org.freedesktop.impl.portal.PermissionStore";
    let granted = session
        .dress(Command::new("gdbus").args(["call", "--session", "--dest", store, "--object-path"]))
        .args(["/org/freedesktop/impl/portal/PermissionStore", "--method", &format!("{store}.SetPermission")])
        .args(["devices", "true", "camera", "", "['yes']"])
        .output()
        .unwrap();
    assert!(granted.status.success(), "{granted:?}");
    session.run(Command::new(portal).args(["-v"])).wait_for("org.freedesktop.portal.Desktop acquired");

    let flags = ["--enable-features=WebRtcPipeWireCamera", "--use-fake-ui-for-media-stream"];
    let env: Vec<(&str, &str)> = session.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let Some(browser) = Chromium::start(test, &flags, &env) else { return };
    let page = session.folder.path().join("page.html");
    std::fs::write(&page, "<!doctype html><video id=video autoplay muted></video>").unwrap();
    browser.open(&format!("file://{}", page.display()));
    browser.run(
        // A browser that has just begun may not have found its cameras yet.
        "(function ask() {
             navigator.mediaDevices.getUserMedia({video: true}).then(
                 stream => { window.camera = stream.getVideoTracks()[0].label; video.srcObject = stream; },
                 error => {
                     window.camera = `${error.name}: ${error.message}`;
                     if (error.name == 'NotFoundError') setTimeout(ask, 500);
                 });
         })();",
    );
    let start = Instant::now();
    loop {
        let seen = browser.run(
            "const canvas = new OffscreenCanvas(100, 100), context = canvas.getContext('2d');
             if (video.videoWidth) context.drawImage(video, 0, 0, 100, 100);
             const at = (x, y) => [...context.getImageData(x, y, 1, 1).data];
             return [window.camera, video.getVideoPlaybackQuality().totalVideoFrames, at(5, 40), at(46, 42)];",
        );
        let colour = |i: usize| std::array::from_fn(|c| seen[i][c].as_u64().unwrap() as u8);
        if seen[0] == "bgremove" && seen[1].as_u64() >= Some(30) && is_right(colour(2), colour(3)) {
            return;
        }
        let said = session.programs.last().unwrap().said();
        assert!(start.elapsed() < Duration::from_secs(40), "{seen}; {said}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
