//! `--canvas` and what goes with it: where the subject stands.

use super::launch_line::LaunchLine;
use super::{Background, Settings};
use gstbgremove::canvas::{Anchor, Offset, Placing};

/// One word for what people ask for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// --canvas 1920x1080 --crop subject --anchor bottom-right --scale 0.5 --offset -2%,0
    TalkingHead,
    /// --canvas 1080x1920 --crop subject --anchor bottom --scale 0.7
    Portrait,
    /// --canvas 1080x1080 --crop subject --anchor bottom --scale 0.9
    Square,
}

/// What of the frame is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Crop {
    /// The subject with a margin; the box rests while it sways and glides where it walks
    Subject,
}

/// What was said of the canvas.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Place the result on a canvas of this size: transparent, or what --background says (a colour, a picture, a video)
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = super::values::size)]
    canvas: Option<(u32, u32)>,
    /// Where on the canvas: top-left, top, top-right, left, center, right, bottom-left, bottom or bottom-right
    #[arg(long, value_name = "WHERE")]
    anchor: Option<Anchor>,
    /// How high what is placed is, as a part of the canvas's height; without it as large as fits
    #[arg(long, value_name = "PART", value_parser = scale)]
    scale: Option<f64>,
    /// How far from there: to the right and down, in pixels or percent of the canvas (-40,-40 or -5%,0)
    #[arg(long, value_name = "X,Y", allow_hyphen_values = true)]
    offset: Option<Offset>,
    /// Place the subject with a margin around it, not the whole frame
    #[arg(long, value_name = "WHAT")]
    crop: Option<Crop>,
    /// One word for several of these options, each of which may be given beside it
    #[arg(long, value_name = "NAME")]
    layout: Option<Layout>,
}

fn scale(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s: &f64| *s > 0.0 && *s <= 8.0);
    number.ok_or_else(|| "give a part of the canvas's height, more than 0 and at most 8: 0.4".into())
}

/// A canvas, and how things stand on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas {
    /// None for the frames' own.
    pub size: Option<(u32, u32)>,
    pub anchor: Anchor,
    pub scale: Option<f64>,
    pub offset: Offset,
    pub crop: bool,
}

impl Options {
    /// The canvas, if one is asked for.
    ///
    /// # Errors
    /// That something is placed on none.
    pub fn read(&self) -> Result<Option<Canvas>, String> {
        let word = self.layout.map(Layout::canvas);
        let asked = self.canvas.is_some() || self.crop.is_some() || word.is_some();
        let mut canvas = word.unwrap_or_else(|| Canvas {
            size: None,
            anchor: Anchor::Center,
            scale: None,
            offset: Offset::default(),
            crop: false,
        });
        let placed = [
            ("--anchor", self.anchor.is_some()),
            ("--scale", self.scale.is_some()),
            ("--offset", self.offset.is_some()),
        ];
        if let (false, Some((option, _))) = (asked, placed.into_iter().find(|p| p.1)) {
            return Err(format!(
                "{option} places the result on a canvas, and there is none: give --canvas WIDTHxHEIGHT (or --layout, or --crop \
                 subject)"
            ));
        }
        canvas.size = self.canvas.or(canvas.size);
        canvas.anchor = self.anchor.unwrap_or(canvas.anchor);
        canvas.scale = self.scale.or(canvas.scale);
        canvas.offset = self.offset.unwrap_or(canvas.offset);
        canvas.crop |= self.crop.is_some();
        Ok(asked.then_some(canvas))
    }
}

impl Layout {
    /// What it stands for.
    fn canvas(self) -> Canvas {
        let (size, anchor, scale, offset) = match self {
            Layout::TalkingHead => ((1920, 1080), Anchor::BottomRight, 0.5, "-2%,0"),
            Layout::Portrait => ((1080, 1920), Anchor::Bottom, 0.7, "0,0"),
            Layout::Square => ((1080, 1080), Anchor::Bottom, 0.9, "0,0"),
        };
        let offset = offset.parse().unwrap_or_default();
        Canvas { size: Some(size), anchor, scale: Some(scale), offset, crop: true }
    }
}

impl Canvas {
    /// Whether it goes together with the rest of what is asked for.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check(&self, settings: &Settings) -> Result<(), String> {
        if settings.part.is_some() {
            return Err(
                "parts have no canvas: make them without one, join them, and place the joined file".into()
            );
        }
        if let Background::Text(text) = &settings.background {
            let word = text.trim();
            if word == "blur" || word.starts_with("blur:") {
                return Err("--background blur is the frame's own room, which fills no canvas: choose a colour, a picture or a \
                            video, or make the blur first and place nothing"
                    .into());
            }
            if word == "color" {
                return Err("name the canvas's colour: --background '#00b140'".into());
            }
        }
        if let Some((name, _)) =
            settings.set.iter().find(|(n, _)| n == "output" || n.starts_with("background-"))
        {
            return Err(format!(
                "--set {name}=… is about whole frames, and a canvas is asked for: leave out one of them"
            ));
        }
        Ok(())
    }

    /// The size of what comes out, for frames of a size; `step`: sides have to be multiples of it.
    ///
    /// # Errors
    /// Where the canvas cannot be, or nothing would be on it.
    pub fn size(&self, (width, height): (u32, u32), aspect: f64, step: u32) -> Result<(u32, u32), String> {
        let (wide, high) = self.size.unwrap_or((width, height));
        if wide % step > 0 || high % step > 0 {
            return Err(format!(
                "a canvas of {wide}×{high} does not go into this format, whose sides are multiples of {step}"
            ));
        }
        let placing = Placing {
            width: wide,
            height: high,
            anchor: self.anchor,
            scale: self.scale.unwrap_or(0.0),
            offset: self.offset,
        };
        if !placing.shows(width, height, aspect) {
            return Err(format!(
                "with --anchor {} and --offset {} nothing of the frame would be on the canvas of {wide}×{high}: choose a smaller \
                 offset",
                self.anchor.nick(),
                self.offset
            ));
        }
        Ok((wide, high))
    }

    /// The element that places frames.
    pub fn element(&self, line: &mut LaunchLine, background: &Background) {
        line.then("videocanvas");
        if let Some((width, height)) = self.size {
            line.set("width", &width.to_string()).set("height", &height.to_string());
        }
        line.set("anchor", self.anchor.nick());
        if let Some(scale) = self.scale {
            line.set("scale", &scale.to_string());
        }
        if self.offset != Offset::default() {
            line.set("offset", &self.offset.to_string());
        }
        if self.crop {
            line.set("crop", "subject");
        }
        if let Background::Text(text) = background {
            line.set("background", text);
        }
    }

    /// For the record.
    pub fn words(&self) -> String {
        let mut words = vec![format!("anchor={}", self.anchor.nick())];
        words.extend(self.scale.map(|s| format!("scale={s}")));
        words.push(format!("offset={}", self.offset));
        words.push(format!("crop={}", if self.crop { "subject" } else { "none" }));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_for_what_its_help_says() {
        use clap::{Parser, ValueEnum};
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            options: Options,
        }
        for layout in Layout::value_variants() {
            let value = layout.to_possible_value().unwrap();
            let said = value.get_help().unwrap().to_string();
            let read = |words: &[&str]| {
                let words =
                    Words::try_parse_from([&["convert"], words].concat()).unwrap_or_else(|e| panic!("{e}"));
                words.options.read().unwrap().unwrap()
            };
            let own: Vec<_> = said.split(' ').collect();
            assert_eq!(read(&["--layout", value.get_name()]), read(&own), "{said}");
            // What is said beside it counts.
            let other = read(&["--layout", value.get_name(), "--scale", "0.3", "--offset", "-1,2%"]);
            assert_eq!((other.scale, other.offset), (Some(0.3), "-1,2%".parse().unwrap()));
        }
        let read =
            |words: &[&str]| Words::try_parse_from([&["convert"], words].concat()).map(|w| w.options.read());
        assert!(read(&["--scale", "0.4"]).unwrap().is_err_and(|e| e.contains("--canvas")));
        assert_eq!(read(&[]).unwrap(), Ok(None));
        for wrong in [
            ["--scale", "0"],
            ["--scale", "9"],
            ["--anchor", "middle"],
            ["--offset", "4"],
            ["--canvas", "4x4"],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
