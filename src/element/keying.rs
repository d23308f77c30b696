//! What makes the mattes of a stream without a network (`model=key`), or with one that only says where the subject may be.

use super::settings::Settings;
use crate::compose::{self, Background, Meaning};
use crate::error::{Error, ErrorKind};
use crate::frame::Frame;
use crate::key::{self, GarbageMatte, Keyer};
use crate::matte::Matting;
use crate::models::{self, Network};
use crate::runtime::{self, Cancel};
use std::path::Path;

/// What `model-options` say for `model=key`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyOptions {
    screen: key::Options,
    /// The network of a garbage matte: a name or a path, as `model` has it.
    garbage: Option<String>,
}

impl KeyOptions {
    /// Reads them.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`] for what is not known, and for a colour that cannot be keyed.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let error =
            |why: String| Error::new(ErrorKind::Setting, format!("model-options cannot be used: {why}"));
        let refuse = |why: String| Err(error(why));
        let mut options = Self::default();
        for (name, value) in settings.model_options.iter().flat_map(|s| s.iter()) {
            match name.as_str() {
                "color" => {
                    // Without quotes 0x00b140 is a number.
                    let number = value.get::<i32>().ok().map(|v| format!("#{v:06x}"));
                    let Some(text) = number.or_else(|| value.get::<String>().ok()) else {
                        return refuse(
                            "'color' is neither a text, such as \"#00b140\", nor a number, such as 0x00b140"
                                .into(),
                        );
                    };
                    options.screen.color = Some(color(&text).map_err(error)?);
                }
                "garbage" => match value.get::<String>() {
                    Ok(model) if !model.is_empty() => options.garbage = Some(model),
                    _ => {
                        return refuse(
                            "'garbage' is the name or the file of a network, such as light".into(),
                        );
                    }
                },
                _ => {
                    return refuse(format!(
                        "'{name}' is not known; model=key knows 'color', the screen's, and 'garbage', a network"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Whether ONNX Runtime and a network are wanted; looks whether that is there.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn look_for_network(&self) -> Result<bool, Error> {
        self.garbage.as_ref().map_or(Ok(false), |model| models::resolve(model, None).map(|_| true))
    }
}

/// A colour that can be keyed; else why it cannot.
fn color(text: &str) -> Result<[u8; 3], String> {
    let Ok(Meaning::Known(Background::Color(rgb))) = compose::meaning(text) else {
        return Err(format!("color: '{text}' is no colour, such as \"#00b140\" or green"));
    };
    match key::can_be_keyed(rgb) {
        true => Ok(rgb),
        false => Err(format!(
            "color: '{text}' cannot be keyed, since neither red, green nor blue stands out of it by {} of 255",
            key::LEAST_DIFFERENCE
        )),
    }
}

/// A key, and the network that says where its subject may be.
#[derive(Debug)]
pub struct Keying {
    pub keyer: Keyer,
    garbage: Option<(Box<Matting>, GarbageMatte)>,
}

impl Keying {
    /// Makes it ready; loads the second network, if there is one. `folder`: where the plugin lies; `aspect`: the frame's width over
    /// its height.
    ///
    /// # Errors
    /// As for [`KeyOptions::read`], and when there is no such network or it cannot be used.
    pub fn load(settings: &Settings, folder: Option<&Path>, aspect: f64) -> Result<Self, Error> {
        let options = KeyOptions::read(settings)?;
        let garbage = match &options.garbage {
            None => None,
            Some(model) => {
                let runtime = runtime::open_for(folder, settings.provider.wanted())?;
                let choice = models::resolve(model, Some(aspect))?;
                // The stream waits for it.
                let network = Network::load(runtime, &choice, &settings.target(), settings.threads, false)?;
                Some(Self::garbage(network))
            }
        };
        Ok(Self { keyer: Keyer::new(options.screen), garbage })
    }

    fn garbage(network: Network) -> (Box<Matting>, GarbageMatte) {
        (Box::new(Matting::new(network, 0, false)), GarbageMatte::default())
    }

    /// The same for another stream: a screen is looked for anew.
    pub fn again(&self) -> Self {
        let network = self.garbage.as_ref().map(|(matting, _)| matting.network().clone());
        Self { keyer: Keyer::new(self.keyer.options()), garbage: network.map(Self::garbage) }
    }

    /// Forgets the screen, and where its subject was.
    pub fn reset(&mut self) {
        self.keyer.reset();
        if let Some((matting, garbage)) = &mut self.garbage {
            matting.reset();
            garbage.reset();
        }
    }

    /// The second network, if there is one.
    pub fn network(&self) -> Option<&Network> {
        self.garbage.as_ref().map(|(matting, _)| matting.network())
    }

    /// Takes out of a frame's matte what is far from all that the second network finds.
    ///
    /// # Errors
    /// When that fails, or `cancel` is called; what it found before is applied.
    pub fn apply_garbage_matte(
        &mut self,
        frame: &Frame<'_>,
        matte: &mut [u8],
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let Some((matting, garbage)) = &mut self.garbage else { return Ok(()) };
        let done = matting.run(frame, None, cancel).map(|mask| {
            garbage.see(&mask.data, mask.width, frame.width as f32 / frame.height as f32);
        });
        garbage.apply(matte, frame.width);
        done
    }
}
