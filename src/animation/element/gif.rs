//! `gifalphaenc`.

use super::{Added, Core, Options as _, Write, encoder, loops};
use crate::animation::Rgba;
use crate::animation::gif::{MAX_SIZE, Options, Writer};
use crate::ready::is_too_late;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

impl Write for Writer {
    fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<Added, String> {
        Ok(Writer::add(self, frame, time)?.map_or(Added::LeftOut, Added::Bytes))
    }

    fn finish(self, end: u64) -> Result<Vec<u8>, String> {
        Writer::finish(self, end)
    }
}

impl super::Options for Options {
    fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Self::default();
        vec![
            glib::ParamSpecUInt::builder("alpha-threshold")
                .nick("Alpha threshold")
                .blurb("Least alpha that is seen: a GIF's pixel is there or not")
                .minimum(1)
                .maximum(255)
                .default_value(defaults.threshold.into())
                .mutable_ready()
                .build(),
            glib::ParamSpecFloat::builder("dither")
                .nick("Dither")
                .blurb("How much the steps between the colours are dithered away; 0 gives smaller files")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(defaults.dither)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("colors")
                .nick("Colours")
                .blurb("How many colours a frame has at most; fewer give smaller files")
                .minimum(2)
                .maximum(255)
                .default_value(defaults.colors.into())
                .mutable_ready()
                .build(),
            loops(defaults.loops),
        ]
    }

    fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        let uint = || value.get::<u32>().unwrap_or_default();
        match name {
            "alpha-threshold" => self.threshold = uint().min(255) as u8,
            "dither" => self.dither = value.get().unwrap_or_default(),
            "colors" => self.colors = uint().clamp(2, 255) as u8,
            "loops" => self.loops = uint().min(u16::MAX.into()) as u16,
            _ => return false,
        }
        true
    }

    fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "alpha-threshold" => u32::from(self.threshold).to_value(),
            "dither" => self.dither.to_value(),
            "colors" => u32::from(self.colors).to_value(),
            "loops" => u32::from(self.loops).to_value(),
            _ => return None,
        })
    }
}

encoder!(
    GifAlphaEnc,
    "GstBgGifAlphaEnc",
    "image/gif",
    MAX_SIZE,
    "GIF Encoder with Transparency",
    "Encodes RGBA as an animated GIF: steady colours, one bit of alpha, nothing that trails. Frames closer \
     than a fiftieth of a second are left out: browsers slow them down"
);
