//! `webpalphaenc`.

use super::{Added, Core, Options as _, Write, encoder, loops};
use crate::animation::Rgba;
use crate::animation::webp::{MAX_SIZE, Options, Writer};
use crate::ready::is_too_late;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

impl Write for Writer {
    fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<Added, String> {
        Ok(if Writer::add(self, frame, time)? { Added::Bytes(Vec::new()) } else { Added::LeftOut })
    }

    fn finish(self, end: u64) -> Result<Vec<u8>, String> {
        Writer::finish(self, end)
    }
}

impl super::Options for Options {
    fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Self::default();
        vec![
            glib::ParamSpecFloat::builder("quality")
                .nick("Quality")
                .blurb("0 (smallest) to 100 (best); with lossless, how hard to make it small")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.quality)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("alpha-quality")
                .nick("Alpha quality")
                .blurb("Quality of the alpha; 100 keeps it exactly")
                .maximum(100)
                .default_value(defaults.alpha_quality as u32)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("lossless")
                .nick("Lossless")
                .blurb("Keep the colours exactly, too; much larger")
                .default_value(defaults.lossless)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("method")
                .nick("Method")
                .blurb("Speed against size: 0 is fast, 6 is slow and a little smaller")
                .maximum(6)
                .default_value(defaults.method as u32)
                .mutable_ready()
                .build(),
            loops(defaults.loops),
        ]
    }

    fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        let uint = || value.get::<u32>().unwrap_or_default();
        match name {
            "quality" => self.quality = value.get().unwrap_or_default(),
            "alpha-quality" => self.alpha_quality = uint() as usize,
            "lossless" => self.lossless = value.get().unwrap_or_default(),
            "method" => self.method = uint() as usize,
            "loops" => self.loops = uint().min(u16::MAX.into()) as u16,
            _ => return false,
        }
        true
    }

    fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "quality" => self.quality.to_value(),
            "alpha-quality" => (self.alpha_quality as u32).to_value(),
            "lossless" => self.lossless.to_value(),
            "method" => (self.method as u32).to_value(),
            "loops" => u32::from(self.loops).to_value(),
            _ => return None,
        })
    }
}

encoder!(
    WebpAlphaEnc,
    "GstBgWebpAlphaEnc",
    "image/webp",
    MAX_SIZE,
    "Animated WebP Encoder",
    "Encodes RGBA as one animated WebP with whole alpha, lossy or lossless, through libwebp. The file comes \
     as a whole at the end of the stream"
);
