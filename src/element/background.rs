//! Setting `background`: a colour or a blur holds at once, a picture is read in a thread of its own.

use super::imp::BgRemove;
use crate::compose::{self, Background, Meaning};
use crate::error::{Error, ErrorKind};
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::path::PathBuf;

impl BgRemove {
    /// Sets `background`. A colour or a blur holds at once. A picture is read in another thread, and the old background stays
    /// until it is there. Before READY a picture is read on the way to READY, where a bad value fails the state change.
    pub(super) fn set_background(&self, text: String) {
        let early = self.worker().is_none();
        // A controller sets the value again with each frame: do not load again, nor warn again.
        if self.obj().control_binding("background").is_some()
            && (self.settings().background == text || lock(&self.rejected_background).as_ref() == Some(&text))
        {
            return;
        }
        *lock(&self.rejected_background) = None;
        if self.settings().background_from_property(&text).is_some() {
            return self.change(|s| {
                let background = s.background_from_property(&text);
                s.activate_background(text, background);
            });
        }
        match compose::meaning(&text) {
            Ok(Meaning::Known(background)) => self.change(|s| s.activate_background(text, Some(background))),
            Ok(Meaning::Picture(path)) if !early => self.load_picture(text, path),
            Ok(Meaning::Picture(_)) => self.change(|s| s.activate_background(text, None)),
            Err(_) if early => self.change(|s| s.activate_background(text, None)),
            Err(e) => {
                let kept = self.settings().background.clone();
                *lock(&self.rejected_background) = Some(text);
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
            }
        }
    }

    fn load_picture(&self, text: String, path: PathBuf) {
        let mut number = 0;
        self.change(|s| {
            s.background_serial += 1;
            s.background.clone_from(&text);
            number = s.background_serial;
        });
        let own = self.obj().downgrade();
        let asked = self.picture_loader.request(number, move || {
            let Some(obj) = own.upgrade() else { return };
            if obj.imp().settings().background_serial == number {
                obj.imp().picture_loaded(number, compose::open(&text, &path));
            }
        });
        if let Err(e) = asked {
            let e = Error::new(ErrorKind::Setting, format!("no thread to read the background in: {e}."));
            self.picture_loaded(number, Err(e));
        }
    }

    /// A picture has been read, or cannot be. Does nothing if another background has been set since.
    fn picture_loaded(&self, number: u64, read: Result<Background, Error>) {
        let (picture, e) = match read {
            Ok(picture) => (Some(picture), None),
            Err(e) => (None, Some(e)),
        };
        let mut wanted = false;
        // It may be refused by downstream: then the old background stays.
        let took = picture.is_some_and(|picture| {
            self.try_change(|s| {
                wanted = s.background_serial == number;
                if wanted {
                    s.activate_background(s.background.clone(), Some(picture));
                }
            })
        });
        if took {
            return;
        }
        let mut kept = String::new();
        self.change(|s| {
            wanted = s.background_serial == number;
            if wanted {
                *lock(&self.rejected_background) = Some(std::mem::take(&mut s.background));
                s.background.clone_from(&s.active_background_text);
                kept.clone_from(&s.active_background_text);
            }
        });
        if !wanted {
            return;
        }
        self.obj().notify("background");
        if let Some(e) = e {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    /// What `f` gives, unless it does not come back.
    fn soon<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(f()));
        receiver.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{what} does not come back"))
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A picture of one pixel whose decoder first does something.
    fn picture(folder: &Path, name: &str, first: impl Fn() + Send + Sync + 'static) -> String {
        let path = folder.join(name);
        image::RgbImage::new(1, 1).save(&path).unwrap();
        compose::hook::set(&path, first);
        path.to_str().unwrap().to_string()
    }

    fn warning(bus: &gst::Bus) -> Option<String> {
        match bus.pop_filtered(&[gst::MessageType::Warning])?.view() {
            gst::MessageView::Warning(w) => Some(w.error().message().to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_picture_is_read_beside_whoever_sets_it_and_the_last_text_wins() {
        gst::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let slow = picture(folder.path(), "slow.png", move || {
            let _ = wait.lock().unwrap().recv();
        });
        let bad = picture(folder.path(), "bad.png", || panic!("as a decoder may"));
        let good = picture(folder.path(), "good.png", || {});

        let bg = glib::Object::new::<element::BgRemove>();
        let bus = gst::Bus::new();
        bg.set_bus(Some(&bus));
        bg.set_state(gst::State::Ready).unwrap();
        let set = |text: &str| {
            let (bg, text) = (bg.clone(), text.to_string());
            soon("setting a background", move || bg.set_property("background", text));
        };
        let now =
            || (bg.property::<String>("background"), bg.imp().settings().active_background.clone().unwrap());
        let red = Background::Color([255, 0, 0]);

        // While it is read, it is what is wanted, and what was there before is in force.
        set(&slow);
        assert_eq!(now(), (slow.clone(), Background::Transparent));
        // What is set meanwhile wins, although the picture comes after it.
        set("red");
        assert_eq!(now(), ("red".into(), red.clone()));
        release.send(()).unwrap();
        until("the picture is read", || bg.imp().picture_loader.is_idle());
        assert_eq!(now(), ("red".into(), red.clone()));
        assert_eq!(warning(&bus), None);

        // One whose decoder panics is a warning, and what was in force stays.
        set(&bad);
        until("the picture is refused", || bg.imp().picture_loader.is_idle());
        assert_eq!(now(), ("red".into(), red.clone()));
        let said = warning(&bus).expect("a warning");
        assert!(said.contains("bad.png") && said.contains("It stays 'red'"), "{said}");

        set(&good);
        until("the picture is there", || bg.imp().picture_loader.is_idle());
        let (text, shown) = now();
        assert!(text == good && matches!(shown, Background::Image(_)), "{text} {shown:?}");

        // Two pictures, the first of them slow.
        set(&slow);
        set(&good);
        release.send(()).unwrap();
        until("both are read", || bg.imp().picture_loader.is_idle());
        assert_eq!(bg.property::<String>("background"), good);
        assert_eq!(bg.imp().settings().active_background_text, good);

        // Back in NULL while one is read: it is read anew on the way to READY.
        set(&slow);
        bg.set_state(gst::State::Null).unwrap();
        release.send(()).unwrap();
        until("the picture is read", || bg.imp().picture_loader.is_idle());
        assert_eq!(bg.property::<String>("background"), slow);
        release.send(()).unwrap();
        bg.set_state(gst::State::Ready).unwrap();
        assert_eq!(bg.imp().settings().active_background_text, slow);
        bg.set_state(gst::State::Null).unwrap();
        // And there a bad one fails, without taking the process with it.
        set(&bad);
        assert!(bg.set_state(gst::State::Ready).is_err());
        bg.set_state(gst::State::Null).unwrap();
    }
}
