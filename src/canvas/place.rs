//! Where a frame stands on a canvas.

use std::fmt;
use std::str::FromStr;

/// Which points of picture and canvas lie on each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgCanvasAnchor")]
pub enum Anchor {
    #[enum_value(name = "Top left", nick = "top-left")]
    TopLeft = 0,
    #[enum_value(name = "Top", nick = "top")]
    Top = 1,
    #[enum_value(name = "Top right", nick = "top-right")]
    TopRight = 2,
    #[enum_value(name = "Left", nick = "left")]
    Left = 3,
    #[default]
    #[enum_value(name = "Center", nick = "center")]
    Center = 4,
    #[enum_value(name = "Right", nick = "right")]
    Right = 5,
    #[enum_value(name = "Bottom left", nick = "bottom-left")]
    BottomLeft = 6,
    #[enum_value(name = "Bottom", nick = "bottom")]
    Bottom = 7,
    #[enum_value(name = "Bottom right", nick = "bottom-right")]
    BottomRight = 8,
}

/// All anchors, by name.
pub const ANCHORS: [(&str, Anchor); 9] = [
    ("top-left", Anchor::TopLeft),
    ("top", Anchor::Top),
    ("top-right", Anchor::TopRight),
    ("left", Anchor::Left),
    ("center", Anchor::Center),
    ("right", Anchor::Right),
    ("bottom-left", Anchor::BottomLeft),
    ("bottom", Anchor::Bottom),
    ("bottom-right", Anchor::BottomRight),
];

impl Anchor {
    /// From the left and from the top, as parts of what is free.
    fn parts(self) -> (f64, f64) {
        let n = self as u32;
        (f64::from(n % 3) / 2.0, f64::from(n / 3) / 2.0)
    }

    /// As in a property's value.
    pub fn nick(self) -> &'static str {
        ANCHORS.iter().find(|(_, a)| *a == self).map_or("center", |(name, _)| name)
    }
}

impl FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ANCHORS.iter().find(|(name, _)| *name == text).map(|(_, anchor)| *anchor).ok_or_else(|| {
            let names: Vec<_> = ANCHORS.iter().map(|(name, _)| *name).collect();
            format!("there is no anchor '{text}': take one of {}", names.join(", "))
        })
    }
}

/// A distance along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Pixels(f64),
    /// Of the canvas's side.
    Percent(f64),
}

impl Length {
    fn pixels(self, side: u32) -> f64 {
        match self {
            Length::Pixels(v) => v,
            Length::Percent(p) => p / 100.0 * f64::from(side),
        }
    }
}

impl FromStr for Length {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let number = |t: &str| t.parse::<f64>().ok().filter(|v| v.abs() <= 1e5).ok_or(());
        match text.strip_suffix('%') {
            Some(percent) => number(percent).map(Length::Percent),
            None => number(text.strip_suffix("px").unwrap_or(text)).map(Length::Pixels),
        }
    }
}

/// How far from its anchor a picture stands: to the right and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset(pub Length, pub Length);

impl Default for Offset {
    fn default() -> Self {
        Self(Length::Pixels(0.0), Length::Pixels(0.0))
    }
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let both = text.split_once(',').and_then(|(x, y)| Some(Self(x.parse().ok()?, y.parse().ok()?)));
        both.ok_or_else(|| {
            format!("'{text}' is no offset: give X,Y to the right and down, in pixels or percent of the canvas, as in -40,-5%")
        })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |length: Length| match length {
            Length::Pixels(v) => format!("{v}"),
            Length::Percent(v) => format!("{v}%"),
        };
        write!(f, "{},{}", text(self.0), text(self.1))
    }
}

/// A rectangle: left, top, right, bottom.
pub type Rect = [f64; 4];

/// A canvas and how things stand on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placing {
    /// Of the canvas, in pixels.
    pub width: u32,
    pub height: u32,
    pub anchor: Anchor,
    /// The height of what is placed, as a part of the canvas's; 0 for as large as fits.
    pub scale: f64,
    pub offset: Offset,
}

/// From a frame to the canvas: canvas = frame · scale + shift, along each axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mapping {
    pub scale: [f64; 2],
    pub shift: [f64; 2],
}

impl Placing {
    /// Places a region (in pixels of the frame) of frames whose pixels are `aspect` times as wide as high.
    pub fn map(&self, region: Rect, aspect: f64) -> Mapping {
        let [left, top, right, bottom] = region;
        let (wide, high) = ((right - left).max(1.0) * aspect, (bottom - top).max(1.0));
        let canvas = [f64::from(self.width), f64::from(self.height)];
        let scale = if self.scale > 0.0 {
            self.scale * canvas[1] / high
        } else {
            (canvas[0] / wide).min(canvas[1] / high)
        };
        let (ax, ay) = self.anchor.parts();
        let x = ax * (canvas[0] - wide * scale) + self.offset.0.pixels(self.width);
        let y = ay * (canvas[1] - high * scale) + self.offset.1.pixels(self.height);
        let scales = [aspect * scale, scale];
        Mapping { scale: scales, shift: [x - left * scales[0], y - top * scales[1]] }
    }

    /// Whether anything of a frame is on the canvas where it stands so.
    pub fn shows(&self, width: u32, height: u32, aspect: f64) -> bool {
        let (width, height) = (f64::from(width), f64::from(height));
        let m = self.map([0.0, 0.0, width, height], aspect);
        let along = |axis: usize, size: f64, canvas: u32| {
            m.shift[axis] < f64::from(canvas) && m.shift[axis] + size * m.scale[axis] > 0.0
        };
        along(0, width, self.width) && along(1, height, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placing(anchor: Anchor, scale: f64, offset: &str) -> Placing {
        Placing { width: 1080, height: 1920, anchor, scale, offset: offset.parse().unwrap() }
    }

    /// Where the frame's corners come to.
    fn corners(p: &Placing, (w, h): (f64, f64), aspect: f64) -> Rect {
        let m = p.map([0.0, 0.0, w, h], aspect);
        [m.shift[0], m.shift[1], m.shift[0] + w * m.scale[0], m.shift[1] + h * m.scale[1]]
    }

    #[test]
    fn anchors_are_where_they_are_called() {
        // 40 % of 1920 is 768 high, 1365.3 wide.
        let (w, h) = (768.0 * 16.0 / 9.0, 768.0);
        for (name, anchor) in ANCHORS {
            assert_eq!((name.parse(), anchor.nick()), (Ok(anchor), name));
            let [left, top, right, bottom] = corners(&placing(anchor, 0.4, "0,0"), (1920.0, 1080.0), 1.0);
            assert!((right - left - w).abs() < 1e-9 && (bottom - top - h).abs() < 1e-9);
            let x = if name.contains("left") {
                left
            } else if name.contains("right") {
                right - 1080.0
            } else {
                left + right - 1080.0
            };
            let y = if name.contains("top") {
                top
            } else if name.contains("bottom") {
                bottom - 1920.0
            } else {
                top + bottom - 1920.0
            };
            assert!(x.abs() < 1e-9 && y.abs() < 1e-9, "{name}: {x} {y}");
        }
        assert!("middle".parse::<Anchor>().is_err_and(|e| e.contains("bottom-right")));
    }

    #[test]
    fn offsets_are_pixels_or_percent() {
        let plain = corners(&placing(Anchor::BottomRight, 0.4, "0,0"), (1920.0, 1080.0), 1.0);
        let moved = corners(&placing(Anchor::BottomRight, 0.4, "-40,-10%"), (1920.0, 1080.0), 1.0);
        for (n, by) in [(0, -40.0), (1, -192.0), (2, -40.0), (3, -192.0)] {
            assert!((moved[n] - plain[n] - by).abs() < 1e-9);
        }
        assert_eq!("-40, -10%".parse::<Offset>().unwrap().to_string(), "-40,-10%");
        for wrong in ["", "4", "a,b", "1,2,3", "nan,0", "1e9,0", "inf,0"] {
            assert!(wrong.parse::<Offset>().is_err_and(|e| e.contains("percent")), "{wrong}");
        }
    }

    #[test]
    fn what_fits_fits_in_the_shape_that_it_is_seen_in() {
        let p = placing(Anchor::Center, 0.0, "0,0");
        let [left, _, right, _] = corners(&p, (1920.0, 1080.0), 1.0);
        assert!(left.abs() < 1e-9 && (right - 1080.0).abs() < 1e-9);
        // 720 × 576 seen as 1024 × 576.
        let [left, top, right, bottom] = corners(&p, (720.0, 576.0), 64.0 / 45.0);
        assert!(((right - left) / (bottom - top) - 1024.0 / 576.0).abs() < 1e-9);
        assert!(p.shows(1920, 1080, 1.0));
        assert!(!placing(Anchor::Left, 0.4, "1080,0").shows(1920, 1080, 1.0));
        assert!(!placing(Anchor::Top, 0.4, "0,-41%").shows(1920, 1080, 1.0));
    }
}
