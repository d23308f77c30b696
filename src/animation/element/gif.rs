//! `gifalphaenc`.

use super::{Added, Core, Write, encoder};
use crate::animation::Rgba;
use crate::animation::gif::{MAX_SIZE, Options, Writer};
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

#[derive(Default)]
pub struct GifAlphaEnc {
    core: Core<Writer>,
    options: Mutex<Options>,
}

impl Write for Writer {
    fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<Added, String> {
        Ok(Writer::add(self, frame, time)?.map_or(Added::LeftOut, Added::Bytes))
    }

    fn finish(self, end: u64) -> Result<Vec<u8>, String> {
        Writer::finish(self, end)
    }
}

impl ObjectImpl for GifAlphaEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Options::default();
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
                glib::ParamSpecUInt::builder("loops")
                    .nick("Loops")
                    .blurb("How often to play (0 = for ever)")
                    .maximum(u16::MAX.into())
                    .default_value(defaults.loops.into())
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.core.numbers.watch(self.obj().src_pad());
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut options = lock(&self.options);
        let uint = || value.get::<u32>().unwrap_or_default();
        match pspec.name() {
            "alpha-threshold" => options.threshold = uint().min(255) as u8,
            "dither" => options.dither = value.get().unwrap_or_default(),
            "colors" => options.colors = uint().clamp(2, 255) as u8,
            "loops" => options.loops = uint().min(u16::MAX.into()) as u16,
            name => gst::warning!(gst::CAT_RUST, imp = self, "no property {name}"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let options = lock(&self.options);
        match pspec.name() {
            "alpha-threshold" => u32::from(options.threshold).to_value(),
            "dither" => options.dither.to_value(),
            "colors" => u32::from(options.colors).to_value(),
            "loops" => u32::from(options.loops).to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

encoder!(
    GifAlphaEnc,
    GifAlphaEnc,
    "GstBgGifAlphaEnc",
    "image/gif",
    MAX_SIZE,
    "GIF Encoder with Transparency",
    "Encodes RGBA as an animated GIF: steady colours, one bit of alpha, nothing that trails. Frames closer \
     than a fiftieth of a second are left out: browsers slow them down"
);
