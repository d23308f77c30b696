//! One view of a video frame for every module: format, planes, strides.
//!
//! A [`Layout`] says where each component of a pixel lies. Code that works component by component needs nothing else, so
//! that a new pixel format is an arm of [`Format::layout`], a place in [`Format::ALL`] and in [`Format::is_yuv`]. What GStreamer
//! calls it, and that it is offered, is in `video.rs`.

/// Pixel formats that the element takes or gives. Names are GStreamer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    I420,
    Yv12,
    Nv12,
    Yuy2,
    A420,
    Ayuv,
    Rgb,
    Bgr,
    Rgbx,
    Bgrx,
    Xrgb,
    Xbgr,
    Rgba,
    Bgra,
    Argb,
    Abgr,
    Gray8,
}

/// Where one component (Y, U, V or R, G, B, or alpha) of a format lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Index of the plane.
    pub plane: usize,
    /// Bytes from the start of a row to the first sample.
    pub offset: usize,
    /// Bytes from one sample to the next.
    pub step: usize,
    /// log2 of the horizontal subsampling.
    pub hsub: u32,
    /// log2 of the vertical subsampling.
    pub vsub: u32,
}

impl Component {
    const fn new(plane: usize, offset: usize, step: usize, hsub: u32, vsub: u32) -> Self {
        Self { plane, offset, step, hsub, vsub }
    }

    /// Samples in a row of a frame `width` pixels wide.
    pub fn width(&self, width: usize) -> usize {
        (width + (1 << self.hsub) - 1) >> self.hsub
    }

    /// Rows of samples in a frame `height` pixels high.
    pub fn height(&self, height: usize) -> usize {
        (height + (1 << self.vsub) - 1) >> self.vsub
    }
}

/// The components of a format: Y, U, V or R, G, B (or Y alone for grey), then alpha if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The colour components.
    pub color: [Component; 3],
    /// How many of `color` exist: 3, or 1 for grey.
    pub colors: usize,
    /// Straight alpha, always at frame resolution.
    pub alpha: Option<Component>,
    /// How many planes the format has.
    pub planes: usize,
}

impl Format {
    /// Every format, in no particular order.
    pub const ALL: [Format; 17] = [
        Format::I420,
        Format::Yv12,
        Format::Nv12,
        Format::Yuy2,
        Format::A420,
        Format::Ayuv,
        Format::Rgb,
        Format::Bgr,
        Format::Rgbx,
        Format::Bgrx,
        Format::Xrgb,
        Format::Xbgr,
        Format::Rgba,
        Format::Bgra,
        Format::Argb,
        Format::Abgr,
        Format::Gray8,
    ];

    /// Where the components lie.
    pub const fn layout(self) -> Layout {
        const fn c(plane: usize, offset: usize, step: usize, sub: u32) -> Component {
            Component::new(plane, offset, step, sub, sub)
        }
        const fn packed(step: usize, at: [usize; 3], alpha: Option<usize>) -> Layout {
            Layout {
                color: [c(0, at[0], step, 0), c(0, at[1], step, 0), c(0, at[2], step, 0)],
                colors: 3,
                alpha: match alpha {
                    Some(a) => Some(c(0, a, step, 0)),
                    None => None,
                },
                planes: 1,
            }
        }
        const fn planar(u: Component, v: Component, alpha: Option<Component>, planes: usize) -> Layout {
            Layout { color: [c(0, 0, 1, 0), u, v], colors: 3, alpha, planes }
        }
        match self {
            Format::I420 => planar(c(1, 0, 1, 1), c(2, 0, 1, 1), None, 3),
            Format::Yv12 => planar(c(2, 0, 1, 1), c(1, 0, 1, 1), None, 3),
            Format::Nv12 => planar(c(1, 0, 2, 1), c(1, 1, 2, 1), None, 2),
            Format::A420 => planar(c(1, 0, 1, 1), c(2, 0, 1, 1), Some(c(3, 0, 1, 0)), 4),
            Format::Yuy2 => Layout {
                color: [c(0, 0, 2, 0), Component::new(0, 1, 4, 1, 0), Component::new(0, 3, 4, 1, 0)],
                colors: 3,
                alpha: None,
                planes: 1,
            },
            Format::Ayuv => packed(4, [1, 2, 3], Some(0)),
            Format::Rgb => packed(3, [0, 1, 2], None),
            Format::Bgr => packed(3, [2, 1, 0], None),
            Format::Rgbx => packed(4, [0, 1, 2], None),
            Format::Bgrx => packed(4, [2, 1, 0], None),
            Format::Xrgb => packed(4, [1, 2, 3], None),
            Format::Xbgr => packed(4, [3, 2, 1], None),
            Format::Rgba => packed(4, [0, 1, 2], Some(3)),
            Format::Bgra => packed(4, [2, 1, 0], Some(3)),
            Format::Argb => packed(4, [1, 2, 3], Some(0)),
            Format::Abgr => packed(4, [3, 2, 1], Some(0)),
            Format::Gray8 => Layout { color: [c(0, 0, 1, 0); 3], colors: 1, alpha: None, planes: 1 },
        }
    }

    /// Whether the format carries alpha.
    pub const fn has_alpha(self) -> bool {
        self.layout().alpha.is_some()
    }

    /// Whether the colour components are Y, U, V.
    pub const fn is_yuv(self) -> bool {
        matches!(
            self,
            Format::I420 | Format::Yv12 | Format::Nv12 | Format::Yuy2 | Format::A420 | Format::Ayuv
        )
    }
}

/// How the numbers of a YUV format mean colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Color {
    /// Luma 0–255 instead of 16–235.
    pub full_range: bool,
    /// Luma coefficients of red and blue (ITU-R BT.601: 0.299, 0.114; BT.709: 0.2126, 0.0722).
    pub kr: f32,
    /// See `kr`.
    pub kb: f32,
}

impl Color {
    /// ITU-R BT.601, limited range.
    pub const BT601: Color = Color { full_range: false, kr: 0.299, kb: 0.114 };
    /// ITU-R BT.709, limited range.
    pub const BT709: Color = Color { full_range: false, kr: 0.2126, kb: 0.0722 };

    /// 8-bit R, G, B in 0–255 as 8-bit Y, U, V (ITU-T H.273 §8.3).
    pub fn yuv(&self, [r, g, b]: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = [r, g, b].map(|v| f32::from(v) / 255.0);
        let y = self.kr * r + (1.0 - self.kr - self.kb) * g + self.kb * b;
        let u = (b - y) / (2.0 * (1.0 - self.kb));
        let v = (r - y) / (2.0 * (1.0 - self.kr));
        let (ys, yo, cs) = self.scale();
        [y * ys + yo, u * cs + 128.0, v * cs + 128.0].map(|v| (v + 0.5).clamp(0.0, 255.0) as u8)
    }

    /// Scale and offset of luma, scale of chroma, in 8-bit code values.
    pub const fn scale(&self) -> (f32, f32, f32) {
        if self.full_range { (255.0, 0.0, 255.0) } else { (219.0, 16.0, 224.0) }
    }

    /// Code values to R, G, B in 0–255: `rgb[i] = Σ m[i][j] · (yuv[j] − offset[j])`.
    pub fn rgb_matrix(&self) -> ([[f32; 3]; 3], [f32; 3]) {
        let (ys, yo, cs) = self.scale();
        let (y, c) = (255.0 / ys, 255.0 / cs);
        let kg = 1.0 - self.kr - self.kb;
        let (rv, bu) = (2.0 * (1.0 - self.kr) * c, 2.0 * (1.0 - self.kb) * c);
        let (gu, gv) = (-bu * self.kb / kg, -rv * self.kr / kg);
        ([[y, 0.0, rv], [y, gu, gv], [y, bu, 0.0]], [yo, 128.0, 128.0])
    }
}

/// A plane of bytes to read.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// Row `y` up to the stride or the end of the data.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let from = y * self.stride;
        &self.data[from..(from + self.stride).min(self.data.len())]
    }
}

/// A plane of bytes to write.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl PlaneMut<'_> {
    /// Row `y` up to the stride or the end of the data.
    pub fn row(&mut self, y: usize) -> &mut [u8] {
        let from = y * self.stride;
        let to = (from + self.stride).min(self.data.len());
        &mut self.data[from..to]
    }
}

/// A frame to read. Planes beyond the format's own are empty.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub format: Format,
    pub color: Color,
    pub width: usize,
    pub height: usize,
    pub planes: [Plane<'a>; 4],
}

impl<'a> Frame<'a> {
    /// Whether it is not empty, and its planes hold what its format and size say of its colours.
    pub fn holds_colors(&self) -> bool {
        let layout = self.format.layout();
        self.width > 0 && self.height > 0 && layout.color[..layout.colors].iter().all(|c| self.holds(c))
    }

    /// Whether a frame that is not empty holds a component.
    pub fn holds(&self, c: &Component) -> bool {
        let row = c.offset + (c.width(self.width) - 1) * c.step + 1;
        let plane = &self.planes[c.plane];
        plane.stride >= row && plane.data.len() >= (c.height(self.height) - 1) * plane.stride + row
    }

    /// Whether the planes of both lie at the same place.
    pub fn same_planes(&self, other: &Frame<'_>) -> bool {
        self.planes.iter().zip(&other.planes).all(|(a, b)| std::ptr::eq(a.data, b.data))
    }

    /// A part of the frame. `x` and `y` must be even, and the part inside the frame.
    pub fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Frame<'a> {
        let layout = self.format.layout();
        let mut planes = self.planes;
        for c in layout.color[..layout.colors].iter().chain(layout.alpha.as_ref()) {
            let skip = (y >> c.vsub) * self.planes[c.plane].stride + (x >> c.hsub) * c.step;
            let data = self.planes[c.plane].data;
            planes[c.plane].data = &data[skip.min(data.len())..];
        }
        Frame { width, height, planes, ..*self }
    }
}

/// A picture that is read a row at a time.
pub trait Rows: Sync {
    /// Row `y` of a plane, as its bytes lie in the frame's format; it may be made in `scratch`.
    fn row<'a>(&'a self, plane: usize, y: usize, scratch: &'a mut Vec<u8>) -> &'a [u8];

    /// The same, made in `to`, which holds nothing else then.
    fn copy_row(&self, plane: usize, y: usize, to: &mut Vec<u8>);
}

impl Rows for Frame<'_> {
    fn row<'a>(&'a self, plane: usize, y: usize, _scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.planes[plane].row(y)
    }

    fn copy_row(&self, plane: usize, y: usize, to: &mut Vec<u8>) {
        to.clear();
        to.extend_from_slice(self.planes[plane].row(y));
    }
}

/// Which hidden pixels (alpha 0) keep their colours.
pub(crate) trait HiddenColors: Sync {
    /// The alpha of a row's bytes as they lie, not 0 where colours are kept: `alpha` itself, or with more in `scratch`. `c` is
    /// the plane's first component, `y` a row of it.
    fn row<'a>(&'a self, c: &Component, y: usize, alpha: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8];
}

/// A frame to write.
#[derive(Debug)]
pub struct FrameMut<'a> {
    pub format: Format,
    pub color: Color,
    pub width: usize,
    pub height: usize,
    pub planes: [PlaneMut<'a>; 4],
}

impl FrameMut<'_> {
    /// The same frame to read.
    pub fn as_ref(&self) -> Frame<'_> {
        Frame {
            format: self.format,
            color: self.color,
            width: self.width,
            height: self.height,
            planes: self.planes.each_ref().map(|p| Plane { data: p.data, stride: p.stride }),
        }
    }
}

/// Frames for tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// A frame that owns its bytes, with a stride that is wider than a row.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Picture {
        pub format: Format,
        pub color: Color,
        pub width: usize,
        pub height: usize,
        pub planes: Vec<(Vec<u8>, usize)>,
    }

    impl Picture {
        pub fn new(format: Format, width: usize, height: usize) -> Self {
            let layout = format.layout();
            let planes = (0..layout.planes)
                .map(|p| {
                    let all = layout.color[..layout.colors].iter().chain(layout.alpha.as_ref());
                    let here: Vec<_> = all.filter(|c| c.plane == p).collect();
                    let bytes =
                        here.iter().map(|c| c.offset + (c.width(width) - 1) * c.step + 1).max().unwrap_or(0);
                    let rows = here.iter().map(|c| c.height(height)).max().unwrap_or(0);
                    let stride = bytes.div_ceil(4) * 4 + 4;
                    (vec![0; stride * rows], stride)
                })
                .collect();
            let color =
                if format.is_yuv() { Color::BT709 } else { Color { full_range: true, ..Color::BT709 } };
            Picture { format, color, width, height, planes }
        }

        pub fn frame(&self) -> Frame<'_> {
            let mut planes = [Plane { data: &[], stride: 0 }; 4];
            for (to, (data, stride)) in planes.iter_mut().zip(&self.planes) {
                *to = Plane { data, stride: *stride };
            }
            Frame { format: self.format, color: self.color, width: self.width, height: self.height, planes }
        }

        pub fn frame_mut(&mut self) -> FrameMut<'_> {
            let mut planes = [(); 4].map(|()| PlaneMut { data: &mut [], stride: 0 });
            for (to, (data, stride)) in planes.iter_mut().zip(&mut self.planes) {
                *to = PlaneMut { data, stride: *stride };
            }
            FrameMut {
                format: self.format,
                color: self.color,
                width: self.width,
                height: self.height,
                planes,
            }
        }

        /// One sample of a component at its own resolution.
        pub fn sample(&self, c: &Component, x: usize, y: usize) -> u8 {
            self.planes[c.plane].0[y * self.planes[c.plane].1 + c.offset + x * c.step]
        }
    }

    /// A picture of noise that is the same at every run.
    pub fn noise(format: Format, width: usize, height: usize, seed: u32) -> Picture {
        let mut p = Picture::new(format, width, height);
        let mut s = seed.wrapping_mul(2_654_435_761) | 1;
        for v in p.planes.iter_mut().flat_map(|(data, _)| data) {
            s ^= s << 13;
            s ^= s >> 17;
            s ^= s << 5;
            *v = (s >> 11) as u8;
        }
        p
    }
}
